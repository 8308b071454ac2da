import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.policy.classify import Classifier, Entry
from sovbroker.policy.glob import Glob


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("hr/**", ["hr/a", "hr/a/b", "hr/", "hr//a", "hr/\n"], ["hr", "hrx/a", "x/hr/a", "HR/a"]),
        ("**", ["a", "a/b", "", "/"], []),
        ("**/*.csv", ["a.csv", "a/b.csv", ".csv", "/.csv"], ["a.csv/b", "a.CSV", "acsv", "csv", "a/csv"]),
        ("*.csv", ["a.csv"], ["a/b.csv"]),
        ("a/*/c", ["a/b/c", "a//c"], ["a/c", "a/b/b/c"]),
        ("a/**/c", ["a/c", "a/b/c", "a/b/b/c", "a/c/c"], ["ac", "a/bc", "b/a/c"]),
        ("**/x/**", ["x/a", "a/x/b", "a/x/"], ["x", "a/x", "ax/b"]),
        ("a?c", ["abc", "aéc", "ae\u0301c"], ["ac", "a/c", "abbc"]),
        ("a/b", ["a/b"], ["a/b/", "/a/b", "a/B"]),
        ("**/a*b*c", ["aXbYc", "z/abc", "abcbc"], ["abca", "ab/c"]),
        ("a.c", ["a.c"], ["abc"]),
        ("**/n", ["n", "a/n"], ["an", "n/a"]),
        ("**/b/**/d/**/c", ["b/d/b/c", "b/d/c"], ["d/b/c", "b/c/d"]),
        ("*a*b*c/x", ["abac/x", "aabbc/x"], ["acb/x"]),
        ("a/**/b/**/c", ["a/b/c", "a/x/b/y/c", "a/b/b/c/c"], ["a/c/b", "a/b"]),
        ("r\u00e9sum\u00e9/**", ["re\u0301sume\u0301/a", "r\u00e9sum\u00e9/a"], ["resume/a"]),
    ],
)
def test_a_pattern_means_what_the_documentation_says(pattern, yes, no):
    classifier = Classifier([Entry("r", 1, Glob(pattern))])
    for key in yes:
        assert Glob(pattern).matches(key), key
        assert classifier.bits(key) == 1, key
    for key in no:
        assert not Glob(pattern).matches(key), key
        assert classifier.bits(key) == 0, key


@pytest.mark.parametrize(
    "pattern", ["/a", "a/", "a//b", "", "a**", "**a", "a/b**/c", "a[bc]", "{a,b}", "!a", "a\\*", "***", "a/***"]
)
def test_what_is_not_a_pattern_is_refused(pattern):
    with pytest.raises(ValueError, match="`"):
        Glob(pattern)


segments = st.sampled_from(
    ["a", "b", "ab", "*", "?", "**", "*b", "a*", "a*b", "*.c", "*.b.c", "*c", "x.c", "é", "*a*b*"]
)
patterns = st.lists(segments, min_size=1, max_size=4).map("/".join)
keys = st.lists(
    st.sampled_from(["a", "b", "ab", "aab", "", "x.c", "x.b.c", "c", "é", "é", ".c", "aXbYb"]), max_size=5
).map("/".join)


@settings(max_examples=600, deadline=None)
@given(pattern=patterns, key=st.one_of(keys, st.text("ab./c", max_size=8)))
def test_a_pattern_matches_what_the_reference_matches(pattern, key, reference_glob):
    assert Glob(pattern).matches(key) == reference_glob(pattern, key)


@settings(max_examples=500, deadline=None)
@given(st.lists(patterns, max_size=12), st.lists(keys, min_size=1, max_size=5))
def test_the_matcher_finds_exactly_what_each_pattern_matches(found, names):
    entries = [Entry(f"r{i}", 1 << i, Glob(pattern)) for i, pattern in enumerate(found)]
    classifier = Classifier(entries)
    for key in names:
        expected = [entry for entry in entries if entry.path is not None and entry.path.matches(key)]
        assert list(classifier.matches(key, {})) == expected
        assert classifier.bits(key) == sum(entry.bits for entry in expected)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_key_can_be_classified(key):
    entries = [Entry(p, 1 << i, Glob(p)) for i, p in enumerate(["**/*.a", "a/*/b", "**/x/**", "**", "**/*~", "*"])]
    classifier = Classifier(entries)
    assert classifier.bits(key) == sum(entry.bits for entry in classifier.matches(key, {}))


def test_many_stars_take_no_time_to_fail():
    # A backtracking matcher would need more steps than there are atoms.
    assert not Glob("*a" * 60 + "b").matches("a" * 1024)
    assert not Glob("**/" * 60 + "b").matches("a/" * 1024 + "a")
    assert not Glob("**/a/" * 60 + "**/b").matches("a/" * 1024 + "a")


def test_metadata_rules_need_every_pair_and_the_path():
    both = Entry("both", 1, Glob("a/**"), (("k", "v"), ("m", "n")))
    alone = Entry("alone", 2, None, (("k", "v"),))
    classifier = Classifier([both, alone])

    def names(key, metadata):
        return [entry.name for entry in classifier.matches(key, metadata)]

    assert names("a/x", {"k": "v", "m": "n", "o": "p"}) == ["both", "alone"]
    assert names("b/x", {"k": "v", "m": "n"}) == ["alone"]
    assert names("a/x", {"k": "v"}) == ["alone"]
    assert names("a/x", {"k": "V", "m": "n"}) == []
    assert names("a/x", {}) == []
    assert classifier.bits("a/x") == 0
