"""Sources and connections that fail at any part: nothing is committed, the old version reads, leftovers are known."""

from __future__ import annotations

import os
from datetime import timedelta
from types import SimpleNamespace

import pytest

from sovbroker.envelope import Sealer
from sovbroker.errors import (
    ConfigError,
    InvalidArgument,
    PermissionDenied,
    SealError,
    StateError,
    StoreError,
    Unavailable,
)
from sovbroker.names import NameCipher
from sovbroker.transfer.outgoing import PART, SMALL

OLD = b"the old version"


def assert_intact(broker, clouds, key="confidential/a"):
    """The old version reads, and everything else at the providers is a known leftover."""
    assert broker.read(key) == OLD
    rows = {(c.target, c.physical) for v in broker._flow.index.versions(key) for c in v.copies}
    known = {(item.target, item.physical) for item in broker.leftovers()}
    assert set(clouds.held()) <= rows | known
    assert {upload.key for upload in clouds.unfinished()} <= {physical for _, physical in known}


def assert_sweeps_clean(broker, clouds):
    clouds.before = lambda *_: None
    clouds.pass_time(timedelta(days=1))
    broker.sweep()
    assert broker.leftovers() == []
    assert clouds.unfinished() == []
    assert len(clouds.held()) == 2


@pytest.mark.parametrize("at", [0, 1, PART - 1, PART, SMALL, SMALL + 1, SMALL + PART, SMALL + 2 * PART + 5])
def test_a_source_that_fails_commits_nothing(broker, clouds, at):
    broker.put("confidential/a", OLD)

    def source():
        sent = 0
        while sent < at:
            piece = bytes(min(1 << 20, at - sent))
            sent += len(piece)
            yield piece
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        broker.put("confidential/a", source())
    assert_intact(broker, clouds)
    assert broker.leftovers() == []
    assert len(clouds.held()) == 2


@pytest.mark.parametrize("raw", [True, False])
def test_a_source_that_does_not_block_is_never_cut_short(broker, clouds, raw):
    """A pipe without data says "nothing yet", which must not be taken for its end."""
    broker.put("confidential/a", OLD)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.write(writing, b"the first half")
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        source = pipe if raw else SimpleNamespace(read=pipe.read)
        with pytest.raises(InvalidArgument, match="non-blocking"):
            broker.put("confidential/a", source)
    os.close(writing)
    assert_intact(broker, clouds)


OPERATIONS = [
    ("put", 3, 2),
    ("multipart", SMALL + PART + 5, 2),
    ("part", SMALL + PART + 5, 8),
    ("commit", SMALL + 5, 2),
]


@pytest.mark.parametrize("error", [Unavailable("reset"), PermissionDenied("denied"), StoreError("odd")])
@pytest.mark.parametrize(("operation", "size", "calls"), OPERATIONS)
def test_a_connection_that_fails_at_any_call_commits_nothing(broker, clouds, operation, size, calls, error):
    broker.put("confidential/a", OLD)
    data = bytes(size)
    for number in range(1, calls + 1):
        clouds.fail_at(operation, number, error=error)
        with pytest.raises(type(error)):
            broker.put("confidential/a", data)
        assert_intact(broker, clouds)
    assert_sweeps_clean(broker, clouds)
    broker.put("confidential/a", data)
    assert broker.read("confidential/a") == data


@pytest.mark.parametrize(("operation", "size", "calls"), OPERATIONS)
def test_a_connection_that_recovers_is_tried_again_with_the_same_bytes(broker, clouds, operation, size, calls):
    data = bytes(size)
    for number in range(1, calls + 1):
        clouds.fail_at(operation, number, times=2)
        broker.put("confidential/a", data)
        assert broker.read("confidential/a") == data
    assert broker.leftovers() == []


def test_an_error_that_is_no_passing_one_is_not_tried_again(broker, clouds):
    clouds.fail_at("put", error=PermissionDenied("denied"))
    with pytest.raises(PermissionDenied):
        broker.put("internal/a", b"x")
    assert [operation for _, operation, _ in clouds.calls].count("put") == 1


def test_a_provider_that_does_not_delete_is_remembered_and_tried_again(broker, clouds):
    broker.put("confidential/a", b"1")
    clouds.fail_at("delete")
    broker.put("confidential/a", OLD)
    assert_intact(broker, clouds)
    left = broker.leftovers()
    assert len(left) == 2
    assert {(item.kind, item.attempts, item.error) for item in left} == {("copy", 1, "no answer")}
    assert broker.sweep() == 0  # not due yet
    assert_sweeps_clean(broker, clouds)


def test_what_could_not_be_removed_is_tried_again_beside_later_writes(broker, clouds):
    broker.put("confidential/a", b"1")
    clouds.fail_at("delete")
    broker.put("confidential/a", OLD)
    assert len(broker.leftovers()) == 2
    clouds.before = lambda *_: None
    clouds.pass_time(timedelta(hours=1))
    broker._next_sweep = 0.0
    broker.put("internal/b", b"x")
    assert broker.leftovers() == []
    assert len(clouds.held()) == 3


def test_a_deletion_stands_when_the_copies_cannot_be_reached(broker, clouds, monkeypatch):
    broker.put("confidential/a", OLD)
    monkeypatch.setattr(broker._flow.stores, "_store", lambda target: (_ for _ in ()).throw(ConfigError("no key")))
    broker.delete("confidential/a")
    assert not broker.exists("confidential/a")
    assert len(broker.leftovers()) == 2


def test_a_failed_write_that_may_still_arrive_stays_known(broker, clouds):
    broker.put("confidential/a", OLD)
    clouds.fail_at("put")
    with pytest.raises(Unavailable):
        broker.put("confidential/a", b"x")
    clouds.before = lambda *_: None
    late = broker.leftovers()
    assert {item.kind for item in late} == {"intent"}
    for item in late:  # the request that was given up arrives after all
        clouds.stores[item.target].put(item.physical, b"late", size=4)
    assert_sweeps_clean(broker, clouds)
    assert broker.read("confidential/a") == OLD


def test_a_state_that_cannot_be_written_commits_nothing(broker, clouds, monkeypatch):
    broker.put("confidential/a", OLD)

    def full(*args, **options):
        raise StateError("disk full")

    monkeypatch.setattr(broker._flow.index, "commit", full)
    with pytest.raises(StateError, match="full"):
        broker.put("confidential/a", b"new")
    assert_intact(broker, clouds)
    assert_sweeps_clean(broker, clouds)


def test_a_commit_whose_answer_is_lost_is_not_undone(broker, clouds, monkeypatch):
    commit = broker._flow.index.commit

    def lost(*args, **options):
        commit(*args, **options)
        raise StateError("the answer was lost")

    monkeypatch.setattr(broker._flow.index, "commit", lost)
    with pytest.raises(StateError):
        broker.put("confidential/a", b"new")
    assert broker.read("confidential/a") == b"new"


def test_a_failure_after_the_commit_does_not_undo_it(broker, clouds, monkeypatch):
    broker.put("confidential/a", b"1")

    def broken(*args, **options):
        raise StateError("cannot record")

    monkeypatch.setattr(broker._flow.index, "removed", broken)
    broker.put("confidential/a", OLD)
    assert broker.read("confidential/a") == OLD


def test_the_second_copy_is_read_when_the_first_is_out_of_reach(broker, clouds):
    broker.put("confidential/a", OLD)
    first = broker.stat("confidential/a").copies[0].target

    def before(target, operation, key):
        if target == first:
            raise Unavailable("down", target=target)

    clouds.before = before
    assert broker.read("confidential/a") == OLD
    assert broker.read("confidential/a", range=(4, 6)) == b"old"
    clouds.before = lambda *_: (_ for _ in ()).throw(Unavailable("all down"))
    with pytest.raises(Unavailable, match="all down"):
        broker.read("confidential/a")


def test_a_deadline_is_kept_and_commits_nothing(broker, clouds):
    broker.put("confidential/a", OLD)
    clouds.fail_at("put")
    with pytest.raises(Unavailable):
        broker.put("confidential/a", b"x", deadline=0.0)
    assert_intact(broker, clouds)


def test_progress_is_told_and_may_stop_the_transfer(broker, clouds):
    broker.put("confidential/a", OLD)
    seen = []
    size = SMALL + 2 * PART
    broker.put("internal/b", bytes(size), progress=lambda done, total: seen.append((done, total)))
    broker.delete("internal/b")
    assert seen[-1] == (size, size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broker.put("confidential/a", bytes(size), progress=stop)
    assert_intact(broker, clouds)


@pytest.mark.parametrize("size", [100, SMALL + PART])
def test_the_guard_lets_no_plaintext_pass_when_sealing_is_broken(broker, clouds, monkeypatch, size):
    """Break the sealer so that it hands on what it got: the guard, which knows no keys, must refuse."""

    class Broken:
        def __init__(self, dek, context):
            self.head = Sealer(dek, context).head

        def seal(self, data):
            return bytearray(self.head + bytes(data))

        def seal_into(self, data, out, *, first_chunk, final):
            out[: len(data)] = data
            return len(data)

    monkeypatch.setattr("sovbroker.writing.Sealer", Broken)
    with pytest.raises(SealError, match="nothing was sent"):
        broker.put("internal/a", b"patient " * (size // 8))
    assert clouds.held() == {}
    assert clouds.unfinished() == []


def test_the_guard_lets_no_name_pass_when_hiding_is_broken(broker, clouds, monkeypatch):
    monkeypatch.setattr(NameCipher, "encrypt", lambda self, key, **_: key)
    with pytest.raises(SealError, match="hides names"):
        broker.put("restricted/a", b"x")
    assert clouds.held() == {}
