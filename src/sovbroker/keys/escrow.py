"""An escrow: a key pair whose public half stands in keyrings, and whose private half lies somewhere offline.

X-Wing (ML-KEM-768 with X25519) by HPKE, as the recovery code; but the private half is a file, made where it stays.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import Final, NoReturn, final

from cryptography.exceptions import InvalidTag

from sovbroker.errors import InvalidArgument, KeyUnavailable, Tampered
from sovbroker.keys.recovery import MLKEM_PUBLIC, MLKEM_SEED, X25519, KeyPair, suite, wrap_for

__all__ = ["EscrowService", "new_escrow", "public_key"]

PRIVATE: Final = "sovbroker escrow private 1 "
PUBLIC: Final = "sovbroker escrow public 1 "


def new_escrow() -> tuple[str, str]:
    """Return a fresh pair, each half one line of text: the private one, to be kept offline, and the public one."""
    seed = os.urandom(MLKEM_SEED + X25519)
    return PRIVATE + _encode(seed), PUBLIC + _encode(KeyPair.of(seed).public)


def public_key(text: str) -> bytes:
    """Read the public half, as it stands in a keyring. Raises InvalidArgument for anything else."""
    return _decode(text, PUBLIC, MLKEM_PUBLIC + X25519)


@final
class EscrowService:
    """A `KeyService` whose key is the private half of an escrow pair. Raises InvalidArgument for what is none."""

    __slots__ = ("_pair", "name")

    name: str

    def __init__(self, name: str, private: str) -> None:
        self.name = name
        try:
            seed = _decode(private, PRIVATE, MLKEM_SEED + X25519)
        except InvalidArgument:
            # What was given may be a secret all the same: it is not repeated.
            raise KeyUnavailable(f"`{name}`: this is no private half of an escrow pair") from None
        self._pair = KeyPair.of(seed)

    @property
    def public(self) -> bytes:
        """The public half, as it stands in a keyring."""
        return self._pair.public

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """See `KeyService.wrap`."""
        return wrap_for(self._pair.public, secret, context=context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See `KeyService.unwrap`."""
        try:
            return suite().decrypt(wrapped, self._pair.private, context)
        except (InvalidTag, ValueError):
            raise Tampered from None

    def close(self) -> None:
        """See `KeyService.close`: there is nothing to give back."""

    def __repr__(self) -> str:
        """Print that there is one, and nothing of it."""
        return f"<escrow {self.name}>"

    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("an escrow's private half cannot be pickled or copied")


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: str, mark: str, length: int) -> bytes:
    line = text.strip()
    try:
        data = base64.b64decode(line.removeprefix(mark), validate=True) if line.startswith(mark) else b""
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != length:
        raise InvalidArgument(f"this is not a line that begins with `{mark.strip()}` and holds {length} bytes")
    return data
