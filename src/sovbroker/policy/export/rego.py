"""A policy as a Rego module, and the facts of its targets and key services as its data.

The module is what the policy says, as tables, followed by what the words mean, which is the same text for every policy
(`semantics.rego`). Whether a fact counts on a day is judged in Rego, from its basis, confidence and end.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import Final

from sovbroker.catalogue.countries import COUNTRIES, GROUPS
from sovbroker.catalogue.facts import Evidence, Fact, Facts, KeyHolder, Target
from sovbroker.labels import Category
from sovbroker.policy.glob import Glob
from sovbroker.policy.mode import Mode
from sovbroker.policy.policy import Policy
from sovbroker.policy.rulebook import Alternative, Requirement, Rule, Waiver
from sovbroker.policy.zonedocs import KNOWN
from sovbroker.policy.zones import Named, Predicate, Qualified, Seal, Subject, Within, Zone

__all__ = ["rego_facts", "to_rego"]

SEMANTICS: Final = "semantics.rego"
SPECIAL: Final = re.compile(r"[\\.+*?()|\[\]{}^$]")
TAB: Final = "\t"
WIDTH: Final = 110
WILD: Final = re.compile(r"[*?]")

HEAD: Final = """\
# The policy `{name}` in Rego, exported for {day}.
# SHA-256 of what it says: {digest}
#
# Its data are the facts of the targets and key services, under `facts`, with the day that is judged:
#   opa eval --data policy.rego --data data.json --input object.json data.sovbroker.decision
# Left to the broker: which of the targets that comply are chosen, and the retention.
package sovbroker

import rego.v1

# OPA would refuse to ask for a field that no entry of a table has. This lets it forget what it knows of their types.
table(found) := found
"""


@dataclass(frozen=True, slots=True)
class Raw:
    """A text of Rego that is put in as it is."""

    text: str


def to_rego(policy: Policy, *, at: date) -> str:
    """Return a policy as a module of Rego, package `sovbroker`; its data are `rego_facts(policy, at=at)`.

    It runs in OPA 1.0 or later and in regorus. The rule `decision` answers for an input {key, label, stored, metadata,
    scan}, `decisions` for many of them, under `objects`: the label, the rules and waivers that count, the targets where
    it may be stored with the least modes of each, those that are refused, those where it may be computed on, and how
    many copies there must be. Nothing is left out for having lapsed: the day is in the data, and judged in Rego.
    """
    book = policy.book
    lattice = book.lattice
    parts = [
        HEAD.format(name=book.name, digest=policy.digest, day=at),
        _table("levels", list(lattice.levels)),
        _table("categories", {name: _category(own) for name, own in sorted(lattice.categories.items())}),
        _table("aliases", dict(sorted(lattice.aliases.items()))),
        _table("default_label", str(lattice.label(book.default))),
        _table("groups", _groups(policy)),
        _table("zones", {name: _zone(zone) for name, zone in book.zones.items()}),
        _table("requirements", [_requirement(r) for r in requirements_of(policy)]),
        _table("rules", [_rule(rule, str(lattice.label(rule.mask))) for rule in book.rules]),
        _table("waivers", [_waiver(waiver, str(lattice.label(waiver.mask))) for waiver in book.waivers]),
        _chain(requirements_of(policy)),
        resources.files("sovbroker.policy.export").joinpath(SEMANTICS).read_text(encoding="utf-8"),
    ]
    return "\n".join(parts)


def rego_facts(policy: Policy, *, at: date) -> str:
    """Return the data of `to_rego` as JSON: the day, the targets and key services, the evidence of each fact."""
    facts = {
        "day": at.isoformat(),
        "targets": {target.id: _subject(target) for target in policy.world.targets},
        "keys": {holder.id: _subject(holder) for holder in policy.world.holders},
    }
    return json.dumps({"facts": facts}, indent=2, ensure_ascii=False) + "\n"


def requirements_of(policy: Policy) -> list[Requirement]:
    """Return every requirement, in the order of the policy's elements."""
    return [requirement for found in policy.book.requirements.values() for requirement in found]


# --- what the policy says, as values of Rego


def _groups(policy: Policy) -> dict[str, frozenset[str]]:
    """Return the groups of countries that the policy names."""
    zones = [*policy.book.zones.values(), *(r.where for r in requirements_of(policy) if r.where is not None)]
    named = {name for zone in zones for p in zone.predicates if isinstance(p, Within) for name in p.names}
    return {name: found for name, found in sorted(({KNOWN: COUNTRIES} | GROUPS).items()) if name in named}


def _category(category: Category) -> dict[str, object]:
    own: dict[str, object] = {"implies": frozenset(category.implies)}
    return own if category.minimum is None else own | {"minimum": category.minimum}


def _zone(zone: Zone) -> list[object]:
    return [_predicate(predicate) for predicate in zone.predicates]


def _predicate(predicate: Predicate) -> dict[str, object]:
    match predicate:
        case Within():
            return {predicate.axis.value: list(predicate.names)}
        case Qualified():
            return {"qualified": predicate.scheme, "version": list(predicate.least)}
        case Seal():
            levels = dict(predicate.minimum)
            return {"seal": predicate.framework, "assessors": list(predicate.assessors), "levels": levels}
        case Named():
            return {predicate.what: list(predicate.ids)}


def _mode(mode: Mode) -> frozenset[str]:
    demands = {f"keys in {zone}" for zone in mode.keys}
    demands |= {"encrypt"} if mode.sealed else set()
    demands |= {"names"} if mode.names_encrypted else set()
    return frozenset(demands)


def _store(store: Iterable[Alternative]) -> list[object]:
    return [{"zone": a.zone, "mode": _mode(a.mode)} for a in store]


def _requirement(requirement: Requirement) -> dict[str, object]:
    found: dict[str, object] = {"element": requirement.element}
    if requirement.basis:
        found["basis"] = requirement.basis
    if requirement.store is not None:
        found["store"] = _store(requirement.store)
    if requirement.compute is not None:
        found["compute"] = list(requirement.compute)
    if requirement.where is not None:
        found["where"] = _zone(requirement.where)
    return found | {
        "deny": list(requirement.deny),
        "waivable": requirement.waivable,
        "copies": requirement.count,
        "distinct": sorted(requirement.distinct),
    }


def _rule(rule: Rule, label: str) -> dict[str, object]:
    found: dict[str, object] = {"id": rule.id}
    if rule.path is not None:
        found |= _path(rule.path)
    if rule.meta:
        found["meta"] = dict(rule.meta)
    if rule.content is not None:
        found["content"] = {"detector": rule.content.detector, "min": rule.content.least}
    return found | {"label": label}


def _waiver(waiver: Waiver, label: str) -> dict[str, object]:
    own = {"label": label, "store": _store(waiver.store), "expires": waiver.expires.isoformat()}
    return {"id": waiver.id} | _path(waiver.path) | own


def _path(glob: Glob) -> dict[str, object]:
    """Translate a pattern: to what keys begin with, or are, where that says it all; else to a regular expression."""
    *inner, last = glob.segments
    if last == "**" and inner and not WILD.search("".join(inner)):
        return {"under": "/".join(inner) + "/"}
    if not WILD.search(glob.text):
        return {"is": glob.text}
    return {"path": Raw(_quoted(f"^{_expression(inner, last)}$"))}


def _expression(inner: Sequence[str], last: str) -> str:
    """Return the regular expression of a pattern. The engines of Rego match in linear time, so nothing is tuned."""
    before = "".join("(?:[^/]*/)*" if segment == "**" else f"{_segment(segment)}/" for segment in inner)
    return before + (r"[\s\S]*" if last == "**" else _segment(last))


def _segment(text: str) -> str:
    plain = SPECIAL.sub(lambda found: found[0] if found[0] in "*?" else f"\\{found[0]}", text)
    return plain.replace("*", "[^/]*").replace("?", "[^/]")


# --- the facts


def _subject(thing: Target | KeyHolder) -> dict[str, object]:
    subject = Subject.of(thing)
    facts: Facts = thing.facts
    return {
        "provider": subject.provider,
        "names": sorted(subject.names),
        "located": _fact(facts.located),
        "controlled": _fact(facts.controlled),
        "technology": _fact(facts.technology),
        "alone": _fact(facts.unaided) | {"known": facts.unaided.value is not None},
        "qualified": [
            {"scheme": q.scheme, "status": q.status.value, "version": list(q.version)} | _evidence(q.evidence)
            for q in facts.qualified
        ],
        "seal": [
            {"framework": s.framework, "assessor": s.assessor, "levels": dict(s.levels)} | _evidence(s.evidence)
            for s in facts.seal
        ],
    }


def _fact(fact: Fact[frozenset[str]]) -> dict[str, object]:
    return {"countries": sorted(fact.value or ())} | _evidence(fact.evidence)


def _evidence(evidence: Evidence) -> dict[str, object]:
    found: dict[str, object] = {"basis": evidence.basis.value, "confidence": evidence.confidence.value}
    return found if evidence.expires is None else found | {"expires": evidence.expires.isoformat()}


# --- the text


def _chain(requirements: Sequence[Requirement]) -> str:
    """Return the rule that joins one alternative of each requirement: a step for each, as Rego has no recursion."""
    steps = [place for place, requirement in enumerate(requirements) if requirement.store is not None]
    lines = ["# The modes that meet the requirements so far, one after the other.", "met_0(_, _) := {set()}", ""]
    for step, place in enumerate(steps, start=1):
        lines += [
            f"# {requirements[place].element}",
            f"met_{step}(scope, id) := both(met_{step - 1}(scope, id), ways({place}, scope, id))",
            "",
        ]
    return "\n".join([*lines, f"meeting(scope, id) := met_{len(steps)}(scope, id)", ""])


def _table(name: str, value: object) -> str:
    return f"{name} := table({_laid(value, 0)})\n"


def _laid(value: object, depth: int) -> str:
    """Spell a value, over several lines where one would be long: some engines refuse lines of over 1,024 columns."""
    line = _spelled(value)
    if len(line) + 4 * depth <= WIDTH and depth:
        return line
    match value:
        case Mapping():
            entries = [f"{_spelled(k)}: {_laid(v, depth + 1)}" for k, v in value.items()]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # of any values
        case list():
            entries = [_laid(one, depth + 1) for one in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # as above
        case frozenset():
            entries = textwrap.wrap(line[1:-1], WIDTH - 4 * depth, break_long_words=False)
        case _:
            return line
    lines = [f"{TAB * (depth + 1)}{entry.removesuffix(',')}," for entry in entries]
    return "\n".join([line[0], *lines, f"{TAB * depth}{line[-1]}"])


def _spelled(value: object) -> str:
    """Spell a value as Rego does: JSON, and sets."""
    match value:
        case Raw():
            return value.text
        case Mapping():
            return f"{{{', '.join(f'{_spelled(k)}: {_spelled(v)}' for k, v in value.items())}}}"  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # as above
        case frozenset():
            return f"{{{', '.join(map(_spelled, sorted(value)))}}}" if value else "set()"  # pyright: ignore[reportUnknownArgumentType]  # of texts
        case list():
            return f"[{', '.join(map(_spelled, value))}]"  # pyright: ignore[reportUnknownArgumentType]  # as above
        case _:
            return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    """Quote a regular expression: raw, which is easier to read, where it holds nothing that ends it."""
    return json.dumps(text, ensure_ascii=False) if "`" in text or not text.isprintable() else f"`{text}`"
