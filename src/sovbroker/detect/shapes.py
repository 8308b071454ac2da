"""How numbers are written: the patterns of what may be one, before any check digit is looked at.

No pattern here repeats without a bound, and none takes back what a repeat took, so that each costs no more than a
constant at each place. Bytes of ASCII, UTF-8 and Latin-1 are read alike.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ANCHOR", "CLASSES", "ESCAPES", "FORMS", "FORM_NAMES", "IBAN_LEFT", "SEPARATOR", "THOUSANDS", "bare"]

# What may stand between two groups: spaces that break or do not (U+0020, U+00A0, U+2007, U+2009, U+202F), dot, hyphens
# (also U+2010, U+2011). U+202F of UTF-16 reads `/ ` or ` /` once NUL bytes are dropped. JSON and XML write them out.
SEPARATOR: Final = (
    rb"(?:[ .\-\xa0]|\xc2\xa0|\xe2\x80[\x87\x89\x90\x91\xaf]|/\x20|\x20/"
    rb"|\\u(?:00[Aa]0|20(?:07|09|1[01]|2[Ff]))"
    rb"|&(?:nbsp|#(?:160|8239|[xX](?:00)?[Aa]0|[xX]202[Ff]));)"
)
_MARKS: Final = bytes(range(0x30)) + b"|" + bytes(range(0x80, 0x100))  # and all else that separators are made of
_WRITTEN: Final = re.compile(rb"\\u[0-9A-Fa-f]{4}|&[^;]{1,8}+;")
_P: Final = SEPARATOR
_S: Final = SEPARATOR + rb"?"

# A digit or a hexadecimal letter right beside a number makes it a part of something longer (a digest, an identifier),
# and so does a decimal fraction that is not zero. The escapes of JSON and of addresses end in such characters too.
_LEFT: Final = rb"(?:(?<![0-9A-Fa-f])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2}))(?<![0-9]\.)"
_RIGHT: Final = rb"(?![0-9A-Fa-f]|\.(?!0{1,4}+(?![0-9]))[0-9])"

CLASSES: Final = bytes.maketrans(
    b"123456789" + b"BCDEFabcdef" + b"GHIJKLMNOPQRSTUVWXYghijklmnopqrstuvwxyz" + b".-\xa0",
    b"0" * 9 + b"A" * 11 + b"Z" * 39 + b" " * 3,
)
"""A table for `translate`: digits, hexadecimal letters, other letters and single separators are one byte each."""

_Q: Final = rb"(?: /?|\xc2\x20|\xe2\x80[\x87\x89\x90\x91\xaf]|/\x20|\\Z[0A]{4}|&[^;]{2,7}+;)"
ANCHOR: Final = re.compile(
    rb"0(?:(?<![0A]0)(?=0{8}|0{5}A|0{0,7}+" + _Q + rb"0)"
    + rb"(?=(?:0|" + _Q + rb"0){5}" + _Q + rb"?[0A](?:0|" + _Q + rb"0){2})"
    + rb"|(?<=[AZ][AZ]0)(?=0(?:" + _Q + rb"?[0AZ]){11})"
    + rb")"
)  # fmt: skip
"""In a text translated by `CLASSES`: the first digit of what may be a number, or of an IBAN's check digits."""

ESCAPES: Final = (
    (b"\\u", re.compile(rb"\\u[0-9A-Fa-f]{4}(?=[0-9])")),
    (b"%", re.compile(rb"%[0-9A-Fa-f]{2}(?=[0-9])")),
)
"""What a number may follow though it ends in a hexadecimal digit, and what every one begins with."""


def _joined(*parts: bytes) -> bytes:
    return _P.join(parts)


def _digits(count: int) -> bytes:
    return rb"[0-9]{%d}" % count


_SHAPES: Final[tuple[tuple[str, bytes], ...]] = (
    (
        "fr.nir",
        rb"[1-478]" + _S + rb"[0-9]{2}" + _S + rb"[0-9]{2}" + _S
        + rb"(?:(?:[0-9]{2}|2[ABab])" + _S + rb"[0-9]{3}|9[78][0-9]" + _S + rb"[0-9]{2})" + _S
        + rb"[0-9]{3}(?:" + _P + rb"|[/|]){0,3}+[0-9]{2}",
    ),
    (
        "fr.siren",
        rb"(?:[0-9]{9}|" + _joined(_digits(3), _digits(3), _digits(3)) + rb"(?!" + _P + rb"[0-9]{3}(?![0-9])))",
    ),
    (
        "fr.siret",
        rb"[0-9]{3}" + _S + rb"[0-9]{3}" + _S + rb"[0-9]{3}" + _S
        + rb"(?:[0-9]{5}|" + b"|".join(_joined(_digits(5 - last), _digits(last)) for last in (1, 2, 3)) + rb")",
    ),
    (
        "fr.rpps",
        rb"(?:8?[0-9]{11}|" + _joined(_digits(2), _digits(3), _digits(3), _digits(3)) + rb")",
    ),
    (
        "payment-card",
        rb"(?:[0-9]{13,19}+|"
        + b"|".join(
            _joined(*map(_digits, groups))
            for groups in ((4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 5, 6), (4, 3, 3, 3), (4, 4, 5), (6, 13))
        )
        + rb")",
    ),
    ("payment-card", _joined(_digits(4), _digits(4), _digits(4), _digits(4), _digits(3))),
)  # fmt: skip

FORM_NAMES: Final = tuple(name for name, _ in _SHAPES)
"""The detector of each group of `FORMS`."""

FORMS: Final = re.compile(_LEFT + b"".join(rb"(?:(?=(" + shape + rb")" + _RIGHT + rb")|)" for _, shape in _SHAPES))
"""What a number that begins here may be: a group for each shape that fits."""

THOUSANDS: Final = re.compile(rb"(?<![0-9])[0-9]{1,3}+" + _P + rb"\Z")
"""The end of a text after which a group of three digits goes on with a longer number."""

IBAN_LEFT: Final = re.compile(rb"(?:(?<![0-9A-Za-z])|(?<=\\[nrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2}))\Z")
"""The end of a text after which an IBAN may begin."""


def bare(written: bytes) -> bytes:
    """Return the letters (in upper case) and digits of a number as it is written."""
    if written.isdigit():
        return written
    if b"\\" in written or b"&" in written:
        written = _WRITTEN.sub(b"", written)
    return written.translate(None, _MARKS).upper()
