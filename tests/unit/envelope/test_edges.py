"""What mutants of the envelope got away with: limits to the byte, and paths that one more step takes."""

import io

import pytest

from sovbroker.envelope import (
    CHUNK,
    HEAD,
    TAG,
    ClearRecord,
    Context,
    Opener,
    OpeningReader,
    Record,
    Sealer,
    new_dek,
    seal_metadata,
    sealed_size,
)
from sovbroker.envelope.layout import CHUNKS_MAX
from sovbroker.envelope.metadata import is_sealed_metadata
from sovbroker.errors import InvalidArgument, SealError, Tampered, UnknownFormat

UNIT = CHUNK + TAG


@pytest.mark.parametrize("step", [1, 7, 55])
def test_a_head_that_comes_in_drops_is_put_together(step, dek, context, plain):
    """And no byte beyond it is asked for: it would be missing from the first chunk."""
    body = bytes(Sealer(dek, context).seal(plain(3 * CHUNK + 5)))

    class Drops:
        at = 0

        def read(self, size=-1):
            assert self.at >= HEAD or self.at + size <= HEAD
            data = body[self.at : self.at + min(size, step if self.at < HEAD else size)]
            self.at += len(data)
            return data

    assert OpeningReader(Drops(), lambda head: Opener(dek, context, head)).read() == plain(3 * CHUNK + 5)


def test_going_back_after_going_forward(dek, context, plain):
    """The fast way only goes forward: what is opened again, or out of turn, must not be opened by it."""
    data = plain(40 * CHUNK)
    body = Sealer(dek, context).seal(data)
    opener = Opener(dek, context, body[:HEAD])

    def part(first, count):
        out = bytearray(count * CHUNK)
        opener.open_into(body[HEAD + first * UNIT :][: count * UNIT], out, first_chunk=first, final=False)
        assert out == data[first * CHUNK :][: count * CHUNK]

    for first, count in ((0, 8), (8, 8), (0, 8), (2, 5), (16, 8), (8, 8), (24, 4), (0, 40)):
        part(first, count)


def test_the_last_chunk_that_there_can_be(dek, context):
    sealer = Sealer(dek, context)
    out = bytearray(TAG)
    assert sealer.seal_into(b"", out, first_chunk=CHUNKS_MAX - 1, final=True) == TAG
    assert Opener(dek, context, sealer.head).open_into(out, bytearray(), first_chunk=CHUNKS_MAX - 1, final=True) == 0
    with pytest.raises(InvalidArgument):
        Sealer(dek, context).seal_into(b"", out, first_chunk=CHUNKS_MAX, final=True)
    with pytest.raises(Tampered):
        Opener(dek, context, sealer.head).open_into(out, bytearray(), first_chunk=CHUNKS_MAX, final=True)


def test_a_refusal_names_the_chunk(dek, context, plain):
    sealer = Sealer(dek, context)
    out = bytearray(sealed_size(8 * CHUNK))
    sealer.seal_into(plain(2 * CHUNK), out, first_chunk=2, final=False)
    with pytest.raises(SealError, match="chunk 3 was sealed already"):
        sealer.seal_into(plain(CHUNK), out, first_chunk=3, final=False)
    with pytest.raises(SealError, match="chunk 2 was sealed already"):
        sealer.seal_into(plain(3 * CHUNK), out, first_chunk=1, final=False)
    sealer.seal_into(plain(2 * CHUNK), out, first_chunk=6, final=False)
    with pytest.raises(SealError, match="chunk 6 was sealed already"):
        sealer.seal_into(plain(3 * CHUNK), out, first_chunk=5, final=False)
    with pytest.raises(SealError, match="chunk 7 was sealed already"):
        sealer.seal_into(plain(CHUNK), out, first_chunk=7, final=False)
    with pytest.raises(SealError, match="chunk 1 cannot be the last"):
        sealer.seal_into(b"", out, first_chunk=1, final=True)


@pytest.mark.parametrize("size", [0, 11, 28, 60, 91, 93, 155])
def test_sizes_that_no_sealed_metadata_have(size):
    assert not is_sealed_metadata(bytes(size))
    assert is_sealed_metadata(bytes(12 + 64 + 16))


def test_a_record_fits_a_limit_to_the_byte():
    record = ClearRecord({"key": "a", "user": {"name": "x" * 200}})
    whole = len(Record.NAME) + len(record.encode())
    assert record.split(whole) == (record.encode(), None)
    entry, sidecar = record.split(whole - 1)
    assert ClearRecord.join(entry, sidecar) == record
    least = len(Record.NAME) + len(entry)
    assert record.split(least)[0] == entry
    with pytest.raises(InvalidArgument, match=f"takes {least - 1} bytes of metadata, a record needs {least}"):
        record.split(least - 1)
    assert ClearRecord(None).split(0) == (ClearRecord(None).encode(), None)


@pytest.mark.parametrize("text", ["1c~e30~e30", "1c~", "1c~" + "A" * (1 << 21), "nothing~e30"])
def test_what_is_no_record_of_a_copy_in_the_clear(text):
    with pytest.raises(UnknownFormat):
        ClearRecord.decode(text)


def test_a_reader_that_cannot_be_read_into_gives_the_same(dek, context, plain):
    class Plain:
        def __init__(self, data):
            self._file = io.BytesIO(data)

        def read(self, size=-1):
            return self._file.read(size)

    data = plain(70 * CHUNK + 9)
    body = bytes(Sealer(dek, context).seal(data))
    assert OpeningReader(Plain(body), lambda head: Opener(dek, context, head)).read() == data


def test_records_of_one_envelope_may_differ_in_the_wrapping_alone():
    """Another head or other metadata are another envelope, whoever may unwrap its key."""
    one = Record("kid", "a.b", bytes(HEAD), b"")
    assert one.same_but_wrapped(Record("other", "c.d", bytes(HEAD), b""))
    assert not one.same_but_wrapped(Record("kid", "a.b", b"\1" * HEAD, b""))
    sealed = seal_metadata(new_dek(), Context(domain="d", key="k", version="v", label="l"), {})
    assert not one.same_but_wrapped(Record("kid", "a.b", bytes(HEAD), sealed))
    assert not Record("kid", "a.b", b"\1" * HEAD, sealed).same_but_wrapped(one)
