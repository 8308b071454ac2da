"""Bodies on the wire: out with a digest of what was sent, in with a check that all of it came."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Self

from sovbroker.errors import Unavailable
from sovbroker.ports import Bytes, ObjectInfo, Source
from sovbroker_adapters.bodies import blocks
from sovbroker_adapters.checks import clip
from sovbroker_adapters.swift.metadata import metadata_of

if TYPE_CHECKING:
    import httpx

__all__ = ["IN_MEMORY", "MD5", "Outgoing", "SwiftReader", "etag_of", "info_of", "is_large", "md5"]

log = logging.getLogger("sovbroker")

IN_MEMORY: Final = (bytes, bytearray, memoryview)
MD5: Final = re.compile(r"[0-9a-f]{32}")
PARTIAL: Final = 206
CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
LENGTH: Final = re.compile(r"\d{1,19}")
NO_BODY: Final = memoryview(b"")


def md5(data: Bytes) -> str:
    """Return the digest that Swift calls an ETag."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def etag_of(headers: Mapping[str, str]) -> str | None:
    """Return the ETag of an answer, without quotes."""
    return headers.get("Etag", "").strip().strip('"') or None


def is_large(headers: Mapping[str, str]) -> bool:
    """Whether an answer is about an object that consists of others: its ETag is not the MD5 of its body."""
    return headers.get("X-Static-Large-Object", "").lower() == "true" or "X-Object-Manifest" in headers


def info_of(headers: Mapping[str, str], key: str, *, size: int) -> ObjectInfo:
    """Return what the headers of an answer say of an object."""
    modified: datetime | None
    try:
        modified = parsedate_to_datetime(headers.get("Last-Modified", "")).astimezone(UTC)
    except (ValueError, OverflowError):
        modified = None
    return ObjectInfo(key, size, etag_of(headers), modified, metadata_of(headers))


class Outgoing:
    """One sending of a body. `error` is what the body's source raised."""

    def __init__(self, body: Bytes | Source, *, size: int) -> None:
        self.error: BaseException | None = None
        self._blocks = blocks(body, size=size)
        self._hash = hashlib.md5(usedforsecurity=False)

    @property
    def digest(self) -> str:
        """The MD5 of what was sent."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[memoryview]:
        """Yield the blocks to send; once."""
        try:
            for block in self._blocks:
                yield block
                # After the block is on its way, so that the digest is made while the network works.
                self._hash.update(block)
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise


class SwiftReader:
    """A `Reader` of an answer: `skip` bytes of it are passed over, then come `length` bytes, or an error.

    Of an object that is read whole, the last bytes come only if its MD5 is the one that the store told.
    """

    def __init__(
        self, answer: httpx.Response, info: ObjectInfo, *, skip: int, length: int, told: str | None, target: str
    ) -> None:
        self.info = info
        self._answer = answer
        self._pieces = answer.iter_raw()
        self._piece = NO_BODY
        self._skip = skip
        self._left = length
        self._hash = None if told is None else hashlib.md5(usedforsecurity=False)
        self._told = told
        self._target = target
        self._closed = False

    @classmethod
    def over(cls, answer: httpx.Response, key: str, span: tuple[int, int] | None, *, target: str) -> SwiftReader:
        """Return a reader of what was asked for, whatever part of the object the answer holds.

        Raises InvalidArgument for a range beyond the end, and Unavailable for an answer to another question.
        """
        try:
            return cls._checked(answer, key, span, target)
        except BaseException:
            answer.close()
            raise

    @classmethod
    def _checked(cls, answer: httpx.Response, key: str, span: tuple[int, int] | None, target: str) -> SwiftReader:
        def broken(why: str) -> Unavailable:
            return Unavailable(f"`{key}`: {why}", target=target, key=key)

        headers = answer.headers
        if answer.status_code not in {200, PARTIAL}:
            raise broken(f"the store answered {answer.status_code}, which carries no body")
        partial = answer.status_code == PARTIAL
        found = CONTENT_RANGE.fullmatch(headers.get("Content-Range", "")) if partial else None
        length = headers.get("Content-Length", "")
        if not LENGTH.fullmatch(length) or etag_of(headers) is None:
            # A page of a portal has no ETag, and an object always has one.
            raise broken("the store did not say how long it is, or told no ETag")
        if partial and found is None:
            raise broken("the store did not say which range it sent")
        info = info_of(headers, key, size=int(length) if found is None else int(found[3]))
        offset, wanted = clip(span, size=info.size)
        if found is not None and (int(found[1]), int(found[2]), int(length)) != (offset, offset + wanted - 1, wanted):
            raise broken("the store answered another range than was asked for")
        whole = wanted == info.size and not is_large(headers) and MD5.fullmatch(info.etag or "")
        # A server that does not know ranges sends all of it.
        skip = 0 if partial else offset
        return cls(answer, info, skip=skip, length=wanted, told=info.etag if whole else None, target=target)

    def read(self, size: int = -1, /) -> bytes:
        """See `Reader.read`."""
        if self._closed:
            raise ValueError("I/O operation on closed reader")
        while self._skip:
            self._skip -= len(self._some(self._skip))
        wanted = self._left if size < 0 else min(size, self._left)
        if not wanted:
            return b""
        data = self._take(wanted)
        if size >= 0 or not self._left:
            return bytes(data)
        pieces = [data]
        while self._left:
            pieces.append(self._take(self._left))
        return b"".join(pieces)

    def _take(self, count: int) -> memoryview:
        """Return up to `count` bytes of what was asked for, at least one."""
        data = self._some(count)
        self._left -= len(data)
        if self._hash is not None:
            self._hash.update(data)
            if not self._left and self._hash.hexdigest() != self._told:
                raise self._broken("it is not the body whose digest the store told")
        return data

    def _some(self, count: int) -> memoryview:
        """Return up to `count` bytes, at least one."""
        while not self._piece:
            try:
                piece = next(self._pieces, None)
            except Exception as error:
                raise self._broken(f"{type(error).__name__}: {error}"[:200]) from error
            if piece is None:
                raise self._broken("it ended early")
            self._piece = memoryview(piece)
        found, self._piece = self._piece[:count], self._piece[count:]
        return found

    def _broken(self, why: str) -> Unavailable:
        self.close()
        key = self.info.key
        return Unavailable(f"the body of `{key}` broke off: {why}", target=self._target, key=key)

    def close(self) -> None:
        """See `Reader.close`."""
        if self._closed:
            return
        self._closed = True
        try:
            # A body that was read to its end gives its connection back for the next request.
            if not self._left and not self._skip and not self._piece:
                next(self._pieces, None)
        except Exception:
            log.debug("the connection of a finished answer is given up", exc_info=True)
        finally:
            self._answer.close()

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()
