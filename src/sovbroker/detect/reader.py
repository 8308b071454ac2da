"""How a stream is cut for those who look at it: with context on both sides, so that no value is cut in two.

Every place is looked at once, with at least `BEHIND` bytes before it and `AHEAD` after it (less only where the stream
begins and ends). A decision that needs no more than these does not depend on how the stream was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

__all__ = ["AHEAD", "BEHIND", "BLOCK", "Reader", "Sieve"]

BEHIND: Final = 96
AHEAD: Final = 512
BLOCK: Final = 1 << 16


class Sieve(Protocol):
    """What looks for values of several kinds in one reading."""

    def look(self, text: bytes, start: int, stop: int, base: int) -> None:
        """Count what begins in `text[start:stop]`; `base` is the place of `text[0]` in the stream."""
        ...


class Reader:
    """Shows a stream to sieves. It keeps no more than `block` bytes and the context.

    NUL bytes are dropped: without them, text in UTF-16 reads as text in Latin-1, as far as its characters are in it.
    """

    def __init__(self, sieves: Sequence[Sieve], *, block: int = BLOCK) -> None:
        self._sieves = tuple(sieves)
        self._block = block
        self._text = bytearray()
        self._start = 0
        self._base = 0

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next piece of the stream."""
        for at in range(0, len(chunk), self._block):
            piece = bytes(chunk[at : at + self._block])
            self._text += piece.translate(None, b"\0") if b"\0" in piece else piece
            ready = len(self._text) - AHEAD
            if ready - self._start >= self._block:
                self._look(ready)

    def finish(self) -> None:
        """Say that the stream has ended."""
        self._look(len(self._text))

    def _look(self, stop: int) -> None:
        text = bytes(self._text)
        for sieve in self._sieves:
            sieve.look(text, self._start, stop, self._base)
        kept = max(0, stop - BEHIND)
        self._text = bytearray(text[kept:])
        self._start = stop - kept
        self._base += kept
