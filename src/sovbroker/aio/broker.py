"""The broker with every method awaitable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final, Self, TypeVar, cast
from weakref import WeakSet

from sovbroker.aio.calls import THREADS, Halt, Threads
from sovbroker.aio.files import AsyncFile, AsyncWriter, rest_of
from sovbroker.aio.halting import HALT, HaltingBroker, watched
from sovbroker.aio.machines import AsyncCompute
from sovbroker.aio.sources import AsyncData, feed, is_async
from sovbroker.broker import Broker
from sovbroker.errors import InvalidArgument, SovbrokerError
from sovbroker.forks import ForkLock
from sovbroker.keyrings import Keyrings
from sovbroker.keys import KeyringStatus
from sovbroker.labels import Label
from sovbroker.objects import ExitTicket, Folder, Info, ObjectFile, Stored
from sovbroker.placements import Leftover
from sovbroker.policy import Decision, Policy
from sovbroker.probing import Probe
from sovbroker.reindexing import Reindexed
from sovbroker.reloading import Reload
from sovbroker.rewrapping import Rewrapped
from sovbroker.router import Place, Targets
from sovbroker.shredding import Shredded
from sovbroker.writer import Writer
from sovbroker.writing import Data, Progress

__all__ = ["AsyncBroker", "AsyncKeys"]

PAGE: Final = 500

T = TypeVar("T")


class AsyncBroker:
    """A broker for coroutines. Open it with `sovbroker.aio.open`, or put it over a `Broker`, which it then closes.

    Its methods are those of `Broker`, with the same arguments, outcomes and errors, to be awaited. Tasks, threads and
    event loops may share it. A cancelled call raises CancelledError when it is certain that nothing is committed, and
    returns its result when it was committed before. At most `threads` calls run at the same time.
    """

    def __init__(self, broker: Broker, *, threads: int | Threads = THREADS) -> None:
        self._broker = HaltingBroker(broker)
        self._threads = Threads(threads) if isinstance(threads, int) else threads
        self._writers: WeakSet[Writer] = WeakSet()
        self._lock = ForkLock()

    async def __aenter__(self) -> Self:
        """Return the broker itself."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Wait for the calls that were made, abort what writers have not committed, and close. May be called twice."""
        await self._threads.close(self._close)

    def _close(self) -> None:
        with self._lock:
            writers = [*self._writers]
        for writer in writers:
            writer.abort()
        self._broker.close()

    @property
    def policy(self) -> Policy:
        """The policy that decides, with its warnings."""
        return self._broker.policy

    @property
    def reloaded(self) -> Reload | None:
        """The outcome of the last look at the policy's files; None before the first one."""
        return self._broker.reloaded

    async def reload(self) -> Reload:
        """Take over the policy's file where it has changed. See `Broker.reload`."""
        return await self._change(self._broker.reload)

    @property
    def places(self) -> Mapping[str, Place]:
        """The configured targets, by id."""
        return self._broker.places

    @property
    def targets(self) -> AsyncTargets:
        """The configured targets, to be looked at: `broker.targets.list()`, `await broker.targets.probe()`."""
        return AsyncTargets(self._broker.targets, self._threads)

    @property
    def keys(self) -> AsyncKeys:
        """The configured key services: `await broker.keys.status()`."""
        return AsyncKeys(self._broker.keys, self._threads)

    @property
    def compute(self) -> AsyncCompute:
        """Machines, placed by the same labels and the same policy: `await broker.compute.launch(…)`."""
        return AsyncCompute(self._broker.compute, self._threads)

    # --- writing

    async def put(
        self,
        key: str,
        data: AsyncData,
        *,
        label: str | Label | None = None,
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
        if_absent: bool = False,
        if_version: str | None = None,
        progress: Progress | None = None,
        deadline: float | None = None,
    ) -> Stored:
        """Store `data` under `key`. See `Broker.put`; an async iterable of bytes and an async file are taken as well.

        `progress` is called in the event loop. What it raises goes to the loop's exception handler, and stops nothing.
        """
        if is_async(data):
            async with self.writer(
                key,
                label=label,
                metadata=metadata,
                content_type=content_type,
                if_absent=if_absent,
                if_version=if_version,
                progress=progress,
                deadline=deadline,
            ) as writer:
                await feed(data, writer.write)
            if writer.stored is None:
                raise InvalidArgument(f"the broker was closed before `{key}` was committed; nothing is stored")
            return writer.stored
        told = in_loop(progress)
        plain = cast("Data", data)
        return await self._change(
            lambda: self._broker.put(
                key,
                plain,
                label=label,
                metadata=metadata,
                content_type=content_type,
                if_absent=if_absent,
                if_version=if_version,
                progress=told,
                deadline=deadline,
            )
        )

    @asynccontextmanager
    async def writer(
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
    ) -> AsyncGenerator[AsyncWriter]:
        """Open a file to write an object with: `async with`, whose clean end commits. See `put`."""
        halt = Halt()
        told = watched(halt, in_loop(progress))

        def begin() -> Writer:
            writer = self._broker.writer(
                key,
                label=label,
                metadata=metadata,
                content_type=content_type,
                if_absent=if_absent,
                if_version=if_version,
                progress=told,
                deadline=deadline,
            )
            with self._lock:
                self._writers.add(writer)
            return writer

        inner = await self._threads.settle(begin, halt=halt, undo=Writer.abort)
        writer = AsyncWriter(inner, self._threads, halt)
        try:
            yield writer
            await writer.commit()
        except BaseException:
            await writer.abort()
            raise

    async def copy(self, source: str, destination: str, *, label: str | Label | None = None) -> Stored:
        """Copy an object to another key. See `Broker.copy`."""
        return await self._change(lambda: self._broker.copy(source, destination, label=label))

    async def move(self, source: str, destination: str, *, label: str | Label | None = None) -> Stored:
        """Move an object to another key, in one commit. See `Broker.move`."""
        return await self._change(lambda: self._broker.move(source, destination, label=label))

    async def relabel(self, key: str, label: str | Label) -> Stored:
        """Raise the label of an object. See `Broker.relabel`."""
        return await self._change(lambda: self._broker.relabel(key, label))

    async def delete(self, key: str, *, if_version: str | None = None) -> None:
        """Remove an object. See `Broker.delete`."""
        await self._change(lambda: self._broker.delete(key, if_version=if_version))

    async def delete_many(self, keys: Sequence[str]) -> Mapping[str, SovbrokerError]:
        """Remove objects; return the failures by key. When cancelled, those that were removed by then are gone."""
        return await self._change(lambda: self._broker.delete_many(keys))

    # --- reading

    @asynccontextmanager
    async def get(self, key: str, *, version: str | None = None) -> AsyncGenerator[AsyncFile]:
        """Open an object as a file to be awaited: `async with`. See `Broker.get`."""

        def late(future: Future[ObjectFile]) -> None:
            if not future.cancelled() and future.exception() is None:
                self._threads.soon(future.result().close)

        file = await self._threads.read(lambda _: self._broker.get(key, version=version), abandoned=late)
        opened = AsyncFile(file, self._threads)
        try:
            yield opened
        finally:
            await opened.close()

    async def read(self, key: str, *, range: tuple[int, int] | None = None, version: str | None = None) -> bytes:  # noqa: A002 - HTTP's own word
        """Return an object's bytes, or those of `range` = (first, last), both inclusive. See `Broker.read`."""

        def whole_or_part(halt: Halt) -> bytes:
            if range is not None:
                return self._broker.read(key, range=range, version=version)
            with self._broker.get(key, version=version) as file:
                return rest_of(file, halt)

        return await self._threads.read(whole_or_part)

    async def stat(self, key: str, *, version: str | None = None) -> Info:
        """Return what is known of an object, without asking a provider. Raises NotFound."""
        return await self._threads.read(lambda _: self._broker.stat(key, version=version))

    async def exists(self, key: str) -> bool:
        """Whether there is an object under `key`."""
        return await self._threads.read(lambda _: self._broker.exists(key))

    async def list(self, prefix: str = "", *, delimiter: str | None = None) -> AsyncIterator[Info | Folder]:
        """Yield the objects whose keys begin with `prefix`: `async for`. See `Broker.list`.

        They are fetched in pages of 500, at most one ahead of what is used.
        """
        found = self._broker.list(prefix, delimiter=delimiter)

        def page() -> tuple[Info | Folder, ...]:
            return tuple(islice(found, PAGE))

        ahead = self._threads.submit(page)
        try:
            while entries := await asyncio.wrap_future(ahead):
                if len(entries) == PAGE:
                    ahead = self._threads.submit(page)
                for entry in entries:
                    yield entry
                if len(entries) < PAGE:
                    return
        finally:
            ahead.cancel()

    async def versions(self, key: str) -> Sequence[Info]:
        """Return every version of an object that can be read, newest first. See `Broker.versions`."""
        return await self._threads.read(lambda _: self._broker.versions(key))

    # --- explaining

    async def explain(self, key: str, *, label: str | Label | None = None, operation: str = "put") -> Decision:
        """Return the decision that `operation` would meet now. See `Broker.explain`."""
        return await self._threads.read(lambda _: self._broker.explain(key, label=label, operation=operation))

    async def exit_ticket(self, key: str, *, version: str | None = None, reveal_key: bool = False) -> ExitTicket:
        """Return everything that opens an object's copies without this library. See `Broker.exit_ticket`."""
        return await self._threads.read(lambda _: self._broker.exit_ticket(key, version=version, reveal_key=reveal_key))

    # --- upkeep

    async def leftovers(self) -> Sequence[Leftover]:
        """Return what should be gone from the providers and is not. See `Broker.leftovers`."""
        return await self._threads.read(lambda _: self._broker.leftovers())

    async def sweep(self) -> int:
        """Remove leftovers, and retained versions whose time is over; return how many copies are gone."""
        return await self._change(self._broker.sweep)

    async def shred(self, key: str) -> Shredded:
        """Destroy an object, and say what is gone. See `Broker.shred`."""
        return await self._change(lambda: self._broker.shred(key))

    async def reindex(self) -> Reindexed:
        """Give every object that the targets hold its row again, where it has none. See `Broker.reindex`."""
        return await self._change(self._broker.reindex)

    async def rewrap(self, *domains: str, progress: Progress | None = None) -> Rewrapped:
        """Wrap data keys anew, under the current keys. See `Broker.rewrap`.

        When cancelled, what was wrapped anew by then stays so. `progress` is called in the event loop.
        """
        halt = Halt()
        told = watched(halt, in_loop(progress))
        return await self._threads.settle(lambda: self._broker.rewrap(*domains, progress=told), halt=halt)

    async def _change(self, work: Callable[[], T]) -> T:
        """Do what may change something: halted when cancelled, and waited for."""
        halt = Halt()

        def run() -> T:
            HALT.set(halt)
            return work()

        return await self._threads.settle(run, halt=halt)


class AsyncKeys:
    """The key services of an `AsyncBroker`."""

    def __init__(self, keyrings: Keyrings, threads: Threads) -> None:
        self._keyrings = keyrings
        self._threads = threads

    async def status(self) -> Mapping[str, KeyringStatus]:
        """Return what is in each keyring, by the name of its service. See `Keyrings.status`."""
        return await self._threads.read(lambda _: self._keyrings.status())


class AsyncTargets:
    """The targets of an `AsyncBroker`."""

    def __init__(self, targets: Targets, threads: Threads) -> None:
        self._targets = targets
        self._threads = threads

    def list(self) -> Sequence[Place]:
        """Return every configured target. See `Targets.list`."""
        return self._targets.list()

    async def probe(self, *targets: str) -> Sequence[Probe]:
        """Find out what the targets really do. See `Targets.probe`; once begun, it runs to its end."""
        return await self._threads.settle(lambda: self._targets.probe(*targets))


def in_loop(progress: Progress | None) -> Progress | None:
    """Return a callback for a thread, which has `progress` called in the event loop that runs here."""
    if progress is None:
        return None
    loop = asyncio.get_running_loop()

    def told(sent: int, size: int | None) -> None:
        loop.call_soon_threadsafe(progress, sent, size)

    return told
