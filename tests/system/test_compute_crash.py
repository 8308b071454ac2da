"""A launch that is killed at every step, for real: what is left is found, and nothing is launched twice."""

import contextlib
import itertools
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

import sovbroker
from sovbroker.errors import NoCapacity
from sovbroker.testing.outscale import OutscaleService
from sovbroker_adapters.sandbox import Sandboxes

POLICY = """
sovbroker: 1
name: compute
levels: [secret]
default: secret
zones:
  here: {located: [FR], controlled: [FR]}
require:
  secret: {store: {here: {}}, compute: [here]}
"""
CONFIG = """
sovbroker: 1
policy: policy.yaml
targets:
  - {at: local, path: objects, located: FR, controlled: FR}
compute:
  - {at: local, path: machines, located: FR, controlled: FR, settings: {isolation: none}}
"""
SECOND = """
  - {{at: outscale/eu-west-2, endpoint: "{endpoint}", emulated: true, project: "{project}",
     credentials: {{access_key: {{env: CRASH_ACCESS_KEY}}, secret_key: {{env: CRASH_SECRET_KEY}}}},
     images: {{host: {{owner: Outscale, pattern: "Debian-12-*"}}}}}}
"""
WITHIN = 10.0
ASKED = {"label": "secret", "image": "host", "user_data": "touch $HOME/ran; sleep 60"}
STEPS = (
    (os, "fsync"),
    (os, "link"),
    (os, "posix_spawnp"),
    (Path, "mkdir"),
    (Path, "rename"),
    (Path, "replace"),
    (Path, "unlink"),
    (Path, "write_text"),
    (Path, "write_bytes"),
    (httpx.Client, "send"),
)
"""What another process could see of this one."""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "sovbroker.yaml").write_text(CONFIG)
    (tmp_path / "objects").mkdir()
    yield tmp_path
    with sovbroker.open(tmp_path / "sovbroker.yaml", clock=later) as broker:
        broker.compute.reap(strays=True)
        for node in broker.compute.list():
            broker.compute.destroy(node.name)
    assert left(tmp_path) == []


def later():
    return datetime.now(UTC) + timedelta(hours=1)


def running(home):
    """The groups of processes whose home is the disk of a machine."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "environ").read_bytes()
        except OSError:
            continue
        if str(home / "machines").encode() in line:
            with contextlib.suppress(ProcessLookupError):
                found.append(os.getpgid(int(process.name)))
    return sorted(set(found))


def left(home):
    """The groups that do not end: all of one are killed at once, and its last process is gone after its first."""
    end = time.monotonic() + WITHIN
    while (found := running(home)) and time.monotonic() < end:
        time.sleep(0.01)
    return found


def killed_at(home, step):
    """Launch in a child that is killed at a step; whether it was."""
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in {0, -signal.SIGKILL}
        return status != 0
    code = 1
    try:
        left = itertools.count(step, -1)

        def dying(real):
            def act(*args, **kwargs):
                if next(left) <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)

            return act

        with sovbroker.open(home / "sovbroker.yaml") as broker:
            compute = broker.compute
            for holder, name in STEPS:
                setattr(holder, name, dying(getattr(holder, name)))
            compute.launch("job", **ASKED)
        code = 0
    finally:
        os._exit(code)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("then", ["reap", "launch"])
def test_a_launch_that_is_killed_at_any_step_leaves_nothing_unknown(home, then):
    steps = 0
    for step in itertools.count():
        dead = killed_at(home, step)
        with sovbroker.open(home / "sovbroker.yaml", clock=later) as broker:
            if then == "launch":
                broker.compute.launch("job", **ASKED)
                assert len(broker.compute.list()) == 1
                assert len(running(home)) == 1
                broker.compute.destroy("job")
            elif dead:
                reaped = broker.compute.reap()
                assert reaped.strays == ()
                if broker.compute.list():
                    broker.compute.destroy("job")
            else:
                broker.compute.destroy("job")
            assert broker.compute.list() == []
            assert broker.compute.audit().machines == ()
        assert left(home) == []
        steps += dead
        if not dead:
            break
    assert steps > 10


@pytest.fixture
def second(home, monkeypatch):
    """Another place, at a provider; the first one has no room."""
    with OutscaleService() as service:
        binding = service.binding()
        for name in ("access_key", "secret_key"):
            monkeypatch.setenv(f"CRASH_{name.upper()}", binding.credentials.get(name) or "")
        told = SECOND.format(endpoint=binding.endpoint, project=binding.container)
        (home / "sovbroker.yaml").write_text(CONFIG.rstrip() + told)
        yield service


def no_room(self, launch):
    raise NoCapacity("it is full", target=self.target)


def machines_at(service):
    return [vm for vm in service.vms.values() if vm["State"] not in {"shutting-down", "terminated"}]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("then", ["reap", "launch"])
def test_a_launch_that_is_killed_between_places_leaves_nothing_unknown_and_nothing_twice(
    home, second, monkeypatch, then
):
    monkeypatch.setattr(Sandboxes, "launch", no_room)
    killed, states = 0, set()
    for step in itertools.count():
        dead = killed_at(home, step)
        assert len(machines_at(second)) <= 1
        states |= {(dead, vm["State"], bool(vm["Tags"])) for vm in machines_at(second)}
        with sovbroker.open(home / "sovbroker.yaml", clock=later) as broker:
            if then == "launch":
                node = broker.compute.launch("job", **ASKED)
                assert (node.target, node.passed) == ("outscale/compute@eu-west-2", {"local/compute": "it is full"})
                (machine,) = machines_at(second)
                assert node.id == machine["VmId"]
            elif dead:
                reaped = broker.compute.reap()
                assert (reaped.strays, reaped.failures) == ((), {})
            for node in broker.compute.list():
                broker.compute.destroy(node.name)
            assert machines_at(second) == []
            assert broker.compute.audit().machines == ()
        assert left(home) == []
        killed += dead
        if not dead:
            break
    assert killed > 25
    # It died with a machine that was made, one that was tagged, and one that ran.
    assert states >= {(True, "stopped", False), (True, "stopped", True), (True, "running", True)}
