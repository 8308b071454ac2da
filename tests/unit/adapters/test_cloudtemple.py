"""What Cloud Temple is asked, by whom, and what comes of each answer."""

import base64
import dataclasses
import json
import logging
import pickle

import pytest
import yaml

from sovbroker.compute.launching import launch_of
from sovbroker.errors import (
    ConfigError,
    InvalidArgument,
    NotFound,
    NotSupported,
    PermissionDenied,
    StoreError,
    Unavailable,
)
from sovbroker.machines import ImageSource, Launch, MachineState
from sovbroker.ports import Credentials
from sovbroker.testing.chaos import ChaosProxy, Reset, Status
from sovbroker.testing.cloudtemple import TEMPLATE, TENANT, ZONE, CloudTempleService
from sovbroker.testing.contracts import Said
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters.cloudtemple import build
from sovbroker_adapters.cloudtemple.client import Connection
from sovbroker_adapters.cloudtemple.machines import CloudTempleMachines, cloud_config

SCRIPT = b"#!/bin/sh\necho the-script-of-a-patient\n"
LAUNCH = Launch("token-1", "one", "c2m4", TEMPLATE, user_data=SCRIPT, tags={"sovbroker-launch": "token-1"})
MACHINES = "/api/compute/v1/open_iaas/virtual_machines"


@pytest.fixture
def service():
    with CloudTempleService() as running:
        yield running


@pytest.fixture
def proxy(service):
    with ChaosProxy(service.host) as running:
        yield running


@pytest.fixture
def opened(service):
    """A function that opens the tenant at a server, with changes of the binding."""
    made = []

    def make(host=service.host, *, policy=True, **changes):
        base = service.binding(settings=changes.pop("settings", {}))
        binding = dataclasses.replace(base, endpoint=f"http://{host}/api", hosts=frozenset({host}))
        if not policy:
            binding = dataclasses.replace(binding, settings={})
        binding = dataclasses.replace(binding, **changes)
        build(binding)
        made.append(CloudTempleMachines(Connection(binding, sleep=lambda seconds: None)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def token(**claims):
    parts = (base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in ({}, claims))
    return ".".join([*parts, "c2ln"])


def test_only_the_log_in_holds_the_secret_and_nothing_is_logged(service, opened, caplog):
    caplog.set_level(logging.DEBUG)
    with Recorder() as recorder:
        host = recorder.in_front_of("console", service.host).removeprefix("http://")
        opened(host).launch(LAUNCH)
        assert recorder.saw(b"not-a-secret") == ["console sent: raw"]
    assert service.asked["POST /api/iam/v2/auth/personal_access_token"] == 1
    for secret in ("not-a-secret", SCRIPT.decode(), *service.tokens):
        assert secret not in caplog.text


def test_a_script_is_a_cloud_config():
    found = yaml.safe_load(cloud_config(SCRIPT))
    (file,) = found["write_files"]
    assert base64.b64decode(file["content"]) == SCRIPT
    assert found["runcmd"] == [[file["path"]]]
    assert file["permissions"] == "0700"
    assert cloud_config(SCRIPT).startswith("#cloud-config\n")


def test_what_has_no_tags_has_never_run(service, opened):
    service.refuse["POST /api/tag"] = Said(403, {"error": "no tags for you"})
    with pytest.raises(PermissionDenied, match="no tags for you"):
        opened().launch(LAUNCH)
    assert service.machines == {}
    assert not any(call.endswith("/power") for call in service.asked)


@pytest.mark.parametrize("killed_at", ["POST /api/backup", "POST /api/tag", f"PATCH {MACHINES}"])
def test_what_a_crash_leaves_says_of_which_launch_it_is(service, opened, monkeypatch, killed_at):
    compute = opened()
    with monkeypatch.context() as patched:
        # A process that is killed has no time for it.
        patched.setattr(CloudTempleMachines, "destroy", lambda self, machine: None)
        service.refuse[killed_at] = Said(403, {"error": "killed"})
        with pytest.raises(PermissionDenied):
            compute.launch(dataclasses.replace(LAUNCH, token="0" * 24, tags={"sovbroker-launch": "0" * 24}))
    (left,) = opened().machines()
    assert launch_of(left) == "0" * 24
    assert left.state is MachineState.STOPPED
    # Only what lacks nothing but its start is tagged.
    assert bool(left.tags) == killed_at.startswith("PATCH")
    assert (left.name == "one") == bool(left.tags)


@pytest.mark.parametrize("call", [f"POST {MACHINES}", f"PATCH {MACHINES}", "POST /api/backup"])
def test_a_launch_that_fails_leaves_nothing(service, opened, call):
    service.fail[call] = "no room"
    with pytest.raises(StoreError, match="failed: no room"):
        opened().launch(LAUNCH)
    assert service.machines == {}


def test_a_destruction_that_fails_raises(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    service.fail["DELETE"] = "protected"
    with pytest.raises(StoreError, match="protected"):
        compute.destroy(made.id)
    assert [one.id for one in compute.machines()] == [made.id]


@pytest.mark.parametrize("location", ["", "http://elsewhere.example/a", "/activity/v1/activities/a/../b", "a b"])
def test_a_change_without_its_activity_raises(service, opened, location):
    service.refuse[f"POST {MACHINES}"] = Said(201, None, {"Location": location})
    with pytest.raises(Unavailable, match="without the activity"):
        opened().launch(LAUNCH)


def test_a_launch_is_never_sent_twice(service, opened, proxy):
    compute = opened(proxy.host)
    compute.sizes()
    # The zone and its templates, the zone and its machines, and then the launch.
    proxy.script(None, None, None, None, Reset())
    with pytest.raises(Unavailable):
        compute.launch(LAUNCH)
    assert service.asked[f"POST {MACHINES}"] == 1
    assert [one.method for one in proxy.seen].count("POST") == 2


def test_a_404_or_403_is_no_machine_gone(opened, service):
    compute = opened(settings={"attempts": 1})
    made = compute.launch(LAUNCH)
    for status in (403, 404):
        for act in (compute.machine, compute.destroy, compute.stop):
            service.refuse[f"GET {MACHINES}"] = Said(status, {"error": "no"})
            with pytest.raises(StoreError) as caught:
                act(made.id)
            assert not isinstance(caught.value, NotFound)


@pytest.mark.parametrize("said", [None, {}, "[]", [None], [{"id": "a"}], [{"id": "a", "name": "a", "powerState": ""}]])
def test_an_answer_without_its_list_is_none(service, opened, said):
    service.refuse[f"GET {MACHINES}"] = Said(200, said)
    with pytest.raises(Unavailable):
        opened(settings={"attempts": 1}).machines()


@pytest.mark.parametrize(
    "said",
    [
        Said(200, "no token"),
        Said(200, {"token": "a.b.c"}),
        Said(200, token(exp=9e9)),
        Said(200, token(scope={"id": TENANT})),
        Said(200, token(scope={"id": "another"}, exp=9e9)),
        Said(404, {"error": "no"}),
        Said(200),
    ],
)
def test_a_log_in_that_is_none_raises(service, opened, said):
    service.refuse["POST /api/iam"] = said
    with pytest.raises(StoreError) as caught:
        opened(settings={"attempts": 1}).machines()
    assert not isinstance(caught.value, NotFound)
    assert service.asked[f"GET {MACHINES}"] == 0


def test_a_token_that_is_not_taken_any_more_is_replaced_once(service, opened):
    compute = opened()
    compute.sizes()
    service.tokens.clear()
    assert compute.machines() == []
    assert service.asked["POST /api/iam/v2/auth/personal_access_token"] == 2


def test_the_zone_is_named_where_there_are_several(service, opened):
    service.zones.append("another")
    with pytest.raises(StoreError, match="2 availability zones"):
        opened().machines()
    with pytest.raises(StoreError, match="0 availability zones `nowhere`"):
        opened(settings={"zone": "nowhere"}).visibility()
    assert opened(settings={"zone": ZONE}).visibility().canary == f"availability zone {ZONE}"


def test_what_cannot_be_asked_for_is_refused(opened):
    compute = opened()
    with pytest.raises(InvalidArgument, match="no owner"):
        compute.images(ImageSource("somebody", "*"))
    with pytest.raises(NotSupported):
        compute.launch(dataclasses.replace(LAUNCH, key="a"))
    with pytest.raises(NotSupported, match="`tdx`"):
        compute.launch(dataclasses.replace(LAUNCH, attested="tdx"))


@pytest.mark.parametrize("hosts", [{"elsewhere.example"}, {"127.0.0.1"}, {"127.0.0.1:1"}, {"localhost"}])
def test_nothing_is_sent_to_another_host(service, opened, hosts):
    compute = opened(hosts=frozenset(hosts))
    for call in (compute.machines, lambda: compute.launch(LAUNCH), lambda: compute.destroy("a")):
        with pytest.raises(PermissionDenied, match="nothing was sent"):
            call()
    assert service.asked.total() == 0


def test_redirects_are_not_followed(opened, proxy, service):
    with ChaosProxy(service.host) as elsewhere:
        proxy.always(Status(307, b"", (("Location", f"{elsewhere.url}{MACHINES}"),)))
        with pytest.raises(StoreError, match="307"):
            opened(proxy.host).machines()
        assert elsewhere.seen == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hosts": frozenset()}, "hosts"),
        ({"endpoint": "http://console.example/api"}, "https://"),
        ({"credentials": Credentials({"client_id": "x"})}, "no credentials"),
        ({"settings": {"zones": "a"}}, "`zones`"),
        ({"policy": False}, "`backup-policy`"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_once(opened, changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        opened(**changes)
    assert "not-a-secret" not in str(caught.value)


def test_a_missing_library_names_its_extra(service, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("sovbroker_adapters.cloudtemple.import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'sovbroker\[cloud-temple\]'"):
        build(service.binding())


def test_secrets_are_neither_shown_nor_pickled(service, opened):
    compute = opened()
    compute.sizes()
    (given,) = service.tokens
    shown = repr(compute) + repr(compute._connection) + repr(compute._connection._login)
    assert "not-a-secret" not in shown
    assert given not in shown
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(compute._connection)


def test_a_machine_that_lost_its_tags_is_not_destroyed(service, opened):
    """It may have run, and holds what it worked on."""
    compute = opened()
    made = compute.launch(LAUNCH)
    assert compute.launch(LAUNCH).id == made.id
    kept = dict(service.tags[made.id])
    for state in ("running", "stopped"):
        for lost in ("sovbroker-launch", "sovbroker-machine"):
            service.tags[made.id] = {name: value for name, value in kept.items() if name != lost}
            if (state, lost) != ("stopped", "sovbroker-machine"):
                with pytest.raises(Unavailable, match="which has lost its tags"):
                    compute.launch(LAUNCH)
                assert list(service.machines) == [made.id]
        service.tags[made.id] = kept
        compute.stop(made.id)
    assert compute.launch(LAUNCH).id == made.id
    assert compute.machine(made.id).state is MachineState.RUNNING
