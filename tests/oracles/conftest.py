"""Random policies, catalogues and objects for the oracles: plain data, made from a seed, so that a failure comes back.

A failure is reported as the smallest world that still fails: whatever can be left out is left out, and what remains is
printed as JSON.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from sovbroker import policy as policies
from sovbroker.catalogue.facts import Basis, Confidence, Status
from sovbroker.detect import Scan
from sovbroker.errors import PolicyError

OBJECTS = int(os.environ.get("SOVBROKER_ORACLE_OBJECTS", "100000"))
"""How many objects each oracle judges."""

OBJECTS_EACH = 160
"""How many objects are drawn for one policy and its catalogue."""

KEYS_EACH = 32
"""How many keys these objects have: one key has different answers by label, metadata and content."""

BATCHES = 10
"""Into how many tests the objects of one oracle are cut, so that several processes can share them."""


def shared():
    """Return the reference interpreter and the maker of worlds that the unit tests of policies have."""
    path = Path(__file__).parents[1] / "unit/policy/conftest.py"
    spec = importlib.util.spec_from_file_location("oracle_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


UNIT = shared()
DAYS = [date(2026, 11, 24), date(2026, 12, 1), date(2027, 1, 1), date(2027, 6, 1)]
ZONES = {
    "sovereign": {"located": ["FR"], "controlled": ["EEA"], "qualified": ["secnumcloud>=3.2"]},
    "european": {"located": ["EEA"], "controlled": ["EEA"]},
    "french": {"located": ["FR"]},
    "tech": {"technology": ["EU"]},
    "split": {"alone": []},
    "shared": {"alone": ["EU"]},
    "somewhere": {"located": ["known"], "qualified": ["secnumcloud"]},
    "seal": {"seal": {"framework": "1.2.1", "assessor": ["ec", "buyer"], "SOV-1": 2, "SOV-3": 1}},
    "scored": {"seal": {"framework": "1.2.1", "SOV-1": 3}},
    "mine": {"provider": ["p1", "p2"]},
    "one": {"target": ["p1/a", "p3/b", "k1"]},
    "anywhere": {},
}
WIDE = ["french", "mine", "anywhere"]
PATHS = ["a/**", "a/b/**", "**/*.csv", "a/*/c", "**/x/**", "a/?/**", "b", "**", "**/*.tar.gz", "c/**/d", "**/n", "*"]
SEGMENTS = ["a", "b", "c", "d", "x", "n", "csv", "f.csv", "g.tar.gz", "é", "fxcsv", ""]
DETECTORS = ["fr.nir", "email"]


class Chance(random.Random):
    """Draws parts of worlds."""

    def some(self, population, most, *, least=0):
        return self.sample(population, min(self.randint(least, most), len(population)))

    def one_in(self, number):
        return self.randrange(number) == 0

    def mode(self):
        if self.one_in(6):
            return {}
        # Hidden names or keys of a zone, seldom both: that neither is less than the other makes several least modes.
        found = {"encrypt": "client"}
        hidden = self.one_in(2)
        if hidden:
            found["names"] = "encrypt"
        if self.one_in(6 if hidden else 2):
            found["keys"] = self.some(list(ZONES) if self.one_in(2) else [*WIDE, "european"], 2, least=1)
        return found

    def store(self, *, least=0):
        zones = WIDE if self.one_in(2) else self.some(list(ZONES), 3, least=least)
        return {zone: self.mode() for zone in zones}

    def element(self):
        found = {}
        if not self.one_in(3):
            found["store"] = self.store()
        if self.one_in(2):
            found["compute"] = self.some(list(ZONES), 2)
        if self.one_in(6):
            found["where"] = ZONES[self.choice(["european", "french", "tech", "mine", "seal"])]
        if self.one_in(5):
            found["deny"] = self.some(["p1", "p2/a", "tech", "one"], 2, least=1)
        if self.one_in(3):
            found["copies"] = {
                "count": self.randint(1, 3),
                "distinct": self.some(["provider", "region", "site"], 2, least=1),
            }
        if self.one_in(6):
            found["retain"] = {self.choice(["min", "max"]): self.choice(["10d", "20d", "30d"])}
        if self.one_in(6):
            found["pad"] = self.choice(["true", "false"])
        if self.one_in(6):
            found["waivable"] = "false"
        return found

    def rule(self, number, labels):
        rule = {"id": f"r{number}", "label": self.choice(labels)}
        if not self.one_in(4):
            rule["path"] = self.choice(PATHS)
        if self.one_in(4):
            rule["meta"] = {"c": self.choice(["2", "3"])}
        if self.one_in(4) or len(rule) == 2:
            rule["content"] = self.choice(DETECTORS)
            if self.one_in(2):
                rule["min"] = 2
        return rule

    def document(self):
        levels = self.choice([["low"], ["public", "internal"], ["public", "internal", "confidential", "top"]])
        names = [*levels, "k", "m", "personal", "health"]
        labels = [*names, f"{levels[0]}+k", f"{levels[-1]}+personal+m"]
        require = {name: self.element() for name in self.some(names, 5)}
        # So that they are words of this policy, whatever was drawn.
        require.setdefault("personal", {})
        require.setdefault("health", {})
        if not self.one_in(4):
            require.setdefault(levels[0], {}).setdefault("store", self.store(least=1))
        waivers = [
            {
                "id": f"w{number}",
                "path": self.choice(PATHS),
                "label": self.choice(labels),
                "store": self.store(least=1),
                "reason": "because",
                "owner": "o",
                "approved": ["o", "p"],
                "expires": self.choice(DAYS).isoformat(),
            }
            for number in range(self.randint(0, 2))
        ]
        return {
            "sovbroker": "1",
            "levels": levels,
            "default": self.choice(levels),
            "limits": {"waiver_days": "366"},
            "zones": ZONES,
            "categories": {"k": {}, "m": {"implies": ["k"], "minimum": levels[-1]}},
            "aliases": {"tlp:red": f"{levels[-1]}+k"},
            "require": require,
            "classify": [self.rule(number, labels) for number in range(self.randint(0, 5))],
            "waivers": waivers,
            "prefer": self.some(["zone", "cost", "latency", "mine", "french"], 5, least=1),
        }

    def evidence(self):
        found = {}
        if self.one_in(6):
            found["basis"] = self.choice([Basis.MEMORY, Basis.ATTESTED])
        if self.one_in(6):
            found["confidence"] = self.choice([Confidence.LOW, Confidence.MEDIUM])
        if self.one_in(4):
            found["expires"] = self.choice(DAYS).isoformat()
        return found

    def fact(self, values):
        return {"countries": self.choice(values), **self.evidence()}

    def subject(self, name):
        return {
            "located": self.fact(["FR", "FR", "FR", "DE", "US", "FR US", None, ""]),
            "controlled": self.fact(["FR", "FR", "DE", "US", None]),
            "technology": self.fact(["FR", "US", None]),
            "qualified": [
                {
                    "version": self.choice(["", "3.1", "3.2", "3.2.0", "3.10"]),
                    "status": self.choice([Status.QUALIFIED, Status.QUALIFIED, Status.IN_PROGRESS]),
                    **self.evidence(),
                }
                for _ in range(self.randint(0, 2))
            ],
            "seal": [
                {
                    "framework": self.choice(["1.2.1", "1.2.1", "1.3"]),
                    "assessor": self.choice(["ec", "buyer", "provider"]),
                    "levels": {name: self.randint(0, 4) for name in self.some(["SOV-1", "SOV-3"], 2)},
                    **self.evidence(),
                }
                for _ in range(self.randint(0, 2))
            ],
        }

    def holder(self, name):
        more = {"alone": self.fact(["", "", "FR", "US", None])} if self.one_in(2) else {}
        return self.subject(name) | more

    def target(self, name):
        more = {
            "site": self.choice(["", "s1", "s2", name]),
            "cost": self.choice([None, "0.01", "0.02"]),
            "latency": self.choice([None, "5"]),
        }
        return self.subject(name) | more

    def object(self, document, keys):
        top = document["levels"][-1]
        scan = None
        if self.one_in(2):
            counts = {name: self.randint(0, 3) for name in self.some(DETECTORS, 2)}
            scan = {"counts": counts, "complete": not self.one_in(5)}
        return {
            "key": self.choice(keys),
            "label": self.choice([None, None, top, "k", "personal", "tlp:red", "m+personal"]),
            "stored": self.choice([None, None, None, f"{document['levels'][0]}+k", top]),
            "metadata": self.choice([{}, {}, {"c": "3"}, {"c": "2"}]),
            "scan": scan,
            "day": self.choice(DAYS).isoformat(),
            "compute": self.one_in(4),
        }

    def world(self):
        document = self.document()
        keys = ["/".join(self.choice(SEGMENTS) for _ in range(self.randint(1, 4))) for _ in range(KEYS_EACH)]
        targets = self.some([f"p{p}/{r}" for p in (1, 2, 3) for r in "ab"], 5)
        return {
            "policy": document,
            "targets": {name: self.target(name) for name in targets},
            "keys": {name: self.holder(name) for name in self.choice([[], ["k1"], ["k1", "k2"], ["k1", "k2"]])},
            "day": self.choice(DAYS).isoformat(),
            "objects": [self.object(document, keys) for _ in range(OBJECTS_EACH)],
        }


def built(spec):
    """Return the arguments of a target or key service, from plain data."""
    maker = UNIT.World()

    def evidence(found):
        own = {
            name: kind(found[name]) for name, kind in (("basis", Basis), ("confidence", Confidence)) if name in found
        }
        return own | ({"expires": date.fromisoformat(found["expires"])} if "expires" in found else {})

    located, controlled, technology = (
        maker.fact(spec[axis]["countries"], **evidence(spec[axis])) for axis in ("located", "controlled", "technology")
    )
    qualified = []
    for q in spec["qualified"]:
        until = evidence(q).pop("expires", None)
        own = {name: value for name, value in evidence(q).items() if name != "expires"}
        qualified.append(maker.qualified("secnumcloud", q["version"], status=Status(q["status"]), until=until, **own))
    seal = [maker.scored(s["framework"], s["assessor"], s["levels"], **evidence(s)) for s in spec["seal"]]
    more = {name: spec[name] for name in ("site", "cost", "latency") if name in spec}
    if "alone" in spec:
        more["alone"] = maker.fact(spec["alone"]["countries"], **evidence(spec["alone"]))
    return (located, controlled, *qualified), {"technology": technology, "seal": seal, **more}


def made(make, specs):
    """Return the targets or key services of a world."""
    return [make(name, *args, **more) for name, spec in specs.items() for args, more in [built(spec)]]


@dataclass
class Loaded:
    """A world, ready to be asked: the policy that is judged, and the reference."""

    policy: object
    reference: object
    day: date
    objects: list


def load(world) -> Loaded | None:
    """Load a world; None where it is refused, which only these may cause in what is drawn here.

    A waiver may stand on something firm, a retention contradict itself, and a denial name nothing that was drawn.
    """
    maker = UNIT.World()
    targets, holders = made(maker.target, world["targets"]), made(maker.keys, world["keys"])
    text, day = json.dumps(world["policy"]), date.fromisoformat(world["day"])
    try:
        policy = policies.loads(text, targets=targets, keys=holders, at=datetime(2026, 11, 24, tzinfo=UTC))
    except PolicyError as error:
        found = {d.code for d in error.diagnostics if d.severity == "error"}
        if found <= {"SB024", "SB032", "SB014"}:
            return None
        raise
    return Loaded(policy, UNIT.Reference(world["policy"], targets, holders), day, world["objects"])


def moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def scanned(found) -> Scan | None:
    return None if found is None else Scan(found["counts"], complete=found["complete"], why="cut")


def decided(loaded, asked, *, day, operation):
    """Return what the policy that is judged decides for an object."""
    label = None if asked["stored"] is None else loaded.policy.lattice.parse(asked["stored"])
    return loaded.policy.decide(
        asked["key"],
        label=asked["label"],
        stored=label,
        metadata=asked["metadata"],
        scan=scanned(asked["scan"]),
        at=moment(day),
        operation=operation,
    )


def complying(decision):
    """Return the targets of a decision that comply, with their modes as (encrypt, names, key zones)."""
    choices = (*decision.targets, *decision.alternatives)
    return {c.target: (c.mode.sealed, c.mode.names_encrypted, c.mode.keys) for c in choices}


def first(modes):
    """Return the first mode by the fixed order of the specification."""
    return min(modes, key=lambda m: (m[0], m[1], len(m[2]), tuple(sorted(m[2]))))


Oracle = Callable[[Loaded], Iterator[str]]


def disagreement(oracle: Oracle, world) -> str:
    """Return the first thing on which an oracle and the policy differ; "" when they agree, or nothing can be loaded."""
    loaded = load(world)
    return "" if loaded is None else next(oracle(loaded), "")


def smaller(world):
    """Yield worlds with one thing less."""
    if len(world["objects"]) > 1:
        yield from (world | {"objects": [one]} for one in world["objects"])
        return
    for part in ("targets", "keys"):
        yield from (world | {part: without(world[part], name)} for name in world[part])
    yield from (world | {"policy": policy} for policy in smaller_policies(world["policy"]))


def smaller_policies(policy):
    for part in ("classify", "waivers"):
        for index in range(len(policy[part])):
            yield policy | {part: policy[part][:index] + policy[part][index + 1 :]}
    rest = json.dumps(without(policy, "zones"))
    for zone in policy["zones"]:
        if f'"{zone}"' not in rest:
            yield policy | {"zones": without(policy["zones"], zone)}
    for element, demand in policy["require"].items():
        less = [without(demand, name) for name in demand]
        less += [demand | {"store": without(demand["store"], zone)} for zone in demand.get("store", {})]
        yield from (policy | {"require": policy["require"] | {element: one}} for one in less)


def without(entries, name):
    return {other: value for other, value in entries.items() if other != name}


def shrunk(world, still_fails):
    """Return the smallest world found that still fails, leaving out one thing after the other."""
    found = True
    while found:
        found = False
        for candidate in smaller(world):
            if candidate != world and still_fails(candidate):
                world, found = candidate, True
                break
    return world


def agree(oracle: Oracle, batch: int) -> int:
    """Hold an oracle against the policy on its share of the objects; return on how many. Fails with a small world."""
    wanted, judged = -(-OBJECTS // BATCHES), 0
    for number in itertools.count():
        if judged >= wanted:
            return judged
        seed = f"{batch}.{number}"
        world = Chance(seed).world()
        loaded = load(world)
        if loaded is None:
            continue
        why = next(oracle(loaded), "")
        if why:
            small = shrunk(world, lambda candidate: disagreement(oracle, candidate))
            text = json.dumps(small, ensure_ascii=False)
            pytest.fail(f"seed {seed!r}: {disagreement(oracle, small) or why}\n{text}", pytrace=False)
        judged += len(loaded.objects)
    raise AssertionError


class Tools:
    """What an oracle needs."""

    batches = range(BATCHES)
    worlds = staticmethod(lambda seeds: (world for seed in seeds if (world := load(Chance(seed).world())) is not None))
    targets = staticmethod(lambda specs: made(UNIT.World().target, specs))
    load = staticmethod(load)
    agree = staticmethod(agree)
    shrunk = staticmethod(shrunk)
    decided = staticmethod(decided)
    complying = staticmethod(complying)
    first = staticmethod(first)
    disagreement = staticmethod(disagreement)
    chance = Chance
    objects = OBJECTS


@pytest.fixture(scope="session")
def tools():
    return Tools


def pytest_generate_tests(metafunc):
    if "batch" in metafunc.fixturenames:
        metafunc.parametrize("batch", range(BATCHES))
