"""The sieve for e-mail addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from sovbroker.detect.distinct import Distinct

__all__ = ["EMAILS", "Emails"]

EMAILS: Final = ("email",)

_LOCAL: Final = rb"A-Za-z0-9._%+'&~\-\x80-\xff"
_LOCAL_BYTES: Final = bytes(byte for byte in range(256) if re.match(rb"[" + _LOCAL + rb"]", bytes([byte])))
_LOCAL_MOST: Final = 64
_DOMAIN_MOST: Final = 255

ANCHOR: Final = re.compile(rb"@(?<=[" + _LOCAL + rb"]@)(?=[A-Za-z0-9\-\x80-\xff]{1,63}+\.)")
_DOMAIN: Final = re.compile(rb"[A-Za-z0-9\-\x80-\xff]{1,63}+(?:\.[A-Za-z0-9\-\x80-\xff]{1,63}+){1,16}+")
_LAST: Final = re.compile(rb"(?:[Xx][Nn]--[A-Za-z0-9\-]{1,59}+|[A-Za-z]{2,63}+)(?![A-Za-z0-9]|-[A-Za-z0-9])")
# Quotation marks, spaces and dashes of UTF-8 (U+0080 to U+00BF, U+2000 to U+203F) and of Latin-1, and ASCII marks.
_LEADING: Final = re.compile(rb"(?:\xc2[\x80-\xbf]|\xe2\x80[\x80-\xbf]|[\x80-\xbf]|[.'%+&~\-]){0,64}+")
_LOWER: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz")


class Emails:
    """Counts the different addresses; capitals make no difference."""

    def __init__(self, names: Iterable[str]) -> None:
        self.found = {name: Distinct() for name in names}
        self.tried = 0
        """The places at which an address was tried."""

    def look(self, text: bytes, start: int, stop: int, base: int) -> None:  # noqa: ARG002  # a sieve's face
        """Count the addresses whose `@` stands in `text[start:stop]`."""
        for anchor in ANCHOR.finditer(text, start):
            at = anchor.start()
            if at >= stop:
                break
            self.tried += 1
            value = _around(text, at)
            if value:
                for distinct in self.found.values():
                    distinct.add(value)


def _around(text: bytes, at: int) -> bytes:
    """Return the address around an `@`; nothing if there is none."""
    domain = _domain(text, at + 1)
    before = text[max(0, at - _LOCAL_MOST) : at]
    local = before[len(before.rstrip(_LOCAL_BYTES)) :]
    leading = _LEADING.match(local)
    local = local[leading.end() :] if leading is not None and leading.end() < len(local) else local
    return (local + b"@" + domain).translate(_LOWER) if domain else b""


def _domain(text: bytes, at: int) -> bytes:
    """Return the longest name that ends in a top-level domain; nothing if there is none."""
    found = _DOMAIN.match(text, at, at + _DOMAIN_MOST)
    if found is None:
        return b""
    labels = found[0].split(b".")
    for count in range(len(labels) - 1, 0, -1):
        last = _LAST.match(labels[count])
        if last is not None:
            return b".".join([*labels[:count], last[0]])
    return b""
