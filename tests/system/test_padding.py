"""Where the policy says `pad`, a provider sees lengths of Padmé alone, and whoever reads sees no difference."""

from __future__ import annotations

import asyncio
import io
import os

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sovbroker
from sovbroker.aio import AsyncBroker
from sovbroker.envelope import CHUNK, padded_size, plain_size, sealed_size
from sovbroker.errors import InvalidArgument
from sovbroker.reindexing import Oddity
from sovbroker.transfer import outgoing

PART = 2 * CHUNK
SMALL = 4 * CHUNK

POLICY = """
sovbroker: 1
name: padding
levels: [public, internal]
default: internal
categories: {quiet: {}, twice: {}, hidden: {}}
zones:
  french: {provider: [ovhcloud]}
  anywhere: {}
require:
  public: {store: {anywhere: {}}}
  internal: {store: {french: {}, anywhere: {encrypt: client}}}
  quiet: {pad: true}
  twice: {copies: {count: 2, distinct: [provider]}}
  hidden: {store: {anywhere: {encrypt: client, names: encrypt}}}
classify:
  - {id: pub, path: "public/**", label: public+quiet}
  - {id: mixed, path: "mixed/**", label: internal+quiet+twice}
  - {id: hidden, path: "hidden/**", label: internal+quiet+hidden}
  - {id: plain, path: "plain/**", label: internal+hidden}
prefer: [french]
"""
KEYS = ["public/a", "mixed/a", "hidden/a"]
SIZES = [0, 1, 100, CHUNK - 9, CHUNK - 8, CHUNK, SMALL - 8, SMALL - 7, SMALL, SMALL + 1, SMALL + PART, 20 * CHUNK + 3]
NOISE = os.urandom(64 * CHUNK)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Cut at sizes that a test can afford: one request up to 4 chunks, parts of 2."""
    monkeypatch.setattr(outgoing, "PART", PART)
    monkeypatch.setattr(outgoing, "SMALL", SMALL)


@pytest.fixture
def broker(clouds):
    clouds.write(policy=POLICY)
    return clouds.open()


def lengths(clouds, broker, key):
    """Return the length of each copy's body, by whether it is sealed."""
    held = {(target, name): len(body) for (target, name), body in clouds.held().items()}
    places = broker.exit_ticket(key, reveal_key=True).places
    return {place["sealed"]: held[place["target"], place["name"]] for place in places}


def reads(broker, key, data):
    """Read an object in every way."""
    size = len(data)
    assert broker.stat(key).size == size
    assert broker.read(key) == data
    with broker.get(key) as file:
        assert b"".join(iter(lambda: file.read(9_973), b"")) == data
        assert file.seek(0, io.SEEK_END) == size
        for back in {min(size, n) for n in (0, 1, 7, 100, CHUNK)}:
            file.seek(-back, io.SEEK_END)
            assert file.read() == data[size - back :]
        file.seek(size // 2)
        assert file.read(1000) == data[size // 2 :][:1000]
    for first in {0, size // 2, max(0, size - 3)} if size else set():
        assert broker.read(key, range=(first, first + CHUNK)) == data[first : first + CHUNK + 1]
        assert broker.read(key, range=(first, 1 << 50)) == data[first:]
    with pytest.raises(InvalidArgument, match="beyond the end"):
        broker.read(key, range=(size, size))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("size", SIZES)
def test_any_size_is_stored_padded_and_comes_back(broker, clouds, key, size):
    stored = broker.put(key, NOISE[:size])
    assert stored.size == size
    wanted = {"public/a": {False: size}, "hidden/a": {True: sealed_size(padded_size(size))}}
    both = {False: size, True: sealed_size(padded_size(size))}
    assert lengths(clouds, broker, key) == wanted.get(key, both)
    reads(broker, key, NOISE[:size])
    assert broker.leftovers() == []


@pytest.mark.parametrize("key", ["mixed/a", "hidden/a"])
@pytest.mark.parametrize("size", [0, 100, SMALL, SMALL + 1, 20 * CHUNK, 20 * CHUNK + 3])
def test_data_of_which_nobody_knows_the_size_is_padded_at_its_end(broker, clouds, key, size):
    with broker.writer(key) as file:
        for start in range(0, size, 9_973):
            file.write(NOISE[start : min(size, start + 9_973)])
    assert lengths(clouds, broker, key)[True] == sealed_size(padded_size(size))
    reads(broker, key, NOISE[:size])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(0, 40 * CHUNK), more=st.integers(0, 100), told=st.booleans())
def test_only_lengths_of_padme_are_seen(broker, clouds, size, more, told):
    seen = []
    for length in (size, size + more):
        data = NOISE[:length]
        broker.put("hidden/a", data if told else iter([data]))
        seen.append(lengths(clouds, broker, "hidden/a")[True])
        assert broker.read("hidden/a") == data
    assert all(padded_size(plain_size(length) - 8) == plain_size(length) for length in seen)
    assert (seen[0] == seen[1]) == (padded_size(size) == padded_size(size + more))


def test_what_is_not_asked_for_is_not_padded(broker, clouds):
    broker.put("plain/a", NOISE[:1000])
    assert lengths(clouds, broker, "plain/a") == {True: sealed_size(1000)}


def test_a_decision_tells_it_and_a_row_keeps_it(broker):
    assert broker.put("hidden/a", b"x").decision.pad
    assert broker.explain("public/a").to_dict()["pad"] is True
    assert "pad" not in broker.explain("plain/a").to_dict()
    assert "sealed copies have a padded size" in str(broker.explain("hidden/a"))


def test_moved_copied_and_relabelled_objects_are_padded_where_they_come_to_lie(broker, clouds):
    data = NOISE[: 20 * CHUNK + 3]
    padded, bare = {True: sealed_size(padded_size(len(data)))}, {True: sealed_size(len(data))}
    broker.put("plain/a", data)
    broker.copy("plain/a", "hidden/b")
    assert lengths(clouds, broker, "hidden/b") == padded
    broker.relabel("plain/a", "internal+quiet")
    assert lengths(clouds, broker, "plain/a") == padded
    broker.move("hidden/b", "hidden/c")
    assert lengths(clouds, broker, "hidden/c") == padded
    for key in ("hidden/c", "plain/a"):
        reads(broker, key, data)
    broker.put("plain/b", data)
    assert lengths(clouds, broker, "plain/b") == bare


def test_what_was_stored_before_or_after_the_policy_asks_for_it_reads_as_it_is(broker, clouds):
    data = NOISE[: 9 * CHUNK]
    broker.put("hidden/padded", data)
    broker.close()
    clouds.write(policy=POLICY.replace("pad: true", "pad: false"))
    again = clouds.open()
    again.put("hidden/bare", data)
    reads(again, "hidden/padded", data)
    again.close()
    clouds.write(policy=POLICY)
    last = clouds.open()
    reads(last, "hidden/bare", data)
    assert lengths(clouds, last, "hidden/bare") == {True: sealed_size(len(data))}
    assert lengths(clouds, last, "hidden/padded") == {True: sealed_size(padded_size(len(data)))}


def lose_state(clouds, broker):
    broker.close()
    for file in clouds.folder.glob("state.db*"):
        file.unlink()
    return clouds.open()


def test_rows_that_are_made_again_have_the_true_size(broker, clouds):
    bodies = {}
    for number, size in enumerate(SIZES):
        for key in ("hidden", "mixed", "public", "plain"):
            bodies[f"{key}/{number}"] = NOISE[:size]
            broker.put(f"{key}/{number}", NOISE[:size])
        for key in ("hidden", "mixed"):
            bodies[f"{key}/streamed/{number}"] = NOISE[:size]
            broker.put(f"{key}/streamed/{number}", iter([NOISE[:size]]))
    before = {info.key: info.to_dict() for info in broker.list()}
    again = lose_state(clouds, broker)
    outcome = again.reindex()
    assert (outcome.rebuilt, outcome.whole) == (len(bodies), True)
    assert {info.key: info.to_dict() for info in again.list()} == before
    for key, data in bodies.items():
        reads(again, key, data)
    # A row that was made again may be lost again.
    assert lose_state(clouds, again).reindex().rebuilt == len(bodies)


@pytest.mark.parametrize("size", [100, 20 * CHUNK + 3])
def test_a_body_whose_end_was_cut_or_changed_is_damaged(broker, clouds, size):
    broker.put("hidden/a", iter([NOISE[:size]]))
    ((target, name),) = clouds.held()
    store = clouds.stores[target]
    with store.get(name) as reader:
        body, metadata = bytearray(reader.read()), reader.info.metadata
    body[-1] ^= 1
    for changed in (body, body[:-100]):
        store.put(name, bytes(changed), size=len(changed), metadata=metadata)
        outcome = lose_state(clouds, broker).reindex()
        found = [odd.oddity for odd in outcome.odd]
        # Of a short object the record tells the size, and nothing of the body is read.
        assert found == ([] if size == 100 and changed is body else [Oddity.DAMAGED])


def test_the_exit_door_cuts_the_padding_off(broker, clouds):
    broker.put("hidden/a", b"content" * 5000)
    ticket = broker.exit_ticket("hidden/a", reveal_key=True)
    (body,) = clouds.held().values()
    opened = Cobblestone256Decryptor(bytes.fromhex(ticket.dek), bytes.fromhex(ticket.context))
    plain = opened.update(body) + opened.finalize()
    assert len(plain) == padded_size(35_000)
    assert plain[: ticket.size] == b"content" * 5000


def test_the_awaited_broker_reads_and_writes_the_same(clouds):
    clouds.write(policy=POLICY)
    data = NOISE[: 20 * CHUNK + 3]

    async def pieces():
        for start in range(0, len(data), CHUNK):
            yield data[start : start + CHUNK]

    async def main():
        async with AsyncBroker(clouds.open()) as broker:
            await broker.put("hidden/a", pieces())
            assert await broker.read("hidden/a") == data
            assert await broker.read("hidden/a", range=(20 * CHUNK, 1 << 40)) == data[20 * CHUNK :]
            async with broker.get("hidden/a") as file:
                found = b""
                while block := await file.read(10_007):
                    found += block
            assert found == data

    asyncio.run(main())
    (body,) = clouds.held().values()
    assert len(body) == sealed_size(padded_size(len(data)))


def test_a_folder_holds_files_of_padded_sizes(tmp_path, monkeypatch):
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "a passphrase that the tests made up")
    sovbroker.init(tmp_path, passphrase="a passphrase that the tests made up")
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy.read_text() + "    pad: true\n")
    with sovbroker.open(tmp_path / "sovbroker.yaml") as broker:
        for size in SIZES:
            broker.put("a", NOISE[:size])
            reads(broker, "a", NOISE[:size])
            broker.put("b", iter([NOISE[:size]]))
            reads(broker, "b", NOISE[:size])
            stored = [p.stat().st_size for p in (tmp_path / "objects").rglob("*") if p.is_file()]
            assert stored.count(sealed_size(padded_size(size))) >= 2


def test_data_keys_that_are_wrapped_anew_open_padded_objects(broker, clouds):
    data = NOISE[: 20 * CHUNK + 3]
    broker.put("hidden/a", data)
    broker.put("mixed/a", iter([data]))
    broker.keys.keyring("main").rotate("main")
    outcome = broker.rewrap()
    assert (outcome.done, outcome.whole) == (2, True)
    for key in ("hidden/a", "mixed/a"):
        reads(broker, key, data)
    again = lose_state(clouds, broker)
    assert again.reindex().whole
    for key in ("hidden/a", "mixed/a"):
        reads(again, key, data)
