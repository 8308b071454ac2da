"""Where the bytes of an envelope lie.

An envelope is one Cobblestone-256 message (c2sp.org/chunked-encryption, version 1): a head of salt and commitment, then
the plaintext in chunks of `CHUNK` bytes, each with a tag. The last chunk is always shorter than `CHUNK`, so a plaintext
of a whole number of chunks ends with an empty one. Sizes are in bytes, chunks count from 0.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sovbroker.errors import InvalidArgument, Tampered

__all__ = ["CHUNK", "HEAD", "TAG", "Buffer", "Span", "plain_size", "sealed_size", "span"]

CHUNK: Final = 16384
"""Plaintext bytes of every chunk but the last."""

TAG: Final = 16
"""Bytes that authentication adds to each chunk."""

HEAD: Final = 56
"""Bytes before the first chunk: a salt of 24 and a commitment of 32."""

UNIT: Final = CHUNK + TAG
CHUNKS_MAX: Final = 1 << 38

Buffer = bytes | bytearray | memoryview


def sealed_size(size: int) -> int:
    """Return the size of the envelope around `size` bytes of plaintext."""
    if size < 0 or size // CHUNK >= CHUNKS_MAX:
        raise InvalidArgument(f"an envelope holds 0 to {CHUNKS_MAX * CHUNK - 1} bytes, not {size}")
    return HEAD + size + TAG * (size // CHUNK + 1)


def plain_size(size: int) -> int:
    """Return the size of the plaintext in an envelope of `size` bytes. Raises Tampered for a size that none has."""
    full, rest = divmod(size - HEAD, UNIT)
    if size < HEAD or rest < TAG or full >= CHUNKS_MAX:
        raise Tampered
    return full * CHUNK + rest - TAG


class Span(NamedTuple):
    """What to ask for, and what to do with it, to read a range of plaintext out of an envelope.

    Ask for the bytes `cipher_first` to `cipher_last` (inclusive) of the envelope; open them as chunk `first_chunk` and
    what follows, `final` or not; drop `skip` bytes of the plaintext and take the next `take`.
    """

    cipher_first: int
    cipher_last: int
    skip: int
    take: int
    first_chunk: int
    final: bool


def span(first: int, last: int, *, size: int) -> Span:
    """Return how to read the plaintext bytes `first` to `last`, both inclusive, of an object of `size` bytes.

    `last` may lie beyond the end and is cut. Up to `CHUNK` bytes cost one request of at most two chunks. Raises
    InvalidArgument for a range that runs backwards or begins beyond the end.
    """
    if first < 0 or last < first:
        raise InvalidArgument(f"the range {first}-{last} runs backwards or begins before 0")
    if first >= size:
        raise InvalidArgument(f"the range {first}-{last} begins beyond the end of {size} bytes")
    last = min(last, size - 1)
    low, high = first // CHUNK, last // CHUNK
    final = high == size // CHUNK
    end = sealed_size(size) if final else HEAD + (high + 1) * UNIT
    return Span(HEAD + low * UNIT, end - 1, first - low * CHUNK, last - first + 1, low, final)
