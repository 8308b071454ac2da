"""Envelopes as binary files: sealing or opening while somebody reads."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from sovbroker.envelope.layout import CHUNK, HEAD, TAG, UNIT
from sovbroker.envelope.opener import Opener
from sovbroker.envelope.sealer import Sealer
from sovbroker.errors import Tampered

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["OpeningReader", "SealingReader"]

BLOCK: Final = 64


class Source(Protocol):
    """A binary file to read from. A short read is not the end, an empty one is."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        ...


class BlockReader(io.RawIOBase):
    """A binary file that is made block by block, in buffers that are reused. An error comes back on every later read.

    Whoever derives from it says how many bytes a block may take and how it is made; a block of none is the end.
    """

    def __init__(self, source: Source, *, taken: int, made: int) -> None:
        super().__init__()
        self._source = source
        self._readinto: Callable[[memoryview], int | None] | None = getattr(source, "readinto", None)
        self._input = memoryview(bytearray(taken))
        self._made = made
        self._output = memoryview(b"")
        self._ready = memoryview(b"")
        self._error: BaseException | None = None

    @abstractmethod
    def _make(self, out: memoryview) -> int:
        """Make the next block at the beginning of `out`; return its size, 0 at the end."""

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into `buffer` as many bytes as are at hand; 0 at the end."""
        view = memoryview(buffer).cast("B")
        if not self._ready and len(view) >= self._made:
            return self._next(view)
        if len(view):
            self._refill()
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes, what is at hand; all of the rest for -1; b"" at the end."""
        if size is None or size < 0:
            return self.readall()
        if size:
            self._refill()
        data = bytes(self._ready[:size])
        self._ready = self._ready[size:]
        return data

    def readall(self) -> bytes:
        """Read to the end."""
        pieces: list[bytes] = []
        while self._refill():
            pieces.append(bytes(self._ready))
            self._ready = memoryview(b"")
        return b"".join(pieces)

    def close(self) -> None:
        """Overwrite the buffers. The source is left open: it is its owner's."""
        if not self.closed:
            self._input[:] = bytes(len(self._input))
            if self._output:
                self._output[:] = bytes(len(self._output))
            self._ready = memoryview(b"")
        super().close()

    def _refill(self) -> bool:
        """Make the next block if there is nothing left of the last one; whether there is anything now."""
        if not self._ready:
            if not self._output:
                self._output = memoryview(bytearray(self._made))
            self._ready = self._output[: self._next(self._output)]
        return bool(self._ready)

    def _next(self, out: memoryview) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if self._error is not None:
            raise self._error
        try:
            return self._make(out)
        except BaseException as error:
            self._error = error
            raise

    def _take(self) -> memoryview:
        """Read the source until the input is full or the source ends; return what came."""
        at = 0
        while at < len(self._input):
            if self._readinto is not None:
                count = self._readinto(self._input[at:]) or 0
            else:
                data = self._source.read(len(self._input) - at)
                count = len(data)
                self._input[at : at + count] = data
            if not count:
                break
            at += count
        return self._input[:at]

    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a reader cannot be pickled or copied")


class SealingReader(BlockReader):
    """The envelope of what `source` gives, as an unbuffered binary file: for stores that take one body, not parts.

    Memory: two blocks of about 1 MiB. An error of the source is raised as it is, again on every later read: a body that
    broke off is never passed off as a whole one.
    """

    def __init__(self, source: Source, sealer: Sealer) -> None:
        super().__init__(source, taken=BLOCK * CHUNK, made=HEAD + BLOCK * UNIT + TAG)
        self._sealer = sealer
        self._chunk = 0
        self._ended = False

    @property
    def head(self) -> bytes:
        """The first 56 bytes of what this gives."""
        return self._sealer.head

    def _make(self, out: memoryview) -> int:
        if self._ended:
            return 0
        lead = 0 if self._chunk else HEAD
        out[:lead] = self._sealer.head[:lead]
        plain = self._take()
        self._ended = len(plain) < len(self._input)
        size = self._sealer.seal_into(plain, out[lead:], first_chunk=self._chunk, final=self._ended)
        self._chunk += BLOCK
        return lead + size


class OpeningReader(BlockReader):
    """The plaintext of the envelope that `source` gives, as an unbuffered binary file.

    `opener` makes the opener once the head is read. Nothing is given out before its chunk is authenticated, and the end
    is reported only when the envelope's own end was: a truncated one raises Tampered, also on every later read.
    Memory: two blocks of about 1 MiB.
    """

    def __init__(self, source: Source, opener: Callable[[bytes], Opener]) -> None:
        super().__init__(source, taken=BLOCK * UNIT, made=BLOCK * CHUNK)
        self._make_opener = opener
        self._opener: Opener | None = None
        self._chunk = 0
        self._ended = False

    def _make(self, out: memoryview) -> int:
        if self._opener is None:
            self._opener = self._make_opener(self._read_head())
        if self._ended:
            return 0
        sealed = self._take()
        self._ended = len(sealed) < len(self._input)
        size = self._opener.open_into(sealed, out, first_chunk=self._chunk, final=self._ended)
        self._chunk += BLOCK
        return size

    def _read_head(self) -> bytes:
        head = b""
        while len(head) < HEAD:
            data = self._source.read(HEAD - len(head))
            if not data:
                raise Tampered
            head += data
        return head
