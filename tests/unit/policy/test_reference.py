import json
import random
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker import policy as policies
from sovbroker.catalogue.facts import Basis, Confidence, Status
from sovbroker.detect import Scan
from sovbroker.errors import PolicyError

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
    "mine": {"provider": ["p1", "p2"]},
    "one": {"target": ["p1/a", "p3/b"]},
    "anywhere": {},
}
NAMES = list(ZONES)
PATHS = ["a/**", "a/b/**", "**/*.csv", "a/*/c", "**/x/**", "a/?/**", "b", "**", "**/*.tar.gz", "c/**/d", "**/n", "*"]
SEGMENTS = ["a", "b", "c", "d", "x", "n", "csv", "f.csv", "g.tar.gz", "é"]

modes = st.one_of(
    st.just({}),
    st.just({"encrypt": "client"}),
    st.just({"encrypt": "client", "names": "encrypt"}),
    st.builds(lambda zone: {"encrypt": "client", "keys": zone}, st.sampled_from(NAMES)),
    st.builds(
        lambda zones: {"encrypt": "client", "names": "encrypt", "keys": zones},
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True),
    ),
)
stores = st.dictionaries(st.sampled_from(NAMES), modes, max_size=4)


@st.composite
def elements(draw):
    found = {}
    if draw(st.booleans()):
        found["store"] = draw(stores)
    if draw(st.booleans()):
        found["compute"] = draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))
    if draw(st.integers(0, 4)) == 0:
        found["where"] = ZONES[draw(st.sampled_from(["european", "french", "tech", "mine", "seal"]))]
    if draw(st.integers(0, 4)) == 0:
        found["deny"] = draw(st.lists(st.sampled_from(["p1", "p2/a", "tech", "one"]), min_size=1, unique=True))
    if draw(st.integers(0, 2)) == 0:
        distinct = draw(st.lists(st.sampled_from(["provider", "region", "site"]), min_size=1, unique=True))
        found["copies"] = {"count": draw(st.integers(1, 3)), "distinct": distinct}
    if draw(st.integers(0, 4)) == 0:
        found["retain"] = {draw(st.sampled_from(["min", "max"])): draw(st.sampled_from(["10d", "20d", "30d"]))}
    if draw(st.integers(0, 4)) == 0:
        found["pad"] = draw(st.sampled_from(["true", "false"]))
    found["waivable"] = "true" if draw(st.booleans()) else "false"
    return found


@st.composite
def documents(draw):
    levels = draw(st.sampled_from([["public", "internal"], ["low"], ["public", "internal", "confidential", "top"]]))
    categories = {"k": {}, "m": {"implies": ["k"], "minimum": levels[-1]}}
    names = [*levels, "k", "m", "personal", "health"]
    require = draw(st.dictionaries(st.sampled_from(names), elements(), max_size=5))
    # So that `personal` and `health` are words of this policy, whatever was drawn.
    require.setdefault("personal", {})
    require.setdefault("health", {})
    labels = st.sampled_from([*names, f"{levels[0]}+k", f"{levels[-1]}+personal+m"])
    contents = st.sampled_from([{}, {}, {}, {"content": "email"}, {"content": "fr.nir", "min": 2}])
    rules = draw(st.lists(st.tuples(st.sampled_from([*PATHS, None]), st.booleans(), contents, labels), max_size=5))
    classify = []
    for index, (path, meta, content, label) in enumerate(rules):
        rule = {"id": f"r{index}", "label": label} | content
        if path is not None:
            rule["path"] = path
        if meta or len(rule) == 2:
            rule["meta"] = {"c": "3"}
        classify.append(rule)
    waivers = []
    for index, (path, label, store, day) in enumerate(
        draw(st.lists(st.tuples(st.sampled_from(PATHS), labels, stores, st.sampled_from(DAYS)), max_size=2))
    ):
        waivers.append(
            {
                "id": f"w{index}",
                "path": path,
                "label": label,
                "store": store or {"anywhere": {}},
                "reason": "because",
                "owner": "o",
                "approved": ["o", "p"],
                "expires": day.isoformat(),
            }
        )
    prefer = draw(st.lists(st.sampled_from(["zone", "cost", "latency", "mine", "french"]), min_size=1, unique=True))
    return {
        "sovbroker": "1",
        "levels": levels,
        "default": draw(st.sampled_from(levels)),
        "limits": {"waiver_days": "366"},
        "zones": ZONES,
        "categories": categories,
        "require": require,
        "classify": classify,
        "waivers": waivers,
        "prefer": prefer,
    }


@st.composite
def worlds(draw, world):
    evidence = st.fixed_dictionaries(
        {},
        optional={
            "basis": st.sampled_from([Basis.MEMORY, Basis.ATTESTED]),
            "confidence": st.sampled_from([Confidence.LOW, Confidence.MEDIUM]),
            "expires": st.sampled_from(DAYS),
        },
    )

    def fact(values):
        return world.fact(draw(st.sampled_from(values)), **draw(evidence))

    def qualified():
        return [
            world.qualified(
                "secnumcloud",
                draw(st.sampled_from(["", "3.1", "3.2", "3.2.0", "3.10"])),
                status=draw(st.sampled_from([Status.QUALIFIED, Status.QUALIFIED, Status.IN_PROGRESS])),
                until=draw(st.sampled_from(DAYS)),
            )
            for _ in range(draw(st.integers(0, 2)))
        ]

    def seal():
        levels = st.dictionaries(st.sampled_from(["SOV-1", "SOV-3"]), st.integers(0, 4))
        return [
            world.scored(
                draw(st.sampled_from(["1.2.1", "1.3"])),
                draw(st.sampled_from(["ec", "provider"])),
                draw(levels),
                **draw(evidence),
            )
            for _ in range(draw(st.integers(0, 2)))
        ]

    def place(name):
        return fact(["FR", "FR", "DE", "US", "FR US", None, ""]), fact(["FR", "US", "DE", None]), *qualified()

    ids = draw(st.lists(st.sampled_from([f"p{p}/{r}" for p in (1, 2, 3) for r in "ab"]), max_size=5, unique=True))
    targets = [
        world.target(
            name,
            *place(name),
            technology=fact(["FR", "US", None]),
            seal=seal(),
            site=draw(st.sampled_from(["", "s1", "s2", name])),
            cost=draw(st.sampled_from([None, "0.01", "0.02"])),
            latency=draw(st.sampled_from([None, "5"])),
        )
        for name in ids
    ]
    holders = [
        world.keys(
            name, *place(name), seal=seal(), alone=draw(st.sampled_from([None, fact(["", "", "FR", "US", None])]))
        )
        for name in draw(st.sampled_from([[], ["k1"], ["k1", "k2"]]))
    ]
    return targets, holders


def load(document, targets, holders):
    """Load a policy; None where it is refused, which only these three may cause in what is drawn here.

    A waiver may stand on something firm, a retention contradict itself, and a denial name nothing that was drawn.
    """
    text = json.dumps(document)
    try:
        return policies.loads(text, targets=targets, keys=holders, at=datetime(2026, 11, 24, tzinfo=UTC))
    except PolicyError as error:
        if {d.code for d in error.diagnostics if d.severity == "error"} <= {"SB024", "SB032", "SB014"}:
            return None
        raise


def shuffled(value, rng):
    if isinstance(value, dict):
        entries = [(name, shuffled(inner, rng)) for name, inner in value.items()]
        rng.shuffle(entries)
        return dict(entries)
    if isinstance(value, list):
        return [shuffled(inner, rng) for inner in value]
    return value


scans = st.one_of(
    st.none(),
    st.tuples(st.dictionaries(st.sampled_from(["email", "fr.nir"]), st.integers(0, 3)), st.booleans()),
)
keys = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4).map("/".join)


def check(decision, expected):
    assert str(decision.label) == expected.label
    assert decision.rules == expected.rules
    assert [(c.target, str(c.mode)) for c in decision.targets] == expected.chosen
    assert [(c.target, str(c.mode)) for c in decision.alternatives] == expected.alternatives
    assert set(decision.rejected) == expected.rejected
    assert all(reasons and all(reasons) for reasons in decision.rejected.values())
    assert set((decision.waiver or "").split(", ")) - {""} == expected.waivers
    assert decision.allowed == bool(expected.chosen)
    found = decision.retain
    assert ((None, None) if found is None else (found.min, found.max)) == expected.retain
    assert decision.pad == expected.pad


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_the_compiled_policy_decides_as_the_reference_does(data, world, reference):
    document = data.draw(documents())
    targets, holders = data.draw(worlds(world))
    policy = load(document, targets, holders)
    if policy is None:
        return
    slow = reference(document, targets, holders)
    rng = random.Random(data.draw(st.integers(0, 99)))  # an order, not a secret
    other = load(shuffled(document, rng), targets[::-1], holders[::-1])
    assert other is not None
    assert other.digest == policy.digest
    for _ in range(4):
        key = data.draw(keys)
        label = data.draw(st.sampled_from([None, document["levels"][-1], "k", "personal"]))
        metadata = data.draw(st.sampled_from([{}, {"c": "3"}, {"c": "2"}]))
        day = data.draw(st.sampled_from(DAYS))
        compute = data.draw(st.booleans())
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        operation = "compute" if compute else "put"
        found = data.draw(scans)
        scan = None if found is None else Scan(found[0], complete=found[1], why="cut")
        asked = {"label": label, "metadata": metadata, "scan": scan, "at": at, "operation": operation}
        decision = policy.decide(key, **asked)
        check(decision, slow.decide(key, label=label, metadata=metadata, scan=found, day=day, compute=compute))
        assert other.decide(key, **asked) == decision
        assert policy.decide(key, **asked) == decision
        if not metadata and not compute and scan is None:
            mask = 0 if label is None else policy.lattice.mask_of_text(label)
            cell = policy.route(key, mask, day.toordinal())
            assert cell.choice == decision.targets
            assert cell.mask == policy.lattice.mask(decision.label)
            assert cell.valid_until == decision.valid_until


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_stricter_label_never_gains_a_target(data, world):
    document = data.draw(documents())
    document["waivers"] = []
    targets, holders = data.draw(worlds(world))
    policy = load(document, targets, holders)
    if policy is None:
        return
    day = data.draw(st.sampled_from(DAYS))
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    names = [*policy.lattice.levels, *policy.lattice.categories]
    low = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2))
    more = data.draw(st.sampled_from(names))
    labels = policy.lattice
    lower = labels.join(labels.parse(name) for name in low)
    higher = labels.join([lower, labels.parse(more)])

    def compliant(label, operation):
        decision = policy.decide("nothing/matches", stored=label, at=at, operation=operation)
        return {c.target: c.mode for c in (*decision.targets, *decision.alternatives)}

    for operation in ("put", "compute"):
        few, many = compliant(higher, operation), compliant(lower, operation)
        assert set(few) <= set(many)


@pytest.mark.parametrize("day", DAYS)
def test_the_answer_holds_until_it_says_so(day, world):
    document = {
        "sovbroker": "1",
        "levels": ["low"],
        "zones": ZONES,
        "require": {"low": {"store": {"sovereign": {}}}},
    }
    target = world.target("p1/a", "FR", "FR", world.qualified("secnumcloud", "3.2", until=date(2027, 1, 1)))
    policy = load(document, [target], [])
    assert policy is not None
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    decision = policy.decide("x", at=at)
    assert decision.allowed == (day < date(2027, 1, 1))
    assert decision.valid_until == (date(2027, 1, 1) if day < date(2027, 1, 1) else None)
