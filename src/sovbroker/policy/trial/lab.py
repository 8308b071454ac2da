"""The targets and key services of a cases file, as facts: every one attested, as if the operator vouched for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from sovbroker.catalogue.countries import COUNTRIES
from sovbroker.catalogue.facts import (
    Basis,
    Confidence,
    Evidence,
    Fact,
    Facts,
    KeyHolder,
    Qualification,
    SealScore,
    Status,
    Target,
)
from sovbroker.document import Findings, Word, suggest
from sovbroker.policy import codes
from sovbroker.policy.trial.language import FactsDoc, QualifiedDoc, ScoreDoc

__all__ = ["holder", "target"]

OFFER = "object-storage"


def target(name: Word, doc: FactsDoc, findings: Findings) -> Target:
    """Return a target. `provider/region`, `provider/offer@region`, or one word for what the operator runs itself."""
    provider, _, rest = name.partition("/")
    offer, at, region = rest.partition("@")
    return Target(
        id=str(name),
        provider=provider,
        region=region if at else offer,
        facts=_facts(doc, findings),
        offer=offer if at else OFFER,
        site="" if doc.site is None else str(doc.site),
        cost=doc.cost,
        latency=doc.latency,
    )


def holder(name: Word, doc: FactsDoc, findings: Findings) -> KeyHolder:
    """Return a key service."""
    return KeyHolder(str(name), _facts(doc, findings))


def _facts(doc: FactsDoc, findings: Findings) -> Facts:
    return Facts(
        located=_countries(doc.located, findings),
        controlled=_countries(doc.controlled, findings),
        technology=_countries(doc.technology, findings),
        qualified=tuple(map(_qualification, doc.qualified)),
        seal=tuple(_score(score, findings) for score in doc.seal),
        alone=Fact(None if doc.alone is None else _known(doc.alone, findings), _vouched(None)),
    )


def _countries(words: Iterable[Word], findings: Findings) -> Fact[frozenset[str]]:
    return Fact(_known(words, findings) or None, _vouched(None))


def _known(words: Iterable[Word], findings: Findings) -> frozenset[str]:
    for word in words:
        if str(word) not in COUNTRIES:
            message = f"unknown country `{word}`"
            findings.error(codes.NO_COUNTRY, word.place, message, suggest(word, COUNTRIES))
    return frozenset(map(str, words))


def _qualification(doc: QualifiedDoc) -> Qualification:
    version = () if doc.version is None else tuple(map(int, doc.version.split(".")))
    return Qualification(str(doc.scheme), Status.QUALIFIED, _vouched(doc.until), version)


def _score(doc: ScoreDoc, findings: Findings) -> SealScore:
    if not doc.levels:
        message = "the score names no objective"
        findings.error(codes.WRONG_VALUE, doc.place, message, "say the SEAL of one at least: `SOV-2: 3`")
    return SealScore(str(doc.framework), str(doc.assessor), doc.levels, _vouched(doc.until))


def _vouched(until: date | None) -> Evidence:
    return Evidence(Basis.ATTESTED, Confidence.HIGH, expires=until)
