"""A launch that is killed at every step, for real: what is left is found, and nothing is launched twice."""

import contextlib
import itertools
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import sovbroker

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
    assert running(tmp_path) == []


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
        assert running(home) == []
        steps += dead
        if not dead:
            break
    assert steps > 10
