"""Calls that block, on a bounded pool of threads, awaited from any event loop.

There are two ways to be cancelled. A call that only reads is left alone: the task goes on at once, and what the thread
finds is thrown away. A call that may change something is told to halt, and waited for: only then is it certain whether
there was a commit. If there was, its result is returned, and the cancellation strikes at the task's next `await`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

from sovbroker.errors import InvalidArgument
from sovbroker.forks import ForkLock

__all__ = ["THREADS", "Closed", "Halt", "Halted", "Threads"]

THREADS: Final = 16
"""How many calls of one broker run at the same time, where nothing else is asked for; further ones wait their turn."""

T = TypeVar("T")


class Closed(InvalidArgument):
    """The broker was closed, so that there are no threads any more."""


class Halted(Exception):
    """Raised in a thread, to undo a call whose task was cancelled before anything was committed."""


class Halt:
    """Tells a call in a thread that its task was cancelled. The call asks with `check`, as often as it can."""

    def __init__(self) -> None:
        self.wanted = False

    def check(self) -> None:
        """Raise Halted when the call is to stop."""
        if self.wanted:
            raise Halted


class Threads:
    """A pool of `limit` threads. It belongs to no event loop, and a forked child makes one of its own."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise InvalidArgument(f"`threads` is at least 1, not {limit}")
        self._limit = limit
        self._lock = ForkLock()
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0
        self._closed = False

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Queue `work`. Raises Closed, an InvalidArgument, once closed."""
        context = copy_context()

        def run() -> T:
            try:
                return context.run(work)
            except StopIteration as error:
                # No future of asyncio takes it, and whoever waits would wait for ever.
                raise RuntimeError("the call raised StopIteration") from error

        with self._lock:
            if self._closed:
                raise Closed("the broker is closed; open it again")
            if self._pool is None or self._pid != os.getpid():
                self._pool = ThreadPoolExecutor(self._limit, thread_name_prefix="sovbroker-aio")
                self._pid = os.getpid()
            return self._pool.submit(run)

    def soon(self, work: Callable[[], None]) -> None:
        """Run `work` in a thread for which nobody waits; right here when there are no threads any more."""
        try:
            self.submit(work)
        except Closed:
            work()

    async def read(self, work: Callable[[Halt], T], *, abandoned: Callable[[Future[T]], None] | None = None) -> T:
        """Return what `work` returns; when cancelled, leave it to itself.

        `abandoned` is then called with its future, in any thread, when it is over.
        """
        halt = Halt()
        future = self.submit(lambda: work(halt))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            halt.wanted = True
            if abandoned is not None:
                future.add_done_callback(abandoned)
            raise

    async def settle(
        self, work: Callable[[], T], *, halt: Halt | None = None, undo: Callable[[T], None] | None = None
    ) -> T:
        """Return what `work` returns; when cancelled, tell it to halt and wait for what becomes of it.

        Without `halt` it is done in any case, as what cleans up must be. When it returns all the same, its result is
        handed to `undo` and the task is cancelled. Without `undo` the result stands and is returned; the cancellation
        strikes at the next `await`.
        """
        if halt is not None:
            # A cancellation that an earlier call came too late for strikes here, before this one begins: or a task
            # that makes one short call after another would never end.
            await asyncio.sleep(0)
        future = self.submit(work)
        cancelled = await over(future, halt)
        if cancelled is None:
            return future.result()
        if future.cancelled():
            raise cancelled
        error = future.exception()
        if error is not None:
            raise cancelled from (None if isinstance(error, Halted) else error)
        if undo is not None:
            result = future.result()
            await over(self.submit(lambda: undo(result)))
            raise cancelled
        strike_again(cancelled)
        return future.result()

    async def close(self, last: Callable[[], None]) -> None:
        """Refuse further calls, wait for those there are, and then call `last`, in a thread too."""
        with self._lock:
            self._closed = True
            pool = self._pool if self._pid == os.getpid() else None

        def shut() -> None:
            if pool is not None:
                pool.shutdown()
            last()

        closer = ThreadPoolExecutor(1, thread_name_prefix="sovbroker-aio-close")
        future = closer.submit(shut)
        closer.shutdown(wait=False)
        cancelled = await over(future)
        if cancelled is not None:
            raise cancelled
        future.result()


async def over(future: Future[T], halt: Halt | None = None) -> asyncio.CancelledError | None:
    """Wait until a call is over, whatever happens; return the cancellation that came meanwhile.

    With `halt`, a cancellation takes the call out of the queue, or has it stopped at its next check.
    """
    waiting = asyncio.wrap_future(future)
    cancelled: asyncio.CancelledError | None = None
    while not waiting.done():
        try:
            await asyncio.wait([waiting])
        except asyncio.CancelledError as error:
            cancelled = error
            if halt is not None:
                halt.wanted = True
                future.cancel()
    if not waiting.cancelled():
        waiting.exception()  # seen: the caller asks the call's own future
    return cancelled


def strike_again(cancelled: asyncio.CancelledError) -> None:
    """Have a cancellation that came too late strike the running task at its next `await`.

    Not now: the task shall get its result first. Whoever takes the cancellation back until then, as a timeout does at
    the end of its block, keeps the task going.
    """
    task = asyncio.current_task()
    wanted = 0 if task is None else task.cancelling()
    if task is None or not wanted:
        return

    def strike() -> None:
        if not task.done() and task.cancelling() >= wanted:
            # One more, and back again: it is the old cancellation, not a new one.
            task.cancel(*cancelled.args)
            task.uncancel()

    task.get_loop().call_soon(strike)
