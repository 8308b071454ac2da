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

from sovbroker.envelope import CHUNK, Context, Opener, Sealer, new_dek
from sovbroker.errors import Unavailable
from sovbroker.ports import Binding, Limits
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
    def __init__(self, *, sealed=(True,), parts_max=None, size=None):
        self.dek = new_dek()
        self.sealer = Sealer(self.dek, CONTEXT) if any(sealed) else None
        self.stores = [build(Binding(target=f"t{n}", container="c")) for n in range(len(sealed))]
        for store in self.stores:
            store.limits = Limits(part_min=1, parts_max=parts_max or 10_000)
        self.destinations = [
            Destination(store.target, store, "physical", sealed=s) for store, s in zip(self.stores, sealed, strict=True)
        ]
        self.pool = ThreadPoolExecutor(4)
        self.noted = []
        self.out = Outgoing(
            self.destinations,
            sealer=self.sealer,
            entry=lambda d, size: Entry({"sovbroker": d.target}),
            note_upload=lambda d, upload: self.noted.append((d.target, upload)),
            pool=self.pool,
            size=size,
        )

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
    seed=st.integers(0, 2**32),
)
def test_any_way_of_cutting_arrives_whole(pieces, last, sealed, seed):
    noise = random.Random(seed).randbytes(sum(pieces) + last)
    send = Send(sealed=sealed)
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
