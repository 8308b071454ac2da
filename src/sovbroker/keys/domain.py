"""A domain key: what the data encryption keys of one domain are wrapped under."""

from __future__ import annotations

import base64
import binascii
import json
import os
from typing import Final, NoReturn, cast, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from sovbroker.envelope.secret import KEY, Secret, secret_bytes
from sovbroker.errors import KeyUnavailable, Tampered, UnknownFormat
from sovbroker.names import NameCipher

__all__ = ["DomainKey"]

PARTS: Final = 5
NONCE: Final = 12
TAG: Final = 16
JWE_MAX: Final = 4096


@final
class DomainKey:
    """One epoch of a domain's key. Data encryption keys are wrapped as JWE compact (RFC 7516), A256KW with A256GCM.

    `kid` is opaque: it stands in the clear beside every object. Ask the keyring for it each time rather than keep it,
    so that the keyring's limits of time and use hold.
    """

    __slots__ = ("_header", "_names", "_secret", "domain", "epoch", "kid")

    domain: str
    epoch: int
    kid: str

    def __init__(self, secret: Secret, *, domain: str, epoch: int, kid: str) -> None:
        self._secret = secret
        self.domain = domain
        self.epoch = epoch
        self.kid = kid
        header = json.dumps({"alg": "A256KW", "enc": "A256GCM", "kid": kid}, separators=(",", ":"))
        self._header = _encode(header.encode())
        self._names: NameCipher | None = None

    def wrap_dek(self, dek: Secret | bytes) -> str:
        """Return a data encryption key, wrapped: five parts of base64url, about 220 characters."""
        content_key, nonce = os.urandom(KEY), os.urandom(NONCE)
        wrapped = aes_key_wrap(self._secret.reveal(), content_key)
        sealed = AESGCM(content_key).encrypt(nonce, secret_bytes(dek), self._header.encode())
        return ".".join(
            (self._header, _encode(wrapped), _encode(nonce), _encode(sealed[:-TAG]), _encode(sealed[-TAG:]))
        )

    def unwrap_dek(self, wrapped: str) -> Secret:
        """Return the data encryption key that `wrap_dek` wrapped.

        Raises Tampered for a damaged one, KeyUnavailable for one of another domain key, and UnknownFormat for any other
        algorithm: none is accepted because the text says so.
        """
        parts = wrapped.split(".")
        if len(parts) != PARTS or len(wrapped) > JWE_MAX:
            raise Tampered
        if parts[0] != self._header:
            raise self._why(parts[0])
        key, nonce, sealed, tag = (_decode(part) for part in parts[1:])
        if len(nonce) != NONCE or len(tag) != TAG:
            raise Tampered
        try:
            cipher = AESGCM(aes_key_unwrap(self._secret.reveal(), key))
            return Secret(secret_bytes(cipher.decrypt(nonce, sealed + tag, parts[0].encode())))
        except (InvalidUnwrap, InvalidTag, ValueError):
            raise Tampered from None

    def names(self) -> NameCipher:
        """Return the cipher for names in this domain, under a key derived from this one."""
        if self._names is None:
            self._names = NameCipher(self._secret, self.domain)
        return self._names

    def _why(self, header: str) -> Tampered | UnknownFormat | KeyUnavailable:
        """Return the reason for which another header than ours is refused."""
        try:
            found: object = json.loads(_decode(header))
        except (ValueError, RecursionError):
            return Tampered()
        entries = cast("dict[str, object]", found) if isinstance(found, dict) else {}
        if set(entries) != {"alg", "enc", "kid"} or (entries["alg"], entries["enc"]) != ("A256KW", "A256GCM"):
            return UnknownFormat("the wrapped key is not A256KW with A256GCM, the only way that is accepted")
        if entries["kid"] == self.kid:
            return UnknownFormat("the wrapped key's header is not spelled as it must be")
        return KeyUnavailable(f"the key was wrapped under `{entries['kid']!s:.64}`, not under `{self.kid}`")

    def __repr__(self) -> str:
        """Print which key it is, and nothing of it."""
        return f"DomainKey(domain={self.domain!r}, epoch={self.epoch}, kid={self.kid!r})"

    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a domain key cannot be pickled or copied")

    def wipe(self) -> None:
        """Overwrite the key; every later use raises KeyUnavailable."""
        self._secret.wipe()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    """Decode base64url without padding, in the one spelling that `_encode` writes."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Tampered from None
    if _encode(data) != text:
        raise Tampered
    return data
