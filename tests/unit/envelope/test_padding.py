"""The lengths of Padmé, and the bytes that bring a plaintext to one."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovbroker.envelope import TRAILER, padded_size, padding, plain_size, sealed_size, told_size
from sovbroker.envelope.padding import padme
from sovbroker.errors import InvalidArgument, Tampered

sizes = st.one_of(st.integers(0, 1 << 20), st.integers(0, 1 << 51))


@pytest.mark.parametrize(
    ("length", "padded"),
    [
        (0, 0), (1, 1), (2, 2), (3, 3), (8, 8), (9, 10), (10, 10), (11, 12), (16, 16), (17, 18), (31, 32), (32, 32),
        (33, 36), (64, 64), (65, 72), (100, 104), (128, 128), (129, 144), (1000, 1024), (1 << 20, 1 << 20),
        ((1 << 20) + 1, (1 << 20) + (1 << 15)), (10_000_000, 10_223_616),
    ],
)  # fmt: skip
def test_lengths_by_hand(length, padded):
    assert padme(length) == padded


def reference(length):
    """Algorithm 1 of the paper, with its own names and its floating logarithms; exact for small lengths."""
    if length < 2:
        return length
    e = math.floor(math.log2(length))
    s = math.floor(math.log2(e)) + 1 if e else 0
    z = e - s
    m = 2**z - 1
    return (length + m) & ~m if z > 0 else length


@given(st.integers(0, 1 << 40))
def test_it_is_the_function_of_the_paper(length):
    assert padme(length) == reference(length)


@given(sizes, st.integers(0, 1 << 30))
def test_a_longer_plaintext_is_never_padded_to_less(length, more):
    assert padme(length) <= padme(length + more)


@given(sizes)
def test_a_length_grows_by_12_percent_at_most_and_only_once(length):
    padded = padme(length)
    assert length <= padded
    assert padded * 100 <= length * 112
    assert padme(padded) == padded


@given(sizes)
def test_few_bits_of_a_length_are_left(length):
    """O(log log): of an exponent there are as many lengths as there are numbers of its own width."""
    padded = padme(max(length, 2))
    exponent = padded.bit_length() - 1
    assert padded % (1 << max(0, exponent - exponent.bit_length())) == 0


def test_there_are_few_lengths():
    count, length = 0, 1
    while length <= 1 << 40:
        count, length = count + 1, padme(length + 1)
    assert count == 1196


def test_no_length_is_below_0():
    with pytest.raises(InvalidArgument):
        padme(-1)


@given(st.integers(0, 1 << 16), st.data())
def test_padding_is_zeros_and_the_size_and_may_be_made_in_pieces(size, data):
    total = padded_size(size) - size
    whole = padding(size, first=0, count=total)
    assert whole == bytes(total - TRAILER) + size.to_bytes(8, "big")
    cuts = sorted(data.draw(st.lists(st.integers(0, total), max_size=5)))
    edges = [0, *cuts, total]
    pieces = [padding(size, first=a, count=b - a) for a, b in itertools.pairwise(edges)]
    assert b"".join(pieces) == whole


@pytest.mark.parametrize(("first", "count"), [(-1, 1), (0, -1), (0, 9), (8, 1), (9, 0)])
def test_there_is_nothing_beyond_the_padding(first, count):
    with pytest.raises(InvalidArgument, match="the padding of 0 bytes has 8"):
        padding(0, first=first, count=count)


@given(sizes)
def test_the_end_tells_the_size_and_only_that_size(size):
    sealed = sealed_size(padded_size(size))
    assert plain_size(sealed) == padded_size(size)
    assert told_size(size.to_bytes(8, "big"), sealed=sealed) == size


@pytest.mark.parametrize(
    ("last", "sealed"),
    [
        ((1000).to_bytes(8, "big"), sealed_size(1000)),
        ((1000).to_bytes(8, "big"), sealed_size(padded_size(1100))),
        (b"\xff" * 8, sealed_size(padded_size(1000))),
        (bytes(7), sealed_size(8)),
        (bytes(8), 71),
    ],
)
def test_an_end_that_contradicts_the_envelope_is_none(last, sealed):
    with pytest.raises(Tampered):
        told_size(last, sealed=sealed)
