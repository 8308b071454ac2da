"""The cases file as it is written: one value per construct, and the shapes that decode them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final, Generic, TypeVar

from sovbroker.document import (
    Choice,
    Day,
    Findings,
    Flag,
    ListOf,
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
)
from sovbroker.policy.decision import Operation
from sovbroker.policy.documents import OBJECTIVES, Distinct, ModeDoc, RetainDoc
from sovbroker.policy.language import IDENTIFIER, MODE, PERIOD_SHAPE, VERSION

__all__ = [
    "CASES",
    "CaseDoc",
    "CasesDoc",
    "ExpectDoc",
    "FactsDoc",
    "Found",
    "QualifiedDoc",
    "ScoreDoc",
]

T = TypeVar("T")

KEY_MAX: Final = 1024
CONTENT_MAX: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A value, and where it was written."""

    value: T
    place: Place = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class _Placed(Generic[T]):
    """What another shape decodes, with its place."""

    shape: Shape[T]

    def decode(self, node: Node, findings: Findings) -> Found[T]:
        """Return the value with its place."""
        return Found(self.shape.decode(node, findings), node.place)


@dataclass(frozen=True, slots=True)
class QualifiedDoc:
    """A qualification that a target holds; it counts until the day before `until`, for ever without one."""

    scheme: Word
    version: Word | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class ScoreDoc:
    """A score by the EU Cloud Sovereignty Framework; it counts until the day before `until`."""

    place: Place = field(compare=False, repr=False)
    framework: Word
    assessor: Word
    levels: tuple[tuple[str, int], ...]
    until: date | None = None


@dataclass(frozen=True, slots=True)
class FactsDoc:
    """A target or key service of the cases' own; what is left out is unknown."""

    place: Place = field(compare=False, repr=False)
    located: tuple[Word, ...] = ()
    controlled: tuple[Word, ...] = ()
    technology: tuple[Word, ...] = ()
    alone: tuple[Word, ...] | None = None
    qualified: tuple[QualifiedDoc, ...] = ()
    seal: tuple[ScoreDoc, ...] = ()
    site: Word | None = None
    cost: Decimal | None = None
    latency: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ExpectDoc:
    """What a case expects of the decision; None where it does not look."""

    place: Place = field(compare=False, repr=False)
    allowed: Found[bool] | None = None
    label: Word | None = None
    rules: Found[tuple[Word, ...]] | None = None
    targets: Found[tuple[Word, ...]] | None = None
    only: Found[tuple[Word, ...]] | None = None
    includes: Found[tuple[Word, ...]] | None = None
    excludes: Found[tuple[Word, ...]] | None = None
    modes: Mapping[Word, ModeDoc] = field(default_factory=dict[Word, ModeDoc])
    copies: Found[int] | None = None
    distinct: Found[tuple[Distinct, ...]] | None = None
    retain: RetainDoc | None = None
    pad: Found[bool] | None = None
    waiver: Word | None = None
    because: Word | None = None


@dataclass(frozen=True, slots=True)
class CaseDoc:
    """One object, what is to be done with it on which day, and what the policy must say to that."""

    id: Word
    key: Word
    expect: ExpectDoc
    about: str = ""
    label: Word | None = None
    stored: Word | None = None
    meta: Mapping[Word, Word] = field(default_factory=dict[Word, Word])
    content: str | None = None
    operation: Operation = Operation.PUT
    at: date | None = None


@dataclass(frozen=True, slots=True)
class CasesDoc:
    """A cases file. `catalogue` None: the shipped catalogue is judged over where no targets are given."""

    place: Place = field(compare=False, repr=False)
    at: date | None = None
    catalogue: bool | None = None
    targets: Mapping[Word, FactsDoc] | None = None
    keys: Mapping[Word, FactsDoc] = field(default_factory=dict[Word, FactsDoc])
    cases: tuple[CaseDoc, ...] = ()


def score_of(*, place: Place, framework: Word, assessor: Word, until: date | None = None, **levels: int) -> ScoreDoc:
    """Return a score; `levels` are by objective, spelled with a `_`."""
    named = tuple(sorted((name.replace("_", "-"), level) for name, level in levels.items()))
    return ScoreDoc(place, framework, assessor, named, until)


def cases_of(*, sovbroker_tests: str, **rest: object) -> CasesDoc:  # noqa: ARG001  # the version has been looked at
    """Return a cases file without its version."""
    return CasesDoc(**rest)  # type: ignore[arg-type]  # the shapes have decided the types


ID: Final = Text(r"[A-Za-z0-9][A-Za-z0-9_./@:-]{0,127}", "a target such as `provider/region`", most=128)
PLACES: Final = ListOf(ID)
COUNTRY: Final = Text(r"[A-Z]{2}", "a country's two capital letters, such as FR")
COUNTRIES: Final = ListOf(COUNTRY, least=1)
NUMBER: Final = Parsed(Decimal, Text(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", "a number such as 0.01, not below 0", most=20))

QUALIFIED: Final = Record(
    QualifiedDoc,
    {"scheme": required(IDENTIFIER), "version": optional(VERSION), "until": optional(Day())},
    whole=True,
)

SCORE: Final = Record(
    score_of,
    {
        "framework": required(VERSION),
        "assessor": required(IDENTIFIER),
        "until": optional(Day()),
        **{objective: optional(Whole(most=4)) for objective in OBJECTIVES},
    },
    place=True,
    whole=True,
)

ABOUT_A_PLACE: Final = {
    "located": optional(COUNTRIES),
    "controlled": optional(COUNTRIES),
    "technology": optional(COUNTRIES),
    "alone": optional(ListOf(COUNTRY)),
    "qualified": optional(ListOf(QUALIFIED, least=1)),
    "seal": optional(ListOf(SCORE, least=1)),
}

TARGET: Final = Record(
    FactsDoc,
    {**ABOUT_A_PLACE, "site": optional(Text(most=128)), "cost": optional(NUMBER), "latency": optional(NUMBER)},
    place=True,
    noun="fact",
)

HOLDER: Final = Record(FactsDoc, ABOUT_A_PLACE, place=True, noun="fact")

EXPECT: Final = Record(
    ExpectDoc,
    {
        "allowed": optional(_Placed(Flag())),
        "label": optional(Text()),
        "rules": optional(_Placed(ListOf(IDENTIFIER, least=1))),
        "targets": optional(_Placed(PLACES)),
        "only": optional(_Placed(PLACES)),
        "includes": optional(_Placed(ListOf(ID, least=1))),
        "excludes": optional(_Placed(ListOf(ID, least=1))),
        "modes": optional(MapOf(MODE, key=ID, least=1, whole=True)),
        "copies": optional(_Placed(Whole(least=1, most=9))),
        "distinct": optional(_Placed(ListOf(Choice({d.value: d for d in Distinct})))),
        "retain": optional(
            Record(RetainDoc, {"min": optional(PERIOD_SHAPE), "max": optional(PERIOD_SHAPE)}, place=True, whole=True)
        ),
        "pad": optional(_Placed(Flag())),
        "waiver": optional(IDENTIFIER),
        "because": optional(Text()),
    },
    place=True,
    whole=True,
    noun="expectation",
)

CASE: Final = Record(
    CaseDoc,
    {
        "id": required(IDENTIFIER),
        "about": optional(Text()),
        "key": required(Text(most=KEY_MAX)),
        "label": optional(Text()),
        "stored": optional(Text()),
        "meta": optional(MapOf(Text(most=1024), whole=True)),
        "content": optional(Text(most=CONTENT_MAX)),
        "operation": optional(Choice({operation.value: operation for operation in Operation})),
        "at": optional(Day()),
        "expect": required(EXPECT),
    },
    whole=True,
)

CASES: Final = Record(
    cases_of,
    {
        "sovbroker-tests": required(Text("1", "the version of the cases file, which is 1")),
        "at": optional(Day()),
        "catalogue": optional(Flag()),
        "targets": optional(MapOf(TARGET, key=ID, noun="target")),
        "keys": optional(MapOf(HOLDER, key=ID, noun="key service")),
        "cases": optional(ListOf(CASE)),
    },
    place=True,
)
"""What a cases file may hold."""
