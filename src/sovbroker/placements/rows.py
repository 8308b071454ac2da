"""Rows of the state database, from and to what they mean."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from sovbroker.placements.index import CopyRow, Leftover, Placement, State

__all__ = ["COLUMNS", "SCHEMA", "SCHEMA_VERSION", "doomed", "intents", "moment", "placement", "row", "stamp"]

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
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def row(found: Placement) -> tuple[object, ...]:
    """Return what stands under `COLUMNS` for a placement that becomes current."""
    return (
        found.key,
        found.version,
        State.CURRENT,
        found.label,
        found.size,
        stamp(found.created),
        found.domain,
        found.record,
        found.digest,
        found.content_type,
        _compact(found.metadata),
        _compact(found.decision),
        None if found.retain_until is None else stamp(found.retain_until),
    )


def placement(db: sqlite3.Connection, found: tuple[object, ...]) -> Placement:
    """Return the placement of a row of `COLUMNS`, with its copies."""
    key, version, state, label, size, created, domain, record, digest, content_type, metadata, decision, retain = found
    copies = db.execute(
        "SELECT target, physical, sealed, names_encrypted, sidecar FROM copy WHERE version = ? ORDER BY place",
        (version,),
    ).fetchall()
    return Placement(
        key=str(key),
        version=str(version),
        label=str(label),
        size=int(str(size)),
        created=moment(str(created)),
        copies=tuple([CopyRow(t, p, bool(s), bool(n), side) for t, p, s, n, side in copies]),
        domain=str(domain),
        record=str(record),
        digest=str(digest),
        content_type=None if content_type is None else str(content_type),
        metadata=json.loads(str(metadata)),
        decision=json.loads(str(decision)),
        retain_until=None if retain is None else moment(str(retain)),
        state=State(str(state)),
    )


def doomed(found: Iterable[tuple[str, str, str, str, str, int, str]]) -> list[Leftover]:
    """Return the copies that rows of (key, version, target, physical, sidecar, attempts, error) speak of."""
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
        for key, version, target, physical, sidecar, attempts, error in found
    ]


def intents(db: sqlite3.Connection, where: str, *values: object) -> list[Leftover]:
    """Return the intents that meet a condition."""
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
            created=moment(created),
        )
        for key, version, target, physical, upload, attempts, error, owner, created in rows
    ]


def stamp(when: datetime) -> str:
    """Write a time as UTC with microseconds, so that text order is time order."""
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def moment(text: str) -> datetime:
    """Read what `stamp` wrote. Raises ValueError for anything else."""
    if not text.endswith("Z"):
        raise ValueError(f"`{text}` is no time in UTC")
    return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)
