"""Real processes: what a shell sees."""

import fcntl
import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

COLOUR = "\x1b["


def test_the_first_minute(process, tmp_path, monkeypatch):
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "made up")
    monkeypatch.chdir(tmp_path)
    made = process("init", "first")
    assert (made.returncode, made.stderr) == (0, b"")
    monkeypatch.chdir(tmp_path / "first")
    data = os.urandom(2_000_000)
    assert process("put", "-", "a/b", input=data).returncode == 0
    got = process("get", "a/b")
    assert (got.returncode, got.stdout == data) == (0, True)
    assert process("doctor").returncode == 0
    assert b"\x1b" not in process("targets", "list").stdout


def test_help_is_quick(process):
    """Not a clock is asked but what is loaded."""
    code = (
        "import sys, sovbroker.cli as c; code = c.main(['--help']); "
        "heavy = {'rich', 'cryptography', 'yaml', 'sqlite3', 'boto3', 'pydantic'} & set(sys.modules); "
        "print(code, heavy, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == "0 set()\n"
    assert "relabel" in done.stdout


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra(missing):
    code = f"import sys; sys.modules[{missing!r}] = None; from sovbroker.cli import main; sys.exit(main(['ls']))"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: the command line is not installed; run `pip install 'sovbroker[cli]'`\n"


def test_a_reader_that_leaves(home, done, monkeypatch):
    # With a buffer, the last bytes are written when everything seems to be over.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    done("put", "-", "k", stdin=bytes(5_000_000))
    for number in range(3):
        done("put", "-", f"list/{'n' * 900}{number}", stdin=b"")
    for command in ("get k | head -c 10", "ls -r | head -n 1", "stat k | true"):
        shell = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {sys.executable} -m sovbroker {command} > /dev/null"],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert shell.stderr == "", command
        assert shell.returncode in {0, 1}, command


def wait_until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to that")


def begun(home):
    """Whether a write has been recorded."""
    if not (home / "state.db").exists():
        return False
    database = sqlite3.connect(home / "state.db")
    try:
        return database.execute("SELECT count(*) FROM intent").fetchone()[0] == 1
    except sqlite3.OperationalError:
        return False
    finally:
        database.close()


def drained(pipe, child):
    """Whether a child has read all that was sent, and sleeps until there is more."""
    unread = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
    state = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return unread == 0 and state == "S"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_stopped_while_it_stores(home, done, number, code):
    child = subprocess.Popen(
        [sys.executable, "-m", "sovbroker", "put", "-", "k"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Whoever starts the tests in the background, or by nohup, has had signals ignored for them.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509 - nothing else runs in the child
    )
    with child:
        child.stdin.write(bytes(1 << 20))
        child.stdin.flush()
        wait_until(lambda: begun(home))
        wait_until(lambda: drained(child.stdin, child))
        time.sleep(0.2)
        child.send_signal(number)
        assert child.wait(60) == code
        err = child.stderr.read()
    assert err == b"error: stopped; nothing was left half done\n"
    assert done("ls") == ""
    assert json.loads(done("sweep", "--json"))["left"] == []
    assert [path for path in (home / "objects").rglob("*@*") if path.is_file()] == []


def test_a_signal_that_interrupts_no_call_stops_it_all_the_same(home, done):
    """One that comes just before a read does not end it. Here another thread hears it, which is as good as that."""
    code = """if True:
        import signal, sys, threading
        from sovbroker.cli import main
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        sys.exit(main(["put", "-", "k"]))
    """
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        child.stdin.write(bytes(1 << 20))
        child.stdin.flush()
        wait_until(lambda: begun(home))
        wait_until(lambda: drained(child.stdin, child))
        child.terminate()
        assert child.wait(60) == 143
        assert child.stderr.read() == b"error: stopped; nothing was left half done\n"
    assert done("ls") == ""


def test_a_progress_bar_on_a_terminal_only(home, done, terminal):
    (home / "in").write_bytes(bytes(4 << 20))
    done("put", "in", "public/k")  # says nothing on stderr
    code, shown = terminal("get", "public/k", "-o", "out")
    assert code == 0
    assert "MiB" in shown
    code, shown = terminal("put", "in", "public/k", env={"NO_COLOR": "1"})
    before, _, after = shown.partition("public/k  4.0 MiB")
    assert (code, "MiB" in before, after.split()) == (0, True, ["public", "local", "(clear)"])
    code, shown = terminal("put", "in", "public/k", "--json")
    assert json.loads(shown)["size"] == 4 << 20


def test_no_color(home, terminal):
    code, coloured = terminal("get", "nope", env={"NO_COLOR": ""})
    assert (code, f"{COLOUR}1;31m" in coloured) == (4, True)
    code, plain = terminal("get", "nope", env={"NO_COLOR": "1"})
    assert (code, "31m" in plain) == (4, False)
    _code, plain = terminal("targets", "list", env={"NO_COLOR": "1"})
    assert "31m" not in plain


def test_an_output_that_is_not_utf8(home, done, process, monkeypatch):
    done("put", "-", "é", stdin=b"x")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert process("ls").stdout == b"\\xe9\n"
    assert json.loads(process("ls", "--json").stdout)[0]["key"] == "é"


def test_nohup_is_respected(home):
    code = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); import sovbroker.cli.running as r; "
        "r._run = lambda *a, **k: int(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN); sys.exit(r.run([]))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 1
