"""The representatives: every concrete target is seen as one of them, and each of them is a target that can be."""

import itertools
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.catalogue.facts import Basis, Confidence, Evidence, SealScore
from sovbroker.policy.prove import axes as axes_module
from sovbroker.policy.prove.axes import Denied, Observer, axes, named_last
from sovbroker.policy.prove.outcomes import Outcomes
from sovbroker.policy.prove.possible import possible
from sovbroker.policy.prove.traits import Name, Traits
from sovbroker.policy.table import Scope, Table, World
from sovbroker.policy.zones import Axis, Named, Qualified, Seal, Subject, Within, Zone

AT = date(2026, 11, 24)


def signatures(table):
    """Return what a table sees of each target: its zones, and by which demands it is barred."""
    demands = [d for name in table.book.requirements for d in table._demands[name]]
    names = sorted({name for d in demands for name in d.requirement.deny})
    return [
        (
            *(members >> index & 1 for members in table.zones.values()),
            *(d.barred >> index & 1 for d in demands),
            *(table.named(name) >> index & 1 for name in names),
        )
        for index in range(len(table.world.targets))
    ]


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_every_concrete_target_is_seen_as_one_of_the_representatives(data, world, drawn):
    document = data.draw(drawn.documents())
    targets, holders = data.draw(drawn.worlds(world))
    policy = drawn.load(document, targets, holders)
    if policy is None:
        return
    kinds = possible(policy.book, AT)
    assert kinds.complete
    known = signatures(Table(policy.book, kinds.world, since=AT, until=None))
    for day in drawn.DAYS:
        assert set(signatures(policy.table(day.toordinal()))) <= set(known)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_real_outcome_is_one_that_a_representative_has(data, world, drawn):
    document = data.draw(drawn.documents())
    targets, holders = data.draw(drawn.worlds(world))
    policy = drawn.load(document, targets, holders)
    if policy is None:
        return
    real = policy.table(AT.toordinal())
    outcomes = Outcomes(Table(policy.book, possible(policy.book, AT).world, since=AT, until=None))
    known = {own: index for index, own in enumerate(signatures(outcomes.table))}
    kind = [known[own] for own in signatures(real)]
    names = [*policy.lattice.levels, *policy.lattice.categories]
    mask = 0
    for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3)):
        mask |= policy.lattice.mask_of_text(name)
    covering = outcomes.covering(mask)
    waivers = covering & data.draw(st.integers(0, 3))
    by_kind = {}
    for modes, members in outcomes.store(mask, covering).items():
        for index in range(len(outcomes.table.world.targets)):
            if members >> index & 1:
                by_kind[index] = {(pick.code, pick.waivers) for pick in outcomes.picks(modes)}
    for option in real.place(Scope(mask, waivers)).ranked:
        assert (option.code, option.waivers) in by_kind[kind[option.target]]
    computed = {kind[option.target] for option in real.place(Scope(mask, compute=True)).ranked}
    assert all(outcomes.compute(mask) >> index & 1 for index in computed)


def test_the_representatives_of_a_policy_are_the_simplest_of_their_kind(load, world):
    policy = load(
        """
sovbroker: 1
levels: [low]
zones:
  sovereign: {located: [FR], controlled: [EEA], qualified: [secnumcloud>=3.2]}
  european: {located: [EEA]}
require:
  low: {store: {sovereign: {}, european: {encrypt: client}}, deny: [acme]}
""",
        [world.target("acme/eu")],
    )
    kinds = possible(policy.book, AT)
    told = [(str(kind.traits), kind.traits.target().id) for kind in kinds.targets]
    assert told == [
        ("of which nothing is known", "another/place"),
        ("located DE", "another/place"),
        ("of which nothing is known", "acme/place"),
        ("located DE", "acme/place"),
        ("located FR, controlled FR, qualified secnumcloud 3.2", "another/place"),
        ("located FR, controlled FR, qualified secnumcloud 3.2", "acme/place"),
    ]
    assert [name.id for name in kinds.targets[2].names] == ["acme", "acme/place"]
    assert kinds.holders == ()


def zone(*predicates):
    return Observer(predicates)


def within(axis, *countries):
    return Within(axis, countries, frozenset(countries))


def test_countries_are_seen_as_every_set_of_them_could_be():
    asked = [zone(within(Axis.LOCATED, "FR", "DE")), zone(within(Axis.LOCATED, "DE", "CH")), zone()]
    (located,) = axes(asked, AT)
    assert {o.seen: sorted(o.traits.located) for o in located.outcomes} == {
        0b100: [],
        0b101: ["FR"],
        0b111: ["DE"],
        0b110: ["CH"],
    }
    apart = [zone(within(Axis.LOCATED, "FR", "DE", "IT")), zone(within(Axis.LOCATED, "FR", "CH", "IT")),
             zone(within(Axis.LOCATED, "DE", "CH", "IT"))]  # fmt: skip
    (located,) = axes(apart, AT)
    # No country is in the first list alone, but two countries together are.
    assert {o.seen: len(o.traits.located) for o in located.outcomes} == {
        0b000: 0, 0b001: 2, 0b010: 2, 0b100: 2, 0b011: 1, 0b101: 1, 0b110: 1, 0b111: 1,
    }  # fmt: skip


def test_versions_are_thresholds_and_an_unknown_version_is_one_of_its_own():
    asked = [
        zone(Qualified("s", (3, 2))),
        zone(Qualified("s")),
        zone(Qualified("s", (3, 2, 0))),
        zone(Qualified("s", (0,))),
    ]
    (versions,) = axes(asked, AT)
    assert {o.seen: o.traits.qualified for o in versions.outcomes} == {
        0b0000: (),
        0b0010: (("s", ()),),
        0b1010: (("s", (0,)),),
        0b1111: (("s", (3, 2)),),
    }


def test_one_score_that_is_high_enough_is_shown_and_two_where_one_would_be_too_high():
    def seal(*assessors, **minimum):
        return zone(Seal("1.2.1", tuple((name.replace("_", "-"), level) for name, level in minimum.items()), assessors))

    (scores,) = axes([seal(SOV_1=2), seal(SOV_2=2), seal(SOV_1=2, SOV_2=2), seal("ec", SOV_1=1)], AT)
    told = {o.seen: [(who, dict(own)) for _, who, own in o.traits.seal] for o in scores.outcomes}
    assert told[0b0111] == [("anyone", {"SOV-1": 2, "SOV-2": 2})]
    assert told[0b1111] == [("ec", {"SOV-1": 2, "SOV-2": 2})]
    # Both levels, by one score each: no score has them together.
    assert told[0b0011] == [("anyone", {"SOV-1": 2}), ("anyone", {"SOV-2": 2})]
    assert told[0b1010] == [("ec", {"SOV-1": 1, "SOV-2": 2})]
    # Whoever has 2 has 1, but another assessor's word does not count.
    assert sorted(told) == [0b0000, 0b0001, 0b0010, 0b0011, 0b0111, 0b1000, 0b1001, 0b1010, 0b1011, 0b1111]


levels = st.dictionaries(st.sampled_from(["SOV-1", "SOV-2"]), st.integers(0, 2), min_size=1).map(
    lambda found: tuple(sorted(found.items()))
)
seals = st.builds(
    Seal,
    st.sampled_from(["1.2.1", "1.3"]),
    levels,
    st.lists(st.sampled_from(["ec", "buyer"]), unique=True).map(lambda names: tuple(sorted(names))),
)
scores = st.tuples(st.sampled_from(["1.2.1", "1.3", "2"]), st.sampled_from(["ec", "buyer", "x"]), levels)


@settings(max_examples=100, deadline=None)
@given(
    asked=st.lists(seals, min_size=1, max_size=4),
    scores=st.lists(scores, max_size=3),
)
def test_any_scores_are_seen_as_outcomes_of_the_frameworks(asked, scores):
    observers = [zone(seal) for seal in asked]
    every = (1 << len(asked)) - 1
    seen = {every}
    for axis in axes(observers, AT):
        seen = {have & outcome.seen for have in seen for outcome in axis.outcomes}
    evidence = Evidence(Basis.ATTESTED, Confidence.HIGH)
    facts = Traits().facts()
    subject = Subject(
        frozenset(),
        "",
        type(facts)(
            facts.located, facts.controlled, facts.technology, (), tuple(SealScore(*s, evidence) for s in scores)
        ),
    )
    own = sum(1 << i for i, seal in enumerate(asked) if not seal.unmet(subject, AT))
    assert own in seen
    for axis in axes(observers, AT):
        for outcome in axis.outcomes:
            place = Subject(frozenset(), "", outcome.traits.facts())
            met = sum(1 << i for i, seal in enumerate(asked) if not seal.unmet(place, AT))
            assert met & ~outcome.seen == 0


predicates = st.one_of(
    st.builds(
        lambda axis, names: within(axis, *sorted(names)),
        st.sampled_from([Axis.LOCATED, Axis.CONTROLLED]),
        st.sets(st.sampled_from(["FR", "DE", "CH", "US"]), min_size=1),
    ),
    st.builds(Qualified, st.sampled_from(["s", "t"]), st.sampled_from([(), (1,), (2, 1)])),
    st.builds(Named, st.just("provider"), st.sampled_from([("p",), ("p", "q")])),
)


@settings(max_examples=60, deadline=None)
@given(asked=st.lists(st.lists(predicates, max_size=3).map(tuple), max_size=5))
def test_no_place_of_a_kind_has_fewer_facts_than_its_representative(asked, load):
    policy = load("sovbroker: 1\nlevels: [low]\n")
    zones = {f"z{number}": Zone(f"z{number}", own) for number, own in enumerate(asked)}
    kinds = possible(replace(policy.book, zones=zones), AT)
    found = {signature(zones, kind.traits): kind.traits.cost for kind in kinds.targets}
    observers = [Observer(own) for own in dict.fromkeys(asked)]
    ranges = [axis.outcomes for axis in axes(observers, AT)]
    cheapest = {}
    for combination in itertools.product(*ranges, named_last(observers, AT)):
        traits = sum((outcome.traits for outcome in combination), Traits())
        own = signature(zones, traits)
        cheapest[own] = min(traits.cost, cheapest.get(own, traits.cost))
    assert found == cheapest


def signature(zones, traits):
    subject = Subject.of(traits.target())
    return tuple(zone.holds(subject, AT) for zone in zones.values())


def test_what_a_where_asks_is_looked_at_too(load):
    policy = load(
        "sovbroker: 1\nlevels: [low]\nzones: {fr: {located: [FR]}}\n"
        "require: {low: {store: {fr: {}}, where: {controlled: [CH]}}}\n"
    )
    assert [str(kind.traits) for kind in possible(policy.book, AT).targets] == [
        "of which nothing is known",
        "controlled CH",
        "located FR",
        "located FR, controlled CH",
    ]


def test_names_are_any_other_one_and_each_that_is_mentioned():
    asked = [
        zone(Named("provider", ("acme",))),
        zone(Named("target", ("acme/eu", "beta/blob@x", "local"))),
        zone(Denied("another")),
    ]
    names = {o.traits.name: o.seen for o in named_last(asked, AT)}
    assert {name.id: seen for name, seen in names.items()} == {
        "another-2/place": 0b000,
        "acme/place": 0b001,
        "acme": 0b001,
        "acme/eu": 0b011,
        "another/place": 0b100,
        "another": 0b100,
        "beta/blob@x": 0b010,
        "local/place": 0b000,
        "local": 0b010,
    }
    assert names[Name("beta/blob@x", "beta", "x", "blob", single=True)] == 0b010


@pytest.mark.parametrize("limit", [2, 3])
def test_too_many_kinds_are_told(limit, load, monkeypatch):
    policy = load(
        """
sovbroker: 1
levels: [low]
zones: {a: {located: [FR]}, b: {located: [EEA]}, c: {controlled: [EEA]}}
require: {low: {store: {a: {}, b: {encrypt: client}, c: {encrypt: client, names: encrypt}}}}
"""
    )
    assert possible(policy.book, AT).complete
    assert len(possible(policy.book, AT).targets) == 6
    monkeypatch.setattr("sovbroker.policy.prove.possible.KINDS_MAX", limit)
    few = possible(policy.book, AT)
    assert not few.complete
    assert len(few.targets) == limit
    monkeypatch.undo()
    monkeypatch.setattr(axes_module, "CLOSURE_MAX", 1)
    assert not possible(policy.book, AT).complete


def test_a_world_of_representatives_is_one_that_a_table_takes(load):
    policy = load(
        "sovbroker: 1\nlevels: [low]\nzones: {mine: {target: [p/fr]}, fr: {located: [FR]}}\n"
        "require: {low: {store: {mine: {encrypt: client, keys: [fr]}}}}\n"
    )
    kinds = possible(policy.book, AT)
    assert isinstance(kinds.world, World)
    assert [target.id for target in kinds.world.targets].count("p/fr") == 2
    assert [str(kind.traits) for kind in kinds.holders] == ["of which nothing is known", "located FR"]
