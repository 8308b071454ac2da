"""A launch that is killed at every step, for real: what is left is found, and nothing is launched twice."""

import base64
import contextlib
import faulthandler
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
from sovbroker.machines import MachineState
from sovbroker.testing.cloudtemple import CloudTempleService
from sovbroker.testing.outscale import OutscaleService
from sovbroker.testing.scaleway import PROVIDER, ScalewayService
from sovbroker_adapters import settling
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
PLACE = """
  - {{at: {at}, endpoint: "{endpoint}", emulated: true, project: "{project}", settings: {{{settings}}},
     credentials: {{{credentials}}}, images: {{host: {{{owner}pattern: "{pattern}"}}}}}}
"""
WITHIN = 10.0
HANGS = 60.0
SCRIPT = b"#!/bin/sh\ntrue\n"
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


def killed_at(home, step, asked=ASKED, steps=STEPS):
    """Launch in a child that is killed at a step; whether it was."""
    said = home / "where-it-hung"
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in {0, -signal.SIGKILL}, said.read_text()
        return status != 0
    code = 1
    try:
        # A child that hangs tells where, and ends.
        faulthandler.dump_traceback_later(HANGS, exit=True, file=said.open("w"))
        left = itertools.count(step, -1)

        def dying(real):
            def act(*args, **kwargs):
                if next(left) <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)

            return act

        with sovbroker.open(home / "sovbroker.yaml") as broker:
            compute = broker.compute
            for holder, name in steps:
                setattr(holder, name, dying(getattr(holder, name)))
            compute.launch("job", **asked)
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


def place_of(service, at, monkeypatch, *, image):
    """Return the place at a provider's service, as a configuration has it; its credentials go to the environment."""
    binding = service.binding()
    given = {"access_key", "secret_key", "client_id", "secret_id"}
    secrets = {name: value for name in sorted(given) if (value := binding.credentials.get(name))}
    for name, value in secrets.items():
        monkeypatch.setenv(f"CRASH_{name.upper()}", value)
    owner, pattern = image
    return PLACE.format(
        at=at,
        endpoint=binding.endpoint,
        project=binding.container,
        settings=", ".join(f"{name}: {value}" for name, value in binding.settings.items()),
        credentials=", ".join(f"{name}: {{env: CRASH_{name.upper()}}}" for name in secrets),
        owner=owner and f'owner: "{owner}", ',
        pattern=pattern,
    )


@pytest.fixture
def second(home, monkeypatch):
    """Another place, at a provider; the first one has no room."""
    with OutscaleService() as service:
        told = place_of(service, "outscale/eu-west-2", monkeypatch, image=("Outscale", "Debian-12-*"))
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


class Outscale(OutscaleService):
    """What there is at Outscale, as the tests ask."""

    at = "outscale/eu-west-2"
    image = ("Outscale", "Debian-12-*")

    def made(self):
        return [(vm["State"] in {"pending", "running"}, base64.b64decode(vm["UserData"])) for vm in machines_at(self)]

    def rest(self):
        return [one for one in self.volumes.values() if one["State"] != "deleting"]


class Scaleway(ScalewayService):
    """What there is at Scaleway, as the tests ask."""

    at = "scaleway/fr-par"
    image = (PROVIDER, "debian_bookworm")

    def made(self):
        return [(one["state"] in {"starting", "running"}, self.scripts.get(key)) for key, one in self.servers.items()]

    def rest(self):
        return [*self.disks.values(), *self.ips.values()]


class CloudTemple(CloudTempleService):
    """What there is at Cloud Temple, as the tests ask."""

    at = "cloud-temple/fr1"
    image = ("", "Debian 12")

    def made(self):
        return [(one["powerState"] == "Running", SCRIPT) for one in self.machines.values()]

    def rest(self):
        return []


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("then", ["reap", "launch"])
@pytest.mark.parametrize("provider", [Outscale, Scaleway, CloudTemple])
def test_a_launch_of_several_requests_is_finished_or_undone(home, monkeypatch, provider, then):
    """What died between them is no machine that never runs: it is started with its script, or gone with its disks."""
    asked = {**ASKED, "user_data": SCRIPT, "ttl": "1d"}
    killed, states = 0, set()
    with provider() as service:
        told = place_of(service, service.at, monkeypatch, image=service.image)
        (home / "sovbroker.yaml").write_text(CONFIG.rstrip() + told)
        policy = home / "policy.yaml"
        policy.write_text(POLICY.replace("here: {located: [FR], controlled: [FR]}", "here: {located: [FR]}"))
        monkeypatch.setattr(Sandboxes, "launch", no_room)
        # What a service of the tests' own changes is done when it is looked at again.
        monkeypatch.setattr(settling, "PAUSE", 0.001)
        for step in itertools.count():
            dead = killed_at(home, step, asked, ((httpx.Client, "send"),))
            assert len(service.made()) <= 1
            states |= {(dead, runs) for runs, _ in service.made()}
            with sovbroker.open(home / "sovbroker.yaml", clock=later) as broker:
                if then == "launch":
                    node = broker.compute.launch("job", **asked)
                    assert broker.compute.get("job").state in {MachineState.PENDING, MachineState.RUNNING}
                    assert service.made() == [(True, SCRIPT)]
                    tags = broker.compute._around.providers.provider(node.target).machine(node.id).tags
                    assert {"sovbroker-launch", "sovbroker-installation", "sovbroker-label"} <= tags.keys()
                elif dead:
                    reaped = broker.compute.reap()
                    assert (reaped.strays, reaped.failures) == ((), {})
                for known in broker.compute.list():
                    broker.compute.destroy(known.name)
                assert broker.compute.audit().machines == ()
            assert (service.made(), service.rest()) == ([], [])
            killed += dead
            if not dead:
                break
    assert killed > 5
    assert states >= {(True, False), (False, True)}
