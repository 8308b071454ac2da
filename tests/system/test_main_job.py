"""Put it in, get it back: every kind of data, every operation, every size class."""

from __future__ import annotations

import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor

from sovbroker.errors import AlreadyExists, ConfigError, Conflict, InvalidArgument, NotFound, Refused
from sovbroker.transfer.outgoing import PART, SMALL

SIZES = [0, 1, 100, 16383, 16384, 16385, 1 << 20, SMALL - 1, SMALL, SMALL + 1, SMALL + PART, SMALL + PART + 17]


@pytest.fixture(scope="module")
def noise():
    return os.urandom(SMALL + 2 * PART)


@pytest.mark.parametrize("key", ["internal/a", "public/a", "confidential/a", "unknown/a"])
@pytest.mark.parametrize("size", SIZES)
def test_any_size_comes_back(broker, noise, key, size):
    data = noise[:size]
    stored = broker.put(key, data)
    assert stored.size == size
    assert broker.read(key) == data
    assert broker.stat(key).size == size
    with broker.get(key) as file:
        assert file.info.version == stored.version
        assert b"".join(iter(lambda: file.read(100_001), b"")) == data
    assert broker.leftovers() == []


def chunks_of(data, size=99_991):
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", [5, SMALL + PART + 17])
@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "path", "file", "bytesio", "iterable", "pipe"])
def test_any_source_is_taken(broker, noise, tmp_path, kind, size):
    data = noise[:size]
    path = tmp_path / "source"
    path.write_bytes(data)

    class Pipe:
        def __init__(self):
            self.inner = io.BytesIO(data)

        def read(self, size=-1):
            return self.inner.read(min(size, 70_001) if size > 0 else 70_001)

    with path.open("rb") as file:
        source = {
            "bytes": data,
            "bytearray": bytearray(data),
            "memoryview": memoryview(data),
            "path": path,
            "file": file,
            "bytesio": io.BytesIO(data),
            "iterable": chunks_of(data),
            "pipe": Pipe(),
        }[kind]
        broker.put("internal/a", source)
    assert broker.read("internal/a") == data


@pytest.mark.parametrize("source", ["text", io.StringIO("text"), 7, None, ["text"]])
def test_what_is_no_data_is_refused_and_changes_nothing(broker, clouds, source):
    broker.put("internal/a", b"old")
    with pytest.raises((InvalidArgument, TypeError)):
        broker.put("internal/a", source)
    assert broker.read("internal/a") == b"old"
    assert len(clouds.held()) == 1
    assert broker.leftovers() == []


@pytest.mark.parametrize("size", [10, SMALL + PART + 5])
def test_the_writer_commits_on_a_clean_close_only(broker, clouds, noise, size):
    data = noise[:size]
    with broker.writer("internal/a", metadata={"a": "b"}) as file:
        for piece in chunks_of(data):
            file.write(piece)
        assert not broker.exists("internal/a")
    assert file.stored.size == size
    assert broker.read("internal/a") == data

    def write_and_fail():
        with broker.writer("internal/a") as file:
            file.write(data)
            raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="own"):
        write_and_fail()
    assert broker.stat("internal/a").version == file.stored.version

    dropped = broker.writer("internal/a")
    dropped.write(data)
    del dropped
    assert broker.stat("internal/a").version == file.stored.version
    assert broker.leftovers() == []
    assert len(clouds.held()) == 1
    assert clouds.unfinished() == []


def test_a_text_wrapper_around_the_writer_works(broker):
    with io.TextIOWrapper(broker.writer("internal/a"), encoding="utf-8") as file:
        file.write("données\n" * 1000)
    with io.TextIOWrapper(broker.get("internal/a"), encoding="utf-8") as file:
        assert file.readlines() == ["données\n"] * 1000


@pytest.mark.parametrize("key", ["internal/a", "public/a"])
def test_ranges_and_seeks_are_slices(broker, noise, key):
    data = noise[: SMALL + 12345]
    broker.put(key, data)
    edges = [0, 1, 99, 16383, 16384, 16385, 5_000_000, SMALL, len(data) - 1]
    for first in edges:
        for length in (1, 100, 16384, 16385, 40_000):
            assert broker.read(key, range=(first, first + length - 1)) == data[first : first + length]
    with broker.get(key) as file:
        for position in [*edges, 3, len(data), 0]:
            assert file.seek(position) == position
            assert file.tell() == position
            assert file.read(33_333) == data[position : position + 33_333]
        assert file.seek(-10, io.SEEK_END) == len(data) - 10
        assert file.read() == data[-10:]
        file.seek(10)
        file.seek(5, io.SEEK_CUR)
        assert file.read(3) == data[15:18]


def test_a_range_is_one_request(broker, clouds, noise):
    broker.put("internal/a", noise[: 1 << 20])
    clouds.calls.clear()
    broker.read("internal/a", range=(500_000, 500_099))
    assert [operation for _, operation, _ in clouds.calls] == ["get"]


@pytest.mark.parametrize("wrong", [(5, 4), (-1, 4), (10, 12), (11, 11)])
def test_an_impossible_range_is_refused(broker, wrong):
    broker.put("internal/a", b"0123456789")
    with pytest.raises(InvalidArgument, match="range"):
        broker.read("internal/a", range=wrong)
    broker.put("internal/empty", b"")
    with pytest.raises(InvalidArgument, match="range"):
        broker.read("internal/empty", range=(0, 0))


def test_metadata_content_type_and_label_are_kept(broker):
    stored = broker.put(
        "internal/a", b"x", metadata={"patient": "Zoë"}, content_type="text/plain", label="confidential"
    )
    info = broker.stat("internal/a")
    assert (info.metadata, info.content_type, info.label) == ({"patient": "Zoë"}, "text/plain", "confidential")
    assert len(info.copies) == 2
    assert {copy.target for copy in stored.copies} == {"ovhcloud/gra", "outscale/eu-west-2"}
    assert {copy.mode for copy in stored.copies} == {"sealed"}


def test_an_overwrite_keeps_the_stricter_label_and_removes_the_old_copies(broker, clouds):
    broker.put("internal/a", b"old", label="confidential")
    assert len(clouds.held()) == 2
    stored = broker.put("internal/a", b"new")
    assert stored.label == "confidential"
    assert broker.read("internal/a") == b"new"
    assert len(clouds.held()) == 2
    assert all(stored.version in key for _, key in clouds.held())


def test_conditions_hold(broker):
    first = broker.put("internal/a", b"1", if_absent=True)
    with pytest.raises(AlreadyExists):
        broker.put("internal/a", b"2", if_absent=True)
    with pytest.raises(Conflict):
        broker.put("internal/a", b"2", if_version="0" * 24)
    with pytest.raises(Conflict):
        broker.put("internal/b", b"2", if_version=first.version)
    second = broker.put("internal/a", b"2", if_version=first.version)
    with pytest.raises(Conflict):
        broker.delete("internal/a", if_version=first.version)
    broker.delete("internal/a", if_version=second.version)
    assert not broker.exists("internal/a")


def test_one_of_sixteen_writers_wins(broker, clouds):
    def attempt(number):
        try:
            return broker.put("confidential/a", bytes([number]) * 1000, if_absent=True).version
        except AlreadyExists:
            return None

    with ThreadPoolExecutor(16) as pool:
        winners = [version for version in pool.map(attempt, range(16)) if version]
    assert winners == [broker.stat("confidential/a").version]
    assert broker.leftovers() == []
    assert len(clouds.held()) == 2


def test_targets_and_keys_can_be_looked_at(broker):
    assert [place.target.id for place in broker.targets.list()] == ["ovhcloud/gra", "outscale/eu-west-2"]
    assert all(place.target.emulated for place in broker.targets.list())
    broker.put("internal/a", b"x")
    (status,) = broker.keys.status().values()
    assert [domain.name for domain in status.domains] == ["main"]


def test_a_late_writer_meets_the_condition_at_its_commit(broker, clouds):
    writer = broker.writer("internal/a", if_absent=True)
    writer.write(b"late")
    broker.put("internal/a", b"early")
    with pytest.raises(AlreadyExists):
        writer.close()
    assert broker.read("internal/a") == b"early"
    assert len(clouds.held()) == 1
    assert broker.leftovers() == []


def test_copy_move_and_delete(broker, clouds):
    broker.put("internal/a", b"content", metadata={"m": "1"}, label="confidential")
    copied = broker.copy("internal/a", "internal/b")
    assert copied.label == "confidential"
    assert broker.stat("internal/b").metadata == {"m": "1"}
    moved = broker.move("internal/a", "restricted/c")
    assert moved.label == "restricted"
    assert not broker.exists("internal/a")
    assert broker.read("restricted/c") == broker.read("internal/b") == b"content"
    assert dict(broker.delete_many(["internal/b", "nothing"])).keys() == {"nothing"}
    with pytest.raises(NotFound):
        broker.delete("internal/b")
    broker.delete("restricted/c")
    assert clouds.held() == {}
    for call in (broker.copy, broker.move):
        with pytest.raises(InvalidArgument, match="itself"):
            call("x", "x")
        with pytest.raises(NotFound):
            call("nothing", "y")


def test_relabel_raises_a_label_and_places_anew(broker, clouds):
    before = broker.put("internal/a", b"content")
    after = broker.relabel("internal/a", "restricted")
    assert after.label == "restricted"
    assert after.copies[0].mode == "sealed, names hidden"
    assert after.version != before.version
    assert broker.read("internal/a") == b"content"
    assert not any("internal/a" in key for _, key in clouds.held())
    with pytest.raises(InvalidArgument, match="lower"):
        broker.relabel("internal/a", "public")
    assert broker.stat("internal/a").version == after.version


def test_listing_is_in_byte_order_with_folders(broker):
    keys = ["internal/a", "internal/b/1", "internal/b/2", "internal/b-", "internal/é", "internal/z/x/y", "public/p"]
    for key in keys:
        broker.put(key, b"")
    assert [info.key for info in broker.list()] == sorted(keys, key=str.encode)
    assert [info.key for info in broker.list("internal/b/")] == ["internal/b/1", "internal/b/2"]
    found = [getattr(item, "prefix", None) or item.key for item in broker.list("internal/", delimiter="/")]
    assert found == ["internal/a", "internal/b-", "internal/b/", "internal/z/", "internal/é"]


def test_versions_are_retained_as_the_policy_says(clouds):
    clouds.write()
    text = (clouds.folder / "policy.yaml").read_text()
    (clouds.folder / "policy.yaml").write_text(text.replace("internal: {store", "internal: {retain: {min: 30d}, store"))
    broker = clouds.open()
    first = broker.put("internal/a", b"1")
    second = broker.put("internal/a", b"2")
    assert [info.version for info in broker.versions("internal/a")] == [second.version, first.version]
    assert broker.read("internal/a", version=first.version) == b"1"
    broker.delete("internal/a")
    assert [info.current for info in broker.versions("internal/a")] == [False, False]
    clouds.pass_time(timedelta(days=31))
    assert broker.sweep() == 2
    assert broker.versions("internal/a") == []
    assert clouds.held() == {}


def test_explain_tells_of_every_target_once(clouds):
    clouds.write(targets=("ovhcloud/gra", "outscale/eu-west-2", "aws/eu-west-3"))
    broker = clouds.open()
    decision = broker.explain("internal/a")
    told = [choice.target for choice in decision.targets]
    assert set(told) | set(decision.rejected) | {c.target for c in decision.alternatives} == {
        "ovhcloud/gra",
        "outscale/eu-west-2",
        "aws/eu-west-3",
    }
    assert any("US" in reason for reason in decision.rejected["aws/eu-west-3"])


def test_a_refusal_sends_and_records_nothing(clouds):
    clouds.write(targets=("aws/eu-west-3",))
    broker = clouds.open()
    with pytest.raises(Refused, match="aws/eu-west-3") as caught:
        broker.put("internal/a", b"x")
    assert not caught.value.decision.allowed
    assert clouds.held() == {}
    assert clouds.calls == []
    assert broker.leftovers() == []


def test_the_exit_ticket_opens_the_body_without_us(broker, clouds):
    broker.put("restricted/a", b"content" * 5000)
    with pytest.raises(InvalidArgument, match="reveal_key"):
        broker.exit_ticket("restricted/a")
    ticket = broker.exit_ticket("restricted/a", reveal_key=True)
    place = ticket.places[0]
    body = clouds.held()[place["target"], place["name"]]
    opened = Cobblestone256Decryptor(bytes.fromhex(ticket.dek), bytes.fromhex(ticket.context))
    assert opened.update(body) + opened.finalize() == b"content" * 5000
    assert ticket.dek not in repr(ticket)


def test_every_copy_carries_the_same_record(broker, clouds):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for number in range(60):
            broker.put(f"confidential/{number}", b"x")
    finally:
        sys.setswitchinterval(interval)
    for number in range(60):
        heads = set()
        for store in clouds.stores.values():
            (page,) = store.list(f"confidential/{number}@")
            heads.add(store.head(page.objects[0].key).metadata["sovbroker"])
        assert heads == {broker._flow.index.current(f"confidential/{number}").record}


def test_a_broker_survives_a_fork_and_threads(broker):
    broker.put("internal/a", b"parent")
    pid = os.fork()
    if pid == 0:
        try:
            broker.put("internal/child", b"child" * 4_000_000)
            os._exit(0 if broker.read("internal/a") == b"parent" else 2)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: broker.put(f"internal/{n}", bytes([n]) * 1000), range(64)))
    assert all(broker.read(f"internal/{n}") == bytes([n]) * 1000 for n in range(64))


def test_a_missing_keyring_is_named_with_its_mend(clouds):
    clouds.write()
    (clouds.folder / "keyring.json").unlink()
    with pytest.raises(ConfigError, match=r"keyring\.json.*sovbroker keys init"):
        clouds.open()
