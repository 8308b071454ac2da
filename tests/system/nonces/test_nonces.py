"""(key, nonce) -> plaintext is a function, whatever breaks: seen from below, where the cipher is called.

Every process writes down what it is about to seal (see `ledger.py`). Nothing here looks at what the product says of
itself.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

import sovbroker

HERE = Path(__file__).parent
SRC = HERE.parents[2] / "src" / "sovbroker"
PRELUDE = """
import os, sys, time
import ledger
folder, book = sys.argv[1:3]
ledger.keep(book)
import sovbroker
from sovbroker.errors import SovbrokerError, Unavailable
from sovbroker.transfer import outgoing
from sovbroker_adapters.local.store import LocalStore
from sovbroker_adapters.local.upload import LocalUpload
outgoing.PART, outgoing.SMALL, outgoing.FIRST_PAUSE = 2 * 16384, 4 * 16384, 0.0001
LARGE = 11 * 16384 + 77

def say(*words):
    print(*words, flush=True)

def hear():
    return sys.stdin.readline()
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "made up")
    sovbroker.init(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def book(tmp_path):
    return tmp_path / "ledger"


@pytest.fixture
def start(home, book):
    """Return a function: start a process that runs a script and writes into the ledger; it is dead in the end."""
    children = []

    def run(script, *words):
        text = PRELUDE + textwrap.dedent(script)
        child = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", text, str(home), str(book), *words],
            env={**os.environ, "PYTHONPATH": str(HERE)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        children.append(child)
        return child

    yield run
    for child in children:
        # With its own children: one that hangs would hold the pipe.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def finished(child, said=""):
    out, _ = child.communicate(said, timeout=60)
    assert child.returncode == 0
    return out.splitlines()


class Entry(NamedTuple):
    process: str
    what: str
    key: str
    nonce: str
    plain: str


def entries(book):
    return [Entry(*line.split(" ")) for line in book.read_text().splitlines()]


def check(book):
    """Assert the claim of everything that was written down, and return it."""
    found = entries(book)
    sealed = {}
    for entry in found:
        if entry.what != "dek":
            before = sealed.setdefault((entry.key, entry.nonce), entry)
            assert before.plain == entry.plain, f"{before} and {entry} share a key and a nonce"
    deks = [entry for entry in found if entry.what == "dek"]
    assert len({entry.key for entry in deks}) == len(deks), "a data key was used for two envelopes"
    assert len({entry.plain for entry in deks}) == len(deks), "a salt came twice"
    return found


def test_the_ledger_knows_every_way_to_the_cipher():
    """A module that seals by itself would go unseen."""
    ciphers = re.compile(
        r"^from cryptography\S* import .*(AESGCM\b|Cobblestone256Encryptor|ChaCha|Cipher\b)", re.MULTILINE
    )
    found = {str(file.relative_to(SRC)) for file in SRC.rglob("*.py") if ciphers.search(file.read_text())}
    assert found == {
        "envelope/chunks.py",
        "envelope/metadata.py",
        "envelope/sealer.py",
        "keys/domain.py",
        "keys/passphrase.py",
    }


def test_a_conflict_is_found(tmp_path):
    """The control: two plaintexts under one key and nonce, and a data key that is used again."""
    book = tmp_path / "ledger"
    book.write_text("1 chunk k n one\n2 chunk k n one\n1 chunk k m two\n")
    assert len(check(book)) == 3
    book.write_text("1 chunk k n one\n2 chunk k n two\n")
    with pytest.raises(AssertionError, match="share a key and a nonce"):
        check(book)
    book.write_text("1 dek k c salt\n2 dek k c other\n")
    with pytest.raises(AssertionError, match="used for two envelopes"):
        check(book)
    book.write_text("1 dek k c salt\n2 dek l c salt\n")
    with pytest.raises(AssertionError, match="came twice"):
        check(book)


MUTATING = """
tries, changes = 0, 0
whole, part = LocalStore.put, LocalUpload.part

def broken(call, keyed):
    def again(*args, **options):
        global tries, changes
        tries += 1
        lost = tries % 6 in {1, 2, 3}
        if lost and how == "lost":
            change()
            changes += 1
            raise Unavailable("it never came")
        answer = call(*args, **options)
        if lost:
            change()
            changes += 1
            raise Unavailable("it came, and nobody was told")
        return answer
    return again

LocalStore.put, LocalUpload.part = broken(whole, True), broken(part, False)
with sovbroker.open(folder) as broker:
    for how in ("lost", "unanswered"):
        for size in (0, 5, 16384, 3 * 16384, LARGE):
            data = bytearray(os.urandom(size))
            def change():
                data[:] = os.urandom(size)
            broker.put("array", data)
            broker.put("view", memoryview(data))
            assert len(broker.read("array")) == size
            path = os.path.join(folder, "source")
            with open(path, "wb") as file:
                file.write(data)
            def change():
                with open(path, "r+b") as file:
                    file.write(os.urandom(size))
            with open(path, "rb") as file:
                broker.put("file", file)
            assert len(broker.read("file")) == size
    # Nothing helps: the caller tries again by himself, with what the data are by then.
    LocalStore.put = LocalUpload.part = lambda *_, **__: (_ for _ in ()).throw(Unavailable("gone"))
    for size in (5, LARGE):
        for _ in range(3):
            try:
                broker.put("again", os.urandom(size))
            except Unavailable:
                continue
            raise SystemExit("it was stored")
    LocalStore.put, LocalUpload.part = whole, part
    broker.put("again", os.urandom(LARGE))
say(changes)
"""


def test_a_source_that_changes_between_tries_is_not_sealed_again(start, book):
    (changes,) = finished(start(MUTATING))
    assert int(changes) == 60
    found = check(book)
    assert sum(entry.what == "chunk" for entry in found) > 150


INTERRUPTED = """
stop_at = int(sys.argv[3])
part = LocalUpload.part
sent = 0

def waiting(self, number, body):
    global sent
    if sent == stop_at:
        say("there")
        hear()
    sent += 1
    return part(self, number, body)

LocalUpload.part = waiting
outgoing.IN_FLIGHT = 1
with sovbroker.open(folder) as broker:
    broker.put("k", os.urandom(LARGE))
"""

AGAIN = """
with sovbroker.open(folder) as broker:
    say(len(broker.leftovers()))
    hear()
    for turn in range(4):
        broker.sweep()
        data = os.urandom(LARGE - turn)
        broker.put("k", data)
        broker.put(sys.argv[3], data)
        assert broker.read(sys.argv[3]) == data
    assert len(broker.read("k")) > LARGE - 9
"""


def test_a_killed_upload_is_begun_anew(start, book):
    """It is never taken up: what comes after a kill has a data key of its own."""
    for stop_at in (0, 1, 3):
        child = start(INTERRUPTED, str(stop_at))
        assert child.stdout.readline() == "there\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert [entry.process for entry in entries(book)].count(str(child.pid)) > 2
        assert finished(start(AGAIN, "mine"), "go\n") == ["1"]
    assert len({entry.process for entry in check(book)}) == 6


def test_two_processes_after_one_killed_upload(start, book, home):
    """Both find what the killed one left, both go on with other bytes under its name, at the same time."""
    for _ in range(3):
        child = start(INTERRUPTED, "2")
        assert child.stdout.readline() == "there\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
        two = [start(AGAIN, name) for name in ("one", "two")]
        assert [each.stdout.readline() for each in two] == ["1\n", "1\n"]
        for each in two:
            each.stdin.write("go\n")
            each.stdin.flush()
        for each in two:
            finished(each)
    found = check(book)
    assert len({entry.process for entry in found}) == 9
    assert sum(entry.what == "dek" for entry in found) == 3 + 3 * 2 * 8
    with sovbroker.open(home) as broker:
        broker.sweep()
        assert broker.leftovers() == []


FORKED = """
import threading

def work(name, count=3):
    for turn in range(count):
        for size in (9, 3 * 16384, LARGE):
            broker.put(f"{name}/{size}", os.urandom(size), metadata={"turn": str(turn)})
            broker.put("shared", os.urandom(size))

broker = sovbroker.open(folder)
broker.put("before", b"x")
held = {size: broker.writer(f"held/{size}") for size in (0, 9, 2 * 16384, 5 * 16384, LARGE)}
for size, writer in held.items():
    writer.write(os.urandom(size))
children = []
for child in range(4):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for number, writer in enumerate(held.values()):
                try:
                    if number % 2:
                        writer.write(os.urandom(LARGE))
                    writer.close()
                except SovbrokerError:
                    continue
                os._exit(3)
            held.clear()
            work(f"child{child}")
            code = 0
        finally:
            os._exit(code)
    children.append(pid)
threads = [threading.Thread(target=work, args=(f"thread{n}", 1)) for n in range(3)]
for thread in threads:
    thread.start()
work("parent")
for thread in threads:
    thread.join()
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
for size, writer in held.items():
    more = os.urandom(LARGE)
    writer.write(more)
    writer.close()
    assert broker.read(f"held/{size}")[size:] == more
broker.close()
say(*codes)
"""


def test_forked_children_seal_at_once(start, book):
    """No data key and no salt repeats; what the parent had begun, no child goes on with, or takes away."""
    assert finished(start(FORKED)) == ["0 0 0 0"]
    found = check(book)
    assert len({entry.process for entry in found}) == 5
    assert sum(entry.what == "dek" for entry in found) == 1 + 5 + 4 * 18 + 18 + 18
