"""Bytes on their way back: one version, read from the first of its copies that answers with what was stored.

Nothing is released before it is authenticated, so a reader may change to another copy in the middle: what it has given
out already is right. Only copies that the row names are asked.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sovbroker.envelope import CHUNK, HEAD, TAG, ClearRecord, Opener, padded_size, padding, sealed_size, span
from sovbroker.errors import InvalidArgument, KeyUnavailable, SealError, StoreError, Tampered, Unavailable
from sovbroker.ports import Reader, Store

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Incoming", "SourceCopy", "Version", "read_range"]

log = logging.getLogger("sovbroker")

BLOCK_CHUNKS: Final = 64
UNIT: Final = CHUNK + TAG


@dataclass(frozen=True, slots=True)
class SourceCopy:
    """One copy to read from.

    `entry` is the metadata that the store must show with an envelope, None where it shows none; `else_shown` judges
    what it shows instead. `claims` is what the record of a copy in the clear must say; `beside` asks for what it says,
    where that is not in the metadata.
    """

    target: str
    store: Store
    physical: str
    sealed: bool
    entry: Mapping[str, str] | None = None
    else_shown: Callable[[Mapping[str, str]], bool] | None = None
    claims: Mapping[str, str] | None = None
    beside: Callable[[], Mapping[str, object]] | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """What the row says of the version that is read. `opener` opens its key when it is first needed.

    `padded`: what is sealed is longer than `size`, and ends with padding.
    """

    key: str
    size: int
    digest: str
    opener: Callable[[], Opener]
    padded: bool = False

    def length(self, copy: SourceCopy) -> int:
        """Return the bytes of a copy's body before it was sealed."""
        return padded_size(self.size) if self.padded and copy.sealed else self.size


def check(version: Version, copy: SourceCopy, reader: Reader) -> None:
    """Raise Tampered when the store's own answer already tells that this is not what was stored."""
    length = version.length(copy)
    expected = sealed_size(length) if copy.sealed else length
    if reader.info.size != expected:
        raise Tampered
    shown = reader.info.metadata
    other = copy.entry is not None and any(shown.get(name) != value for name, value in copy.entry.items())
    if other and (copy.else_shown is None or not copy.else_shown(shown)):
        raise Tampered
    if copy.claims is not None:
        said = _said(reader) if copy.beside is None else copy.beside()
        if said is not None and any(said.get(name) != value for name, value in copy.claims.items()):
            raise Tampered


def _said(reader: Reader) -> Mapping[str, object] | None:
    return ClearRecord.decode(reader.info.metadata.get(ClearRecord.NAME, "")).metadata


def exactly(reader: Reader, count: int) -> bytes:
    """Read `count` bytes. Raises Tampered when there are fewer: the store announced as many as were sealed."""
    data = reader.read(count)
    if len(data) == count:
        return data
    pieces = [data]
    missing = count - len(data)
    while missing:
        data = reader.read(missing)
        if not data:
            raise Tampered
        pieces.append(data)
        missing -= len(data)
    return b"".join(pieces)


def read_range(version: Version, copies: Sequence[SourceCopy], *, first: int, last: int) -> bytes:
    """Return the plaintext bytes `first` to `last`, both inclusive; one request to one copy, if the first one is good.

    A sealed range of 100 bytes asks for at most two chunks. Raises InvalidArgument for a range that runs backwards or
    begins beyond the end.
    """
    last = first + span(first, last, size=version.size).take - 1
    failures: list[StoreError | SealError] = []
    for copy in copies:
        try:
            return _range_of(version, copy, first, last)
        except KeyUnavailable:
            raise  # another copy has the same key
        except (StoreError, SealError) as error:
            _report(version, copy, error)
            failures.append(error)
    raise _worst(failures, version)


def _range_of(version: Version, copy: SourceCopy, first: int, last: int) -> bytes:
    if not copy.sealed:
        with copy.store.get(copy.physical, range=(first, last)) as reader:
            check(version, copy, reader)
            return exactly(reader, last - first + 1)
    part = span(first, last, size=version.length(copy))
    opener = version.opener()
    with copy.store.get(copy.physical, range=(part.cipher_first, part.cipher_last)) as reader:
        check(version, copy, reader)
        sealed = exactly(reader, part.cipher_last - part.cipher_first + 1)
    plain = bytearray(len(sealed))
    opener.open_into(sealed, plain, first_chunk=part.first_chunk, final=part.final)
    return bytes(memoryview(plain)[part.skip : part.skip + part.take])


class Incoming(io.RawIOBase):
    """One version as an unbuffered binary file with `seek`. Opened at once, so that errors come early."""

    def __init__(self, version: Version, copies: Sequence[SourceCopy]) -> None:
        super().__init__()
        self._version = version
        self._copies = copies
        self._turn = 0
        self._reader: Reader | None = None
        self._position = 0
        self._stream_at = 0
        self._ended = False
        self._block = bytearray()
        self._ready = memoryview(b"")
        self._digest = hashlib.sha256()
        self._digested = 0
        self._failures: list[StoreError | SealError] = []
        self._refill()

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be positioned: each jump costs one request when the next byte is read."""
        return True

    def tell(self) -> int:
        """Return the position, in bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position; beyond the end is allowed, and reads nothing."""
        self._checkClosed()
        match whence:
            case io.SEEK_SET:
                target = offset
            case io.SEEK_CUR:
                target = self._position + offset
            case io.SEEK_END:
                target = self._version.size + offset
            case _:
                raise InvalidArgument(f"whence must be 0, 1 or 2, not {whence}")
        if target < 0:
            raise InvalidArgument(f"cannot seek to {target}, before the start")
        if target != self._position:
            self._drop()
            self._position = target
        return target

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into `buffer`, as many bytes as are at hand; 0 at the end."""
        self._checkClosed()
        view = memoryview(buffer).cast("B")
        if not self._ready and len(view):
            self._refill()
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        self._position += count
        return count

    def readall(self) -> bytes:
        """Read to the end."""
        self._checkClosed()
        # Grows in place and gives its bytes away without a copy: what is read is in memory once.
        whole = io.BytesIO()
        while self._ready or self._refill():
            whole.write(self._ready)
            self._position += len(self._ready)
            self._ready = memoryview(b"")
        return whole.getvalue()

    def close(self) -> None:
        """Give the connection back."""
        if not self.closed:
            self._drop()
        super().close()

    def _checkClosed(self) -> None:  # noqa: N802 - the name that io's own classes use
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _drop(self) -> None:
        self._ready = memoryview(b"")
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _refill(self) -> bool:
        """Make the next plaintext ready, from this copy or the next one that is good; whether there is any."""
        if self._position >= self._version.size and not self._end_is_owed():
            return False
        while self._turn < len(self._copies):
            copy = self._copies[self._turn]
            try:
                if self._reader is None and not self._starts(copy):
                    return False
                self._fill(copy)
                while not self._ready and not self._ended:
                    self._fill(copy)
            except KeyUnavailable:
                self._drop()
                raise  # another copy has the same key
            except (StoreError, SealError) as error:
                _report(self._version, copy, error)
                self._failures.append(error)
                self._drop()
                self._turn += 1
            else:
                return bool(self._ready)
        raise _worst(self._failures, self._version)

    def _end_is_owed(self) -> bool:
        """Whether there is something left to authenticate, although all content was given out.

        An empty object has no bytes to read, but its end is authenticated like any other's, once. Whoever reads to the
        end reads the padding too: to stop before it would tell the provider where it begins.
        """
        if self._ended:
            return False
        return not self._version.size or self._reader is not None or self._turn == len(self._copies)

    def _starts(self, copy: SourceCopy) -> bool:
        """Open the copy's body; whether there is anything to read from the position on."""
        if not copy.sealed and self._position >= self._version.size > 0:
            # All content was given out, and behind a copy in the clear there is no padding.
            self._ended = True
            return False
        self._open(copy)
        return True

    def _open(self, copy: SourceCopy) -> None:
        """Open the copy's body at the chunk that holds the position."""
        self._ended = False
        if not copy.sealed:
            start = self._position
            self._reader = copy.store.get(copy.physical, range=(start, self._version.size - 1) if start else None)
            check(self._version, copy, self._reader)
            self._stream_at = start
            return
        opener = self._version.opener()
        chunk = self._position // CHUNK
        whole = chunk == 0
        rest = (HEAD + chunk * UNIT, sealed_size(self._version.length(copy)) - 1)
        self._reader = copy.store.get(copy.physical, range=None if whole else rest)
        check(self._version, copy, self._reader)
        if whole and exactly(self._reader, HEAD) != opener.head:
            raise Tampered
        self._stream_at = chunk * CHUNK

    def _fill(self, copy: SourceCopy) -> None:
        """Read and authenticate the next block of the open body."""
        reader = self._reader
        if reader is None:
            raise Unavailable("the body was closed", key=self._version.key)
        length = self._version.length(copy)
        left = length - self._stream_at
        if copy.sealed:
            plain = self._open_block(reader, left)
        else:
            wanted = min(left, BLOCK_CHUNKS * CHUNK)
            data = reader.read(wanted) if wanted else b""
            if wanted and not data:
                raise Tampered
            plain = memoryview(data)
        start = self._stream_at
        self._stream_at += len(plain)
        plain = self._content(plain, start)
        self._account(plain, start)
        if self._stream_at >= length:
            if not copy.sealed and self._digested == self._version.size:
                self._verify()
            self._ended = True
            reader.close()
            self._reader = None
        self._ready = plain[self._position - start :]

    def _open_block(self, reader: Reader, left: int) -> memoryview:
        length = min(left, BLOCK_CHUNKS * CHUNK)
        final = length == left
        count = length // CHUNK * UNIT + (length % CHUNK + TAG if final else 0)
        sealed = exactly(reader, count)
        if len(self._block) < count:
            self._block = bytearray(count)
        self._version.opener().open_into(sealed, self._block, first_chunk=self._stream_at // CHUNK, final=final)
        return memoryview(self._block)[:length]

    def _content(self, plain: memoryview, start: int) -> memoryview:
        """Return what of the bytes from `start` on is content. Raises Tampered for padding that is none of ours."""
        size, stop = self._version.size, start + len(plain)
        if stop > size:
            first = max(start, size)
            if bytes(plain[first - start :]) != padding(size, first=first - size, count=stop - first):
                raise Tampered
        return plain[: max(0, size - start)]

    def _account(self, plain: memoryview, start: int) -> None:
        """Digest what is read in order, whichever copy it comes from, for versions that have a clear copy."""
        if self._version.digest and start <= self._digested <= start + len(plain):
            self._digest.update(plain[self._digested - start :])
            self._digested = start + len(plain)

    def _verify(self) -> None:
        """Compare a clear copy, when all of it was read in order, with the digest of what was put."""
        if self._digest.hexdigest() != self._version.digest:
            raise Tampered


def _report(version: Version, copy: SourceCopy, error: Exception) -> None:
    log.warning("the copy of `%s` at %s cannot be read: %s", version.key, copy.target, error)


def _worst(failures: Sequence[StoreError | SealError], version: Version) -> StoreError | SealError:
    """Return what to raise when no copy was good: damage before anything else, it needs a person."""
    for error in failures:
        if isinstance(error, SealError):
            return error
    return failures[-1] if failures else Unavailable("no copy of the object can be read", key=version.key)
