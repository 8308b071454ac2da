"""Bodies on the wire: out with a digest of what was sent, in with a check that all of it came."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self

from sovbroker.errors import Unavailable
from sovbroker.ports import Bytes, ObjectInfo, Source
from sovbroker_adapters.bodies import blocks
from sovbroker_adapters.checks import clip
from sovbroker_adapters.webdav.multistatus import etag_of, time_of

if TYPE_CHECKING:
    import httpx

__all__ = ["Digest", "Outgoing", "WebdavReader"]

log = logging.getLogger("sovbroker")

PARTIAL: Final = 206
LENGTHS: Final = {"sha1": 40, "md5": 32}
CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
LENGTH: Final = re.compile(r"\d{1,19}")
NO_BODY: Final = memoryview(b"")


class Hash(Protocol):
    """What makes a digest."""

    def update(self, data: memoryview, /) -> None:
        """Go on."""
        ...

    def hexdigest(self) -> str:
        """Return the digest."""
        ...


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of bodies that a server may tell: `kind` is `sha1`, `md5` or `none`.

    `in_etags`: every ETag is this digest, so that a body without one is not taken.
    """

    kind: str
    in_etags: bool = False

    def begin(self) -> Hash | None:
        """Return what makes the digest, None when nobody asked for one."""
        return None if self.kind == "none" else hashlib.new(self.kind, usedforsecurity=False)

    def told(self, checksums: str, etag: str | None = None) -> str | None:
        """Return the digest in `SHA1:… MD5:…`, or in an ETag; None when it is not told."""
        words = [word.lower().partition(":") for word in checksums.split()]
        found = [digest for kind, _, digest in words if kind == self.kind]
        if not found and self.in_etags and etag is not None and len(etag) == LENGTHS.get(self.kind):
            return etag.lower()
        return found[0] if found else None


class Outgoing:
    """One sending of a body. `error` is what the body's source raised; `broke_off`: only a part of it was sent."""

    def __init__(self, body: Bytes | Source, *, size: int, digest: Digest) -> None:
        self.error: BaseException | None = None
        self.broke_off = False
        self._blocks = blocks(body, size=size)
        self._digest = digest
        self._hash = digest.begin()

    def __iter__(self) -> Iterator[memoryview]:
        """Yield the blocks to send; once."""
        try:
            for block in self._blocks:
                self.broke_off = True
                yield block
                # After the block is on its way, so that the digest is made while the network works.
                if self._hash is not None:
                    self._hash.update(block)
            self.broke_off = False
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise

    def contradicts(self, checksums: str) -> bool:
        """Whether a server's checksums, `SHA1:… MD5:…`, are those of another body. What they do not tell is fine."""
        told = self._digest.told(checksums)
        return self._hash is not None and told is not None and told != self._hash.hexdigest()


class WebdavReader:
    """A `Reader` of an answer: `skip` bytes of it are passed over, then come `length` bytes, or an error.

    Where the server told a digest of what it sends whole, the last bytes come only if it is right: some servers open
    the file after they have described it, and by then it may have been replaced.
    """

    def __init__(
        self,
        response: httpx.Response,
        info: ObjectInfo,
        *,
        skip: int,
        length: int,
        told: tuple[Hash | None, str | None],
        target: str,
    ) -> None:
        self.info = info
        self._response = response
        self._pieces = response.iter_raw()
        self._piece = NO_BODY
        self._skip = skip
        self._left = length
        self._hash, self._expected = told
        self._target = target
        self._closed = False

    @classmethod
    def over(
        cls,
        response: httpx.Response,
        key: str,
        span: tuple[int, int] | None,
        *,
        digest: Digest,
        target: str,
        size: Callable[[], int],
    ) -> WebdavReader:
        """Return a reader of what was asked for, whatever part of the object the answer holds.

        `size` asks how long the object is, for servers that do not say it beside the body: some do not of an empty one.
        Raises InvalidArgument for a range beyond the end, and Unavailable for an answer to another question.
        """
        try:
            return cls._checked(response, key, span, digest=digest, target=target, ask=size)
        except BaseException:
            response.close()
            raise

    @classmethod
    def _checked(
        cls,
        response: httpx.Response,
        key: str,
        span: tuple[int, int] | None,
        *,
        digest: Digest,
        target: str,
        ask: Callable[[], int],
    ) -> WebdavReader:
        def broken(why: str) -> Unavailable:
            return Unavailable(f"`{key}`: {why}", target=target, key=key)

        headers = response.headers
        coding = headers.get("Content-Encoding", "identity")
        if coding != "identity":
            raise broken(f"the store sent it encoded as `{coding}`, which was not asked for")
        if response.status_code not in {200, PARTIAL}:
            raise broken(f"the store answered {response.status_code}, which carries no body")
        partial = response.status_code == PARTIAL
        found = CONTENT_RANGE.fullmatch(headers.get("Content-Range", "")) if partial else None
        length = headers.get("Content-Length", "")
        if length and not LENGTH.fullmatch(length):
            raise broken("the store did not say how long it is")
        if partial and found is None:
            raise broken("the store did not say which range it sent")
        size = int(found[3]) if found is not None else int(length) if length else ask()
        info = ObjectInfo(key, size, etag_of(headers.get("ETag", "")), time_of(headers.get("Last-Modified", "")))
        offset, wanted = clip(span, size=size)
        first, last = (0, size - 1) if found is None else (int(found[1]), int(found[2]))
        told_right = not length or int(length) == last - first + 1
        if not (first <= offset and offset + wanted - 1 <= last < size and told_right) and size:
            raise broken("the store answered another range than was asked for")
        # A server that does not know ranges sends all of it; some send more than they were asked for.
        told = digest.told(headers.get("OC-Checksum", ""), info.etag)
        if digest.in_etags and told is None:
            # Such a server says nothing where it sees the file change under its hands.
            raise broken("the store did not tell its digest")
        whole = told is not None and wanted == size
        expected = (digest.begin() if whole else None, told)
        return cls(response, info, skip=offset - first, length=wanted, told=expected, target=target)

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
            if not self._left and self._hash.hexdigest() != self._expected:
                raise self._broken("it is not the body that the store announced")
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
            self._response.close()

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()
