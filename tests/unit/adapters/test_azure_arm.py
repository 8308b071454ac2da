"""What Resource Manager is asked, by whom, and what comes of each answer."""

import base64
import dataclasses
import json
import logging
import pickle

import pytest

from sovbroker.errors import (
    ConfigError,
    InvalidArgument,
    NoCapacity,
    NotFound,
    NotSupported,
    PermissionDenied,
    StoreError,
    Unavailable,
)
from sovbroker.machines import ImageSource, Launch, MachineState
from sovbroker.ports import Credentials
from sovbroker.testing.arm import IMAGE, SECRETS, ArmService, RefusalError
from sovbroker.testing.chaos import ChaosProxy, Reset, Status
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters.azure_arm import build, told
from sovbroker_adapters.azure_arm.client import Connection
from sovbroker_adapters.azure_arm.machines import ArmMachines

SCRIPT = b"#!/bin/sh\necho the-script-of-a-patient\n"
TAGS = {"sovbroker-launch": "Token-1", "Owner": "Zoë"}
LAUNCH = Launch("Token-1", "web/Front", "Standard_B2s", IMAGE, user_data=SCRIPT, tags=TAGS)
MACHINE = "machines/m-1"
SECRET = SECRETS["client_secret"].encode()


@pytest.fixture
def service():
    with ArmService() as running:
        yield running


@pytest.fixture
def proxy(service):
    with ChaosProxy(service.host) as running:
        yield running


@pytest.fixture
def opened(service):
    """A function that opens the group at a server, with changes of the binding; the authority is the service itself."""
    made = []

    def make(host=service.host, *, settings=None, **changes):
        base = service.binding(settings=settings)
        near = dataclasses.replace(base, endpoint=f"http://{host}", hosts=frozenset({host, service.host}))
        binding = dataclasses.replace(near, **changes)
        build(binding)
        authority = str(binding.settings["authority"])
        made.append(ArmMachines(Connection(binding, authority=authority, sleep=lambda seconds: None)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def answer(code=200, /, *headers, **fields):
    return Status(code, json.dumps(fields).encode(), headers)


def refused(status, code, message="no"):
    return answer(status, error={"code": code, "message": message})


def test_the_secret_goes_to_the_authority_alone(service, opened, caplog):
    caplog.set_level(logging.DEBUG)
    with Recorder() as recorder:
        manager = recorder.in_front_of("manager", service.host).removeprefix("http://")
        opened(manager).launch(LAUNCH)
        assert recorder.saw(SECRET) == []
        assert recorder.saw(SCRIPT) != []
        authority = recorder.in_front_of("authority", service.host)
        compute = opened(
            settings={"authority": authority},
            hosts=frozenset({service.host, authority.removeprefix("http://")}),
        )
        compute.machines()
        assert {found.partition(" ")[0] for found in recorder.saw(SECRET)} == {"authority"}
    for form in (SECRET.decode(), "the-script", base64.b64encode(SCRIPT).decode()):
        assert form not in caplog.text


def test_one_token_serves_many_requests_and_ends(service, opened):
    compute = opened()
    compute.machines()
    compute.volumes()
    grants = f"POST /{SECRETS['tenant']}/oauth2/v2.0/token"
    assert service.asked[grants] == 1
    compute._connection._token = (compute._connection._token[0], 0.0)
    compute.machines()
    assert service.asked[grants] == 2


def test_a_wrong_secret_is_found_out_and_not_repeated(opened):
    compute = opened(credentials=Credentials({**SECRETS, "client_secret": "another~secret"}))
    with pytest.raises(PermissionDenied, match="invalid_client") as caught:
        compute.machines()
    assert "another" not in str(caught.value)


@pytest.mark.parametrize("said", [answer(), answer(token_type="Bearer"), Status(200, b"<html>"), Status(200, b"")])
def test_a_grant_that_is_none_raises(opened, proxy, said):
    proxy.always(said)
    with pytest.raises(Unavailable, match="without a token"):
        opened(
            settings={"authority": proxy.url, "attempts": 1}, hosts=frozenset({proxy.host}), endpoint=proxy.url
        ).machines()


def test_a_machine_is_made_whole_and_leaves_nothing(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    assert (made.name, made.tags, made.addresses) == ("web/Front", TAGS, ("10.0.0.4",))
    (vm,) = service.of("virtualMachines")
    profile = vm["properties"]["osProfile"]
    assert base64.b64decode(profile["customData"]) == SCRIPT
    assert profile["linuxConfiguration"]["disablePasswordAuthentication"] is True
    assert profile["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"].startswith("ssh-rsa ")
    assert "identity" not in vm
    assert [volume.machine for volume in compute.volumes()] == [made.id]
    compute.destroy(made.id)
    assert service.held == {}


def test_a_launch_whose_answer_was_lost_makes_one_machine(service, opened, proxy):
    compute = opened(proxy.host)
    proxy.script(Reset(after=3))
    made = compute.launch(LAUNCH)
    assert [one.id for one in compute.machines()] == [made.id]
    assert len(service.of("virtualMachines")) == 1


def test_a_machine_that_could_not_be_started_is_removed(service, opened):
    for code, error in (("AllocationFailed", NoCapacity), ("InvalidParameter", InvalidArgument)):
        service.fail = [{"code": code, "message": "no room"}]
        with pytest.raises(error, match="no room"):
            opened().launch(LAUNCH)
        assert service.held == {}


def test_no_room_is_not_sure_where_a_machine_is_there_or_an_attempt_had_no_answer(service, opened, proxy, monkeypatch):
    service.refuse = RefusalError(409, "SkuNotAvailable", "no room")
    compute = opened(proxy.host)
    proxy.script(Status(503, b"{}"))
    with pytest.raises(Unavailable, match="no room; an attempt before had no answer"):
        compute.launch(LAUNCH)
    with pytest.raises(NoCapacity, match="no room"):
        compute.launch(LAUNCH)
    service.refuse = None
    made = compute.launch(LAUNCH)
    service.refuse = RefusalError(409, "SkuNotAvailable", "no room")
    # It is there, and runs: what is said of another one does not count.
    monkeypatch.setattr(service, "_put", lambda *asked: service._make_vm(asked[0], asked[2], asked[3]))
    with pytest.raises(Unavailable, match=r"no room; the machine .* is there all the same"):
        compute.launch(LAUNCH)
    assert [one.id for one in compute.machines()] == [made.id]


def test_what_is_not_allowed_is_no_room_only_where_it_is_a_quota(service, opened):
    service.refuse = RefusalError(409, "OperationNotAllowed", "the subscription is read-only")
    with pytest.raises(InvalidArgument, match="read-only"):
        opened().launch(LAUNCH)


def test_machines_of_every_group_and_page_in_this_location_alone(service, opened):
    root = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups"
    for number in range(6):
        path = f"{root}/other/providers/Microsoft.Compute/virtualMachines/x{number}"
        service.held[path.lower()] = {
            "id": path.replace("/other/", "/OTHER/"),
            "name": f"x{number}",
            "location": "France Central" if number % 2 else "westeurope",
            "properties": {"instanceView": {"statuses": [{"code": "PowerState/deallocated"}]}},
        }
    service.page = 2
    compute = opened()
    found = {one.id: one.state for one in compute.machines()}
    assert found == {f"other/x{number}": MachineState.STOPPED for number in (1, 3, 5)}
    assert compute.machine("other/x1").id == "other/x1"
    with pytest.raises(NotFound, match="another region"):
        compute.machine("other/x0")
    assert compute.visibility().canary == "resource group Machines"


def test_pages_are_followed_at_the_same_host_only(opened, proxy, service):
    with ChaosProxy(service.host) as elsewhere:
        proxy.always(answer(value=[], nextLink=f"{elsewhere.url}/subscriptions/x"))
        compute = opened(proxy.host, hosts=frozenset({proxy.host, elsewhere.host, service.host}))
        with pytest.raises(PermissionDenied, match="nothing was sent"):
            compute.machines()
        assert elsewhere.seen == ()
    proxy.always(answer(value=[], nextLink=f"{proxy.url}/again"))
    with pytest.raises(Unavailable, match="circle"):
        opened(proxy.host).machines()


@pytest.mark.parametrize("header", ["Azure-AsyncOperation", "Location"])
def test_operations_are_followed_at_the_same_host_only(opened, proxy, service, header):
    with ChaosProxy(service.host) as elsewhere:
        proxy.always(answer(202, (header, f"{elsewhere.url}/operations/1")))
        compute = opened(proxy.host, hosts=frozenset({proxy.host, elsewhere.host, service.host}))
        with pytest.raises(PermissionDenied, match="nothing was sent"):
            compute.destroy(MACHINE)
        assert elsewhere.seen == ()


@pytest.mark.parametrize(
    "code", ["ResourceGroupNotFound", "SubscriptionNotFound", "AuthorizationFailed", "SomethingElse", ""]
)
def test_a_404_of_something_else_does_not_say_that_a_machine_is_gone(opened, proxy, code):
    compute = opened(proxy.host, settings={"attempts": 1})
    proxy.always(refused(404, code))
    for act in (compute.destroy, compute.machine):
        with pytest.raises((StoreError, InvalidArgument)) as caught:
            act(MACHINE)
        assert not isinstance(caught.value, NotFound)
    proxy.always(refused(404, "ResourceNotFound"))
    compute.destroy(MACHINE)


def test_what_would_happen_twice_is_asked_for_once(opened, proxy):
    compute = opened(proxy.host)
    made = compute.launch(LAUNCH)
    before = len(proxy.seen)
    proxy.script(None, answer(503))
    with pytest.raises(Unavailable):
        compute.reboot(made.id)
    assert [seen.method for seen in proxy.seen[before:]] == ["GET", "POST"]


def test_a_key_of_the_callers_lets_its_owner_in(service, opened):
    compute = opened()
    key = compute.import_key("mine", "ssh-ed25519 AAAA")
    compute.launch(dataclasses.replace(LAUNCH, key=key.id))
    (vm,) = service.of("virtualMachines")
    assert vm["properties"]["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"] == "ssh-ed25519 AAAA"
    with pytest.raises(InvalidArgument, match="no name of a key"):
        compute.import_key("../x", "ssh-ed25519 AAAA")


def test_confidential_computing_is_asked_for_where_the_size_offers_it(service, opened):
    compute = opened()
    with pytest.raises(NotSupported, match="does not offer `sev-snp`"):
        compute.launch(dataclasses.replace(LAUNCH, attested="sev-snp"))
    assert service.held == {}
    compute.launch(dataclasses.replace(LAUNCH, attested="sev-snp", size="Standard_DC2as_v5"))
    (vm,) = service.of("virtualMachines")
    assert vm["properties"]["securityProfile"]["securityType"] == "ConfidentialVM"
    assert {size.id: size.attested for size in compute.sizes()}["Standard_DC2as_v5"] == ("sev-snp",)


def test_the_newest_version_of_an_image_is_by_number(opened):
    (image,) = opened().images(ImageSource("Debian", "debian-12:12-gen2"))
    assert image.id == IMAGE
    assert image.owner == "Debian"


@pytest.mark.parametrize(
    "tags",
    [{"a": "1", "A": "2"}, {"name": "x"}, {"a/b": "x"}, {"a": "x" * 257}, {f"t{n}": "x" for n in range(50)}, {"": "x"}],
)
def test_tags_that_would_not_come_back_are_refused(service, opened, tags):
    with pytest.raises(InvalidArgument):
        opened().launch(dataclasses.replace(LAUNCH, tags=tags))
    assert service.held == {}


def test_states():
    power = [{"code": "ProvisioningState/succeeded"}, {"code": "PowerState/running"}]
    assert told.state({"provisioningState": "Succeeded"}, power) is MachineState.RUNNING
    assert told.state({"provisioningState": "Deleting"}, power) is MachineState.GONE
    assert told.state({"provisioningState": "Failed"}, []) is MachineState.FAILED
    assert told.state({"provisioningState": "Succeeded"}, None) is MachineState.UNKNOWN


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"container": "group"}, "SUBSCRIPTION/GROUP"),
        ({"region": None}, "region"),
        ({"endpoint": "http://management.azure.com"}, "https://"),
        ({"hosts": frozenset({"elsewhere.example"})}, "not among the hosts"),
        ({"credentials": Credentials({"tenant": "x", "client_id": "y"})}, "client_secret"),
        ({"credentials": Credentials({**SECRETS, "tenant": "../x"})}, "tenant"),
        ({"settings": {"authority": "https://login.elsewhere.example"}}, "authority `login.elsewhere.example`"),
        ({"settings": {"subnet": "default"}}, "subnet"),
        ({"settings": {"subnets": "a"}}, "`subnets`"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_once(opened, changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        opened(**changes)
    assert SECRET.decode() not in str(caught.value)


def test_secrets_are_neither_shown_nor_pickled(opened, proxy):
    compute = opened(proxy.host)
    assert proxy.seen == ()
    assert SECRET.decode() not in repr(compute) + repr(compute._connection)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(compute._connection)


def test_the_environment_changes_nothing(opened, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "AZURE_AUTHORITY_HOST"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
        monkeypatch.setenv(name, "somebody")
    assert opened().machines() == []


def test_a_missing_library_names_its_extra(service, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("sovbroker_adapters.azure_arm.import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'sovbroker\[azure-arm\]'"):
        build(service.binding())
