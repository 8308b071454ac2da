"""The form of a provider's file: shapes that decode it, with a finding for everything that does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Final

from sovbroker.catalogue.facts import Basis, Confidence, Evidence
from sovbroker.catalogue.forms import Countries, Forms
from sovbroker.catalogue.moments import first_day, known_day
from sovbroker.catalogue.provider import Provider, Reference
from sovbroker.catalogue.words import KEY, LONG, OFFER, OFFERS
from sovbroker.document import (
    Choice,
    Field,
    Findings,
    Kind,
    ListOf,
    MapOf,
    Node,
    Parsed,
    Record,
    Text,
    decode,
    optional,
    required,
)

__all__ = ["CODES", "OFFERS", "SCHEMA", "TIERS", "body", "provider_of"]

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

TIERS: Final = (
    "eu-controlled",
    "eu-controlled-extra-eu-technology",
    "eu-operated-extra-eu-controlled",
    "non-eu-seat-adequate",
    "extra-eu",
)
"""What a reader is told first. No rule reads it: decisions look at the three axes one by one."""


def _evidence(
    *,
    basis: Basis,
    confidence: Confidence,
    as_of: date | None,
    sources: tuple[str, ...] = (),
    expires: date | None = None,
) -> Evidence:
    return Evidence(basis, confidence, sources, as_of, expires)


EVIDENCE: Final = Record(
    _evidence,
    {
        # What the operator vouches for stands in the overlay, not in a file that everybody shares.
        "basis": required(Choice({basis.value: basis for basis in Basis if basis is not Basis.ATTESTED})),
        "confidence": required(Choice({level.value: level for level in Confidence})),
        "as_of": required(Parsed(known_day)),
        "sources": optional(ListOf(LONG, least=1)),
        "expires": optional(Parsed(first_day)),
    },
)
REFERENCE: Final = Record(Reference, {"ref": required(LONG), "date": optional(LONG)})
TIER: Final = Choice({tier: tier for tier in TIERS})
SOURCES: Final = MapOf(REFERENCE, Text(pattern=r"[a-z0-9_]+", wanted="a name of a-z, 0-9 and _"))


def body(forms: Forms) -> dict[str, Field]:
    """Return the keys of a provider, but for `schema` and `sources`."""
    return {
        "name": required(LONG),
        "tier": required(TIER),
        "offers": required(ListOf(OFFER, least=1)),
        "seat": required(forms.fact(LONG)),
        "controlled": required(forms.fact(Countries())),
        "technology": optional(forms.fact(Countries())),
        "ownership": optional(forms.fact(LONG)),
        "exposures": required(ListOf(forms.exposure())),
        "qualifications": required(ListOf(forms.grant())),
        "regions": required(MapOf(forms.region(), KEY)),
        "storage": required(forms.storage()),
        "compute": required(forms.compute()),
        "facts": optional(forms.facts()),
    }


def _ignoring_schema(build: Callable[..., Provider]) -> Callable[..., Provider]:
    """Return `build` without the key `schema`, which its shape has checked."""

    def built(*, schema: str, **rest: object) -> Provider:
        del schema
        return build(**rest)

    return built


def shape(name: str) -> Record[Provider]:
    """Return the shape of the file of the provider `name`."""
    return Record(
        _ignoring_schema(partial(Provider, id=name)),
        {"schema": required(Choice({SCHEMA: SCHEMA})), "sources": required(SOURCES), **FIELDS},
        names={"qualifications": "grants"},
    )


FIELDS: Final = body(Forms("evidence", EVIDENCE))


def provider_of(node: Node | None, name: str, findings: Findings) -> Provider | None:
    """Return what the file of the provider `name` says, or None; `findings` then say why."""
    return decode(node, shape(name), findings)
