"""CRC32C: of bytes, of bytes joined to others, and as the service spells it."""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from sovbroker.ports import Bytes
from sovbroker_adapters.bodies import BLOCK

__all__ = ["crc32c", "extend", "joined", "read", "spell"]

_library: Final[Any] = import_module("google_crc32c")

POLYNOMIAL: Final = 0x82F63B78
ONE: Final = 1 << 31
BYTE: Final = 1 << 23
LENGTH: Final = 4


def extend(checksum: int, data: Bytes) -> int:
    """Return the checksum of what `checksum` is of, and `data` after it."""
    # The library takes nothing but bytes; a view of a block is copied, which costs less than the checksum.
    return int(_library.extend(checksum, data if isinstance(data, bytes) else bytes(data)))


def crc32c(body: Bytes) -> int:
    """Return the checksum of a body."""
    if isinstance(body, bytes):
        return extend(0, body)
    view = memoryview(body).cast("B")
    checksum = 0
    for start in range(0, len(view), BLOCK):
        checksum = extend(checksum, view[start : start + BLOCK])
    return checksum


def joined(first: int, second: int, *, length: int) -> int:
    """Return the checksum of two bodies joined, from their own; `length` is that of the second, in bytes."""
    return _product(_power(length), first) ^ second


def spell(checksum: int) -> str:
    """Return a checksum as the service spells it."""
    return base64.b64encode(checksum.to_bytes(LENGTH, "big")).decode()


def read(text: object) -> int | None:
    """Return the checksum that the service spelled; None when it is none."""
    if not isinstance(text, str):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return int.from_bytes(data, "big") if len(data) == LENGTH else None


# A checksum is a polynomial over two elements, its highest bit the constant term. Bytes that follow multiply it by a
# power of x, so that a part's checksum can be moved to its place without its bytes.


def _product(one: int, other: int) -> int:
    """Return the product of two polynomials modulo the checksum's own."""
    product = 0
    for place in range(31, -1, -1):
        if one >> place & 1:
            product ^= other
        other = other >> 1 ^ (POLYNOMIAL if other & 1 else 0)
    return product


@lru_cache(maxsize=64)
def _power(length: int) -> int:
    """Return x to the power of the bits of `length` bytes."""
    power, square = ONE, BYTE
    while length:
        if length & 1:
            power = _product(power, square)
        square = _product(square, square)
        length >>= 1
    return power
