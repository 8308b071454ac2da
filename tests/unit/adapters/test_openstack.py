"""What an OpenStack is asked, by whom, and what comes of each answer."""

import base64
import dataclasses
import json
import logging
import os
import pickle
import time

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
from sovbroker.machines import ComputeFeature, ImageSource, Launch, MachineState
from sovbroker.ports import Credentials, Support
from sovbroker.testing.chaos import ChaosProxy, Reset, Status
from sovbroker.testing.contracts import Said
from sovbroker.testing.openstack import IMAGE, OWNER, PROJECT, OpenStackService
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters.openstack import build
from sovbroker_adapters.openstack.client import Connection, quoted
from sovbroker_adapters.openstack.machines import OpenStackMachines
from sovbroker_adapters.openstack.told import machine

SCRIPT = b"#!/bin/sh\necho the-script-of-a-patient\n"
LAUNCH = Launch("token-1", "one", "a1-ram2", IMAGE, user_data=SCRIPT, tags={"sovbroker-launch": "token-1"})
SERVERS = "/compute/v2.1/servers"


@pytest.fixture
def service():
    with OpenStackService() as running:
        yield running


@pytest.fixture
def proxy(service):
    """In front of every service but Keystone."""
    with ChaosProxy(service.host) as running:
        service.public = running.url
        yield running


@pytest.fixture
def opened(service):
    """A function that opens the project, with changes of the binding."""
    made = []

    def make(*more, **changes):
        binding = dataclasses.replace(service.binding(), hosts=frozenset({service.host, *more}))
        binding = dataclasses.replace(binding, **changes)
        build(binding)
        made.append(OpenStackMachines(Connection(binding), sleep=lambda seconds: None))
        return made[-1]

    yield make
    for each in made:
        each.close()


def answer(body, status=200):
    return Status(status, json.dumps(body).encode())


def test_what_the_service_is_told_and_what_nobody_is(service, opened, caplog):
    caplog.set_level(logging.DEBUG)
    with Recorder() as recorder:
        url = recorder.in_front_of("nova", service.host)
        service.public = url
        opened(url.removeprefix("http://")).launch(LAUNCH)
        assert recorder.saw(b"not-a-secret") == []
        assert "nova sent: base64" in recorder.saw(SCRIPT)
    (token,) = service.tokens
    for secret in (b"not-a-secret", SCRIPT, token.encode(), b"made-by-nova"):
        for form in (secret.decode(), base64.b64encode(secret).decode()):
            assert form not in caplog.text


def test_only_the_log_in_holds_the_secret(service, opened):
    with Recorder() as recorder:
        url = recorder.in_front_of("keystone", service.host)
        compute = opened(url.removeprefix("http://"), endpoint=f"{url}/identity/v3")
        compute.machines()
        assert recorder.saw(b"not-a-secret") == ["keystone sent: raw"]


def test_a_wrong_secret_is_found_out(opened):
    wrong = {"application_credential_id": "a-credential", "application_credential_secret": "another"}
    with pytest.raises(PermissionDenied, match="401"):
        opened(credentials=Credentials(wrong)).machines()


def test_a_launch_is_never_sent_twice(service, opened, proxy):
    compute = opened(proxy.host)
    proxy.script(Reset())
    with pytest.raises(Unavailable):
        compute.launch(LAUNCH)
    assert len(proxy.seen) == 1
    assert compute.capabilities[ComputeFeature.IDEMPOTENT_LAUNCH] is Support.ABSENT


def test_a_machine_without_its_tags_is_destroyed(service, opened, proxy):
    compute = opened(proxy.host)
    made = compute.launch(LAUNCH)
    bare = dict(service.servers[made.id], metadata={})
    compute.destroy(made.id)
    compute.machines()
    # The answer to the launch is the service's own; what it tells of the machine then lacks the tags.
    proxy.script(None, answer({"server": bare | {"id": "00000000-0000-0003-0000-000000000000"}}))
    service._ids = iter([3])
    with pytest.raises(Unavailable, match="without its tags; it was destroyed"):
        compute.launch(LAUNCH)
    assert compute.machines() == []


def test_a_machine_that_no_host_has_room_for_is_gone_before_that_is_said(service, opened):
    service.hosts = False
    waits, compute = [], opened()
    compute._sleep = waits.append
    with pytest.raises(NoCapacity, match="was destroyed again: No valid host was found"):
        compute.launch(LAUNCH)
    assert service.servers == {}
    assert len(waits) == 1


def test_a_machine_that_cannot_be_destroyed_again_is_not_passed_over(service, opened, proxy):
    service.hosts = False
    compute = opened(proxy.host)
    # The launch and two looks; then the destruction is not done.
    proxy.script(None, None, None, Status(204))
    with pytest.raises(Unavailable, match=r"that it destroys .*, which is failed"):
        compute.launch(LAUNCH)
    assert len(service.servers) == 1


def test_a_machine_that_waits_for_a_host_is_told_of_as_pending(service, opened, monkeypatch):
    service.hosts = False
    monkeypatch.setattr(service, "_moved", lambda said: said)
    compute = opened(settings={"within": 1})
    compute._sleep = lambda seconds: time.sleep(0.01)
    assert compute.launch(LAUNCH).state is MachineState.PENDING


def test_what_fails_for_another_reason_is_no_matter_of_room(service, opened, proxy):
    compute = opened(proxy.host)
    denied = {"forbidden": {"code": 403, "message": "Policy doesn't allow os_compute_api:servers:create"}}
    proxy.script(answer(denied, 403))
    with pytest.raises(PermissionDenied, match="Policy doesn't allow"):
        compute.launch(LAUNCH)
    broken = {"code": 500, "message": "Image could not be written."}
    service._ids = iter([5])
    failed = {"id": "00000000-0000-0005-0000-000000000000", "name": LAUNCH.name, "status": "ERROR", "fault": broken}
    failed |= {"metadata": dict(LAUNCH.tags), "flavor": {"id": "a1-ram2"}, "image": {"id": IMAGE}}
    proxy.script(None, answer({"server": failed}))
    assert compute.launch(LAUNCH).state is MachineState.FAILED


def test_what_is_kept_after_a_deletion_is_deleted_for_good(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    service.soft = True
    compute.destroy(made.id)
    assert service.asked[f"POST {SERVERS}/{made.id}/action"] == 1
    assert service.servers == {} or compute.machines() == []


def test_a_machine_that_is_locked_is_not_destroyed(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    service.servers[made.id]["locked"] = True
    with pytest.raises(InvalidArgument, match="is locked"):
        compute.destroy(made.id)
    assert [one.id for one in compute.machines()] == [made.id]


def test_a_deletion_that_was_not_done_raises(opened, proxy):
    compute = opened(proxy.host)
    made = compute.launch(LAUNCH)
    proxy.script(Status(204))
    with pytest.raises(Unavailable, match=f"that it destroys `{made.id}`, which is running"):
        compute.destroy(made.id)


@pytest.mark.parametrize("status", [200, 201, 203, 204])
def test_an_acknowledgement_has_its_own_status(opened, proxy, status):
    compute = opened(proxy.host, settings={"attempts": 1})
    made = compute.launch(LAUNCH)
    for act in (compute.stop, compute.reboot):
        proxy.script(None, Status(status))
        with pytest.raises(Unavailable):
            act(made.id)
    proxy.script(Status(status))
    with pytest.raises(Unavailable):
        compute.delete_key("a")


@pytest.mark.parametrize(
    "said",
    [
        Status(404),
        answer({}, 404),
        answer({"itemNotFound": {"code": 400, "message": "no"}}, 404),
        answer({"message": "no such route"}, 404),
    ],
)
def test_a_404_of_somebody_in_between_is_no_machine_gone(opened, proxy, said):
    compute = opened(proxy.host, settings={"attempts": 1})
    proxy.always(said)
    for act in (compute.destroy, compute.machine, compute.delete_key, compute.destroy_volume):
        with pytest.raises(StoreError) as caught:
            act("a")
        assert not isinstance(caught.value, NotFound)


@pytest.mark.parametrize(
    "said",
    [{"servers": None}, {"servers": {}}, {"server": []}, {"servers": [None]}, {"servers": [{"id": "a"}]}, []],
)
def test_an_answer_without_its_list_is_none(opened, proxy, said):
    proxy.always(answer(said))
    with pytest.raises(Unavailable):
        opened(proxy.host, settings={"attempts": 1}).machines()


def test_every_page_is_read_and_no_link_is_followed(service, opened):
    service.page = 100
    compute = opened()
    first = compute.launch(LAUNCH)
    for number in range(249):
        service.servers[f"s-{number}"] = dict(service.servers[first.id], id=f"s-{number}")
    assert len(compute.machines()) == 250
    assert service.asked[f"GET {SERVERS}/detail"] == 3
    assert compute.visibility().count == 250
    service.page = 1
    assert len(compute.sizes()) == 4
    assert [image.id for image in compute.images(ImageSource(OWNER, "*"))] == [IMAGE]


def test_pages_in_a_circle_end(opened, proxy):
    server = {
        "id": "a", "name": "a", "status": "ACTIVE", "flavor": {"id": "f"}, "image": "", "metadata": {}, "addresses": {}
    }  # fmt: skip
    proxy.always(answer({"servers": [server], "servers_links": [{"rel": "next", "href": "https://elsewhere.example"}]}))
    with pytest.raises(Unavailable, match="circle"):
        opened(proxy.host).machines()
    assert len(proxy.seen) == 2


def test_a_token_that_is_not_taken_any_more_is_replaced_once(service, opened):
    compute = opened()
    compute.machines()
    service.tokens.clear()
    made = compute.launch(LAUNCH)
    assert list(service.servers) == [made.id]
    assert service.asked["POST /identity/v3/auth/tokens"] == 2
    service.refuse["GET /compute"] = Said(401, {"error": {"code": 401, "message": "no"}})
    compute.machines()
    assert service.asked["POST /identity/v3/auth/tokens"] == 3


def test_a_new_token_that_is_not_taken_is_a_no(service, opened):
    service.refuse["GET /compute"] = Said(401, {"error": {"code": 401, "message": "no"}})
    with pytest.raises(PermissionDenied):
        opened().machines()
    assert service.asked["POST /identity/v3/auth/tokens"] == 1


def test_the_catalogue_leads_nowhere_else(service, opened, proxy):
    with pytest.raises(PermissionDenied, match="nothing was sent"):
        opened().machines()
    assert proxy.seen == ()
    service.public = "http://169.254.169.254"
    with pytest.raises(PermissionDenied, match="nothing was sent"):
        opened("169.254.169.254").machines()
    service.public = f"{service.url}/a/.."
    with pytest.raises(PermissionDenied, match="nothing was sent"):
        opened().machines()


def test_a_service_that_the_region_lacks_is_named(opened):
    with pytest.raises(StoreError, match="no service `compute` in the region `three`"):
        opened(region="three").machines()
    with pytest.raises(PermissionDenied, match=r"two\.example"):
        opened(settings={"region": "two"}).machines()


def test_a_token_of_another_project_is_refused(service, opened):
    with pytest.raises(PermissionDenied, match=f"`{PROJECT}`, and not for `another`"):
        opened(container="another").machines()
    assert service.asked["GET /compute/v2.1/servers/detail"] == 0
    assert opened(container="").machines() == []


@pytest.mark.parametrize(
    "said",
    [
        Said(201, {"token": {"project": {"id": PROJECT}, "catalog": []}}),
        Said(201, {"token": {"project": {"id": PROJECT}}}, {"X-Subject-Token": "t"}),
        Said(201, {"token": {"catalog": []}}, {"X-Subject-Token": "t"}),
        Said(201, {}, {"X-Subject-Token": "t"}),
        Said(200, {"token": {"project": {"id": PROJECT}, "catalog": []}}, {"X-Subject-Token": "t"}),
        Said(404, {"error": {"code": 404, "message": "no"}}),
    ],
)
def test_a_log_in_that_is_none_raises(service, opened, said):
    service.refuse["POST /identity"] = said
    with pytest.raises(StoreError) as caught:
        opened(settings={"attempts": 1}).machines()
    assert not isinstance(caught.value, NotFound)


def test_images_of_somebody_else_are_no_answer(opened, proxy):
    proxy.always(answer({"images": [{"id": "i", "name": "Debian 12", "owner": "somebody"}]}))
    with pytest.raises(Unavailable, match="`somebody`, which nobody asked for"):
        opened(proxy.host).images(ImageSource(OWNER, "*"))
    with pytest.raises(InvalidArgument, match="name the project"):
        opened(proxy.host).images(ImageSource("", "*"))


def test_encrypted_memory_alone_proves_nothing(service, opened):
    assert {size.attested for size in opened().sizes()} == {()}
    assert service.asked["GET /compute/v2.1/flavors/a1-ram2/os-extra_specs"] == 0
    told = {size.id: size.attested for size in opened(settings={"extra-specs": True}).sizes()}
    assert told == {"a1-ram2": (), "a2-ram4": (), "a4-ram8-sev": (), "a4-ram8-snp": ("sev-snp",)}


def test_a_launch_is_attested_by_its_flavor_or_not_made(service, opened):
    compute = opened()
    for size in ("a1-ram2", "a4-ram8-sev"):
        with pytest.raises(NotSupported, match=f"not what `{size}` proves"):
            compute.launch(dataclasses.replace(LAUNCH, attested="sev-snp", size=size))
    assert service.servers == {}
    compute.launch(dataclasses.replace(LAUNCH, attested="sev-snp", size="a4-ram8-snp"))
    assert len(service.servers) == 1


def test_another_projects_default_group_is_no_canary(service, opened):
    group = {"id": "5ec0", "name": "default", "tenant_id": "another"}
    service.refuse["GET /compute/v2.1/os-security-groups"] = Said(200, {"security_groups": [group]})
    assert opened().visibility().canary == ""
    assert opened().visibility().canary == f"security group 5ec0 of {PROJECT}"


def test_a_private_key_is_not_made_there(opened, proxy):
    made = {"keypair": {"name": "a", "private_key": "made there"}}
    proxy.script(None, answer(made))
    with pytest.raises(Unavailable, match="a private key that it made itself") as caught:
        opened(proxy.host).import_key("a", "ssh-ed25519 AAAA")
    assert "made there" not in str(caught.value)
    assert len(proxy.seen) == 3


def test_a_volume_that_cannot_be_made_is_destroyed(service, opened, proxy):
    compute = opened(proxy.host)
    name = "00000000-0000-0000-0000-000000000001"
    proxy.script(None, answer({"volume": {"id": name, "status": "error", "size": 1, "attachments": []}}))
    with pytest.raises(StoreError, match="could not be made"):
        compute.create_volume("data", size=1)
    assert compute.volumes() == []


def test_settings_are_what_the_service_is_asked(service, opened):
    settings = {"network": "n-1", "security-group": "g-1", "zone": "z-1", "volume-type": "fast"}
    compute = opened(settings=settings)
    compute.launch(LAUNCH)
    volume = compute.create_volume("data", size=(1 << 30) + 1)
    assert volume.size == 2 << 30
    assert service.volumes[volume.id]["volume_type"] == "fast"
    assert compute._asked(LAUNCH)["networks"] == [{"uuid": "n-1"}]


@pytest.mark.parametrize(
    ("status", "task", "state"),
    [
        ("ACTIVE", None, MachineState.RUNNING),
        ("ACTIVE", "deleting", MachineState.GONE),
        ("ACTIVE", "powering-off", MachineState.STOPPING),
        ("SHUTOFF", None, MachineState.STOPPED),
        ("ERROR", None, MachineState.FAILED),
        ("SOFT_DELETED", None, MachineState.UNKNOWN),
        ("SHELVED_OFFLOADED", None, MachineState.UNKNOWN),
    ],
)
def test_states(status, task, state):
    found = {"id": "a", "name": "a", "status": status, "OS-EXT-STS:task_state": task, "metadata": {}, "image": ""}
    assert machine(found | {"flavor": {"id": "f"}}).state is state


@pytest.mark.parametrize(
    ("name", "part"),
    [("a/b", "a%2Fb"), ("..", "%2E%2E"), (".", "%2E"), ("", "%2E"), ("a?b#c", "a%3Fb%23c"), ("a", "a")],
)
def test_an_id_is_one_part_of_a_path(name, part):
    assert quoted(name) == part


def test_a_no_is_not_asked_for_again_and_what_may_pass_is(opened, proxy):
    compute = opened(proxy.host, settings={"attempts": 2})
    for status, error in ((403, PermissionDenied), (400, StoreError), (302, StoreError)):
        before = len(proxy.seen)
        proxy.script(answer({}, status))
        with pytest.raises(error):
            compute.machines()
        assert len(proxy.seen) == before + 1
    for fault in (Reset(), answer({}, 503), answer({}, 429)):
        proxy.script(fault)
        assert compute.machines() == []


def test_the_environment_and_the_users_files_change_nothing(opened, monkeypatch, tmp_path):
    (tmp_path / "clouds.yaml").write_text("clouds: {openstack: {auth: {auth_url: 'http://127.0.0.1:1'}}}\n")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login SOMEBODY password else\n")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "OS_AUTH_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("OS_USERNAME", "OS_PASSWORD", "OS_CLOUD", "OS_REGION_NAME"):
        monkeypatch.setenv(name, "SOMEBODY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/bundle")
    monkeypatch.chdir(tmp_path)
    assert opened().machines() == []


@pytest.mark.parametrize("hosts", [{"elsewhere.example"}, {"127.0.0.1"}, {"127.0.0.1:1"}, {"localhost"}])
def test_nothing_is_sent_to_another_host(service, opened, hosts):
    compute = opened(hosts=frozenset(hosts))
    for call in (compute.machines, lambda: compute.launch(LAUNCH), lambda: compute.destroy("i-1")):
        with pytest.raises(PermissionDenied, match="nothing was sent"):
            call()
    assert service.asked.total() == 0


def test_redirects_are_not_followed(opened, proxy, service):
    with ChaosProxy(service.host) as elsewhere:
        proxy.always(Status(307, b"", (("Location", f"{elsewhere.url}{SERVERS}/detail"),)))
        with pytest.raises(StoreError, match="307"):
            opened(proxy.host, elsewhere.host).machines()
        assert elsewhere.seen == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"region": None}, "region"),
        ({"hosts": frozenset()}, "hosts"),
        ({"endpoint": None}, "https://"),
        ({"endpoint": "http://keystone.example/v3"}, "https://"),
        ({"endpoint": "https://user@keystone.example/v3"}, "https://"),
        ({"credentials": Credentials({})}, "no credentials"),
        ({"credentials": Credentials({"username": "x"})}, "belong together"),
        ({"settings": {"networks": "a"}}, "`networks`"),
        ({"settings": {"extra-specs": "yes"}}, "`extra-specs`"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_once(opened, changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        opened(**changes)
    assert "not-a-secret" not in str(caught.value)


def test_a_password_is_scoped_to_the_project(service, opened):
    given = Credentials({"username": "somebody", "password": "not-a-secret"})
    asked = opened(credentials=given)._connection._asked
    assert asked["scope"] == {"project": {"id": PROJECT}}
    assert asked["identity"]["password"]["user"]["domain"] == {"name": "Default"}
    with pytest.raises(ConfigError, match="nothing names the project"):
        opened(credentials=given, container="")


def test_a_missing_library_names_its_extra(service, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("sovbroker_adapters.openstack.import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'sovbroker\[openstack\]'"):
        build(service.binding())


def test_secrets_are_neither_shown_nor_pickled(service, opened):
    compute = opened()
    assert service.asked.total() == 0
    compute.machines()
    (token,) = service.tokens
    shown = repr(compute) + repr(compute._connection) + repr(compute._connection._login)
    assert "not-a-secret" not in shown
    assert token not in shown
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(compute._connection)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_makes_a_client_of_its_own(opened):
    clients = opened()._connection._rest._caller._clients
    mine = clients.get()
    child = os.fork()
    if child == 0:
        os._exit(0 if clients.get() is not mine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert clients.get() is mine
