"""Worlds to decide over, and a second implementation of the semantics, written without looking at the first.

`reference` interprets a policy straight from its data: no masks, no table, no trie, no pruning; every join of every
combination, every subset in order. It is slow, and it is what the compiled policy is held against.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from sovbroker.catalogue.countries import expand
from sovbroker.catalogue.facts import (
    Basis,
    Confidence,
    Evidence,
    Fact,
    Facts,
    KeyHolder,
    Qualification,
    SealScore,
    Status,
    Target,
)

TODAY = date(2026, 11, 24)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class World:
    """Makes evidence, facts, targets and key services in one line each."""

    today = TODAY
    now = NOW

    def evidence(self, **fields):
        return Evidence(fields.pop("basis", Basis.VERIFIED), fields.pop("confidence", Confidence.HIGH), **fields)

    def fact(self, countries: str | None, **evidence):
        value = None if countries is None else frozenset(countries.split())
        return Fact(value, self.evidence(**evidence))

    def qualified(self, scheme, version="", *, status=Status.QUALIFIED, until=date(2027, 6, 1), **evidence):
        numbers = tuple(int(part) for part in version.split(".")) if version else ()
        return Qualification(scheme, status, self.evidence(expires=until, **evidence), numbers)

    def scored(self, framework, assessor, levels, **evidence):
        return SealScore(framework, assessor, tuple(sorted(levels.items())), self.evidence(**evidence))

    def facts(self, located="FR", controlled="FR", *qualified, technology=None, seal=(), alone=None):
        def fact(given):
            return given if isinstance(given, Fact) else self.fact(given)

        return Facts(fact(located), fact(controlled), fact(technology), tuple(qualified), tuple(seal), alone)

    def target(self, name, located="FR", controlled="FR", *qualified, **fields):
        provider, _, region = name.partition("/")
        offer, at, place = region.partition("@")
        return Target(
            id=name,
            provider=fields.pop("provider", provider),
            region=place if at else region,
            offer=offer if at else "object-storage",
            facts=self.facts(
                located,
                controlled,
                *qualified,
                technology=fields.pop("technology", None),
                seal=fields.pop("seal", ()),
            ),
            site=fields.pop("site", name),
            cost=None if (cost := fields.pop("cost", None)) is None else Decimal(cost),
            latency=None if (latency := fields.pop("latency", None)) is None else Decimal(latency),
            **fields,
        )

    def keys(self, name, located="FR", controlled="FR", *qualified, **fields):
        return KeyHolder(name, self.facts(located, controlled, *qualified, **fields))


@pytest.fixture(scope="session")
def world():
    return World()


@dataclass
class Expected:
    label: str
    rules: tuple[str, ...]
    chosen: list[tuple[str, str]]
    alternatives: list[tuple[str, str]]
    rejected: set[str]
    waivers: set[str]
    retain: tuple[timedelta | None, timedelta | None]
    pad: bool


def segments_match(pattern: Sequence[str], key: Sequence[str]) -> bool:
    """Match as the language says: `**` is any number of segments, but at the end at least one."""
    if not pattern:
        return not key
    head, rest = pattern[0], pattern[1:]
    if head == "**":
        if not rest:
            return len(key) >= 1
        return any(segments_match(rest, key[taken:]) for taken in range(len(key) + 1))
    return bool(key) and characters_match(head, key[0]) and segments_match(rest, key[1:])


def characters_match(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(characters_match(pattern[1:], text[taken:]) for taken in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and characters_match(pattern[1:], text[1:])


def glob_matches(pattern: str, key: str) -> bool:
    pattern, key = unicodedata.normalize("NFC", pattern), unicodedata.normalize("NFC", key)
    return segments_match(pattern.split("/"), key.split("/"))


BUILT_IN = {
    "personal": ([], "internal"),
    "special-category": (["personal"], None),
    "health": (["special-category"], "confidential"),
}


class Reference:
    """The semantics, read out of a policy given as plain data."""

    def __init__(self, policy: Mapping, targets: Sequence[Target], holders: Sequence[KeyHolder]) -> None:
        self.policy = policy
        self.levels = policy["levels"]
        self.targets = sorted(targets, key=lambda t: t.id)
        self.holders = sorted(holders, key=lambda h: h.id)
        # What was worked out is kept, or 10^5 objects would take minutes; no two questions share an answer.
        self.known_zones = {}
        self.known_modes = {}
        self.known_places = {}

    # labels are (index of the level, set of categories)

    def category(self, name):
        declared = self.policy.get("categories", {})
        if name in declared:
            return declared[name].get("implies", []), declared[name].get("minimum")
        implies, minimum = BUILT_IN[name]
        return implies, minimum if minimum in self.levels else None

    def label(self, text: str):
        level, categories, pending = 0, set(), []
        aliases = self.policy.get("aliases", {})
        parts = [part for whole in aliases.get(text, text).split("+") for part in aliases.get(whole, whole).split("+")]
        for part in parts:
            if part in self.levels:
                level = max(level, self.levels.index(part))
            else:
                pending.append(part)
        while pending:
            name = pending.pop()
            if name in categories:
                continue
            categories.add(name)
            implies, minimum = self.category(name)
            pending.extend(implies)
            if minimum is not None:
                level = max(level, self.levels.index(minimum))
        return level, frozenset(categories)

    @staticmethod
    def join(a, b):
        return max(a[0], b[0]), a[1] | b[1]

    def classify(self, key, label, metadata, scan=None, stored=None):
        """Return the label and the rules; `scan` is (counts by detector, whether all was read), None for no scan."""
        found, rules, doubt = (0, frozenset()), [], scan is not None and not scan[1]
        for rule in self.policy.get("classify", []):
            path = "path" not in rule or glob_matches(rule["path"], key)
            meta = all(metadata.get(name) == value for name, value in rule.get("meta", {}).items())
            content = True
            if "content" in rule:
                content = scan is not None and scan[0].get(rule["content"], 0) >= int(rule.get("min", 1))
                if path and meta and scan is not None and rule["content"] not in scan[0]:
                    doubt = True
            if path and meta and content:
                rules.append(rule["id"])
                found = self.join(found, self.label(rule["label"]))
        for given in (label, stored):
            if given is not None:
                found = self.join(found, self.label(given))
        if not rules or doubt:
            found = self.join(found, self.label(self.policy.get("default", self.levels[-1])))
        return found, tuple(sorted(rules)) or ("default",)

    def spell(self, label):
        return "+".join([self.levels[label[0]], *sorted(label[1])])

    # facts

    @staticmethod
    def counts(evidence: Evidence, day: date) -> bool:
        good = evidence.basis is not Basis.MEMORY and evidence.confidence is not Confidence.LOW
        return good and (evidence.expires is None or day < evidence.expires)

    def inside(self, zone: Mapping, thing, day: date) -> bool:
        for axis in ("located", "controlled", "technology", "alone"):
            if axis in zone and not self.among(zone[axis], axis, thing.facts, day):
                return False
        for asked in zone.get("qualified", []):
            scheme, _, version = asked.partition(">=")
            least = [int(n) for n in version.split(".")] if version else None
            if not any(
                q.scheme == scheme
                and q.status is Status.QUALIFIED
                and self.counts(q.evidence, day)
                and (least is None or (q.version and self.at_least(list(q.version), least)))
                for q in thing.facts.qualified
            ):
                return False
        if "seal" in zone and not any(self.scores(zone["seal"], score, day) for score in thing.facts.seal):
            return False
        if "provider" in zone and getattr(thing, "provider", None) not in zone["provider"]:
            return False
        return not ("target" in zone and thing.id not in zone["target"])

    def among(self, asked, axis, facts, day):
        nobody = axis == "alone" and facts.alone is not None
        fact = getattr(facts, "controlled" if axis == "alone" and not nobody else axis)
        if fact.value is None or (not fact.value and not nobody) or not self.counts(fact.evidence, day):
            return False
        return "known" in asked or fact.value <= expand(asked)

    def scores(self, asked, score, day):
        return (
            score.framework == asked["framework"]
            and score.assessor in asked.get("assessor", [score.assessor])
            and self.counts(score.evidence, day)
            and all(
                dict(score.levels).get(name, -1) >= int(least)
                for name, least in asked.items()
                if name not in {"framework", "assessor"}
            )
        )

    @staticmethod
    def at_least(version, least):
        width = max(len(version), len(least))
        pad = [0] * width
        return (version + pad)[:width] >= (least + pad)[:width]

    def in_zone(self, name, thing, day):
        asked = (name, type(thing), thing.id, day)
        if asked not in self.known_zones:
            self.known_zones[asked] = self.inside(self.policy["zones"][name], thing, day)
        return self.known_zones[asked]

    # placing; a mode is (encrypt, names, frozenset of key zones)

    @staticmethod
    def mode(doc):
        keys = doc.get("keys", [])
        keys = [keys] if isinstance(keys, str) else keys
        return doc.get("encrypt") == "client", doc.get("names") == "encrypt", frozenset(keys)

    def requirements(self, label):
        names = [*self.levels[: label[0] + 1], *label[1]]
        require = self.policy.get("require", {})
        return [(name, require[name]) for name in names if name in require]

    def denied(self, names, target, day):
        zones = self.policy["zones"]
        return any(
            (name in zones and self.in_zone(name, target, day)) or name in (target.provider, target.id)
            for name in names
        )

    def live_waivers(self, key, label, day):
        for waiver in self.policy.get("waivers", []):
            bound = self.label(waiver["label"])
            if (
                day < date.fromisoformat(waiver["expires"])
                and glob_matches(waiver["path"], key)
                and label[0] <= bound[0]
                and label[1] <= bound[1]
            ):
                yield waiver

    def joined(self, label, target, day, waivers):
        """Return the joins of one alternative of each element that a key service can serve, as {(mode, waivers)}."""
        choices = []
        for _, doc in self.requirements(label):
            if self.denied(doc.get("deny", []), target, day):
                return set()
            if "where" in doc and not self.inside(doc["where"], target, day):
                return set()
            if "store" in doc:
                ways = [
                    (self.mode(m), frozenset()) for zone, m in doc["store"].items() if self.in_zone(zone, target, day)
                ]
                if str(doc.get("waivable", "true")) != "false":
                    ways += [
                        (self.mode(m), frozenset({w["id"]}))
                        for w in waivers
                        for zone, m in w["store"].items()
                        if self.in_zone(zone, target, day)
                    ]
                choices.append(ways)
        joined = set()
        for combination in itertools.product(*choices):
            encrypt, names, keys, used = False, False, frozenset(), frozenset()
            for (e, n, k), w in combination:
                encrypt, names, keys, used = encrypt or e, names or n, keys | k, used | w
            if not keys or self.served(keys, day):
                joined.add(((encrypt, names, keys), used))
        return joined

    @staticmethod
    def least(modes):
        """Return the minimal ones of some modes."""

        def below(a, b):
            return a != b and a[0] <= b[0] and a[1] <= b[1] and a[2] <= b[2]

        return {m for m in modes if not any(below(other, m) for other in modes)}

    def least_modes(self, label, target, day, waivers):
        """Return every minimal mode in which one target may be used; none of them where it may not."""
        return self.least({mode for mode, _ in self.joined(label, target, day, waivers)})

    def modes(self, label, target, day, waivers):
        """Return what one target may be used as: (mode, waivers), the least by the fixed order, or None."""
        asked = (label, target.id, day, tuple(w["id"] for w in waivers))
        if asked not in self.known_modes:
            self.known_modes[asked] = self.best(self.joined(label, target, day, waivers))
        return self.known_modes[asked]

    def best(self, joined):
        if not joined:
            return None
        least = self.least({mode for mode, _ in joined})
        best = min(least, key=lambda m: (m[0], m[1], len(m[2]), tuple(sorted(m[2]))))
        order = [w["id"] for w in sorted(self.policy.get("waivers", []), key=lambda w: w["id"])]
        used = min(
            (used for mode, used in joined if mode == best),
            key=lambda used: (len(used), sum(1 << order.index(name) for name in used)),
        )
        return best, used

    def served(self, keys, day):
        return {h.id for h in self.holders if all(self.in_zone(zone, h, day) for zone in keys)}

    def rank(self, target, day, own):
        key, listed = [], []
        for name in [*self.policy.get("prefer", ["zone", "cost", "latency"]), None]:
            if name in self.policy["zones"]:
                listed.append(name)
                continue
            if listed:
                inside = [i for i, zone in enumerate(listed) if self.in_zone(zone, target, day)]
                key.append(inside[0] if inside else len(listed))
                listed = []
            if name == "zone":
                for level in reversed(range(len(self.levels))):
                    found = self.modes((level, frozenset()), target, day, [])
                    key.append((9,) if found is None else (found[0][0], found[0][1], len(found[0][2])))
                key.append((own[0], own[1], len(own[2])))
            elif name == "cost":
                key.append((target.cost is None, target.cost or 0))
            elif name == "latency":
                key.append((target.latency is None, target.latency or 0))
        return [*key, target.id]

    def decide(self, key, *, label=None, metadata=None, day=TODAY, compute=False, scan=None, stored=None) -> Expected:
        own, rules = self.classify(key, label, metadata or {}, scan, stored)
        waivers = [] if compute else list(self.live_waivers(key, own, day))
        asked = (own, day, compute, tuple(w["id"] for w in waivers))
        if asked not in self.known_places:
            self.known_places[asked] = self.place(own, day, waivers, compute=compute)
        return Expected(label=self.spell(own), rules=rules, **self.known_places[asked])

    def place(self, own, day, waivers, *, compute):  # noqa: C901  # in the order of the specification, in one piece
        required = self.requirements(own)
        found = {}
        for target in self.targets:
            if compute:
                lists = [doc["compute"] for _, doc in required if "compute" in doc]
                bad = any(
                    self.denied(doc.get("deny", []), target, day)
                    or ("where" in doc and not self.inside(doc["where"], target, day))
                    for _, doc in required
                )
                lowest = "compute" in self.policy.get("require", {}).get(self.levels[0], {})
                if lowest and not bad and all(any(self.in_zone(z, target, day) for z in zones) for zones in lists):
                    found[target.id] = ((False, False, frozenset()), frozenset())
            elif (mode := self.modes(own, target, day, waivers)) is not None:
                found[target.id] = mode
        ranked = sorted((t for t in self.targets if t.id in found), key=lambda t: self.rank(t, day, found[t.id][0]))
        count = max((doc.get("copies", {}).get("count", 1) for _, doc in required), default=1)
        distinct = {d for _, doc in required for d in doc.get("copies", {}).get("distinct", [])}
        if compute:
            count, distinct = 1, set()
        days = {"min": [], "max": []}
        for _, doc in required:
            for bound, text in doc.get("retain", {}).items():
                days[bound].append(timedelta(days=int(text[:-1])))
        low, high = max(days["min"], default=None), min(days["max"], default=None)
        chosen = ()
        if low is None or high is None or low <= high:
            for subset in itertools.combinations(ranked, count):
                if self.together(subset, distinct, found, day):
                    chosen = subset
                    break
        used = set().union(*(found[t.id][1] for t in chosen))
        return {
            "chosen": [(t.id, self.say(found[t.id][0])) for t in chosen],
            "alternatives": [(t.id, self.say(found[t.id][0])) for t in ranked if t not in chosen],
            "rejected": {t.id for t in self.targets if t.id not in found},
            "waivers": used,
            "retain": (low, high),
            "pad": not compute and any(doc.get("pad") == "true" for _, doc in required),
        }

    def together(self, subset, distinct, found, day):
        def value(target, what):
            if what == "region":
                return (target.provider, target.region)
            return getattr(target, what)

        for what in distinct:
            if len(subset) > 1:
                values = [value(t, what) for t in subset]
                if "" in values or len(set(values)) < len(values):
                    return False
        if len(subset) < 2 or not self.holders:
            return True
        sealed = [found[t.id][0] for t in subset if found[t.id][0][0]]
        shared = {h.id for h in self.holders}
        for mode in sealed:
            shared &= self.served(mode[2], day)
        return bool(shared) or not sealed

    @staticmethod
    def say(mode):
        if not mode[0]:
            return "clear"
        keys = f", keys in {' and '.join(sorted(mode[2]))}" if mode[2] else ""
        return f"sealed{', names hidden' if mode[1] else ''}{keys}"


@pytest.fixture(scope="session")
def reference():
    return Reference


@pytest.fixture(scope="session")
def reference_glob():
    return glob_matches
