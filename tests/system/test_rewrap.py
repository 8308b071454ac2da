"""Data keys under the new epoch: no body moves, nothing is out of reach at any moment, and what is left is told."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest
from tests.system.conftest import PASSPHRASE, POLICY, Clouds, Faulty

from sovbroker import rewrapping
from sovbroker.envelope import CHUNK, Record, read_sidecar
from sovbroker.errors import InvalidArgument, KeyUnavailable, NotFound, PermissionDenied, Tampered, Unavailable
from sovbroker.keys import Keyring, PassphraseService
from sovbroker.placements import SqliteIndex
from sovbroker.ports import Binding, Feature, Support
from sovbroker_adapters import local
from sovbroker_adapters.memory import MemoryStore

GRA, OUTSCALE = "ovhcloud/gra", "outscale/eu-west-2"
BIG = {"note": "x" * 3000}
BODIES = {
    "public/a": b"in the clear",
    "internal/b": b"sealed",
    "internal/sidecar": b"much is said of it",
    "confidential/c": os.urandom(3 * CHUNK),
    "restricted/d/e": b"its name is hidden",
}


def fill(broker):
    for key, body in BODIES.items():
        broker.put(key, body, metadata=BIG if key.endswith("sidecar") else {"k": "v"})


def rotate(broker):
    return broker.keys.keyring("main").rotate("main").kid


def rows_of(broker):
    return [broker._flow.index.current(info.key) for info in broker.list()]


def kids_at(store, row, copy):
    """Return the kid that a provider's copy of the record names."""
    if store.capabilities[Feature.METADATA].usable:
        return Record.decode(store.head(copy.physical).metadata[Record.NAME]).kid
    with store.get(copy.sidecar) as reader:
        return read_sidecar(reader.read()).kid


def kids(clouds, broker):
    """Return every kid that a row or a copy of it names."""
    found = set()
    for row in rows_of(broker):
        if row.record:
            found.add(Record.decode(row.record).kid)
        for copy in row.copies:
            if copy.sealed:
                found.add(kids_at(clouds.stores[copy.target], row, copy))
    return found


def forget_older(broker):
    """Take every key but the current one from the keyring's file: what still needs an old one is lost from now on."""

    def only_newest(ring):
        return replace(ring, domains={name: epochs[-1:] for name, epochs in ring.domains.items()})

    keyring = broker.keys.keyring("main")
    keyring._change(only_newest)
    keyring._cache.clear()


def assert_reads(broker):
    for key, body in BODIES.items():
        assert broker.read(key) == body
        assert broker.read(key, range=(1, 3)) == body[1:4]


def test_afterwards_nothing_needs_the_old_key(clouds, broker):
    fill(broker)
    held = clouds.held()
    seen = []
    fresh = rotate(broker)
    outcome = broker.rewrap(progress=lambda *said: seen.append(said))
    assert (outcome.done, outcome.left, outcome.whole, seen) == (4, (), True, [(4, 4)])
    assert kids(clouds, broker) == {fresh}
    assert clouds.held() == held
    forget_older(broker)
    assert_reads(broker)
    assert broker.rewrap().done == 0


def test_other_processes_see_it_and_the_job_sees_theirs(clouds, broker):
    fill(broker)
    with Keyring.open(clouds.folder / "keyring.json", PassphraseService(PASSPHRASE)) as elsewhere:
        fresh = elsewhere.rotate("main").kid
    other = clouds.open()
    assert broker.rewrap("main").done == 4
    assert kids(clouds, broker) == {fresh}
    assert_reads(other)


def test_every_version_that_can_be_read_is_wrapped_anew(clouds):
    keep = POLICY.replace("internal: {store:", "internal: {retain: {min: 30d}, store:")
    broker = clouds.open(policy=keep)
    first = broker.put("internal/a", b"one").version
    broker.put("internal/a", b"two")
    rotate(broker)
    assert broker.rewrap().done == 2
    forget_older(broker)
    assert broker.read("internal/a", version=first) == b"one"
    assert broker.read("internal/a") == b"two"


def test_a_domain_that_is_not_there(broker):
    with pytest.raises(InvalidArgument, match="no keyring `other` in the configuration; there is `main`"):
        broker.rewrap("other")
    broker.put("public/a", b"in the clear")
    assert broker.rewrap().done == 0
    assert broker.keys.status()["main"].domains == ()


# --- half done


@pytest.mark.parametrize("ahead", ["copies", "row", "one copy"])
def test_a_copy_and_its_row_may_be_under_different_keys(clouds, broker, ahead):
    fill(broker)
    rotate(broker)
    before = rows_of(broker)
    if ahead == "one copy":
        clouds.before = lambda target, operation, key: (
            _raise(Unavailable("no answer")) if (target, operation) == (OUTSCALE, "set_metadata") else None
        )
        outcome = broker.rewrap()
        assert {item.target for item in outcome.left} == {OUTSCALE}
        clouds.before = lambda *_: None
    elif ahead == "copies":
        broker.rewrap()
        now = {row.key: row for row in rows_of(broker)}
        broker._flow.index.replace_records([(now[row.key], row.record) for row in before])
    else:
        entries = {
            (copy.target, copy.physical): clouds.stores[copy.target].head(copy.physical).metadata
            for row in before
            for copy in row.copies
        }
        broker.rewrap()
        for (target, name), metadata in entries.items():
            clouds.stores[target].set_metadata(name, metadata=metadata)
    assert len(kids(clouds, broker)) == 2
    assert_reads(broker)
    outcome = reindexed(clouds, broker)
    assert outcome.read("confidential/c") == BODIES["confidential/c"]
    assert_reads(outcome)
    assert outcome.rewrap().whole
    assert len(kids(clouds, outcome)) == 1
    forget_older(outcome)
    assert_reads(outcome)


def _raise(error):
    raise error


def reindexed(clouds, broker):
    """Lose the state, and find everything again."""
    broker.close()
    for file in clouds.folder.glob("state.db*"):
        file.unlink()
    again = clouds.open()
    outcome = again.reindex()
    assert outcome.whole, outcome
    assert outcome.rebuilt == len(BODIES)
    return again


def test_only_the_same_data_key_is_taken_for_the_same(clouds, broker):
    """What a provider shows instead of the record is refused, unless this very key stands in it, wrapped otherwise."""
    broker.put("internal/a", b"one")
    row = broker._flow.index.current("internal/a")
    other = Record.decode(broker._flow.index.current("internal/a").record)
    key = broker.keys.domain("main")
    store, name = clouds.stores[row.copies[0].target], row.copies[0].physical
    wrong = [
        replace(other, wrapped=key.wrap_dek(os.urandom(32))),
        replace(other, head=os.urandom(56)),
        replace(other, metadata=os.urandom(len(other.metadata))),
        replace(other, kid="somebody-elses"),
        replace(other, wrapped=other.wrapped[:-1] + ("A" if other.wrapped[-1] != "A" else "B")),
    ]
    for record in wrong:
        store.set_metadata(name, metadata={Record.NAME: record.encode()})
        with pytest.raises(Tampered):
            broker.read("internal/a")
    for metadata in ({}, {Record.NAME: "1c~e30"}, {Record.NAME: "nothing"}):
        store.set_metadata(name, metadata=metadata)
        with pytest.raises(Tampered):
            broker.read("internal/a")
    again = replace(other, wrapped=key.wrap_dek(key.unwrap_dek(other.wrapped)))
    store.set_metadata(name, metadata={Record.NAME: again.encode()})
    assert broker.read("internal/a") == b"one"


# --- killed


class Disks(Clouds):
    """Providers whose objects outlive this process: one with little room for metadata, and one with none."""

    def build(self, binding):
        if binding.target not in self.stores:
            folder = self.folder.parent / "providers" / binding.target.replace("/", "-")
            folder.mkdir(parents=True, exist_ok=True)
            store = local.build(Binding(binding.target, str(folder)))
            if binding.target == GRA:
                lacking = dict.fromkeys((Feature.METADATA, Feature.SET_METADATA, Feature.MULTIPART), Support.ABSENT)
                store = replace(store, capabilities=MappingProxyType({**store.capabilities, **lacking}))
            else:
                store = replace(store, limits=replace(store.limits, metadata_max=2048))
            self.stores[binding.target] = store
        return Faulty(self.stores[binding.target], lambda operation, key: self.before(binding.target, operation, key))


@pytest.fixture
def disks(tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    disks = Disks(tmp_path / "one", monkeypatch)
    yield disks
    disks.close()


def killed(disks, step, monkeypatch):
    """Run the job in a child that is killed at a step, from 0; whether it came so far."""
    pid = os.fork()
    if not pid:
        left = step

        def count(*_):
            nonlocal left
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

        replace_records = SqliteIndex.replace_records

        def commit(self, changes):
            count()
            said = replace_records(self, changes)
            count()
            return said

        try:
            monkeypatch.setattr(rewrapping, "THREADS", 1)
            monkeypatch.setattr(rewrapping, "BATCH", 2)
            monkeypatch.setattr(SqliteIndex, "replace_records", commit)
            disks.before = lambda _, operation, key: count() if operation in {"set_metadata", "put", "delete"} else None
            os._exit(0 if disks.open().rewrap().whole else 9)
        finally:
            os._exit(8)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in {-signal.SIGKILL, 0}
    return status == -signal.SIGKILL


def test_kill_9_at_every_step(disks, monkeypatch, tmp_path):
    """Whenever it ends, everything reads, and is found again from the providers alone; the next run goes on."""
    broker = disks.open()
    fill(broker)
    layouts = {(bool(copy.sidecar), copy.target) for row in rows_of(broker) for copy in row.copies if copy.sealed}
    # Records in metadata, records in metadata and a sidecar, and records in a sidecar alone.
    assert layouts >= {(False, OUTSCALE), (True, OUTSCALE), (True, GRA)}
    broker.close()
    step, going = 0, True
    while going:
        broker = disks.open()
        rotate(broker)
        broker.close()
        going = killed(disks, step, monkeypatch)
        step += 1

        broker = disks.open()
        assert_reads(broker)
        broker.close()

        (tmp_path / "two").mkdir()
        for file in ("policy.yaml", "sovbroker.yaml", "keyring.json"):
            shutil.copy(disks.folder / file, tmp_path / "two" / file)
        lost = Disks(tmp_path / "two", monkeypatch)
        again = lost.open()
        outcome = again.reindex()
        assert (outcome.rebuilt, outcome.odd) == (len(BODIES), ())
        assert_reads(again)
        lost.close()
        shutil.rmtree(tmp_path / "two")
        monkeypatch.setattr("sovbroker.router.find_adapter", lambda _: disks.build)

        broker = disks.open()
        broker.rewrap()
        assert len(kids(disks, broker)) == 1
        broker.close()
    # Five records at least were brought to providers, and the rows changed in two batches.
    assert step > 5 + 2 * 2
    broker = disks.open()
    forget_older(broker)
    assert_reads(broker)


# --- what cannot be done


def without_setting(store):
    store.capabilities = MappingProxyType({**store.capabilities, Feature.SET_METADATA: Support.ABSENT})


def test_what_a_store_cannot_do_is_told_and_the_row_stays(clouds, broker):
    fill(broker)
    old = broker.keys.domain("main").kid
    without_setting(clouds.stores[OUTSCALE])
    fresh = rotate(broker)
    for _ in range(2):
        clouds.calls.clear()
        outcome = broker.rewrap()
        row = broker._flow.index.current("confidential/c")
        copy = next(copy for copy in row.copies if copy.target == OUTSCALE)
        told = [item for item in outcome.left if item.key == "confidential/c"]
        assert [(item.target, item.name) for item in told] == [(OUTSCALE, copy.physical)]
        assert "cannot set metadata" in told[0].why
        # Whoever asks a row for what it needs is told of the copy's key.
        assert Record.decode(row.record).kid == old
        assert not outcome.whole
        assert_reads(broker)
    # The other copy was brought under the new key, once.
    assert {kids_at(clouds.stores[copy.target], row, copy) for copy in row.copies} == {old, fresh}
    shown = clouds.stores[GRA].head(row.copies[0].physical).metadata
    broker.rewrap()
    assert clouds.stores[GRA].head(row.copies[0].physical).metadata == shown
    assert str(outcome).count("left under the old key") == len(outcome.left)
    assert outcome.to_dict()["left"][0].keys() == {"key", "version", "target", "name", "why"}
    del clouds.stores[OUTSCALE].capabilities
    assert broker.rewrap().whole
    forget_older(broker)
    assert_reads(broker)


def test_what_a_provider_refuses_is_told_and_done_later(clouds, broker):
    fill(broker)
    rotate(broker)
    clouds.fail_at("set_metadata", 2, error=PermissionDenied("`x` is retained", target=GRA, key="x"), times=1)
    outcome = broker.rewrap()
    assert (outcome.done, len(outcome.left)) == (3, 1)
    assert "`x` is retained" in outcome.left[0].why
    clouds.before = lambda *_: None
    assert broker.rewrap().done == 1


def test_a_provider_that_is_silent_is_not_asked_for_every_object(clouds, broker, monkeypatch):
    monkeypatch.setattr(rewrapping, "THREADS", 1)
    for number in range(20):
        broker.put(f"internal/{number}", b"x")
    rotate(broker)
    target = broker.stat("internal/1").copies[0].target
    clouds.calls.clear()
    clouds.fail_at("set_metadata")
    outcome = broker.rewrap()
    assert (outcome.done, len(outcome.left)) == (0, 20)
    assert len({key for _, operation, key in clouds.calls if operation == "set_metadata"}) == rewrapping.GIVE_UP
    assert "did not answer several times" in outcome.left[-1].why
    assert {item.target for item in outcome.left} == {target}
    clouds.before = lambda *_: None
    assert broker.rewrap().done == 20


def test_a_target_that_is_not_configured_any_more(clouds, broker):
    fill(broker)
    broker.close()
    gone = {copy.target for row in rows_of(clouds.open()) for copy in row.copies if copy.sealed} - {GRA}
    assert gone == {OUTSCALE}
    clouds.write(targets=(GRA,))
    again = clouds.open()
    rotate(again)
    outcome = again.rewrap()
    assert {(item.target, "not in the configuration" in item.why) for item in outcome.left} == {(OUTSCALE, True)}


def test_a_row_that_opens_nothing_replaces_no_record(clouds, broker):
    """A row may be damaged, or point at another's key; what the provider holds may be all that is left of the right."""
    one, two = (broker.put(key, b"x") and broker._flow.index.current(key) for key in ("internal/a", "internal/b"))
    record, other = Record.decode(one.record), Record.decode(two.record)
    broker._flow.index.replace_records([(one, replace(record, wrapped=other.wrapped).encode())])
    rotate(broker)
    shown = clouds.stores[one.copies[0].target].head(one.copies[0].physical).metadata
    outcome = broker.rewrap()
    assert (outcome.done, [(item.key, item.target) for item in outcome.left]) == (1, [("internal/a", "")])
    assert clouds.stores[one.copies[0].target].head(one.copies[0].physical).metadata == shown


def test_a_key_that_is_gone_is_told(clouds, broker):
    broker.put("internal/a", b"x")
    old = broker.keys.domain("main").kid
    rotate(broker)
    forget_older(broker)
    (left,) = broker.rewrap().left
    assert (left.key, left.target) == ("internal/a", "")
    assert old in left.why
    with pytest.raises(KeyUnavailable):
        broker.read("internal/a")


@pytest.mark.parametrize("how", ["delete", "put"])
def test_what_is_removed_or_replaced_meanwhile_does_not_come_back(clouds, broker, how):
    """A provider may do the copy onto itself, or the sidecar's put, after the removal; then it is removed again."""
    broker.put("internal/a", b"one")
    rotate(broker)
    row = broker._flow.index.current("internal/a")
    (copy,) = row.copies
    other = clouds.open()
    store = clouds.stores[copy.target]
    set_metadata = MemoryStore.set_metadata

    def late(self, key, *, metadata):
        info, (_, body) = set_metadata(self, key, metadata=metadata), self._shelf.objects[key]
        other.delete("internal/a") if how == "delete" else other.put("internal/a", b"two")
        assert key not in self._shelf.objects
        self._shelf.objects[key] = (info, body)
        return info

    store.set_metadata = late.__get__(store)
    outcome = broker.rewrap()
    assert (outcome.done, outcome.left) == (0, ())
    with pytest.raises(NotFound):
        store.head(copy.physical)
    if how == "put":
        assert broker.read("internal/a") == b"two"


# --- names


def test_hidden_names_stay_under_their_key_and_are_told(clouds, broker):
    broker.put("restricted/a/b", b"one")
    rotate(broker)
    outcome = broker.rewrap()
    assert (outcome.done, outcome.names, outcome.whole) == (1, 2, True)
    assert "names that only the old key reads" in str(outcome)
    broker.put("restricted/a/c", b"two")
    broker.close()
    for file in clouds.folder.glob("state.db*"):
        file.unlink()
    again = clouds.open()
    assert again.reindex().whole
    assert [info.key for info in again.list("restricted/")] == ["restricted/a/b", "restricted/a/c"]
    assert again.read("restricted/a/b") == b"one"


def test_retained_by_a_store_that_allows_it(clouds):
    keep = POLICY.replace("internal: {store:", "internal: {retain: {min: 30d}, store:")
    broker = clouds.open(policy=keep)
    broker.put("internal/a", b"kept")
    rotate(broker)
    assert broker.rewrap().whole
    (copy,) = broker._flow.index.current("internal/a").copies
    with pytest.raises(PermissionDenied):
        clouds.stores[copy.target].delete(copy.physical)
    clouds.pass_time(timedelta(days=31))
    assert broker.read("internal/a") == b"kept"
