"""Bodies on their way in, with a check that all of it came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Self

from sovbroker.errors import StoreError, Unavailable
from sovbroker.ports import ObjectInfo
from sovbroker_adapters.bodies import BLOCK

__all__ = ["FastReader"]

NOTHING: Final = memoryview(b"")


def _blocks(answer: Any, length: int) -> Iterator[Any]:  # noqa: ANN401 - what the library answers has no types
    """Yield a body in blocks. A stream passes other threads for each; what fits into one block comes at once."""
    if length <= BLOCK:
        yield answer.bytes()
    else:
        yield from answer.stream(min_chunk_size=BLOCK)


class FastReader:
    """A `Reader` of an answer of object_store: `length` bytes come, or an error."""

    def __init__(self, answer: Any, info: ObjectInfo, *, length: int, target: str) -> None:  # noqa: ANN401 - as it is
        self.info = info
        self._blocks = _blocks(answer, length)
        self._block = NOTHING
        self._left = length
        self._target = target
        self._closed = False

    def read(self, size: int = -1, /) -> bytes:
        """See `Reader.read`."""
        if self._closed:
            raise ValueError("I/O operation on closed reader")
        wanted = self._left if size < 0 else min(size, self._left)
        if not wanted:
            return b""
        pieces = [self._some(wanted)]
        if size < 0:
            wanted -= len(pieces[0])
            while wanted:
                pieces.append(self._some(wanted))
                wanted -= len(pieces[-1])
        data = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
        self._left -= len(data)
        return data

    def _some(self, count: int) -> memoryview:
        """Read up to `count` bytes, at least one."""
        if not self._block:
            try:
                self._block = memoryview(next(self._blocks, b""))
            except Exception as error:
                raise self._broken(str(error).partition("\n")[0][:200]) from error
            if not self._block:
                raise self._broken("it ended early")
        data, self._block = self._block[:count], self._block[count:]
        return data

    def _broken(self, why: str) -> StoreError:
        self.close()
        key = self.info.key
        return Unavailable(f"the body of `{key}` broke off: {why}", target=self._target, key=key)

    def close(self) -> None:
        """See `Reader.close`."""
        self._closed = True
        self._block = NOTHING
        self._blocks = iter(())

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()
