"""Everything that a broker does, over a store that has neither metadata nor uploads in parts."""

from __future__ import annotations

import io
import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from sovbroker.envelope import HEAD, ClearRecord, Record, read_sidecar
from sovbroker.errors import AlreadyExists, NotSupported
from sovbroker.guard import Permit
from sovbroker.testing.recorder import Recorder, traces
from sovbroker.transfer.outgoing import PART, SMALL

KEYS = ["public/a", "internal/a", "both/a", "secret/a"]
SIZES = [0, 5, 100_000, SMALL + 1]
NAME = b"Jeanne-Marie Lefebvre-Duvallon"
METADATA = {"dossier": "confidential-file-8c1f", "médecin": "Dr Grandjean"}


@pytest.fixture(scope="module")
def noise():
    return os.urandom(40 << 20)


@pytest.mark.parametrize(
    ("key", "size"), [*((key, size) for key in KEYS for size in SIZES), ("both/a", SMALL), ("both/a", 40 << 20)]
)
def test_any_size_comes_back(broker, home, noise, key, size):
    data = noise[:size]
    stored = broker.put(key, data, metadata=METADATA)
    assert broker.read(key) == data
    assert broker.stat(key).metadata == METADATA
    with broker.get(key) as file:
        file.seek(size // 2)
        assert file.read(1000) == data[size // 2 :][:1000]
    for first in {0, size // 2, max(0, size - 3)} if size else set():
        assert broker.read(key, range=(first, first + 100)) == data[first : first + 101]
    assert home.names() == sorted([(name := home.names()[0]), name + "~"])
    assert stored.version in name
    assert home.files(waiting=True) == []
    assert broker.leftovers() == []


@pytest.mark.parametrize("kind", ["bytes", "view", "path", "file", "bytesio", "object", "copy", "move"])
def test_every_kind_of_data_whose_size_is_known_may_be_long(broker, noise, tmp_path, kind):
    key = "both/a"
    data = noise[: SMALL + PART + 17]
    path = tmp_path / "data"
    path.write_bytes(data)
    broker.put("public/source", path)
    with path.open("rb") as file, broker.get("public/source") as found:
        match kind:
            case "copy" | "move":
                getattr(broker, kind)("public/source", key)
            case _:
                given = {"bytes": data, "view": memoryview(data), "path": path, "file": file, "object": found}
                broker.put(key, (given | {"bytesio": io.BytesIO(data)})[kind])
    assert broker.read(key) == data


@pytest.mark.parametrize("begun", [1000, SMALL])
def test_what_was_read_of_a_file_already_is_not_stored(broker, noise, begun):
    data = io.BytesIO(noise[: SMALL + PART + begun])
    data.read(begun)
    broker.put("internal/a", data)
    assert broker.read("internal/a") == data.getvalue()[begun:]


def test_a_long_stream_of_unknown_size_is_refused_and_a_short_one_is_not(broker, home, noise):
    broker.put("both/a", b"old")
    before = home.bytes()

    def pieces(size):
        for start in range(0, size, 1 << 20):
            yield noise[start : start + (1 << 20)]

    def write():
        with broker.writer("both/a") as file:
            for piece in pieces(SMALL + PART):
                file.write(piece)

    for call in (lambda: broker.put("both/a", pieces(SMALL + PART)), write):
        with pytest.raises(NotSupported, match="oodrive/fr: this store takes no parts"):
            call()
        assert broker.read("both/a") == b"old"
        assert home.bytes() == before
        assert broker.leftovers() == []
    broker.put("both/a", pieces(3 << 20))
    assert broker.read("both/a") == noise[: 3 << 20]


@pytest.mark.parametrize("size", [100_000, SMALL + PART + 5])
def test_both_providers_hold_the_same_ciphertext_and_each_is_enough(broker, home, noise, size):
    data = noise[:size]
    broker.put("both/a", data, metadata=METADATA)
    row = broker._flow.index.current("both/a")
    bodies = {}
    for copy in row.copies:
        with broker._flow.stores.guarded(copy.target, Permit.READ).get(copy.physical) as reader:
            bodies[copy.target] = reader.read()
    assert set(bodies) == {"oodrive/fr", "ovhcloud/gra"}
    assert bodies["oodrive/fr"] == bodies["ovhcloud/gra"]
    (sidecar,) = [copy.sidecar for copy in row.copies if copy.sidecar]
    with broker._flow.stores.guarded("oodrive/fr", Permit.READ).get(sidecar) as reader:
        record = read_sidecar(reader.read())
    assert record == Record.decode(row.record)
    assert record.head == bodies["oodrive/fr"][:HEAD]
    for gone in bodies:
        broker.put("both/a", data)
        for copy in broker._flow.index.current("both/a").copies:
            if copy.target == gone:
                broker._flow.stores.guarded(gone, Permit.READ).delete(copy.physical)
        assert broker.read("both/a") == data


def test_the_record_beside_tells_all_that_the_row_does(broker, home):
    for key in ("public/a", "internal/a"):
        broker.put(key, b"x" * 50, metadata=METADATA, content_type="text/plain")
    sealed, clear = [read_sidecar(path.read_bytes()) for path in home.files() if path.name.endswith("~")]
    row = broker._flow.index.current("public/a")
    assert isinstance(sealed, Record)
    assert isinstance(clear, ClearRecord)
    assert clear.metadata == {
        "key": "public/a",
        "version": row.version,
        "label": "public",
        "size": 50,
        "targets": ["oodrive/fr"],
        "created": row.created.isoformat(),
        "content_type": "text/plain",
        "metadata": METADATA,
    }


def test_listing_moving_and_deleting(broker, home):
    for n in range(12):
        broker.put(f"internal/{n % 3}/{n:02}", b"%d" % n)
        broker.put(f"secret/{n % 3}/{n:02}", b"%d" % n)
    assert [info.key for info in broker.list("internal/1/")] == [f"internal/1/{n:02}" for n in (1, 4, 7, 10)]
    folders = [folder.prefix for folder in broker.list("secret/", delimiter="/")]
    assert folders == ["secret/0/", "secret/1/", "secret/2/"]
    broker.move("internal/1/01", "secret/9/Moved É")
    broker.copy("secret/9/Moved É", "internal/copy")
    assert broker.read("internal/copy") == broker.read("secret/9/Moved É") == b"1"
    assert not broker.exists("internal/1/01")
    assert len(home.names()) == 2 * 25
    assert broker.delete_many([info.key for info in broker.list()]) == {}
    assert home.names() == []
    assert broker.leftovers() == []


def test_versions_are_retained_and_swept(home):
    home.write(policy=(home.path / "policy.yaml").read_text().replace("internal: {", "internal: {retain: {min: 30d}, "))
    broker = home.open()
    first = broker.put("internal/a", b"1")
    second = broker.put("internal/a", b"2")
    assert [info.version for info in broker.versions("internal/a")] == [second.version, first.version]
    assert broker.read("internal/a", version=first.version) == b"1"
    broker.delete("internal/a")
    assert len(home.names()) == 4
    home.now += timedelta(days=31)
    assert broker.sweep() == 2
    assert home.names() == []


def test_one_of_sixteen_writers_wins(broker, home):
    def write(n):
        try:
            return broker.put("both/one", b"%d" % n * 1000, if_absent=True)
        except AlreadyExists:
            return None

    with ThreadPoolExecutor(16) as pool:
        won = [stored for stored in pool.map(write, range(16)) if stored is not None]
    assert len(won) == 1
    assert broker.stat("both/one").version == won[0].version
    broker.sweep()
    assert len(home.names()) == 2
    assert home.files(waiting=True) == []
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: broker.put(f"internal/{n % 4}", b"%d" % n * 1000), range(64)))
    assert len(home.names()) == 2 + 2 * 4


@pytest.mark.parametrize("size", [len(NAME), SMALL + 1])
def test_the_server_and_the_wire_see_nothing_of_a_hidden_object(home, webdav, size):
    data = (NAME * (size // len(NAME) + 1))[:size]
    with Recorder() as recorder:
        home.write(url=recorder.in_front_of("oodrive/fr", webdav.host))
        broker = home.open()
        broker.put("secret/oncologie/lefebvre.json", data, metadata=METADATA, content_type="application/fhir+json")
        assert broker.read("secret/oncologie/lefebvre.json") == data
        seen = b"".join(bytes(tape.data) for tape in recorder.tapes())
        assert len(seen) > 2 * size
        at_rest = home.bytes()
        others = (b"lefebvre", b"oncologie", b"confidential-file-8c1f", b"Grandjean", b"fhir+json")
        for secret in (NAME, *(others if size < SMALL else ())):
            assert recorder.saw(secret) == []
            assert traces(secret, at_rest) == []
        # The control: what the policy allows in the clear is found.
        broker.put("public/lefebvre.json", NAME, metadata=METADATA)
        assert traces(NAME, home.bytes())
        assert any(traces(b"confidential-file-8c1f", file.read_bytes()) for file in home.files())
        # On whichever connection: one that was idle may have been closed, and another made.
        sent = recorder.tapes("oodrive/fr", direction="sent")
        assert any(traces(NAME, bytes(tape.data)[-100_000:]) for tape in sent)


def test_a_long_write_to_both_takes_bounded_memory(broker, tmp_path):
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    broker.put("both/warm", bytes(SMALL + PART))
    tracemalloc.start()
    broker.put("both/long", path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < SMALL + 4 * PART
    assert broker.stat("both/long").size == 100 << 20
    assert broker.read("both/long", range=(75 << 20, (75 << 20) + 9)) == bytes(10)
