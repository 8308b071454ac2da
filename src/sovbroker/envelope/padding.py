"""Padding: bytes behind a plaintext, so that the size of its envelope says little of its own.

The lengths are those of Padmé: Nikitin, Barman, Lueks, Underwood, Hubaux and Ford, "Reducing Metadata Leakage from
Encrypted Files and Communication with PURBs", Proceedings on Privacy Enhancing Technologies 2019(4), algorithm 1. A
length of L bytes is rounded up to one whose binary form has only zeros behind its first bits, as many as the exponent
takes to write down; so O(log log L) bits of it are left to see, and at most 12 % are added.

Behind the zeros stand the last eight bytes, which say the plaintext's size: the envelope tells by itself where it ends.
"""

from __future__ import annotations

from typing import Final

from sovbroker.envelope.layout import plain_size
from sovbroker.errors import InvalidArgument, Tampered

__all__ = ["TRAILER", "padded_size", "padding", "padme", "told_size"]

TRAILER: Final = 8
"""Bytes of the size that ends a padded plaintext."""


def padme(length: int) -> int:
    """Return the least length that Padmé allows from `length` bytes on: at most 12 % more.

    It grows with `length`, and a length that it returned is returned as it is. Raises InvalidArgument below 0.
    """
    if length < 0:
        raise InvalidArgument(f"a length is 0 or more bytes, not {length}")
    exponent = length.bit_length() - 1
    if exponent < 1:
        return length  # 0 and 1 have no bits to hide
    mask = (1 << exponent - exponent.bit_length()) - 1
    return length + mask & ~mask


def padded_size(size: int) -> int:
    """Return the bytes of a plaintext of `size` with its padding: a length that Padmé allows."""
    return padme(size + TRAILER)


def padding(size: int, *, first: int, count: int) -> bytes:
    """Return `count` bytes of the padding of a plaintext of `size` bytes, from its byte `first` on.

    Raises InvalidArgument beyond its end.
    """
    zeros = padded_size(size) - size - TRAILER
    stop = first + count
    if first < 0 or count < 0 or stop > zeros + TRAILER:
        raise InvalidArgument(f"the padding of {size} bytes has {zeros + TRAILER}, not those from {first} to {stop}")
    end = size.to_bytes(TRAILER, "big")
    return bytes(max(0, min(stop, zeros) - first)) + end[max(0, first - zeros) : max(0, stop - zeros)]


def told_size(last: bytes, *, sealed: int) -> int:
    """Return the size that the last bytes of a padded plaintext say, in an envelope of `sealed` bytes.

    Raises Tampered unless padding that size gives an envelope of that size.
    """
    body = plain_size(sealed)
    size = int.from_bytes(last, "big")
    if len(last) != TRAILER or size > body or padded_size(size) != body:
        raise Tampered
    return size
