import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.errors import InvalidArgument
from sovbroker.labels import Category, Label, Lattice

LEVELS = ["public", "internal", "confidential", "restricted"]
CATEGORIES = {
    "personal": Category("personal", minimum="internal"),
    "special": Category("special", frozenset({"personal"})),
    "health": Category("health", frozenset({"special"}), "confidential"),
    "dr": Category("dr"),
    "loop": Category("loop", frozenset({"pool"})),
    "pool": Category("pool", frozenset({"loop"})),
}
LATTICE = Lattice(LEVELS, CATEGORIES, {"sante": "health", "secret médical": "restricted+health"})

labels = st.builds(
    lambda level, categories: LATTICE.label(LATTICE.mask(Label(level, frozenset(categories)))),
    st.sampled_from(LEVELS),
    st.lists(st.sampled_from(list(CATEGORIES)), max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(labels, labels, labels)
def test_labels_are_a_lattice(a, b, c):
    join = LATTICE.join
    assert join([a, a]) == a
    assert join([a, b]) == join([b, a])
    assert join([join([a, b]), c]) == join([a, join([b, c])])
    assert LATTICE.dominates(join([a, b]), a)
    assert LATTICE.dominates(a, b) == (join([a, b]) == a)
    if LATTICE.dominates(c, a) and LATTICE.dominates(c, b):
        assert LATTICE.dominates(c, join([a, b]))
    if LATTICE.dominates(a, b) and LATTICE.dominates(b, a):
        assert a == b
    if LATTICE.dominates(a, b) and LATTICE.dominates(b, c):
        assert LATTICE.dominates(a, c)


@settings(max_examples=200, deadline=None)
@given(labels, labels)
def test_masks_mirror_labels(a, b):
    assert LATTICE.label(LATTICE.mask(a)) == a
    assert LATTICE.parse(str(a)) == a
    assert LATTICE.mask(a) | LATTICE.mask(b) == LATTICE.mask(LATTICE.join([a, b]))
    assert LATTICE.dominates(a, b) == (LEVELS.index(b.level) <= LEVELS.index(a.level) and b.categories <= a.categories)


@settings(max_examples=100, deadline=None)
@given(labels, labels)
def test_a_higher_label_has_more_elements(a, b):
    if LATTICE.dominates(a, b):
        assert set(LATTICE.elements(LATTICE.mask(b))) <= set(LATTICE.elements(LATTICE.mask(a)))
    assert LATTICE.elements(LATTICE.mask(a))[0] == "public"


def test_implications_and_minimums_are_applied():
    assert str(LATTICE.parse("health")) == "confidential+health+personal+special"
    assert str(LATTICE.parse("public+personal")) == "internal+personal"
    assert str(LATTICE.parse("loop")) == "public+loop+pool"
    assert str(LATTICE.parse(" restricted + dr ")) == "restricted+dr"


def test_aliases_stand_for_a_part_or_the_whole():
    assert LATTICE.parse("restricted+sante") == LATTICE.parse("restricted+health")
    assert LATTICE.parse("secret médical") == LATTICE.parse("restricted+health")


@pytest.mark.parametrize("text", ["", "+", "restrcted", "public+restricted", "public+nothing", "public+", "Public"])
def test_what_is_not_a_label_is_refused(text):
    with pytest.raises(InvalidArgument):
        LATTICE.parse(text)


def test_a_misspelling_gets_a_suggestion():
    with pytest.raises(InvalidArgument, match="did you mean `restricted`"):
        LATTICE.parse("restrcted")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_label_or_refused(text):
    try:
        label = LATTICE.parse(text)
    except InvalidArgument:
        return
    assert LATTICE.parse(str(label)) == label


@pytest.mark.parametrize(
    ("levels", "categories"),
    [
        ([], {}),
        (["a", "a"], {}),
        (["a"], {"a": Category("a")}),
        (["a"], {"c": Category("c", frozenset({"nothing"}))}),
        (["a"], {"c": Category("c", minimum="b")}),
    ],
)
def test_a_lattice_that_contradicts_itself_is_refused(levels, categories):
    with pytest.raises(InvalidArgument):
        Lattice(levels, categories)
