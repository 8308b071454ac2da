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
from sovbroker.policy.mode import Encrypt, Names

__all__ = [
    "DOCUMENT",
    "CategoryDoc",
    "CopiesDoc",
    "Distinct",
    "DocumentDoc",
    "ElementDoc",
    "LimitsDoc",
    "ModeDoc",
    "RetainDoc",
    "RuleDoc",
    "WaiverDoc",
    "ZoneDoc",
]

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
IDENTIFIER: Final = Text(NAME, "a name of letters, digits, `-`, `_` and `.`", most=64)
REFERENCE: Final = Text(r"[A-Za-z0-9][A-Za-z0-9_./@:-]{0,127}", "an id such as `provider/region`", most=128)
PROSE: Final = Text()
PERIOD: Final = re.compile(r"([1-9][0-9]{0,4})([dwy])")
YEAR_DAYS: Final = 365.25


class Distinct(StrEnum):
    """In what the chosen targets must differ, pairwise."""

    PROVIDER = "provider"
    REGION = "region"
    SITE = "site"


@dataclass(frozen=True, slots=True)
class ZoneDoc:
    """A zone's predicates; None where a predicate is not stated."""

    place: Place = field(compare=False, repr=False)
    located: tuple[Word, ...] | None = None
    controlled: tuple[Word, ...] | None = None
    technology: tuple[Word, ...] | None = None
    qualified: tuple[Word, ...] | None = None
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
class LimitsDoc:
    """What a waiver may be: `waiver_days` at most ahead, by at least `approvals` people."""

    waiver_days: int = 90
    approvals: int = 2


@dataclass(frozen=True, slots=True)
class DocumentDoc:
    """One file of a policy."""

    place: Place = field(compare=False, repr=False)
    sovbroker: str = "1"
    name: Word | None = None
    extends: tuple[Word, ...] = ()
    levels: tuple[Word, ...] | None = None
    default: Word | None = None
    limits: LimitsDoc | None = None
    categories: Mapping[Word, CategoryDoc] = field(default_factory=dict[Word, CategoryDoc])
    aliases: Mapping[Word, Word] = field(default_factory=dict[Word, Word])
    zones: Mapping[Word, ZoneDoc] = field(default_factory=dict[Word, ZoneDoc])
    require: Mapping[Word, ElementDoc] = field(default_factory=dict[Word, ElementDoc])
    classify: tuple[RuleDoc, ...] = ()
    waivers: tuple[WaiverDoc, ...] = ()
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


PERIOD_SHAPE: Final = Parsed(period, Text(wanted="a period such as 30d, 4w or 10y"))
NAMES: Final = ListOf(REFERENCE, least=1)

ZONE: Final = Record(
    ZoneDoc,
    {
        "located": optional(NAMES),
        "controlled": optional(NAMES),
        "technology": optional(NAMES),
        "qualified": optional(ListOf(Text(wanted="a scheme such as `hds` or `secnumcloud>=3.2`", most=64), least=1)),
        "provider": optional(NAMES),
        "target": optional(NAMES),
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
        "meta": optional(MapOf(Text(most=1024), least=1)),
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
    {"waiver_days": optional(Whole(least=1, most=366)), "approvals": optional(Whole(least=1, most=20))},
)

DOCUMENT: Final = Record(
    DocumentDoc,
    {
        "sovbroker": required(Text("1", "the version of the policy language, which is 1")),
        "name": optional(IDENTIFIER),
        "extends": optional(ListOf(PROSE, least=1)),
        "levels": optional(ListOf(IDENTIFIER, least=1)),
        "default": optional(PROSE),
        "limits": optional(LIMITS),
        "categories": optional(MapOf(CATEGORY, key=IDENTIFIER, noun="category")),
        "aliases": optional(MapOf(PROSE)),
        "zones": optional(MapOf(ZONE, key=IDENTIFIER, noun="zone")),
        "require": optional(MapOf(ELEMENT, key=IDENTIFIER, noun="element")),
        "classify": optional(ListOf(RULE)),
        "waivers": optional(ListOf(WAIVER)),
        "prefer": optional(ListOf(IDENTIFIER, least=1)),
    },
    place=True,
)
"""The whole language: what a policy's or a pack's file may hold."""
