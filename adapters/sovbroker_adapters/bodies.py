"""Bodies: on their way into a store, exactly as long as was announced, and out of one that has them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Self

from sovbroker.errors import InvalidArgument
from sovbroker.ports import Bytes, ObjectInfo, Source

__all__ = ["BLOCK", "IN_MEMORY", "BytesReader", "blocks"]

BLOCK: Final = 1 << 20

IN_MEMORY: Final = (bytes, bytearray, memoryview)
"""The types of bodies that can be sent again."""


def blocks(body: Bytes | Source, *, size: int) -> Iterator[memoryview]:
    """Return the body in blocks of at most 1 MiB, without a copy of bytes that are in memory.

    A body of the wrong length raises InvalidArgument: bytes in memory here and now, a source before its last block is
    handed out, so that the receiver never has all of it. What the source itself raises passes unchanged.
    """
    if size < 0:
        raise InvalidArgument(f"the size {size} is negative")
    if not isinstance(body, IN_MEMORY):
        return _read(body, size)
    view = memoryview(body).cast("B")
    if len(view) != size:
        raise InvalidArgument(f"the body has {len(view)} bytes, and {size} were announced")
    return (view[start : start + BLOCK] for start in range(0, size, BLOCK))


def _read(source: Source, size: int) -> Iterator[memoryview]:
    left = size
    while left:
        data = source.read(min(left, BLOCK))
        if not data:
            raise InvalidArgument(f"the body ended after {size - left} of the {size} bytes that were announced")
        left -= len(data)
        if left < 0 or (left == 0 and source.read(1)):
            raise _longer(size)
        yield memoryview(data)
    if size == 0 and source.read(1):
        raise _longer(size)


def _longer(size: int) -> InvalidArgument:
    return InvalidArgument(f"the body is longer than the {size} bytes that were announced")


class BytesReader:
    """A `Reader` over `length` bytes from `offset` of a body that nobody changes any more; by default all of it."""

    def __init__(self, info: ObjectInfo, body: Bytes, *, offset: int = 0, length: int | None = None) -> None:
        self.info = info
        view = memoryview(body)[offset:]
        self._rest = view if length is None else view[:length]

    def read(self, size: int = -1, /) -> bytes:
        """See `Reader.read`."""
        count = len(self._rest) if size < 0 else size
        data = bytes(self._rest[:count])
        self._rest = self._rest[count:]
        return data

    def close(self) -> None:
        """See `Reader.close`."""

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()
