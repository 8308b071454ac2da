import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.envelope import CHUNK, HEAD, TAG, Opener, Sealer, plain_size, sealed_size, span
from sovbroker.errors import InvalidArgument, Tampered

UNIT = CHUNK + TAG


@pytest.mark.parametrize(
    ("size", "sealed"),
    [(0, 72), (1, 73), (16383, 56 + 16399), (16384, 56 + 16400 + 16), (16385, 56 + 16400 + 17)],
)
def test_sizes_by_hand(size, sealed):
    assert sealed_size(size) == sealed
    assert plain_size(sealed) == size


@given(st.integers(0, 1 << 51))
@settings(deadline=None)
def test_sizes_are_each_others_inverse(size):
    assert plain_size(sealed_size(size)) == size


@pytest.mark.parametrize("size", [-1, 0, 55, 56, 71, 56 + UNIT, 56 + UNIT + 15, 56 + 7 * UNIT, 56 + 7 * UNIT + 1])
def test_no_envelope_has_this_size(size):
    with pytest.raises(Tampered):
        plain_size(size)


def test_every_other_size_is_one():
    good = {sealed_size(n) for n in range(3 * CHUNK)}
    for size in range(sealed_size(3 * CHUNK)):
        if size not in good:
            with pytest.raises(Tampered):
                plain_size(size)


def test_a_size_beyond_the_format_is_refused():
    assert sealed_size((1 << 38) * CHUNK - 1) > 0
    for size in (-1, (1 << 38) * CHUNK):
        with pytest.raises(InvalidArgument):
            sealed_size(size)
    with pytest.raises(Tampered):
        plain_size(HEAD + (1 << 38) * UNIT + TAG)


@pytest.mark.parametrize("size", [1, 100, 16383, 16384, 16385, 32768, 50000])
def test_a_range_reads_what_the_slice_reads(size, dek, context, plain):
    data = plain(size)
    body = Sealer(dek, context).seal(data)
    opener = Opener(dek, context, body[:HEAD])
    edges = sorted({e + d for e in (0, 16384, 32768, size) for d in (-101, -100, -1, 0, 1) if 0 <= e + d < size})
    for first in edges:
        for last in edges:
            if last < first:
                continue
            s = span(first, last, size=size)
            assert 0 <= s.cipher_first <= s.cipher_last < len(body)
            out = bytearray(s.cipher_last - s.cipher_first + 1)
            opener.open_into(body[s.cipher_first : s.cipher_last + 1], out, first_chunk=s.first_chunk, final=s.final)
            assert out[s.skip : s.skip + s.take] == data[first : last + 1]


@given(first=st.integers(0, 1 << 40), length=st.integers(1, 100), extra=st.integers(0, 1 << 40))
@settings(deadline=None)
def test_a_hundred_bytes_cost_one_small_request(first, length, extra):
    size = first + length + extra
    s = span(first, first + length - 1, size=size)
    within_one = first // CHUNK == (first + length - 1) // CHUNK
    assert s.cipher_last - s.cipher_first + 1 <= (16_456 if within_one else 32_800)
    assert s.cipher_last < sealed_size(size)
    assert s.take == length


def test_a_range_is_cut_at_the_end():
    assert span(5, 1 << 60, size=10) == span(5, 9, size=10)


@pytest.mark.parametrize(("first", "last", "size"), [(-1, 3, 9), (4, 3, 9), (9, 9, 9), (0, 0, 0)])
def test_a_range_that_means_nothing_is_refused(first, last, size):
    with pytest.raises(InvalidArgument):
        span(first, last, size=size)
