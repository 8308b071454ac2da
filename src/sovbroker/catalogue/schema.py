"""The form of a provider's file: shapes that decode it, with a finding for everything that does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Final

from sovbroker.catalogue.facts import Basis, Confidence, Evidence, Fact, Qualification, Status
from sovbroker.catalogue.provider import (
    Compute,
    Exposure,
    Grant,
    Provider,
    Reference,
    Region,
    Storage,
    ending,
)
from sovbroker.document import (
    ByKind,
    Choice,
    Field,
    Flag,
    Kind,
    ListOf,
    MapOf,
    Parsed,
    Record,
    Shape,
    Text,
    optional,
    required,
)

__all__ = ["CODES", "PROVIDER", "SCHEMA", "partial_date"]

SCHEMA: Final = "sovbroker.catalogue/1"
CODES: Final[Mapping[Kind, str]] = {
    Kind.SYNTAX: "SC001",
    Kind.DUPLICATE: "SC002",
    Kind.UNKNOWN: "SC003",
    Kind.MISSING: "SC004",
    Kind.TYPE: "SC005",
    Kind.VALUE: "SC006",
}
PARTIAL: Final = re.compile(r"[0-9]{4}(-[0-9]{2}){0,2}")
FULL: Final = len("2026-11-23")


def partial_date(text: str) -> date:
    """Read `2026`, `2026-11` or `2026-11-23`; a year or a month is its first day, the cautious end."""
    if PARTIAL.fullmatch(text) is None:
        raise ValueError(f"`{text}` is not a date such as 2026-11-23, 2026-11 or 2026")
    return date.fromisoformat((text + "-01-01")[:FULL])


def version_of(text: str) -> tuple[int, ...]:
    """Read a version, `3.2`."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)*", text) is None:
        raise ValueError(f"`{text}` is not a version such as 3.2")
    return tuple(int(part) for part in text.split("."))


LONG: Final = Text(most=2000)
EVIDENCE: Final[Mapping[str, Field]] = {
    "basis": required(Choice({basis.value: basis for basis in Basis if basis is not Basis.ATTESTED})),
    "confidence": required(Choice({level.value: level for level in Confidence})),
    "as_of": optional(Parsed(partial_date)),
    "expires": optional(Parsed(partial_date)),
    "sources": required(ListOf(Text(), least=1)),
    "note": optional(LONG),
}


def _evidence(
    *,
    basis: Basis,
    confidence: Confidence,
    sources: tuple[str, ...],
    as_of: date | None = None,
    expires: date | None = None,
    note: str = "",
) -> Evidence:
    return Evidence(basis, confidence, tuple(map(str, sources)), as_of, expires, str(note))


def _stated(*, is_: object, **evidence: object) -> Fact[object]:
    return Fact(is_, _evidence(**evidence))  # type: ignore[arg-type]  # the shapes have checked the types


def fact_of(value: Shape[object]) -> Record[Fact[object]]:
    """Return the shape of a fact: `is` with its evidence beside it."""
    return Record(_stated, {"is": required(value), **EVIDENCE}, names={"is": "is_"})


def _countries(items: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(str, items))


def _country(text: str) -> str:
    if re.fullmatch("[A-Z]{2}", text) is None:
        raise ValueError(f"`{text}` is not a country code of two capital letters")
    return text


class _Countries:
    """A list of country codes."""

    def decode(self, node: object, findings: object) -> frozenset[str]:
        return _countries(ListOf(Parsed(_country), least=1).decode(node, findings))  # type: ignore[arg-type]  # passed on


def _exposure(*, law: str, applies: str, scope: str = "", disputed: bool = False, **evidence: object) -> Exposure:
    return Exposure(str(law), str(applies), _evidence(**evidence), str(scope), disputed)  # type: ignore[arg-type]  # checked by shapes


def _grant(
    *,
    scheme: str,
    status: Status,
    scope: str,
    version: tuple[int, ...] = (),
    offers: tuple[str, ...] = (),
    regions: tuple[str, ...] = (),
    since: date | None = None,
    **evidence: object,
) -> Grant:
    stated = Qualification(str(scheme), status, _evidence(**evidence), version, str(scope))  # type: ignore[arg-type]  # checked by shapes
    return Grant(ending(stated, since=since), frozenset(map(str, offers)), frozenset(map(str, regions)))


def _region(*, country: str, place: str, site: str = "", **evidence: object) -> Region:
    return Region(Fact(country, _evidence(**evidence)), str(place), str(site))  # type: ignore[arg-type]  # checked by shapes


def _provider(*, schema: str, qualifications: tuple[Grant, ...] = (), **rest: object) -> Provider:
    del schema  # checked by its shape
    return Provider(grants=qualifications, **rest)  # type: ignore[arg-type]  # the shapes have checked the types


ANYTHING: Final[ByKind[object]] = ByKind(text=LONG, items=ListOf(LONG), entries=MapOf(LONG))
FACTS: Final = MapOf(fact_of(ANYTHING))
NAME: Final = Text(pattern=r"[a-z0-9][a-z0-9-]*", wanted="a name of a-z, 0-9 and -")
STORAGE: Final = Record(
    Storage,
    {
        "api": required(LONG),
        "adapter": optional(NAME),
        "supply": optional(LONG),
        "endpoint": optional(fact_of(LONG)),
        "endpoints": optional(MapOf(LONG)),
        "signing_region": optional(Text()),
        "settings": optional(MapOf(Text())),
        "note": optional(LONG),
        "facts": optional(FACTS),
    },
)
COMPUTE: Final = Record(
    Compute,
    {"api": required(LONG), "client": optional(LONG), "note": optional(LONG), "facts": optional(FACTS)},
)
PROVIDER: Final = Record(
    _provider,
    {
        "schema": required(Choice({SCHEMA: SCHEMA})),
        "id": required(NAME),
        "name": required(Text()),
        "tier": required(NAME),
        "sources": required(MapOf(Record(Reference, {"ref": required(LONG), "date": optional(Text())}))),
        "seat": required(fact_of(LONG)),
        "controlled": required(fact_of(_Countries())),
        "technology": optional(fact_of(_Countries())),
        "ownership": optional(fact_of(LONG)),
        "exposures": optional(
            ListOf(
                Record(
                    _exposure,
                    {
                        "law": required(LONG),
                        "applies": required(LONG),
                        "scope": optional(LONG),
                        "disputed": optional(Flag()),
                        **EVIDENCE,
                    },
                )
            )
        ),
        "qualifications": required(
            ListOf(
                Record(
                    _grant,
                    {
                        "scheme": required(NAME),
                        "version": optional(Parsed(version_of)),
                        "status": required(Choice({status.value: status for status in Status})),
                        "scope": required(LONG),
                        "offers": optional(ListOf(NAME)),
                        "regions": optional(ListOf(NAME)),
                        "since": optional(Parsed(partial_date)),
                        **EVIDENCE,
                    },
                )
            )
        ),
        "regions": required(
            MapOf(
                Record(
                    _region,
                    {
                        "country": required(Parsed(_country)),
                        "place": required(LONG),
                        "site": optional(Text()),
                        **EVIDENCE,
                    },
                ),
                key=NAME,
            )
        ),
        "storage": required(STORAGE),
        "compute": required(COMPUTE),
        "facts": optional(FACTS),
    },
)
