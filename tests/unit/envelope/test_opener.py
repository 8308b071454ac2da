import copy
import pickle
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.envelope import CHUNK, HEAD, TAG, Opener, Sealer
from sovbroker.errors import InvalidArgument, Tampered

UNIT = CHUNK + TAG
MARK = 0xAA


def attempt(dek, context, body):
    """Open a whole body; return what was left in the buffer when it failed."""
    out = bytearray([MARK]) * (len(body) + CHUNK)
    with pytest.raises(Tampered):
        Opener(dek, context, body[:HEAD]).open(body)
    try:
        opener = Opener(dek, context, body[:HEAD])
    except Tampered:
        return out
    with pytest.raises(Tampered):
        opener.open_into(body[HEAD:], out, first_chunk=0, final=True)
    return out


def assert_nothing_released(out, plain):
    assert set(out) <= {0, MARK}
    assert all(plain[at : at + 8] not in out for at in range(0, len(plain) - 8, 8)) or set(plain) <= {0}


@pytest.mark.parametrize("size", [0, 1, 100])
def test_any_flipped_byte_of_a_small_object(size, dek, context, plain):
    body = Sealer(dek, context).seal(plain(size))
    for at in range(len(body)):
        for bit in (0x01, 0x80):
            damaged = bytearray(body)
            damaged[at] ^= bit
            assert_nothing_released(attempt(dek, context, damaged), plain(size))


@pytest.mark.parametrize("chunks", [2, 6])
def test_flipped_bytes_at_the_edges_of_chunks(chunks, dek, context, plain):
    """Two chunks open by number, six in the native class: both wipe what they had opened before."""
    data = plain(chunks * CHUNK + 5)
    body = Sealer(dek, context).seal(data)
    edges = {HEAD + c * UNIT + d for c in range(chunks + 1) for d in (-TAG - 1, -TAG, -1, 0, 1, 8191)}
    for at in sorted(e for e in edges if HEAD <= e < len(body)):
        damaged = bytearray(body)
        damaged[at] ^= 0x10
        out = attempt(dek, context, damaged)
        assert not any(out[: len(data)])
        assert set(out[len(data) :]) == {MARK}


@pytest.mark.parametrize("size", [0, 1, 100])
def test_truncated_at_any_length(size, dek, context, plain):
    body = Sealer(dek, context).seal(plain(size))
    for length in range(len(body)):
        attempt(dek, context, body[:length])


def test_truncated_or_extended_at_the_edges_of_chunks(dek, context, plain):
    body = Sealer(dek, context).seal(plain(5 * CHUNK + 5))
    for chunk in range(6):
        for d in (-17, -16, -1, 0, 1, 15, 16, 17):
            length = HEAD + chunk * UNIT + d
            if length < len(body):
                attempt(dek, context, body[:length])
    for extra in (b"\0", bytes(16), bytes(UNIT), body[HEAD : HEAD + UNIT], body[-21:]):
        attempt(dek, context, body + extra)


def test_chunks_swapped_repeated_or_left_out(dek, context, plain):
    body = bytes(Sealer(dek, context).seal(plain(5 * CHUNK + 5)))
    head, units = body[:HEAD], [body[HEAD + c * UNIT : HEAD + (c + 1) * UNIT] for c in range(6)]
    for a in range(5):
        for b in range(a):
            swapped = units.copy()
            swapped[a], swapped[b] = swapped[b], swapped[a]
            attempt(dek, context, head + b"".join(swapped))
        attempt(dek, context, head + b"".join(units[:a] + units[a + 1 :]))
        attempt(dek, context, head + b"".join([*units[: a + 1], *units[a:]]))


def test_bodies_and_heads_swapped_between_objects(dek, context, plain):
    """Even two objects under one key, which never happens, cannot lend each other chunks."""
    one, other = Sealer(dek, context).seal(plain(100)), Sealer(dek, context).seal(plain(100))
    attempt(dek, context, one[:HEAD] + other[HEAD:])
    with pytest.raises(Tampered):
        Opener(dek, context, one[:HEAD]).open(other)
    attempt(bytes(32), context, one)
    with pytest.raises(Tampered):
        Opener(dek, context, one[:24] + other[24:HEAD])
    for at in (0, 30, HEAD - 1):
        damaged = bytearray(one)
        damaged[at] ^= 1
        with pytest.raises(Tampered):
            Opener(dek, context, one[:HEAD]).open(damaged)


def test_the_last_chunk_is_not_another_and_no_other_is_the_last(dek, context, plain):
    body = Sealer(dek, context).seal(plain(2 * CHUNK + 7))
    opener = Opener(dek, context, body[:HEAD])
    out = bytearray(4 * CHUNK)
    last = body[HEAD + 2 * UNIT :]
    for data, first, final in (
        (body[HEAD : HEAD + UNIT], 0, True),
        (body[HEAD : HEAD + 2 * UNIT], 0, True),
        (last, 2, False),
        (body[HEAD:], 0, False),
        (last, 1, True),
        (last, 3, True),
        (body[HEAD : HEAD + UNIT], 1, False),
        (body[HEAD : HEAD + UNIT - 1], 0, True),
        (b"", 3, True),
        (last[:15], 2, True),
    ):
        with pytest.raises(Tampered):
            opener.open_into(data, out, first_chunk=first, final=final)
    for first in (-1, 1 << 38):
        with pytest.raises(Tampered):
            opener.open_into(last, out, first_chunk=first, final=True)
    assert not any(out)
    assert opener.open_into(last, out, first_chunk=2, final=True) == 7
    assert opener.open_into(b"", out, first_chunk=2, final=False) == 0


@pytest.mark.parametrize("chunks", [2, 6])
def test_an_object_of_whole_chunks_ends_with_an_empty_one(chunks, dek, context, plain):
    """Leaving the empty chunk out would be a truncation that nobody sees."""
    body = Sealer(dek, context).seal(plain(chunks * CHUNK))
    attempt(dek, context, body[:-TAG])
    assert Opener(dek, context, body[:HEAD]).open(body) == plain(chunks * CHUNK)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_run_of_chunks_opens_alone(data, dek, context, plain):
    size = data.draw(st.integers(0, 9 * CHUNK))
    body = Sealer(dek, context).seal(plain(size))
    opener, last = Opener(dek, context, body[:HEAD]), size // CHUNK
    for _ in range(4):
        low = data.draw(st.integers(0, last))
        high = data.draw(st.integers(low, last))
        out = bytearray((high - low + 1) * CHUNK)
        sealed = body[HEAD + low * UNIT : HEAD + (high + 1) * UNIT]
        count = opener.open_into(sealed, out, first_chunk=low, final=high == last)
        assert out[:count] == plain(size)[low * CHUNK : (high + 1) * CHUNK]


def test_a_failure_leaves_the_opener_usable(dek, context, plain):
    data = plain(20 * CHUNK)
    body = Sealer(dek, context).seal(data)
    opener = Opener(dek, context, body[:HEAD])
    out = bytearray(20 * CHUNK)
    part = body[HEAD : HEAD + 8 * UNIT]
    opener.open_into(part, out, first_chunk=0, final=False)
    damaged = bytearray(body[HEAD + 8 * UNIT : HEAD + 16 * UNIT])
    damaged[5 * UNIT] ^= 1
    with pytest.raises(Tampered):
        opener.open_into(damaged, out, first_chunk=8, final=False)
    damaged[5 * UNIT] ^= 1
    assert opener.open_into(damaged, out, first_chunk=8, final=False) == 8 * CHUNK
    assert out[: 8 * CHUNK] == data[8 * CHUNK : 16 * CHUNK]


def test_several_threads_open_at_once(dek, context, plain):
    data = plain(64 * CHUNK + 1)
    body = Sealer(dek, context).seal(data)
    opener = Opener(dek, context, body[:HEAD])
    good = []

    def work():
        out = bytearray(8 * CHUNK)
        for first in range(0, 64, 8):
            sealed = body[HEAD + first * UNIT : HEAD + (first + 8) * UNIT]
            opener.open_into(sealed, out, first_chunk=first, final=False)
            good.append(out == data[first * CHUNK : (first + 8) * CHUNK])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert good == [True] * 32


@pytest.mark.parametrize("length", [0, 24, 55, 57])
def test_a_head_has_56_bytes(length, dek, context):
    with pytest.raises(Tampered):
        Opener(dek, context, bytes(length))


def test_a_buffer_that_is_too_small_is_refused(dek, context, plain):
    body = Sealer(dek, context).seal(plain(100))
    with pytest.raises(InvalidArgument, match="100 bytes"):
        Opener(dek, context, body[:HEAD]).open_into(body[HEAD:], bytearray(99), first_chunk=0, final=True)


def test_an_opener_does_not_travel(dek, context):
    opener = Opener(dek, context, Sealer(dek, context).head)
    for travel in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            travel(opener)


def test_the_error_tells_nothing_but_that_it_is_wrong(dek, context, plain):
    body = Sealer(dek, context).seal(plain(100))
    messages = set()
    for at in (0, 30, 60, 160):
        damaged = bytearray(body)
        damaged[at] ^= 1
        with pytest.raises(Tampered) as caught:
            Opener(dek, context, damaged[:HEAD]).open(damaged)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        messages.add(str(caught.value))
    assert len(messages) == 1
