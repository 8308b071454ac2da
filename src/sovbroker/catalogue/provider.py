"""What the catalogue says of one provider: the content of one file, typed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Final

from sovbroker.catalogue.facts import (
    FRESH,
    Basis,
    Confidence,
    Evidence,
    Fact,
    Facts,
    Qualification,
    Status,
    Target,
)
from sovbroker.catalogue.storage import Face, Storage, Values

__all__ = [
    "DEFAULT_OFFER",
    "SCHEMES",
    "Applies",
    "Compute",
    "Exposure",
    "Grant",
    "Provider",
    "Reference",
    "Region",
    "Statement",
    "ending",
    "years_after",
]

DEFAULT_OFFER: Final = "object-storage"
"""The offer that `provider/region` means."""

SCHEMES: Final[Mapping[str, int | None]] = {
    "c5": None,
    "ec-sovereign-cloud-180m": None,
    "ens": None,
    "eucs": None,
    "hds": None,
    "iso27001": None,
    "secnumcloud": 3,
}
"""The schemes that qualify, certify, attest or award, each with the years that it is valid for where its rules say so.

Source of the three years: the SecNumCloud referential of ANSSI.
"""


class Applies(StrEnum):
    """Whether a law reaches the operator. `CONTESTED`: an authority says so, and it is before a court."""

    YES = "yes"
    NO = "no"
    CONTESTED = "contested"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reference:
    """Where facts come from: a page, a package, an article. `date` is spelled as in the file, "" when unknown."""

    ref: str
    date: str = ""


@dataclass(frozen=True, slots=True)
class Exposure:
    """A law of another country that reaches the operator, or is said to. People weigh it; no rule reads it.

    `disputed`: the provider says otherwise.
    """

    law: str
    applies: Applies
    evidence: Evidence
    scope: str = ""
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """A scheme's word on `offers` in `regions`; either is empty where the source does not name them."""

    qualification: Qualification
    offers: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    since: date | None = None

    def of(self, offer: str, region: str) -> Qualification | None:
        """Return what it says of an offer in a region, or None where it is about others.

        A grant counts where its source names both. Where it leaves one open, nobody said that it covers this offer in
        this region: it is unknown there. What satisfies nothing anyway (in progress, none) needs no such care.
        """
        if (self.offers and offer not in self.offers) or (self.regions and region not in self.regions):
            return None
        found = self.qualification
        if (self.offers and self.regions) or found.status is not Status.QUALIFIED:
            return found
        return replace(found, status=Status.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Region:
    """A region: its country (ISO 3166-1 alpha-2), and the place, for people.

    `site` is where it is, by the name of another provider's region, when that is the same infrastructure. `offers` and
    `controlled` replace the provider's own where this region differs.
    """

    country: Fact[str]
    place: str
    site: str = ""
    offers: tuple[str, ...] | None = None
    controlled: Fact[frozenset[str]] | None = None


@dataclass(frozen=True, slots=True)
class Compute:
    """How to reach the compute side: the kind of API, the adapter that speaks it ("" for none), and other clients."""

    api: str
    adapter: str = ""
    client: str = ""
    note: str = ""
    facts: Mapping[str, Fact[Values]] = field(default_factory=dict[str, Fact[Values]])


@dataclass(frozen=True, slots=True)
class Statement:
    """One fact with what it is about, for people who check. `value` None means unknown."""

    about: str
    value: str | tuple[str, ...] | None
    evidence: Evidence


NOTHING_KNOWN: Final = Evidence(Basis.MEMORY, Confidence.LOW, note="the catalogue does not say")


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider. `tier` is a word for readers, no rule reads it; `offers` are those of its regions, by default."""

    id: str
    name: str
    tier: str
    offers: tuple[str, ...]
    sources: Mapping[str, Reference]
    seat: Fact[str]
    controlled: Fact[frozenset[str]]
    storage: Storage
    compute: Compute
    technology: Fact[frozenset[str]] | None = None
    ownership: Fact[str] | None = None
    exposures: tuple[Exposure, ...] = ()
    grants: tuple[Grant, ...] = ()
    regions: Mapping[str, Region] = field(default_factory=dict[str, Region])
    facts: Mapping[str, Fact[Values]] = field(default_factory=dict[str, Fact[Values]])

    def offers_in(self, region: str) -> tuple[str, ...]:
        """Return the offers of a region, which must be one of `regions`."""
        own = self.regions[region].offers
        return self.offers if own is None else own

    def target(self, region: str, *, offer: str = DEFAULT_OFFER) -> Target:
        """Return what a policy sees of an offer in a region, which must be one of `regions`."""
        found = self.regions[region]
        country = found.country.value
        said = (grant.of(offer, region) for grant in self.grants)
        return Target(
            id=f"{self.id}/{region}" if offer == DEFAULT_OFFER else f"{self.id}/{offer}@{region}",
            provider=self.id,
            region=str(region),
            offer=offer,
            site=found.site or f"{self.id}/{region}",
            facts=Facts(
                located=Fact(None if country is None else frozenset({country}), found.country.evidence),
                controlled=found.controlled or self.controlled,
                technology=self.technology or Fact(None, NOTHING_KNOWN),
                qualified=tuple(qualification for qualification in said if qualification is not None),
            ),
        )

    def statements(self) -> Iterator[Statement]:
        """Yield every fact, in the order of the file."""
        yield Statement("seat", self.seat.value, self.seat.evidence)
        yield _countries("controlled", self.controlled)
        if self.technology is not None:
            yield _countries("technology", self.technology)
        if self.ownership is not None:
            yield Statement("ownership", self.ownership.value, self.ownership.evidence)
        for exposure in self.exposures:
            disputed = ", disputed by the provider" if exposure.disputed else ""
            scope = f" ({exposure.scope})" if exposure.scope else ""
            yield Statement("exposure", f"{exposure.law}: {exposure.applies}{scope}{disputed}", exposure.evidence)
        for grant in self.grants:
            yield Statement("qualification", _spelled(grant), grant.qualification.evidence)
        for code, region in self.regions.items():
            yield Statement(f"region {code}", f"{region.country.value}, {region.place}", region.country.evidence)
            if region.controlled is not None:
                yield _countries(f"region {code} controlled", region.controlled)
        for face in (self.storage, *self.storage.also):
            yield from _reached(face, "storage" if face is self.storage else f"storage by {face.adapter}")
        for part, facts in (("storage ", self.storage.facts), ("compute ", self.compute.facts), ("", self.facts)):
            for about, fact in facts.items():
                yield Statement(f"{part}{about}", fact.value, fact.evidence)


def ending(qualification: Qualification, *, since: date | None) -> Qualification:
    """Return the qualification with an end, where it counts and its file states none.

    The scheme's own validity runs from the day of the grant. Where the scheme has none, or the day is unknown, it is
    believed for `FRESH` after it was last seen. Without any date it has ended already: unknown is no.
    """
    evidence = qualification.evidence
    if qualification.status is not Status.QUALIFIED or evidence.expires is not None:
        return qualification
    years = SCHEMES.get(qualification.scheme)
    if since is not None and years is not None:
        end = years_after(since, years)
    elif evidence.as_of is not None:
        end = evidence.as_of + FRESH
    else:
        end = date.min
    return replace(qualification, evidence=replace(evidence, expires=end))


def years_after(day: date, years: int) -> date:
    """Return the same day `years` later; 29 February becomes the 28th, the cautious end."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def _countries(about: str, fact: Fact[frozenset[str]]) -> Statement:
    return Statement(about, None if fact.value is None else tuple(sorted(fact.value)), fact.evidence)


def _reached(face: Face, about: str) -> Iterator[Statement]:
    for endpoint in face.endpoints:
        where = f" of {', '.join(sorted(endpoint.regions))}" if endpoint.regions else ""
        yield Statement(f"{about} endpoint{where}", endpoint.url.value, endpoint.url.evidence)


def _spelled(grant: Grant) -> str:
    found = grant.qualification
    version = f" {'.'.join(map(str, found.version))}" if found.version else ""
    offers = ", ".join(sorted(grant.offers)) or "no offer named"
    regions = ", ".join(sorted(grant.regions)) or "no region named"
    return f"{found.scheme}{version}: {found.status.value}; {offers}; {regions}; {found.scope}"
