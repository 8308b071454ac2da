"""Key bytes that do not leak by accident."""

from __future__ import annotations

import hmac
import os
from typing import NoReturn, final

from sovbroker.envelope.layout import Buffer
from sovbroker.errors import InvalidArgument, KeyUnavailable

__all__ = ["KEY", "Secret", "new_dek", "secret_bytes"]

KEY = 32
"""Bytes of every symmetric key here."""


@final
class Secret:
    """Bytes that do not print, log, pickle or copy themselves, and compare in constant time.

    `reveal` is the only way to the bytes, so that every use can be found. `wipe` overwrites them; so does the end of
    the object's life. Copies that `reveal` gave away, and those inside the cryptographic library, are out of reach.
    """

    __slots__ = ("_data", "_wiped")

    def __init__(self, data: Buffer) -> None:
        self._wiped = False
        self._data = bytearray(data)

    @classmethod
    def random(cls, size: int = KEY) -> Secret:
        """Return `size` fresh bytes from the operating system, which also differ between a process and its fork."""
        return cls(os.urandom(size))

    def reveal(self) -> bytes:
        """Return a copy of the bytes. Raises KeyUnavailable after `wipe`."""
        # The copy comes first: a `wipe` in another thread sets the mark before it overwrites.
        data = bytes(self._data)
        if self._wiped:
            raise KeyUnavailable("the key was wiped; open the keyring again")
        return data

    def wipe(self) -> None:
        """Overwrite the bytes; every later use raises KeyUnavailable. May be called twice."""
        self._wiped = True
        self._data[:] = bytes(len(self._data))

    def __len__(self) -> int:
        """Return the number of bytes."""
        return len(self._data)

    def __eq__(self, other: object) -> bool:
        """Compare with another secret, in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal(), other.reveal())

    __hash__ = None  # type: ignore[assignment]  # a hash would outlive the wipe

    def __repr__(self) -> str:
        """Print that there is one, and nothing of it."""
        return "<secret>"

    def __format__(self, spec: str, /) -> str:
        """Print that there is one, and nothing of it."""
        return "<secret>"

    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a secret cannot be pickled or copied")

    def __del__(self) -> None:
        """Overwrite the bytes when nobody holds them any more."""
        self.wipe()


def new_dek() -> Secret:
    """Return a fresh data encryption key of 32 bytes: one per version of an object, never used for another."""
    return Secret.random()


def secret_bytes(key: Secret | Buffer, *, size: int = KEY) -> bytes:
    """Return the bytes of a key. Raises InvalidArgument when there are not `size` of them."""
    data = key.reveal() if isinstance(key, Secret) else bytes(key)
    if len(data) != size:
        raise InvalidArgument(f"a key has {size} bytes, not {len(data)}")
    return data
