"""The same decisions by the policy engines that others use: 1,000 rules, 50 targets, one thread, in one run.

Every engine answers the same question for (key, label): what the object is labelled, and at which of the targets it
may be stored. Each is used as well as it can be: policies and facts are parsed once, many questions are put in one
call, and where a label goes is worked out once for all the questions of a call. The answers are compared before
anything is timed, or the times would mean nothing.

- sovbroker: `route`, as in `bench/policy.py`, its answers in the table.
- regorus: the export of `sovbroker policy export`; and the same with its rules in maps, of directories, endings and
  segments, as whoever writes Rego for speed would have them.
- Cedar: the rules are policies with `like`, and one request names all that match; the export says where a label goes.
- casbin: the rules are the lines of one model, and the alternatives and zones those of another.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import casbin  # type: ignore[import-untyped]
import cedarpy
import regorus

from bench import policy as workload
from sovbroker import policy
from sovbroker.policy import Policy
from sovbroker.policy.export import rego_facts, to_cedar, to_rego
from sovbroker.policy.zones import Zone

NOW: Final = workload.NOW
SAMPLE: Final = 40
SECONDS: Final = 1.5

Question = tuple[str, str | None]
Answer = tuple[str, frozenset[str]]
Engine = Callable[[Sequence[Question]], list[Answer]]

INDEX: Final = """
matching(asked) := ((near | ending) | inner) | other if {
	parts := split(asked.key, "/")
	directories := array.slice(parts, 0, count(parts) - 1)
	above := {sprintf("%s/", [concat("/", array.slice(parts, 0, n))]) | some n in numbers.range(1, count(parts) - 1)}
	near := {id | some directory in above; some id in data.index.under[directory]}
	names := split(parts[count(parts) - 1], ".")
	ending := {id | some id in data.index.endings[names[count(names) - 1]]; count(names) > 1}
	inner := {id | some part in directories; some id in data.index.inner[part]}
	other := {id | some directory in above; some id, path in data.index.other[directory]; regex.match(path, asked.key)}
}
"""
"""Which rules match, by what a key begins with, ends with, and goes through."""

MATCHING: Final = re.compile(r"^matching\(asked\) := .*?^}$", re.MULTILINE | re.DOTALL)
CARRIED: Final = "{labels[rule.label] | some rule in rules; rule.id in found}"

CASBIN_RULES: Final = """
[request_definition]
r = key
[policy_definition]
p = pattern
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = regexMatch(r.key, p.pattern)
"""
CASBIN_PLACES: Final = """
[request_definition]
r = element, target
[policy_definition]
p = element, zone
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.element == p.element && g(r.target, p.zone)
"""


def rows() -> list[tuple[str, float, str, str]]:
    """Measure, and return (name, value, unit, goal) rows."""
    rng = random.Random(7)  # noqa: S311  # a workload, not a secret
    source, patterns = workload.text(rng)
    targets, holders = workload.world()
    loaded = policy.loads(source, targets=targets, keys=holders, at=NOW, clock=lambda: NOW)
    names = workload.keys(rng, patterns)
    labels = [None if i % 4 else workload.LABELS[i % len(workload.LABELS)] for i in range(len(names))]
    questions = list(zip(names, labels, strict=True))
    rng.shuffle(questions)
    sample = questions[:SAMPLE]
    expected = ours(loaded)(sample)
    peers: dict[str, Engine] = {
        "regorus, the export": rego(loaded),
        "regorus, rules in maps": rego_indexed(loaded),
        "cedarpy": cedar(loaded),
        "casbin": pycasbin(loaded),
    }
    for name, engine in peers.items():
        found = engine(sample)
        for question, one, other in zip(sample, expected, found, strict=True):
            if one != other:
                raise AssertionError(f"{name} answers {question} with {other}, and not {one}")
    own = own_rate(loaded, questions)
    speeds = {name: rate(engine, questions) for name, engine in peers.items()}
    best = max(speeds.values())
    return [
        ("sovbroker", own, "/s", ""),
        *((name, speed, "/s", "") for name, speed in speeds.items()),
        ("sovbroker / the best peer", own / best, "x", ">= 1000"),
        ("sovbroker / the best export as it is", own / speeds["regorus, the export"], "x", ""),
    ]


def own_rate(loaded: Policy, questions: Sequence[Question]) -> float:
    """Return how many questions a second the policy answers."""
    work = [(key, 0 if label is None else loaded.lattice.mask_of_text(label)) for key, label in questions]
    day, route = NOW.toordinal(), loaded.route

    def run() -> None:
        for key, mask in work:
            route(key, mask, day)

    run()
    return len(work) / workload.best(run, 5)


def rate(engine: Engine, questions: Sequence[Question]) -> float:
    """Return how many questions a second an engine answers, in calls that grow until one takes long enough."""
    count, speed = SAMPLE, 0.0
    while True:
        start = time.perf_counter()
        engine(questions[:count])
        took = time.perf_counter() - start
        speed = max(speed, count / took)
        if took > SECONDS / 2 or count >= len(questions):
            return speed
        count = min(len(questions), max(count * 2, int(speed * SECONDS)))


def ours(loaded: Policy) -> Engine:
    """Return the policy as an engine that says what the others say."""

    def engine(questions: Sequence[Question]) -> list[Answer]:
        found: list[Answer] = []
        for key, label in questions:
            cell = loaded.route(key, 0 if label is None else loaded.lattice.mask_of_text(label), NOW.toordinal())
            ids = frozenset(loaded.world.targets[option.target].id for option in cell.placing.ranked)
            found.append((str(loaded.lattice.label(cell.mask)), ids))
        return found

    return engine


# --- regorus


def rego(loaded: Policy, text: str = "", index: dict[str, Any] | None = None) -> Engine:
    """Return regorus with a module, the export where none is given."""
    engine = regorus.Engine()
    engine.add_policy("policy.rego", text or to_rego(loaded, at=NOW.date()))
    engine.add_data_json(rego_facts(loaded, at=NOW.date()))
    engine.add_data({"index": index or {}})

    def ask(questions: Sequence[Question]) -> list[Answer]:
        asked = [{"key": key} if label is None else {"key": key, "label": label} for key, label in questions]
        engine.set_input_json(json.dumps({"objects": asked}))
        found = json.loads(engine.eval_rule_as_json("data.sovbroker.decisions"))
        return [(one["label"], frozenset(one["store"])) for one in found]

    return ask


def rego_indexed(loaded: Policy) -> Engine:
    """Return regorus with the export's rules in maps."""
    index: dict[str, Any] = {"under": {}, "endings": {}, "inner": {}, "other": {}, "labels": {}}
    for rule in loaded.book.rules:
        index["labels"][rule.id] = str(loaded.lattice.label(rule.mask))
        segments = () if rule.path is None else rule.path.segments
        match segments:
            case ("**", ending) if ending.startswith("*."):
                index["endings"].setdefault(ending[2:], []).append(rule.id)
            case ("**", inner, "**"):
                index["inner"].setdefault(inner, []).append(rule.id)
            case (*above, "**") if "*" not in "".join(above):
                index["under"].setdefault("/".join(above) + "/", []).append(rule.id)
            case (first, second, "*", last, "**"):
                path = f"^{first}/{second}/[^/]*/{last}/[\\s\\S]*$"
                index["other"].setdefault(f"{first}/{second}/", {})[rule.id] = path
            case _:
                raise AssertionError(f"no map for {segments}")
    exported = to_rego(loaded, at=NOW.date())
    text, found = MATCHING.subn(lambda _: INDEX, exported)
    if found != 1 or CARRIED not in text:
        raise AssertionError("the export has changed; mend the maps")
    return rego(loaded, text.replace(CARRIED, "{labels[data.index.labels[id]] | some id in found}"), index)


# --- Cedar


def cedar(loaded: Policy) -> Engine:
    """Return Cedar: one request for the rules that match, and for each label one for each target and key."""
    export = to_cedar(loaded, at=NOW.date())
    schema = cedarpy.Schema.from_str(export.schema)
    places = cedarpy.PolicySet.from_str(export.policies)
    facts = cedarpy.Entities.from_json_str(export.entities, schema)
    masks = [rule.mask for rule in loaded.book.rules]
    rules = cedarpy.PolicySet.from_str(
        "\n".join(_like(rule.path.text if rule.path else "") for rule in loaded.book.rules)
    )
    nothing = cedarpy.Entities.from_json_str("[]")

    def ask(questions: Sequence[Question]) -> list[Answer]:
        who = {
            "principal": _entity("Object", "o"),
            "action": _entity("Action", "classify"),
            "resource": _entity("R", "r"),
        }
        requests = [who | {"context": {"key": key}} for key, _ in questions]
        given = [0 if label is None else loaded.lattice.mask_of_text(label) for _, label in questions]
        labels: list[int] = []
        for mask, result in zip(given, cedarpy.is_authorized_batch(requests, rules, nothing), strict=True):
            matched = [masks[int(name.removeprefix("policy"))] for name in result.diagnostics.reasons]
            labels.append(_joined([mask, *(matched or [loaded.book.default])]))
        where = {mask: stored(mask) for mask in set(labels)}
        return [(str(loaded.lattice.label(mask)), where[mask]) for mask in labels]

    def stored(mask: int) -> frozenset[str]:
        attributes = {"elements": list(loaded.lattice.elements(mask)), "waivers": []}
        one = [{"uid": _entity("Object", "o"), "attrs": attributes, "parents": []}]
        entities = facts.with_added_json_str(json.dumps(one))
        ids: list[tuple[str, str]] = [(t.id, k.id) for t in loaded.world.targets for k in loaded.world.holders]
        requests = [_proposal(target, key) for target, key in ids]
        results = cedarpy.is_authorized_batch(requests, places, entities)
        return frozenset(target for (target, _), result in zip(ids, results, strict=True) if result.allowed)

    return ask


def _like(pattern: str) -> str:
    """Spell a rule as a policy. Cedar's star goes through `/` too, which no key of this workload shows."""
    plain = re.sub(r"\*+", "*", pattern)
    ways = [plain, plain.removeprefix("*/")] if plain.startswith("*/") else [plain]
    condition = " || ".join(f"context.key like {json.dumps(way)}" for way in ways)
    return f"permit (principal, action, resource) when {{ {condition} }};"


def _proposal(target: str, key: str) -> dict[str, Any]:
    """Return the request whether an object may be stored at a target in the strictest mode, with one key service."""
    context = {"encrypt": True, "names": True, "key": {"__entity": _entity("KeyService", key)}}
    who, action = _entity("Object", "o"), _entity("Action", "store")
    return {"principal": who, "action": action, "resource": _entity("Target", target), "context": context}


def _entity(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "id": name}


def _joined(masks: Iterable[int]) -> int:
    mask = 0
    for own in masks:
        mask |= own
    return mask


# --- casbin


def pycasbin(loaded: Policy) -> Engine:
    """Return casbin: an enforcer of the rules for each label, and one of the alternatives."""
    rules: dict[int, Any] = {}
    for rule in loaded.book.rules:
        enforcer = rules[rule.mask] = rules.get(rule.mask) or _enforcer(CASBIN_RULES)
        if rule.path is not None:
            enforcer.add_policy(f"^{rule.path.regex.pattern.replace('(?>', '(?:')}$")
    places, demanding = _casbin_places(loaded)

    def ask(questions: Sequence[Question]) -> list[Answer]:
        labels: list[int] = []
        keys = [[key] for key, _ in questions]
        matched = {mask: enforcer.batch_enforce(keys) for mask, enforcer in rules.items()}
        for number, (_, label) in enumerate(questions):
            own = [mask for mask, found in matched.items() if found[number]] or [loaded.book.default]
            labels.append(_joined([*own, 0 if label is None else loaded.lattice.mask_of_text(label)]))
        where = {mask: stored(mask) for mask in set(labels)}
        return [(str(loaded.lattice.label(mask)), where[mask]) for mask in labels]

    def stored(mask: int) -> frozenset[str]:
        elements = loaded.lattice.elements(mask)
        demands = [name for element, name in demanding if element in elements]
        left = [target.id for target in loaded.world.targets]
        for demand in demands:
            allowed = places.batch_enforce([[demand, target] for target in left])
            left = [target for target, found in zip(left, allowed, strict=True) if found]
        return frozenset(left)

    return ask


def _casbin_places(loaded: Policy) -> tuple[Any, list[tuple[str, str]]]:
    """Return the enforcer of the alternatives, and the demands that it knows, each with its element."""
    places = _enforcer(CASBIN_PLACES)
    demanding: list[tuple[str, str]] = []
    for element, found in loaded.book.requirements.items():
        for number, requirement in enumerate(found):
            name = f"{element} {number}"
            if requirement.store is not None:
                demanding.append((element, name))
                places.add_policies([[name, way.zone] for way in requirement.store])
            if requirement.where is not None:
                demanding.append((element, f"{name} where"))
                places.add_policy(f"{name} where", f"{name} where")
                _members(places, loaded, replace(requirement.where, name=f"{name} where"))
    for zone in loaded.book.zones.values():
        _members(places, loaded, zone)
    return places, demanding


def _members(places: Any, loaded: Policy, zone: Zone) -> None:  # noqa: ANN401  # casbin has no types
    """Tell an enforcer which targets are in a zone."""
    subjects = loaded.table(NOW.toordinal()).subjects
    for target, subject in zip(loaded.world.targets, subjects, strict=True):
        if zone.holds(subject, NOW.date()):
            places.add_grouping_policy(target.id, zone.name)


def _enforcer(text: str) -> Any:  # noqa: ANN401  # casbin has no types
    model = casbin.Model()
    model.load_model_from_text(text)
    return casbin.Enforcer(model)


if __name__ == "__main__":
    for name, value, unit, goal in rows():
        print(f"{name:<40}{value:>16,.2f} {unit:<4}{goal}")  # noqa: T201  # this is a command
