"""Mutants: each way in which a policy can get weaker is tried, a good suite notices all of them, a weak one is told."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, date, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sovbroker import policy as policies
from sovbroker.document import Findings, MapNode, read
from sovbroker.policy.codes import DOCUMENT_CODES
from sovbroker.policy.prove.possible import possible
from sovbroker.policy.table import Scope, Table
from sovbroker.policy.trial import try_policy
from sovbroker.policy.trial.everywhere import Everywhere
from sovbroker.policy.trial.killing import mutants

DAY = date(2026, 6, 1)
FULL = """
zone `american` without `located: [US]`
zone `european` without `controlled: [EEA]`
zone `european` without `located: [EEA]`
zone `scored` with `SOV-1: 1` in place of 2
zone `scored` with a `seal` by any assessor
zone `scored` without `SOV-8: 0`
zone `scored` without `seal: SOV-1>=2, SOV-8>=0`
zone `sovereign` with `secnumcloud>=3.1` in place of `secnumcloud>=3.2`
zone `sovereign` without `controlled: [EEA]`
zone `sovereign` without `located: [FR]`
zone `sovereign` without `qualified: secnumcloud>=3.2`
zone `theirs` without `controlled: [EEA]`
`branch` at `anywhere` without `keys: american`
`branch` without `anywhere` under `store`
`branch` without its `store`
`confidential` at `anywhere` with readable names
`confidential` at `anywhere` without `keys: theirs`
`confidential` at `european` in the clear
`confidential` with `count: 1` in place of 2
`confidential` without `anywhere` under `store`
`confidential` without `distinct: provider`
`confidential` without `european` under `store`
`confidential` without `pad`
`confidential` without `retain: max`
`confidential` without `retain: min`
`confidential` without `sovereign` under `store`
`confidential` without its `store`
without the requirement of `confidential`
`dr` without its `store`
`internal` at `anywhere` in the clear
`internal` without `anywhere` under `store`
`internal` without `european` under `store`
`internal` without being waivable
`internal` without its `compute`
`internal` without its `store`
without the requirement of `internal`
`where` of `personal` (RGPD art. 32) without `technology: [EEA]`
`personal` (RGPD art. 32) without denying `acme`
without the requirement of `personal` (RGPD art. 32)
`public` without `anywhere` under `store`
`public` without its `compute`
without the requirement of `public`
`restricted` at `scored` without `keys: theirs`
`restricted` at `sovereign` in the clear
`restricted` without `scored` under `store`
`restricted` without `sovereign` under `store`
`restricted` without its `store`
category `pay` without `minimum: confidential`
category `pay` without implying `personal`
rule `c3` with the label `confidential` in place of `restricted`
rule `c3` without `class` under `meta`
rule `c3` without its `path`
without the rule `c3`
rule `hr` with the label `confidential` in place of `confidential+personal`
rule `hr` with the label `internal+personal` in place of `confidential+personal`
without the rule `hr`
rule `int` with the label `public` in place of `internal`
without the rule `int`
rule `nir` with `min: 2` in place of 1
rule `nir` with the label `confidential` in place of `confidential+personal`
rule `nir` with the label `internal+personal` in place of `confidential+personal`
without the rule `nir`
rule `old` with the label `public` in place of `internal`
without the rule `old`
without the rule `pub`
the default label `confidential+personal` in place of `restricted+personal`
the default label `restricted` in place of `restricted+personal`
waiver `W-1` up to `confidential` in place of `internal`
waiver `W-1` up to `internal+branch+dr+personal` in place of `internal`
without the waiver `W-1`
""".strip().splitlines()

ZONES = ["inner", "outer", "all"]
MODES = [
    {},
    {"encrypt": "client"},
    {"encrypt": "client", "names": "encrypt"},
    {"encrypt": "client", "keys": "keyed"},
    {"encrypt": "client", "names": "encrypt", "keys": "keyed"},
]


def full_text(desk):
    return desk.full.with_name("full.tests.yaml").read_text(encoding="utf-8")


def loaded(file):
    found = policies.load(file, clock=lambda: datetime(2026, 12, 1, tzinfo=UTC))
    return found.book, found.parts


def test_every_way_in_which_a_policy_can_get_weaker_is_a_mutant_and_a_good_suite_notices_all(desk):
    trial = try_policy(desk.full, strict=True)
    assert trial.passed, trial
    assert trial.mutation.survivors == ()
    assert sorted(kill.mutant.name for kill in trial.mutation.killed) == sorted(FULL)
    assert trial.mutation.score == 1.0


def test_each_mutant_is_another_policy_than_all_others(desk):
    book, parts = loaded(desk.full)
    found = mutants(book, parts)
    digests = [mutant.change(book).digest() for mutant in found]
    assert len({book.digest(), *digests}) == len(found) + 1


def test_each_mutant_stands_where_the_policy_says_what_it_changes(desk):
    book, parts = loaded(desk.full)
    places = {mutant.name: mutant.place for mutant in mutants(book, parts)}
    lines = desk.full.read_text(encoding="utf-8").splitlines()

    def said(name):
        place = places[name]
        return lines[place.line - 1][place.column - 1 :]

    assert said("zone `sovereign` without `qualified: secnumcloud>=3.2`").startswith("qualified:")
    assert said("`confidential` at `european` in the clear").startswith("european: {encrypt")
    assert said("`confidential` with `count: 1` in place of 2").startswith("count: 2")
    assert said("`where` of `personal` (RGPD art. 32) without `technology: [EEA]`").startswith("technology:")
    assert said("category `pay` without implying `personal`").startswith("implies:")
    assert said("without the rule `hr`").startswith("hr, path")
    assert said("without the waiver `W-1`").startswith("W-1")
    assert said("the default label `restricted` in place of `restricted+personal`").startswith("default:")


@pytest.mark.parametrize(
    ("case", "lost"),
    [
        ("internal-compute", ["`internal` without its `compute`"]),
        ("paid", ["category `pay` without implying `personal`", "category `pay` without `minimum: confidential`"]),
        ("looked-at", ["without the rule `nir`", "rule `nir` with `min: 2` in place of 1"]),
        ("marked-elsewhere", ["rule `c3` without its `path`"]),
        ("not-marked", ["rule `c3` without `class` under `meta`"]),
        ("branch", ["zone `theirs` without `controlled: [EEA]`", "`branch` without its `store`"]),
        ("waived", ["without the waiver `W-1`", "`internal` without being waivable"]),
        ("waived-up-to", ["waiver `W-1` up to `internal+branch+dr+personal` in place of `internal`"]),
        (
            "confidential",
            [
                "`confidential` without `pad`",
                "`confidential` without `retain: min`",
                "`confidential` without `distinct: provider`",
            ],
        ),
    ],
)
def test_without_the_case_that_notices_a_mutant_it_survives(desk, case, lost):
    node = read(full_text(desk), "cases", Findings(DOCUMENT_CODES))
    assert isinstance(node, MapNode)
    blocks = re.split(r"(?m)^(?=  - )", full_text(desk))
    kept = [block for block in blocks if f"id: {case}\n" not in block and f"id: {case}," not in block]
    assert len(kept) == len(blocks) - 1
    trial = try_policy(desk.full, desk.write("fewer.tests.yaml", "".join(kept)))
    assert trial.passed
    survivors = [mutant.name for mutant in trial.mutation.survivors]
    assert set(lost) <= set(survivors)
    told = {found.message for found in trial.diagnostics if found.code == "SB121"}
    assert len(told) == len(survivors)
    assert all(any(name in message for message in told) for name in lost)


def test_a_weak_suite_is_told_what_it_does_not_notice_and_what_to_add(desk):
    trial = desk.test({"id": "a", "key": "public/a", "expect": {"allowed": True}}, mutate=True)
    assert trial.passed
    assert 0 < trial.mutation.score < 0.2
    told = {found.message: found for found in trial.diagnostics if found.code == "SB121"}
    found = told["no case notices a policy with the zone `french` without `controlled: [EEA]`"]
    assert found.severity == "warning"
    assert found.text[found.column - 1 :].startswith("controlled")
    assert found.help == (
        "add a case with a target that meets all of it but `controlled: [EEA]`; "
        "list it under `excludes`, or say under `modes` how it complies"
    )
    assert "no case notices a policy without the rule `int`" in told
    assert all(found.help for found in told.values())


def test_no_mutant_is_tried_while_a_case_fails(desk):
    trial = desk.test({"id": "a", "key": "public/a", "expect": {"allowed": False}}, mutate=True)
    assert trial.mutation is None
    assert trial.to_dict()["mutants"] is None


def test_an_invariant_notices_what_no_case_does(desk):
    policy = desk.small + "always: [{id: sealed, label: secret, demand: {encrypt: client, keys: french}}]\n"
    case = {"id": "a", "key": "public/a", "expect": {"allowed": True}}
    with_it = {kill.mutant.name: kill.by for kill in desk.test(case, policy=policy, mutate=True).mutation.killed}
    without = {kill.mutant.name for kill in desk.test(case, mutate=True).mutation.killed}
    assert with_it["`secret` (a law) at `french` without `keys: french`"] == "invariant `sealed`"
    assert with_it["`secret` (a law) without its `store`"] == "invariant `sealed`"
    assert "`secret` (a law) at `french` without `keys: french`" not in without


REDUNDANT = """
sovbroker: 1
levels: [low, high]
zones:
  inner: {located: [FR], controlled: [EEA]}
  outer: {controlled: [EEA]}
  near: {located: [FR], controlled: [EEA]}
  none: {provider: []}
  spare: {located: [FR]}
require:
  low: {store: {outer: {encrypt: client}, near: {encrypt: client}, none: {}}}
  high: {store: {inner: {encrypt: client}}, waivable: false}
"""


def test_what_makes_no_difference_anywhere_is_no_mutant(desk):
    case = {"id": "a", "key": "a", "expect": {"label": "high"}}
    trial = desk.test(case, policy=REDUNDANT, mutate=True)
    names = [mutant.name for mutant in trial.mutation.survivors]
    # Below `high`, `low` asks for an EEA operator and for encryption already; `near` is in `outer`, `none` is empty,
    # and nothing asks about `spare`.
    assert names == [
        "zone `inner` without `located: [FR]`",
        "zone `near` without `controlled: [EEA]`",
        "zone `none` without `provider: []`",
        "zone `outer` without `controlled: [EEA]`",
        "`high` without `inner` under `store`",
        "`high` without its `store`",
        "`low` without `outer` under `store`",
        "`low` at `outer` in the clear",
        "`low` without its `store`",
    ]


def names_of(desk, text):
    """Return the names of all mutants, also of those that make no difference."""
    book, parts = loaded(desk.write("named.yaml", text))
    return [mutant.name for mutant in mutants(book, parts)]


def test_what_the_policy_does_not_use_and_waivers_that_are_not_there_make_no_mutants(desk):
    names = names_of(desk, REDUNDANT)
    assert not [name for name in names if "`spare`" in name or "waivable" in name]


def test_labels_are_lowered_by_what_is_not_implied_by_the_rest(desk):
    text = """
sovbroker: 1
levels: [public, internal, confidential]
default: confidential
categories: {a: {implies: [b, c]}, b: {implies: [c]}, c: {minimum: internal}}
require: {public: {}}
classify: [{id: r, path: "r/**", label: a}]
"""
    assert names_of(desk, text) == [
        "category `a` without implying `b`",
        "category `b` without implying `c`",
        "category `c` without `minimum: internal`",
        "without the rule `r`",
        "rule `r` with the label `internal+b+c` in place of `internal+a+b+c`",
        "the default label `internal` in place of `confidential`",
    ]


def test_a_category_that_is_weaker_is_so_in_every_label_of_the_policy(desk):
    text = desk.small.replace("default: secret", "default: secret+pay").replace("label: public}", "label: pay}")
    text = text.replace("kept: {}", "kept: {}, pay: {implies: [personal]}").replace(
        "label: internal+kept\n", "label: pay\n"
    )
    text += "always: [{id: i, label: pay, outside: [european], demand: {}}]\n"
    book, parts = loaded(desk.write("pay.yaml", text))
    changed = next(m for m in mutants(book, parts) if m.name == "category `pay` without implying `personal`").change(
        book
    )
    masks = [changed.default, *(r.mask for r in changed.rules if r.id == "pub")]
    masks += [changed.waivers[0].mask, changed.always[0].mask]
    assert [str(changed.lattice.label(mask)) for mask in masks] == ["secret+pay", *["public+pay"] * 3]


@pytest.mark.parametrize(
    ("firm", "bounds"),
    [
        ("", ["`secret` in place of `internal+kept`", "`internal+kept+personal` in place of `internal+kept`"]),
        ("secret", ["`internal+kept+personal` in place of `internal+kept`"]),
        ("personal", ["`secret+kept` in place of `internal+kept`"]),
    ],
)
def test_a_waiver_is_never_widened_to_what_would_not_load(desk, firm, bounds):
    text = desk.small.replace("personal: {}", "personal: {store: {french: {}}}")
    if firm:
        text = text.replace("basis: a law", "waivable: false") if firm == "secret" else text
        text = text.replace("{store: {french: {}}}", "{store: {french: {}}, waivable: false}", firm == "personal")
    found = [name.removeprefix("waiver `W-1` up to ") for name in names_of(desk, text) if " up to " in name]
    assert found == [bound.replace("`secret`", "`secret+kept`") for bound in bounds]


def test_what_reasons_say_of_content_is_the_same_for_mutants(desk):
    case = {"id": "a", "key": "public/a", "expect": {"because": "the content was not looked at"}}
    trial = desk.test(case, mutate=True)
    assert "without the rule `int`" in [mutant.name for mutant in trial.mutation.survivors]


@st.composite
def documents(draw):
    """Small policies in which much is said twice."""

    def store():
        return {zone: draw(st.sampled_from(MODES)) for zone in draw(st.lists(st.sampled_from(ZONES), unique=True))}

    def element():
        found = {"store": store()} if draw(st.booleans()) else {}
        if draw(st.booleans()):
            found["compute"] = draw(st.lists(st.sampled_from(ZONES), unique=True))
        if draw(st.integers(0, 3)) == 0:
            found["where"] = draw(st.sampled_from([{"located": ["FR"]}, {"controlled": ["EEA"]}]))
        if draw(st.integers(0, 3)) == 0:
            found["deny"] = [draw(st.sampled_from(ZONES[:2]))]
        if draw(st.integers(0, 3)) == 0:
            found["copies"] = {"count": "2", "distinct": ["site"]}
        return found

    document = {
        "sovbroker": "1",
        "levels": ["low", "high"],
        "categories": {"k": {}},
        "zones": {
            "inner": {"located": ["FR"], "controlled": ["FR"]},
            "outer": draw(st.sampled_from([{"controlled": ["EEA"]}, {"located": ["EEA"]}])),
            "all": {},
            "keyed": {"located": ["FR"]},
        },
        "require": {name: element() for name in ("low", "high", "k")},
    }
    if draw(st.booleans()):
        document["waivers"] = [
            {"id": "W", "path": "w/**", "label": draw(st.sampled_from(["low", "low+k", "high"])), "store": {"all": {}},
             "reason": "x", "owner": "a", "approved": ["b", "c"], "expires": "2026-08-01"}
        ]  # fmt: skip
    return document


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=documents())
def test_mutants_that_are_left_out_put_every_object_where_the_policy_does(document):
    """Held against every label, waiver and place, one by one, through the table that decides."""
    now = datetime(2026, 6, 1, tzinfo=UTC)
    found = policies.loads(json.dumps(document), targets=[], at=now, clock=lambda: now)
    book = found.book
    for mutant in mutants(book, found.parts):
        if not mutant.bears:
            continue
        other = mutant.change(book)
        everywhere = Everywhere.of(book, other, DAY)
        if everywhere.alike():
            assert outcomes(book, everywhere) == outcomes(other, everywhere), mutant.name


def outcomes(book, everywhere):
    """Return what a rulebook says of every scope, over the kinds of places that two of them can tell apart."""
    table = Table(book, everywhere.kinds.world, since=DAY, until=None)
    labels = {book.lattice.mask_of_text("+".join(names)) for names in itertools.product(["low", "high"], ["k"])}
    labels |= {book.lattice.mask_of_text(name) for name in ("low", "high", "k")}
    told = {}
    for mask, waivers, compute in itertools.product(sorted(labels), range(1 << len(book.waivers)), (False, True)):
        in_scope = sum(1 << n for n, w in enumerate(book.waivers) if waivers >> n & 1 and w.mask & mask == mask)
        scope = Scope(mask, in_scope, compute)
        placing = table.place(scope)
        told[scope] = [(o.target, o.code, o.waivers) for o in placing.ranked], placing.chosen, table.obligations(scope)
    return told


def test_kinds_of_places_tell_both_policies_apart(desk):
    book, parts = loaded(desk.full)
    changed = next(m for m in mutants(book, parts) if m.name == "zone `european` without `controlled: [EEA]`")
    everywhere = Everywhere.of(book, changed.change(book), DAY)
    assert not everywhere.alike()
    assert len(everywhere.kinds.targets) >= len(possible(book, DAY).targets)
