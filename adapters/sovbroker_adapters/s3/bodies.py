"""Bodies on the wire: out with a digest of what was sent, in with a check that all of it came."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Iterator
from io import UnsupportedOperation
from typing import Final, Protocol, Self

from sovbroker.errors import StoreError, Unavailable
from sovbroker.ports import Bytes, ObjectInfo, Source
from sovbroker_adapters.bodies import BLOCK, blocks

__all__ = ["MD5", "Outgoing", "S3Reader", "crc32"]

MD5: Final = re.compile(r"[0-9a-f]{32}")


class Outgoing:
    """One sending of a body. `digest` is the MD5 of what was sent; `error` is what the body's source raised.

    The SDK takes it for a file; before it reads, `stream` takes its place: blocks as they are, without a copy.
    """

    def __init__(self, body: Bytes | Source, *, size: int, digested: bool) -> None:
        self.error: BaseException | None = None
        self._size = size
        self._blocks = blocks(body, size=size)
        self._hash = hashlib.md5(usedforsecurity=False) if digested else None

    @property
    def digest(self) -> str | None:
        """The MD5 in hexadecimal, or None when it was not asked for."""
        return None if self._hash is None else self._hash.hexdigest()

    def stream(self) -> Iterator[memoryview]:
        """Yield the blocks to send; once."""
        try:
            for block in self._blocks:
                yield block
                # After the block is on its way, so that the digest is made while the network works.
                if self._hash is not None:
                    self._hash.update(block)
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise

    def __len__(self) -> int:
        """Return the length in bytes."""
        return self._size

    def read(self, size: int = -1, /) -> bytes:
        """Be there, so that the SDK takes this for a body. Raises UnsupportedOperation."""
        raise UnsupportedOperation(f"{size} bytes cannot be read: this body is streamed")


def crc32(body: Bytes) -> str:
    """Return the checksum of a body as S3 spells it."""
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


class Body(Protocol):
    """The body of an answer, the SDK's or ours."""

    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes; none at the end."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class S3Reader:
    """A `Reader` of an answer: `skip` bytes of it are passed over, then come `length` bytes, or an error."""

    def __init__(self, body: Body, info: ObjectInfo, *, skip: int, length: int, target: str) -> None:
        self.info = info
        self._body = body
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
        data = self._some(wanted)
        self._left -= len(data)
        if size >= 0 or not self._left:
            return data
        pieces = [data]
        while self._left:
            pieces.append(self._some(self._left))
            self._left -= len(pieces[-1])
        return b"".join(pieces)

    def _some(self, count: int) -> bytes:
        """Read up to `count` bytes, at least one."""
        try:
            data = self._body.read(count)
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
            self._body.close()

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()
