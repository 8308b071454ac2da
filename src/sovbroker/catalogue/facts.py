"""What a fact is, and when it may be believed.

Every statement about a provider is a `Fact`: a value (or None, unknown) with the `Evidence` for it. Certification and
residency belong to an (offer, region), never to a provider. Three separate axes, never one "sovereign" flag: `located`
(the countries where the bytes are), `controlled` (the countries whose law reaches the operator) and `technology` (the
countries whose technology it depends on).

One rule decides everything: a fact *supports* a requirement at a date only if it is known, verified and neither expired
nor stale. Anything else may only tighten a decision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Generic, TypeVar

__all__ = [
    "FRESH",
    "Basis",
    "Confidence",
    "Evidence",
    "Fact",
    "Facts",
    "KeyHolder",
    "Qualification",
    "SealScore",
    "Status",
    "Target",
    "trimmed",
]

T_co = TypeVar("T_co", covariant=True)

FRESH = timedelta(days=365)
"""How long a fact that states no end of its own, and that can lapse, is believed after it was last seen."""


class Basis(StrEnum):
    """How a fact is known. `ATTESTED`: the operator vouches for it; `MEMORY`: nobody checked, it supports nothing."""

    VERIFIED = "verified"
    MEASURED = "measured"
    ATTESTED = "attested"
    MEMORY = "memory"


class Confidence(StrEnum):
    """How sure the source makes us."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a fact is believed.

    `sources` are ids of the provider file's sources; `as_of` is the day it was last seen true (a year or a month is
    read as its first day, the cautious end), None when the source states none; `expires` is the first day on which it
    no longer counts.
    """

    basis: Basis
    confidence: Confidence
    sources: tuple[str, ...] = ()
    as_of: date | None = None
    expires: date | None = None
    note: str = ""

    @property
    def trusted(self) -> bool:
        """Whether it is good enough to support a requirement at all, dates aside."""
        return self.basis is not Basis.MEMORY and self.confidence is not Confidence.LOW

    def live(self, at: date) -> bool:
        """Whether it has not expired on the day `at`."""
        return self.expires is None or at < self.expires

    def supports(self, at: date) -> bool:
        """Whether it may satisfy a requirement on the day `at`."""
        return self.trusted and self.live(at)


@dataclass(frozen=True, slots=True)
class Fact(Generic[T_co]):
    """A value with its evidence; `value` None means unknown."""

    value: T_co | None
    evidence: Evidence

    def supports(self, at: date) -> bool:
        """Whether it is known and may satisfy a requirement on the day `at`."""
        return self.value is not None and self.evidence.supports(at)


class Status(StrEnum):
    """The state of a qualification; only `QUALIFIED` satisfies (certified, attested and awarded are spelled so too)."""

    QUALIFIED = "qualified"
    IN_PROGRESS = "in-progress"
    EXPIRED = "expired"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Qualification:
    """One scheme's word on one (offer, region).

    `version` is the referential's version as numbers, () when unknown (then it satisfies no minimum version). Its end
    is `evidence.expires`, which is never None for a QUALIFIED one.
    """

    scheme: str
    status: Status
    evidence: Evidence
    version: tuple[int, ...] = ()
    scope: str = ""


@dataclass(frozen=True, slots=True)
class SealScore:
    """One assessor's score by the EU Cloud Sovereignty Framework: a SEAL from 0 to 4 for `SOV-1` to `SOV-8`.

    Scores of different versions of the framework (`framework`, such as `1.2.1`) do not compare.
    """

    framework: str
    assessor: str
    levels: tuple[tuple[str, int], ...]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Facts:
    """What the law asks of a place, for a target and for a key service alike. Countries are ISO 3166-1 alpha-2.

    `alone` is for what several parties keep between them: the countries whose law reaches as many of these as it takes,
    which may be none. None: one party has it all.
    """

    located: Fact[frozenset[str]]
    controlled: Fact[frozenset[str]]
    technology: Fact[frozenset[str]]
    qualified: tuple[Qualification, ...] = ()
    seal: tuple[SealScore, ...] = ()
    alone: Fact[frozenset[str]] | None = None

    @property
    def unaided(self) -> Fact[frozenset[str]]:
        """The countries whose law alone opens what is kept there.

        Where one party has it all, those are the countries whose law reaches that party.
        """
        if self.alone is not None:
            return self.alone
        # An operator that nobody reaches is one of which nothing is known.
        return Fact(self.controlled.value or None, self.controlled.evidence)

    def epochs(self) -> frozenset[date]:
        """Return the days on which one of these facts begins to count no more."""
        facts = (self.located.evidence, self.controlled.evidence, self.technology.evidence, self.unaided.evidence)
        every = (*facts, *(q.evidence for q in self.qualified), *(s.evidence for s in self.seal))
        return frozenset(e.expires for e in every if e.expires is not None)


@dataclass(frozen=True, slots=True)
class Target:
    """A place where a policy may put objects: an offer of a provider in a region.

    `id` is `provider/region`, or `provider/offer@region` where the offer is not the default one. `site` tells apart
    places that can fail together: two targets with the same site are one for `copies.distinct: [site]`. `cost` is in
    euro per GB and month, `latency` in milliseconds; both None when unknown, which ranks last.
    """

    id: str
    provider: str
    region: str
    facts: Facts
    offer: str = "object-storage"
    site: str = ""
    cost: Decimal | None = None
    latency: Decimal | None = None
    emulated: bool = False


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """A key service as the policy sees it: its id, its facts, and the keyring of the configuration that it stands for.

    Several may stand for one `keyring`: each is a way in which its recipients hold the keys. "": it is its own.
    """

    id: str
    facts: Facts = field(repr=False)
    keyring: str = ""

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self.keyring or self.id


def trimmed(version: tuple[int, ...]) -> tuple[int, ...]:
    """Return a version without trailing zeros, so that 3.2 and 3.2.0 are the same."""
    while version and version[-1] == 0:
        version = version[:-1]
    return version
