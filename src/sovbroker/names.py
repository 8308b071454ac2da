"""Encrypted names: keys that tell a provider nothing but where the slashes are.

Each segment between slashes is encrypted with AES-SIV (RFC 5297), bound to the domain and to every encrypted segment
before it. The same key gives the same name, so a prefix that ends at a slash still lists; the order of names and
searches within a segment do not survive. Names reveal the length of each segment and which keys share a folder.
"""

from __future__ import annotations

import base64
import binascii
from enum import Enum
from typing import Final, NoReturn, assert_never, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from sovbroker.envelope.chunks import expand
from sovbroker.envelope.layout import Buffer
from sovbroker.envelope.secret import Secret, secret_bytes
from sovbroker.errors import InvalidArgument, Tampered

__all__ = ["SEGMENT_MAX", "Alphabet", "NameCipher"]

SEGMENT_MAX: Final = 255
"""Bytes of an encrypted segment that file systems and stores take."""

SIV: Final = 16
INFO: Final = b"sovbroker names 1"
KEY: Final = 64


class Alphabet(Enum):
    """How encrypted bytes are spelled. `BASE64URL` is shorter, for stores that keep upper and lower case apart."""

    BASE32HEX = "base32hex"
    BASE64URL = "base64url"

    def longest(self, characters: int) -> int:
        """Return the bytes of the longest plain segment that gives at most `characters`."""
        match self:
            case Alphabet.BASE32HEX:
                return max(0, characters * 5 // 8 - SIV)
            case Alphabet.BASE64URL:
                return max(0, characters * 6 // 8 - SIV)
            case _:
                assert_never(self)


@final
class NameCipher:
    """Encrypts the names of one domain under a key derived from its 32-byte `key`."""

    __slots__ = ("_domain", "_siv")

    def __init__(self, key: Secret | Buffer, domain: str) -> None:
        self._siv = AESSIV(expand(secret_bytes(key), info=INFO, size=KEY))
        self._domain = _utf8(domain)

    def encrypt(self, key: str, *, alphabet: Alphabet = Alphabet.BASE32HEX, segment_max: int = SEGMENT_MAX) -> str:
        """Return the encrypted name of a key, or of a prefix that ends at a slash.

        The name has as many slashes as the key, and an empty segment stays empty. Raises InvalidArgument for a segment
        that would take more than `segment_max` characters, and for text without a UTF-8 form.
        """
        longest = alphabet.longest(segment_max)
        parent, names = b"", list[str]()
        for segment in key.split("/"):
            data = _utf8(segment)
            if len(data) > longest:
                raise InvalidArgument(
                    f"the segment `{segment}` has {len(data)} bytes; encrypted in {alphabet.value}, at most {longest} "
                    f"fit the limit of {segment_max} characters"
                )
            sealed = self._siv.encrypt(data, [self._domain, parent]) if data else b""
            names.append(_spell(sealed, alphabet))
            parent += _child(sealed)
        return "/".join(names)

    def decrypt(self, name: str, *, alphabet: Alphabet = Alphabet.BASE32HEX) -> str:
        """Return the key of an encrypted name. Raises Tampered for one that `encrypt` did not make in this domain."""
        parent, segments = b"", list[str]()
        for spelled in name.split("/"):
            sealed = _read(spelled, alphabet)
            try:
                segments.append(self._siv.decrypt(sealed, [self._domain, parent]).decode() if sealed else "")
            except (InvalidTag, ValueError):
                raise Tampered from None
            parent += _child(sealed)
        return "/".join(segments)

    def __repr__(self) -> str:
        """Print that there is one, and nothing of its key."""
        return "<names>"

    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a name cipher cannot be pickled or copied: it holds a key")


def _child(sealed: bytes) -> bytes:
    """Return what an encrypted segment adds to the path that later ones are bound to: its length and itself."""
    return len(sealed).to_bytes(4, "big") + sealed


def _utf8(segment: str) -> bytes:
    try:
        return segment.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{segment!a} is not text that has a UTF-8 form") from error


def _spell(data: bytes, alphabet: Alphabet) -> str:
    match alphabet:
        case Alphabet.BASE32HEX:
            return base64.b32hexencode(data).rstrip(b"=").decode("ascii").lower()
        case Alphabet.BASE64URL:
            return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
        case _:
            assert_never(alphabet)


def _read(spelled: str, alphabet: Alphabet) -> bytes:
    """Decode a segment in the one spelling that `_spell` writes."""
    try:
        match alphabet:
            case Alphabet.BASE32HEX:
                data = base64.b32hexdecode(spelled.upper() + "=" * (-len(spelled) % 8))
            case Alphabet.BASE64URL:
                data = base64.b64decode(spelled + "=" * (-len(spelled) % 4), altchars=b"-_", validate=True)
            case _:
                assert_never(alphabet)
    except (binascii.Error, ValueError):
        raise Tampered from None
    if _spell(data, alphabet) != spelled or 0 < len(data) <= SIV:
        raise Tampered
    return data
