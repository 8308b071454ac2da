"""From a zone as it is written to its predicates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from sovbroker.catalogue.countries import COUNTRIES, expand
from sovbroker.document import Findings, Word, suggest
from sovbroker.errors import InvalidArgument
from sovbroker.policy import codes
from sovbroker.policy.documents import SealDoc, ZoneDoc
from sovbroker.policy.vocabulary import SCHEMES
from sovbroker.policy.zones import Axis, Named, Predicate, Qualified, Seal, Within, Zone

__all__ = ["build_zone"]

KNOWN: Final = "known"
"""The group of every country, which a policy can ask for: what is there is known."""

SCHEME: Final = re.compile(r"([a-z0-9][a-z0-9-]*)(?:\s*>=\s*([0-9]+(?:\.[0-9]+){0,3}))?")


def build_zone(name: str, doc: ZoneDoc, findings: Findings, *, schemes: Iterable[str]) -> Zone:
    """Return the zone that `doc` describes; names that mean nothing are findings."""
    predicates: list[Predicate] = []
    for axis, words in (
        (Axis.LOCATED, doc.located),
        (Axis.CONTROLLED, doc.controlled),
        (Axis.TECHNOLOGY, doc.technology),
        (Axis.ALONE, doc.alone),
    ):
        if words is not None:
            predicates.append(_within(axis, words, findings))
    known = SCHEMES | frozenset(schemes)
    for word in sorted(doc.qualified or ()):
        found = _qualified(word, known, findings)
        if found is not None:
            predicates.append(found)
    if doc.seal is not None:
        predicates.append(_seal(doc.seal, findings))
    if doc.provider is not None:
        predicates.append(Named("provider", tuple(sorted(map(str, doc.provider)))))
    if doc.target is not None:
        predicates.append(Named("target", tuple(sorted(map(str, doc.target)))))
    return Zone(str(name), tuple(predicates))


def _within(axis: Axis, words: tuple[Word, ...], findings: Findings) -> Within:
    countries = frozenset[str]()
    for word in words:
        if word == KNOWN:
            countries |= COUNTRIES
            continue
        try:
            countries |= expand([str(word)])
        except InvalidArgument as error:
            message, _, mend = str(error).partition("; ")
            findings.error(codes.NO_COUNTRY, word.place, message, mend)
    return Within(axis, tuple(sorted(map(str, words))), countries)


def _seal(doc: SealDoc, findings: Findings) -> Seal:
    if not doc.levels:
        message = "`seal` names no objective"
        findings.error(codes.WRONG_VALUE, doc.place, message, "say the least SEAL of one at least: `SOV-2: 3`")
    return Seal(str(doc.framework), doc.levels, tuple(sorted(map(str, doc.assessor))))


def _qualified(word: Word, known: frozenset[str], findings: Findings) -> Qualified | None:
    match = SCHEME.fullmatch(word)
    if match is None:
        message = f"`{word}` is not a scheme such as `hds` or `secnumcloud>=3.2`"
        findings.error(codes.WRONG_VALUE, word.place, message)
        return None
    if match[1] not in known:
        findings.error(codes.NO_SCHEME, word.place, f"unknown qualification `{match[1]}`", suggest(match[1], known))
        return None
    return Qualified(match[1], tuple(map(int, match[2].split("."))) if match[2] else ())
