"""Packs beside one another: every combination loads, and more packs never allow more."""

import itertools
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.catalogue.facts import Basis, Confidence

NAMES = (
    "core-fail-closed",
    "eu-cada-preview",
    "eu-gdpr-schrems2",
    "eu-seal",
    "fr-classified",
    "fr-dr",
    "fr-hds",
    "fr-secnumcloud",
    "fr-sren-art31",
)

GIVEN = (
    "{pack: eu-gdpr-schrems2, with: {dpf-listed: [p0, p1]}}",
    "{pack: fr-dr, with: {homologated: [p0/r, p1/r]}}",
    '{pack: fr-sren-art31, with: {version: "3.1"}}',
    "{pack: fr-secnumcloud, with: {level: internal}}",
    "{pack: eu-cada-preview, with: {certificate: hds}}",
)
"""The same packs with their doors as wide open as parameters make them."""

LABELS = ("public", "internal", "confidential", "restricted")
CATEGORIES = ("personal", "health", "sren31", "dr", "classified")

labels = st.builds("{}+{}".format, st.sampled_from(LABELS), st.sampled_from(CATEGORIES))


@st.composite
def places(draw, world):
    """Draw a few targets, each with facts that some pack asks about, and key services."""
    countries = st.sampled_from(["FR", "NO", "CH", "US", "IN", "FR US", None])
    qualifications = [
        world.qualified("secnumcloud", "3.2"),
        world.qualified("secnumcloud", "3.1"),
        world.qualified("secnumcloud", "3.2", until=date(2026, 11, 25)),
        world.qualified("secnumcloud", "3.2", basis=Basis.MEMORY),
        world.qualified("secnumcloud", "3.2", confidence=Confidence.LOW),
        world.qualified("secnumcloud"),
        world.qualified("hds"),
    ]
    targets = [
        world.target(
            f"p{index}/r",
            draw(countries),
            draw(countries),
            *draw(st.lists(st.sampled_from(qualifications), max_size=2, unique_by=id)),
        )
        for index in range(draw(st.integers(1, 4)))
    ]
    keys = [world.keys(f"k{index}", draw(countries), draw(countries)) for index in range(draw(st.integers(0, 2)))]
    return targets, keys


def qualified(target, least):
    """Whether article 31 lets a target of `places` hold data of particular sensitivity."""
    facts = target.facts
    return (
        facts.located.value == {"FR"}
        and facts.controlled.value is not None
        and facts.controlled.value <= {"FR", "NO"}
        and any(
            q.scheme == "secnumcloud"
            and q.version >= least
            and q.evidence.basis is Basis.VERIFIED
            and q.evidence.confidence is Confidence.HIGH
            and q.evidence.expires == date(2027, 6, 1)
            for q in target.facts.qualified
        )
    )


def one(name):
    return name.removeprefix("{pack: ").split(",")[0]


@pytest.mark.parametrize("pair", list(itertools.combinations(NAMES, 2)), ids="+".join)
def test_every_two_packs_go_together_in_either_order(shelf, world, pair):
    keys = [world.keys("paris")]
    first, second = shelf.extending(pair, keys=keys), shelf.extending(reversed(pair), keys=keys)
    assert first.digest == second.digest
    assert {str(basis) for name in pair for basis in shelf.about(name).basis}


def test_all_packs_go_together(shelf, world):
    policy = shelf.extending(shelf.names, keys=[world.keys("paris")])
    assert {part.document.pack.title for part in policy.parts[1:]} == {shelf.about(n).title for n in shelf.names}


@pytest.mark.parametrize("number", range(len(NAMES) + 1))
def test_an_unlabelled_object_gets_the_strictest_level(shelf, world, number):
    policy = shelf.extending(NAMES[:number] if number < len(NAMES) else NAMES, keys=[world.keys("paris")])
    decided = policy.decide("never/seen")
    assert str(decided.label) == "restricted"
    assert decided.rules == ("default",)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_one_more_pack_never_allows_more(shelf, world, data):
    targets, keys = data.draw(places(world))
    chosen = data.draw(st.lists(st.sampled_from([*NAMES, *GIVEN]), min_size=1, max_size=5, unique_by=one))
    label = data.draw(labels)
    fewer = shelf.extending(chosen[:-1], targets=targets, keys=keys)
    more = shelf.extending(chosen, targets=targets, keys=keys)
    before, after = shelf.complying(fewer, label), shelf.complying(more, label)
    assert after.keys() <= before.keys()
    # The minimal modes are only partly ordered, so a mode may be another, but it seals what was sealed before.
    assert all(before[name].encrypt <= after[name].encrypt for name in after)
    assert (
        shelf.complying(more, label, operation="compute").keys()
        <= shelf.complying(fewer, label, operation="compute").keys()
    )


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_nothing_makes_an_unqualified_target_hold_sren_data(shelf, world, data):
    targets, keys = data.draw(places(world))
    others = data.draw(st.lists(st.sampled_from([*NAMES, *GIVEN]), max_size=5, unique_by=one))
    own = next((name for name in others if one(name) == "fr-sren-art31"), "fr-sren-art31")
    policy = shelf.extending(dict.fromkeys([own, *others]), targets=targets, keys=keys)
    label = data.draw(st.sampled_from(["public", "restricted", "restricted+personal", "restricted+health"])) + "+sren31"
    fit = {target.id for target in targets if qualified(target, (3, 1) if "3.1" in own else (3, 2))}
    stored = shelf.complying(policy, label)
    assert stored.keys() <= fit
    assert all(mode.sealed and "sren31-keys" in mode.keys for mode in stored.values())
    assert shelf.complying(policy, label, operation="compute").keys() <= fit


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_classified_goes_nowhere_with_any_packs(shelf, world, data):
    targets, keys = data.draw(places(world))
    others = data.draw(st.lists(st.sampled_from([*NAMES, *GIVEN]), max_size=8, unique_by=one))
    policy = shelf.extending(dict.fromkeys(["fr-classified", *others]), targets=targets, keys=keys)
    label = data.draw(st.sampled_from(LABELS)) + "+classified"
    for operation in ("put", "copy", "restore", "presign", "get", "compute"):
        assert not policy.decide("classified/x", label=label, operation=operation).allowed
        assert shelf.complying(policy, label, operation=operation) == {}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_plaintext_of_personal_data_never_leaves_home(shelf, world, data):
    targets, keys = data.draw(places(world))
    others = data.draw(st.lists(st.sampled_from(NAMES), max_size=5, unique=True))
    policy = shelf.extending(dict.fromkeys(["eu-gdpr-schrems2", *others]), targets=targets, keys=keys)
    label = data.draw(st.sampled_from(["internal+personal", "restricted+personal", "confidential+health"]))
    home = {
        t.id
        for t in targets
        if all(f.value is not None and f.value <= {"FR", "NO", "CH"} for f in (t.facts.located, t.facts.controlled))
    }
    assert shelf.complying(policy, label, operation="compute").keys() <= home
    for name, mode in shelf.complying(policy, label).items():
        if name not in home:
            assert mode.sealed
            assert mode.names_encrypted
            assert "gdpr-keys" in mode.keys
            assert any(
                k.facts.located.value in ({"FR"}, {"NO"}) and k.facts.controlled.value in ({"FR"}, {"NO"}) for k in keys
            )
