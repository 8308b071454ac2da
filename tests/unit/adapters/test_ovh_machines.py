"""OVHcloud's machines: what is asked, what is refused, and what is never faked."""

import json
import logging
from dataclasses import replace

import pytest

from sovbroker.errors import (
    ConfigError,
    InvalidArgument,
    NotFound,
    NotSupported,
    PermissionDenied,
    StoreError,
    Unavailable,
)
from sovbroker.machines import ComputeFeature, ImageSource, Launch
from sovbroker.ports import Credentials
from sovbroker.testing.ovh import PROJECT, SECRETS, OvhService
from sovbroker.testing.ovhmachines import FLAVOR, IMAGE
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters.ovh import build_machines
from sovbroker_adapters.ovh.client import Connection
from sovbroker_adapters.ovh.machines import OvhMachines

SCRIPT = b"#!/bin/sh\necho the-script-of-a-patient\n"
LAUNCH = Launch("token-1", "sovbroker-token-1", FLAVOR, IMAGE, user_data=SCRIPT)
BELOW = f"/cloud/project/{PROJECT}"


@pytest.fixture
def service():
    with OvhService() as running:
        yield running


@pytest.fixture
def compute(service):
    opened = OvhMachines(Connection(service.binding(settings={"within": 1})), sleep=lambda seconds: None)
    yield opened
    opened.close()


def only(*wanted, status=200, body=None):
    """Answer so to calls of these methods and paths, and let the service answer the others."""
    said = json.dumps(body).encode() if not isinstance(body, bytes) else body
    return lambda method, path: (status, said, {}) if f"{method} {path}" in wanted else None


def test_what_is_not_there_is_said_and_not_faked(service, compute):
    absent = {feature for feature, support in compute.capabilities.items() if not support.usable}
    assert absent == {ComputeFeature.TAGS, ComputeFeature.IDEMPOTENT_LAUNCH}
    for act in (
        lambda: compute.launch(replace(LAUNCH, tags={"a": "b"})),
        lambda: compute.create_volume("data", size=1, tags={"a": "b"}),
        lambda: compute.launch(replace(LAUNCH, attested="sev-snp")),
    ):
        with pytest.raises(NotSupported):
            act()
    assert service.calls == []
    compute.launch(LAUNCH)
    compute.launch(LAUNCH)
    assert [one.name for one in compute.machines()] == ["sovbroker-token-1"] * 2


def test_a_launch_without_an_answer_is_asked_for_once(service, compute):
    asked = []

    def answer(method, path):
        asked.append(path)
        return None if path == "/auth/time" else (503, b"{}", {})

    service.answer = answer
    with pytest.raises(Unavailable):
        compute.launch(LAUNCH)
    assert asked == ["/auth/time", f"{BELOW}/instance"]


def test_scripts_arrive_and_secrets_do_not(service, caplog):
    caplog.set_level(logging.DEBUG)
    with Recorder() as recorder:
        # The signature is of the URL, so the service has to be called as it thinks that it is.
        host = recorder.in_front_of("ovh", service.host).removeprefix("http://")
        service.host, real = host, service.host
        binding = replace(service.binding(), endpoint=f"http://{host}/1.0", hosts=frozenset({host}))
        compute = build_machines(binding)
        made = compute.launch(LAUNCH)
        service.host = real
        assert service.machines.instances[made.id]["userData"] == SCRIPT.decode()
        assert recorder.saw(SECRETS["application_secret"].encode()) == []
        compute.close()
    for secret in (SECRETS["application_secret"], SECRETS["consumer_key"], "the-script-of-a-patient"):
        assert secret not in caplog.text


def test_every_call_is_signed(service, compute):
    wrong = build_machines(replace(service.binding(), credentials=Credentials({**SECRETS, "application_secret": "x"})))
    for act in (wrong.machines, wrong.sizes, lambda: wrong.launch(LAUNCH), lambda: wrong.destroy("a")):
        with pytest.raises((StoreError, InvalidArgument), match="Invalid signature"):
            act()
    wrong.close()
    assert compute.machines() == []


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"class": "Client::BadRequest", "message": "no"}, InvalidArgument),
        (401, {"class": "Client::Unauthorized", "message": "no"}, PermissionDenied),
        (403, {"errorCode": "NOT_GRANTED_CALL", "message": "no"}, PermissionDenied),
        (404, {"class": "Client::NotFound", "message": "no"}, NotFound),
        (409, {"class": "Client::Conflict", "message": "no"}, InvalidArgument),
        (412, {"class": "Client::PreconditionFailed", "message": "no"}, StoreError),
        (429, {"class": "Client::TooManyRequests", "message": "no"}, Unavailable),
        (500, {"class": "Server::InternalServerError", "message": "no"}, Unavailable),
    ],
)
def test_what_the_api_calls_an_error_raises(service, compute, status, body, kind):
    service.answer = lambda method, path: None if path == "/auth/time" else (status, json.dumps(body).encode(), {})
    for act in (
        compute.machines,
        lambda: compute.machine("a"),
        lambda: compute.destroy("a"),
        lambda: compute.launch(LAUNCH),
    ):
        with pytest.raises(kind):
            act()


def test_a_machine_is_destroyed_when_the_list_says_so(service, compute):
    made = compute.launch(LAUNCH)
    for status in (200, 404):
        # Somebody in between says that it is done, or that there is no such thing.
        service.answer = only(f"DELETE {BELOW}/instance/{made.id}", status=status, body={"message": "yes, yes"})
        with pytest.raises(Unavailable, match=f"the end of `{made.id}` was confirmed, and is not done after 1 s"):
            compute.destroy(made.id)
    service.answer = lambda method, path: None
    compute.destroy(made.id)
    assert compute.machines() == []


def test_volumes_and_keys_are_looked_for_again(service, compute):
    key = compute.import_key("a", "ssh-ed25519 AAAA")
    volume = compute.create_volume("data", size=1)
    service.answer = lambda method, path: (200, b"null", {}) if method == "DELETE" else None
    for act in (lambda: compute.delete_key(key.id), lambda: compute.destroy_volume(volume.id)):
        with pytest.raises(Unavailable, match="is not done after 1 s"):
            act()


def test_only_the_region_is_looked_at(service, compute):
    compute.launch(LAUNCH)
    elsewhere = OvhMachines(Connection(replace(service.binding(), region="SBG5")))
    assert elsewhere.machines() == []
    # Nothing is shown of a region that is none of the project's.
    with pytest.raises(NotFound):
        elsewhere.visibility()
    elsewhere.close()
    seen = compute.visibility()
    assert (seen.count, seen.canary) == (1, f"flavor {FLAVOR} in GRA11")


def test_without_a_flavor_nothing_is_proved(service, compute):
    service.answer = only(f"GET {BELOW}/flavor", body=[])
    assert compute.visibility().canary == ""


@pytest.mark.parametrize(
    "body",
    [
        {"instances": []},
        None,
        [None],
        [{"id": "a"}],
        [{"id": "", "status": "ACTIVE"}],
        [{"id": "a", "status": 7}],
        [{"id": "a", "status": "ACTIVE", "created": "yesterday"}],
    ],
)
def test_an_answer_without_what_was_asked_for_is_no_empty_list(service, compute, body):
    service.answer = only(f"GET {BELOW}/instance", body=body)
    with pytest.raises(Unavailable, match="answered"):
        compute.machines()


def test_states_that_nobody_has_heard_of_are_unknown(service, compute):
    told = [{"id": word, "status": word} for word in ("ACTIVE", "SHUTOFF", "ERROR", "DELETING", "LEVITATING")]
    service.answer = only(f"GET {BELOW}/instance", body=told)
    assert [one.state for one in compute.machines()] == ["running", "stopped", "failed", "unknown"]


def test_another_machine_than_the_one_that_was_asked_for(service, compute):
    service.answer = only(f"GET {BELOW}/instance/a", body={"id": "b", "status": "ACTIVE"})
    with pytest.raises(Unavailable, match="`b` when asked for `a`"):
        compute.machine("a")
    service.answer = only(f"POST {BELOW}/instance", body={"id": "b", "status": "BUILD", "name": "other"})
    with pytest.raises(Unavailable, match="`other` to the launch of `sovbroker-token-1`"):
        compute.launch(LAUNCH)


def test_ids_cannot_lead_elsewhere(service, compute):
    with pytest.raises(NotFound):
        compute.machine("../../me")
    assert service.calls[-1] == ("GET", f"{BELOW}/instance/..%2F..%2Fme")


def test_what_cannot_be_meant_is_not_sent(service, compute):
    for act, said in (
        (lambda: compute.launch(replace(LAUNCH, user_data=b"\xff")), "UTF-8"),
        (lambda: compute.launch(replace(LAUNCH, name="")), "name"),
        (lambda: compute.images(ImageSource("somebody", "Debian 12")), "`somebody`"),
        (lambda: compute.create_volume("data", size=0), "0 bytes"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            act()
    assert service.calls == []


def test_only_what_can_be_had_is_a_size(compute):
    assert [(size.id, size.cpus, size.memory, size.price) for size in compute.sizes()] == [(FLAVOR, 1, 2 * 10**9, None)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"region": None}, "region"),
        ({"container": ""}, "project"),
        ({"endpoint": None}, "endpoint"),
        ({"credentials": Credentials()}, "application_key"),
        ({"settings": {"zone": "a"}}, "`zone`"),
        ({"settings": {"within": 0}}, "`within`"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_once(service, changes, said):
    with pytest.raises(ConfigError, match=said):
        build_machines(replace(service.binding(), **changes))


def test_nothing_is_sent_to_another_host(service):
    with pytest.raises(PermissionDenied, match="nothing was sent"):
        build_machines(replace(service.binding(), hosts=frozenset({"elsewhere.example"})))
    assert service.calls == []


def test_a_missing_sdk_names_its_extra(service, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("sovbroker_adapters.ovh.import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'sovbroker\[ovh\]'"):
        build_machines(service.binding())


@pytest.mark.parametrize(("site", "region"), [("gra", "GRA11"), ("gra", "GRA"), ("rbx", "RBX-A"), ("GRA11", "GRA11")])
def test_a_region_of_machines_lies_in_its_site(service, site, region):
    binding = replace(service.binding(settings={"region": region}), region=site)
    build_machines(binding).close()


@pytest.mark.parametrize(("site", "region"), [("gra", "BHS5"), ("gra", "GRAZ"), ("gra", "XGRA11"), ("gra", "GRA11/x")])
def test_a_region_elsewhere_is_refused(service, site, region):
    with pytest.raises(ConfigError, match=f"no region of machines in {site.upper()}"):
        build_machines(replace(service.binding(settings={"region": region}), region=site))
