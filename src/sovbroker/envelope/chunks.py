"""The chunks of an envelope, in any order.

The native class of `cryptography` is faster but only goes from the first chunk to the last; this is the same format by
chunk number. Each call to the cipher releases the interpreter lock.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from sovbroker.envelope.layout import CHUNK, TAG, UNIT

__all__ = ["SALT", "Chunks", "derive", "expand"]

SALT: Final = 24
INFO: Final = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"
KEY: Final = 32
NONCE: Final = 12
COMMITMENT: Final = 32


def expand(key: bytes, *, info: bytes, size: int) -> bytes:
    """Return `size` bytes of HKDF-Expand with SHA-512: a key of its own for each `info`."""
    return HKDFExpand(hashes.SHA512(), size, info).derive(key)


def derive(dek: bytes, *, salt: bytes, context: bytes) -> tuple[Chunks, bytes]:
    """Return the chunks' cipher and the commitment, for 32 bytes of key."""
    okm = expand(dek, info=INFO + salt + context, size=KEY + NONCE + COMMITMENT)
    return Chunks(okm[:KEY], okm[KEY : KEY + NONCE]), okm[KEY + NONCE :]


class Chunks:
    """Seals and opens runs of chunks. The caller has checked all sizes and never seals a number twice."""

    __slots__ = ("_aead", "_base")

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._aead = AESGCM(key)
        self._base = int.from_bytes(nonce, "big")

    def seal(self, data: memoryview, out: memoryview, *, first: int, final: bool) -> None:
        """Seal `data` as chunk `first` and what follows into the beginning of `out`."""
        encrypt, number = self._aead.encrypt_into, self._base
        full = len(data) // CHUNK
        for index in range(full):
            at, to = index * CHUNK, index * UNIT
            nonce = (number ^ (first + index)).to_bytes(NONCE, "big")
            encrypt(nonce, data[at : at + CHUNK], None, out[to : to + UNIT])
        if final:
            rest = data[full * CHUNK :]
            nonce = (number ^ (first + full)).to_bytes(NONCE, "big")
            encrypt(nonce, rest, None, out[full * UNIT : full * UNIT + len(rest) + TAG])

    def open(self, data: memoryview, out: memoryview, *, first: int, final: bool) -> None:
        """Open `data`, sealed as chunk `first` and what follows. Raises InvalidTag, with plaintext left in `out`."""
        decrypt, number = self._aead.decrypt_into, self._base
        full = len(data) // UNIT
        for index in range(full):
            at, to = index * UNIT, index * CHUNK
            nonce = (number ^ (first + index)).to_bytes(NONCE, "big")
            decrypt(nonce, data[at : at + UNIT], None, out[to : to + CHUNK])
        if final:
            rest = data[full * UNIT :]
            nonce = (number ^ (first + full)).to_bytes(NONCE, "big")
            decrypt(nonce, rest, None, out[full * CHUNK : full * CHUNK + len(rest) - TAG])
