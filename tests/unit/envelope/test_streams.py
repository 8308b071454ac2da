import io
import pickle

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.envelope import CHUNK, HEAD, TAG, Opener, OpeningReader, Sealer, SealingReader, sealed_size
from sovbroker.errors import SealError, Tampered, Unavailable

BLOCK = 64 * CHUNK
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 5]


class Short:
    """A source that only has `read`, and gives less than it is asked for."""

    def __init__(self, data, step):
        self.file, self.step = io.BytesIO(data), step

    def read(self, size=-1):
        return self.file.read(min(size, self.step) if size >= 0 else self.step)


class Failing:
    """A source that breaks off after `data`."""

    def __init__(self, data):
        self.file = io.BytesIO(data)

    def read(self, size=-1):
        data = self.file.read(size)
        if not data:
            raise Unavailable("the connection was reset")
        return data


def opening(source, dek, context):
    return OpeningReader(source, lambda head: Opener(dek, context, head))


def read_until_error(reader):
    given_out = b""
    try:
        while True:
            piece = reader.read(1 << 16)
            if not piece:
                return given_out, None
            given_out += piece
    except SealError as error:
        return given_out, error


def native_open(dek, context, body):
    d = Cobblestone256Decryptor(dek, context.encode())
    return d.update(bytes(body)) + d.finalize()


@pytest.mark.parametrize("size", SIZES)
def test_what_is_read_is_the_envelope(size, dek, context, plain):
    sealer = Sealer(dek, context)
    reader = SealingReader(io.BytesIO(plain(size)), sealer)
    assert reader.head == sealer.head
    body = reader.read()
    assert len(body) == sealed_size(size)
    assert body[:HEAD] == sealer.head
    assert native_open(dek, context, body) == plain(size)
    assert reader.read() == reader.read(5) == b""
    assert opening(io.BytesIO(body), dek, context).read() == plain(size)


@given(
    size=st.sampled_from([0, 5, CHUNK, BLOCK, BLOCK + 7]),
    step=st.integers(1000, 3 * CHUNK),
    reads=st.lists(st.integers(20_000, 2 * BLOCK), min_size=1, max_size=5),
)
@settings(max_examples=40, deadline=None)
def test_any_way_of_reading_gives_the_same(size, step, reads, *, dek, context, plain):
    def drain(reader):
        pieces = []
        for turn in range(100_000):
            count = reads[turn % len(reads)]
            if turn % 2:
                buffer = bytearray(count)
                piece = bytes(buffer[: reader.readinto(buffer)])
            else:
                piece = reader.read(count)
            assert len(piece) <= count
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
        raise AssertionError

    body = drain(SealingReader(Short(plain(size), step), Sealer(dek, context)))
    assert native_open(dek, context, body) == plain(size)
    assert drain(opening(Short(body, step), dek, context)) == plain(size)


def test_it_can_be_buffered(dek, context, plain):
    lines = b"one\ntwo\nthree"
    body = Sealer(dek, context).seal(lines)
    assert list(io.BufferedReader(opening(io.BytesIO(body), dek, context))) == [b"one\n", b"two\n", b"three"]
    assert list(io.TextIOWrapper(io.BufferedReader(opening(io.BytesIO(body), dek, context)))) == [
        "one\n",
        "two\n",
        "three",
    ]


@pytest.mark.parametrize("size", [0, 5, CHUNK, BLOCK + 5])
def test_truncation_is_told_before_the_end(size, dek, context, plain):
    body = bytes(Sealer(dek, context).seal(plain(size)))
    edges = {len(body) - d for d in (1, TAG, TAG + 1)} | {0, 1, HEAD - 1, HEAD, HEAD + 1, HEAD + TAG}
    edges |= {HEAD + c * (CHUNK + TAG) + d for c in (1, 64) for d in (-1, 0, 1, TAG)}
    for length in sorted(e for e in edges if 0 <= e < len(body)):
        reader = opening(io.BytesIO(body[:length]), dek, context)
        given_out, error = read_until_error(reader)
        assert isinstance(error, Tampered)
        assert plain(size).startswith(given_out)
        for _ in range(2):
            with pytest.raises(Tampered):
                reader.read(1)


def test_a_damaged_block_gives_nothing(dek, context, plain):
    body = Sealer(dek, context).seal(plain(2 * BLOCK))
    body[HEAD + 70 * (CHUNK + TAG)] ^= 1
    reader = opening(io.BytesIO(body), dek, context)
    buffer = bytearray(BLOCK)
    assert reader.readinto(buffer) == BLOCK
    assert buffer == plain(BLOCK)
    with pytest.raises(Tampered):
        reader.readinto(buffer)
    assert not any(buffer)
    with pytest.raises(SealError):
        reader.read()


def test_data_behind_the_end_is_refused(dek, context, plain):
    body = Sealer(dek, context).seal(plain(5))
    with pytest.raises(Tampered):
        opening(io.BytesIO(body + b"x"), dek, context).read()


@pytest.mark.parametrize("size", [0, 5, BLOCK + 5])
def test_a_source_that_fails_is_never_a_short_object(size, dek, context, plain):
    reader = SealingReader(Failing(plain(size)), Sealer(dek, context))
    for _ in range(3):
        with pytest.raises(Unavailable):
            reader.read()
    body = Sealer(dek, context).seal(plain(size))
    reader = opening(Failing(body[:-1]), dek, context)
    for _ in range(3):
        with pytest.raises(Unavailable):
            reader.read()


def test_buffers_are_overwritten_and_the_source_left_open(dek, context, plain):
    source = io.BytesIO(plain(100))
    reader = SealingReader(source, Sealer(dek, context))
    reader.read(1)
    held = reader._input
    assert any(held)
    reader.close()
    assert not any(held)
    reader.close()
    assert not source.closed
    for use in (lambda: reader.read(1), lambda: reader.readinto(bytearray(1)), reader.read):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_reading_nothing_reads_nothing(dek, context):
    reader = SealingReader(io.BytesIO(b"abc"), Sealer(dek, context))
    assert reader.read(0) == b""
    assert reader.readinto(bytearray()) == 0
    assert reader.readable()
    assert not reader.seekable()
    with pytest.raises(TypeError):
        pickle.dumps(reader)
