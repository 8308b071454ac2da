"""Standard input whose reads a signal ends, also one that comes just before they begin.

Such a signal is heard by the interpreter, and by nobody else until the read returns: of a pipe that stays open and says
nothing, it never does. So a read waits for the next bytes and for the signal at once.
"""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import BinaryIO, cast

__all__ = ["standard_input", "waking"]

_heard: int | None = None
"""What can be read as soon as a signal has come; None where nobody listens."""


@contextmanager
def waking() -> Generator[None]:
    """Listen to signals for whoever reads standard input meanwhile. Only the main thread may."""
    global _heard  # noqa: PLW0603 - there is one standard input
    _heard, heard = os.pipe()
    os.set_blocking(_heard, False)
    os.set_blocking(heard, False)
    before = signal.set_wakeup_fd(heard, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(heard)
        os.close(_heard)
        _heard = None


def standard_input() -> BinaryIO:
    """Return standard input, of which nothing may have been read before."""
    try:
        number = sys.stdin.fileno()
    except io.UnsupportedOperation:
        return sys.stdin.buffer
    return sys.stdin.buffer if _heard is None else cast("BinaryIO", io.BufferedReader(_Awake(number, _heard)))


class _Awake(io.RawIOBase):
    def __init__(self, number: int, heard: int) -> None:
        self._number = number
        self._heard = heard
        self._either = select.poll()
        for each in (number, heard):
            self._either.register(each, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        ready: set[int] = set()
        while self._number not in ready:
            ready = {each for each, _ in self._either.poll()}
            if self._heard in ready:
                # Its handler runs before the next line does, and ends this with an exception, or has nothing to say.
                os.read(self._heard, 512)
        data = os.read(self._number, len(buffer))
        buffer[: len(data)] = data
        return len(data)
