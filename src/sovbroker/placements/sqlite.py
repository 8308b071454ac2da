"""The placements index in one SQLite file: the embedded default.

Write-ahead logging, so readers never wait for a writer. Intents are flushed with the next commit; a commit itself is
flushed to the disk before it returns, because it acknowledges an object; threads that commit at the same time share a
flush. Two connections per process, one to write and one to read, each under a lock.

No connection crosses a fork: SQLite forbids its use in the child, and even a new one there would trust in file locks
that only the parent holds. So a fork waits for the transaction that is under way and closes the connections; parent and
child each open others when they need them.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar, cast
from weakref import WeakSet

from sovbroker.errors import AlreadyExists, Conflict, NotFound, StateError
from sovbroker.placements import rows
from sovbroker.placements.index import Durability, Intent, Leftover, Placement, Precondition
from sovbroker.placements.turns import Turn, Turns

__all__ = ["SqliteIndex"]

READABLE: Final = "state IN ('current', 'retained')"
OUTDATED: Final = f"domain = ? AND record <> '' AND substr(record, 1, ?) <> ? AND {READABLE}"
PAGE: Final = 1000
BEFORE_SURROGATES: Final = 0xD7FF
AFTER_SURROGATES: Final = 0xE000

T = TypeVar("T")


class SqliteIndex:
    """A `PlacementIndex` in the SQLite file `path`, created (mode 0600) when it does not exist.

    A commit is flushed before it returns where `durability` is `POWER`. Otherwise only one that dooms something is, as
    copies are removed on the strength of it; a power failure may undo the last of the others, whole and in order, and
    the death of the process none.
    """

    def __init__(self, path: Path, *, durability: Durability = Durability.POWER) -> None:
        self.path = path
        self.durability = durability
        self._lock = threading.RLock()
        self._looking = threading.RLock()
        self._turns = Turns()
        self._handle: sqlite3.Connection | None = None
        self._view: sqlite3.Connection | None = None
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
            connection = self._connected()
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            # What is forgotten is overwritten: rows hold wrapped keys.
            connection.execute("PRAGMA secure_delete = ON")
            found = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if found == 0:
                self._create(connection)
            elif found != rows.SCHEMA_VERSION:
                connection.close()
                raise StateError(
                    f"`{self.path}` was written by another version of sovbroker (schema {found}, this one reads "
                    f"{rows.SCHEMA_VERSION}); upgrade sovbroker"
                )
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"cannot open the state database `{self.path}`: {error}") from error
        return connection

    def _connected(self) -> sqlite3.Connection:
        """Return a new connection to the file, which is there."""
        place = f"{self.path.absolute().as_uri()}?mode=rw"
        return sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False, timeout=30)

    @staticmethod
    def _create(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in rows.SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {rows.SCHEMA_VERSION}")
        connection.execute("COMMIT")

    @contextmanager
    def _read(self) -> Generator[sqlite3.Connection]:
        """Read what is committed, over a connection of its own: nobody who reads waits for somebody's flush."""
        with self._looking:
            try:
                if self._view is None:
                    self._view = self._connected()
                yield self._view
            except (sqlite3.Error, ValueError) as error:
                raise StateError(f"cannot read the state database `{self.path}`: {error}") from error

    def _write(self, work: Callable[[sqlite3.Connection], T], *, flush: bool, always: bool = False) -> T:
        """Do `work` in a transaction, which other threads' may share.

        With `flush`, it is on the disk in the end: where the durability asks for that, or `always`.
        """
        turn = Turn(work, flush and (always or self.durability is Durability.POWER))
        self._turns.join(turn)
        try:
            with self._lock:
                if not turn.done:
                    self._turns.take(self._begin)
        except BaseException:
            # Nobody takes it any more, once this is seen.
            turn.withdrawn = True
            raise
        if isinstance(turn.error, sqlite3.Error):
            raise StateError(
                f"cannot write the state database `{self.path}`: {turn.error}; nothing was committed"
            ) from turn.error
        if turn.error is not None:
            raise turn.error
        return cast("T", turn.result)

    def _lasting(self, doomed: Sequence[Leftover]) -> Sequence[Leftover]:
        """Return what is doomed, once a power failure cannot undo that any more: its copies are about to be removed."""
        if doomed and self.durability is not Durability.POWER:
            # Anything that is written flushes all that was written before.
            turn = f"PRAGMA user_version = {rows.SCHEMA_VERSION}"
            self._write(lambda db: db.execute(turn), flush=True, always=True)
        return doomed

    def _begin(self, flush: bool) -> sqlite3.Connection:  # noqa: FBT001 - what `Turns` calls it with
        connection = self._connection()
        if flush != self._flushing:
            connection.execute(f"PRAGMA synchronous = {'FULL' if flush else 'NORMAL'}")
            self._flushing = flush
        connection.execute("BEGIN IMMEDIATE")
        return connection

    def current(self, key: str) -> Placement | None:
        """See `PlacementIndex.current`."""
        with self._read() as db:
            row = db.execute(
                f"SELECT {rows.COLUMNS} FROM version WHERE key = ? AND state = 'current'", (key,)
            ).fetchone()
            return None if row is None else rows.placement(db, row)

    def versions(self, key: str) -> Sequence[Placement]:
        """See `PlacementIndex.versions`."""
        query = (
            f"SELECT {rows.COLUMNS} FROM version WHERE key = ? AND {READABLE} "
            "ORDER BY state = 'current' DESC, version DESC"
        )
        with self._read() as db:
            return [rows.placement(db, row) for row in db.execute(query, (key,)).fetchall()]

    def scan(self, prefix: str = "", *, after: str = "") -> Iterator[Placement]:
        """See `PlacementIndex.scan`. One page is read at a time, so that a long listing blocks nobody."""
        query = (
            f"SELECT {rows.COLUMNS} FROM version WHERE state = 'current' AND key > ? AND key >= ? "
            f"AND (? IS NULL OR key < ?) ORDER BY key LIMIT {PAGE}"
        )
        upper = _successor(prefix)
        while True:
            with self._read() as db:
                found = db.execute(query, (after, prefix, upper, upper)).fetchall()
                page = [rows.placement(db, row) for row in found]
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].key

    def outdated(self, domain: str, *, current: str) -> Iterator[Placement]:
        """See `PlacementIndex.outdated`. One page is read at a time."""
        query = (
            f"SELECT {rows.COLUMNS} FROM version WHERE (key, version) > (?, ?) AND {OUTDATED} "
            f"ORDER BY key, version LIMIT {PAGE}"
        )
        after = ("", "")
        while True:
            with self._read() as db:
                found = db.execute(query, (*after, domain, len(current), current)).fetchall()
                page = [rows.placement(db, row) for row in found]
            yield from page
            if len(page) < PAGE:
                return
            after = (page[-1].key, page[-1].version)

    def count_outdated(self, domain: str, *, current: str) -> int:
        """See `PlacementIndex.count_outdated`."""
        with self._read() as db:
            query = f"SELECT count(*) FROM version WHERE {OUTDATED}"
            return int(db.execute(query, (domain, len(current), current)).fetchone()[0])

    def replace_records(self, changes: Sequence[tuple[Placement, str]]) -> Sequence[bool]:
        """See `PlacementIndex.replace_records`."""
        statement = f"UPDATE version SET record = ? WHERE key = ? AND version = ? AND record = ? AND {READABLE}"
        values = [(record, row.key, row.version, row.record) for row, record in changes]
        if not values:
            return []
        return self._write(lambda db: [db.execute(statement, each).rowcount > 0 for each in values], flush=True)

    def begin(self, intents: Sequence[Intent]) -> None:
        """See `PlacementIndex.begin`."""
        values = [(i.version, i.target, i.key, i.physical, i.owner, rows.stamp(i.created), i.upload) for i in intents]
        self._write(
            lambda db: db.executemany(
                "INSERT INTO intent (version, target, key, physical, owner, created, upload) VALUES (?,?,?,?,?,?,?)",
                values,
            ),
            flush=False,
        )

    def note_upload(self, version: str, target: str, upload: str) -> None:
        """See `PlacementIndex.note_upload`."""
        statement = "UPDATE intent SET upload = ? WHERE version = ? AND target = ?"
        self._write(lambda db: db.execute(statement, (upload, version, target)), flush=False)

    def commit(
        self, placement: Placement, *, condition: Precondition, source: tuple[str, str] | None = None, now: datetime
    ) -> Sequence[Leftover]:
        """See `PlacementIndex.commit`."""
        inserted = rows.row(placement)
        copies = [
            (placement.version, c.target, c.physical, c.sealed, c.names_encrypted, c.sidecar, place)
            for place, c in enumerate(placement.copies)
        ]

        def work(db: sqlite3.Connection) -> Sequence[Leftover]:
            _require(db, placement.key, condition)
            _retire(db, placement.key, now)
            if source is not None:
                _require(db, source[0], Precondition(if_version=source[1]))
                _retire(db, source[0], now)
            db.execute(f"INSERT INTO version ({rows.COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", inserted)
            db.executemany(
                "INSERT INTO copy (version, target, physical, sealed, names_encrypted, sidecar, place) "
                "VALUES (?,?,?,?,?,?,?)",
                copies,
            )
            db.execute("DELETE FROM intent WHERE version = ?", (placement.version,))
            return _doomed(db, keys=(placement.key, *(source or ())[:1]))

        return self._lasting(self._write(work, flush=True))

    def remove(self, key: str, *, condition: Precondition, now: datetime) -> Sequence[Leftover]:
        """See `PlacementIndex.remove`."""

        def work(db: sqlite3.Connection) -> Sequence[Leftover]:
            _require(db, key, condition)
            if not _retire(db, key, now):
                raise NotFound(f"there is no object `{key}`", key=key)
            return _doomed(db, keys=(key,))

        return self._lasting(self._write(work, flush=True))

    def expire(self, now: datetime) -> int:
        """See `PlacementIndex.expire`."""
        statement = "UPDATE version SET state = 'doomed' WHERE state = 'retained' AND retain_until <= ?"
        return self._write(lambda db: db.execute(statement, (rows.stamp(now),)).rowcount, flush=True)

    def leftovers(self, *, due: datetime | None = None, limit: int = 1000) -> Sequence[Leftover]:
        """See `PlacementIndex.leftovers`."""
        horizon = "9999" if due is None else rows.stamp(due)
        with self._read() as db:
            doomed = _doomed(db, horizon=horizon, limit=limit)
            intents = rows.intents(db, "retry_at <= ? ORDER BY created LIMIT ?", horizon, max(0, limit - len(doomed)))
        return [*self._lasting(doomed), *intents]

    def unfinished(self, version: str) -> Sequence[Leftover]:
        """See `PlacementIndex.unfinished`.

        Looked up when no transaction is on its way: it might be the very commit that this is asked for.
        """
        with self._looking, self._lock, self._read() as db:
            return rows.intents(db, "version = ?", version)

    def removed(self, leftovers: Sequence[Leftover]) -> None:
        """See `PlacementIndex.removed`."""

        def work(db: sqlite3.Connection) -> None:
            for item in leftovers:
                table = "intent" if item.kind == "intent" else "copy"
                db.execute(f"DELETE FROM {table} WHERE version = ? AND target = ?", (item.version, item.target))
            db.execute(
                "DELETE FROM version WHERE state = 'doomed' "
                "AND NOT EXISTS (SELECT 1 FROM copy WHERE copy.version = version.version)"
            )

        self._write(work, flush=False)

    def failed(self, leftover: Leftover, *, error: str, retry_at: datetime) -> None:
        """See `PlacementIndex.failed`."""
        table = "intent" if leftover.kind == "intent" else "copy"
        statement = (
            f"UPDATE {table} SET attempts = attempts + 1, error = ?, retry_at = ? WHERE version = ? AND target = ?"
        )
        values = (error, rows.stamp(retry_at), leftover.version, leftover.target)
        self._write(lambda db: db.execute(statement, values), flush=False)

    def scour(self) -> None:
        """See `PlacementIndex.scour`. The file itself is overwritten as it goes; here the log beside it is emptied."""
        with self._looking, self._lock:
            try:
                if self._view is not None:
                    self._view.close()
                    self._view = None
                (busy, *_) = self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                raise StateError(f"cannot write the state database `{self.path}`: {error}") from error
        if busy:
            raise StateError(
                f"another process is reading the state database `{self.path}`, so its log still holds what was "
                "forgotten; call it again"
            )

    def close(self) -> None:
        """See `PlacementIndex.close`."""
        with self._looking, self._lock:
            for connection in (self._view, self._handle):
                if connection is not None:
                    connection.close()
            self._handle = self._view = None

    def before_fork(self) -> None:
        """Wait until no thread uses a connection, and close them."""
        self._looking.acquire()
        self._lock.acquire()
        self.close()

    def after_fork(self) -> None:
        """Let threads use them again, in the parent as in the child."""
        self._lock.release()
        self._looking.release()


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
    stamp = rows.stamp(now)
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
    return rows.doomed(
        db.execute(
            "SELECT v.key, c.version, c.target, c.physical, c.sidecar, c.attempts, c.error FROM version v "
            f"JOIN copy c ON c.version = v.version WHERE v.state = 'doomed' {only}AND c.retry_at <= ? "
            "ORDER BY v.version LIMIT ?",
            (*keys, horizon, limit),
        ).fetchall()
    )


def _successor(prefix: str) -> str | None:
    """Return the least string above every string that begins with `prefix`, or None when there is none."""
    for end in range(len(prefix), 0, -1):
        point = ord(prefix[end - 1])
        if point < sys.maxunicode:
            following = AFTER_SURROGATES if point == BEFORE_SURROGATES else point + 1
            return prefix[: end - 1] + chr(following)
    return None
