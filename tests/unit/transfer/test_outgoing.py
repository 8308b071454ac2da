"""Cutting, sealing and sending: the bytes that arrive are one envelope, whatever way the plaintext came."""

from __future__ import annotations

import hashlib
import itertools
import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.catalogue import load
from sovbroker.envelope import CHUNK, Context, Opener, Sealer, new_dek
from sovbroker.errors import Conflict, NotSupported, PermissionDenied, Unavailable
from sovbroker.ports import Binding, Feature, Limits, Support
from sovbroker.testing.fakes import FakeCloud
from sovbroker.transfer import outgoing
from sovbroker.transfer.outgoing import Destination, Entry, Outgoing, attempt
from sovbroker_adapters.memory import build

CONTEXT = Context("main", "key", "version", "label")


@pytest.fixture(autouse=True, scope="module")
def small_parts():
    """Cut at sizes that a test can afford: parts of 2 chunks, one request up to 4."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outgoing, "PART", 2 * CHUNK)
        patch.setattr(outgoing, "SMALL", 4 * CHUNK)
        patch.setattr(outgoing, "FIRST_PAUSE", 0.0001)
        yield


class Send:
    def __init__(self, *, sealed=(True,), whole=(), parts_max=None, size=None):
        self.dek = new_dek()
        self.sealer = Sealer(self.dek, CONTEXT) if any(sealed) else None
        self.stores = [build(Binding(target=f"t{n}", container="c")) for n in range(len(sealed))]
        for store in self.stores:
            store.limits = Limits(part_min=1, parts_max=parts_max or 10_000)
        for n in whole:
            self.stores[n] = FakeCloud(load().target("oodrive/fr"), adapter="webdav")
        self.destinations = [
            Destination(store.target, store, "physical", sealed=s) for store, s in zip(self.stores, sealed, strict=True)
        ]
        self.pool = ThreadPoolExecutor(4)
        self.noted = []
        self.out = Outgoing(
            self.destinations,
            sealer=self.sealer,
            entry=lambda d, size: Entry({}, b"beside") if d.store in self.whole() else Entry({"sovbroker": d.target}),
            note_upload=lambda d, upload: self.noted.append((d.target, upload)),
            pool=self.pool,
            size=size,
        )

    def whole(self):
        return [store for store in self.stores if store.capabilities[Feature.MULTIPART] is Support.ABSENT]

    def arrived(self):
        bodies = []
        for store, destination in zip(self.stores, self.destinations, strict=True):
            with store.get("physical") as reader:
                body = reader.read()
            if destination.sealed:
                body = bytes(Opener(self.dek, CONTEXT, body[:56]).open(body))
            bodies.append(body)
        return bodies


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.integers(0, 5 * CHUNK), max_size=8),
    last=st.integers(0, 6 * CHUNK),
    sealed=st.sampled_from([(True,), (False,), (True, True), (True, False)]),
    whole=st.sets(st.integers(0, 1)),
    seed=st.integers(0, 2**32),
)
def test_any_way_of_cutting_arrives_whole(pieces, last, sealed, whole, seed):
    noise = random.Random(seed).randbytes(sum(pieces) + last)
    whole = [n for n in whole if n < len(sealed)]
    send = Send(sealed=sealed, whole=whole, size=len(noise) if whole else None)
    start = 0
    for piece in pieces:
        send.out.write(noise[start : start + piece])
        start += piece
    sent = send.out.finish(noise[start:])
    assert sent.size == len(noise)
    assert send.arrived() == [noise] * len(sealed)
    assert sent.digest == ("" if all(sealed) else hashlib.sha256(noise).hexdigest())
    send.pool.shutdown()


def test_an_upload_is_noted_before_its_first_part():
    send = Send(sealed=(True, True))
    send.out.finish(bytes(9 * CHUNK))
    assert [target for target, _ in send.noted] == ["t0", "t1"]
    send.pool.shutdown()


@pytest.mark.parametrize("size", [None, 200 * 2 * CHUNK])
def test_parts_grow_before_a_limit_of_parts_is_met(size):
    send = Send(parts_max=40, size=size)
    data = bytes(200 * 2 * CHUNK)
    send.out.write(data)
    send.out.finish()
    assert send.arrived() == [data]
    send.pool.shutdown()


def test_the_caller_may_reuse_its_buffer():
    send = Send()
    buffer = bytearray(1000)
    expected = b""
    for n in range(300):
        buffer[:] = bytes([n % 256]) * 1000
        expected += buffer
        send.out.write(buffer)
    send.out.finish()
    assert send.arrived() == [expected]
    send.pool.shutdown()


def test_a_retry_sends_the_same_bytes_and_only_unavailable_is_retried():
    seen = []

    def call():
        seen.append(1)
        if len(seen) < 3:
            raise Unavailable("later")
        return "done"

    assert attempt(call, deadline=None) == "done"
    assert len(seen) == 3
    with pytest.raises(ValueError, match="int"):
        attempt(lambda: int("x"), deadline=None)


def test_memory_is_bounded_by_parts_not_by_the_object(monkeypatch):
    """A long stream holds a plaintext buffer and a few parts of ciphertext at any time."""
    monkeypatch.setattr(outgoing, "PART", 1 << 20)
    monkeypatch.setattr(outgoing, "SMALL", 2 << 20)

    class Hole:
        """A store that keeps nothing."""

        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def multipart(self, key, **_):
            upload = self.inner.multipart(key)
            upload_part = type("U", (), {})()
            upload_part.id, upload_part.key = upload.id, key
            upload_part.part = lambda number, body: outgoing.Part(number, len(body), "e")
            upload_part.commit = lambda parts: None
            return upload_part

    send = Send()
    send.destinations[0] = Destination("t0", Hole(send.stores[0]), "physical", sealed=True)
    send.out._destinations = send.destinations
    block = bytes(100_000)
    tracemalloc.start()
    for _ in itertools.repeat(None, 1000):
        send.out.write(block)
    send.out.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < (2 + outgoing.IN_FLIGHT + 1) << 20
    send.pool.shutdown()


# --- destinations that take no parts


def test_the_same_ciphertext_goes_in_parts_and_as_one_stream():
    data = random.Random(1).randbytes(40 * CHUNK + 5)
    send = Send(sealed=(True, True, True), whole=(1, 2), size=len(data))
    send.out.write(data[:100_000])
    send.out.finish(data[100_000:])
    assert send.arrived() == [data] * 3
    bodies = []
    for store in send.stores:
        with store.get("physical") as reader:
            bodies.append(reader.read())
    assert bodies[0] == bodies[1] == bodies[2]
    assert [target for target, _ in send.noted] == ["t0"]
    assert [(r.operation, r.key) for r in send.stores[1].saw if r.operation != "get"] == [
        ("put", "physical~"),
        ("put", "physical"),
    ]
    send.pool.shutdown()


@pytest.mark.parametrize("whole", [(0,), (1,)])
def test_what_is_long_and_of_unknown_size_is_refused_before_anything_is_sent(whole):
    send = Send(sealed=(True, True), whole=whole)
    send.out.write(bytes(4 * CHUNK))
    with pytest.raises(NotSupported, match=r"takes no parts.*give bytes, a Path, or a file"):
        send.out.write(bytes(CHUNK))
    send.out.abort()
    assert send.noted == []
    assert send.whole()[0].saw == []
    assert not any(list(store.list()) for store in send.stores)
    send.pool.shutdown()


@pytest.mark.parametrize("difference", [-3 * CHUNK, -1, 1, CHUNK, 9 * CHUNK])
def test_data_of_another_length_than_was_announced_are_refused(difference):
    size = 20 * CHUNK
    send = Send(sealed=(True, False), whole=(0, 1), size=size)

    def write():
        send.out.write(bytes(size + difference - 100))
        send.out.finish(bytes(100))

    with pytest.raises(Conflict, match="changed while it was being read"):
        write()
    send.out.abort()
    assert [info.key for page in send.stores[0].list() for info in page.objects] == ["physical~"]
    send.pool.shutdown()


@pytest.mark.parametrize("error", [Unavailable("reset"), PermissionDenied("no")])
@pytest.mark.parametrize("sealed", [(True, True), (True, False)])
def test_a_stream_that_fails_is_not_sent_again_and_fails_the_write(sealed, error):
    size = 60 * CHUNK
    send = Send(sealed=sealed, whole=(1,), size=size)
    cloud = send.stores[1]
    seen = []

    def fail(key, body, *, size, **_):
        if key.endswith("~"):
            return
        seen.append(body.read(3 * CHUNK))
        raise error

    cloud.put = fail

    def write():
        for _ in range(60):
            send.out.write(bytes(CHUNK))
        send.out.finish()

    with pytest.raises(type(error)):
        write()
    send.out.abort()
    assert len(seen) == 1
    # Every buffer came back: the next write can have all of them.
    assert all(send.out._slots.acquire(blocking=False) for _ in range(outgoing.IN_FLIGHT))
    assert not list(send.stores[0].list())
    send.pool.shutdown()


def test_an_abort_in_the_middle_stops_the_stream_and_keeps_nothing():
    send = Send(sealed=(True,), whole=(0,), size=100 * CHUNK)
    send.out.write(bytes(30 * CHUNK))
    send.out.abort()
    assert [(r.key, r.failed) for r in send.stores[0].saw] == [
        ("physical~", ""),
        ("physical", "the transfer was aborted"),
    ]
    assert [info.key for page in send.stores[0].list() for info in page.objects] == ["physical~"]
    assert all(send.out._slots.acquire(blocking=False) for _ in range(outgoing.IN_FLIGHT))
    send.pool.shutdown()


@pytest.mark.parametrize("least", [0, 10 * CHUNK, 60 * CHUNK])
def test_a_store_that_acknowledges_what_it_has_not_read_is_found_out(least):
    send = Send(sealed=(True,), whole=(0,), size=60 * CHUNK)
    cloud = send.stores[0]

    def lazy(key, body, *, size, **_):
        left = 0 if key.endswith("~") else least
        while left > 0:
            left -= len(body.read(left))

    cloud.put = lazy

    def write():
        send.out.write(bytes(60 * CHUNK))
        send.out.finish()

    with pytest.raises(Unavailable, match="before it had read it to its end"):
        write()
    send.out.abort()
    send.pool.shutdown()


def test_a_store_may_stop_reading_after_the_last_byte():
    send = Send(sealed=(True,), whole=(0,), size=60 * CHUNK)
    cloud, inner, got = send.stores[0], send.stores[0].put, []

    def exact(key, body, *, size, **_):
        if key.endswith("~"):
            inner(key, body, size=size)
            return
        while sum(map(len, got)) < size:
            got.append(body.read(size - sum(map(len, got))))

    cloud.put = exact
    send.out.write(bytes(60 * CHUNK))
    send.out.finish()
    assert Opener(send.dek, CONTEXT, got[0][:56]).open(b"".join(got)) == bytes(60 * CHUNK)
    send.pool.shutdown()


def test_more_streams_than_the_pool_has_threads_do_not_wait_for_each_other():
    """Streams wait for data, and the parts beside them need the pool's threads: they must not hold these."""
    pool = ThreadPoolExecutor(1)
    sends = [Send(sealed=(True, True, True), whole=(1, 2), size=40 * CHUNK) for _ in range(6)]
    for send in sends:
        send.pool.shutdown()
        send.out._pool = pool
    for _ in range(40):
        for send in sends:
            send.out.write(bytes(CHUNK))
    for send in sends:
        send.out.finish()
        assert send.arrived() == [bytes(40 * CHUNK)] * 3
    pool.shutdown()


def test_memory_is_bounded_for_a_stream_too(monkeypatch):
    monkeypatch.setattr(outgoing, "PART", 1 << 20)
    monkeypatch.setattr(outgoing, "SMALL", 2 << 20)
    size = 100_000_000
    send = Send(sealed=(True,), whole=(0,), size=size)
    read = 0

    def swallow(key, body, *, size, **_):
        nonlocal read
        while not key.endswith("~") and (data := body.read(1 << 20)):
            read += len(data)

    send.stores[0].put = swallow
    block = bytes(100_000)
    tracemalloc.start()
    for _ in itertools.repeat(None, 1000):
        send.out.write(block)
    send.out.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read > size
    assert peak < (2 + outgoing.IN_FLIGHT + 2) << 20
    send.pool.shutdown()
