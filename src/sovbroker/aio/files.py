"""The awaited faces of the two file objects: what `get` opens, and what `writer` writes."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from sovbroker.aio.calls import Closed, Halt, Threads
from sovbroker.errors import InvalidArgument
from sovbroker.objects import Info, ObjectFile, Stored
from sovbroker.ports import Bytes
from sovbroker.writer import Writer

__all__ = ["AsyncFile", "AsyncWriter", "rest_of"]

PIECE: Final = 1 << 20

T = TypeVar("T")


def rest_of(file: ObjectFile, halt: Halt) -> bytes:
    """Return what is left of a file; stop when nobody waits for it any more."""
    pieces: list[bytes] = []
    while piece := file.read(4 * PIECE):
        pieces.append(piece)
        halt.check()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Turn:
    """Lets one task in at a time, and says so to a second one."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._taken = False

    @contextmanager
    def taken(self) -> Generator[None]:
        """Take it. Raises InvalidArgument while another task has it."""
        if self._taken:
            raise InvalidArgument(f"another task is {self._what}; open one for each task")
        self._taken = True
        try:
            yield
        finally:
            self._taken = False


class AsyncFile:
    """What `AsyncBroker.get` opens: a binary file to be awaited. `info` is what the broker knows of the object.

    One task uses it at a time. A cancelled call leaves it useless: where it stands is not known any more.
    """

    def __init__(self, file: ObjectFile, threads: Threads) -> None:
        self.info: Info = file.info
        self._file = file
        self._threads = threads
        self._turn = Turn("reading this file")
        self._lock = threading.Lock()
        self._lost = False

    async def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all that is left when it is negative; b"" at the end."""
        return await self._do(lambda halt: rest_of(self._file, halt) if size < 0 else self._file.read(size))

    async def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position; return it, in bytes from the start."""
        return await self._do(lambda _: self._file.seek(offset, whence))

    async def tell(self) -> int:
        """Return the position, in bytes from the start."""
        return await self._do(lambda _: self._file.tell())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield what is left in pieces of up to 1 MiB. They are no lines."""
        while piece := await self.read(PIECE):
            yield piece

    async def close(self) -> None:
        """Give the connection back. May be called twice; the end of the `async with` does it."""
        if self._lost:
            return  # closed by the thread that still reads, when it is done
        try:
            await self._threads.settle(self._close)
        except Closed:
            self._close()

    def _close(self) -> None:
        # Another task may still be reading, in another thread.
        with self._lock:
            self._file.close()

    async def _do(self, work: Callable[[Halt], T]) -> T:
        if self._lost:
            raise InvalidArgument(f"a call on the file of `{self.info.key}` was cancelled; open the object again")

        def locked(halt: Halt) -> T:
            with self._lock:
                return work(halt)

        with self._turn.taken():
            try:
                return await self._threads.read(locked, abandoned=self._abandoned)
            except asyncio.CancelledError:
                self._lost = True
                raise

    def _abandoned(self, _future: Future[T]) -> None:
        self._threads.soon(self._close)


class AsyncWriter:
    """What `AsyncBroker.writer` opens: a file to be written, which commits at the clean end of its `async with`.

    One task uses it at a time. After a cancelled or failed `write` nothing is committed any more.
    """

    def __init__(self, writer: Writer, threads: Threads, halt: Halt) -> None:
        self._writer = writer
        self._threads = threads
        self._halt = halt
        self._cut = False
        self._turn = Turn("writing to this writer")
        # A thread that still writes, for a task that went away, is waited for before anything else is done.
        self._lock = threading.Lock()

    @property
    def stored(self) -> Stored | None:
        """The outcome, once it is committed."""
        return self._writer.stored

    async def write(self, data: Bytes) -> int:
        """Take all of `data`; return its length in bytes."""
        if self._halt.wanted:
            raise InvalidArgument("the writer was aborted, or a call on it cancelled; nothing is committed")
        with self._turn.taken():
            work = self._locked(lambda: self._writer.write(data))
            try:
                return await self._threads.settle(work, halt=self._halt, undo=lambda _: self._writer.abort())
            except asyncio.CancelledError:
                # Also where it never began: what was to be written is missing.
                self._halt.wanted = self._cut = True
                raise

    async def abort(self) -> None:
        """Give up: nothing is committed."""
        self._halt.wanted = True
        if not self._writer.closed:
            with suppress(Closed):  # who closes the broker aborts its writers
                await self._threads.settle(self._locked(self._writer.abort))

    async def commit(self) -> None:
        """Commit, once; then `stored` tells the outcome. The clean end of the `async with` does it.

        Raises InvalidArgument after a `write` that was cancelled.
        """
        if self._cut:
            raise InvalidArgument("a write was cancelled, so data is missing; nothing is committed")
        if not self._writer.closed:
            with self._turn.taken():
                await self._threads.settle(self._locked(self._writer.close), halt=self._halt)

    def _locked(self, work: Callable[[], T]) -> Callable[[], T]:
        def locked() -> T:
            with self._lock:
                return work()

        return locked
