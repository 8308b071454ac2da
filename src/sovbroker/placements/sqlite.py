"""The placements index in one SQLite file: the embedded default.

Write-ahead logging, so readers never wait for a writer. Intents are flushed with the next commit; a commit itself is
flushed to the disk before it returns, because it acknowledges an object. One connection per process, under a lock.

No connection crosses a fork: SQLite forbids its use in the child, and even a new one there would trust in file locks
that only the parent holds. So a fork waits for the transaction that is under way and closes the connection; parent and
child each open another when they need one.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from weakref import WeakSet

from sovbroker.errors import AlreadyExists, Conflict, NotFound, StateError
from sovbroker.placements.index import CopyRow, Intent, Leftover, Placement, Precondition, State

__all__ = ["SqliteIndex"]

SCHEMA_VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE version (
    key TEXT NOT NULL, version TEXT NOT NULL, state TEXT NOT NULL, label TEXT NOT NULL, size INTEGER NOT NULL,
    created TEXT NOT NULL, domain TEXT NOT NULL, record TEXT NOT NULL, digest TEXT NOT NULL, content_type TEXT,
    metadata TEXT NOT NULL, decision TEXT NOT NULL, retain_until TEXT, PRIMARY KEY (key, version)
) WITHOUT ROWID;
CREATE UNIQUE INDEX one_current ON version (key) WHERE state = 'current';
CREATE INDEX retained ON version (retain_until) WHERE state = 'retained';
CREATE INDEX doomed ON version (state) WHERE state = 'doomed';
CREATE TABLE copy (
    version TEXT NOT NULL, target TEXT NOT NULL, physical TEXT NOT NULL, sealed INTEGER NOT NULL,
    names_encrypted INTEGER NOT NULL, sidecar TEXT NOT NULL, place INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '', retry_at TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (version, target)
) WITHOUT ROWID;
CREATE TABLE intent (
    version TEXT NOT NULL, target TEXT NOT NULL, key TEXT NOT NULL, physical TEXT NOT NULL, owner TEXT NOT NULL,
    created TEXT NOT NULL, upload TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '',
    retry_at TEXT NOT NULL DEFAULT '', PRIMARY KEY (version, target)
) WITHOUT ROWID;
"""
COLUMNS: Final = (
    "key, version, state, label, size, created, domain, record, digest, content_type, metadata, decision, retain_until"
)
READABLE: Final = "state IN ('current', 'retained')"
PAGE: Final = 1000
BEFORE_SURROGATES: Final = 0xD7FF
AFTER_SURROGATES: Final = 0xE000


class SqliteIndex:
    """A `PlacementIndex` in the SQLite file `path`, created (mode 0600) when it does not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._handle: sqlite3.Connection | None = None
        self._flushing = False
        with self._lock:
            self._connection()
        _alive.add(self)

    def __repr__(self) -> str:
        """Name the file."""
        return f"SqliteIndex({str(self.path)!r})"

    def _connection(self) -> sqlite3.Connection:
        """Return the connection, opened if there is none."""
        if self._handle is None:
            self._handle = self._open()
            self._flushing = False
        return self._handle

    def _open(self) -> sqlite3.Connection:
        try:
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            found = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if found == 0:
                self._create(connection)
            elif found != SCHEMA_VERSION:
                connection.close()
                raise StateError(
                    f"`{self.path}` was written by another version of sovbroker (schema {found}, this one reads "
                    f"{SCHEMA_VERSION}); upgrade sovbroker"
                )
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"cannot open the state database `{self.path}`: {error}") from error
        return connection

    @staticmethod
    def _create(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")

    @contextmanager
    def _read(self) -> Generator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection()
            except (sqlite3.Error, ValueError) as error:
                raise StateError(f"cannot read the state database `{self.path}`: {error}") from error

    @contextmanager
    def _write(self, *, flush: bool) -> Generator[sqlite3.Connection]:
        """One transaction. With `flush`, it is on the disk when this returns."""
        with self._lock:
            try:
                connection = self._connection()
                if flush != self._flushing:
                    connection.execute(f"PRAGMA synchronous = {'FULL' if flush else 'NORMAL'}")
                    self._flushing = flush
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise StateError(
                    f"cannot write the state database `{self.path}`: {error}; nothing was committed"
                ) from error

    def current(self, key: str) -> Placement | None:
        """See `PlacementIndex.current`."""
        with self._read() as db:
            row = db.execute(f"SELECT {COLUMNS} FROM version WHERE key = ? AND state = 'current'", (key,)).fetchone()
            return None if row is None else _placement(db, row)

    def versions(self, key: str) -> Sequence[Placement]:
        """See `PlacementIndex.versions`."""
        query = (
            f"SELECT {COLUMNS} FROM version WHERE key = ? AND {READABLE} ORDER BY state = 'current' DESC, version DESC"
        )
        with self._read() as db:
            return [_placement(db, row) for row in db.execute(query, (key,)).fetchall()]

    def scan(self, prefix: str = "", *, after: str = "") -> Iterator[Placement]:
        """See `PlacementIndex.scan`. One page is read at a time, so that a long listing blocks nobody."""
        query = (
            f"SELECT {COLUMNS} FROM version WHERE state = 'current' AND key > ? AND key >= ? "
            f"AND (? IS NULL OR key < ?) ORDER BY key LIMIT {PAGE}"
        )
        upper = _successor(prefix)
        while True:
            with self._read() as db:
                rows = db.execute(query, (after, prefix, upper, upper)).fetchall()
                page = [_placement(db, row) for row in rows]
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].key

    def begin(self, intents: Sequence[Intent]) -> None:
        """See `PlacementIndex.begin`."""
        rows = [(i.version, i.target, i.key, i.physical, i.owner, _stamp(i.created), i.upload) for i in intents]
        with self._write(flush=False) as db:
            db.executemany(
                "INSERT INTO intent (version, target, key, physical, owner, created, upload) VALUES (?,?,?,?,?,?,?)",
                rows,
            )

    def note_upload(self, version: str, target: str, upload: str) -> None:
        """See `PlacementIndex.note_upload`."""
        with self._write(flush=False) as db:
            db.execute("UPDATE intent SET upload = ? WHERE version = ? AND target = ?", (upload, version, target))

    def commit(
        self, placement: Placement, *, condition: Precondition, source: tuple[str, str] | None = None, now: datetime
    ) -> Sequence[Leftover]:
        """See `PlacementIndex.commit`."""
        with self._write(flush=True) as db:
            _require(db, placement.key, condition)
            _retire(db, placement.key, now)
            if source is not None:
                _require(db, source[0], Precondition(if_version=source[1]))
                _retire(db, source[0], now)
            db.execute(
                f"INSERT INTO version ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    placement.key,
                    placement.version,
                    State.CURRENT,
                    placement.label,
                    placement.size,
                    _stamp(placement.created),
                    placement.domain,
                    placement.record,
                    placement.digest,
                    placement.content_type,
                    _compact(placement.metadata),
                    _compact(placement.decision),
                    None if placement.retain_until is None else _stamp(placement.retain_until),
                ),
            )
            db.executemany(
                "INSERT INTO copy (version, target, physical, sealed, names_encrypted, sidecar, place) "
                "VALUES (?,?,?,?,?,?,?)",
                [
                    (placement.version, c.target, c.physical, c.sealed, c.names_encrypted, c.sidecar, place)
                    for place, c in enumerate(placement.copies)
                ],
            )
            db.execute("DELETE FROM intent WHERE version = ?", (placement.version,))
            return _doomed(db, keys=(placement.key, *(source or ())[:1]))

    def remove(self, key: str, *, condition: Precondition, now: datetime) -> Sequence[Leftover]:
        """See `PlacementIndex.remove`."""
        with self._write(flush=True) as db:
            _require(db, key, condition)
            if not _retire(db, key, now):
                raise NotFound(f"there is no object `{key}`", key=key)
            return _doomed(db, keys=(key,))

    def expire(self, now: datetime) -> int:
        """See `PlacementIndex.expire`."""
        with self._write(flush=False) as db:
            done = db.execute(
                "UPDATE version SET state = 'doomed' WHERE state = 'retained' AND retain_until <= ?", (_stamp(now),)
            )
            return done.rowcount

    def leftovers(self, *, due: datetime | None = None, limit: int = 1000) -> Sequence[Leftover]:
        """See `PlacementIndex.leftovers`."""
        horizon = "9999" if due is None else _stamp(due)
        with self._read() as db:
            doomed = _doomed(db, horizon=horizon, limit=limit)
            intents = _intents(db, "retry_at <= ? ORDER BY created LIMIT ?", horizon, max(0, limit - len(doomed)))
        return [*doomed, *intents]

    def unfinished(self, version: str) -> Sequence[Leftover]:
        """See `PlacementIndex.unfinished`."""
        with self._read() as db:
            return _intents(db, "version = ?", version)

    def removed(self, leftovers: Sequence[Leftover]) -> None:
        """See `PlacementIndex.removed`."""
        with self._write(flush=False) as db:
            for item in leftovers:
                table = "intent" if item.kind == "intent" else "copy"
                db.execute(f"DELETE FROM {table} WHERE version = ? AND target = ?", (item.version, item.target))
            db.execute(
                "DELETE FROM version WHERE state = 'doomed' "
                "AND NOT EXISTS (SELECT 1 FROM copy WHERE copy.version = version.version)"
            )

    def failed(self, leftover: Leftover, *, error: str, retry_at: datetime) -> None:
        """See `PlacementIndex.failed`."""
        table = "intent" if leftover.kind == "intent" else "copy"
        with self._write(flush=False) as db:
            db.execute(
                f"UPDATE {table} SET attempts = attempts + 1, error = ?, retry_at = ? WHERE version = ? AND target = ?",
                (error, _stamp(retry_at), leftover.version, leftover.target),
            )

    def close(self) -> None:
        """See `PlacementIndex.close`."""
        with self._lock:
            if self._handle is not None:
                self._handle.close()
            self._handle = None

    def before_fork(self) -> None:
        """Wait until no thread uses the connection, and close it."""
        self._lock.acquire()
        self.close()

    def after_fork(self) -> None:
        """Let threads use it again, in the parent as in the child."""
        self._lock.release()


_alive: Final[WeakSet[SqliteIndex]] = WeakSet()
_held: Final[list[SqliteIndex]] = []
_forking: Final = threading.Lock()


def _before_fork() -> None:
    _forking.acquire()
    _held.extend(sorted(_alive, key=id))
    for index in _held:
        index.before_fork()


def _after_fork() -> None:
    for index in _held:
        index.after_fork()
    _held.clear()
    _forking.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _require(db: sqlite3.Connection, key: str, condition: Precondition) -> None:
    row = db.execute("SELECT version FROM version WHERE key = ? AND state = 'current'", (key,)).fetchone()
    if condition.if_absent and row is not None:
        raise AlreadyExists(f"`{key}` exists (version {row[0]})", key=key)
    if condition.if_version is not None and (row is None or row[0] != condition.if_version):
        found = "it does not exist" if row is None else f"its version is {row[0]}"
        raise Conflict(f"`{key}` is not at version {condition.if_version}: {found}", key=key)


def _retire(db: sqlite3.Connection, key: str, now: datetime) -> bool:
    """Take `current` from the version of `key`; whether there was one."""
    stamp = _stamp(now)
    return (
        db.execute(
            "UPDATE version SET state = CASE WHEN retain_until > ? THEN 'retained' ELSE 'doomed' END "
            "WHERE key = ? AND state = 'current'",
            (stamp, key),
        ).rowcount
        > 0
    )


def _doomed(
    db: sqlite3.Connection, *, keys: Sequence[str] = (), horizon: str = "9999", limit: int = 1000
) -> list[Leftover]:
    only = f"AND v.key IN ({','.join('?' * len(keys))}) " if keys else ""
    rows = db.execute(
        "SELECT v.key, c.version, c.target, c.physical, c.sidecar, c.attempts, c.error FROM version v "
        f"JOIN copy c ON c.version = v.version WHERE v.state = 'doomed' {only}AND c.retry_at <= ? "
        "ORDER BY v.version LIMIT ?",
        (*keys, horizon, limit),
    ).fetchall()
    return [
        Leftover(
            kind="copy",
            key=key,
            version=version,
            target=target,
            physical=physical,
            sidecar=sidecar,
            attempts=attempts,
            error=error,
        )
        for key, version, target, physical, sidecar, attempts, error in rows
    ]


def _intents(db: sqlite3.Connection, where: str, *values: object) -> list[Leftover]:
    rows = db.execute(
        "SELECT key, version, target, physical, upload, attempts, error, owner, created FROM intent WHERE " + where,
        values,
    ).fetchall()
    return [
        Leftover(
            kind="intent",
            key=key,
            version=version,
            target=target,
            physical=physical,
            upload=upload,
            attempts=attempts,
            error=error,
            owner=owner,
            created=_moment(created),
        )
        for key, version, target, physical, upload, attempts, error, owner, created in rows
    ]


def _placement(db: sqlite3.Connection, row: tuple[object, ...]) -> Placement:
    key, version, state, label, size, created, domain, record, digest, content_type, metadata, decision, retain = row
    copies = db.execute(
        "SELECT target, physical, sealed, names_encrypted, sidecar FROM copy WHERE version = ? ORDER BY place",
        (version,),
    ).fetchall()
    return Placement(
        key=str(key),
        version=str(version),
        label=str(label),
        size=int(str(size)),
        created=_moment(str(created)),
        copies=tuple(CopyRow(t, p, bool(s), bool(n), side) for t, p, s, n, side in copies),
        domain=str(domain),
        record=str(record),
        digest=str(digest),
        content_type=None if content_type is None else str(content_type),
        metadata=json.loads(str(metadata)),
        decision=json.loads(str(decision)),
        retain_until=None if retain is None else _moment(str(retain)),
        state=State(str(state)),
    )


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _stamp(moment: datetime) -> str:
    """UTC with microseconds, so that text order is time order."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def _successor(prefix: str) -> str | None:
    """Return the least string above every string that begins with `prefix`, or None when there is none."""
    for end in range(len(prefix), 0, -1):
        point = ord(prefix[end - 1])
        if point < sys.maxunicode:
            following = AFTER_SURROGATES if point == BEFORE_SURROGATES else point + 1
            return prefix[: end - 1] + chr(following)
    return None
