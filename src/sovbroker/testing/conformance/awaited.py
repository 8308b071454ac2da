"""A broker of `sovbroker.aio` with methods that block: the suites drive it from threads, and it awaits in one loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from sovbroker.aio import AsyncBroker, AsyncFile
from sovbroker.errors import SovbrokerError
from sovbroker.forks import ForkLock
from sovbroker.objects import Folder, Info, Stored
from sovbroker.writing import Data

__all__ = ["Awaited"]

T = TypeVar("T")


class AwaitedFile:
    """An `AsyncFile` that blocks."""

    def __init__(self, awaited: Awaited, opened: AbstractAsyncContextManager[AsyncFile]) -> None:
        self._awaited = awaited
        self._opened = opened
        self._file = awaited.run(opened.__aenter__())
        self._closed = False
        self.info: Info = self._file.info

    def read(self, size: int = -1, /) -> bytes:
        """See `AsyncFile.read`."""
        return self._awaited.run(self._file.read(size))

    def close(self) -> None:
        """Leave the `async with`."""
        if not self._closed:
            self._closed = True
            self._awaited.run(self._opened.__aexit__(None, None, None))


class Awaited:
    """An `AsyncBroker` whose calls block: threads share one event loop, and a forked child has one of its own."""

    def __init__(self, broker: AsyncBroker) -> None:
        self._broker = broker
        self._lock = ForkLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Await `work` in the loop, and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop, self._pid = asyncio.new_event_loop(), os.getpid()
                self._thread = threading.Thread(target=self._loop.run_forever, name="sovbroker-awaited", daemon=True)
                self._thread.start()
            return self._loop

    def put(self, key: str, data: Data, *, metadata: Mapping[str, str] | None, if_absent: bool) -> Stored:
        """See `AsyncBroker.put`."""
        return self.run(self._broker.put(key, data, metadata=metadata, if_absent=if_absent))

    def copy(self, source: str, destination: str) -> Stored:
        """See `AsyncBroker.copy`."""
        return self.run(self._broker.copy(source, destination))

    def delete(self, key: str) -> None:
        """See `AsyncBroker.delete`."""
        self.run(self._broker.delete(key))

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, SovbrokerError]:
        """See `AsyncBroker.delete_many`."""
        return self.run(self._broker.delete_many(keys))

    def get(self, key: str) -> AwaitedFile:
        """See `AsyncBroker.get`."""
        return AwaitedFile(self, self._broker.get(key))

    def read(self, key: str, *, range: tuple[int, int] | None = None, version: str | None = None) -> bytes:  # noqa: A002 - HTTP's own word
        """See `AsyncBroker.read`."""
        return self.run(self._broker.read(key, range=range, version=version))

    def stat(self, key: str) -> Info:
        """See `AsyncBroker.stat`."""
        return self.run(self._broker.stat(key))

    def list(self, prefix: str = "", *, delimiter: str | None = None) -> Iterator[Info | Folder]:
        """See `AsyncBroker.list`."""
        return iter(self.run(_all(self._broker.list(prefix, delimiter=delimiter))))

    def close(self) -> None:
        """Close the broker, and end the loop. May be called twice."""
        if self._loop is None or self._pid == os.getpid():
            self.run(self._broker.close())
        with self._lock:
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is not None and thread is not None and self._pid == os.getpid():
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _all(found: AsyncIterator[Info | Folder]) -> Sequence[Info | Folder]:
    return [entry async for entry in found]
