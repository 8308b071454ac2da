"""One write, from the decision to the commit.

Decide, record the intent, seal, send to every chosen target, commit one row, remove what the row replaced. Until the
row is committed nothing has happened: whatever fails before, the old version still reads, and what had arrived at a
provider is removed or known.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, cast

from sovbroker.detect import Scan
from sovbroker.envelope import ClearRecord, Context, Record, Sealer, new_dek, seal_metadata
from sovbroker.errors import InvalidArgument, Refused, SealError, SovbrokerError, Unavailable
from sovbroker.guard import Permit
from sovbroker.keyrings import Keyrings
from sovbroker.keys import DomainKey
from sovbroker.labels import Label
from sovbroker.objects import ObjectFile, Stored, copy_of
from sovbroker.placements import (
    CopyRow,
    Intent,
    Leftover,
    Placement,
    PlacementIndex,
    Precondition,
    new_version,
)
from sovbroker.policy import Choice, Decision, Policy
from sovbroker.ports import Bytes, Feature, waiting
from sovbroker.router import Stores
from sovbroker.transfer.outgoing import Destination, Entry, Outgoing, attempt, sidecar_name
from sovbroker.transfer.sweep import GRACE, clear_away, owner

__all__ = ["Data", "Flow", "Progress", "Request", "Write"]

Data = Bytes | BinaryIO | Iterable[bytes] | Path
Progress = Callable[[int, int | None], None]

log = logging.getLogger("sovbroker")

METADATA_MAX: Final = 64 << 10
UNSEEN: Final = Scan({})
IN_PASSING: Final = 10.0


ANY: Final = Precondition()


@dataclass(slots=True)
class Flow:
    """What every operation works with: the policy, the placements, the stores, the keys, the threads and the clock.

    `policy` is replaced when a changed one is taken over: what decides reads it once.
    `spare` are buffers for ciphertext, a few parts at the most, that writes hand on to one another.
    """

    policy: Policy
    index: PlacementIndex
    stores: Stores
    keyrings: Keyrings
    pool: Callable[[], Executor]
    clock: Callable[[], datetime]
    spare: list[bytearray] = field(default_factory=list[bytearray], repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks to be written. `stored` is the label that the data carries already, if any.

    `replaced` is the version that is current now, "" for none. `source` is the key and version that a move takes away;
    `deadline` a time of `time.monotonic`; `scan` what was found in the content, None where the policy asks for nothing.
    """

    key: str
    label: Label | str | None = None
    stored: Label | None = None
    metadata: Mapping[str, str] | None = None
    content_type: str | None = None
    condition: Precondition = ANY
    replaced: str = ""
    source: tuple[str, str] | None = None
    size: int | None = None
    deadline: float | None = None
    progress: Progress | None = None
    operation: str = "put"
    scan: Scan | None = None


class Write:
    """One version being written. `feed` and then `commit`, or `abort`.

    Creating it decides, and raises Refused before anything is sent or recorded.
    """

    def __init__(self, flow: Flow, request: Request) -> None:
        self._flow = flow
        self._request = request
        self._now = flow.clock()
        self._metadata = checked_metadata(request.metadata)
        policy = flow.policy
        self.decision = policy.decide(
            request.key,
            label=request.label,
            metadata=self._metadata,
            stored=request.stored,
            operation=request.operation,
            # A policy that was taken over since the content was looked at may ask for more: then nothing was found yet,
            # which joins the default.
            scan=UNSEEN if request.scan is None else request.scan,
            at=self._now,
        )
        if not self.decision.allowed:
            raise Refused(self.decision)
        self._label = str(self.decision.label)
        self._version = new_version(self._now, after=request.replaced)
        self._seal(policy.book.limits.key_age)
        self._destinations = [self._destination(choice) for choice in self.decision.targets]
        flow.index.begin([self._intent(destination) for destination in self._destinations])
        self._outgoing = Outgoing(
            self._destinations,
            sealer=self._sealer,
            entry=self._entry,
            note_upload=lambda d, upload: flow.index.note_upload(self._version, d.target, upload),
            pool=flow.pool(),
            size=request.size,
            deadline=request.deadline,
            progress=request.progress,
            spare=flow.spare,
            pad=self.decision.pad,
        )

    def _seal(self, key_age: timedelta | None) -> None:
        """Make a fresh key for this version, when any copy is sealed, under a domain key that is not older."""
        self._domain = ""
        self._key: DomainKey | None = None
        self._sealer: Sealer | None = None
        self._record: Record | None = None
        sealed = [choice for choice in self.decision.targets if choice.mode.sealed]
        if not sealed:
            return
        self._domain = self._holder(sealed)
        self._key = self._flow.keyrings.domain(self._domain, within=key_age)
        self._context = Context(domain=self._domain, key=self._request.key, version=self._version, label=self._label)
        self._dek = new_dek()
        self._wrapped = self._key.wrap_dek(self._dek)
        self._sealer = Sealer(self._dek, self._context)

    def _holder(self, sealed: list[Choice]) -> str:
        """Return the key service that may hold the key of every sealed copy: they share one ciphertext."""
        holders = [name for name in sealed[0].keys if all(name in choice.keys for choice in sealed)]
        if not holders:
            raise Refused(
                self.decision,
                "no configured key service may hold the keys of all chosen copies; add one that meets every zone under "
                f"`keys`\n{self.decision}",
            )
        return holders[0]

    def _destination(self, choice: Choice) -> Destination:
        store = self._flow.stores.chosen(choice)
        name = self._request.key
        if choice.mode.names_encrypted:
            name = self._hidden(name, choice)
        physical = f"{name}@{self._version}"
        longest = sidecar_name(physical).encode()
        if len(longest) > store.limits.key_max:
            raise InvalidArgument(
                f"`{self._request.key}` would need {len(longest)} bytes as a name at {choice.target}, which allows "
                f"{store.limits.key_max}; use a shorter key"
            )
        part = max(map(len, longest.split(b"/")))
        if part > store.limits.segment_max:
            raise InvalidArgument(
                f"`{self._request.key}` would need {part} bytes between two slashes of its name at {choice.target}, "
                f"which allows {store.limits.segment_max}; use shorter parts"
            )
        return Destination(choice.target, store, physical, sealed=choice.mode.sealed)

    def _hidden(self, key: str, choice: Choice) -> str:
        """Return the encrypted name. Raises InvalidArgument for a key with a part that is too long to be hidden."""
        if self._key is None:
            raise SealError("a hidden name was asked for, and there is no key")
        try:
            return self._key.names().encrypt(key)
        except InvalidArgument as error:
            raise InvalidArgument(
                f"the name of `{key}` cannot be hidden at {choice.target}: {error}; use shorter parts"
            ) from error

    def _intent(self, destination: Destination) -> Intent:
        return Intent(
            version=self._version,
            key=self._request.key,
            target=destination.target,
            physical=destination.physical,
            owner=owner(),
            created=self._now,
        )

    def _facts(self, size: int | None) -> dict[str, object]:
        """Return what `reindex` needs to make this version's row again from what a provider holds."""
        return {
            "key": self._request.key,
            "version": self._version,
            "label": self._label,
            "size": size,
            "created": self._now.isoformat(),
            "content_type": self._request.content_type,
            "metadata": dict(self._metadata),
            "targets": [choice.target for choice in self.decision.targets],
            **({} if self._retain_until is None else {"retain_until": self._retain_until.isoformat()}),
        }

    @property
    def _retain_until(self) -> datetime | None:
        """The first moment at which this version may be removed, where the policy retains it."""
        retain = self.decision.retain
        return None if retain is None or retain.min is None else self._now + retain.min

    def _sealed_record(self, size: int | None) -> Record:
        """Return the record of the sealed copies: made once, so that all copies carry the same one."""
        if self._sealer is None or self._key is None:
            raise SealError("a sealed copy was asked for, and there is no key")
        if self._record is None:
            self._record = Record(
                kid=self._key.kid,
                wrapped=self._wrapped,
                head=self._sealer.head,
                metadata=seal_metadata(self._dek, self._context, self._facts(size) | padded(self.decision)),
            )
        return self._record

    def _entry(self, destination: Destination, size: int | None) -> Entry:
        record = self._sealed_record(size) if destination.sealed else ClearRecord(self._facts(size))
        if not destination.store.capabilities[Feature.METADATA].usable:
            return Entry({}, record.sidecar())
        value, sidecar = record.split(destination.store.limits.metadata_max)
        return Entry({Record.NAME: value}, sidecar)

    def feed(self, data: Data) -> None:
        """Send data of any kind that `put` takes."""
        if isinstance(data, (bytes, bytearray, memoryview)):
            self._outgoing.write(cast("Bytes", data))
        elif isinstance(data, Path):
            with data.open("rb") as file:
                self._outgoing.pull(file)
        else:
            self._stream(data)

    def _stream(self, data: object) -> None:
        """Send what a binary file or an iterable of bytes gives."""
        if isinstance(data, (str, io.TextIOBase)):
            raise InvalidArgument("data is text; encode it, open the file with mode `rb`, or give a Path")
        if hasattr(data, "read"):
            self._outgoing.pull(cast("BinaryIO", data))
        elif isinstance(data, Iterable):
            for piece in cast("Iterable[bytes]", data):
                self._outgoing.write(piece)
        else:
            raise InvalidArgument(
                f"data is bytes, a binary file, an iterable of bytes or a Path, not {type(data).__name__}"
            )

    def commit(self, last: Bytes = b"") -> Stored:
        """Send `last` and what is left, commit the row, and remove what it replaced."""
        sent = self._outgoing.finish(last)
        copies = tuple(
            CopyRow(
                target=d.target,
                physical=d.physical,
                sealed=d.sealed,
                names_encrypted=choice.mode.names_encrypted,
                sidecar=sidecar_name(d.physical) if d.target in sent.sidecars else "",
            )
            for d, choice in zip(self._destinations, self.decision.targets, strict=True)
        )
        placement = Placement(
            key=self._request.key,
            version=self._version,
            label=self._label,
            size=sent.size,
            created=self._now,
            copies=copies,
            domain=self._domain,
            record="" if self._sealer is None else self._sealed_record(sent.size).encode(),
            digest=sent.digest,
            content_type=self._request.content_type,
            metadata=self._metadata,
            decision=brief(self.decision),
            retain_until=self._retain_until,
        )
        self._retain(placement)
        doomed = self._flow.index.commit(
            placement, condition=self._request.condition, source=self._request.source, now=self._now
        )
        tidy(self._flow, doomed, deadline=self._request.deadline)
        return Stored(
            key=placement.key,
            version=placement.version,
            label=placement.label,
            size=placement.size,
            copies=tuple(copy_of(row) for row in copies),
            decision=self.decision,
        )

    def _retain(self, placement: Placement) -> None:
        """Have the stores that can do so retain the copies for as long as the policy does, before there is a row.

        A row that promises what no store was told would be worse than a copy without a row that stays too long.
        """
        until = placement.retain_until
        if until is None or until <= self._now:
            return
        for destination, row in zip(self._destinations, placement.copies, strict=True):
            store = destination.store
            if store.capabilities[Feature.RETENTION].usable:
                for name in filter(None, (row.physical, row.sidecar)):
                    attempt(partial(store.retain, name, until=until), deadline=self._request.deadline)

    def abort(self, error: BaseException | None = None) -> None:
        """Undo. What had arrived is removed; what cannot be, or may still arrive, stays known.

        The index tells what is unfinished: after a commit, even one whose answer was lost, that is nothing.
        """
        self._outgoing.abort()
        late = self._flow.clock() + GRACE if isinstance(error, Unavailable) else None
        try:
            unfinished = self._flow.index.unfinished(self._version)
        except SovbrokerError:
            log.warning("an unfinished write of `%s` is left for the next sweep", self._request.key, exc_info=True)
        else:
            tidy(self._flow, unfinished, keep_until=late, deadline=self._request.deadline)


def tidy(
    flow: Flow, leftovers: Iterable[Leftover], *, keep_until: datetime | None = None, deadline: float | None = None
) -> None:
    """Remove leftovers after an outcome that stands: a failure here is logged, and left to the next sweep."""
    try:
        with in_passing(deadline):
            remove_leftovers(flow, leftovers, keep_until=keep_until)
    except SovbrokerError:
        log.warning("what is not needed any more is left for the next sweep", exc_info=True)


def in_passing(deadline: float | None = None) -> AbstractContextManager[None]:
    """Do not make a call wait for what it does beside its work: until `deadline`, and not more than a few seconds."""
    soon = time.monotonic() + IN_PASSING
    return waiting(deadline=soon if deadline is None else min(soon, deadline), repeats=True)


def remove_leftovers(flow: Flow, leftovers: Iterable[Leftover], *, keep_until: datetime | None = None) -> int:
    """Remove leftovers from the targets that are configured; return how many are gone for good."""
    known = [
        (leftover, flow.stores.guarded(leftover.target, Permit.READ))
        for leftover in leftovers
        if leftover.target in flow.stores.places
    ]
    return clear_away(flow.index, known, now=flow.clock(), keep_until=keep_until)


def checked_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return a copy of user metadata. Raises InvalidArgument when it is not text or longer than 64 KiB together."""
    checked: dict[str, str] = {}
    for name, value in (metadata or {}).items():
        if not name or any(not isinstance(text, str) for text in (name, value)):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without a type checker
            raise InvalidArgument(f"metadata are texts by non-empty names; `{name!r}: {value!r}` is not")
        checked[name] = value
    try:
        size = sum(len(name.encode()) + len(value.encode()) for name, value in checked.items())
    except UnicodeEncodeError as error:
        raise InvalidArgument("metadata must be valid Unicode") from error
    if size > METADATA_MAX:
        raise InvalidArgument(
            f"metadata take {size} bytes, and at most {METADATA_MAX} are allowed; put them in an object"
        )
    return checked


def brief(decision: Decision) -> dict[str, object]:
    """Return what a row keeps of its decision: enough to say later by which rules and on which basis it lies there."""
    return {
        "rules": list(decision.rules),
        "targets": {choice.target: str(choice.mode) for choice in decision.targets},
        "basis": list(decision.basis),
        "waiver": decision.waiver,
        "policy": decision.policy,
        "catalogue": decision.catalogue,
        **padded(decision),
    }


def padded(decision: Decision) -> dict[str, object]:
    """Return what rows and sealed records say of padding: nothing where there is none, as in all that are older."""
    return {"padded": True} if decision.pad else {}


def size_of(data: Data) -> int | None:
    """Return the size of data in bytes where it can be told beforehand, without reading any of it."""
    match data:
        case bytes() | bytearray() | memoryview():
            return memoryview(data).nbytes
        case io.BytesIO():
            return max(0, data.getbuffer().nbytes - data.tell())
        case ObjectFile():
            return max(0, data.info.size - data.tell())
        case Path():
            return _regular(data.stat())
        case io.FileIO() | io.BufferedReader(raw=io.FileIO()) | io.BufferedRandom(raw=io.FileIO()):
            # What is buffered over anything else, such as a decompressor, is as long as nobody knows.
            return _left(data)
        case _:
            return None


def _left(file: io.FileIO | io.BufferedReader | io.BufferedRandom) -> int | None:
    """Return how many bytes of a file are still to come."""
    try:
        size = _regular(os.fstat(file.fileno()))
        return None if size is None else max(0, size - file.tell())
    except (OSError, ValueError):
        return None


def _regular(found: os.stat_result) -> int | None:
    """Return the size of a file that lies on a disk; a pipe has none."""
    return found.st_size if stat.S_ISREG(found.st_mode) else None
