"""Bodies on the wire: out with a digest of what was sent, in with a check that all of it came."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any, Final, Self

from sovbroker.errors import StoreError, Unavailable
from sovbroker.ports import Bytes, ObjectInfo, Source
from sovbroker_adapters.bodies import IN_MEMORY, blocks

__all__ = ["AzureReader", "Outgoing"]

NOTHING: Final = memoryview(b"")


class Outgoing:
    """One sending of a body. `error` is what the body's source raised.

    The SDK would read a body into memory before it sends it; so it is given an empty one, and `attach` puts this in its
    place, before the request is signed. Of bytes in memory, the digest goes ahead, so that the service refuses damage.
    """

    def __init__(self, body: Bytes | Source, *, size: int) -> None:
        self.error: BaseException | None = None
        self._size = size
        self._blocks = blocks(body, size=size)
        self._ahead = isinstance(body, IN_MEMORY)
        self._hash = hashlib.md5(body if isinstance(body, IN_MEMORY) else b"", usedforsecurity=False)

    @property
    def digest(self) -> bytes:
        """The MD5 of what was sent."""
        return self._hash.digest()

    def attach(self, request: Any) -> None:  # noqa: ANN401 - the SDK's request
        """Be the body of a request."""
        sent = request.http_request
        if self._ahead:
            sent.headers["Content-MD5"] = base64.b64encode(self.digest).decode()
        if self._size:
            sent.headers["Content-Length"] = str(self._size)
            sent.data = self

    def __len__(self) -> int:
        """Return the length in bytes."""
        return self._size

    def __iter__(self) -> Iterator[memoryview]:
        """Yield the blocks to send; once."""
        try:
            for block in self._blocks:
                yield block
                # After the block is on its way, so that the digest is made while the network works.
                if not self._ahead:
                    self._hash.update(block)
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise


class Taken(Exception):
    """Carries an answer out of the SDK, with its body unread."""

    def __init__(self, answer: Any) -> None:  # noqa: ANN401 - the SDK's answer
        super().__init__()
        self.answer = answer


def take(response: Any) -> None:  # noqa: ANN401 - the SDK's response
    """Raise Taken with an answer that holds a body; the SDK would read it into memory. Leave errors to the SDK."""
    answer = response.http_response
    if answer.status_code in {200, 206}:
        raise Taken(answer)


class AzureReader:
    """A `Reader` of an answer: `skip` bytes of it are passed over, then come `length` bytes, or an error."""

    def __init__(self, answer: Any, info: ObjectInfo, *, skip: int, length: int, target: str) -> None:  # noqa: ANN401 - the SDK's answer
        self.info = info
        self._answer = answer
        self._blocks: Iterator[bytes] = answer.iter_raw()
        self._block = NOTHING
        self._skip = skip
        self._left = length
        self._target = target
        self._closed = False

    def read(self, size: int = -1, /) -> bytes:
        """See `Reader.read`."""
        if self._closed:
            raise ValueError("I/O operation on closed reader")
        while self._skip:
            self._skip -= len(self._some(self._skip))
        wanted = self._left if size < 0 else min(size, self._left)
        if not wanted:
            return b""
        pieces = [self._some(wanted)]
        if size < 0:
            wanted -= len(pieces[0])
            while wanted:
                pieces.append(self._some(wanted))
                wanted -= len(pieces[-1])
        data = b"".join(pieces)
        self._left -= len(data)
        return data

    def _some(self, count: int) -> memoryview:
        """Read up to `count` bytes, at least one."""
        if not self._block:
            try:
                self._block = memoryview(next(self._blocks, b""))
            except Exception as error:
                raise self._broken(f"{type(error).__name__}: {error}"[:200]) from error
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
        if not self._closed:
            self._closed = True
            self._block = NOTHING
            self._answer.close()

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()
