"""Servers come up, and go, whatever happens to those who started them."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from sovbroker.errors import ConfigError
from sovbroker.testing import servers

CHILD = """
import sys, time
from sovbroker.testing.servers import running
with running(lambda port: [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]) as (port, pid, log):
    print(pid, flush=True)
    time.sleep(600)
"""


def web(port):
    return [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def gone(pid):
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_a_server_lives_as_long_as_the_block():
    with servers.running(web) as (port, pid, log):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            assert answer.status == 200
        assert alive(pid)
        assert os.getpgid(pid) == pid
    assert gone(pid)
    assert not log.exists()


def test_a_server_ends_when_the_block_raises():
    with pytest.raises(ZeroDivisionError), servers.running(web) as (_, pid, _):
        raise ZeroDivisionError
    assert gone(pid)


def test_a_server_that_does_not_listen_to_reason_is_killed(monkeypatch):
    monkeypatch.setattr(servers, "STOP_WITHIN", 0.2)
    stubborn = "import signal, sys, runpy; signal.signal(signal.SIGTERM, signal.SIG_IGN); sys.argv[0] = 'http.server'; "
    stubborn += "runpy.run_module('http.server', run_name='__main__')"

    def command(port):
        return [sys.executable, "-c", stubborn, "--bind", "127.0.0.1", str(port)]

    with servers.running(command) as (_, pid, _):
        assert alive(pid)
    assert gone(pid)


def test_a_server_ends_when_its_parent_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    try:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait(20)
    finally:
        parent.kill()
        parent.stdout.close()
    assert gone(pid)


def test_a_server_that_does_not_come_up_shows_what_it_printed():
    def command(port):
        return [sys.executable, "-c", "import sys; sys.exit('no such luck today')"]

    with pytest.raises(ConfigError, match="no such luck today"), servers.running(command):
        raise AssertionError


def test_a_missing_program_is_named():
    with pytest.raises(ConfigError, match=r"`no-such-program`.*pip install the-package"):
        servers.find_binary("no-such-program", extra="the-package")


def test_buckets_are_made_twice_without_harm(moto, rclone, bucket):
    for server in (moto, rclone):
        server.create_bucket(bucket)
        server.create_bucket(bucket)
        binding = server.binding(bucket, target="here", settings={"attempts": 1})
        assert (binding.target, binding.container, binding.hosts) == ("here", bucket, {server.host})
        assert binding.settings["attempts"] == 1
        assert server.secret_key not in repr(server)
    assert binding.settings["keys"] == "files"
    with pytest.raises(ConfigError, match="Not/Valid"):
        moto.create_bucket("Not/Valid..")
