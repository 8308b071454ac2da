"""A policy as policies of Cedar, with a schema, and the targets and key services as entities.

Cedar answers for one object, one target and one mode at a time. It has no joins and no minimum, so it is asked about a
mode that somebody proposes: whether it meets every requirement of every element of the object's label. Labels are
given; classification stays outside, as Cedar looks at sets and cannot go through them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from sovbroker.catalogue.facts import Fact, Facts, KeyHolder, Status, Target
from sovbroker.errors import InvalidArgument
from sovbroker.policy.documents import OBJECTIVES
from sovbroker.policy.mode import Mode
from sovbroker.policy.policy import Policy
from sovbroker.policy.rulebook import Alternative, Requirement, Waiver
from sovbroker.policy.zones import Axis, Named, Predicate, Qualified, Seal, Subject, Within, Zone

__all__ = ["Cedar", "to_cedar"]

PARTS: Final = 4
STEP: Final = 10_000
ATTRIBUTES: Final = ("provider", "names", "located", "controlled", "technology", "alone", "qualified", "seal")
KEYED: Final = f"({' && '.join(f'context.key has {name}' for name in ATTRIBUTES)})"

UNKNOWN: Final = "unknown"

HEAD: Final = """\
// The policy `{name}` in Cedar, for {day}. SHA-256 of what it says: {digest}
//
// The principal is an object: `elements` are the levels up to its own and its categories, `waivers` the waivers in
// whose path it is. The resource is a target. The context of `store` is a mode that is proposed: whether the content
// and the name are encrypted, and the key service. A target's facts are those that count on the day, and of each scheme
// the highest version, as one number.
//
// Cedar leaves out a `forbid` that fails. So a permit asks for whatever a `forbid` reads, and these policies are to be
// validated with their schema before anybody relies on them.
"""

SCHEMA: Final = """\
type Score = {{ {score} }};
type Qualified = {{ {qualified} }};
type Scores = {{ {scores} }};
entity Countries = {{ every: Set<String> }};
entity Object = {{ elements: Set<String>, waivers: Set<String> }};
entity Target, KeyService = {{
  provider: String,
  names: Set<String>,
  located: Set<String>,
  controlled: Set<String>,
  technology: Set<String>,
  alone: Set<String>,
  qualified: Qualified,
  seal: Scores,
}};
action store appliesTo {{
  principal: Object,
  resource: Target,
  context: {{ encrypt: Bool, names: Bool, key?: KeyService }},
}};
action compute appliesTo {{ principal: Object, resource: Target }};
"""


@dataclass(frozen=True, slots=True)
class Cedar:
    """What Cedar needs: `policies` and `schema` in its own syntax, `entities` as JSON."""

    policies: str
    schema: str
    entities: str


def to_cedar(policy: Policy, *, at: date) -> Cedar:
    """Return a policy for Cedar 4.5 or later, over the facts that count on the day `at`.

    An object may be stored at a target in a mode iff one of the least modes there is at most the mode proposed. Which
    facts, and which waivers, count on the day is worked out here. Raises InvalidArgument for a version that is no
    number of Cedar's.
    """
    return _Export(policy, at).run()


class _Export:
    """One export: the policy, the day, and the scores that its targets and key services have."""

    def __init__(self, policy: Policy, day: date) -> None:
        self.policy = policy
        self.book = policy.book
        self.day = day
        self.things: tuple[Target | KeyHolder, ...] = (*policy.world.targets, *policy.world.holders)
        self.schemes: set[str] = set()
        self.scored: dict[str, tuple[str, str]] = {}
        self.countries: dict[str, list[str]] = {}

    def run(self) -> Cedar:
        entities = [self._entity(thing) for thing in self.things]
        parts: list[str] = []
        for element, found in self.book.requirements.items():
            for number, requirement in enumerate(found, start=1):
                title = element if len(found) == 1 else f"{element} {number}"
                parts += self._forbids(title, requirement)
        head = HEAD.format(name=self.book.name, day=self.day, digest=self.policy.digest)
        parts = [head, *self._permits(), *parts]
        entities += [_entity("Countries", name, {"every": every}) for name, every in sorted(self.countries.items())]
        score = ", ".join(f"{_text(name)}: Long" for name in OBJECTIVES)
        qualified = ", ".join(f"{_text(name)}?: Long" for name in sorted(self.schemes))
        scores = ", ".join(f"{_text(name)}?: Score" for name in sorted(self.scored))
        schema = SCHEMA.format(score=score, qualified=qualified, scores=scores)
        return Cedar("\n".join(parts), schema, json.dumps(entities, indent=2, ensure_ascii=False) + "\n")

    # --- policies

    def _permits(self) -> Iterable[str]:
        """Permit what every label includes; computing only where the lowest level says where."""
        lowest = self.book.lattice.levels[0]
        computes = any(r.compute is not None for r in self.book.requirements.get(lowest, ()))
        there = [
            f"principal has elements && principal has waivers && principal.elements.contains({_text(lowest)})",
            *(f"resource has {name}" for name in ATTRIBUTES),
            *(f"Countries::{_text(name)} has every" for name in sorted(self.countries)),
        ]
        yield _permit(
            "store",
            [*there, "context has encrypt && context has names", f"(if context has key then {KEYED} else true)"],
        )
        if computes:
            yield _permit("compute", there)

    def _forbids(self, title: str, requirement: Requirement) -> Iterable[str]:
        if requirement.deny:
            denied = [self._denied(name) for name in requirement.deny]
            yield _forbid(f"{title}: deny", requirement, "action", also=_any(denied))
        if requirement.where is not None:
            met = self._zone(requirement.where, "resource")
            yield _forbid(f"{title}: where", requirement, "action", unless=met)
        if requirement.store is not None:
            ways = [self._way(way) for way in requirement.store]
            if requirement.waivable:
                ways += [self._waived(waiver) for waiver in self.book.waivers if waiver.live(self.day)]
            yield _forbid(f"{title}: store", requirement, 'action == Action::"store"', unless=_lines(ways))
        if requirement.compute is not None:
            zones = [self._zone(self.book.zones[name], "resource") for name in requirement.compute]
            yield _forbid(f"{title}: compute", requirement, 'action == Action::"compute"', unless=_lines(zones))

    def _denied(self, name: str) -> str:
        found = [f"resource.provider == {_text(name)}", f"resource.names.contains({_text(name)})"]
        zone = self.book.zones.get(name)
        return _any(found if zone is None else [*found, self._zone(zone, "resource")])

    def _way(self, way: Alternative) -> str:
        return _all([self._zone(self.book.zones[way.zone], "resource"), *self._mode(way.mode)])

    def _mode(self, mode: Mode) -> Iterable[str]:
        if mode.sealed:
            yield "context.encrypt"
        if mode.names_encrypted:
            yield "context.names"
        if mode.keys:
            yield "context has key"
        for name in sorted(mode.keys):
            yield self._zone(self.book.zones[name], "context.key")

    def _waived(self, waiver: Waiver) -> str:
        bound = ", ".join(map(_text, self.book.lattice.elements(waiver.mask)))
        scope = [f"principal.waivers.contains({_text(waiver.id)})", f"[{bound}].containsAll(principal.elements)"]
        return _all([*scope, _any(self._way(way) for way in waiver.store)])

    # --- zones

    def _zone(self, zone: Zone, thing: str) -> str:
        return _all(self._predicate(predicate, thing) for predicate in zone.predicates)

    def _predicate(self, predicate: Predicate, thing: str) -> str:
        match predicate:
            case Within(Axis.ALONE) if not predicate.countries:
                return f"{thing}.alone.isEmpty()"
            case Within():
                axis, name = f"{thing}.{predicate.axis.value}", ", ".join(predicate.names)
                self.countries[name] = sorted(predicate.countries)
                # Of no country, all are anywhere: what is not known must not satisfy.
                known = "" if predicate.axis is Axis.ALONE else f"!{axis}.isEmpty() && "
                return f"{known}Countries::{_text(name)}.every.containsAll({axis})"
            case Qualified():
                self.schemes.add(predicate.scheme)
                scheme = _text(predicate.scheme)
                recent = f" && {thing}.qualified[{scheme}] >= {_number(predicate.least)}" if predicate.least else ""
                return f"{thing}.qualified has {scheme}{recent}"
            case Seal():
                return _any(self._scored(predicate, thing))
            case Named():
                names = map(_text, predicate.ids)
                if predicate.what == "provider":
                    return _any(f"{thing}.provider == {name}" for name in names)
                return _any(f"{thing}.names.contains({name})" for name in names)

    def _scored(self, seal: Seal, thing: str) -> Iterable[str]:
        """Yield a condition for each score that anything here has of that version, by an assessor that counts."""
        for name, (framework, assessor) in sorted(self.scored.items()):
            if framework == seal.framework and (not seal.assessors or assessor in seal.assessors):
                score = f"{thing}.seal[{_text(name)}]"
                least = [f"{score}[{_text(objective)}] >= {level}" for objective, level in seal.minimum]
                yield _all([f"{thing}.seal has {_text(name)}", *least])

    # --- entities

    def _entity(self, thing: Target | KeyHolder) -> dict[str, object]:
        subject, facts = Subject.of(thing), thing.facts
        own = {
            "provider": subject.provider,
            "names": sorted(subject.names),
            "located": self._countries(facts.located),
            "controlled": self._countries(facts.controlled),
            "technology": self._countries(facts.technology),
            # That nobody does it alone is an answer, so what is not known is a country of no list.
            "alone": self._countries(facts.unaided) if facts.unaided.supports(self.day) else [UNKNOWN],
            "qualified": self._qualified(facts),
            "seal": self._seal(facts),
        }
        return _entity("Target" if isinstance(thing, Target) else "KeyService", thing.id, own)

    def _countries(self, fact: Fact[frozenset[str]]) -> list[str]:
        return sorted(fact.value or ()) if fact.supports(self.day) else []

    def _qualified(self, facts: Facts) -> dict[str, int]:
        found: dict[str, int] = {}
        for q in facts.qualified:
            self.schemes.add(q.scheme)
            if q.status is Status.QUALIFIED and q.evidence.supports(self.day):
                found[q.scheme] = max(found.get(q.scheme, -1), _number(q.version))
        return found

    def _seal(self, facts: Facts) -> dict[str, dict[str, int]]:
        """Return the scores by framework and assessor; a number tells apart several of one assessor."""
        found: dict[str, dict[str, int]] = {}
        for number, score in enumerate(facts.seal, start=1):
            if score.evidence.supports(self.day):
                name = f"{score.framework} by {score.assessor}, {number}"
                self.scored[name] = (score.framework, score.assessor)
                levels = dict(score.levels)
                found[name] = {objective: levels.get(objective, -1) for objective in OBJECTIVES}
        return found


def _number(version: tuple[int, ...]) -> int:
    """Return a version as one number that compares as versions do; -1 where it is not known."""
    if not version:
        return -1
    if len(version) > PARTS or max(version) >= STEP:
        raise InvalidArgument(f"version {'.'.join(map(str, version))} is too long for a number of Cedar's")
    number = 0
    for part in (*version, *(0,) * (PARTS - len(version))):
        number = number * STEP + part
    return number


def _forbid(title: str, requirement: Requirement, action: str, *, also: str = "", unless: str = "") -> str:
    lines = [f"@id({_text(title)})"]
    if requirement.basis:
        lines.append(f"@basis({_text(requirement.basis)})")
    condition = f"principal.elements.contains({_text(requirement.element)})" + (f" && {also}" if also else "")
    lines += [f"forbid (principal is Object, {action}, resource is Target)", f"when {{ {condition} }}"]
    if unless:
        lines.append(f"unless {{\n  {unless}\n}}")
    return "\n".join(lines) + ";\n"


def _permit(action: str, conditions: Iterable[str]) -> str:
    head = f'@id("{action}")\npermit (principal is Object, action == Action::"{action}", resource is Target)'
    return "\n".join([head, "when {", "  " + "\n  && ".join(conditions), "};", ""])


def _entity(kind: str, name: str, attributes: Mapping[str, object]) -> dict[str, object]:
    return {"uid": {"type": kind, "id": name}, "attrs": attributes, "parents": []}


def _lines(conditions: Iterable[str]) -> str:
    """Join alternatives, each on a line of its own."""
    return "\n  || ".join(f"({one})" for one in conditions) or "false"


def _any(conditions: Iterable[str]) -> str:
    found = list(conditions)
    return f"({' || '.join(f'({one})' for one in found)})" if found else "false"


def _all(conditions: Iterable[str]) -> str:
    return " && ".join(list(conditions)) or "true"


def _text(text: str) -> str:
    """Spell a text as Cedar does."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in plain) + '"'
