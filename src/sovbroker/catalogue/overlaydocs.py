"""The form of an overlay: shapes that decode it, with a finding for everything that does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

from sovbroker.catalogue.attestation import Acceptance, Attestation, Vouched
from sovbroker.catalogue.facts import Basis, Confidence, Evidence, Fact, Qualification, SealScore, Status
from sovbroker.catalogue.forms import Countries
from sovbroker.catalogue.moments import first_day
from sovbroker.catalogue.overlay import Bound
from sovbroker.catalogue.provider import SCHEMES, Grant, years_after
from sovbroker.catalogue.words import KEY, LONG, NAME, OFFER, plain, setting, version_of
from sovbroker.document import (
    Anything,
    Choice,
    Day,
    Findings,
    Invalid,
    Kind,
    ListOf,
    MapNode,
    MapOf,
    Node,
    Parsed,
    Place,
    Record,
    Shape,
    Text,
    Whole,
    Word,
    optional,
    required,
    suggest,
)

__all__ = [
    "ACCEPTANCE",
    "CODES",
    "ROOT",
    "SCHEMA",
    "AttestationDoc",
    "Attested",
    "EntryDoc",
    "RootDoc",
    "Said",
    "bounded",
    "entry",
    "evidence_of",
]

SCHEMA: Final = "sovbroker.overlay/1"
"""The name and version of the form."""

CODES: Final[Mapping[Kind, str]] = {
    Kind.SYNTAX: "SO001",
    Kind.DUPLICATE: "SO002",
    Kind.UNKNOWN: "SO003",
    Kind.MISSING: "SO004",
    Kind.TYPE: "SO005",
    Kind.VALUE: "SO006",
}
"""The codes of what its form can get wrong."""

UNLISTED: Final = "SO010"
PERSON: Final = Text(
    pattern=r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", wanted="the e-mail address of a person", most=254
)
HEX: Final = Text(pattern=r"[0-9a-f]{64}", wanted="a SHA-256: 64 digits of 0-9 and a-f")
OBJECTIVE: Final = Text(pattern=r"SOV-[1-8]", wanted="an objective, from `SOV-1` to `SOV-8`")
BLANK: Final = Attestation("", "", "", date.min, date.min)


@dataclass(frozen=True, slots=True)
class AttestationDoc:
    """An attestation as it is written."""

    place: Place
    document: Word
    sha256: Word
    by: str
    issued: date
    expires: date


@dataclass(frozen=True, slots=True)
class Said:
    """Where something is said, and the evidence by which it is."""

    place: Place
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class EntryDoc:
    """What is written of a target or a provider. `said` tells where each piece of evidence stands."""

    place: Place
    located: tuple[Said, Fact[frozenset[str]]] | None = None
    controlled: tuple[Said, Fact[frozenset[str]]] | None = None
    technology: tuple[Said, Fact[frozenset[str]]] | None = None
    qualified: tuple[tuple[Said, Grant], ...] = ()
    seal: tuple[tuple[Said, SealScore], ...] = ()
    binding: tuple[Said, Bound] | None = None

    def said(self) -> tuple[Said, ...]:
        """Return where everything is said."""
        one = (self.located, self.controlled, self.technology, self.binding, *self.qualified, *self.seal)
        return tuple(found[0] for found in one if found is not None)


@dataclass(frozen=True, slots=True)
class RootDoc:
    """The file: attestations by name, and parts that are decoded when those are known."""

    attestations: Mapping[Word, AttestationDoc] = field(default_factory=dict[Word, AttestationDoc])
    targets: Node | None = None
    providers: Node | None = None
    private: Node | None = None


def _root(*, schema: str, **rest: object) -> RootDoc:
    del schema  # checked by its shape
    return RootDoc(**rest)  # type: ignore[arg-type]  # the shapes have checked the types


ATTESTATION: Final = Record(
    AttestationDoc,
    {
        "document": required(Text()),
        "sha256": required(HEX),
        "by": required(LONG),
        "issued": required(Parsed(first_day)),
        "expires": required(Day()),
    },
    place=True,
)
ACCEPTANCE: Final = Record(Acceptance, {"owner": required(Parsed(plain, PERSON)), "reason": required(LONG)}, whole=True)
ROOT: Final = Record(
    _root,
    {
        "schema": required(Choice({SCHEMA: SCHEMA})),
        "attestations": optional(MapOf(ATTESTATION, KEY)),
        "targets": optional(Anything()),
        "providers": optional(Anything()),
        "private": optional(Anything()),
    },
)


@dataclass(frozen=True, slots=True)
class Attested:
    """The name of an attestation that the file lists, or one that stands here; `check` looks at the latter."""

    known: Mapping[str, Attestation]
    check: Callable[[AttestationDoc, Findings], Attestation]

    def decode(self, node: Node, findings: Findings) -> Attestation:
        """Return the attestation."""
        if isinstance(node, MapNode):
            return self.check(ATTESTATION.decode(node, findings), findings)
        name = KEY.decode(node, findings)
        if name not in self.known:
            help_ = suggest(name, self.known) or "list it under `attestations`"
            findings.error(UNLISTED, name.place, f"there is no attestation `{name}`", help_)
            raise Invalid
        return self.known[name]


def evidence_of(attestation: Attestation | None, accepted: Acceptance | None = None) -> Vouched:
    """Return the evidence that an attestation is; of one that could not be read, evidence that never counts."""
    found = attestation or BLANK
    return Vouched(
        Basis.ATTESTED,
        Confidence.HIGH,
        (found.document,),
        found.issued,
        found.expires,
        attestation=found,
        accepted=accepted,
    )


def bounded(stated: Qualification, *, since: date | None) -> Qualification:
    """Return a qualification that ends when its scheme's validity does, where that is before its document's end."""
    years = SCHEMES.get(stated.scheme)
    if stated.status is not Status.QUALIFIED or since is None or years is None:
        return stated
    end = years_after(since, years)
    if stated.evidence.expires is not None and stated.evidence.expires <= end:
        return stated
    return replace(stated, evidence=replace(stated.evidence, expires=end))


def _fact(
    *,
    place: Place,
    value: frozenset[str] | None,
    attestation: Attestation,
    accept_relaxation: Acceptance | None = None,
    note: str = "",
) -> tuple[Said, Fact[frozenset[str]]]:
    evidence = replace(evidence_of(attestation, accept_relaxation), note=note)
    return Said(place, evidence), Fact(value, evidence)


def _grant(
    *,
    place: Place,
    scheme: str,
    status: Status,
    attestation: Attestation,
    version: tuple[int, ...] = (),
    offers: tuple[str, ...] = (),
    regions: tuple[str, ...] = (),
    since: date | None = None,
    scope: str = "",
    note: str = "",
    accept_relaxation: Acceptance | None = None,
) -> tuple[Said, Grant]:
    evidence = replace(evidence_of(attestation, accept_relaxation), note=note)
    found = bounded(Qualification(scheme, status, evidence, version, scope), since=since)
    return Said(place, found.evidence), Grant(found, frozenset(offers), frozenset(regions), since)


def _score(
    *,
    place: Place,
    framework: str,
    assessor: str,
    levels: Mapping[Word, int],
    attestation: Attestation,
    accept_relaxation: Acceptance | None = None,
) -> tuple[Said, SealScore]:
    evidence = evidence_of(attestation, accept_relaxation)
    told = tuple(sorted((str(name), level) for name, level in levels.items()))
    return Said(place, evidence), SealScore(framework, assessor, told, evidence)


def _binding(
    *, place: Place, attestation: Attestation, accept_relaxation: Acceptance, endpoint: Word, **rest: object
) -> tuple[Said, Bound]:
    evidence = evidence_of(attestation, accept_relaxation)
    bound = Bound(endpoint=endpoint, evidence=evidence, **rest)  # type: ignore[arg-type]  # the shapes have checked the types
    return Said(place, evidence), bound


def entry(attested: Attested, *, of_provider: bool) -> Record[EntryDoc]:
    """Return the shape of what is said of a target, or of every target of a provider."""
    vouched = {"attestation": required(attested), "accept_relaxation": optional(ACCEPTANCE)}
    fact: Shape[object] = Record(
        _fact,
        {"is": required(Countries()), "note": optional(LONG), **vouched},
        place=True,
        names={"is": "value"},
    )
    grant = {
        "scheme": required(Choice({scheme: scheme for scheme in SCHEMES})),
        "version": optional(Parsed(version_of)),
        "status": required(Choice({status.value: status for status in Status})),
        "since": optional(Parsed(first_day)),
        "scope": optional(LONG),
        "note": optional(LONG),
        **vouched,
    }
    where = {"offers": optional(ListOf(OFFER, least=1)), "regions": optional(ListOf(NAME, least=1))}
    fields = {"controlled": optional(fact), "technology": optional(fact)}
    if of_provider:
        fields["qualified"] = optional(ListOf(Record(_grant, {**grant, **where}, place=True), least=1))
        return Record(EntryDoc, fields, place=True)
    score = {
        "framework": required(LONG),
        "assessor": required(LONG),
        "levels": required(MapOf(Whole(most=4), OBJECTIVE, least=1)),
        **vouched,
    }
    binding = {
        "adapter": required(NAME),
        "endpoint": required(Text()),
        "region": optional(LONG),
        "settings": optional(MapOf(Parsed(setting), least=1)),
        "attestation": required(attested),
        "accept_relaxation": required(ACCEPTANCE),
    }
    fields |= {
        "located": optional(fact),
        "qualified": optional(ListOf(Record(_grant, grant, place=True), least=1)),
        "seal": optional(ListOf(Record(_score, score, place=True), least=1)),
        "binding": optional(Record(_binding, binding, place=True)),
    }
    return Record(EntryDoc, fields, place=True)
