from dataclasses import replace
from datetime import date

import pytest

from sovbroker.catalogue.facts import Basis, Confidence, SealScore, Status
from sovbroker.policy.zones import Axis, Named, Qualified, Seal, Subject, Within, Zone, members

EEA = frozenset({"FR", "DE", "NL"})
LOCATED = Within(Axis.LOCATED, ("EEA",), EEA)
CONTROLLED = Within(Axis.CONTROLLED, ("EEA",), EEA)
TECHNOLOGY = Within(Axis.TECHNOLOGY, ("EEA",), EEA)


@pytest.fixture
def unmet(world):
    def ask(predicate, *facts, **fields):
        return predicate.unmet(Subject.of(world.target("p/r", *facts, **fields)), world.today)

    return ask


def test_countries(world, unmet):
    assert unmet(LOCATED, "FR DE") == ""
    assert unmet(LOCATED, "FR US CN") == "located in CN, US, not only EEA"
    assert unmet(LOCATED, world.fact(None)) == "located: unknown"
    assert unmet(LOCATED, world.fact("")) == "located: unknown"
    assert unmet(CONTROLLED, "FR", "FR US") == "reached by the law of US, not only EEA"
    assert unmet(TECHNOLOGY) == "technology: unknown"
    assert unmet(TECHNOLOGY, technology="US") == "dependent on technology of US, not only EEA"


def test_who_opens_it_alone(world):
    def unmet(countries, alone=None, controlled="FR"):
        holder = world.keys("k", "FR", controlled, alone=None if alone is None else world.fact(alone))
        return Within(Axis.ALONE, tuple(sorted(countries)), countries).unmet(Subject.of(holder), world.today)

    nobody = frozenset[str]()
    assert unmet(nobody, "") == unmet(EEA, "") == unmet(EEA, "FR", "US") == ""
    assert unmet(nobody, "FR") == "opened by the law alone of FR"
    assert unmet(EEA, "FR US") == "opened by the law alone of US, not only DE, FR, NL"
    assert unmet(EEA) == ""
    # One party has it all: whoever reaches that opens it.
    assert unmet(nobody) == "opened by the law alone of FR"
    assert unmet(nobody, controlled=None) == unmet(nobody, controlled="") == "alone: unknown"
    unknown = world.keys("k", alone=world.fact(None))
    doubted = world.keys("k", alone=world.fact("", basis=Basis.MEMORY))
    for holder, said in ((unknown, "alone: unknown"), (doubted, "alone: known only from memory")):
        assert Within(Axis.ALONE, (), nobody).unmet(Subject.of(holder), world.today) == said


def test_a_fact_counts_only_when_it_is_trusted_and_live(world, unmet):
    assert unmet(LOCATED, world.fact("FR", basis=Basis.MEMORY)) == "located: known only from memory"
    both = world.fact("US FR", basis=Basis.MEMORY)
    assert unmet(LOCATED, both) == "located in US, not only EEA (known only from memory)"
    low = world.fact("FR", confidence=Confidence.LOW)
    assert unmet(LOCATED, low) == "located: known with low confidence only"
    assert unmet(LOCATED, world.fact("FR", expires=world.today)) == f"located: expired on {world.today}"
    assert unmet(LOCATED, world.fact("FR", expires=date(2026, 11, 25))) == ""
    assert unmet(LOCATED, world.fact("FR", basis=Basis.ATTESTED, confidence=Confidence.MEDIUM)) == ""


@pytest.mark.parametrize(
    ("version", "least", "met"),
    [
        ("3.2", (3, 2), True),
        ("3.2", (3, 2, 0), True),
        ("3.10", (3, 2), True),
        ("4", (3, 2), True),
        ("3.1", (3, 2), False),
        ("3", (3, 1), False),
        ("", (3, 2), False),
        ("", (), True),
        ("1", (), True),
    ],
)
def test_versions_are_numbers(world, unmet, version, least, met):
    found = unmet(Qualified("secnumcloud", least), "FR", "FR", world.qualified("secnumcloud", version))
    assert (found == "") == met


def test_a_qualification_says_what_it_lacks(world, unmet):
    asked = Qualified("secnumcloud", (3, 2))
    assert str(asked) == "secnumcloud>=3.2"
    assert unmet(asked) == "secnumcloud: no qualification known"
    assert unmet(asked, "FR", "FR", world.qualified("hds")) == "secnumcloud: no qualification known"
    old = world.qualified("secnumcloud", "3.1")
    assert unmet(asked, "FR", "FR", old) == "secnumcloud: qualified 3.1 < 3.2"
    vague = world.qualified("secnumcloud")
    assert unmet(asked, "FR", "FR", vague) == "secnumcloud: qualified, of an unknown version, and 3.2 is needed"
    soon = world.qualified("secnumcloud", "3.2", status=Status.IN_PROGRESS)
    assert unmet(asked, "FR", "FR", soon) == "secnumcloud: in-progress"
    over = world.qualified("secnumcloud", "3.2", until=date(2026, 1, 1))
    assert unmet(asked, "FR", "FR", over) == "secnumcloud: expired on 2026-01-01"
    assert unmet(asked, "FR", "FR", over, soon) == "secnumcloud: expired on 2026-01-01; in-progress"
    assert unmet(asked, "FR", "FR", over, world.qualified("secnumcloud", "3.2")) == ""
    recalled = world.qualified("secnumcloud", "3.2", basis=Basis.MEMORY)
    assert unmet(asked, "FR", "FR", recalled) == "secnumcloud: known only from memory"


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.QUALIFIED])
def test_only_qualified_qualifies(world, unmet, status):
    assert unmet(Qualified("hds"), "FR", "FR", world.qualified("hds", status=status)) == f"hds: {status.value}"


def test_names(world):
    offer = Subject.of(world.target("p/paas@r"))
    plain = Subject.of(world.target("mine", provider="p"))
    service = Subject.of(world.keys("main"))
    day = world.today
    assert Named("provider", ("p",)).unmet(offer, day) == ""
    assert Named("provider", ("q", "z")).unmet(offer, day) == "the provider is not q or z"
    assert Named("target", ("p/paas@r",)).unmet(offer, day) == ""
    assert Named("target", ("p/r",)).unmet(offer, day) == "the target is not p/r"
    assert Named("target", ("mine",)).unmet(plain, day) == ""
    assert Named("target", ("p/object-storage@",)).unmet(plain, day) == ""
    assert Named("provider", ("",)).unmet(service, day) == ""
    assert Named("target", ("main",)).unmet(service, day) == ""


def test_a_zone_is_a_conjunction(world):
    zone = Zone("z", (LOCATED, CONTROLLED))
    good, bad = world.target("p/a"), world.target("p/b", "US", "US")
    assert zone.holds(Subject.of(good), world.today)
    assert not zone.holds(Subject.of(bad), world.today)
    assert len(zone.unmet(Subject.of(bad), world.today)) == 2
    assert Zone("anywhere").holds(Subject.of(bad), world.today)
    assert members(zone, [Subject.of(bad), Subject.of(good)], day=world.today) == 0b10


def test_a_seal_is_met_by_one_live_score_of_the_same_framework(world, unmet):
    asked = Seal("1.2.1", (("SOV-1", 2), ("SOV-2", 3)), ("buyer", "ec"))

    def score(framework="1.2.1", assessor="ec", expires=None, **levels):
        named = tuple((name.replace("_", "-"), level) for name, level in levels.items())
        return SealScore(framework, assessor, named, replace(world.evidence(), expires=expires))

    def ask(*scores):
        return unmet(asked, world_facts=scores)

    def unmet(predicate, *, world_facts):
        target = world.target("p/r")
        return predicate.unmet(Subject.of(replace(target, facts=replace(target.facts, seal=world_facts))), world.today)

    good = score(SOV_1=2, SOV_2=4)
    assert ask(good) == ""
    assert ask() == "seal: no score known"
    assert ask(score(SOV_1=2)) == "seal: SOV-2 unknown < 3"
    assert ask(score(SOV_1=1, SOV_2=3)) == "seal: SOV-1 1 < 2"
    assert ask(score("1.1", SOV_1=4, SOV_2=4)) == "seal: scored by version 1.1, and 1.2.1 is needed"
    assert ask(score(assessor="seller", SOV_1=4, SOV_2=4)) == "seal: scored by seller, not by buyer or ec"
    assert ask(score(expires=world.today, SOV_1=4, SOV_2=4)) == f"seal: expired on {world.today}"
    # Two halves do not make one: each score stands for itself.
    assert ask(score(SOV_1=4), score(SOV_2=4)) == "seal: SOV-2 unknown < 3; SOV-1 unknown < 2"
    assert ask(score(SOV_1=0), good) == ""
