"""Bodies on the wire: out with a checksum of what was sent, in with a check that all of it came as it was stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Final, Self

from sovbroker.errors import StoreError, Unavailable
from sovbroker.ports import NO_METADATA, Bytes, ObjectInfo, Source
from sovbroker_adapters.bodies import BLOCK, IN_MEMORY, blocks
from sovbroker_adapters.gcs.checksums import crc32c, extend, spell

if TYPE_CHECKING:
    from requests import Response

__all__ = ["GcsReader", "Outgoing", "read_all"]

ANSWER_MAX: Final = 64 << 20
SAID_MAX: Final = 1 << 16
TYPE: Final = "application/octet-stream"


class Outgoing:
    """One sending of a body, after what is to be said of the object: a message of two parts, streamed.

    `error` is what the body's source raised. The checksum of a body in memory is sent along, so that the service
    refuses one that was damaged on its way; of a source it is known only afterwards.
    """

    def __init__(
        self, name: str, body: Bytes | Source, *, size: int, metadata: Mapping[str, str] = NO_METADATA
    ) -> None:
        self.error: BaseException | None = None
        self.size = size
        self.checksum = 0
        self._blocks = blocks(body, size=size)
        self._known = isinstance(body, IN_MEMORY)
        described: dict[str, object] = {"name": name, "contentType": TYPE, "metadata": dict(metadata)}
        if isinstance(body, IN_MEMORY):
            self.checksum = crc32c(body)
            described["crc32c"] = spell(self.checksum)
        boundary = token_hex(16)
        self.content_type = f"multipart/related; boundary={boundary}"
        self._head = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(described)}\r\n"
            f"--{boundary}\r\nContent-Type: {TYPE}\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    def __len__(self) -> int:
        """Return the length of the whole message in bytes."""
        return len(self._head) + self.size + len(self._tail)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """Yield the blocks to send; once. Without the end, the service stores nothing."""
        yield self._head
        try:
            for block in self._blocks:
                yield block
                # After the block is on its way, so that the checksum is made while the network works.
                if not self._known:
                    self.checksum = extend(self.checksum, block)
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise
        yield self._tail


def read_all(answer: Response, *, strict: bool = True) -> bytes:
    """Return the body of an answer that is no object's. Raises ValueError for one that is longer than any answer is.

    Not `strict`: what came of it, as far as it is worth to be shown.
    """
    most = ANSWER_MAX if strict else SAID_MAX
    pieces: list[bytes] = []
    left = most + 1
    try:
        while left and (piece := answer.raw.read(min(left, BLOCK), decode_content=False)):
            pieces.append(piece)
            left -= len(piece)
    except Exception:
        if strict:
            raise
    if strict and not left:
        raise ValueError(f"the answer is longer than {most} bytes")
    return b"".join(pieces)


class GcsReader:
    """A `Reader` of an answer: `skip` bytes of it are passed over, then come `length` bytes, or an error.

    `checksum` is what the bytes must have, where all of the object is read; None: it is not compared.
    """

    def __init__(
        self, answer: Response, info: ObjectInfo, *, skip: int, length: int, checksum: int | None, target: str
    ) -> None:
        self.info = info
        self._answer = answer
        self._skip = skip
        self._left = length
        self._expected = checksum
        self._checksum = 0
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
            self._checksum = extend(self._checksum, data)
            if not self._left and self._checksum != self._expected:
                raise self._broken("it is not what was stored: its CRC32C is another")
        return data

    def _some(self, count: int) -> bytes:
        """Read up to `count` bytes, at least one."""
        try:
            data = self._answer.raw.read(count, decode_content=False)
        except Exception as error:
            raise self._broken(f"{type(error).__name__}: {error}"[:200]) from error
        if not data or len(data) > count:
            raise self._broken("it ended early" if not data else "it is longer than announced")
        return bytes(data)

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
