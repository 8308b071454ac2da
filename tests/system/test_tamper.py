"""Whatever is done to what a provider or the state holds: it is refused, and nothing damaged is given out."""

from __future__ import annotations

import os
import sqlite3

import pytest

from sovbroker.envelope import CHUNK, HEAD, TAG
from sovbroker.errors import SealError, Tampered

UNIT = CHUNK + TAG


@pytest.fixture
def alone(clouds):
    """A broker with one target, so that there is no second copy to heal from."""
    clouds.write(targets=("outscale/eu-west-2",))
    return clouds.open()


def replace_body(clouds, change):
    """Change the one object at the provider: `change(body) -> body`."""
    ((target, key),) = clouds.held()
    store = clouds.stores[target]
    body = change(bytearray(clouds.held()[target, key]))
    store.put(key, bytes(body), size=len(body), metadata=store.head(key).metadata)


def flip(position, bit=0):
    def change(body):
        body[position] ^= 1 << bit
        return body

    return change


def test_every_flipped_byte_of_a_small_object_is_refused(alone, clouds):
    alone.put("internal/a", b"a patient's name")
    size = len(next(iter(clouds.held().values())))
    for position in range(size):
        replace_body(clouds, flip(position, position % 8))
        with pytest.raises(Tampered):
            alone.read("internal/a")
        with pytest.raises(Tampered):
            alone.get("internal/a")
        if position >= HEAD:
            with pytest.raises(Tampered):
                alone.read("internal/a", range=(0, 3))
        replace_body(clouds, flip(position, position % 8))
    assert alone.read("internal/a") == b"a patient's name"


@pytest.mark.parametrize("size", [0, 20, 3 * CHUNK, 3 * CHUNK + 7])
def test_every_truncation_and_extension_is_refused(alone, clouds, size):
    alone.put("internal/a", os.urandom(size))
    ((target, key),) = clouds.held()
    whole = clouds.held()[target, key]
    step = max(1, len(whole) // 200)
    lengths = {*range(0, len(whole), step), *range(max(0, len(whole) - 40), len(whole)), len(whole) - UNIT, HEAD}
    for length in sorted(n for n in lengths if 0 <= n < len(whole)):
        replace_body(clouds, lambda _, n=length: whole[:n])
        with pytest.raises(SealError):
            alone.read("internal/a")
    for tail in (b"\0", bytes(UNIT), whole[-UNIT:]):
        replace_body(clouds, lambda _, tail=tail: whole + tail)
        with pytest.raises(SealError):
            alone.read("internal/a")


def test_nothing_of_a_damaged_chunk_is_given_out(alone, clouds):
    data = os.urandom(200 * CHUNK + 5)
    alone.put("internal/a", data)
    for chunk in (0, 1, 63, 64, 127, 199, 200):
        position = HEAD + chunk * UNIT + 3
        replace_body(clouds, flip(position))
        given = bytearray()

        def read_all(given=given):
            with alone.get("internal/a") as file:
                while piece := file.read(1000):
                    given.extend(piece)

        with pytest.raises(Tampered):
            read_all()
        assert len(given) <= chunk * CHUNK
        assert given == data[: len(given)]
        other = 0 if chunk > 2 else 100
        assert alone.read("internal/a", range=(other * CHUNK, other * CHUNK + 9)) == data[other * CHUNK :][:10]
        replace_body(clouds, flip(position))


def test_a_damaged_copy_is_healed_from_the_other_in_the_middle_of_a_stream(broker, clouds, caplog):
    data = os.urandom(200 * CHUNK)
    broker.put("confidential/a", data)
    for damaged in list(clouds.stores):
        ((_, key),) = clouds.held(damaged)
        store = clouds.stores[damaged]
        good = clouds.held(damaged)[damaged, key]
        bad = bytearray(good)
        bad[HEAD + 130 * UNIT] ^= 1
        store.put(key, bytes(bad), size=len(bad), metadata=store.head(key).metadata)
        with broker.get("confidential/a") as file:
            assert b"".join(iter(lambda: file.read(10_000), b"")) == data
        store.put(key, good, size=len(good), metadata=store.head(key).metadata)
    assert "the copy of `confidential/a` at" in caplog.text


def swap(clouds, *, bodies, metadata):
    (target,) = clouds.stores
    store = clouds.stores[target]
    one, two = [key for _, key in clouds.held()]
    held, heads = clouds.held(), {key: store.head(key).metadata for key in (one, two)}
    for mine, other in ((one, two), (two, one)):
        body = held[target, other if bodies else mine]
        store.put(mine, body, size=len(body), metadata=heads[other if metadata else mine])


@pytest.mark.parametrize(("bodies", "metadata"), [(True, False), (False, True), (True, True)])
def test_swapped_objects_are_refused(alone, clouds, bodies, metadata):
    alone.put("internal/a", b"the one")
    alone.put("internal/b", b"the two")
    swap(clouds, bodies=bodies, metadata=metadata)
    for key in ("internal/a", "internal/b"):
        with pytest.raises(Tampered):
            alone.read(key)
        with pytest.raises(Tampered):
            alone.read(key, range=(0, 2))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE version SET label = 'public' WHERE key = 'internal/a'",
        "UPDATE version SET label = 'internal+personal' WHERE key = 'internal/a'",
        "UPDATE version SET domain = 'other' WHERE key = 'internal/a'",
        "UPDATE version SET size = size - 1 WHERE key = 'internal/a'",
        "UPDATE version SET size = size + 16384 WHERE key = 'internal/a'",
        "UPDATE version SET record = (SELECT record FROM version WHERE key = 'internal/b') WHERE key = 'internal/a'",
        "UPDATE version SET record = '' WHERE key = 'internal/a'",
        "UPDATE version SET record = 'nonsense' WHERE key = 'internal/a'",
        "UPDATE version SET key = 'internal/c' WHERE key = 'internal/a'",
        (
            "UPDATE copy SET physical = (SELECT physical FROM copy WHERE physical LIKE 'internal/b@%') "
            "WHERE physical LIKE 'internal/a@%'"
        ),
        "UPDATE copy SET sealed = 0",
    ],
)
def test_a_changed_row_is_refused(alone, clouds, statement):
    alone.put("internal/a", b"the one")
    alone.put("internal/b", b"the two")
    alone.close()
    handle = sqlite3.connect(clouds.folder / "state.db")
    assert handle.execute(statement).rowcount
    handle.commit()
    handle.close()
    again = clouds.open()
    key = "internal/c" if "SET key" in statement else "internal/a"
    with pytest.raises(SealError):
        again.read(key)


@pytest.mark.parametrize("change", ["label = 'internal'", "key = 'public/c'"])
def test_a_changed_row_of_a_clear_copy_is_refused(alone, clouds, change):
    alone.put("public/a", b"press release")
    alone.close()
    handle = sqlite3.connect(clouds.folder / "state.db")
    handle.execute(f"UPDATE version SET {change}")  # noqa: S608 - a constant of this test
    handle.commit()
    handle.close()
    again = clouds.open()
    for read in (again.read, lambda key: again.read(key, range=(0, 3))):
        with pytest.raises(Tampered):
            read("public/c" if "key" in change else "public/a")


def test_swapped_metadata_of_clear_copies_are_refused(alone, clouds):
    alone.put("public/a", b"the one", metadata={"n": "1"})
    alone.put("public/b", b"the two", metadata={"n": "2"})
    swap(clouds, bodies=False, metadata=True)
    for key in ("public/a", "public/b"):
        with pytest.raises(Tampered):
            alone.read(key)


def test_a_rolled_back_body_is_refused(alone, clouds):
    alone.put("internal/a", b"version 1")
    ((target, _),) = clouds.held()
    old = next(iter(clouds.held().values()))
    alone.put("internal/a", b"version 2")
    ((_, key),) = clouds.held()
    clouds.stores[target].put(key, old, size=len(old), metadata=clouds.stores[target].head(key).metadata)
    with pytest.raises(Tampered):
        alone.read("internal/a")


def test_a_changed_copy_in_the_clear_is_refused_too(clouds):
    clouds.write(targets=("outscale/eu-west-2",))
    broker = clouds.open()
    broker.put("public/a", b"press release" * 9000)
    replace_body(clouds, flip(50_000))
    with pytest.raises(Tampered):
        broker.read("public/a")
    with pytest.raises(Tampered), broker.get("public/a") as file:
        list(iter(lambda: file.read(7000), b""))
