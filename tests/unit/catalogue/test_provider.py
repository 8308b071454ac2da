"""What a provider's facts mean for one target."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.catalogue.facts import FRESH, Basis, Confidence, Evidence, Qualification, Status
from sovbroker.catalogue.loader import load
from sovbroker.catalogue.provider import SCHEMES, Grant, ending, years_after

SEEN = Evidence(Basis.VERIFIED, Confidence.HIGH, ("docs",), as_of=date(2026, 5, 1))
HDS = Qualification("hds", Status.QUALIFIED, SEEN)
SNC = Qualification("secnumcloud", Status.QUALIFIED, SEEN, (3, 2))


def test_an_end_follows_from_the_grant_or_from_the_day_it_was_seen():
    assert ending(SNC, since=date(2025, 12, 17)).evidence.expires == date(2028, 12, 17)
    assert ending(SNC, since=date(2024, 2, 29)).evidence.expires == date(2027, 2, 28)
    assert ending(SNC, since=None).evidence.expires == date(2026, 5, 1) + FRESH
    assert ending(HDS, since=date(2020, 1, 1)).evidence.expires == date(2026, 5, 1) + FRESH


def test_what_was_never_dated_has_ended():
    undated = ending(replace(HDS, evidence=replace(SEEN, as_of=None)), since=None)
    assert undated.evidence.expires is not None
    assert not undated.evidence.supports(date(1, 1, 1))


def test_a_stated_end_stays():
    stated = replace(SNC, evidence=replace(SEEN, expires=date(2026, 12, 31)))
    assert ending(stated, since=date(2025, 1, 1)) == stated


@given(
    st.sampled_from(sorted(SCHEMES)),
    st.sampled_from(Status),
    st.none() | st.dates(date(2015, 1, 1), date(2035, 1, 1)),
    st.none() | st.dates(date(2015, 1, 1), date(2035, 1, 1)),
)
@settings(max_examples=200, deadline=None)
def test_what_counts_always_has_an_end(scheme: str, status: Status, since: date | None, seen: date | None):
    found = ending(Qualification(scheme, status, replace(SEEN, as_of=seen)), since=since)
    end = found.evidence.expires
    assert (end is not None) == (status is Status.QUALIFIED)
    years = SCHEMES[scheme]
    if end is not None and since is not None and years is not None:
        assert end == years_after(since, years)
    elif end is not None and seen is not None:
        assert end - seen == FRESH


@pytest.mark.parametrize(
    ("offers", "regions", "expected"),
    [
        ({"object-storage"}, {"lyon"}, Status.QUALIFIED),
        ({"object-storage"}, {"oslo"}, None),
        ({"vmware"}, {"lyon"}, None),
        ({"object-storage"}, set(), Status.UNKNOWN),
        ({"vmware"}, set(), None),
        (set(), {"lyon"}, Status.UNKNOWN),
        (set(), {"oslo"}, None),
        (set(), set(), Status.UNKNOWN),
    ],
)
def test_a_grant_counts_only_where_its_source_names_offer_and_region(offers, regions, expected):
    grant = Grant(HDS, frozenset(offers), frozenset(regions))
    found = grant.of("object-storage", "lyon")
    assert (found and found.status) == expected


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.QUALIFIED])
def test_what_satisfies_nothing_is_told_as_it_is(status: Status):
    grant = Grant(replace(HDS, status=status))
    assert grant.of("object-storage", "lyon") == grant.qualification


def test_a_target_has_the_facts_of_its_region(folder, acme):
    provider = load(folder(acme=acme)).provider("acme")
    lyon, oslo = provider.target("lyon"), provider.target("oslo", offer="compute")
    assert (lyon.id, lyon.site, lyon.offer, lyon.region) == ("acme/lyon", "acme/lyon", "object-storage", "lyon")
    assert (oslo.id, oslo.site, oslo.offer) == ("acme/compute@oslo", "acme/lyon", "compute")
    assert (lyon.facts.located.value, oslo.facts.located.value) == ({"FR"}, {"NO"})
    assert (lyon.facts.controlled.value, oslo.facts.controlled.value) == ({"FR"}, {"FR", "NO"})
    assert oslo.facts.located.evidence.note == "in a cellar"
    assert lyon.facts.technology.value is None
    assert not lyon.facts.technology.supports(date(2026, 6, 1))
    told = {q.scheme: q for q in lyon.facts.qualified}
    assert [told[s].status for s in ("secnumcloud", "hds", "c5")] == [
        Status.QUALIFIED,
        Status.UNKNOWN,
        Status.IN_PROGRESS,
    ]
    assert told["secnumcloud"].version == (3, 2)
    assert told["secnumcloud"].evidence.supports(date(2028, 3, 1) - timedelta(1))
    assert not told["secnumcloud"].evidence.supports(date(2028, 3, 1))
    assert "secnumcloud" not in {q.scheme for q in oslo.facts.qualified}


def test_without_a_word_on_technology_it_is_unknown(folder, acme):
    silent = "".join(line for line in acme.splitlines(keepends=True) if not line.startswith("technology:"))
    technology = load(folder(acme=silent)).target("acme/lyon").facts.technology
    assert technology.value is None
    assert not technology.evidence.trusted


def test_every_fact_is_told(folder, acme):
    told = list(load(folder(acme=acme)).provider("acme").statements())
    assert len(told) == acme.count("evidence: {")
    assert {s.about for s in told} >= {"seat", "controlled", "technology", "exposure", "region oslo controlled"}
    assert next(s for s in told if s.about == "technology").value is None
    assert next(s for s in told if s.about == "exposure").value == "a law: contested (accounts)"
    assert next(s for s in told if s.about == "storage hours").value == ("always", "sometimes")
    assert next(s for s in told if s.about == "storage endpoint of oslo").value == (
        "https://oslo.acme.example/spaces/{space_id}"
    )
    assert any(s.value == "hds: qualified; no offer named; no region named; the company" for s in told)
