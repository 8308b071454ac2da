import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker import policy as policies
from sovbroker.policy.ranking import STEPS, Candidate, _Search, first_set

attributes = st.tuples(st.sampled_from(["", "a", "b", "c"]), st.sampled_from(["x", "y", "z"]))
candidates = st.lists(st.tuples(attributes, st.sampled_from([-1, 0b01, 0b10, 0b11])), max_size=7).map(
    lambda rows: [Candidate(i, values, holders) for i, (values, holders) in enumerate(rows)]
)


def together(subset):
    if len(subset) == 1:
        return True
    shared = -1
    for one in subset:
        shared &= one.holders
    columns = list(zip(*(one.attributes for one in subset), strict=True))
    return shared != 0 and all("" not in column and len(set(column)) == len(column) for column in columns)


@settings(max_examples=400, deadline=None)
@given(candidates, st.integers(1, 4))
def test_the_set_is_the_first_of_all_sets(found, count):
    expected = next((s for s in itertools.combinations(found, count) if together(s)), ())
    assert first_set(found, count) == tuple(one.index for one in expected)


def test_without_attributes_the_first_ones_go_together():
    found = [Candidate(i, (), holders) for i, holders in enumerate([0b01, 0b10, 0b11, 0b10])]
    assert first_set(found, 2) == (0, 2)
    assert first_set(found, 3) == (1, 2, 3)
    assert first_set(found, 4) == ()


@pytest.mark.parametrize("count", range(1, 10))
def test_a_search_ends(count):
    # Ten providers and ten sites, and nothing that gives more than eight: the worst that 200 targets can do.
    rows = [(f"p{i % 8}", f"s{(i * 7) % 11}", f"r{(i * 3) % 13}") for i in range(200)]
    found = [Candidate(i, row, 1 << (i % 5)) for i, row in enumerate(rows)]
    chosen = first_set(found, count)
    assert len(chosen) in (0, count)


def test_a_search_that_would_not_end_gives_up_with_a_refusal(monkeypatch):
    found = [Candidate(i, (f"p{i % 9}", f"s{i % 9}"), -1) for i in range(200)]
    search = _Search(found, 9)
    assert len(search.run()) == 9
    monkeypatch.setattr("sovbroker.policy.ranking.STEPS", 5)
    assert search.run() == ()
    assert STEPS > 1000


def test_at_equal_trust_the_place_where_less_must_be_done_comes_first(world):
    text = """
sovbroker: 1
levels: [public]
zones: {home: {controlled: [EEA]}, anywhere: {}}
require:
  public: {store: {anywhere: {}}}
  personal: {store: {home: {}, anywhere: {encrypt: client}}}
prefer: [zone, cost]
"""
    targets = [world.target("a/us", "FR", "US", cost="1"), world.target("b/fr", "FR", "FR", cost="2")]
    policy = policies.loads(text, targets=targets, at=world.now, clock=lambda: world.now)
    assert [c.target for c in policy.decide("x", label="public+personal").targets] == ["b/fr"]
    assert [c.target for c in policy.decide("x", label="public").targets] == ["a/us"]
