"""kill -9 at any moment: what was acknowledged reads, the old version reads otherwise, and leftovers are known."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import sovbroker

WRITER = textwrap.dedent("""
    import sys
    import sovbroker
    from sovbroker.transfer.outgoing import PART, SMALL
    folder, start = sys.argv[1], int(sys.argv[2])
    with sovbroker.open(folder) as broker:
        number = start
        while True:
            number += 1
            size = [10, SMALL + PART + 3, 3_000_000][number % 3]
            key = f"k{number % 4}"
            stored = broker.put(key, number.to_bytes(8, "big") * (size // 8 + 1))
            print(key, number, stored.version, flush=True)
""")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "made up")
    sovbroker.init(tmp_path / "home")
    return tmp_path / "home"


def test_kill_9_at_any_moment(home):
    chance = random.Random(7)
    acknowledged = {}
    for turn in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(home), str(turn * 1000)], stdout=subprocess.PIPE, text=True
        )
        said = [child.stdout.readline().split() for _ in range(chance.randrange(1, 8))]
        time.sleep(chance.random() * 0.08)
        child.send_signal(signal.SIGKILL)
        said += [line.split() for line in child.communicate()[0].splitlines()]
        acknowledged |= {words[0]: int(words[1]) for words in said if len(words) == 3}

        with sovbroker.open(home) as broker:
            for key, number in acknowledged.items():
                data = broker.read(key)
                found = int.from_bytes(data[:8], "big")
                # A commit may have outrun its acknowledgement, never the other way.
                assert found >= number
                assert data == data[:8] * (len(data) // 8)
            broker.sweep()
            assert broker.leftovers() == []
            rows = {copy.physical for key in acknowledged for copy in broker._flow.index.current(key).copies}
            store = broker._flow.stores._store("local")
            held = {info.key for page in store.list() for info in page.objects}
            extra = {info.key for info in broker.list()} - set(acknowledged)
            rows |= {copy.physical for key in extra for copy in broker._flow.index.current(key).copies}
            assert held == rows
            assert list(store.uploads()) == []


def test_the_leftovers_of_a_living_process_are_left_alone(home):
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
                import sys
                import sovbroker
                with sovbroker.open(sys.argv[1]) as broker:
                    writer = broker.writer("k")
                    writer.write(bytes(40_000_000))
                    print("ready", flush=True)
                    sys.stdin.readline()
                    writer.close()
            """),
            str(home),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "ready\n"
    with sovbroker.open(home) as broker:
        assert [item.kind for item in broker.leftovers()] == ["intent"]
        assert broker.sweep() == 0
        child.communicate("go\n")
        assert child.returncode == 0
        assert broker.stat("k").size == 40_000_000
        assert broker.leftovers() == []


CROWD = textwrap.dedent("""
    import sys
    import threading
    import sovbroker
    folder, turn = sys.argv[1], sys.argv[2]
    said = threading.Lock()
    def write(thread):
        number = 0
        while True:
            number += 1
            key = f"t{thread}/{number % 3}"
            broker.put(key, f"{turn}-{thread}-{number}".encode() * 50)
            with said:
                print(key, turn, number, flush=True)
    broker = sovbroker.open(folder)
    for thread in range(8):
        threading.Thread(target=write, args=(thread,), daemon=True).start()
    threading.Event().wait()
""")


@pytest.mark.parametrize("durability", ["power", "process"])
def test_kill_9_of_a_crowd_that_shares_its_commits(home, durability):
    """Threads whose commits share a transaction are killed; what any of them was told is there."""
    config = home / "sovbroker.yaml"
    config.write_text(f"{config.read_text()}\ndurability: {durability}\n")
    chance = random.Random(8)
    acknowledged = {}
    for turn in range(4):
        child = subprocess.Popen([sys.executable, "-c", CROWD, str(home), str(turn)], stdout=subprocess.PIPE, text=True)
        said = [child.stdout.readline().split() for _ in range(chance.randrange(8, 60))]
        child.send_signal(signal.SIGKILL)
        said += [line.split() for line in child.communicate()[0].splitlines()]
        acknowledged |= {words[0]: (int(words[1]), int(words[2])) for words in said if len(words) == 3}

        with sovbroker.open(home) as broker:
            assert broker._flow.index.durability == durability
            for key, least in acknowledged.items():
                data = broker.read(key)
                text = data[: len(data) // 50].decode()
                run, thread, number = map(int, text.split("-"))
                assert (run, number) >= least
                assert key == f"t{thread}/{number % 3}"
                assert data == text.encode() * 50
            broker.sweep()
            assert broker.leftovers() == []
            rows = {copy.physical for info in broker.list() for copy in broker._flow.index.current(info.key).copies}
            store = broker._flow.stores._store("local")
            assert {info.key for page in store.list() for info in page.objects} == rows
