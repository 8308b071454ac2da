"""Pattern inclusion: against every key over a small alphabet, and against drawn keys."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.policy.glob import Glob, normal
from sovbroker.policy.inclusion import Undecided, includes, witness

KEYS = ["".join(key) for length in range(7) for key in itertools.product("ab/", repeat=length)]
"""Every key of up to 6 characters: longer than what tells two of the patterns below apart."""

segments = st.sampled_from(["a", "b", "*", "**", "?", "a*", "*b", "ab", "?*", "*a*"])
patterns = st.lists(segments, min_size=1, max_size=3).map("/".join)


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ("**", "a/**/b?*", True),
        ("a/**", "a/b", True),
        ("a/**", "a", False),
        ("a/**", "a/", None),
        ("a/*", "a/**", False),
        ("a/**/c", "a/b/**/c", True),
        ("a/b/**/c", "a/**/c", False),
        ("**/*.csv", "x/**/y.csv", True),
        ("**/*.csv", "*.csv", True),
        ("*.csv", "**/*.csv", False),
        ("a?", "ab", True),
        ("a?", "a*", False),
        ("a*", "a?*", True),
        ("?*", "*", False),
        ("**/x/**", "a/*/x/b", True),
        ("**/**", "**", True),
        ("a/**", "a/**/**", True),
        ("é/**", "e\u0301/x", True),
        ("*é*", "**/é", False),
    ],
)
def test_inclusion_is_what_the_patterns_say(outer, inner, expected):
    if expected is None:
        with pytest.raises(ValueError, match="empty segment"):
            Glob(inner)
        return
    assert includes(Glob(outer), Glob(inner)) is expected


@settings(max_examples=400, deadline=None)
@given(outer=patterns, inner=patterns)
def test_inclusion_agrees_with_trying_every_short_key(outer, inner):
    outside = [key for key in KEYS if Glob(inner).matches(key) and not Glob(outer).matches(key)]
    found = includes(Glob(outer), Glob(inner))
    # A key with a character of neither pattern (`c`) may be needed too, which the short keys do not have.
    if found:
        assert outside == []
    else:
        key = witness([Glob(inner)], [Glob(outer)])
        assert key is not None
        assert Glob(inner).matches(key)
        assert not Glob(outer).matches(key)
        assert not outside or len(key) <= min(map(len, outside))


@settings(max_examples=300, deadline=None)
@given(outer=patterns, inner=patterns, data=st.data())
def test_what_is_included_matches_every_drawn_key(outer, inner, data):
    inside = data.draw(st.from_regex(Glob(inner).regex, fullmatch=True).filter(lambda key: key == normal(key)))
    if includes(Glob(outer), Glob(inner)):
        assert Glob(outer).matches(inside)


@settings(max_examples=300, deadline=None)
@given(st.lists(patterns, min_size=1, max_size=3), st.lists(patterns, max_size=2))
def test_a_witness_is_a_shortest_key_that_all_match_and_no_other_does(inside, outside):
    def fits(key):
        return all(Glob(p).matches(key) for p in inside) and not any(Glob(p).matches(key) for p in outside)

    key = witness(list(map(Glob, inside)), list(map(Glob, outside)))
    short = next((k for k in KEYS if fits(k)), None)
    if key is None:
        assert short is None
    else:
        assert fits(key)
        assert short is None or len(key) <= len(short)
    tidy = witness(list(map(Glob, inside)), list(map(Glob, outside)), tidy=True)
    if tidy is None:
        assert not any(fits(k) and "" not in k.split("/") for k in KEYS)
    else:
        assert fits(tidy)
        assert "" not in tidy.split("/")


def test_a_walk_that_grows_too_large_is_given_up():
    wide = [Glob(f"*{letter}{'?' * 15}") for letter in "abcdefg"]
    with pytest.raises(Undecided):
        witness([*wide, Glob("*h" + "?" * 18)], [Glob("**")])
    assert includes(Glob("*a" + "?" * 17 + "b*"), Glob("*a" + "?" * 16 + "b*")) is None


def test_a_key_that_a_walk_finds_is_one_that_a_person_could_have_written():
    assert witness([Glob("hr/legacy/**")], tidy=True) == "hr/legacy/x"
    assert witness([Glob("hr/**"), Glob("**/*.csv")], tidy=True) == "hr/.csv"
    assert witness([Glob("hr/**")], [Glob("**/x")], tidy=True) == "hr/y"
    assert witness([Glob("a/**"), Glob("b/**")]) is None
