"""What only a folder can get wrong: names, crashes, a full disk, permissions, leftovers."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.errors import ConfigError, InvalidArgument, NotFound, PermissionDenied, Unavailable
from sovbroker.ports import Binding, Credentials
from sovbroker_adapters.local import build, disk
from sovbroker_adapters.local.names import folder_name

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda key: len(key.encode()) <= 1024)


def binding(folder, **settings):
    return Binding(target="here", container=str(folder), settings=settings)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "objects here"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root):
    return build(binding(root))


def files(root):
    return sorted(path for path in root.rglob("*") if path.is_file() and path.name != "lock")


def load(store, key):
    with store.get(key) as reader:
        return reader.read()


def keys(store):
    return [info.key for page in store.list() for info in page.objects]


@given(key=KEYS)
@settings(max_examples=300, deadline=None)
def test_a_name_never_leaves_its_folder_and_fits_any_file_system(key):
    parts = folder_name(key).split("/")
    assert parts
    for part in parts:
        assert re.fullmatch(r"[a-z0-9._@+=,~%-]{1,255}", part)
        assert part not in {".", ".."}
        assert part != "%meta.json"
        assert not part.startswith("%object-")


@given(one=KEYS, other=KEYS)
@settings(max_examples=300, deadline=None)
def test_different_keys_have_different_names_even_where_case_does_not_count(one, other):
    for changed in (one.swapcase(), one.casefold(), one + "/"):
        assert (one == changed) == (folder_name(one).lower() == folder_name(changed).lower())
    assert (one == other) == (folder_name(one).lower() == folder_name(other).lower())


@given(pairs=st.lists(st.text("aB/.%+_-é\n\\", min_size=1, max_size=12), min_size=1, max_size=12, unique=True))
@settings(max_examples=15, deadline=None)
def test_lists_any_keys_in_byte_order(tmp_path_factory, pairs):
    store = build(binding(tmp_path_factory.mktemp("root")))
    for key in pairs:
        store.put(key, key.encode(), size=len(key.encode()))
    assert keys(store) == sorted(pairs, key=str.encode)
    for prefix in {key[:2] for key in pairs}:
        found = [info.key for page in store.list(prefix) for info in page.objects]
        assert found == sorted((key for key in pairs if key.startswith(prefix)), key=str.encode)
        after = [info.key for page in store.list(start_after=prefix) for info in page.objects]
        assert after == sorted((key for key in pairs if key > prefix), key=str.encode)
    for key in pairs:
        assert load(store, key) == key.encode()
        store.delete(key)
    assert keys(store) == []


def test_cut_segments_sort_among_others(store):
    base = "x" * 240
    names = [base, base + "!", base + "/", base + "/a", base + "0", base + "x" * 300, base + "x" * 300 + "/y", "y"]
    for key in reversed(names):
        store.put(key, b"", size=0)
    assert keys(store) == sorted(names)


def test_an_operator_opens_an_object_with_ten_lines(root, store):
    store.put("Patients/né 42.json", b"body", size=4, metadata={"sov": "abc"})
    script = """
    import json, sys
    from pathlib import Path
    from urllib.parse import unquote
    for entry in Path(sys.argv[1]).rglob("%meta.json"):
        said = json.loads(entry.read_text())
        print(said["key"], said["metadata"], (entry.parent / said["body"]).read_bytes())
        print(unquote(str(entry.parent)))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(root)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0] == "Patients/né 42.json {'sov': 'abc'} b'body'"
    assert said[1].endswith("/objects/Patients/né 42.json")


def test_only_the_body_and_its_entry_are_left(root, store):
    for body in (b"first", b"second", b"third"):
        store.put("a/b", body, size=len(body))
    assert [path.name.split("-")[0] for path in files(root)] == ["%meta.json", "%object"]
    assert files(root)[1].read_bytes() == b"third"
    upload = store.multipart("big")
    upload.part(1, b"x")
    upload.commit([upload.part(1, b"one"), upload.part(2, b"two")])
    store.copy("big", "copy")
    store.delete("big")
    store.delete("a/b")
    store.delete("copy")
    assert files(root) == []
    assert sorted(path.name for path in root.iterdir()) == ["lock", "objects", "temporary", "uploads"]
    assert [list((root / name).iterdir()) for name in ("objects", "temporary", "uploads")] == [[], [], []]


def test_nobody_else_may_read_it(root, store):
    store.put("a/b", b"x", size=1)
    modes = {stat & 0o077 for stat in (path.stat().st_mode for path in root.rglob("*"))}
    assert modes == {0}


def test_everything_is_synced_before_a_call_returns(root, store, monkeypatch):
    synced = []
    real = os.fsync

    def record(handle):
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())
        real(handle)

    monkeypatch.setattr(os, "fsync", record)
    store.put("a/b/c", b"x", size=1)
    objects = root / "objects"
    kinds = [path.name.endswith("-entry") for path in synced if path.parent == root / "temporary"]
    assert sorted(kinds) == [False, True]
    assert {root, objects, objects / "a", objects / "a/b", objects / "a/b/c"} <= set(synced)
    synced.clear()
    store.delete("a/b/c")
    assert objects in synced
    synced.clear()
    upload = store.multipart("big")
    assert root / "uploads" in synced
    part = upload.part(1, b"x")
    assert {root / "uploads" / upload.id, root / "uploads" / upload.id / "00001"} <= set(synced)
    synced.clear()
    upload.commit([part])
    assert {objects, objects / "big"} <= set(synced)
    assert sum(path.parent == root / "temporary" for path in synced) == 2


def test_a_copy_does_not_change_with_its_source(store):
    store.put("a", b"first", size=5)
    store.copy("a", "b")
    store.put("a", b"second", size=6)
    assert (load(store, "a"), load(store, "b")) == (b"second", b"first")


def test_a_copy_works_where_files_cannot_be_linked(store, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    store.put("a", b"first", size=5, metadata={"m": "1"})
    store.copy("a", "b")
    assert load(store, "b") == b"first"
    assert store.head("b").metadata == {"m": "1"}


def test_parts_are_joined_where_the_kernel_cannot_copy(store, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EXDEV, "not between these two")

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    upload = store.multipart("big")
    parts = [upload.part(number, bytes([number]) * 1000) for number in (1, 2, 3)]
    upload.commit(parts)
    assert load(store, "big") == b"".join(bytes([number]) * 1000 for number in (1, 2, 3))


def test_a_reader_finishes_what_is_removed_meanwhile(store):
    store.put("a", b"x" * 100_000, size=100_000)
    with store.get("a") as reader:
        first = reader.read(10)
        store.delete("a")
        assert first + reader.read() == b"x" * 100_000


def test_a_missing_folder_is_named(tmp_path):
    store = build(binding(tmp_path / "nowhere"))
    calls = [
        lambda: store.put("a", b"x", size=1),
        lambda: store.get("a"),
        lambda: store.head("a"),
        lambda: store.delete("a"),
        lambda: store.delete_many(["a"]),
        lambda: list(store.list()),
        lambda: store.copy("a", "b"),
        lambda: store.multipart("a"),
        lambda: store.multipart("a", upload_id="0" * 32).part(1, b"x"),
        lambda: store.multipart("a", upload_id="0" * 32).abort(),
        lambda: list(store.uploads()),
    ]
    for call in calls:
        with pytest.raises(NotFound, match=r"no folder `.*nowhere`") as caught:
            call()
        assert caught.value.key is None
        assert caught.value.target == "here"
    assert not (tmp_path / "nowhere").exists()


def test_the_folder_is_made_on_request_only(tmp_path):
    build(binding(tmp_path / "deep/er", create=True)).put("a", b"x", size=1)
    assert (tmp_path / "deep/er").stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="`craete`"):
        build(binding(tmp_path, craete=True))
    with pytest.raises(ConfigError, match="folder"):
        build(Binding(target="here", container="", credentials=Credentials()))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_changes_nothing(root, store, monkeypatch, code, call):
    store.put("a", b"old", size=3)
    upload = store.multipart("big")

    def full(*args):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        for attempt in (
            lambda: store.put("a", b"new", size=3),
            lambda: store.put("b", b"new", size=3),
            lambda: upload.part(1, b"part"),
            lambda: store.multipart("other"),
        ):
            with pytest.raises(Unavailable, match="full"):
                attempt()
    assert load(store, "a") == b"old"
    assert keys(store) == ["a"]
    assert [path for path in (root / "temporary").rglob("*") if path.is_file()] == []


def test_a_disk_that_fills_up_for_real(tmp_path):
    small = tmp_path / "small"
    script = f"""
    import resource, signal, sys
    from sovbroker.errors import Unavailable
    from sovbroker.ports import Binding
    from sovbroker_adapters.local import build
    store = build(Binding(target="here", container={str(small)!r}, settings={{"create": True}}))
    store.put("old", b"old", size=3)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    for key in ("old", "new"):
        try:
            store.put(key, bytes(3 << 20), size=3 << 20)
        except Unavailable as error:
            print(error)
    print([info.key for page in store.list() for info in page.objects], store.get("old").read())
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == 3
    assert all("full" in line for line in said[:2])
    assert said[2] == "['old'] b'old'"
    assert len(files(small)) == 2


def test_permission_errors(root, store, monkeypatch):
    store.put("a", b"x", size=1)

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        for call in (lambda: store.put("a", b"y", size=1), lambda: store.get("a"), lambda: store.delete("a")):
            with pytest.raises(PermissionDenied, match="no permission"):
                call()
    assert load(store, "a") == b"x"


@pytest.mark.parametrize(
    "damage",
    [
        lambda meta, body: body.write_bytes(b"short"),
        lambda meta, body: body.unlink(),
        lambda meta, body: meta.write_bytes(b"{"),
        lambda meta, body: meta.write_bytes(b"[]"),
        lambda meta, body: meta.write_bytes(b"\xff"),
        lambda meta, body: meta.write_text(json.dumps(json.loads(meta.read_text()) | {"key": "other"})),
        lambda meta, body: meta.write_text(json.dumps(json.loads(meta.read_text()) | {"body": "../../../lock"})),
        lambda meta, body: meta.write_text(json.dumps(json.loads(meta.read_text()) | {"size": None})),
    ],
)
def test_what_somebody_else_damaged_is_not_passed_off_as_an_object(root, store, damage):
    store.put("a", b"the body", size=8)
    meta, body = files(root)
    damage(meta, body)
    for call in (store.get, store.head):
        with pytest.raises(Unavailable) as caught:
            call("a")
        assert caught.value.key == "a"
    store.put("a", b"mended", size=6)
    assert load(store, "a") == b"mended"
    assert len(files(root)) == 2


def test_a_body_that_shrinks_while_it_is_read(root, store):
    store.put("a", b"x" * 1_000_000, size=1_000_000)
    with store.get("a") as reader:
        assert reader.read(10) == b"x" * 10
        os.truncate(files(root)[1], 300_000)
        with pytest.raises(Unavailable, match="early"):
            reader.read()


def test_leftovers_of_a_crash_are_swept_after_a_day(root, store, monkeypatch):
    store.put("a", b"x", size=1)
    left = root / "temporary" / "left"
    left.write_bytes(b"half")
    folder = root / "temporary" / "folder"
    (folder / "00001").mkdir(parents=True)
    (folder / "00001" / "part").write_bytes(b"part")
    build(binding(root))
    assert left.exists()
    now = time.time()
    monkeypatch.setattr(disk.time, "time", lambda: now + 86_500)
    swept = build(binding(root))
    assert list((root / "temporary").iterdir()) == []
    assert load(swept, "a") == b"x"


def test_what_a_crash_left_between_body_and_entry_goes_with_the_next_call(root, store):
    for call in (lambda: store.delete("a"), lambda: store.put("a", b"x", size=1)):
        orphan = root / "objects" / "a" / "%object-0123"
        orphan.parent.mkdir(parents=True, exist_ok=True)
        orphan.write_bytes(b"half")
        assert keys(store) == []
        call()
        assert not orphan.exists()


WRITER = """
import itertools, sys
from sovbroker.ports import Binding
from sovbroker_adapters.local import build
store = build(Binding(target="here", container=sys.argv[1]))
print("ready", flush=True)
for number in itertools.count():
    body = b"%d" % (number % 10) * (200_000 + number)
    store.put("same", body, size=len(body), metadata={"n": str(number)})
    store.put(f"new/{number}", body, size=len(body), metadata={"n": str(number)})
    upload = store.multipart(f"joined/{number}", metadata={"n": str(number)})
    upload.commit([upload.part(1, body[:1000]), upload.part(2, body[1000:])])
    store.copy("same", f"copied/{number}")
    store.delete(f"new/{number}")
    print(number, flush=True)
"""


@pytest.mark.parametrize("rounds", [3, 4, 6])
def test_a_killed_writer_leaves_whole_objects_only(root, store, rounds):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(rounds):
            last = writer.stdout.readline()
        time.sleep(0.001 * rounds)
        writer.send_signal(signal.SIGKILL)
        writer.wait(20)
    finally:
        writer.kill()
        writer.stdout.close()
    found = keys(store)
    assert "same" in found
    assert f"joined/{last.strip()}" in found
    for key in found:
        info = store.head(key)
        number = int(info.metadata["n"])
        assert load(store, key) == b"%d" % (number % 10) * (200_000 + number)
    store.put("same", b"after", size=5)
    assert load(store, "same") == b"after"


def test_processes_take_turns(root, store):
    script = """
    import sys
    from sovbroker.errors import AlreadyExists
    from sovbroker.ports import Binding
    from sovbroker_adapters.local import build
    store = build(Binding(target="here", container=sys.argv[1]))
    won = 0
    for number in range(60):
        try:
            store.put(f"d{number % 3}/{number}", sys.argv[2].encode(), size=1, if_absent=True)
            won += 1
        except AlreadyExists:
            store.delete(f"gone/{number}")
            store.put(f"gone/{number}", b"x", size=1)
            store.delete(f"gone/{number}")
    print(won)
    """

    def run(name):
        command = [sys.executable, "-c", textwrap.dedent(script), str(root), str(name)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(run, range(3))) == 60
    assert len(keys(store)) == 60


def test_threads_put_and_delete_beside_each_other(store):
    def work(number):
        for turn in range(30):
            store.put(f"same/folder/{number}", b"x", size=1)
            assert load(store, f"same/folder/{number}") == b"x"
            store.delete(f"same/folder/{number}")
            store.put("same/folder", b"%d" % turn, size=len(b"%d" % turn))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert keys(store) == ["same/folder"]


def test_an_upload_id_never_leads_out_of_the_folder(root, store):
    for upload_id in ("..", "../objects", "/etc", "0" * 31 + "/", "", "A" * 32):
        upload = store.multipart("a", upload_id=upload_id)
        for call in (upload.parts, lambda upload=upload: upload.part(1, b"x")):
            with pytest.raises(NotFound):
                call()
        upload.abort()
    opened = store.multipart("a")
    with pytest.raises(NotFound):
        store.multipart("b", upload_id=opened.id).part(1, b"x")


def test_a_path_that_is_too_long_is_refused(tmp_path):
    folder = tmp_path
    while len(str(folder)) < 3500:
        folder = folder / ("d" * 200)
    folder.mkdir(parents=True)
    store = build(binding(folder))
    store.put("a", b"x", size=1)
    with pytest.raises(InvalidArgument, match="too long"):
        store.put("U" * 1024, b"x", size=1)


def test_names_can_be_read_back():
    for key in ("a/b", "né/É", "x" * 500, "a//b/", "..", "%2e"):
        parts = folder_name(key).replace("%+/", "").split("/")
        assert b"/".join(unquote_to_bytes("" if part == "%_" else part) for part in parts).decode() == key
