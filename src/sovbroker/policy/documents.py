"""The policy language as it is written: one value per construct.

The values keep the places of names, so that later checks can point at them. They mean nothing yet: `language` decodes
them, `resolve` merges the files and judges the names, `table` gives them their meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from sovbroker.document import Node, Place, Word
from sovbroker.policy.mode import Encrypt, Names

__all__ = [
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
    "Status",
    "WaiverDoc",
    "Work",
    "ZoneDoc",
]

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
    alone: tuple[Word, ...] | None = None
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
    pad: bool = False
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

    A scan for content reads at most `scan_mib` MiB and takes at most `scan_seconds`; past that it is incomplete. Writes
    are sealed with a key that a key service gave in the last `key_seconds`; None: or that is still held.
    """

    waiver_days: int = 90
    approvals: int = 2
    scan_mib: int = 256
    scan_seconds: int = 30
    key_seconds: int | None = None

    @property
    def key_age(self) -> timedelta | None:
        """How old a key may be that something is written with; None: as old as keys are held."""
        return None if self.key_seconds is None else timedelta(seconds=self.key_seconds)


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
