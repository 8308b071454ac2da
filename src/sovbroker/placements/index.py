"""What a placements index promises.

A version of an object is written under names of its own and never changed, so the one transaction that inserts its row
and moves `current` to it *is* the commit: before it nothing has happened, after it everything has. What was begun is
recorded as an intent before the first byte leaves, so that a crash leaves only leftovers that are known.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

__all__ = [
    "CopyRow",
    "Durability",
    "Intent",
    "Leftover",
    "Placement",
    "PlacementIndex",
    "Precondition",
    "State",
    "new_version",
]


STAMP: Final = 6
"""Bytes of the milliseconds."""


def new_version(now: datetime, *, after: str = "") -> str:
    """Return a version id: 24 characters of base32hex (lower case) over 48 bits of UTC milliseconds and 72 random bits.

    Ids sort by time, to the millisecond, and always behind `after`, the id of the version that is replaced: by them
    alone the newest is known when the state is lost, whatever the clocks of the writers were.
    """
    stamp = int(now.timestamp() * 1000)
    if after:
        before = int.from_bytes(base64.b32hexdecode(after.upper())[:STAMP], "big")
        stamp = max(stamp, before + 1)
    return base64.b32hexencode(stamp.to_bytes(STAMP, "big") + os.urandom(9)).decode("ascii").lower()


class State(StrEnum):
    """The state of a version.

    `RETAINED`: replaced or deleted, and kept by the policy. `DOOMED`: its copies are being removed.
    """

    CURRENT = "current"
    RETAINED = "retained"
    DOOMED = "doomed"


class Durability(StrEnum):
    """What an acknowledged write of a new object survives: a `POWER` failure, or the death of the `PROCESS` alone.

    What replaces or removes something survives both.
    """

    POWER = "power"
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class CopyRow:
    """One copy of a version: the object `physical` at `target`.

    `sealed` says whether its body is an envelope; `sidecar` is the key of the object beside it that holds what did not
    fit the store's metadata, or "".
    """

    target: str
    physical: str
    sealed: bool
    names_encrypted: bool = False
    sidecar: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """One version of one object: the row that decides what can be read.

    `size` is the plaintext's, in bytes. `record` is the portable record of sealed copies (wrapped key, head, sealed
    metadata) as it stands at the providers, "" when no copy is sealed; `digest` is the SHA-256 of the plaintext where a
    copy lies in the clear, "" otherwise. `retain_until` is the first moment at which it may be removed.
    """

    key: str
    version: str
    label: str
    size: int
    created: datetime
    copies: tuple[CopyRow, ...]
    domain: str = ""
    record: str = ""
    digest: str = ""
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    decision: Mapping[str, object] = field(default_factory=dict[str, object])
    retain_until: datetime | None = None
    state: State = State.CURRENT

    @property
    def padded(self) -> bool:
        """Whether the sealed copies hold padding behind the plaintext: the decision that put them there says so."""
        return self.decision.get("padded") is True


@dataclass(frozen=True, slots=True)
class Intent:
    """One object that is about to be written: recorded before its first byte leaves.

    `owner` names the process that writes it, `upload` the multipart upload once there is one.
    """

    version: str
    key: str
    target: str
    physical: str
    owner: str
    created: datetime
    upload: str = ""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something at a provider that no row needs: a copy of a doomed version, or an unfinished intent.

    `attempts` counts failed removals, `error` is the last failure's message.
    """

    kind: str
    key: str
    version: str
    target: str
    physical: str
    upload: str = ""
    sidecar: str = ""
    attempts: int = 0
    error: str = ""
    owner: str = ""
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must still be so at the commit. `if_version`: the current version's id; `if_absent`: there is none."""

    if_absent: bool = False
    if_version: str | None = None


class PlacementIndex(Protocol):
    """The port behind which the placements live. Every method is one transaction; StateError when it cannot be done."""

    def current(self, key: str) -> Placement | None:
        """Return the current version of `key`, or None."""
        ...

    def versions(self, key: str) -> Sequence[Placement]:
        """Return every version of `key` that can be read, newest first."""
        ...

    def scan(self, prefix: str = "", *, after: str = "") -> Iterator[Placement]:
        """Yield the current versions of the keys under `prefix` that sort after `after`, in byte order of keys."""
        ...

    def outdated(self, domain: str, *, current: str) -> Iterator[Placement]:
        """Yield the versions that can be read, and were sealed in `domain`, whose record does not begin with `current`.

        What is changed meanwhile may be left out, or come as it was.
        """
        ...

    def count_outdated(self, domain: str, *, current: str) -> int:
        """Return how many there are."""
        ...

    def replace_records(self, changes: Sequence[tuple[Placement, str]]) -> Sequence[bool]:
        """Give versions other records; tell of each whether it could still be read, and had the record that it had."""
        ...

    def begin(self, intents: Sequence[Intent]) -> None:
        """Record what is about to be written."""
        ...

    def note_upload(self, version: str, target: str, upload: str) -> None:
        """Record the id of the multipart upload of an intent."""
        ...

    def commit(
        self, placement: Placement, *, condition: Precondition, source: tuple[str, str] | None = None, now: datetime
    ) -> Sequence[Leftover]:
        """Make `placement` current, and remove its intents; return the copies that are doomed by it.

        The version that it replaces becomes doomed, or retained until its own `retain_until`; so does `source`, the key
        and version that a move takes away. Raises AlreadyExists or Conflict, and changes nothing, when `condition` no
        longer holds or `source` is no longer current.
        """
        ...

    def remove(self, key: str, *, condition: Precondition, now: datetime) -> Sequence[Leftover]:
        """Delete the current version of `key`; return what is doomed.

        Raises NotFound or Conflict, and changes nothing.
        """
        ...

    def expire(self, now: datetime) -> int:
        """Doom the retained versions whose time is over; return how many."""
        ...

    def leftovers(self, *, due: datetime | None = None, limit: int = 1000) -> Sequence[Leftover]:
        """Return what should be removed at providers; with `due`, only what may be tried (again) at that time."""
        ...

    def unfinished(self, version: str) -> Sequence[Leftover]:
        """Return the intents of one version; none once it is committed."""
        ...

    def removed(self, leftovers: Sequence[Leftover]) -> None:
        """Forget leftovers that are gone. A doomed version without copies is forgotten with them."""
        ...

    def failed(self, leftover: Leftover, *, error: str, retry_at: datetime) -> None:
        """Record that a leftover could not be removed, and when to try again."""
        ...

    def scour(self) -> None:
        """Leave nothing in the database's files of what was forgotten. Raises StateError when that cannot be done."""
        ...

    def close(self) -> None:
        """Close the database. May be called twice."""
        ...
