"""The broker: one storage API over every configured target, with the policy in between."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self, cast

from sovbroker.compute import Compute, Journal, Providers, Secrets, Surroundings
from sovbroker.detect import Scan
from sovbroker.errors import AlreadyExists, ConfigError, Conflict, InvalidArgument, SovbrokerError
from sovbroker.forks import ForkLock
from sovbroker.keyrings import Keyrings
from sovbroker.labels import Label
from sovbroker.objects import ExitTicket, Folder, Info, ObjectFile, Stored, info_of
from sovbroker.placements import Leftover, Placement, PlacementIndex, Precondition
from sovbroker.policy import Decision, Policy
from sovbroker.ports import Bytes
from sovbroker.reading import open_object, open_range, row_of, ticket_of
from sovbroker.reindexing import Reindexed, reindex
from sovbroker.reloading import Reload, Reloader
from sovbroker.rewrapping import Rewrapped, rewrap
from sovbroker.router import Place, Stores, Targets
from sovbroker.scanning import scanner_of, seen
from sovbroker.shredding import Shredded, shred
from sovbroker.transfer.sweep import abandoned
from sovbroker.writer import Writer
from sovbroker.writing import Data, Flow, Progress, Request, Write, in_passing, remove_leftovers, size_of, tidy

__all__ = ["Broker", "Machines", "check_key"]

log = logging.getLogger("sovbroker")

KEY_MAX: Final = 1024
THREADS: Final = 8
SWEEP_BESIDE: Final = 8
SWEEP_EVERY: Final = 30.0


def check_key(key: str) -> str:
    """Return `key` when it can name an object; raise InvalidArgument, which says why, when it cannot.

    A key has 1 to 1,024 bytes of UTF-8, no control characters, and segments between `/` that are neither empty nor `.`
    or `..`.
    """
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without a type checker
        raise InvalidArgument(f"a key is text, not {type(key).__name__}")
    if not key:
        raise InvalidArgument("the key is empty; name the object")
    try:
        length = len(key.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"the key {key!r} is not valid Unicode") from error
    if length > KEY_MAX:
        raise InvalidArgument(f"the key `{key[:32]}…` has {length} bytes, and at most {KEY_MAX} are allowed")
    if any(ord(character) < ord(" ") or character == "\x7f" for character in key):
        raise InvalidArgument(f"the key {key!r} holds a control character")
    for segment in key.split("/"):
        if segment in {"", ".", ".."}:
            what = f"the segment `{segment}`" if segment else "an empty segment (`/` at an end, or `//`)"
            raise InvalidArgument(f"the key `{key}` holds {what}, which stores read in different ways; leave it out")
    return key


@dataclass(frozen=True, slots=True)
class Machines:
    """What the compute half of a broker works with: places, what is known of machines, and where secrets are kept."""

    providers: Providers
    journal: Journal
    deposit: Secrets | None = None


class Broker:
    """One storage API. Open it with `sovbroker.open`; it may be shared by threads, and survives a fork.

    Every method raises an error of `sovbroker.errors` and nothing else, save what a caller's own data or callback
    raises. A key is a path-like name, see `check_key`. A write is committed when the method returns; when it raises,
    nothing is.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        index: PlacementIndex,
        stores: Stores,
        keyrings: Keyrings,
        clock: Callable[[], datetime],
        reloader: Reloader | None = None,
        machines: Machines | None = None,
    ) -> None:
        self._reloader = reloader
        self._machines = machines
        self._compute: Compute | None = None
        self.reloaded: Reload | None = None
        """The outcome of the last look at the policy's files; None before the first one."""
        self._flow = Flow(policy, index, stores, keyrings, self._executor, clock)
        self._lock = ForkLock()
        self._reloading = ForkLock()
        self._pool: ThreadPoolExecutor | None = None
        self._next_sweep = 0.0
        self._pid = 0

    def __enter__(self) -> Self:
        """Return the broker itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Give back connections, threads and files. May be called twice."""
        with self._lock:
            pool, self._pool = (self._pool, None) if self._pid == os.getpid() else (None, None)
        if pool is not None:
            pool.shutdown()
        self._flow.spare.clear()
        self._flow.stores.close()
        self._flow.keyrings.close()
        if self._compute is not None:
            self._compute.close()
        self._flow.index.close()

    @property
    def policy(self) -> Policy:
        """The policy that decides, with its warnings."""
        return self._flow.policy

    def reload(self) -> Reload:
        """Take over the policy's file where it has changed, loads, is proved and passes its cases; say what came of it.

        Whatever is wrong, the policy that governs goes on. Raises ConfigError where the policy is no file.
        """
        if self._reloader is None:
            raise ConfigError("there is no policy file to reload: name one under `policy` in the configuration")
        with self._reloading:
            # One at a time: what governs is what the one before has left.
            self._flow.policy, outcome = self._reloader.attempt(self._flow.policy)
            self.reloaded = outcome
        if outcome.taken or outcome.why:
            log.log(logging.INFO if outcome.taken else logging.WARNING, "%s", outcome)
        return outcome

    def _reload_sometimes(self) -> None:
        """Look at the policy's files beside a write, where the configuration asks for it; never make the write wait."""
        if self._reloader is not None and self._reloader.due():
            threading.Thread(target=self.reload, name="sovbroker-reload", daemon=True).start()

    @property
    def places(self) -> Mapping[str, Place]:
        """The configured targets, by id."""
        return self._flow.stores.places

    @property
    def targets(self) -> Targets:
        """The configured targets, to be looked at and probed: `broker.targets.list()`, `broker.targets.probe()`."""
        return Targets(self._flow.stores)

    @property
    def compute(self) -> Compute:
        """Machines, placed by the same labels and the same policy: `broker.compute.launch(…)`. See `Compute`.

        Raises ConfigError where there is no place to keep what is known of them.
        """
        if self._machines is None:
            raise ConfigError("this broker has no place to keep what is known of machines")
        if self._compute is None:
            around = Surroundings(
                governing=lambda: self._flow.policy,
                index=self._flow.index,
                sites={name: place.target.site for name, place in self._flow.stores.places.items()},
                providers=self._machines.providers,
                journal=self._machines.journal,
                clock=self._flow.clock,
            )
            self._compute = Compute(around, deposit=self._machines.deposit)
        return self._compute

    @property
    def keys(self) -> Keyrings:
        """The configured key services: `broker.keys.status()`."""
        return self._flow.keyrings

    def _executor(self) -> Executor:
        with self._lock:
            if self._pool is None or self._pid != os.getpid():
                self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sovbroker")
                self._pid = os.getpid()
            return self._pool

    # --- writing

    def put(
        self,
        key: str,
        data: Data,
        *,
        label: str | Label | None = None,
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
        if_absent: bool = False,
        if_version: str | None = None,
        progress: Progress | None = None,
        deadline: float | None = None,
    ) -> Stored:
        """Store `data` (bytes-like, a binary file, an iterable of bytes, or a Path) under `key`.

        The object's label is the join of what the policy's rules say, of `label`, and of the label of the object that
        is replaced. `metadata` are texts by name, up to 64 KiB. With `if_absent` there must be no object, with
        `if_version` the current one must have that version. `progress` is called with the bytes sent and the size, if
        known. Data of any length is streamed in bounded memory.

        `deadline` is in seconds from now: no request to a provider waits beyond it, and what is left to be removed then
        is removed later. Without one, a request that is not answered is repeated for a minute at the most.

        Raises Refused when the policy allows no placement, AlreadyExists or Conflict, StoreError, KeyUnavailable, and
        InvalidArgument. Whatever data raises is raised as it is. In each case nothing was committed.
        """
        request = self._request(
            key,
            label=label,
            metadata=metadata,
            content_type=content_type,
            if_absent=if_absent,
            if_version=if_version,
            progress=progress,
            deadline=deadline,
            size=size_of(data),
        )
        return self._run(request, data)

    def writer(
        self,
        key: str,
        *,
        label: str | Label | None = None,
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
        if_absent: bool = False,
        if_version: str | None = None,
        progress: Progress | None = None,
        deadline: float | None = None,
    ) -> Writer:
        """Return a file object to write an object with; it commits on a clean close only. See `put`."""
        request = self._request(
            key,
            label=label,
            metadata=metadata,
            content_type=content_type,
            if_absent=if_absent,
            if_version=if_version,
            progress=progress,
            deadline=deadline,
        )

        def begin(scan: Scan | None) -> Write:
            return Write(self._flow, request if scan is None else replace(request, scan=scan))

        return Writer(begin, scanner_of(self._flow.policy, request))

    def copy(self, source: str, destination: str, *, label: str | Label | None = None) -> Stored:
        """Copy an object to another key: sealed anew, and labelled with the join of both keys' labels and `label`."""
        return self._derive(check_key(source), check_key(destination), label=label, operation="copy")

    def move(self, source: str, destination: str, *, label: str | Label | None = None) -> Stored:
        """Move an object to another key. One commit: at no moment there are both, or neither.

        Raises Conflict when the source is changed meanwhile.
        """
        return self._derive(check_key(source), check_key(destination), label=label, operation="move")

    def relabel(self, key: str, label: str | Label) -> Stored:
        """Raise the label of an object, which places and seals it anew. The new label is the join with its own.

        Raises Refused when `label` would lower it: derived and stored data keep the strictest label they met.
        """
        row = row_of(self._flow, check_key(key))
        lattice = self._flow.policy.lattice
        asked = lattice.parse(label) if isinstance(label, str) else label
        own = lattice.parse(row.label)
        if not lattice.dominates(asked, own) and lattice.dominates(own, asked):
            raise InvalidArgument(
                f"`{key}` is labelled `{own}`, and `{asked}` would lower it; relabel only raises a label"
            )
        return self._rewrite(row, row.key, label=asked, operation="relabel")

    def delete(self, key: str, *, if_version: str | None = None) -> None:
        """Remove an object, or keep it for as long as the policy retains it. Raises NotFound, or Conflict."""
        doomed = self._flow.index.remove(
            check_key(key), condition=Precondition(if_version=if_version), now=self._flow.clock()
        )
        tidy(self._flow, doomed)
        self._sweep_sometimes()

    def shred(self, key: str) -> Shredded:
        """Destroy an object: all of its versions and copies, and what the state database holds of it; say what is gone.

        Unlike after `delete`, every provider has been asked whether it is gone when this returns. Raises Conflict,
        having destroyed nothing, while the policy retains a version; NotFound; Unavailable when something is left,
        which nobody reads any more: call it again.
        """
        return shred(self._flow, check_key(key))

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, SovbrokerError]:
        """Remove objects; return the failures by key, empty when all went well."""
        failures: dict[str, SovbrokerError] = {}
        for key in keys:
            try:
                self.delete(key)
            except SovbrokerError as error:
                failures[key] = error
        return failures

    # --- reading

    def get(self, key: str, *, version: str | None = None) -> ObjectFile:
        """Open an object as a binary file with `info`: `read`, `readinto`, iteration, `seek`. Use it in a `with`.

        Nothing is given out before it is authenticated. When a copy is damaged or out of reach, the next copy of the
        row is read instead, and a warning is logged. Raises NotFound, Tampered, StoreError, KeyUnavailable.
        """
        return open_object(self._flow, check_key(key), version)

    def read(self, key: str, *, range: tuple[int, int] | None = None, version: str | None = None) -> bytes:  # noqa: A002 - HTTP's own word
        """Return an object's bytes, or those of `range` = (first, last), both inclusive, in one request.

        `last` may lie beyond the end. Raises InvalidArgument for a range that runs backwards or begins beyond the end,
        and what `get` raises.
        """
        if range is not None:
            first, last = range
            return open_range(self._flow, check_key(key), version, first=first, last=last)
        with self.get(key, version=version) as file:
            return file.read()

    def stat(self, key: str, *, version: str | None = None) -> Info:
        """Return what is known of an object, without asking a provider. Raises NotFound."""
        return info_of(row_of(self._flow, check_key(key), version))

    def exists(self, key: str) -> bool:
        """Whether there is an object under `key`."""
        return self._flow.index.current(check_key(key)) is not None

    def list(self, prefix: str = "", *, delimiter: str | None = None) -> Iterator[Info | Folder]:
        """Yield the objects whose keys begin with `prefix`, in byte order of keys.

        With `delimiter`, keys that hold it after the prefix are folded into one `Folder` each.
        """
        after = ""
        while True:
            folded = False
            for row in self._flow.index.scan(prefix, after=after):
                cut = -1 if not delimiter else row.key.find(delimiter, len(prefix))
                if cut < 0:
                    yield info_of(row)
                    continue
                folder = row.key[: cut + len(delimiter or "")]
                yield Folder(folder)
                # Jump over the folder's content instead of reading it.
                after, folded = folder + "\U0010ffff" * 4, True
                break
            if not folded:
                return

    def versions(self, key: str) -> Sequence[Info]:
        """Return every version of an object that can be read: the current one, then those retained, newest first."""
        return [info_of(row) for row in self._flow.index.versions(check_key(key))]

    # --- explaining

    def explain(self, key: str, *, label: str | Label | None = None, operation: str = "put") -> Decision:
        """Return the decision that `operation` would meet now, with a reason per rejected target. Changes nothing."""
        row = self._flow.index.current(check_key(key))
        return self._flow.policy.decide(
            key,
            label=label,
            metadata=None if row is None else row.metadata,
            stored=self._label_of(row),
            operation=operation,
            at=self._flow.clock(),
        )

    def exit_ticket(self, key: str, *, version: str | None = None, reveal_key: bool = False) -> ExitTicket:
        """Return everything that opens an object's copies without this library, its key included.

        Whoever holds the ticket reads the object, so `reveal_key=True` must be said.
        """
        if not reveal_key:
            raise InvalidArgument("an exit ticket holds the object's key in the clear; ask for it with reveal_key=True")
        return ticket_of(self._flow, row_of(self._flow, check_key(key), version))

    # --- upkeep

    def leftovers(self) -> Sequence[Leftover]:
        """Return what should be gone from the providers and is not: copies being removed, and writes not finished.

        What could not be removed is tried again beside later writes, and by `sweep`.
        """
        return self._flow.index.leftovers()

    def sweep(self) -> int:
        """Remove leftovers, and retained versions whose time is over; return how many copies are gone.

        Writes that another process may still be doing are left alone.
        """
        return self._sweep(limit=1000)

    def reindex(self) -> Reindexed:
        """Give every object that the configured targets hold its row again, where it has none; remove nothing.

        For the day on which the state database is lost. Reads the records of all objects, and every body in the clear.
        What was deleted and was still there comes back. Raises StoreError when a target cannot be listed.
        """
        return reindex(self._flow)

    def rewrap(self, *domains: str, progress: Progress | None = None) -> Rewrapped:
        """Wrap the data keys of `domains` (of all, where none is named) anew, under the current key of each.

        For the days after `Keyring.rotate`. No body moves, and no object is out of reach meanwhile. `progress` is told
        how many versions were looked at, and of how many. It may be cut off at any moment: called again, it goes on.
        What could not be brought under the current key is told by name; run one at a time.

        Raises InvalidArgument for an unknown domain, KeyUnavailable, StateError; a store's failures are in the outcome.
        """
        return rewrap(self._flow, domains, progress=progress)

    def _sweep(self, *, limit: int) -> int:
        now = self._flow.clock()
        self._flow.index.expire(now)
        due = self._flow.index.leftovers(due=now, limit=limit)
        dead = [item for item in due if item.kind != "intent" or item.attempts or abandoned(item, now=now)]
        return remove_leftovers(self._flow, dead)

    def _sweep_sometimes(self, deadline: float | None = None) -> None:
        """Try again, beside a write and now and then, to remove what could not be removed before."""
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP_EVERY
        try:
            with in_passing(deadline):
                self._sweep(limit=SWEEP_BESIDE)
        except SovbrokerError:
            log.warning("what is not needed any more is left for the next sweep", exc_info=True)

    # --- inner

    def _request(
        self,
        key: str,
        *,
        label: str | Label | None,
        metadata: Mapping[str, str] | None,
        content_type: str | None,
        if_absent: bool,
        if_version: str | None,
        progress: Progress | None,
        deadline: float | None,
        size: int | None = None,
    ) -> Request:
        """Check what can be checked before anything is decided or sent."""
        self._reload_sometimes()
        row = self._flow.index.current(check_key(key))
        if if_absent and row is not None:
            raise AlreadyExists(f"`{key}` exists (version {row.version})", key=key)
        if if_version is not None and (row is None or row.version != if_version):
            found = "it does not exist" if row is None else f"its version is {row.version}"
            raise Conflict(f"`{key}` is not at version {if_version}: {found}", key=key)
        return Request(
            key=key,
            label=label,
            stored=self._label_of(row),
            replaced="" if row is None else row.version,
            metadata=metadata,
            content_type=content_type,
            condition=Precondition(if_absent=if_absent, if_version=if_version),
            size=size,
            deadline=None if deadline is None else time.monotonic() + deadline,
            progress=progress,
        )

    def _label_of(self, row: Placement | None) -> Label | None:
        """Return the label that a stored object carries, in the words of the policy that holds now."""
        if row is None:
            return None
        try:
            return self._flow.policy.lattice.parse(row.label)
        except InvalidArgument as error:
            raise ConfigError(
                f"`{row.key}` is labelled `{row.label}`, which the policy does not know (any more): {error}; "
                "add it, or an alias for it, to the policy"
            ) from error

    def _run(self, request: Request, data: Data) -> Stored:
        with seen(self._flow.policy, request, data) as content:
            write = Write(self._flow, request if content.scan is None else replace(request, scan=content.scan))
            try:
                if isinstance(data, (bytes, bytearray, memoryview)):
                    stored = write.commit(cast("Bytes", data))
                else:
                    write.feed(content.data)
                    content.unchanged(request.key)
                    stored = write.commit()
            except BaseException as error:
                write.abort(error)
                raise
        self._sweep_sometimes(request.deadline)
        return stored

    def _derive(self, source: str, destination: str, *, label: str | Label | None, operation: str) -> Stored:
        if source == destination:
            raise InvalidArgument(f"`{source}` cannot be put onto itself; use relabel to seal it anew")
        return self._rewrite(row_of(self._flow, source), destination, label=label, operation=operation)

    def _rewrite(self, row: Placement, key: str, *, label: str | Label | None, operation: str) -> Stored:
        """Write the content of `row` under `key`, with at least the label that it has."""
        replaced = row if key == row.key else self._flow.index.current(key)
        labels = [found for found in (self._label_of(row), self._label_of(replaced)) if found is not None]
        request = Request(
            key=key,
            label=label,
            stored=self._flow.policy.lattice.join(labels),
            replaced="" if replaced is None else replaced.version,
            metadata=row.metadata,
            content_type=row.content_type,
            condition=Precondition(if_version=row.version) if key == row.key else Precondition(),
            source=(row.key, row.version) if operation == "move" else None,
            size=row.size,
            operation=operation,
        )
        with open_object(self._flow, row.key, row.version) as file:
            return self._run(request, file)
