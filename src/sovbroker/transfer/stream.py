"""One body on its way to a store that takes no parts: it is given part by part while the store's `put` reads it.

A part is kept until it was read to its end, and is never given out twice: a stream that fails is not sent again,
because what was read of it is gone, and sealing it once more would use its nonces twice.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from sovbroker.errors import Unavailable
from sovbroker.ports import Bytes, Source

__all__ = ["Stream"]

BLOCK: Final = 1 << 20


class Stream:
    """One `put` that runs in a thread of its own, and the `Source` of its body. `give` parts, then `finish`, or `stop`.

    A thread of its own, not one of the pool's: the pool sends the parts that other destinations of the same write take,
    and puts that wait for data could hold all of its threads. `failed` is told of an error as soon as there is one.
    """

    def __init__(self, put: Callable[[Source], object], *, failed: Callable[[BaseException], None]) -> None:
        self._put = put
        self._failed = failed
        self._parts: deque[tuple[memoryview, Callable[[], None]]] = deque()
        self._condition = threading.Condition()
        self._ended = False
        self._answered = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sovbroker-stream", daemon=True)
        self._thread.start()

    def give(self, part: Bytes, *, done: Callable[[], None]) -> None:
        """Add a part; `done` is called once it was read, or is not wanted any more."""
        with self._condition:
            wanted = self._error is None and len(part) > 0
            if wanted:
                self._parts.append((memoryview(part).cast("B"), done))
                self._condition.notify()
        if not wanted:
            done()
        elif self._answered:
            self._check_read()

    def finish(self) -> None:
        """Say that all parts were given, and wait until the store has acknowledged them, or failed."""
        with self._condition:
            self._ended = True
            self._condition.notify()
        self._thread.join()

    def stop(self, error: BaseException) -> None:
        """Give nothing out any more, and wait until the store has given up."""
        self._drop(error)
        self._thread.join()

    def read(self, size: int = -1, /) -> bytes:
        """See `Source.read`. Waits for the next part."""
        if size < 0:
            return b"".join(iter(lambda: self.read(BLOCK), b""))
        with self._condition:
            self._condition.wait_for(lambda: self._parts or self._ended or self._error is not None)
            if self._error is not None:
                raise self._error
            if not self._parts:
                return b""
            part, done = self._parts.popleft()
            data, rest = bytes(part[:size]), part[size:]
            if rest:
                self._parts.appendleft((rest, done))
        if not rest:
            done()
        return data

    def _run(self) -> None:
        try:
            self._put(self)
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, where it is raised
            self._failed(error)
            self._drop(error)
        else:
            self._answered = True
            self._check_read()

    def _check_read(self) -> None:
        """Fail when there are parts after the store has acknowledged the body: it has not read all of it."""
        if self._parts:
            error = Unavailable("the store acknowledged a body before it had read it to its end")
            self._failed(error)
            self._drop(error)

    def _drop(self, error: BaseException) -> None:
        with self._condition:
            self._error = self._error or error
            dropped = [done for _, done in self._parts]
            self._parts.clear()
            self._condition.notify()
        for done in dropped:
            done()
