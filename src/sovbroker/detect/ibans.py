"""International bank account numbers (ISO 13616): how long each country's are, and what stands where."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from sovbroker.detect.shapes import IBAN_LEFT, SEPARATOR, bare

__all__ = ["COUNTRIES", "iban_at", "is_iban"]

# After the country and two check digits: so many digits (n), capital letters (a), or either (c).
_STRUCTURES: Final = """
    AD8n12c AE19n AL8n16c AT16n AZ4a20c BA16n BE12n BG4a6n8c BH4a14c BI23n BR23n1a1c BY4c4n16c CH5n12c CR18n CY8n16c
    CZ20n DE18n DJ23n DK14n DO4c20n EE16n EG25n ES20n FI14n FK2a12n FO14n FR10n11c2n GB4a14n GE2a16n GI4a15c GL14n
    GR7n16c GT24c HN4a20n HR17n HU24n IE4a14n IL19n IQ4a15n IS22n IT1a10n12c JO4a4n18c KW4a22c KZ3n13c LB4n20c LC4a24c
    LI5n12c LT16n LU3n13c LV4a13c LY21n MC10n11c2n MD20c ME18n MK3n10c2n MN16n MR23n MT4a5n18c MU4a19n3a NI4a20n
    NL4a10n NO11n OM3n16c PK4a16c PL24n PS4a21c PT21n QA4a21c RO4a16c RS18n RU14n15c SA2n18c SC4a20n3a SD14n SE20n
    SI15n SK20n SM1a10n12c SO19n ST21n SV4a20n TL19n TN20n TR6n16c UA6n19c VA18n VG4a16n XK16n YE4a4n18c
"""
COUNTRIES: Final = {entry[:2]: re.findall(r"([0-9]+)([nac])", entry) for entry in _STRUCTURES.split()}
"""The runs of each country's account numbers."""

_CLASSES: Final = {"n": rb"[0-9]", "a": rb"[A-Za-z]", "c": rb"[0-9A-Za-z]"}


@cache
def _shape(country: str) -> re.Pattern[bytes]:
    """Return what follows the country, in groups of any size."""
    separator = SEPARATOR + rb"?"
    runs = b"".join(rb"(?:%b%b){%d}" % (separator, _CLASSES[kind], int(count)) for count, kind in COUNTRIES[country])
    return re.compile(rb"[0-9]{2}" + runs + rb"(?![0-9A-Za-z])")


def is_iban(value: bytes) -> bool:
    """Whether capital letters and digits that have their country's shape have the right check digits."""
    number = "".join(str(int(letter, 36)) for letter in (value[4:] + value[:4]).decode("ascii"))
    return int(number) % 97 == 1


def iban_at(text: bytes, at: int) -> tuple[int, bytes] | None:
    """Return where the IBAN ends whose check digits stand at `at`, and its value; None if there is none."""
    country = text[at - 2 : at].decode("latin-1").upper()
    if country not in COUNTRIES or IBAN_LEFT.search(text, max(0, at - 10), at - 2) is None:
        return None
    written = _shape(country).match(text, at)
    if written is None:
        return None
    value = country.encode("ascii") + bare(written[0])
    return (written.end(), value) if is_iban(value) else None
