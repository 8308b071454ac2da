"""A policy once its files are merged and its names resolved: what it says, without any target or day."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from sovbroker.labels import Lattice
from sovbroker.policy.documents import Distinct, LimitsDoc, Work
from sovbroker.policy.glob import Glob
from sovbroker.policy.mode import Mode
from sovbroker.policy.zones import Named, Predicate, Qualified, Seal, Within, Zone

__all__ = ["Alternative", "Content", "Invariant", "Requirement", "Retain", "Rule", "Rulebook", "Waiver"]


@dataclass(frozen=True, slots=True)
class Retain:
    """How long an object must be kept at least, and at most; None where there is no such bound."""

    min: timedelta | None = None
    max: timedelta | None = None

    @property
    def contradicts(self) -> bool:
        """Whether nothing can meet both bounds."""
        return self.min is not None and self.max is not None and self.min > self.max

    def __and__(self, other: Retain) -> Retain:
        """Return the bounds that meet both: the longer minimum, the shorter maximum."""
        lows = [bound for bound in (self.min, other.min) if bound is not None]
        highs = [bound for bound in (self.max, other.max) if bound is not None]
        return Retain(max(lows, default=None), min(highs, default=None))


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to meet a requirement: be in the zone, in this mode."""

    zone: str
    mode: Mode


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one file demands for one element (a level or a category).

    `store` None demands nothing about zones; empty, it allows nowhere. `where` is a further condition on every target.
    `pad` asks for sealed copies of a padded size.
    """

    element: str
    store: tuple[Alternative, ...] | None = None
    compute: tuple[str, ...] | None = None
    where: Zone | None = None
    deny: tuple[str, ...] = ()
    count: int = 1
    distinct: frozenset[Distinct] = frozenset()
    retain: Retain = field(default_factory=Retain)
    pad: bool = False
    waivable: bool = True
    basis: str = ""

    @property
    def title(self) -> str:
        """How a reason names it: the element, then its legal basis."""
        return f"`{self.element}` ({self.basis})" if self.basis else f"`{self.element}`"


@dataclass(frozen=True, slots=True)
class Content:
    """What a rule looks for in content: at least `least` different findings of a detector."""

    detector: str
    least: int = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """A classification rule: what matches `path`, has every pair of `meta`, and holds `content`, carries `mask`."""

    id: str
    mask: int
    path: Glob | None = None
    meta: tuple[tuple[str, str], ...] = ()
    content: Content | None = None


@dataclass(frozen=True, slots=True)
class Invariant:
    """What must hold whatever targets there are: what carries `mask` meets `demand`, or is refused where it is None.

    It is about each target that is in all zones of `inside` and in none of `outside`, for each of `operations` (`store`
    and `compute`).
    """

    id: str
    mask: int
    inside: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    demand: Mode | None = None
    operations: tuple[Work, ...] = (Work.STORE, Work.COMPUTE)


@dataclass(frozen=True, slots=True)
class Waiver:
    """An approved exception: alternatives for objects under `path` whose label `mask` dominates, until `expires`."""

    id: str
    path: Glob
    mask: int
    store: tuple[Alternative, ...]
    reason: str
    owner: str
    approved: tuple[str, ...]
    expires: date

    def live(self, day: date) -> bool:
        """Whether it holds on `day`; `expires` is the first day on which it does not."""
        return day < self.expires


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Everything that a policy says. Rules, waivers and requirements are in a fixed order, whatever the files' was."""

    name: str
    lattice: Lattice
    default: int
    zones: Mapping[str, Zone]
    requirements: Mapping[str, tuple[Requirement, ...]]
    rules: tuple[Rule, ...]
    waivers: tuple[Waiver, ...]
    prefer: tuple[str, ...]
    always: tuple[Invariant, ...] = ()
    limits: LimitsDoc = field(default_factory=LimitsDoc)

    def forbids(self, mask: int) -> bool:
        """Whether the policy means what carries the label of `mask` to be stored nowhere: an invariant says so."""
        return any(
            i.demand is None
            and not i.inside
            and not i.outside
            and Work.STORE in i.operations
            and i.mask & mask == i.mask
            for i in self.always
        )

    def digest(self) -> str:
        """Return the SHA-256, in hexadecimal, of what the policy says: comments, order and layout do not change it."""
        lattice = self.lattice
        canonical = {
            "sovbroker": 1,
            "name": self.name,
            "levels": list(lattice.levels),
            "categories": {c.name: [sorted(c.implies), c.minimum] for c in lattice.categories.values()},
            "aliases": dict(lattice.aliases),
            "default": self.default,
            "zones": {zone.name: _zone(zone) for zone in self.zones.values()},
            "require": {name: [_requirement(r) for r in found] for name, found in self.requirements.items()},
            "classify": [_rule(rule) for rule in self.rules],
            "waivers": [
                [w.id, w.path.text, w.mask, _store(w.store), w.reason, w.owner, w.approved, w.expires.isoformat()]
                for w in self.waivers
            ],
            "always": [_invariant(invariant) for invariant in self.always],
            "limits": [
                self.limits.scan_mib,
                self.limits.scan_seconds,
                *([] if self.limits.key_seconds is None else [self.limits.key_seconds]),
            ],
            "prefer": self.prefer,
        }
        text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def order(requirement: Requirement) -> str:
    """Return what sorts the requirements of one element, so that the order of the files does not matter."""
    return json.dumps(_requirement(requirement), sort_keys=True)


def _zone(zone: Zone) -> list[object]:
    return sorted((_predicate(p) for p in zone.predicates), key=str)


def _rule(rule: Rule) -> list[object]:
    content = None if rule.content is None else [rule.content.detector, rule.content.least]
    return [rule.id, rule.mask, rule.path.text if rule.path else None, dict(rule.meta), content]


def _invariant(invariant: Invariant) -> list[object]:
    demand = None if invariant.demand is None else invariant.demand.to_dict()
    return [
        invariant.id,
        invariant.mask,
        sorted(invariant.inside),
        sorted(invariant.outside),
        demand,
        sorted(invariant.operations),
    ]


def _predicate(predicate: Predicate) -> list[object]:
    match predicate:
        case Within():
            return [predicate.axis.value, sorted(predicate.countries)]
        case Qualified():
            return ["qualified", str(predicate)]
        case Seal():
            return ["seal", predicate.framework, dict(predicate.minimum), sorted(predicate.assessors)]
        case Named():
            return [predicate.what, sorted(predicate.ids)]


def _store(store: tuple[Alternative, ...]) -> list[object]:
    return sorted(([a.zone, a.mode.to_dict()] for a in store), key=str)


def _requirement(r: Requirement) -> list[object]:
    bounds = [None if bound is None else bound.days for bound in (r.retain.min, r.retain.max)]
    return [
        None if r.store is None else _store(r.store),
        None if r.compute is None else sorted(r.compute),
        None if r.where is None else _zone(r.where),
        sorted(r.deny),
        r.count,
        sorted(r.distinct),
        bounds,
        r.waivable,
        r.basis,
        *(["pad"] if r.pad else []),  # last and not always: older policies keep their digests
    ]
