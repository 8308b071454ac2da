"""Zones: conjunctions of predicates over the facts of a target or of a key service.

A predicate is met only by a fact that is known, trusted and live on the day. Where it is not met, it says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import assert_never

from sovbroker.catalogue.facts import (
    Basis,
    Evidence,
    Fact,
    Facts,
    KeyHolder,
    Qualification,
    SealScore,
    Status,
    Target,
    trimmed,
)

__all__ = ["Axis", "Named", "Predicate", "Qualified", "Seal", "Subject", "Within", "Zone"]


class Axis(StrEnum):
    """The separate questions about countries."""

    LOCATED = "located"
    CONTROLLED = "controlled"
    TECHNOLOGY = "technology"
    ALONE = "alone"

    @property
    def phrase(self) -> str:
        """How a sentence about the countries begins."""
        match self:
            case Axis.LOCATED:
                return "located in"
            case Axis.CONTROLLED:
                return "reached by the law of"
            case Axis.TECHNOLOGY:
                return "dependent on technology of"
            case Axis.ALONE:
                return "opened by the law alone of"
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a zone is asked about: the names by which a policy may mean it, its provider ("" for none) and its facts."""

    names: frozenset[str]
    provider: str
    facts: Facts

    @classmethod
    def of(cls, thing: Target | KeyHolder) -> Subject:
        """Return a target or a key service as a zone sees it."""
        match thing:
            case Target():
                plain = f"{thing.provider}/{thing.region}"
                offer = f"{thing.provider}/{thing.offer}@{thing.region}"
                names = {thing.id, offer} | ({plain} if thing.offer == "object-storage" else set[str]())
                return cls(frozenset(names), thing.provider, thing.facts)
            case KeyHolder():
                return cls(frozenset({thing.name}), "", thing.facts)
            case _:
                assert_never(thing)


def doubt(evidence: Evidence, day: date) -> str:
    """Say why evidence does not count on a day; "" when it does."""
    if evidence.basis is Basis.MEMORY:
        return "known only from memory"
    if not evidence.trusted:
        return f"known with {evidence.confidence.value} confidence only"
    if not evidence.live(day):
        return f"expired on {evidence.expires}"
    return ""


@dataclass(frozen=True, slots=True)
class Within:
    """Every country of one axis is among `countries`, which `names` spells as the policy does."""

    axis: Axis
    names: tuple[str, ...]
    countries: frozenset[str]

    def unmet(self, subject: Subject, day: date) -> str:
        """Say why the predicate is not met; "" when it is."""
        fact = self._fact(subject.facts)
        found = fact.value
        # A fact that names no country is no answer: "every one of none" must not satisfy. Only that nobody can do
        # something alone is one.
        told = found is not None if self.axis is Axis.ALONE else bool(found)
        if found is None or not told:
            return f"{self.axis.value}: unknown"
        if found <= self.countries and fact.evidence.supports(day):
            return ""
        reason = doubt(fact.evidence, day)
        outside = ", ".join(sorted(found - self.countries))
        if not outside:
            return f"{self.axis.value}: {reason}"
        within = f", not only {', '.join(self.names)}" if self.names else ""
        return f"{self.axis.phrase} {outside}{within}" + (f" ({reason})" if reason else "")

    def grounds(self, subject: Subject) -> tuple[Evidence, ...]:
        """Return the evidence of what the predicate looks at."""
        return (self._fact(subject.facts).evidence,)

    def _fact(self, facts: Facts) -> Fact[frozenset[str]]:
        match self.axis:
            case Axis.LOCATED:
                return facts.located
            case Axis.CONTROLLED:
                return facts.controlled
            case Axis.TECHNOLOGY:
                return facts.technology
            case Axis.ALONE:
                return facts.unaided
            case _:
                assert_never(self.axis)


@dataclass(frozen=True, slots=True)
class Qualified:
    """A live qualification of `scheme`, of at least version `least` (() for any)."""

    scheme: str
    least: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Spell it as the policy does: `secnumcloud>=3.2`."""
        return f"{self.scheme}>={'.'.join(map(str, self.least))}" if self.least else self.scheme

    def unmet(self, subject: Subject, day: date) -> str:
        """Say why the predicate is not met, by the nearest miss; "" when it is."""
        known = [q for q in subject.facts.qualified if q.scheme == self.scheme]
        if not known:
            return f"{self.scheme}: no qualification known"
        misses = [self._miss(q, day) for q in known]
        return "" if "" in misses else f"{self.scheme}: {'; '.join(dict.fromkeys(misses))}"

    def grounds(self, subject: Subject) -> tuple[Evidence, ...]:
        """Return the evidence of what the predicate looks at."""
        return tuple(q.evidence for q in subject.facts.qualified if q.scheme == self.scheme)

    def _miss(self, found: Qualification, day: date) -> str:
        match found.status:
            case Status.QUALIFIED:
                if reason := doubt(found.evidence, day):
                    return reason
                return self._too_old(found.version)
            case Status.IN_PROGRESS | Status.EXPIRED | Status.NONE | Status.UNKNOWN:
                return found.status.value
            case _:
                assert_never(found.status)

    def _too_old(self, version: tuple[int, ...]) -> str:
        if not self.least:
            return ""
        least = ".".join(map(str, self.least))
        if not version:
            return f"qualified, of an unknown version, and {least} is needed"
        if trimmed(version) < trimmed(self.least):
            return f"qualified {'.'.join(map(str, version))} < {least}"
        return ""


@dataclass(frozen=True, slots=True)
class Seal:
    """A live score by the EU Cloud Sovereignty Framework of version `framework`: at least `minimum` per objective.

    `assessors` are those whose word counts, () for anyone's.
    """

    framework: str
    minimum: tuple[tuple[str, int], ...]
    assessors: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Spell it for people: `SEAL 1.2.1: SOV-1>=2, SOV-2>=3`."""
        return f"SEAL {self.framework}: {', '.join(f'{name}>={least}' for name, least in self.minimum)}"

    def unmet(self, subject: Subject, day: date) -> str:
        """Say why the predicate is not met, by the nearest miss; "" when it is."""
        scores = subject.facts.seal
        if not scores:
            return "seal: no score known"
        misses = [self._miss(score, day) for score in scores]
        return "" if "" in misses else f"seal: {'; '.join(dict.fromkeys(misses))}"

    def grounds(self, subject: Subject) -> tuple[Evidence, ...]:
        """Return the evidence of what the predicate looks at."""
        return tuple(score.evidence for score in subject.facts.seal if score.framework == self.framework)

    def _miss(self, score: SealScore, day: date) -> str:
        if score.framework != self.framework:
            return f"scored by version {score.framework}, and {self.framework} is needed"
        if self.assessors and score.assessor not in self.assessors:
            return f"scored by {score.assessor}, not by {' or '.join(self.assessors)}"
        if reason := doubt(score.evidence, day):
            return reason
        levels = dict(score.levels)
        low = [(name, levels.get(name), least) for name, least in self.minimum if levels.get(name, -1) < least]
        return ", ".join(f"{name} {'unknown' if found is None else found} < {least}" for name, found, least in low)


@dataclass(frozen=True, slots=True)
class Named:
    """The target, or its provider, is one of `ids`."""

    what: str
    ids: tuple[str, ...]

    def unmet(self, subject: Subject, day: date) -> str:  # noqa: ARG002  # predicates share one signature
        """Say why the predicate is not met; "" when it is."""
        names = {subject.provider} if self.what == "provider" else subject.names
        if not names.isdisjoint(self.ids):
            return ""
        return f"the {self.what} is not {' or '.join(self.ids)}" if self.ids else f"no {self.what} is named"

    def grounds(self, subject: Subject) -> tuple[Evidence, ...]:  # noqa: ARG002  # predicates share one signature
        """Return no evidence: a name is not a fact."""
        return ()


Predicate = Within | Qualified | Seal | Named


@dataclass(frozen=True, slots=True)
class Zone:
    """A named conjunction of predicates; without any, everything is in it."""

    name: str
    predicates: tuple[Predicate, ...] = ()

    def unmet(self, subject: Subject, day: date) -> tuple[str, ...]:
        """Return a reason for each predicate that `subject` does not meet on `day`; () when it is in the zone."""
        return tuple(reason for p in self.predicates if (reason := p.unmet(subject, day)))

    def grounds(self, subject: Subject) -> tuple[Evidence, ...]:
        """Return the evidence by which `subject` is in the zone, or not: that of every fact that it looks at."""
        return tuple(evidence for p in self.predicates for evidence in p.grounds(subject))

    def holds(self, subject: Subject, day: date) -> bool:
        """Whether `subject` is in the zone on `day`."""
        return not any(p.unmet(subject, day) for p in self.predicates)


def members(zone: Zone, subjects: Sequence[Subject], *, day: date) -> int:
    """Return a bit per subject, the first one lowest, set where it is in the zone."""
    bits = 0
    for index, subject in enumerate(subjects):
        if zone.holds(subject, day):
            bits |= 1 << index
    return bits
