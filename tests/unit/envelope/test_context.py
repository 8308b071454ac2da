import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.envelope import Context
from sovbroker.errors import InvalidArgument

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
CONTEXTS = st.builds(Context, TEXT, TEXT, TEXT, TEXT)


def test_the_bytes_are_as_the_format_says():
    expected = b"sovbroker context 1"
    for field in ("d", "k/é", "", "l"):
        data = field.encode()
        expected += struct.pack(">I", len(data)) + data
    assert Context("d", "k/é", "", "l").encode() == expected


@given(CONTEXTS, CONTEXTS)
@settings(deadline=None, max_examples=300)
def test_two_contexts_never_share_bytes(one, other):
    assert (one.encode() == other.encode()) == (one == other)


def test_moving_a_character_across_a_border_changes_the_bytes():
    assert Context("ab", "c", "d", "e").encode() != Context("a", "bc", "d", "e").encode()
    assert Context("a", "b", "cd", "").encode() != Context("a", "b", "c", "d").encode()


def test_text_without_utf8_is_refused():
    with pytest.raises(InvalidArgument, match="udc80"):
        Context("d", "k\udc80", "v", "l").encode()


def test_without_label_changes_nothing_else():
    assert Context("d", "k", "v", "l").without_label() == Context("d", "k", "v", "")
