"""Padding on its way out and back: a provider sees lengths of Padmé alone, and nobody who reads sees any of it."""

from __future__ import annotations

import io
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.catalogue import load
from sovbroker.envelope import CHUNK, HEAD, Context, Opener, Sealer, new_dek, padded_size, padding, sealed_size
from sovbroker.errors import Conflict, InvalidArgument, Tampered
from sovbroker.ports import Binding, Feature, Limits, Support
from sovbroker.testing.fakes import FakeCloud
from sovbroker.transfer import incoming, outgoing
from sovbroker.transfer.incoming import Incoming, SourceCopy, Version, read_range
from sovbroker.transfer.outgoing import Destination, Entry, Outgoing
from sovbroker_adapters.memory import build

CONTEXT = Context("main", "key", "version", "label")
PART = 2 * CHUNK
SMALL = 4 * CHUNK
NOISE = random.Random(7).randbytes(260 * CHUNK)
LONG = 256 * CHUNK + 1
"""Nearly eight chunks of padding, more than are read at a time."""
TRUE = [0, 1, CHUNK, PART, 2 * PART, SMALL, SMALL + PART, 9 * CHUNK, 31 * CHUNK, 32 * CHUNK]
# Near the borders of chunks and parts: of the content, and of the content with its eight bytes.
sizes = st.one_of(
    st.builds(lambda border, off: max(0, border + off), st.sampled_from(TRUE), st.integers(-20, 20)),
    st.integers(0, 40 * CHUNK),
)


@pytest.fixture(autouse=True, scope="module")
def small_parts():
    """Cut at sizes that a test can afford: parts of 2 chunks, one request up to 4; 3 chunks are read at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outgoing, "PART", PART)
        patch.setattr(outgoing, "SMALL", SMALL)
        patch.setattr(outgoing, "FIRST_PAUSE", 0.0001)
        patch.setattr(incoming, "BLOCK_CHUNKS", 3)
        yield


@dataclass
class Reads:
    """A store that counts what is read of it."""

    inner: object
    ranges: list = field(default_factory=list)
    taken: int = 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def get(self, key, *, range=None, version=None):  # noqa: A002 - the port's word
        self.ranges.append(range)
        reader = self.inner.get(key, range=range)
        read = reader.read

        def counted(size=-1):
            data = read(size)
            self.taken += len(data)
            return data

        reader.read = counted
        return reader


class Job:
    """One object that was sent, with padding, and what reads it again."""

    def __init__(self, data, *, sealed=(True,), whole=(), told=True, pieces=1, pad=True, parts_max=10_000):
        self.data = data
        self.dek = new_dek()
        self.sealer = Sealer(self.dek, CONTEXT)
        self.stores = [build(Binding(target=f"t{n}", container="c")) for n in range(len(sealed))]
        for store in self.stores:
            store.limits = Limits(part_min=1, parts_max=parts_max)
        for n in whole:
            self.stores[n] = FakeCloud(load().target("oodrive/fr"), adapter="webdav")
        self.destinations = [
            Destination(store.target, store, "physical", sealed=s) for store, s in zip(self.stores, sealed, strict=True)
        ]
        bare = [s.target for s in self.stores if s.capabilities[Feature.MULTIPART] is Support.ABSENT]
        self.progress = []
        with ThreadPoolExecutor(4) as pool:
            out = Outgoing(
                self.destinations,
                sealer=self.sealer,
                entry=lambda d, size: Entry({}, b"beside") if d.target in bare else Entry({"sovbroker": "x"}),
                note_upload=lambda d, upload: None,
                pool=pool,
                size=len(data) if told or whole else None,
                progress=lambda done, size: self.progress.append(done),
                pad=pad,
            )
            step = -(-len(data) // pieces) or 1
            cuts = [data[start : start + step] for start in range(0, len(data), step)] or [b""]
            for piece in cuts[:-1]:
                out.write(piece)
            self.sent = out.finish(cuts[-1])
        self.parts = out._number

    def bodies(self):
        found = []
        for store in self.stores:
            with store.get("physical") as reader:
                found.append(reader.read())
        return found

    def copies(self, stores=None):
        return [
            SourceCopy(d.target, store, "physical", d.sealed)
            for d, store in zip(self.destinations, stores or self.stores, strict=True)
        ]

    def version(self, **changed):
        opener = Opener(self.dek, CONTEXT, self.sealer.head)
        found = {"size": len(self.data), "digest": self.sent.digest, "padded": True, **changed}
        return Version(key="key", opener=lambda: opener, **found)

    def open(self, **changed):
        return Incoming(self.version(**changed), self.copies())


@settings(max_examples=150, deadline=None)
@given(
    size=sizes,
    sealed=st.sampled_from([(True,), (True, True), (True, False), (False, True)]),
    whole=st.sets(st.integers(0, 1)),
    told=st.booleans(),
    pieces=st.integers(1, 5),
)
def test_sealed_copies_have_a_padded_size_and_clear_ones_their_own(size, sealed, whole, told, pieces):
    data = NOISE[:size]
    job = Job(data, sealed=sealed, whole=[n for n in whole if n < len(sealed)], told=told, pieces=pieces)
    assert job.sent.size == size
    assert job.progress[-1] == size
    for body, is_sealed in zip(job.bodies(), sealed, strict=True):
        if not is_sealed:
            assert body == data
            continue
        assert len(body) == sealed_size(padded_size(size))
        plain = bytes(Opener(job.dek, CONTEXT, body[:HEAD]).open(body))
        assert plain == data + padding(size, first=0, count=padded_size(size) - size)


@settings(max_examples=100, deadline=None)
@given(size=sizes, sealed=st.sampled_from([(True,), (False, True)]), data=st.data())
def test_every_way_of_reading_gives_the_content_alone(size, sealed, data):
    content = NOISE[:size]
    job = Job(content, sealed=sealed)
    with job.open() as file:
        assert file.readall() == content
        assert file.read(1) == b""
    with io.BufferedReader(job.open()) as file:
        step = data.draw(st.integers(1, 3 * CHUNK))
        assert b"".join(iter(lambda: file.read(step), b"")) == content
        for _ in range(3):
            place = data.draw(st.integers(0, size + 10))
            assert file.seek(place) == place
            count = data.draw(st.integers(0, 2 * CHUNK))
            assert file.read(count) == content[place : place + count]
        back = data.draw(st.integers(0, size))
        assert file.seek(-back, io.SEEK_END) == size - back
        assert file.read() == content[size - back :]
    if size:
        first = data.draw(st.integers(0, size - 1))
        last = data.draw(st.integers(first, size + 100))
        assert read_range(job.version(), job.copies(), first=first, last=last) == content[first : last + 1]


@pytest.mark.parametrize("size", [0, 5, 3 * CHUNK, 20 * CHUNK + 1])
def test_a_range_beyond_the_content_is_none_although_the_body_goes_on(size):
    job = Job(NOISE[:size])
    assert padded_size(size) > size
    with pytest.raises(InvalidArgument, match=f"beyond the end of {size} bytes"):
        read_range(job.version(), job.copies(), first=size, last=size + 3)


def test_close_sizes_are_one_length_at_a_provider():
    near = {len(Job(NOISE[:size]).bodies()[0]) for size in range(20 * CHUNK + 1, 20 * CHUNK + 200, 17)}
    assert len(near) == 1
    assert len({len(Job(NOISE[:size], pad=False).bodies()[0]) for size in (20 * CHUNK + 1, 20 * CHUNK + 18)}) == 2


@pytest.mark.parametrize("size", [100, 3 * CHUNK, 40 * CHUNK + 3, LONG])
def test_reading_to_the_end_takes_the_whole_body_so_that_its_end_is_not_seen(size):
    job = Job(NOISE[:size])
    store = Reads(job.stores[0])
    file = Incoming(job.version(), job.copies([store]))
    assert file.readall() == job.data
    assert store.ranges == [None]
    assert store.taken == len(job.bodies()[0])
    # Once is enough: the end was seen.
    assert file.read(1) == b""
    assert store.taken == len(job.bodies()[0])


def test_seeking_beyond_the_end_asks_for_nothing():
    job = Job(NOISE[: 3 * CHUNK])
    store = Reads(job.stores[0])
    with Incoming(job.version(), job.copies([store])) as file:
        file.seek(3 * CHUNK + 5)
        asked = len(store.ranges)
        assert file.read(10) == b""
        assert len(store.ranges) == asked


def forged(job, plain):
    """Put an envelope with other bytes under the same key, as only a broken client of our own could."""
    sealer = Sealer(job.dek, CONTEXT)
    job.sealer = sealer
    job.stores[0].put("physical", bytes(sealer.seal(plain)), size=sealed_size(len(plain)), metadata={"sovbroker": "x"})


def test_padding_that_is_not_ours_is_found_out():
    job = Job(NOISE[: 20 * CHUNK + 1])
    body = bytearray(job.data + padding(len(job.data), first=0, count=padded_size(len(job.data)) - len(job.data)))
    body[-20] = 1
    forged(job, body)
    with job.open() as file:
        assert file.read(100) == job.data[:100]
        with pytest.raises(Tampered):
            file.readall()


def test_a_row_that_says_less_than_was_stored_is_found_out():
    """The size is in the envelope: a state database that was tampered with cannot cut an object unseen."""
    job = Job(NOISE[: 20 * CHUNK + 100])
    assert padded_size(20 * CHUNK + 90) == padded_size(20 * CHUNK + 100)
    with job.open(size=20 * CHUNK + 90) as file, pytest.raises(Tampered):
        file.readall()


@pytest.mark.parametrize("padded", [True, False])
def test_a_row_that_is_wrong_about_padding_opens_nothing(padded):
    job = Job(NOISE[: 3 * CHUNK], pad=not padded)
    with pytest.raises(Tampered):
        job.open(padded=padded)
    with pytest.raises(Tampered):
        read_range(job.version(padded=padded), job.copies(), first=0, last=9)


@pytest.mark.parametrize("size", [40 * CHUNK + 1, LONG])
def test_a_damaged_end_is_read_from_the_next_copy_and_otherwise_raises_again_and_again(size):
    job = Job(NOISE[:size], sealed=(True, True))
    store = job.stores[0]
    body = bytearray(job.bodies()[0])
    body[-1] ^= 1
    store.put("physical", bytes(body), size=len(body), metadata={"sovbroker": "x"})
    with job.open() as file:
        assert file.readall() == job.data
    with Incoming(job.version(), job.copies()[:1]) as file:
        assert file.read(10) == job.data[:10]
        for _ in range(2):
            with pytest.raises(Tampered):
                file.readall()
        # Whoever catches that is not told that this is the end.
        with pytest.raises(Tampered):
            file.read(1)


@pytest.mark.parametrize("size", [100, LONG])
def test_the_end_of_a_damaged_copy_needs_nothing_of_a_copy_in_the_clear(size):
    job = Job(NOISE[:size], sealed=(True, False))
    body = bytearray(job.bodies()[0])
    body[-1] ^= 1
    job.stores[0].put("physical", bytes(body), size=len(body), metadata={"sovbroker": "x"})
    copies = job.copies()
    copies[1] = SourceCopy("t1", job.stores[1], "physical", sealed=False)
    with Incoming(job.version(), copies) as file:
        assert file.readall() == job.data


def test_data_that_shrinks_while_a_stream_is_sent_is_a_conflict():
    """A store that takes one body was told a length; content of another one has another padding."""
    dek = new_dek()
    store = FakeCloud(load().target("oodrive/fr"), adapter="webdav")
    with ThreadPoolExecutor(4) as pool:
        out = Outgoing(
            [Destination(store.target, store, "physical", sealed=True)],
            sealer=Sealer(dek, CONTEXT),
            entry=lambda d, size: Entry({}, b"beside"),
            note_upload=lambda d, upload: None,
            pool=pool,
            size=20 * CHUNK,
            pad=True,
        )
        out.write(NOISE[: 19 * CHUNK])
        with pytest.raises(Conflict, match="it changed while it was being read"):
            out.finish()
        out.abort()


@pytest.mark.parametrize("told", [True, False])
def test_parts_stay_within_a_limit_of_parts(told):
    # With its padding the content needs 66 of the parts that it would need alone.
    job = Job(NOISE[: 128 * CHUNK], parts_max=65, told=told)
    assert job.parts <= 65
    with job.open() as file:
        assert file.readall() == job.data
