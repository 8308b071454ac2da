"""What the catalogue says of one provider: the content of one file, typed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

from sovbroker.catalogue.facts import FRESH, Evidence, Fact, Facts, Qualification, Status, Target

__all__ = ["Compute", "Exposure", "Grant", "Provider", "Reference", "Region", "Statement", "Storage"]

DEFAULT_OFFER: Final = "object-storage"
VALID_YEARS: Final = {"secnumcloud": 3}
"""How long a qualification of a scheme is valid after it was granted, in years (the scheme's own rule)."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where facts come from: a page, a package, a press article; `date` as the file spells it, a year may be all."""

    ref: str
    date: str = ""


@dataclass(frozen=True, slots=True)
class Exposure:
    """A law of another country that reaches the operator, or is said to: told by `show`, and weighed by people."""

    law: str
    applies: str
    evidence: Evidence
    scope: str = ""
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """A scheme's word on `offers` in `regions`. Where the source names none of them, it counts for no target."""

    qualification: Qualification
    offers: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()

    def covers(self, offer: str, region: str) -> bool:
        """Whether it was said of this offer in this region."""
        return offer in self.offers and region in self.regions


@dataclass(frozen=True, slots=True)
class Region:
    """A region: its country (ISO 3166-1 alpha-2), a place for people, and the site that it can fail together with."""

    country: Fact[str]
    place: str
    site: str = ""


@dataclass(frozen=True, slots=True)
class Storage:
    """How to reach the storage. `adapter` None: `supply` says what the operator must bring.

    `endpoint` is a URL with placeholders, `endpoints` those of single regions, which go before it. `settings` are in
    the adapter's words.
    """

    api: str
    adapter: str | None = None
    supply: str = ""
    endpoint: Fact[str] | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict[str, str])
    signing_region: str = ""
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    note: str = ""
    facts: Mapping[str, Fact[object]] = field(default_factory=dict[str, Fact[object]])


@dataclass(frozen=True, slots=True)
class Compute:
    """How to reach the compute side."""

    api: str
    client: str = ""
    note: str = ""
    facts: Mapping[str, Fact[object]] = field(default_factory=dict[str, Fact[object]])


@dataclass(frozen=True, slots=True)
class Statement:
    """One fact with the place where the file says it, for people who check."""

    about: str
    value: object
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider. `tier` is a word for readers; no decision looks at it."""

    id: str
    name: str
    tier: str
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
    facts: Mapping[str, Fact[object]] = field(default_factory=dict[str, Fact[object]])

    def target(self, region: str, *, offer: str = DEFAULT_OFFER) -> Target:
        """Return what a policy sees of an offer in a region. The region must be one of `regions`."""
        found = self.regions[region]
        spelled = f"{self.id}/{region}" if offer == DEFAULT_OFFER else f"{self.id}/{offer}@{region}"
        country = found.country
        value = None if country.value is None else frozenset({country.value})
        unknown: Fact[frozenset[str]] = Fact(None, self.controlled.evidence)
        return Target(
            id=spelled,
            provider=self.id,
            region=region,
            offer=offer,
            site=found.site or f"{self.id}/{region}",
            facts=Facts(
                located=Fact(value, country.evidence),
                controlled=self.controlled,
                technology=self.technology or unknown,
                qualified=tuple(grant.qualification for grant in self.grants if grant.covers(offer, region)),
            ),
        )

    def statements(self) -> Iterator[Statement]:
        """Yield every fact, in the order of the file."""
        yield Statement("seat", self.seat.value, self.seat.evidence)
        yield Statement("controlled", _listed(self.controlled.value), self.controlled.evidence)
        if self.technology is not None:
            yield Statement("technology", _listed(self.technology.value), self.technology.evidence)
        if self.ownership is not None:
            yield Statement("ownership", self.ownership.value, self.ownership.evidence)
        for exposure in self.exposures:
            disputed = ", disputed by the provider" if exposure.disputed else ""
            scope = f" ({exposure.scope})" if exposure.scope else ""
            yield Statement("exposure", f"{exposure.law}: {exposure.applies}{disputed}{scope}", exposure.evidence)
        for grant in self.grants:
            yield Statement("qualification", _spell(grant), grant.qualification.evidence)
        for name, region in self.regions.items():
            yield Statement(f"region {name}", f"{region.country.value}, {region.place}", region.country.evidence)
        if self.storage.endpoint is not None:
            yield Statement("storage endpoint", self.storage.endpoint.value, self.storage.endpoint.evidence)
        for part, facts in (("storage", self.storage.facts), ("compute", self.compute.facts), ("", self.facts)):
            for about, fact in facts.items():
                yield Statement(f"{part} {about}".strip(), fact.value, fact.evidence)


def ending(qualification: Qualification, *, since: date | None) -> Qualification:
    """Return the qualification with an end, where it counts and its file states none.

    A scheme's own validity runs from the day of the grant; and nothing is believed for more than `FRESH` after it was
    last seen. The earlier of the two ends it. Without any date it has ended already: unknown is no.
    """
    evidence = qualification.evidence
    if qualification.status is not Status.QUALIFIED or evidence.expires is not None:
        return qualification
    years = VALID_YEARS.get(qualification.scheme)
    ends = [evidence.as_of + FRESH] if evidence.as_of is not None else []
    if since is not None and years is not None:
        ends = [_years_after(since, years)]
    return replace(qualification, evidence=replace(evidence, expires=min(ends, default=date.min)))


def _years_after(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def _listed(countries: frozenset[str] | None) -> list[str] | None:
    return None if countries is None else sorted(countries)


def _spell(grant: Grant) -> str:
    found = grant.qualification
    version = f" {'.'.join(map(str, found.version))}" if found.version else ""
    covers = f"{', '.join(sorted(grant.offers))} in {', '.join(sorted(grant.regions))}"
    where = covers if grant.offers and grant.regions else "no offer and region named"
    return f"{found.scheme}{version}: {found.status.value} ({where}); {found.scope}"
