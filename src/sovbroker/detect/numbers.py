"""The sieve for numbers: one reading for all of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sovbroker.detect.checks import is_card, is_nir, is_rpps, is_siren, is_siret
from sovbroker.detect.distinct import Distinct
from sovbroker.detect.ibans import iban_at
from sovbroker.detect.shapes import ANCHOR, CLASSES, ESCAPES, FORM_NAMES, FORMS, THOUSANDS, bare

__all__ = ["NUMBERS", "Numbers"]

NUMBERS: Final = ("fr.nir", "fr.siren", "fr.siret", "fr.rpps", "iban", "payment-card")

_CHECKS: Final[Mapping[str, Callable[[bytes], bool]]] = {
    "fr.nir": is_nir,
    "fr.siren": is_siren,
    "fr.siret": is_siret,
    "fr.rpps": is_rpps,
    "payment-card": is_card,
}
_SIREN: Final = 9
_RPPS: Final = 11
_BEFORE: Final = 12  # bytes that hold three digits and the longest separator


class Numbers:
    """Counts the different numbers of each kind that is asked for.

    All kinds are looked for whatever is asked: what lies within a longer number that is valid is not a finding.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.found = {name: Distinct() for name in names}
        self.tried = 0
        """The places at which a number was tried."""
        self._taken = 0

    def look(self, text: bytes, start: int, stop: int, base: int) -> None:
        """Count the numbers that begin in `text[start:stop]`; `base` is the place of `text[0]` in the stream."""
        for at in _places(text, start, stop):
            self.tried += 1
            findings = _at(text, at)
            if not findings:
                continue
            end = max(findings)[0]
            if base + end <= self._taken:
                continue
            self._taken = base + end
            for own, name, value in findings:
                if own == end and (distinct := self.found.get(name)) is not None:
                    distinct.add(value)


def _places(text: bytes, start: int, stop: int) -> Iterable[int]:
    """Return where in `text[start:stop]` a number may begin, or the check digits of an IBAN, in order."""
    places = [anchor.start() for anchor in ANCHOR.finditer(text.translate(CLASSES), start)]
    escapes = [escape for mark, escape in ESCAPES if mark in text]
    if escapes:
        after = (found.end() for escape in escapes for found in escape.finditer(text))
        places = sorted({*places, *(at for at in after if at >= start)})
    return places[: bisect_left(places, stop)]


def _at(text: bytes, at: int) -> list[tuple[int, str, bytes]]:
    """Return the valid numbers that begin at a place (an IBAN: two before it): their end, their kind, their value."""
    iban = iban_at(text, at) if at > 1 and text[at - 1] > ord("9") else None
    if iban is not None:
        return [(iban[0], "iban", iban[1])]
    forms = FORMS.match(text, at)
    if forms is None or forms.lastindex is None:
        return []
    found: list[tuple[int, str, bytes]] = []
    for number, name in enumerate(FORM_NAMES, 1):
        written = forms[number]
        if written is None:
            continue
        value = bare(written)
        if name == "fr.rpps" and len(value) > _RPPS:
            value = value[1:] if value[0] == ord("8") else b""
        if name == "fr.siren" and len(written) > _SIREN and THOUSANDS.search(text, max(0, at - _BEFORE), at):
            continue
        if _CHECKS[name](value):
            found.append((forms.end(number), name, value))
    return found
