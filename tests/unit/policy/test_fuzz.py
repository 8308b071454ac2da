"""Whatever is written, loading answers with a policy or with findings; whatever is asked, a policy answers."""

import json
import random
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sovbroker import policy as policies
from sovbroker.detect import Scan
from sovbroker.document import Findings, Kind, ListNode, MapNode, Scalar, read
from sovbroker.errors import InvalidArgument, PolicyError
from sovbroker.labels import Label

CORPUS = Path(__file__).parents[2] / "policies"
FILE = CORPUS / "good" / "fuzzed.yaml"
LISTS_IN_ORDER = {"levels", "prefer"}

TOKENS = [
    b"",
    b"\n",
    b" ",
    b"  ",
    b"- ",
    b": ",
    b"#",
    b"{",
    b"}",
    b"[",
    b"]",
    b"'",
    b'"',
    b"|",
    b">",
    b"&a ",
    b"*a",
    b"!!x ",
]
TOKENS += [
    b"? ",
    b"---\n",
    b"...\n",
    b"%",
    b"\t",
    b"\0",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"\r",
]
TOKENS += [
    b"<<: ",
    b"$",
    b"$p",
    b"null",
    b"~",
    b"1e999",
    b"0x1F",
    b"9" * 400,
    b"low",
    b"require:",
    b"extends: [..]\n",
    b"{" * 40,
]
TOKENS += [
    b"levels: []\n",
    b"parameters: {p: {about: x, default: [$p]}}\n",
    b"2026-02-30",
    b"secnumcloud>=9.9.9.9",
    b"\\u0000",
]


@cache
def sources():
    """Return the text of every file of the corpus that is short."""
    found = [
        path.read_bytes() for folder in ("bad", "good", "parts") for path in sorted((CORPUS / folder).glob("*.yaml"))
    ]
    return [text for text in found if len(text) < 3000]


@pytest.fixture(scope="session")
def load(world):
    targets = [
        world.target("p/fr", "FR", "FR", world.qualified("secnumcloud", "3.2"), cost="0.02"),
        world.target("p/us", "US", "US", cost="0.01"),
        world.target("q/de", "DE", "DE", world.qualified("hds", until=date(2027, 1, 1)), technology="US"),
    ]

    def run(text, file=FILE):
        return policies.loads(
            text, file=str(file), targets=targets, keys=[world.keys("main")], at=world.now, clock=lambda: world.now
        )

    return run


@st.composite
def scrambled(draw):
    """Draw a file that is some changes of bytes, tokens or lines away from one of the corpus, or from two."""
    text = draw(st.sampled_from(sources()))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 40)))
        lines = text.splitlines(keepends=True)
        match draw(st.integers(0, 7)):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:start] + draw(st.binary(max_size=4)) + text[end:]
            case 2:
                text = text[:start] + draw(st.sampled_from(TOKENS)) + text[start:]
            case 3:
                text = text[:end] + text[start:end] * draw(st.integers(1, 3)) + text[end:]
            case 4:
                draw(st.randoms(use_true_random=False)).shuffle(lines)
                text = b"".join(lines)
            case 5 if lines:
                at = draw(st.integers(0, len(lines) - 1))
                lines[at] = draw(st.sampled_from([b" ", b"    ", b"- ", b"\t"])) + lines[at]
                text = b"".join(lines)
            case 6 if lines:
                at = draw(st.integers(0, len(lines) - 1))
                other = draw(st.sampled_from(sources())).splitlines(keepends=True)
                text = b"".join((*lines[:at], draw(st.sampled_from(other)), *lines[at:]))
            case _:
                text = text[:start] + draw(st.sampled_from(sources()))
    return text


def loaded(load, text):
    """Load what may be wrong; return the policy, or None where there are findings. Anything else is raised."""
    try:
        return load(text)
    except PolicyError as error:
        errors = [found for found in error.diagnostics if found.severity == "error"]
        assert errors
        for found in errors:
            assert found.message.isprintable()
            assert found.line >= 1
            assert found.column >= 1
        return None


@settings(max_examples=1200, deadline=None)
@given(text=scrambled())
def test_whatever_is_written_is_a_policy_or_a_finding(text, load):
    policy = loaded(load, text)
    if policy is not None:
        assert policy.decide("a/b").to_dict()


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(exclude_categories=()), max_size=60) | st.binary(max_size=60))
def test_noise_is_a_finding(text, load):
    assert loaded(load, text) is None


# --- asking


WIDE = """
sovbroker: 1
levels: [public, internal, confidential, restricted]
categories: {k: {implies: [personal], minimum: internal}}
zones: {fr: {located: [FR]}, eu: {located: [EU], qualified: [hds]}, any: {}}
require:
  public: {store: {any: {}}, compute: [any], retain: {min: 1d}}
  confidential: {store: {fr: {}, any: {encrypt: client, keys: fr}}, copies: {count: 2, distinct: [region]}}
  restricted: {store: {fr: {encrypt: client, names: encrypt}}, waivable: false}
  personal: {where: {technology: [known]}, deny: [p/us]}
classify:
  - {id: a, path: "a/**", label: public}
  - {id: b, path: "**/é?/*.csv", label: internal+k}
  - {id: c, meta: {m: "1"}, label: confidential}
  - {id: d, path: "x/**/y/**/z*", meta: {n: o}, content: fr.nir, min: 2, label: personal}
waivers:
  - {id: w, path: "a/*", label: confidential, store: {any: {}}, reason: r, owner: o, approved: [x, y],
     expires: 2027-01-01}
prefer: [eu, cost]
"""
WORDS = [
    "public",
    "internal",
    "confidential",
    "restricted",
    "k",
    "personal",
    "interne",
    "+",
    " + ",
    "",
    "health",
    "\0",
    "é",
]
DETECTORS = ["fr.nir", "email", "", "unheard-of"]

anything = st.text(st.characters(exclude_categories=()), max_size=30)
asked_keys = st.one_of(
    anything,
    st.lists(
        st.sampled_from(["a", "b", "x", "y", "z", "é1", "e\u03011", "f.csv", "", "..", "\ud800", "\0"]), max_size=6
    ).map("/".join),
    st.builds(lambda text, times: text * times, anything, st.sampled_from([100, 20_000])),
)
asked_labels = st.none() | anything | st.lists(st.sampled_from(WORDS), max_size=4).map("+".join)
stored = st.none() | st.builds(Label, st.sampled_from(WORDS), st.frozensets(st.sampled_from(WORDS), max_size=2))
zones = st.none() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.none() | st.datetimes(datetime.min, datetime.max, timezones=zones, allow_imaginary=False)  # noqa: DTZ901  # the ends
scans = st.none() | st.builds(
    Scan, st.dictionaries(st.sampled_from(DETECTORS), st.integers(0, 3), max_size=2), st.booleans(), st.just("why")
)
operations = st.sampled_from(["put", "copy", "move", "restore", "presign", "compute", "get", "read", ""]) | anything
masks = st.integers(-4, 1 << 12) | st.sampled_from([1 << 64, -(1 << 64)])
days = st.none() | st.integers(-2, 4_000_000)


@settings(max_examples=500, deadline=None)
@given(
    key=asked_keys,
    metadata=st.none()
    | st.dictionaries(st.sampled_from(["m", "n", ""]) | anything, st.sampled_from(["1", "o"]) | anything),
    label=asked_labels,
    stored=stored,
    operation=operations,
    scan=scans,
    at=moments,
)
def test_whatever_is_asked_is_decided_or_means_nothing(key, metadata, label, stored, operation, scan, at, load):
    policy = wide(load)
    given = {"label": label, "metadata": metadata, "stored": stored, "scan": scan}
    try:
        found = policy.classify(key, **given)
    except InvalidArgument:
        found = None
    try:
        decision = policy.explain(key, **given, operation=operation, at=at)
    except InvalidArgument:
        return
    assert found is not None
    assert (decision.label, decision.rules) == (found.label, found.rules)
    assert decision == policy.decide(key, **given, operation=operation, at=at)
    assert decision.allowed == bool(decision.targets)
    assert str(decision)
    assert json.dumps(decision.to_dict())


@settings(max_examples=300, deadline=None)
@given(key=asked_keys, mask=masks, day=days)
def test_whatever_is_routed_has_a_cell_or_means_nothing(key, mask, day, load):
    policy = wide(load)
    for ask in (
        lambda: policy.route(key, mask, day),
        lambda: policy.placement(mask, at_day=day),
    ):
        try:
            cell = ask()
        except InvalidArgument:
            continue
        assert cell.allowed == bool(cell.choice)
        assert policy.refusal(cell.mask, at_day=day) == "" or not policy.placement(cell.mask, at_day=day).allowed


_WIDE = {}


def wide(load):
    """Return one policy for every example: what was asked before must not matter."""
    if load not in _WIDE:
        _WIDE[load] = load(WIDE)
    return _WIDE[load]


# --- order


def data_of(node):
    match node:
        case Scalar():
            return node.text
        case ListNode():
            return [data_of(item) for item in node.items]
        case MapNode():
            return {str(key): data_of(item) for key, item in node.entries}


@cache
def documents():
    """Return the data of the good files that stand alone, by name, and of the one above."""
    found = {}
    for path in sorted((CORPUS / "good").glob("*.yaml")):
        node = read(path.read_bytes(), str(path), Findings({kind: kind.name for kind in Kind}))
        data = data_of(node)
        if not data.keys() & {"extends", "parameters"}:
            found[path.stem] = data
    found["wide"] = data_of(read(WIDE, "wide", Findings({})))
    return found


def shuffled(value, rng, name=""):
    """Return data in another order, wherever order means nothing."""
    match value:
        case dict():
            entries = [(key, shuffled(item, rng, key)) for key, item in value.items()]
            rng.shuffle(entries)
            return dict(entries)
        case list():
            items = [shuffled(item, rng) for item in value]
            if name not in LISTS_IN_ORDER:
                rng.shuffle(items)
            return items
        case _:
            return value


SPLIT = {"categories": dict, "aliases": dict, "zones": dict, "require": dict, "classify": list, "always": list}


def split(document, rng):
    """Return a root and a file that it extends, which say together what `document` says."""
    root, more = dict(document), {"sovbroker": "1"}
    for key, kind in SPLIT.items():
        if key in document:
            entries = list(document[key].items() if kind is dict else document[key])
            rng.shuffle(entries)
            cut = rng.randrange(len(entries) + 1)
            root[key], more[key] = kind(entries[:cut]), kind(entries[cut:])
    return root | {"extends": ["./more.yaml"]}, more


def decisions(policy):
    labels = [None, *policy.lattice.levels, *sorted(policy.lattice.categories)]
    asked = [("a/b", {}), ("x/y/z", {"n": "o"}), ("é1/f.csv", {"m": "1"}), ("public/a", {})]
    return [
        policy.decide(key, metadata=metadata, label=label, operation=operation)
        for key, metadata in asked
        for label in labels
        for operation in ("put", "compute")
    ]


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(documents())), seed=st.integers(0, 1 << 32))
@example(name="zone-by-two-qualifications", seed=1)
def test_the_order_of_keys_and_items_means_nothing(name, seed, load):
    document = documents()[name]
    one = load(json.dumps(document))
    other = load(json.dumps(shuffled(document, random.Random(seed)), indent=seed % 3))
    assert one.digest == other.digest
    assert decisions(one) == decisions(other)
    assert sorted((d.code, d.message) for d in one.warnings) == sorted((d.code, d.message) for d in other.warnings)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(documents())), seed=st.integers(0, 1 << 32))
def test_two_files_say_what_one_says(name, seed, load, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    root, more = split(documents()[name], random.Random(seed))
    (folder / "more.yaml").write_text(json.dumps(more))
    one = load(json.dumps(documents()[name]))
    two = load(json.dumps(root), folder / "policy.yaml")
    assert one.digest == two.digest
    assert decisions(one) == decisions(two)


@pytest.mark.parametrize("name", sorted(LISTS_IN_ORDER))
def test_the_order_of_two_lists_means_something(name, load):
    document = {key: value for key, value in documents()["wide"].items() if key != "waivers"}
    turned = document | {name: document[name][::-1]}
    assert load(json.dumps(turned)).digest != load(json.dumps(document)).digest


def test_the_time_has_ends(load):
    policy = wide(load)
    for day in (datetime.min, datetime.max):  # noqa: DTZ901  # the ends
        assert policy.decide("a/b", at=day.replace(tzinfo=UTC)).to_dict()
