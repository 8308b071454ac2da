"""Bodies on the wire: out with a digest of what was sent, in with a check that all of it came."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from sovbroker.errors import StoreError, Unavailable
from sovbroker.ports import Bytes, ObjectInfo, Source
from sovbroker_adapters.bodies import BLOCK, blocks

if TYPE_CHECKING:
    from requests import Response

__all__ = ["IN_MEMORY", "LibcloudReader", "Outgoing"]

IN_MEMORY: Final = (bytes, bytearray, memoryview)


class Outgoing:
    """One sending of a body: an iterator of known length. `error` is what the body's source raised."""

    def __init__(self, body: Bytes | Source, *, size: int) -> None:
        self.error: BaseException | None = None
        self._size = size
        self._hash = hashlib.md5(usedforsecurity=False)
        self._blocks = blocks(body, size=size)

    @property
    def digest(self) -> str:
        """The MD5 of what was sent, in hexadecimal."""
        return self._hash.hexdigest()

    def __bool__(self) -> bool:
        """Be a body, also where it is empty."""
        return True

    def __len__(self) -> int:
        """Return the length in bytes."""
        return self._size

    def __iter__(self) -> Iterator[memoryview]:
        """Return the blocks to send."""
        return self

    def __next__(self) -> memoryview:
        """Return the next block."""
        try:
            block = next(self._blocks)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise
        self._hash.update(block)
        return block


class LibcloudReader:
    """A `Reader` of an answer: `skip` bytes of it are passed over, then come `length` bytes, or an error.

    `digest` is the MD5 that they must have, where all of the object is read; None: it is not compared.
    """

    def __init__(
        self, answer: Response, info: ObjectInfo, *, skip: int, length: int, digest: str | None, target: str
    ) -> None:
        self.info = info
        self._expected = digest
        self._hash = hashlib.md5(usedforsecurity=False)
        self._answer = answer
        self._skip = skip
        self._left = length
        self._target = target
        self._closed = False

    def read(self, size: int = -1, /) -> bytes:
        """See `Reader.read`."""
        if self._closed:
            raise ValueError("I/O operation on closed reader")
        while self._skip:
            self._skip -= len(self._some(min(self._skip, BLOCK)))
        wanted = self._left if size < 0 else min(size, self._left)
        if not wanted:
            return b""
        data = self._next(wanted)
        if size >= 0 or not self._left:
            return data
        pieces = [data]
        while self._left:
            pieces.append(self._next(self._left))
        return b"".join(pieces)

    def _next(self, count: int) -> bytes:
        """Read up to `count` bytes of what was asked for; the last of them only when the whole is as it was stored."""
        data = self._some(count)
        self._left -= len(data)
        if self._expected is not None:
            self._hash.update(data)
            if not self._left and self._hash.hexdigest() != self._expected:
                raise self._broken("it is not what was stored: its MD5 is another")
        return data

    def _some(self, count: int) -> bytes:
        """Read up to `count` bytes, at least one."""
        try:
            data = bytes(self._answer.raw.read(count, decode_content=False))
        except Exception as error:
            raise self._broken(f"{type(error).__name__}: {error}"[:200]) from error
        if not data or len(data) > count:
            raise self._broken("it ended early" if not data else "it is longer than announced")
        return data

    def _broken(self, why: str) -> StoreError:
        self.close()
        key = self.info.key
        return Unavailable(f"the body of `{key}` broke off: {why}", target=self._target, key=key)

    def close(self) -> None:
        """See `Reader.close`."""
        if not self._closed:
            self._closed = True
            with self._answer, suppress(Exception):
                # An empty body has to be read too, or its connection is not used again.
                if not self.info.size:
                    self._answer.raw.read(1, decode_content=False)

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()
