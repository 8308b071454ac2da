"""The shapes of the policy language: what a policy's or a pack's file may hold, and how it is decoded."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final

from sovbroker.document import (
    Anything,
    ByKind,
    Choice,
    Day,
    Flag,
    ListOf,
    MapOf,
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
from sovbroker.policy.documents import (
    OBJECTIVES,
    AlwaysDoc,
    CategoryDoc,
    CopiesDoc,
    Distinct,
    DocumentDoc,
    ElementDoc,
    ExtendDoc,
    LimitsDoc,
    ModeDoc,
    PackDoc,
    ParameterDoc,
    RetainDoc,
    RuleDoc,
    SealDoc,
    Status,
    WaiverDoc,
    Work,
    ZoneDoc,
)
from sovbroker.policy.mode import Encrypt, Names

__all__ = ["DOCUMENT"]

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
IDENTIFIER: Final = Text(NAME, "a name of letters, digits, `-`, `_` and `.`", most=64)
REFERENCE: Final = Text(r"[A-Za-z0-9][A-Za-z0-9_./@:-]{0,127}", "an id such as `provider/region`", most=128)
PROSE: Final = Text()
PERIOD: Final = re.compile(r"([1-9][0-9]{0,4})([dwy])")
YEAR_DAYS: Final = 365.25


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
        "alone": optional(PLACES),
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
        "pad": optional(Flag()),
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
        "key_seconds": optional(Whole(least=0, most=3600)),
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
