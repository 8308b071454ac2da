"""Two small policies over eight targets, and random changes to them."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st

from sovbroker import policy
from sovbroker.policy.compare import Item

LEVELS = ["public", "internal", "secret"]
MODES = [
    {},
    {"encrypt": "client"},
    {"encrypt": "client", "names": "encrypt"},
    {"encrypt": "client", "keys": "french"},
    {"encrypt": "client", "keys": "european"},
    {"encrypt": "client", "names": "encrypt", "keys": "french"},
]
ZONES = ["french", "european", "anywhere"]
PATHS = ["hr/**", "**/*.pdf", "hr/pay/*", "public/**", "x/**/raw/**"]
KEYS = ["hr/a", "hr/pay/b.pdf", "public/c", "x/raw/d", "x/y/raw/e.pdf", "other", "hr/pay/q/r", "é/ü.pdf"]
LABELS = ["public", "internal", "secret", "internal+personal", "secret+personal"]
TARGETS = ["fr/paris", "fr/lyon", "fr2/lille", "de/berlin", "de/bonn", "us/east", "us/west", "us2/north"]

BASE = {
    "sovbroker": 1,
    "name": "base",
    "levels": LEVELS,
    "default": "internal",
    "categories": {"personal": {"minimum": "internal"}},
    "zones": {
        "french": {"located": ["FR"], "controlled": ["FR"]},
        "european": {"located": ["EEA"], "controlled": ["EEA"]},
        "anywhere": {},
    },
    "require": {
        "public": {"store": {"anywhere": {}}, "compute": ["anywhere"]},
        "internal": {"store": {"european": {}, "anywhere": {"encrypt": "client"}}, "compute": ["european"]},
        "secret": {"store": {"french": {"encrypt": "client"}}, "copies": {"count": 2, "distinct": ["provider"]}},
        "personal": {"store": {"european": {"encrypt": "client"}}},
    },
    "classify": [
        {"id": "r0", "path": "hr/**", "label": "internal+personal"},
        {"id": "r1", "path": "public/**", "label": "public"},
    ],
    "prefer": ["zone", "cost"],
}


@dataclass
class Kit:
    """Loads policies given as plain data, over one world."""

    targets: list
    holders: list
    now: object
    base = BASE

    @property
    def day(self):
        return self.now.date()

    def load(self, document=None, **changes):
        text = json.dumps({**copy.deepcopy(BASE if document is None else document), **changes})
        return policy.loads(text, targets=self.targets, keys=self.holders, at=self.now, clock=lambda: self.now)


@pytest.fixture(scope="session")
def kit(world):
    country = {"fr": "FR", "fr2": "FR", "de": "DE", "us": "US", "us2": "US"}
    targets = [
        world.target(name, country[name.partition("/")[0]], country[name.partition("/")[0]], cost=str(index % 3))
        for index, name in enumerate(TARGETS)
    ]
    holders = [world.keys("paris", "FR", "FR"), world.keys("berlin", "DE", "DE")]
    return Kit(targets, holders, world.now)


def stores():
    return st.dictionaries(st.sampled_from(ZONES), st.sampled_from(MODES), min_size=1, max_size=3)


@st.composite
def requirements(draw):
    found = {"store": draw(stores())}
    if draw(st.booleans()):
        found["compute"] = draw(st.lists(st.sampled_from(ZONES), min_size=1, max_size=2, unique=True))
    if draw(st.booleans()):
        found["copies"] = {"count": draw(st.integers(1, 3)), **draw(st.sampled_from([{}, {"distinct": ["provider"]}]))}
    if draw(st.integers(0, 3)) == 0:
        found["retain"] = {"min": f"{draw(st.integers(1, 3))}y"}
    if draw(st.integers(0, 3)) == 0:
        found["pad"] = "true"
    if draw(st.integers(0, 3)) == 0:
        found["deny"] = [draw(st.sampled_from(["us", "fr2", "de/bonn"]))]
    return found


@st.composite
def documents(draw):
    """Draw a policy: other requirements, other rules, other zones, another default, another order, a waiver."""
    found = copy.deepcopy(BASE)
    for name in [*LEVELS, "personal"]:
        if draw(st.booleans()):
            found["require"][name] = draw(requirements())
    if draw(st.booleans()):
        found["classify"] = [
            {"id": f"r{index}", "path": path, "label": draw(st.sampled_from(LABELS))}
            for index, path in enumerate(draw(st.lists(st.sampled_from(PATHS), max_size=4, unique=True)))
        ]
    if draw(st.booleans()):
        found["classify"].append({"id": "m", "meta": {"kind": "cv"}, "label": draw(st.sampled_from(LABELS))})
    if draw(st.integers(0, 3)) == 0:
        found["zones"]["french"] = {"located": ["FR", "DE"]}
    found["default"] = draw(st.sampled_from(LEVELS))
    found["prefer"] = draw(st.sampled_from([["zone", "cost"], ["cost"], ["latency", "cost"]]))
    if draw(st.integers(0, 2)) == 0:
        found["waivers"] = [
            {
                "id": "W1", "path": "hr/**", "label": "secret+personal", "store": {"anywhere": {"encrypt": "client"}},
                "reason": "test", "owner": "a@b.c", "approved": ["d@b.c", "e@b.c"], "expires": "2026-12-31",
            }
        ]  # fmt: skip
    return found


def items():
    return st.lists(
        st.builds(
            Item,
            key=st.sampled_from(KEYS),
            size=st.integers(0, 10**12),
            label=st.none() | st.sampled_from(LABELS),
            targets=st.lists(st.sampled_from([*TARGETS, "gone/away"]), max_size=3).map(tuple),
            metadata=st.sampled_from([{}, {"kind": "cv"}, {"kind": "no"}]),
        ),
        max_size=12,
    )


@pytest.fixture(scope="session")
def draws():
    """The strategies, by name."""
    return {"documents": documents, "items": items}
