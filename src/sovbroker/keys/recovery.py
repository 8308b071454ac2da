"""The way back in when the key service is lost: a code on paper.

The code is the seed of an X-Wing key pair (ML-KEM-768 with X25519). The keyring holds the public half, so new keys are
wrapped for the code (HPKE, RFC 9180) while the code lies in a safe.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass, field
from typing import Final, NoReturn, Self, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sovbroker.errors import KeyUnavailable, Tampered, UnknownFormat
from sovbroker.keys.service import check_secret

__all__ = ["MLKEM_PUBLIC", "MLKEM_SEED", "X25519", "KeyPair", "RecoveryService", "new_code", "suite", "wrap_for"]

ENTROPY: Final = 25
CHECKSUM: Final = 5
CODE: Final = (ENTROPY + CHECKSUM) * 8 // 5
GROUP: Final = 6
INFO: Final = b"sovbroker recovery 1"
MLKEM_SEED: Final = 64
MLKEM_PUBLIC: Final = 1184
X25519: Final = 32
TYPED: Final = str.maketrans({"0": "O", "1": "I", "8": "B", "-": None, " ": None, "\n": None, "\r": None, "\t": None})


def new_code() -> str:
    """Return a fresh code: 200 random bits and a checksum, in base32, eight groups of six."""
    entropy = os.urandom(ENTROPY)
    text = base64.b32encode(entropy + _checksum(entropy)).decode("ascii")
    return "-".join(text[at : at + GROUP] for at in range(0, CODE, GROUP))


def wrap_for(public: bytes, secret: bytes, *, context: bytes) -> bytes:
    """Return `secret` wrapped for the holder of the code with the public key `public`, bound to `context`."""
    check_secret(secret)
    if len(public) != MLKEM_PUBLIC + X25519:
        raise UnknownFormat("the keyring's recovery key is not one that this version knows")
    try:
        key = MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public[:MLKEM_PUBLIC]),
            X25519PublicKey.from_public_bytes(public[MLKEM_PUBLIC:]),
        )
    except ValueError:
        raise UnknownFormat("the keyring's recovery key is not one that this version knows") from None
    return suite().encrypt(secret, key, context)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An X-Wing key pair: `public` is the ML-KEM-768 key, then the X25519 key."""

    private: MLKEM768X25519PrivateKey = field(repr=False)
    public: bytes

    @classmethod
    def of(cls, seed: bytes) -> Self:
        """Return the pair of a seed: that of ML-KEM (64 bytes), then the X25519 key (32)."""
        mlkem = MLKEM768PrivateKey.from_seed_bytes(seed[:MLKEM_SEED])
        x25519 = X25519PrivateKey.from_private_bytes(seed[MLKEM_SEED:])
        public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        return cls(MLKEM768X25519PrivateKey(mlkem, x25519), public)


@final
class RecoveryService:
    """A `KeyService` whose key is the recovery code, as printed once by `sovbroker keys init`.

    Spaces, dashes and case do not matter, and 0, 1, 8 are read as O, I, B. Raises KeyUnavailable for a code that was
    typed wrongly: its checksum tells.
    """

    __slots__ = ("_private", "public")

    name = "recovery"
    public: bytes

    def __init__(self, code: str) -> None:
        try:
            entropy = _entropy(code)
        except KeyUnavailable as error:
            # A wrong code is nearly a right one: nothing of it stays where tools that print local variables find it.
            code = ""
            raise error.with_traceback(None) from None
        seed = HKDF(hashes.SHA512(), MLKEM_SEED + X25519, None, INFO).derive(entropy)
        pair = KeyPair.of(seed)
        self._private, self.public = pair.private, pair.public

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """See `KeyService.wrap`."""
        return wrap_for(self.public, secret, context=context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See `KeyService.unwrap`."""
        try:
            return suite().decrypt(wrapped, self._private, context)
        except (InvalidTag, ValueError):
            raise Tampered from None

    def close(self) -> None:
        """See `KeyService.close`: there is nothing to give back."""

    def __repr__(self) -> str:
        """Print that there is one, and nothing of the code."""
        return "<recovery code>"

    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a recovery code cannot be pickled or copied")


def suite() -> Suite:
    """Return the one suite of HPKE that is used here."""
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA512, AEAD.AES_256_GCM)


def _checksum(entropy: bytes) -> bytes:
    return hashlib.sha256(INFO + entropy).digest()[:CHECKSUM]


def _entropy(code: str) -> bytes:
    text = code.upper().translate(TYPED)
    try:
        data = base64.b32decode(text) if len(text) == CODE else b""
    except (binascii.Error, ValueError):
        data = b""
    if not data or data[ENTROPY:] != _checksum(data[:ENTROPY]):
        raise KeyUnavailable("the recovery code is not one: a character is wrong or missing; compare it with the paper")
    return data[:ENTROPY]
