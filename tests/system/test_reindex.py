"""The state database is lost: everything is found again from what the providers hold, and nothing is removed."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from sovbroker.envelope import CHUNK, Context, Record, open_metadata, seal_metadata
from sovbroker.errors import Conflict, NotFound, StoreError, Unavailable
from sovbroker.keys import Cost, Keyring, PassphraseService
from sovbroker.reindexing import Oddity

BIG = {"note": "x" * 3000}


def lose_state(clouds, broker):
    """Close a broker, remove its state, and open another one."""
    broker.close()
    for file in clouds.folder.glob("state.db*"):
        file.unlink()
    return clouds.open()


def told(broker):
    """Return everything that a broker tells of its objects."""
    found = {}
    for info in broker.list():
        versions = [v.to_dict() for v in broker.versions(info.key)]
        found[info.key] = (broker.read(info.key), versions)
    return found


def oddities(outcome):
    return [(odd.oddity, odd.target, odd.key) for odd in outcome.odd]


def test_every_kind_of_object_comes_back_as_it_was(clouds, broker):
    big = os.urandom(17 << 20)
    bodies = {
        "public/a": b"in the clear",
        "public/empty": b"",
        "internal/b": b"sealed",
        "internal/big": big,
        "confidential/c": os.urandom(3 * CHUNK),
        "restricted/d/e": b"its name is hidden",
    }
    for key, body in bodies.items():
        broker.put(key, body, metadata={"k": "v", "é": "ü"}, content_type="text/plain")
    broker.put("internal/sidecar", b"much is said of it", metadata=BIG)
    broker.put("public/sidecar", b"much is said of it", metadata=BIG)
    with broker.writer("internal/streamed") as file:
        file.write(big)
    before, held = told(broker), clouds.held()
    assert len(before) == 9

    again = lose_state(clouds, broker)
    assert list(again.list()) == []
    outcome = again.reindex()
    assert (outcome.rebuilt, outcome.known, outcome.whole) == (9, 0, True)
    assert told(again) == before
    assert clouds.held() == held
    assert again.read("internal/big", range=(16 << 20, (16 << 20) + 9)) == big[16 << 20 :][:10]
    assert again.reindex().known == 9


def test_life_goes_on_afterwards(clouds, broker):
    broker.put("restricted/a", b"one")
    version = broker.put("confidential/b", b"two").version
    again = lose_state(clouds, broker)
    again.reindex()
    again.put("restricted/a", b"three")
    with pytest.raises(Conflict):
        again.put("confidential/b", b"four", if_version="0" * 24)
    again.put("confidential/b", b"four", if_version=version)
    again.move("confidential/b", "confidential/c")
    again.delete("restricted/a")
    assert [info.key for info in again.list()] == ["confidential/c"]
    # Nothing of what was replaced, moved or deleted is left at a provider.
    assert len(clouds.held()) == 2


def test_a_copy_that_is_gone_is_missing_and_the_rest_reads(clouds, broker):
    broker.put("confidential/a", b"two copies")
    target, name = next(iter(clouds.held()))
    clouds.stores[target].delete(name)
    again = lose_state(clouds, broker)
    outcome = again.reindex()
    assert oddities(outcome) == [(Oddity.MISSING, target, "confidential/a")]
    assert again.read("confidential/a") == b"two copies"
    assert len(again.stat("confidential/a").copies) == 1


def test_what_was_replaced_and_could_not_be_removed_is_doubled_and_stays(clouds, broker):
    broker.put("internal/a", b"old")
    clouds.fail_at("delete")
    broker.put("internal/a", b"new")
    clouds.before = lambda *_: None
    held = clouds.held()
    assert len(held) == 2
    again = lose_state(clouds, broker)
    outcome = again.reindex()
    assert again.read("internal/a") == b"new"
    assert [odd.oddity for odd in outcome.odd] == [Oddity.DOUBLED]
    assert clouds.held() == held


def test_foreign_things_are_told_and_left_alone(clouds, broker):
    broker.put("confidential/a", b"ours")
    store = clouds.stores["ovhcloud/gra"]
    version = broker.stat("confidential/a").version
    for name, metadata in (
        ("backup.tar", {}),
        (f"internal/b@{version}", {}),
        (f"internal/c@{version}", {"sovbroker": "something else"}),
        (f"internal/d@{version}", {"sovbroker": "9~later"}),
        (f"internal/e@{version}~", {}),
    ):
        store.put(name, b"x", size=1, metadata=metadata)
    held = clouds.held()
    again = lose_state(clouds, broker)
    outcome = again.reindex()
    found = {odd.name: odd.oddity for odd in outcome.odd}
    assert found == {
        "backup.tar": Oddity.FOREIGN,
        f"internal/b@{version}": Oddity.FOREIGN,
        f"internal/c@{version}": Oddity.FOREIGN,
        f"internal/d@{version}": Oddity.FOREIGN,
        f"internal/e@{version}~": Oddity.UNFINISHED,
    }
    assert outcome.rebuilt == 1
    assert clouds.held() == held


ALONE = """
sovbroker: 1
name: alone
levels: [public, internal, restricted]
default: restricted
zones: {anywhere: {}}
require:
  public: {store: {anywhere: {}}}
  internal: {store: {anywhere: {encrypt: client}}}
  restricted: {store: {anywhere: {encrypt: client, names: encrypt}}}
classify:
  - {id: pub, path: "public/**", label: public}
  - {id: int, path: "internal/**", label: internal}
"""


def move(store, old, new):
    """Give what a store holds another name, as somebody at the provider may."""
    with store.get(old) as reader:
        body = reader.read()
    store.put(new, body, size=len(body), metadata=store.head(old).metadata)
    store.delete(old)


@pytest.mark.parametrize("key", ["public/a", "internal/a", "restricted/a"])
def test_a_name_or_record_of_another_object_is_damage(clouds, key):
    clouds.write(policy=ALONE, targets=("outscale/eu-west-2",))
    broker = clouds.open()
    broker.put(key, b"one")
    other = broker.put(key.replace("/a", "/b"), b"two").version
    store = clouds.stores["outscale/eu-west-2"]
    names = sorted(name for _, name in clouds.held())
    mine = next(name for name in names if not name.endswith(other))
    theirs = next(name for name in names if name.endswith(other))
    # The one object under the other's name and version: it must not come back as the other.
    store.delete(theirs)
    move(store, mine, theirs)
    again = lose_state(clouds, broker)
    outcome = again.reindex()
    assert [odd.oddity for odd in outcome.odd] == [Oddity.DAMAGED]
    assert list(again.list()) == []


def test_a_body_of_another_length_is_damage(clouds):
    clouds.write(targets=("outscale/eu-west-2",))
    broker = clouds.open()
    broker.put("internal/a", b"a body")
    broker.put("public/a", b"a body")
    store = clouds.stores["outscale/eu-west-2"]
    for _, name in clouds.held():
        metadata = store.head(name).metadata
        store.put(name, b"x" * 300, size=300, metadata=metadata)
    again = lose_state(clouds, broker)
    assert [odd.oddity for odd in again.reindex().odd] == [Oddity.DAMAGED] * 2
    assert list(again.list()) == []


def test_copies_that_contradict_each_other_are_told(clouds, broker):
    broker.put("public/a", b"a body")
    broker.put("confidential/a", b"a body")
    ((_, mine), *_) = [(t, n) for t, n in clouds.held() if n.startswith("confidential")]
    first, second = clouds.stores["outscale/eu-west-2"], clouds.stores["ovhcloud/gra"]
    record = first.head(mine).metadata["sovbroker"]
    kid, _, rest = record.removeprefix("1~").partition("~")
    wrapped, *_ = rest.split("~")
    # The same version, described anew: a provider could only have got it from somebody with the keys.
    dek = broker.keys.by_kid("main", kid).unwrap_dek(wrapped)
    context = Context("main", "confidential/a", mine.partition("@")[2], "confidential")
    told = open_metadata(dek, context, Record.decode(record).metadata)
    other = replace(Record.decode(record), metadata=seal_metadata(dek, context, {**told, "metadata": {"k": "v"}}))
    with second.get(mine) as reader:
        body = reader.read()
    second.put(mine, body, size=len(body), metadata={"sovbroker": other.encode()})
    again = lose_state(clouds, broker)
    outcome = again.reindex()
    assert Oddity.DAMAGED in {odd.oddity for odd in outcome.odd}
    assert again.read("confidential/a") == b"a body"


def test_without_its_key_an_object_is_locked_and_comes_back_with_it(clouds, broker):
    broker.put("internal/a", b"sealed")
    broker.put("public/a", b"in the clear")
    broker.close()
    ring = clouds.folder / "keyring.json"
    right = ring.read_bytes()
    ring.unlink()
    quick = PassphraseService("a passphrase that the tests made up", cost=Cost(memory=8 << 10, passes=1, lanes=1))
    Keyring.create(ring, quick, recovery=False)[0].close()
    again = lose_state(clouds, broker)
    outcome = again.reindex()
    assert [(odd.oddity, outcome.rebuilt) for odd in outcome.odd] == [(Oddity.LOCKED, 1)]
    again.close()
    ring.write_bytes(right)
    with clouds.open() as healed:
        outcome = healed.reindex()
        assert (outcome.rebuilt, outcome.known, outcome.whole) == (1, 1, True)
        assert healed.read("internal/a") == b"sealed"


def test_a_target_that_does_not_answer_stops_it(clouds, broker):
    broker.put("internal/a", b"sealed")
    again = lose_state(clouds, broker)

    def down(target, operation, key):
        if operation == "head":
            raise Unavailable("no answer", target=target)

    clouds.before = down
    with pytest.raises(StoreError):
        again.reindex()
    assert list(again.list()) == []


RETAINED = """
sovbroker: 1
name: retained
levels: [public]
default: public
zones:
  anywhere: {}
require:
  public: {store: {anywhere: {encrypt: client}}, retain: {min: 30d}}
"""


def test_what_the_policy_retains_keeps_its_row_and_goes_when_its_time_is_over(clouds):
    clouds.write(policy=RETAINED, targets=("outscale/eu-west-2",))
    broker = clouds.open()
    first = broker.put("a", b"one").version
    clouds.pass_time(timedelta(days=1))
    second = broker.put("a", b"two").version
    before = [v.to_dict() for v in broker.versions("a")]
    again = lose_state(clouds, broker)
    assert again.reindex().whole
    assert [v.to_dict() for v in again.versions("a")] == before
    assert [v.version for v in again.versions("a")] == [second, first]
    assert again.read("a", version=first) == b"one"
    clouds.pass_time(timedelta(days=30))
    again.sweep()
    with pytest.raises(NotFound):
        again.read("a", version=first)
    assert len(clouds.held()) == 1


KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/~"), min_size=1, max_size=20).filter(
    lambda name: name.strip(".")
)
KINDS = st.sampled_from(["public", "internal", "confidential", "restricted"])


@pytest.mark.parametrize("seed", range(20))
def test_any_set_of_objects_comes_back(clouds, broker, seed):
    objects = st.dictionaries(st.tuples(KINDS, KEYS), st.binary(max_size=300), min_size=1, max_size=6)

    @hypothesis_seed(seed)
    @settings(max_examples=1, database=None, phases=[Phase.generate])
    @given(objects)
    def put(found):
        for (kind, name), body in found.items():
            broker.put(f"{kind}/{name}", body)

    put()
    before = told(broker)
    again = lose_state(clouds, broker)
    assert again.reindex().whole
    assert told(again) == before
