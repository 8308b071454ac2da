"""Data keys wrapped anew under the current key of their domain: in the records beside the copies, then in the row.

A row follows its copies. So what a row says of its key, all of its copies say as well, or they say the newer key; a row
that is not done is found again by the next run, which is how a run that was cut off goes on. In between, a copy and its
row hold the same data key, wrapped twice, and a reader takes either. No body is read, sent or copied through here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Final

from sovbroker.envelope import Context, Opener, Record, Secret
from sovbroker.errors import InvalidArgument, SealError, StoreError, Unavailable
from sovbroker.forks import ForkLock
from sovbroker.guard import Guarded, Permit
from sovbroker.keys import DomainKey
from sovbroker.placements import CopyRow, Placement
from sovbroker.ports import Feature, Support
from sovbroker.transfer.outgoing import attempt
from sovbroker.writing import Flow, Progress

__all__ = ["Left", "Rewrapped", "rewrap"]

log = logging.getLogger("sovbroker")

BATCH: Final = 256
THREADS: Final = 8
GIVE_UP: Final = 3
"""After so many versions in a row for which a target did not answer, it is not asked again in this run."""


@dataclass(frozen=True, slots=True)
class Left:
    """Something that stays under an old key: a copy, by its name at its target, or a version where both are ""."""

    key: str
    version: str
    target: str
    name: str
    why: str

    def __str__(self) -> str:
        """Tell it in a line."""
        where = f" at {self.target} (`{self.name}`)" if self.target else ""
        return f"`{self.key}` @{self.version}{where}: {self.why}"

    def to_dict(self) -> dict[str, str]:
        """Return it as JSON types."""
        return {
            "key": self.key,
            "version": self.version,
            "target": self.target,
            "name": self.name,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """The outcome: how many versions are under the current key now, and everything that is not.

    `left` are the copies, and versions, that only an older key opens. `names` counts copies whose encrypted names only
    an older key reads, though their data keys are wrapped anew.
    """

    done: int
    left: tuple[Left, ...] = ()
    names: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing was left under an older key."""
        return not self.left

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {"done": self.done, "names": self.names, "left": [item.to_dict() for item in self.left]}

    def __str__(self) -> str:
        """Tell it in lines."""
        told = [f"{self.done} versions are under the current key of their domain, {len(self.left)} are left"]
        told += [f"left under the old key: {item}" for item in self.left]
        if self.names:
            told.append(f"{self.names} copies have names that only the old key reads; keep it")
        return "\n".join(told)


def rewrap(flow: Flow, domains: Sequence[str] = (), *, progress: Progress | None = None) -> Rewrapped:
    """Wrap anew what is under an older key of `domains`, of every configured keyring where none is named.

    `progress` is told how many versions were looked at, and of how many. Raises InvalidArgument for a domain that no
    keyring is configured for, KeyUnavailable where a keyring does not open, StateError.
    """
    known = flow.keyrings.services
    for name in domains:
        if name not in known:
            there = ", ".join(f"`{one}`" for one in known) or "none"
            raise InvalidArgument(f"there is no keyring `{name}` in the configuration; there is {there}")
    currents = [key for name in dict.fromkeys(domains or known) if (key := _current(flow, name)) is not None]
    total = sum(flow.index.count_outdated(key.domain, current=Record.beginning(key.kid)) for key in currents)
    done = seen = names = 0
    left: list[Left] = []
    with ThreadPoolExecutor(THREADS, thread_name_prefix="sovbroker-rewrap") as pool:
        for key in currents:
            desk = Desk(flow, key.domain)
            for batch in _batches(flow.index.outdated(key.domain, current=Record.beginning(key.kid))):
                results = list(pool.map(desk.rewrap, batch))
                # What cannot be read any more is neither done nor left: it is going, or gone.
                finished, unfinished = desk.commit(results)
                done += len(finished)
                names += sum(result.names for result in finished)
                left += [item for result in unfinished for item in result.left]
                seen += len(batch)
                if progress is not None:
                    progress(seen, max(seen, total))
    return Rewrapped(done, tuple(left), names)


def _current(flow: Flow, name: str) -> DomainKey | None:
    """Return the current key of a domain, as its file says now; None where it has none yet: then nothing is sealed."""
    keyring = flow.keyrings.keyring(name)
    keyring.reload()
    return keyring.domain(name) if any(found.name == name for found in keyring.status().domains) else None


def _batches(rows: Iterator[Placement]) -> Iterator[list[Placement]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one version. `record` is the new one, "" where the row stays as it is."""

    row: Placement
    record: str = ""
    left: tuple[Left, ...] = ()
    touched: tuple[CopyRow, ...] = ()
    names: int = 0


class OddError(Exception):
    """A copy cannot be reached by what stores offer; the text says why."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the versions of one domain are wrapped anew, by several threads."""

    flow: Flow
    domain: str
    _silent: Counter[str] = field(default_factory=Counter[str])
    _lock: ForkLock = field(default_factory=ForkLock)

    def rewrap(self, row: Placement) -> Result:
        """Wrap one version's data key anew, and bring the new record to its copies."""
        copies = [copy for copy in row.copies if copy.sealed]
        try:
            record = Record.decode(row.record)
            dek = self.flow.keyrings.by_kid(self.domain, record.kid).unwrap_dek(record.wrapped)
            # A record that opens nothing must not take the place of one that may.
            Opener(dek, Context(row.domain, row.key, row.version, row.label), record.head)
            fresh = self._adopted(copies, record, dek) if len(copies) > 1 else None
            if fresh is None:
                key = self._key()
                fresh = replace(record, kid=key.kid, wrapped=key.wrap_dek(dek))
        except SealError as error:
            return Result(row, left=(Left(row.key, row.version, "", "", str(error)),))
        left: list[Left] = []
        touched: list[CopyRow] = []
        for copy in copies:
            try:
                self._bring(copy, fresh)
            except (OddError, StoreError, InvalidArgument, SealError) as error:
                left.append(Left(row.key, row.version, copy.target, copy.physical, str(error)))
            else:
                touched.append(copy)
        names = sum(copy.names_encrypted for copy in copies)
        return Result(row, "" if left else fresh.encode(), tuple(left), tuple(touched), names)

    def commit(self, results: Sequence[Result]) -> tuple[Sequence[Result], Sequence[Result]]:
        """Give the rows their new records; return what is done, and what is not and can still be read."""
        ready = [result for result in results if result.record]
        changed = self.flow.index.replace_records([(result.row, result.record) for result in ready])
        done = [result for result, same in zip(ready, changed, strict=True) if same]
        others = [result for result, same in zip(ready, changed, strict=True) if not same]
        others += [result for result in results if not result.record]
        still = [result for result in others if self._readable(result.row)]
        for result in others:
            if result not in still:
                self._withdraw(result)
        return done, still

    def _readable(self, row: Placement) -> bool:
        """Whether a version can still be read: it may have been replaced or removed since."""
        return any(found.version == row.version for found in self.flow.index.versions(row.key))

    def _withdraw(self, result: Result) -> None:
        """Remove what was brought to copies that were removed at the same time, and may have come back by it."""
        for copy in result.touched:
            store = self.flow.stores.guarded(copy.target, Permit.READ)
            for name in filter(None, (copy.physical, copy.sidecar)):
                try:
                    attempt(partial(store.delete, name), deadline=None)
                except StoreError:
                    log.warning("`%s` of `%s` may be left at %s", name, result.row.key, copy.target, exc_info=True)

    def _bring(self, copy: CopyRow, record: Record) -> None:
        """Bring a record to one copy. Raises OddError where its store has no way for that, and what the store does."""
        store = self._store(copy)
        if self._silent[copy.target] >= GIVE_UP:
            raise OddError("the target did not answer several times, and was not asked again; run it again later")
        try:
            self._write(store, copy, record)
        except Unavailable:
            with self._lock:
                self._silent[copy.target] += 1
            raise
        with self._lock:
            self._silent[copy.target] = 0

    def _write(self, store: Guarded, copy: CopyRow, record: Record) -> None:
        if not store.capabilities[Feature.METADATA].usable:
            if not copy.sidecar:
                raise OddError("the store has no metadata, and there is no sidecar that could be replaced")
            body = record.sidecar()
            attempt(lambda: store.put(copy.sidecar, body, size=len(body)), deadline=None)
            return
        if not store.capabilities.get(Feature.SET_METADATA, Support.ABSENT).usable:
            raise OddError("the store cannot set metadata without the body; put the object again to renew its key")
        value, beside = record.split(store.limits.metadata_max)
        if beside is not None and not copy.sidecar:
            raise OddError("the record would need a sidecar, which this copy does not have; put the object again")
        metadata = {Record.NAME: value}
        attempt(lambda: store.set_metadata(copy.physical, metadata=metadata), deadline=None)

    def _adopted(self, copies: Iterable[CopyRow], record: Record, dek: Secret) -> Record | None:
        """Return the record that an earlier run brought to one of several copies, where there is one.

        So a version that could not be finished is not wrapped anew in every run, and all copies show the same record.
        """
        for copy in copies:
            try:
                store = self._store(copy)
                if self._silent[copy.target] >= GIVE_UP or not store.capabilities[Feature.METADATA].usable:
                    continue
                entry = attempt(partial(store.head, copy.physical), deadline=None).metadata.get(Record.NAME, "")
                found = Record.decode(entry)
                key = self._key()
                if found.kid == key.kid and found.head == record.head and key.unwrap_dek(found.wrapped) == dek:
                    return replace(record, kid=found.kid, wrapped=found.wrapped)
            except (OddError, StoreError, SealError):
                # What is wrong with this copy is told when the record is brought to it.
                continue
        return None

    def _key(self) -> DomainKey:
        """Return the current key, as young as the policy wants those to be under which something is sealed."""
        return self.flow.keyrings.domain(self.domain, within=self.flow.policy.book.limits.key_age)

    def _store(self, copy: CopyRow) -> Guarded:
        if copy.target not in self.flow.stores.places:
            raise OddError("the target is not in the configuration any more; add it, and run it again")
        # No new decision: nothing leaves but the record of an envelope that is there.
        return self.flow.stores.guarded(copy.target, Permit.HIDDEN if copy.names_encrypted else Permit.SEALED)
