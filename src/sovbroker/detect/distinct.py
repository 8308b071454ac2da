"""How many different values were found, in bounded memory and without keeping them."""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Final

__all__ = ["KEPT", "Distinct"]

KEPT: Final = 4096
"""How many values are told apart."""

_KEY: Final = os.urandom(16)  # what is kept says nothing about the values outside of this process


class Distinct:
    """A count of different values. Beyond `KEPT` of them, every value that is not one of these counts as a new one."""

    __slots__ = ("_kept", "count")

    def __init__(self) -> None:
        self._kept: set[bytes] = set()
        self.count = 0

    def add(self, value: bytes) -> None:
        """Count a value, if it was not counted before."""
        digest = blake2b(value, digest_size=8, key=_KEY).digest()
        if digest in self._kept:
            return
        self.count += 1
        if len(self._kept) < KEPT:
            self._kept.add(digest)
