"""When a number of the right shape is one: check digits, and what its parts may be."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_card", "is_nir", "is_rpps", "is_siren", "is_siret", "luhn"]

_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")  # the sum of the digits of the double
_ZERO: Final = ord("0")
_LA_POSTE: Final = b"356000000"
_MONTHS: Final = frozenset((*range(1, 13), *range(20, 43), *range(50, 100)))
"""Those of the year, and those that stand for a month that is not known or for a register that overflowed."""

_CARD: Final = re.compile(
    rb"""
      4(?: [0-9]{12} | [0-9]{15} | [0-9]{18} )                                # Visa
    | (?: 5[1-5][0-9]{2}                                                      # Mastercard
        | 222[1-9] | 22[3-9][0-9] | 2[3-6][0-9]{2} | 27[01][0-9] | 2720       # Mastercard
        | 220[0-4]                                                            # Mir
        | 9792                                                                # Troy
        ) [0-9]{12}
    | 3[47][0-9]{13}                                                          # American Express
    | 30[0-5][0-9]{11,16}+ | 3095[0-9]{10,15}+ | 3[689][0-9]{12,17}+              # Diners Club
    | 35(?: 2[89] | [3-8][0-9] )[0-9]{12,15}+                                  # JCB
    | (?: 5[06-8] | 6[0-9] | 8[12] )[0-9]{11,17}+                              # Maestro, Discover, UnionPay, RuPay
    """,
    re.VERBOSE,
)


def luhn(value: bytes) -> bool:
    """Whether the digits have the last one that Luhn's formula gives them."""
    total = sum(value[-1::-2]) + sum(value[-2::-2].translate(_DOUBLED))
    return (total - _ZERO * len(value)) % 10 == 0


def is_siren(value: bytes) -> bool:
    """Whether nine digits are a SIREN."""
    return luhn(value) and value != b"000000000"


def is_siret(value: bytes) -> bool:
    """Whether fourteen digits are a SIRET. Those of La Poste have a digit sum that five divides."""
    if not is_siren(value[:9]):
        return False
    return luhn(value) or (value.startswith(_LA_POSTE) and (sum(value) - _ZERO * len(value)) % 5 == 0)


def is_rpps(value: bytes) -> bool:
    """Whether eleven digits are an RPPS number. The numbers given to people begin with 1."""
    return value[:1] == b"1" and luhn(value)


def is_nir(value: bytes) -> bool:
    """Whether fifteen characters (Corsica: `2A`, `2B`) are a NIR: sex, month and department that exist, and the key."""
    department = value[5:7]
    if value[:1] not in b"123478" or int(value[3:5]) not in _MONTHS or department == b"00":
        return False
    if department == b"2A":
        value = value[:5] + b"19" + value[7:]
    elif department == b"2B":
        value = value[:5] + b"18" + value[7:]
    return 97 - int(value[:13]) % 97 == int(value[13:])


def is_card(value: bytes) -> bool:
    """Whether 13 to 19 digits are a payment card's number, of an issuer's prefix and of a length that goes with it."""
    return _CARD.fullmatch(value) is not None and luhn(value)
