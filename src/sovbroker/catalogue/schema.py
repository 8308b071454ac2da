"""The form of a provider's file: shapes that decode it, with a finding for everything that does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Final, TypeVar

from sovbroker.catalogue.countries import COUNTRIES
from sovbroker.catalogue.facts import Basis, Confidence, Evidence, Fact, Qualification, Status
from sovbroker.catalogue.moments import UNKNOWN, first_day, known_day
from sovbroker.catalogue.provider import (
    SCHEMES,
    Applies,
    Compute,
    Endpoint,
    Exposure,
    Grant,
    Provider,
    Reference,
    Region,
    Storage,
    Values,
    ending,
)
from sovbroker.document import (
    ByKind,
    Choice,
    Findings,
    Flag,
    Kind,
    ListOf,
    MapOf,
    Node,
    Parsed,
    Record,
    Scalar,
    Shape,
    Text,
    Word,
    decode,
    optional,
    required,
)

__all__ = ["CODES", "OFFERS", "SCHEMA", "TIERS", "provider_of"]

SCHEMA: Final = "sovbroker.catalogue/1"
"""The name and version of the form."""

CODES: Final[Mapping[Kind, str]] = {
    Kind.SYNTAX: "SC001",
    Kind.DUPLICATE: "SC002",
    Kind.UNKNOWN: "SC003",
    Kind.MISSING: "SC004",
    Kind.TYPE: "SC005",
    Kind.VALUE: "SC006",
}
"""The codes of what a file's form can get wrong."""

OFFERS: Final = (
    "object-storage",
    "block-storage",
    "compute",
    "bare-metal",
    "vmware",
    "kubernetes",
    "database",
    "paas",
    "paas-openshift",
    "saas-collaboration",
)
"""What a provider may offer. A qualification is of an offer, so that offers need common names."""

TIERS: Final = (
    "eu-controlled",
    "eu-controlled-extra-eu-technology",
    "eu-operated-extra-eu-controlled",
    "non-eu-seat-adequate",
    "extra-eu",
)
"""What a reader is told first. No rule reads it: decisions look at the three axes one by one."""

T = TypeVar("T")


def version_of(text: str) -> tuple[int, ...]:
    """Read a version, `3.2`."""
    if re.fullmatch(r"[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}", text) is None:
        raise ValueError(f"`{text}` is not a version such as 3.2")
    return tuple(int(part) for part in text.split("."))


def country(text: str) -> str:
    """Read the code of a country."""
    if text not in COUNTRIES:
        raise ValueError(f"`{text}` is not a country; use a code of ISO 3166-1 such as `FR`")
    return text


def setting(text: str) -> str | int | bool:
    """Read a setting: digits are a number, `true` and `false` are a boolean."""
    match text:
        case "true" | "false":
            return text == "true"
        case _:
            return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,17}", text) else str(text)


def plain(text: str) -> str:
    """Leave a text as it is, without its place."""
    return str(text)


LONG: Final = Parsed(plain, Text(most=2000))
KEY: Final = Text(pattern=r"[a-z0-9]+(?:-[a-z0-9]+)*", wanted="a name of a-z, 0-9 and hyphens between them", most=64)
NAME: Final = Parsed(plain, KEY)
OFFER: Final = Choice({offer: offer for offer in OFFERS})
LINK: Final = Parsed(
    plain, Text(pattern=r"[a-z0-9-]+/[a-z0-9-]+", wanted="a region of a provider, such as `outscale/eu-west-2`")
)


def _evidence(
    *,
    basis: Basis,
    confidence: Confidence,
    as_of: date | None,
    sources: tuple[str, ...] = (),
    expires: date | None = None,
) -> Evidence:
    return Evidence(basis, confidence, sources, as_of, expires)


EVIDENCE: Final = required(
    Record(
        _evidence,
        {
            # What the operator vouches for stands in the configuration, not in a file that everybody shares.
            "basis": required(Choice({basis.value: basis for basis in Basis if basis is not Basis.ATTESTED})),
            "confidence": required(Choice({level.value: level for level in Confidence})),
            "as_of": required(Parsed(known_day)),
            "sources": optional(ListOf(LONG, least=1)),
            "expires": optional(Parsed(first_day)),
        },
    )
)


def _fact(*, value: T | None, evidence: Evidence, note: str = "") -> Fact[T]:
    return Fact(value, replace(evidence, note=note))


def fact(value: Shape[T | None]) -> Record[Fact[T]]:
    """Return the shape of a fact: what `is` so, a `note`, and the evidence."""
    build: Callable[..., Fact[T]] = _fact
    fields = {"is": required(value), "note": optional(LONG), "evidence": EVIDENCE}
    return Record(build, fields, names={"is": "value"})


@dataclass(frozen=True, slots=True)
class Countries:
    """A list of countries, or `unknown`."""

    def decode(self, node: Node, findings: Findings) -> frozenset[str] | None:
        """Return the countries."""
        if isinstance(node, Scalar) and node.text == UNKNOWN:
            return None
        return frozenset(ListOf(Parsed(country), least=1).decode(node, findings))


VALUES: Final[ByKind[Values]] = ByKind(text=LONG, items=ListOf(LONG, least=1))
FACTS: Final = MapOf(fact(VALUES), KEY)


def _exposure(
    *, law: str, applies: Applies, evidence: Evidence, scope: str = "", disputed: bool = False, note: str = ""
) -> Exposure:
    return Exposure(law, applies, replace(evidence, note=note), scope, disputed)


def _grant(
    *,
    scheme: str,
    status: Status,
    scope: str,
    evidence: Evidence,
    version: tuple[int, ...] = (),
    offers: tuple[str, ...] = (),
    regions: tuple[str, ...] = (),
    since: date | None = None,
    note: str = "",
) -> Grant:
    stated = Qualification(scheme, status, replace(evidence, note=note), version, scope)
    return Grant(ending(stated, since=since), frozenset(offers), frozenset(regions), since)


def _region(
    *,
    country: str,
    place: str,
    evidence: Evidence,
    site: str = "",
    offers: tuple[str, ...] | None = None,
    controlled: Fact[frozenset[str]] | None = None,
    note: str = "",
) -> Region:
    return Region(Fact(country, replace(evidence, note=note)), place, site, offers, controlled)


def _endpoint(*, value: str, evidence: Evidence, regions: tuple[str, ...] = (), note: str = "") -> Endpoint:
    return Endpoint(Fact(value, replace(evidence, note=note)), frozenset(regions))


def _ignoring_schema(build: Callable[..., Provider]) -> Callable[..., Provider]:
    """Return `build` without the key `schema`, which its shape has checked."""

    def built(*, schema: str, **rest: object) -> Provider:
        del schema
        return build(**rest)

    return built


EXPOSURE: Final = Record(
    _exposure,
    {
        "law": required(LONG),
        "applies": required(Choice({answer.value: answer for answer in Applies})),
        "scope": optional(LONG),
        "disputed": optional(Flag()),
        "note": optional(LONG),
        "evidence": EVIDENCE,
    },
)
GRANT: Final = Record(
    _grant,
    {
        "scheme": required(Choice({scheme: scheme for scheme in SCHEMES})),
        "version": optional(Parsed(version_of)),
        "status": required(Choice({status.value: status for status in Status})),
        "offers": optional(ListOf(OFFER, least=1)),
        "regions": optional(ListOf(NAME, least=1)),
        "since": optional(Parsed(first_day)),
        "scope": required(LONG),
        "note": optional(LONG),
        "evidence": EVIDENCE,
    },
)
REGION: Final = Record(
    _region,
    {
        "country": required(Parsed(country)),
        "place": required(LONG),
        "site": optional(LINK),
        "offers": optional(ListOf(OFFER, least=1)),
        "controlled": optional(fact(Countries())),
        "note": optional(LONG),
        "evidence": EVIDENCE,
    },
)
ENDPOINT: Final = Record(
    _endpoint,
    {"is": required(LONG), "regions": optional(ListOf(NAME, least=1)), "note": optional(LONG), "evidence": EVIDENCE},
    names={"is": "value"},
)
SIGNING: Final[ByKind[str | dict[Word, str]]] = ByKind(text=LONG, entries=MapOf(LONG, KEY))
STORAGE: Final = Record(
    Storage,
    {
        "api": required(LONG),
        "adapter": optional(NAME),
        "client": optional(LONG),
        "supply": optional(LONG),
        "endpoints": optional(ListOf(ENDPOINT, least=1)),
        "signing_region": optional(SIGNING),
        "settings": optional(MapOf(Parsed(setting), least=1)),
        "note": optional(LONG),
        "facts": optional(FACTS),
    },
)
COMPUTE: Final = Record(
    Compute,
    {"api": required(LONG), "client": optional(LONG), "note": optional(LONG), "facts": optional(FACTS)},
)
REFERENCE: Final = Record(Reference, {"ref": required(LONG), "date": optional(LONG)})


def shape(name: str) -> Record[Provider]:
    """Return the shape of the file of the provider `name`."""
    return Record(
        _ignoring_schema(partial(Provider, id=name)),
        {
            "schema": required(Choice({SCHEMA: SCHEMA})),
            "name": required(LONG),
            "tier": required(Choice({tier: tier for tier in TIERS})),
            "offers": required(ListOf(OFFER, least=1)),
            "sources": required(MapOf(REFERENCE, Text(pattern=r"[a-z0-9_]+", wanted="a name of a-z, 0-9 and _"))),
            "seat": required(fact(LONG)),
            "controlled": required(fact(Countries())),
            "technology": optional(fact(Countries())),
            "ownership": optional(fact(LONG)),
            "exposures": required(ListOf(EXPOSURE)),
            "qualifications": required(ListOf(GRANT)),
            "regions": required(MapOf(REGION, KEY)),
            "storage": required(STORAGE),
            "compute": required(COMPUTE),
            "facts": optional(FACTS),
        },
        names={"qualifications": "grants"},
    )


def provider_of(node: Node | None, name: str, findings: Findings) -> Provider | None:
    """Return what the file of the provider `name` says, or None; `findings` then say why."""
    return decode(node, shape(name), findings)
