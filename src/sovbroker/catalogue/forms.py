"""The forms of facts: how a file writes them down, whatever it gives as evidence for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Final, TypeVar

from sovbroker.catalogue.facts import Evidence, Fact, Qualification, Status
from sovbroker.catalogue.moments import UNKNOWN, first_day
from sovbroker.catalogue.provider import (
    SCHEMES,
    Applies,
    Compute,
    Exposure,
    Grant,
    Region,
    ending,
)
from sovbroker.catalogue.storage import Endpoint, Face, Storage, Values
from sovbroker.catalogue.words import KEY, LINK, LONG, NAME, OFFER, country, setting, version_of
from sovbroker.document import (
    ByKind,
    Choice,
    Field,
    Findings,
    Flag,
    ListOf,
    MapOf,
    Node,
    Parsed,
    Record,
    Scalar,
    Shape,
    Word,
    optional,
    required,
)

__all__ = ["Countries", "Forms"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Countries:
    """A list of countries, or `unknown`."""

    def decode(self, node: Node, findings: Findings) -> frozenset[str] | None:
        """Return the countries."""
        if isinstance(node, Scalar) and node.text == UNKNOWN:
            return None
        return frozenset(ListOf(Parsed(country), least=1).decode(node, findings))


VALUES: Final[ByKind[Values]] = ByKind(text=LONG, items=ListOf(LONG, least=1))
SIGNING: Final[ByKind[str | dict[Word, str]]] = ByKind(text=LONG, entries=MapOf(LONG, KEY))


@dataclass(frozen=True, slots=True)
class Forms:
    """The shapes of facts, each with its evidence under the key `key`, decoded by `evidence`.

    Where `default` is given, a fact that names no evidence has that.
    """

    key: str
    evidence: Shape[Evidence]
    default: Evidence | None = None

    def fact(self, value: Shape[T | None]) -> Record[Fact[T]]:
        """Return the shape of a fact: what `is` so, a `note`, and the evidence."""
        return self._record(_fact, {"is": required(value), "note": optional(LONG)}, names={"is": "value"})

    def facts(self) -> MapOf[Fact[Values]]:
        """Return the shape of further facts, by name."""
        return MapOf(self.fact(VALUES), KEY)

    def exposure(self) -> Record[Exposure]:
        """Return the shape of a law that reaches the operator, or is said to."""
        return self._record(
            _exposure,
            {
                "law": required(LONG),
                "applies": required(Choice({answer.value: answer for answer in Applies})),
                "scope": optional(LONG),
                "disputed": optional(Flag()),
                "note": optional(LONG),
            },
        )

    def grant(self) -> Record[Grant]:
        """Return the shape of a scheme's word."""
        return self._record(
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
            },
        )

    def region(self) -> Record[Region]:
        """Return the shape of a region."""
        return self._record(
            _region,
            {
                "country": required(Parsed(country)),
                "place": required(LONG),
                "site": optional(LINK),
                "offers": optional(ListOf(OFFER, least=1)),
                "controlled": optional(self.fact(Countries())),
                "note": optional(LONG),
            },
        )

    def storage(self) -> Record[Storage]:
        """Return the shape of how to reach the storage."""
        return Record(
            Storage,
            {
                **self._face(),
                "adapter": optional(NAME),
                "supply": optional(LONG),
                "supply_with": optional(ListOf(NAME, least=1)),
                "also": optional(ListOf(Record(Face, {**self._face(), "adapter": required(NAME)}), least=1)),
                "facts": optional(self.facts()),
            },
        )

    def compute(self) -> Record[Compute]:
        """Return the shape of how to reach the compute side."""
        return Record(
            Compute,
            {
                "api": required(LONG),
                "adapter": optional(NAME),
                "client": optional(LONG),
                "note": optional(LONG),
                "facts": optional(self.facts()),
            },
        )

    def _face(self) -> dict[str, Field]:
        place = {"is": required(LONG), "regions": optional(ListOf(NAME, least=1)), "note": optional(LONG)}
        url: Shape[Endpoint] = self._record(_endpoint, place, names={"is": "value"})
        return {
            "api": required(LONG),
            "client": optional(LONG),
            "endpoints": optional(ListOf(url, least=1)),
            "signing_region": optional(SIGNING),
            "settings": optional(MapOf(Parsed(setting), least=1)),
            "note": optional(LONG),
        }

    def _record(
        self, build: Callable[..., T], fields: dict[str, Field], *, names: dict[str, str] | None = None
    ) -> Record[T]:
        known = {self.key: "evidence"} | (names or {})
        if self.default is None:
            return Record(build, {**fields, self.key: required(self.evidence)}, names=known)
        # What the file gives takes the place of what is bound here.
        defaulted = partial(build, evidence=self.default)
        return Record(defaulted, {**fields, self.key: optional(self.evidence)}, names=known)


def _fact(*, value: T | None, evidence: Evidence, note: str = "") -> Fact[T]:
    return Fact(value, replace(evidence, note=note))


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
