"""The policy language as it is written: one value per construct, and the shapes that decode them.

The values keep the places of names, so that later checks can point at them. They mean nothing yet: `loader` merges the
files, `checks` judges them, `compile` gives them their meaning.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from sovbroker.document import (
    Anything,
    ByKind,
    Choice,
    Day,
    Flag,
    ListOf,
    MapOf,
    Node,
    Parsed,
    Place,
    Record,
    Single,
    Text,
    Whole,
    Word,
    optional,
    required,
)
from sovbroker.policy.mode import Encrypt, Names

__all__ = [
    "DOCUMENT",
    "OBJECTIVES",
    "AlwaysDoc",
    "CategoryDoc",
    "CopiesDoc",
    "Distinct",
    "DocumentDoc",
    "ElementDoc",
    "ExtendDoc",
    "LimitsDoc",
    "ModeDoc",
    "PackDoc",
    "ParameterDoc",
    "RetainDoc",
    "RuleDoc",
    "SealDoc",
    "WaiverDoc",
    "ZoneDoc",
]

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
IDENTIFIER: Final = Text(NAME, "a name of letters, digits, `-`, `_` and `.`", most=64)
REFERENCE: Final = Text(r"[A-Za-z0-9][A-Za-z0-9_./@:-]{0,127}", "an id such as `provider/region`", most=128)
PROSE: Final = Text()
PERIOD: Final = re.compile(r"([1-9][0-9]{0,4})([dwy])")
YEAR_DAYS: Final = 365.25
OBJECTIVES: Final = tuple(f"SOV-{number}" for number in range(1, 9))
"""The objectives of the EU Cloud Sovereignty Framework."""


class Distinct(StrEnum):
    """In what the chosen targets must differ, pairwise."""

    PROVIDER = "provider"
    REGION = "region"
    SITE = "site"


class Status(StrEnum):
    """Whether what a pack is about is law, or only proposed."""

    IN_FORCE = "in-force"
    PREVIEW = "preview"


class Work(StrEnum):
    """The two kinds of work that an invariant may be about."""

    STORE = "store"
    COMPUTE = "compute"


@dataclass(frozen=True, slots=True)
class SealDoc:
    """The least SEAL of each objective, by one version of the framework; assessors () for any."""

    place: Place = field(compare=False, repr=False)
    framework: Word
    levels: tuple[tuple[str, int], ...]
    assessor: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class ZoneDoc:
    """A zone's predicates; None where a predicate is not stated."""

    place: Place = field(compare=False, repr=False)
    located: tuple[Word, ...] | None = None
    controlled: tuple[Word, ...] | None = None
    technology: tuple[Word, ...] | None = None
    qualified: tuple[Word, ...] | None = None
    seal: SealDoc | None = None
    provider: tuple[Word, ...] | None = None
    target: tuple[Word, ...] | None = None


@dataclass(frozen=True, slots=True)
class ModeDoc:
    """What must be done to an object that goes to a zone."""

    place: Place = field(compare=False, repr=False)
    encrypt: Encrypt = Encrypt.NONE
    names: Names = Names.CLEAR
    keys: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class CopiesDoc:
    """How many copies, and in what their targets must differ."""

    count: int = 1
    distinct: tuple[Distinct, ...] = ()


@dataclass(frozen=True, slots=True)
class RetainDoc:
    """How long an object must be kept at least, and at most."""

    place: Place = field(compare=False, repr=False)
    min: timedelta | None = None
    max: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ElementDoc:
    """What one level or category demands. `store` None demands nothing about zones; empty, it allows nowhere."""

    place: Place = field(compare=False, repr=False)
    store: Mapping[Word, ModeDoc] | None = None
    compute: tuple[Word, ...] | None = None
    where: ZoneDoc | None = None
    deny: tuple[Word, ...] = ()
    copies: CopiesDoc = field(default_factory=CopiesDoc)
    retain: RetainDoc | None = None
    waivable: bool = True
    basis: str = ""


@dataclass(frozen=True, slots=True)
class CategoryDoc:
    """What carrying a category implies."""

    place: Place = field(compare=False, repr=False)
    implies: tuple[Word, ...] = ()
    minimum: Word | None = None


@dataclass(frozen=True, slots=True)
class RuleDoc:
    """A classification rule: an object that matches every field given carries at least `label`."""

    id: Word
    label: Word
    place: Place = field(compare=False, repr=False)
    path: Word | None = None
    meta: Mapping[Word, Word] = field(default_factory=dict[Word, Word])
    content: Word | None = None
    min: int | None = None


@dataclass(frozen=True, slots=True)
class WaiverDoc:
    """An exception: for objects under `path` labelled at most `label`, more alternatives to `store`."""

    id: Word
    path: Word
    label: Word
    store: Mapping[Word, ModeDoc]
    reason: Word
    owner: Word
    approved: tuple[Word, ...]
    expires: date
    place: Place = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AlwaysDoc:
    """An invariant: what carries `label` meets `demand` (None: is refused) wherever a place is inside and outside."""

    id: Word
    label: Word
    demand: ModeDoc | None
    place: Place = field(compare=False, repr=False)
    inside: tuple[Word, ...] = ()
    outside: tuple[Word, ...] = ()
    operation: Work | None = None


@dataclass(frozen=True, slots=True)
class LimitsDoc:
    """What a waiver may be: `waiver_days` at most ahead, by at least `approvals` people; and what a scan may take.

    A scan for content reads at most `scan_mib` MiB and takes at most `scan_seconds`; past that it is incomplete.
    """

    waiver_days: int = 90
    approvals: int = 2
    scan_mib: int = 256
    scan_seconds: int = 30


@dataclass(frozen=True, slots=True)
class ExtendDoc:
    """A file or pack that is extended, and the values of its parameters."""

    pack: Word
    given: Mapping[Word, Node] = field(default_factory=dict[Word, Node])


@dataclass(frozen=True, slots=True)
class ParameterDoc:
    """A parameter of a file: what it is about, and its value where none is given; None: it must be given."""

    about: str
    default: Node | None = None


@dataclass(frozen=True, slots=True)
class PackDoc:
    """What a pack is: title, legal basis, sources, the day when they were last looked at, and what it leaves out."""

    title: str
    as_of: date
    status: Status = Status.IN_FORCE
    basis: tuple[Word, ...] = ()
    sources: tuple[Word, ...] = ()
    excludes: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentDoc:
    """One file of a policy."""

    place: Place = field(compare=False, repr=False)
    sovbroker: str = "1"
    name: Word | None = None
    pack: PackDoc | None = None
    parameters: Mapping[Word, ParameterDoc] = field(default_factory=dict[Word, ParameterDoc])
    extends: tuple[ExtendDoc, ...] = ()
    levels: tuple[Word, ...] | None = None
    default: Word | None = None
    limits: LimitsDoc | None = None
    categories: Mapping[Word, CategoryDoc] = field(default_factory=dict[Word, CategoryDoc])
    aliases: Mapping[Word, Word] = field(default_factory=dict[Word, Word])
    zones: Mapping[Word, ZoneDoc] = field(default_factory=dict[Word, ZoneDoc])
    require: Mapping[Word, ElementDoc] = field(default_factory=dict[Word, ElementDoc])
    classify: tuple[RuleDoc, ...] = ()
    waivers: tuple[WaiverDoc, ...] = ()
    always: tuple[AlwaysDoc, ...] = ()
    prefer: tuple[Word, ...] | None = None


def period(text: str) -> timedelta:
    """Read a period: `30d`, `4w` or `10y`; n years are n times 365.25 days, rounded up. Raises ValueError."""
    found = PERIOD.fullmatch(text)
    if found is None:
        raise ValueError(f"`{text[:60]}` is not a period such as 30d, 4w or 10y")
    number = int(found[1])
    match found[2]:
        case "d":
            days = number
        case "w":
            days = number * 7
        case _:
            days = math.ceil(number * YEAR_DAYS)
    if days > 1000 * YEAR_DAYS:
        raise ValueError(f"`{text}` is longer than a thousand years")
    return timedelta(days=days)


def seal_of(*, place: Place, framework: Word, assessor: tuple[Word, ...] = (), **levels: int) -> SealDoc:
    """Return the predicate `seal`; `levels` are by objective, spelled with a `_`."""
    named = tuple(sorted((name.replace("_", "-"), level) for name, level in levels.items()))
    return SealDoc(place, framework, named, assessor)


def extend_of(text: Word) -> ExtendDoc:
    """Return what a bare name extends: a pack or a file, with no parameter given."""
    return ExtendDoc(text)


PERIOD_SHAPE: Final = Parsed(period, Text(wanted="a period such as 30d, 4w or 10y"))
NAMES: Final = ListOf(REFERENCE, least=1)
PLACES: Final = ListOf(REFERENCE)
VERSION: Final = Text(r"[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}", "a version such as 1.2.1", most=20)
PARAMETER: Final = Text(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*", "a name of a-z, 0-9 and hyphens between them", most=64)
SEAL: Final = Record(
    seal_of,
    {
        "framework": required(VERSION),
        "assessor": optional(ListOf(IDENTIFIER, least=1)),
        **{objective: optional(Whole(most=4)) for objective in OBJECTIVES},
    },
    place=True,
    whole=True,
    noun="objective",
)

ZONE: Final = Record(
    ZoneDoc,
    {
        "located": optional(NAMES),
        "controlled": optional(NAMES),
        "technology": optional(NAMES),
        "qualified": optional(ListOf(Text(wanted="a scheme such as `hds` or `secnumcloud>=3.2`", most=64), least=1)),
        "seal": optional(SEAL),
        "provider": optional(PLACES),
        "target": optional(PLACES),
    },
    place=True,
    noun="predicate",
)

MODE: Final = Record(
    ModeDoc,
    {
        "encrypt": optional(Choice({"none": Encrypt.NONE, "client": Encrypt.CLIENT})),
        "names": optional(Choice({"clear": Names.CLEAR, "encrypt": Names.ENCRYPT})),
        "keys": optional(ByKind(text=Single(IDENTIFIER), items=ListOf(IDENTIFIER, least=1))),
    },
    place=True,
    whole=True,
)

STORE: Final = MapOf(MODE, key=IDENTIFIER)

ELEMENT: Final = Record(
    ElementDoc,
    {
        "store": optional(STORE),
        "compute": optional(ListOf(IDENTIFIER)),
        "where": optional(ZONE),
        "deny": optional(ListOf(REFERENCE, least=1)),
        "copies": optional(
            Record(
                CopiesDoc,
                {
                    "count": optional(Whole(least=1, most=9)),
                    "distinct": optional(ListOf(Choice({d.value: d for d in Distinct}), least=1)),
                },
            )
        ),
        "retain": optional(
            Record(RetainDoc, {"min": optional(PERIOD_SHAPE), "max": optional(PERIOD_SHAPE)}, place=True)
        ),
        "waivable": optional(Flag()),
        "basis": optional(PROSE),
    },
    place=True,
)

CATEGORY: Final = Record(
    CategoryDoc, {"implies": optional(ListOf(IDENTIFIER)), "minimum": optional(IDENTIFIER)}, place=True
)

RULE: Final = Record(
    RuleDoc,
    {
        "id": required(IDENTIFIER),
        "path": optional(PROSE),
        "meta": optional(MapOf(Text(most=1024), least=1, whole=True)),
        "content": optional(IDENTIFIER),
        "min": optional(Whole(least=1, most=1_000_000)),
        "label": required(PROSE),
    },
    place=True,
    whole=True,
)

WAIVER: Final = Record(
    WaiverDoc,
    {
        "id": required(IDENTIFIER),
        "path": required(PROSE),
        "label": required(PROSE),
        "store": required(MapOf(MODE, key=IDENTIFIER, least=1)),
        "reason": required(PROSE),
        "owner": required(PROSE),
        "approved": required(ListOf(PROSE, least=1)),
        "expires": required(Day()),
    },
    place=True,
)

LIMITS: Final = Record(
    LimitsDoc,
    {
        "waiver_days": optional(Whole(least=1, most=366)),
        "approvals": optional(Whole(least=1, most=20)),
        "scan_mib": optional(Whole(least=1, most=1 << 20)),
        "scan_seconds": optional(Whole(least=1, most=3600)),
    },
)

ALWAYS: Final = Record(
    AlwaysDoc,
    {
        "id": required(IDENTIFIER),
        "label": required(PROSE),
        "inside": optional(ListOf(IDENTIFIER, least=1)),
        "outside": optional(ListOf(IDENTIFIER, least=1)),
        "operation": optional(Choice({work.value: work for work in Work})),
        "demand": required(ByKind(text=Choice({"refused": None}), entries=MODE)),
    },
    place=True,
    whole=True,
)

EXTEND: Final = ByKind(
    text=Parsed(extend_of, PROSE),
    entries=Record(
        ExtendDoc,
        {"pack": required(PROSE), "with": optional(MapOf(Anything(), key=PARAMETER, least=1))},
        names={"with": "given"},
        whole=True,
    ),
)

PACK: Final = Record(
    PackDoc,
    {
        "title": required(PROSE),
        "status": optional(Choice({status.value: status for status in Status})),
        "as_of": required(Day()),
        "basis": optional(ListOf(PROSE, least=1)),
        "sources": optional(ListOf(PROSE, least=1)),
        "excludes": optional(ListOf(PROSE, least=1)),
    },
)

DOCUMENT: Final = Record(
    DocumentDoc,
    {
        "sovbroker": required(Text("1", "the version of the policy language, which is 1")),
        "name": optional(IDENTIFIER),
        "pack": optional(PACK),
        "parameters": optional(
            MapOf(Record(ParameterDoc, {"about": required(PROSE), "default": optional(Anything())}), key=PARAMETER)
        ),
        "extends": optional(ListOf(EXTEND, least=1)),
        "levels": optional(ListOf(IDENTIFIER, least=1)),
        "default": optional(PROSE),
        "limits": optional(LIMITS),
        "categories": optional(MapOf(CATEGORY, key=IDENTIFIER, noun="category")),
        "aliases": optional(MapOf(PROSE)),
        "zones": optional(MapOf(ZONE, key=IDENTIFIER, noun="zone")),
        "require": optional(MapOf(ELEMENT, key=IDENTIFIER, noun="element")),
        "classify": optional(ListOf(RULE)),
        "waivers": optional(ListOf(WAIVER)),
        "always": optional(ListOf(ALWAYS)),
        "prefer": optional(ListOf(IDENTIFIER, least=1)),
    },
    place=True,
)
"""The whole language: what a policy's or a pack's file may hold."""
