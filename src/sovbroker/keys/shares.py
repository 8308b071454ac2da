"""A key in shares: any `quorum` of them make it again, fewer tell nothing of it (Shamir's scheme).

Over the integers modulo the first prime beyond 2^256. Each share also carries a check of the whole key, so that a
share that does not belong is found out instead of making another key.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Final

from sovbroker.envelope.secret import KEY, Secret
from sovbroker.errors import ConfigError, InvalidArgument, KeyUnavailable, Tampered

__all__ = ["SHARE", "join", "split"]

MODULUS: Final = (1 << 256) + 297
VALUE: Final = 33
CHECK: Final = 16
SHARE: Final = 1 + VALUE + CHECK
"""Bytes of a share: its number, its value, the check."""

SHARES_MAX: Final = 16
LABEL: Final = b"sovbroker share check 1"


def split(key: Secret, *, count: int, quorum: int, context: bytes) -> list[bytes]:
    """Return `count` shares of a key, of which any `quorum` make it again; all of one `context`.

    Raises InvalidArgument for a quorum below 2 or above `count`, and ConfigError where the extra is missing.
    """
    if not 2 <= quorum <= count <= SHARES_MAX:  # noqa: PLR2004 - one share would be the key itself
        raise InvalidArgument(f"{quorum} of {count} shares cannot be: from 2 to the number of recipients, at most 16")
    data = key.reveal()
    if len(data) != KEY:
        raise InvalidArgument(f"only keys of {KEY} bytes are shared")
    made = _shamirs().shares(int.from_bytes(data, "big"), count, modulus=MODULUS, threshold=quorum)
    check = _check(data, context)
    return [bytes([share.index]) + int(share.value).to_bytes(VALUE, "big") + check for share in made]


def join(shares: Sequence[bytes], *, quorum: int, context: bytes) -> Secret:
    """Return the key that shares of one `context` make. Raises KeyUnavailable for too few, Tampered for wrong ones."""
    known = {share[0]: share for share in shares if len(share) == SHARE}
    if len(known) < quorum:
        raise KeyUnavailable(f"{len(known)} of the {quorum} shares that are needed are at hand")
    if 0 in known or len(known) != len(shares) or len({share[-CHECK:] for share in shares}) != 1:
        raise Tampered
    library = _shamirs()
    points = [
        library.share(number, int.from_bytes(share[1 : 1 + VALUE], "big") % MODULUS, MODULUS)
        for number, share in sorted(known.items())[:quorum]
    ]
    value = int(library.interpolate(points, threshold=quorum))
    if value.bit_length() > 8 * KEY:
        raise Tampered
    data = value.to_bytes(KEY, "big")
    if not hmac.compare_digest(_check(data, context), shares[0][-CHECK:]):
        raise Tampered
    return Secret(data)


def _check(key: bytes, context: bytes) -> bytes:
    return hmac.new(key, LABEL + context, "sha256").digest()[:CHECK]


def _shamirs() -> ModuleType:
    try:
        library = import_module("shamirs")  # only a keyring with a quorum needs it
    except ModuleNotFoundError as error:
        raise ConfigError("shamirs is not installed; run `pip install 'sovbroker[quorum]'`") from error
    return library
