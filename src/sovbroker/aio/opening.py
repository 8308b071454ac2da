"""Opening a broker without blocking the event loop: configuration, policy and state are read in a thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from datetime import datetime

from sovbroker.aio.broker import AsyncBroker
from sovbroker.aio.calls import THREADS, Threads
from sovbroker.broker import Broker
from sovbroker.opening import open_broker

__all__ = ["Opening", "open_later"]


class Opening:
    """What `sovbroker.aio.open` returns: to be awaited for a broker, or entered by `async with`, which closes it."""

    def __init__(
        self, path: str | os.PathLike[str] | None, *, clock: Callable[[], datetime] | None, threads: int
    ) -> None:
        self._path = path
        self._clock = clock
        self._threads = threads
        self._broker: AsyncBroker | None = None

    def __await__(self) -> Generator[object, None, AsyncBroker]:
        """Open."""
        return self._open().__await__()

    async def __aenter__(self) -> AsyncBroker:
        """Open, until the block ends."""
        self._broker = await self._open()
        return self._broker

    async def __aexit__(self, *exc: object) -> None:
        """Close the broker."""
        broker, self._broker = self._broker, None
        if broker is not None:
            await broker.close()

    async def _open(self) -> AsyncBroker:
        threads = Threads(self._threads)
        try:
            broker = await threads.settle(lambda: open_broker(self._path, clock=self._clock), undo=Broker.close)
        except BaseException:
            await threads.close(lambda: None)
            raise
        return AsyncBroker(broker, threads=threads)


def open_later(
    path: str | os.PathLike[str] | None = None,
    *,
    clock: Callable[[], datetime] | None = None,
    threads: int = THREADS,
) -> Opening:
    """Open the broker of a configuration file: `async with open(…) as broker`, or `broker = await open(…)`.

    `threads` is how many calls run at the same time; further ones wait their turn. For the rest see `sovbroker.open`.
    Raises ConfigError, PolicyError, StateError, and InvalidArgument for `threads` below 1.
    """
    return Opening(path, clock=clock, threads=threads)
