"""What is done to the folder, the connection or the process: refused, whole or not at all, and tidy afterwards."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from datetime import timedelta

import pytest

from sovbroker.envelope import CHUNK, HEAD, TAG
from sovbroker.errors import Conflict, InvalidArgument, SealError, StoreError, Tampered, Unavailable
from sovbroker.testing.chaos import ChaosProxy, Cut, Flip, Reset, Side, Status
from sovbroker.transfer.outgoing import PART, SMALL

UNIT = CHUNK + TAG


def body_of(home):
    (path,) = (path for path in home.files() if not path.name.endswith("~"))
    return path


def change(path, edit):
    """Change a file at the server as its operator could, with a time of its own."""
    body = bytearray(path.read_bytes())
    path.write_bytes(bytes(edit(body)))


def flip(position):
    def edit(body):
        body[position] ^= 1
        return body

    return edit


@pytest.mark.parametrize("key", ["internal/a", "secret/a", "public/a"])
def test_a_changed_body_is_refused(broker, home, key):
    data = os.urandom(4 * CHUNK + 7)
    broker.put(key, data)
    path = body_of(home)
    good = path.read_bytes()
    for position in (0, HEAD - 1, HEAD, HEAD + UNIT + 3, len(good) - 1):
        change(path, flip(position))
        with pytest.raises(Tampered):
            broker.read(key)
        path.write_bytes(good)
    assert broker.read(key) == data
    for length in (0, 1, HEAD, HEAD + UNIT, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises((Tampered, StoreError)):
            broker.read(key)
    path.write_bytes(good + b"x")
    with pytest.raises((Tampered, StoreError)):
        broker.read(key)


def swap(one, two):
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


@pytest.mark.parametrize("key", ["internal/{}", "public/{}"])
@pytest.mark.parametrize("what", ["bodies", "sidecars", "both"])
def test_swapped_objects_are_refused(broker, home, key, what):
    broker.put(key.format("a"), b"the one")
    broker.put(key.format("b"), b"the two")
    bodies = [path for path in home.files() if not path.name.endswith("~")]
    sidecars = [path for path in home.files() if path.name.endswith("~")]
    for pair in {"bodies": (bodies,), "sidecars": (sidecars,), "both": (bodies, sidecars)}[what]:
        swap(*pair)
    for name in ("a", "b"):
        if what == "sidecars" and key.startswith("internal"):
            # The row holds the record too, and the envelope says whose it is; the sidecar is for who has lost the row.
            assert broker.read(key.format(name)) == (b"the one" if name == "a" else b"the two")
            continue
        with pytest.raises(Tampered):
            broker.read(key.format(name))
        if what != "bodies" or key.startswith("internal"):
            with pytest.raises(Tampered):
                broker.read(key.format(name), range=(0, 2))


def test_a_rolled_back_object_is_refused(broker, home):
    for key in ("internal/a", "public/a"):
        broker.put(key, b"version 1")
        old = body_of(home).read_bytes()
        broker.put(key, b"version 2")
        body_of(home).write_bytes(old)
        with pytest.raises(Tampered):
            broker.read(key)
        broker.delete(key)


@pytest.mark.parametrize(
    "beside", [b"", b"sovbroker sidecar 2\n1c~e30", b"sovbroker sidecar 2\n1c~+", b"nonsense", b"x" * (2 << 20), None]
)
def test_a_copy_in_the_clear_without_its_record_is_refused(broker, home, beside):
    broker.put("public/a", b"press release")
    (sidecar,) = (path for path in home.files() if path.name.endswith("~"))
    if beside is None:
        sidecar.unlink()
    else:
        sidecar.write_bytes(beside)
    for read in (broker.read, broker.get, lambda key: broker.read(key, range=(0, 3))):
        with pytest.raises((SealError, StoreError)):
            read("public/a")


@pytest.mark.parametrize("edit", ["label = 'internal'", "key = 'public/c'"])
def test_a_changed_row_of_a_clear_copy_is_refused(broker, home, edit):
    broker.put("public/a", b"press release")
    broker.close()
    handle = sqlite3.connect(home.path / "state.db")
    handle.execute(f"UPDATE version SET {edit}")  # noqa: S608 - a constant of this test
    handle.commit()
    handle.close()
    again = home.open()
    for read in (again.read, lambda key: again.read(key, range=(0, 3))):
        with pytest.raises(Tampered):
            read("public/c" if "key" in edit else "public/a")


def test_a_damaged_copy_is_healed_by_the_other_provider(broker, home, caplog):
    data = os.urandom(130 * CHUNK)
    broker.put("both/a", data)
    change(body_of(home), flip(HEAD + 100 * UNIT))
    with broker.get("both/a") as file:
        assert b"".join(iter(lambda: file.read(10_000), b"")) == data
    assert "the copy of `both/a` at oodrive/fr cannot be read" in caplog.text


# --- connections


FAULTS = {
    "reset before the answer": Reset(on=Side.ANSWER),
    "reset within the request": Reset(after=100, on=Side.REQUEST),
    "503": Status(503),
    "507": Status(507),
    "cut but acknowledged": Cut(50),
    "a flipped byte": Flip(400, on=Side.REQUEST),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("size", [200, SMALL + 5])
def test_a_put_through_a_broken_connection_is_whole_or_not_at_all(home, webdav, fault, size):
    data = os.urandom(size)
    with ChaosProxy(webdav.host) as proxy:
        home.write(url=proxy.url)
        broker = home.open()
        broker.put("internal/a", b"old")
        proxy.always(FAULTS[fault])
        with pytest.raises(StoreError):
            broker.put("internal/a", data)
        proxy.always(None)
        assert broker.read("internal/a") == b"old"
        broker.put("internal/a", data)
        assert broker.read("internal/a") == data


@pytest.mark.parametrize("key", ["internal/a", "both/a"])
def test_a_long_body_that_breaks_off_is_not_sent_again(home, webdav, key):
    with ChaosProxy(webdav.host) as proxy:
        home.write(url=proxy.url)
        broker = home.open()
        broker.put(key, b"old")
        before = len(proxy.seen)
        # The sidecar takes three requests; the next one is the body's.
        proxy.script(None, None, None, Reset(after=9 << 20, on=Side.REQUEST))
        with pytest.raises(Unavailable, match="oodrive/fr"):
            broker.put(key, os.urandom(SMALL + PART))
        # What broke off is no request that came; a second one would have come.
        assert [seen.length < 2000 for seen in proxy.seen[before:] if seen.method == "PUT"] == [True]
        assert broker.read(key) == b"old"
        home.now += timedelta(days=1)
        broker.sweep()
        assert broker.leftovers() == []
        assert len(home.names()) == 2
        assert home.files(waiting=True) == []


def test_a_source_that_fails_or_changes_its_length_commits_nothing(broker, home, tmp_path):
    broker.put("both/a", b"old")
    before = home.bytes()
    path = tmp_path / "long"

    def write(size):
        with path.open("wb") as file:
            file.truncate(size)

    def changing(to):
        def progress(sent, size):
            if sent == PART:
                write(to)

        return progress

    for to in (SMALL + 5, SMALL + 4 * PART):
        write(SMALL + 2 * PART)
        with pytest.raises(Conflict, match="changed while it was being read"):
            broker.put("both/a", path, progress=changing(to))
        assert broker.read("both/a") == b"old"

    def stop(sent, size):
        if sent >= 2 * PART:
            raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="own"):
        broker.put("both/a", bytes(SMALL + 2 * PART), progress=stop)
    assert broker.read("both/a") == b"old"
    assert home.bytes() == before
    assert home.files(waiting=True) == []
    assert broker.leftovers() == []


def test_a_key_that_is_too_long_with_its_sidecar_is_refused_before_anything_is_sent(broker, home):
    with pytest.raises(InvalidArgument, match="use a shorter key"):
        broker.put("internal/" + "a/" * 500 + "b", b"x")
    assert home.names() == []


# --- kill -9


WRITER = textwrap.dedent("""
    import sys
    import sovbroker

    Catalogue.connection = connection
    with sovbroker.open(sys.argv[1]) as broker:
        def progress(sent, size):
            if sent >= int(sys.argv[2]):
                print("sent", flush=True)
                sys.stdin.read()
        broker.put("both/a", bytes(40 << 20), progress=progress)
""")


@pytest.mark.parametrize("sent", [0, 8 << 20, 24 << 20])
def test_kill_9_within_a_long_body_leaves_the_old_version_and_nothing_unknown(home, sent):
    broker = home.open()
    broker.put("both/a", b"old")
    child = subprocess.Popen(
        [sys.executable, "-c", home.BOUND + WRITER, str(home.path / "sovbroker.yaml"), str(sent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "sent\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert broker.read("both/a") == b"old"
    assert [item.kind for item in broker.leftovers()] == ["intent"] * 2
    broker.sweep()
    assert broker.leftovers() == []
    assert broker.read("both/a") == b"old"
    assert len(home.names()) == 2
