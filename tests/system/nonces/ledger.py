"""What AES-GCM is asked to seal, written down before it is: in every process, under every way to the cipher.

A line of the file is `process what key nonce plaintext`, the last three as digests or hex. It is appended in one write,
so processes share the file, and it is there before a byte of ciphertext is, so a kill loses none.
"""

import hashlib
import os

from cryptography.cobblestone import Cobblestone256Encryptor
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from sovbroker.envelope import chunks, metadata, sealer
from sovbroker.keys import domain, passphrase

CHUNK = 16384
INFO = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"

files = []


def short(data):
    return hashlib.sha256(data).hexdigest()[:32]


def note(what, key, nonce, plain):
    os.write(files[0], f"{os.getpid()} {what} {short(key)} {nonce} {short(plain)}\n".encode())


class Native:
    """The fast way to the chunks: what it is given, cut as the format says, under the key that the format says."""

    def __init__(self, key, context):
        self._inner = Cobblestone256Encryptor(key, context)
        self._head = self._inner.update(b"")
        salt = self._head[:24]
        note("dek", key, short(context), salt)
        okm = HKDFExpand(hashes.SHA512(), 76, INFO + salt + context).derive(key)
        self._key, self._base = okm[:32], int.from_bytes(okm[32:44], "big")
        self._at, self._pending = 0, bytearray()

    def _chunk(self, data):
        note("chunk", self._key, f"{self._base ^ self._at:024x}", data)
        self._at += 1

    def _take(self, data):
        self._pending += data
        while len(self._pending) >= CHUNK:
            self._chunk(self._pending[:CHUNK])
            del self._pending[:CHUNK]

    def update(self, data):
        head, self._head = self._head, b""
        self._take(data)
        return head + self._inner.update(data)

    def update_into(self, data, out):
        assert not self._head
        self._take(data)
        return self._inner.update_into(data, out)

    def finalize(self):
        self._chunk(self._pending)
        return self._inner.finalize()


class Plain:
    """AES-GCM itself: on it stand the chunks by number, metadata, wrapped keys."""

    def __init__(self, key):
        self._key, self._inner = bytes(key), AESGCM(key)

    def encrypt(self, nonce, data, extra):
        note("message", self._key, bytes(nonce).hex(), bytes(data) + b"|" + bytes(extra or b""))
        return self._inner.encrypt(nonce, data, extra)

    def encrypt_into(self, nonce, data, extra, out):
        assert extra is None
        note("chunk", self._key, bytes(nonce).hex(), bytes(data))
        return self._inner.encrypt_into(nonce, data, extra, out)

    def __getattr__(self, name):
        return getattr(self._inner, name)


def keep(path):
    """Write down all that this process and its children seal from now on."""
    files.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    sealer.Cobblestone256Encryptor = Native
    for module in (chunks, metadata, domain, passphrase):
        module.AESGCM = Plain
