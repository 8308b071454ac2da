"""Countries and their groups."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.catalogue.countries import ADEQUATE_AS_OF, COUNTRIES, GROUPS, expand
from sovbroker.errors import InvalidArgument


def test_the_groups_are_what_the_treaties_say():
    assert len(COUNTRIES) == 249
    assert len(GROUPS["EU"]) == 27
    assert GROUPS["EEA"] - GROUPS["EU"] == {"IS", "LI", "NO"}
    assert not GROUPS["adequate"] & GROUPS["EEA"]
    assert {"CH", "GB", "JP"} <= GROUPS["adequate"]
    assert not {"US", "CA", "CN"} & GROUPS["adequate"]
    assert ADEQUATE_AS_OF.year >= 2025
    assert all(group <= COUNTRIES for group in GROUPS.values())
    assert not COUNTRIES & GROUPS.keys()


def test_names_expand():
    assert expand([]) == frozenset()
    assert expand(["NO"]) == {"NO"}
    assert expand(["EEA", "CH"]) == GROUPS["EEA"] | {"CH"}


@given(st.lists(st.sampled_from(sorted(COUNTRIES | GROUPS.keys()))), st.lists(st.sampled_from(sorted(GROUPS))))
@settings(max_examples=100, deadline=None)
def test_expanding_is_a_union(some: list[str], others: list[str]):
    assert expand(some + others) == expand(some) | expand(others)
    assert expand(some) <= COUNTRIES
    assert expand(sorted(expand(some))) == expand(some)


@pytest.mark.parametrize("name", ["EAA", "fr", "France", "", "UK", "EU ", "XX"])
def test_an_unknown_name_is_refused(name: str):
    with pytest.raises(InvalidArgument, match=f"unknown country `{name}`"):
        expand(["FR", name])


def test_the_nearest_name_is_suggested():
    with pytest.raises(InvalidArgument, match="did you mean `EEA`"):
        expand(["EEAA"])
