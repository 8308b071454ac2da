"""What Compute Engine is asked, by whom, and what comes of each answer."""

import base64
import dataclasses
import json
import logging
import pickle
import subprocess

import google.auth.jwt
import google.oauth2.service_account
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

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
from sovbroker.testing.chaos import ChaosProxy, Reset, Status
from sovbroker.testing.gce import IMAGE, PROJECT, GceService, RefusalError
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters.gce import build, told
from sovbroker_adapters.gce.client import Connection
from sovbroker_adapters.gce.machines import GceMachines
from sovbroker_adapters.gce.signing import SCOPE, ServiceAccount

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
INFO = {
    "type": "service_account",
    "client_email": "machines@our-project.iam.gserviceaccount.com",
    "private_key_id": "0123",
    "private_key": PEM,
    "token_uri": "http://169.254.169.254/token",
}
KEY = json.dumps(INFO)
SCRIPT = b"#!/bin/sh\necho the-script-of-a-patient\n"
TAGS = {"sovbroker-launch": "Token-1", "Owner": "Zoë@example.org", "team": "blue", "goog-a": "b", "empty": ""}
LAUNCH = Launch("Token-1", "web/Front", "e2-small", IMAGE, user_data=SCRIPT, tags=TAGS)
PLACE = "europe-west9-a"
ROOT = f"https://compute.example/compute/v1/projects/{PROJECT}/zones/{PLACE}"
MACHINE = f"{PLACE}/m-1"


@pytest.fixture
def service():
    with GceService(lambda token: google.auth.jwt.decode(token, certs=PUBLIC)) as running:
        yield running


@pytest.fixture
def proxy(service):
    with ChaosProxy(service.host) as running:
        yield running


@pytest.fixture
def opened(service):
    """A function that opens the project at a server, with changes of the binding."""
    made = []

    def make(host=service.host, **changes):
        base = dataclasses.replace(
            service.binding(KEY, settings={"zone": PLACE}),
            endpoint=f"http://{host}/compute/v1",
            hosts=frozenset({host}),
        )
        binding = dataclasses.replace(base, **changes)
        build(binding)
        connection = Connection(binding, ServiceAccount.of(binding), sleep=lambda seconds: None)
        made.append(GceMachines(connection))
        return made[-1]

    yield make
    for each in made:
        each.close()


def answer(code=200, /, **fields):
    return Status(code, json.dumps(fields).encode())


def refused(status, reason, message):
    return answer(status, error={"code": status, "message": message, "errors": [{"reason": reason}]})


def operation(about="instances/m-1", **fields):
    said = {"kind": "compute#operation", "name": "o-1", "status": "DONE", "targetLink": f"{ROOT}/{about}"}
    return answer(**{**said, **fields})


def test_tokens_are_those_of_the_providers_library():
    theirs = google.oauth2.service_account.Credentials.from_service_account_info(
        INFO, scopes=[SCOPE], always_use_jwt_access=True
    )

    def nobody(*args, **named):
        raise AssertionError

    theirs.refresh(nobody)
    expected = google.auth.jwt.decode(theirs.token, verify=False)
    account = ServiceAccount(INFO, PRIVATE)
    ours = google.auth.jwt.decode(account.token(lambda: expected["iat"] + 0.5), certs=PUBLIC)
    assert ours == expected
    head = [
        json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "==")) for token in (account.token(), theirs.token)
    ]
    assert head[0] == head[1]


def test_a_token_is_signed_anew_before_it_ends_and_when_the_clock_is_set_back():
    account = ServiceAccount(INFO, PRIVATE)
    first = account.token(lambda: 10_000.0)
    assert account.token(lambda: 12_900.0) == first
    assert account.token(lambda: 13_100.0) != first
    assert account.token(lambda: 10_000.0) == first


def test_another_key_is_found_out(opened):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    compute = opened(credentials=Credentials({"service_account": json.dumps({**INFO, "private_key": pem})}))
    with pytest.raises(PermissionDenied, match="authError"):
        compute.machines()


def test_what_the_service_is_told_and_what_nobody_is(service, opened, caplog):
    caplog.set_level(logging.DEBUG)
    with Recorder() as recorder:
        host = recorder.in_front_of("gcp", service.host).removeprefix("http://")
        opened(host).launch(LAUNCH)
        for line in PEM.splitlines()[1:-1]:
            assert recorder.saw(line.encode()) == []
        assert recorder.saw(SCRIPT) != []
    assert "the-script" not in caplog.text
    assert PEM.splitlines()[3] not in caplog.text


def test_tags_come_back_whatever_labels_can_hold(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    assert made.tags == TAGS
    assert made.name == "web/Front"
    (instance,) = service.instances.values()
    assert instance["labels"] == {"team": "blue", "empty": ""}
    assert "serviceAccounts" not in instance
    assert "accessConfigs" not in instance["networkInterfaces"][0]
    assert {item["key"]: item["value"] for item in instance["metadata"]["items"]}["block-project-ssh-keys"] == "TRUE"
    (disk,) = compute.volumes()
    assert (disk.tags, disk.machine) == (TAGS, made.id)
    compute.destroy(made.id)
    assert compute.volumes() == []


def test_what_no_description_can_hold_is_not_launched(service, opened):
    with pytest.raises(InvalidArgument, match="2048"):
        opened().launch(dataclasses.replace(LAUNCH, tags={"Owner": "Z" * 2048}))
    assert service.instances == {}


def test_a_machine_of_somebody_else_is_told_of_as_it_is():
    found = {
        "selfLink": f"{ROOT}/instances/theirs",
        "name": "theirs",
        "status": "RUNNING",
        "machineType": f"{ROOT}/machineTypes/e2-small",
        "labels": {"a": "b"},
    }
    for description in ("", "a web server", "{}", '{"sovbroker": 1}', '{"sovbroker": {"name": "x"}}', "null"):
        made = told.instance(found | {"description": description})
        assert (made.id, made.name, made.tags) == (f"{PLACE}/theirs", "theirs", {"a": "b"})


def test_a_script_runs_once_byte_for_byte(tmp_path):
    script = (
        b"#!/bin/sh\nprintf 'a\\000b%s' END >>" + str(tmp_path / "out").encode() + b"\nEND\n\n# \xff\xfe" + b"x" * 9000
    )
    startup = told.once(script, "m-1", folder=str(tmp_path / "state"))
    for _ in range(2):
        subprocess.run(["sh", "-c", startup], check=False, capture_output=True)
    assert (tmp_path / "state" / "m-1" / "script").read_bytes() == script
    assert (tmp_path / "out").read_bytes() == b"a\0bEND"


def test_machines_of_every_zone_of_the_region_and_of_no_other(service, opened):
    for zone in ("europe-west9-a", "europe-west9-b", "us-central1-a"):
        for number in range(3):
            path = f"projects/{PROJECT}/zones/{zone}/instances/x{number}"
            service.instances[path] = {
                "selfLink": f"{service.root}/{path}",
                "name": f"x{number}",
                "status": "SUSPENDED",
                "machineType": f"zones/{zone}/machineTypes/e2-small",
            }
    service.page = 2
    compute = opened()
    assert sorted(one.id for one in compute.machines()) == [f"europe-west9-{z}/x{n}" for z in "ab" for n in range(3)]
    assert service.asked["GET instanceAggregatedList"] == 5
    assert compute.visibility().count == 6
    assert compute.visibility().canary == f"project {PROJECT}"
    with pytest.raises(NotFound):
        compute.machine("us-central1-a/x0")
    compute.destroy("us-central1-a/x0")
    assert len(service.instances) == 9


HERE, THERE = f"zones/{PLACE}", "zones/us-central1-a"
NONE = {"warning": {"code": "NO_RESULTS_ON_PAGE"}}


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "compute#instanceAggregatedList"},
        {"kind": "compute#instanceAggregatedList", "items": {}},
        {"kind": "compute#instanceAggregatedList", "items": {THERE: NONE}},
        {"kind": "compute#instanceAggregatedList", "items": {HERE: {}}},
        {"kind": "compute#instanceAggregatedList", "items": {HERE: {"warning": {"code": "UNREACHABLE"}}}},
        {"kind": "compute#instanceAggregatedList", "items": {HERE: {"instances": [{}]}}},
        {"kind": "compute#instanceAggregatedList", "items": {HERE: NONE}, "unreachables": [HERE]},
        {"kind": "compute#diskAggregatedList", "items": {HERE: NONE}},
        {"kind": "compute#instanceAggregatedList", "items": {HERE: NONE}, "nextPageToken": "again"},
    ],
)
def test_a_list_that_may_lack_something_is_none(opened, proxy, said):
    proxy.always(answer(**said))
    with pytest.raises(Unavailable):
        opened(proxy.host, settings={"attempts": 1}).machines()
    proxy.always(answer(kind="compute#instanceAggregatedList", items={HERE: NONE}))
    assert opened(proxy.host).machines() == []


@pytest.mark.parametrize(
    "said",
    [
        answer(),
        operation(kind="compute#instance"),
        operation(status="SOON"),
        operation(about="instances/m-2"),
        operation(targetLink=None),
        operation(error={"errors": [{"code": "RESOURCE_NOT_READY", "message": "later"}]}),
        operation(error={"errors": []}),
        operation(status="RUNNING", name="../../x"),
    ],
)
def test_a_destruction_that_was_not_confirmed_raises(opened, proxy, said):
    proxy.always(operation())
    opened(proxy.host, settings={"attempts": 1}).destroy(MACHINE)
    proxy.always(said)
    with pytest.raises((StoreError, Unavailable)):
        opened(proxy.host, settings={"attempts": 1}).destroy(MACHINE)


@pytest.mark.parametrize(
    "missing",
    [
        f"projects/{PROJECT}",
        f"projects/{PROJECT}/zones/{PLACE}",
        f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/zones/{PLACE}",
        "",
    ],
)
def test_a_place_that_is_not_there_does_not_say_that_its_machine_is_gone(opened, proxy, missing):
    proxy.always(refused(404, "notFound", f"The resource '{missing}' was not found"))
    compute = opened(proxy.host, settings={"attempts": 1})
    for act in (compute.destroy, compute.machine):
        with pytest.raises(StoreError) as caught:
            act(MACHINE)
        assert not isinstance(caught.value, NotFound)
    proxy.always(
        refused(404, "notFound", f"The resource 'projects/{PROJECT}/zones/{PLACE}/instances/m-1' was not found")
    )
    compute.destroy(MACHINE)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", NoCapacity),
        ("QUOTA_EXCEEDED", NoCapacity),
        ("RESOURCE_NOT_READY", Unavailable),
        ("UNSUPPORTED_OPERATION", InvalidArgument),
        ("SOMETHING_NEW", StoreError),
    ],
)
def test_what_an_operation_ends_with_raises(service, opened, code, error):
    service.fail = [{"code": code, "message": "no room"}]
    with pytest.raises(error, match="no room"):
        opened().launch(LAUNCH)
    assert service.instances == {}


def test_no_room_is_not_sure_where_a_machine_is_there_or_an_attempt_had_no_answer(service, opened, proxy):
    compute = opened(proxy.host)
    made = compute.launch(LAUNCH)
    service.requests.clear()
    service.refuse = RefusalError(403, "quotaExceeded", "no room")
    with pytest.raises(Unavailable, match=r"quotaExceeded: no room; the machine .* is there all the same"):
        compute.launch(LAUNCH)
    assert [one.id for one in compute.machines()] == [made.id]
    compute.destroy(made.id)
    proxy.script(Status(503, b"{}"))
    with pytest.raises(Unavailable, match="no room; an attempt before had no answer"):
        compute.launch(dataclasses.replace(LAUNCH, token="Launch-2"))
    with pytest.raises(NoCapacity, match="no room"):
        compute.launch(dataclasses.replace(LAUNCH, token="Launch-3"))


def test_what_is_left_of_a_machine_that_was_not_to_be_had_is_not_passed_over(service, opened, monkeypatch):
    service.fail = [{"code": "QUOTA_EXCEEDED", "message": "no room"}]
    monkeypatch.setattr(GceMachines, "destroy_volume", lambda self, volume: None)
    with pytest.raises(Unavailable, match=r"no room; the disk .* is there all the same"):
        opened().launch(LAUNCH)


def test_an_operation_that_never_ends_is_not_waited_for_without_end(opened, proxy):
    proxy.always(operation(status="RUNNING"))
    compute = opened(proxy.host)
    compute._connection._within = 0
    with pytest.raises(Unavailable, match="not done after 0 s"):
        compute.destroy(MACHINE)


def test_a_launch_whose_answer_was_lost_makes_one_machine(service, opened, proxy):
    compute = opened(proxy.host)
    proxy.script(Reset(after=3))
    made = compute.launch(LAUNCH)
    assert [one.id for one in compute.machines()] == [made.id]
    # An hour later the service has forgotten the request, and still knows the name.
    service.requests.clear()
    assert compute.launch(LAUNCH).id == made.id
    assert len(service.instances) == 1
    compute.destroy(made.id)


def test_a_token_whose_machine_is_gone_makes_no_other(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    compute.destroy(made.id)
    with pytest.raises(InvalidArgument, match="which is gone"):
        compute.launch(LAUNCH)
    assert service.instances == {}


def test_tokens_that_differ_in_case_are_others(service, opened):
    compute = opened()
    compute.launch(LAUNCH)
    compute.launch(dataclasses.replace(LAUNCH, token="token-1"))
    assert len(service.instances) == 2


def test_a_machine_that_is_protected_is_not_destroyed(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    next(iter(service.instances.values()))["deletionProtection"] = True
    with pytest.raises(InvalidArgument, match="protected against deletion"):
        compute.destroy(made.id)
    assert [one.id for one in compute.machines()] == [made.id]


def test_a_machine_that_was_not_made_as_asked_does_not_stay(service, opened, monkeypatch):
    compute = opened()
    monkeypatch.setattr(compute, "_is_attested", lambda machine, kind: False)
    with pytest.raises(Unavailable, match="without `sev-snp`"):
        compute.launch(dataclasses.replace(LAUNCH, attested="sev-snp"))
    assert service.instances == {}


def test_a_machine_that_was_relabelled_is_not_destroyed_by_a_launch_again(service, opened):
    compute = opened()
    compute.launch(LAUNCH)
    next(iter(service.instances.values()))["labels"] = {}
    with pytest.raises(Unavailable, match="without its tags"):
        compute.launch(LAUNCH)
    assert len(service.instances) == 1


def test_confidential_computing_is_asked_for(service, opened):
    compute = opened()
    made = compute.launch(dataclasses.replace(LAUNCH, attested="tdx"))
    (instance,) = service.instances.values()
    assert instance["confidentialInstanceConfig"] == {"confidentialInstanceType": "TDX"}
    compute.destroy(made.id)
    with pytest.raises(NotSupported, match="`nitro`"):
        compute.launch(dataclasses.replace(LAUNCH, attested="nitro"))


def test_a_subnet_and_an_address_are_asked_for_where_they_are_configured(service, opened):
    opened(settings={"subnet": "inner", "public-address": True}).launch(LAUNCH)
    (instance,) = service.instances.values()
    network = instance["networkInterfaces"][0]
    assert network["subnetwork"] == f"projects/{PROJECT}/regions/europe-west9/subnetworks/inner"
    assert network["accessConfigs"] == [{"type": "ONE_TO_ONE_NAT", "name": "External NAT"}]
    assert "/zones/europe-west9-a/" in instance["selfLink"]


def test_images_are_the_newest_first_and_none_is_outdated(opened):
    found = opened().images(ImageSource("debian-cloud", "debian-12-*"))
    assert [(image.name, image.arch) for image in found] == [
        ("debian-12-bookworm-v20260101", "x86_64"),
        ("debian-12-bookworm-arm64-v20260101", "arm64"),
    ]
    for owner in ("", "../x", "debian-cloud/global"):
        with pytest.raises(InvalidArgument, match="name the project"):
            opened().images(ImageSource(owner, "debian-12-*"))


def test_images_of_somebody_else_are_no_answer(opened, proxy):
    image = {"name": "debian-12-a", "selfLink": "https://x/projects/evil/global/images/debian-12-a", "status": "READY"}
    proxy.always(answer(kind="compute#imageList", items=[image]))
    with pytest.raises(Unavailable, match="`evil`, which nobody asked for"):
        opened(proxy.host).images(ImageSource("debian-cloud", "debian-12-*"))


def test_sizes_tell_of_their_cards(opened):
    assert {size.id: size.gpus for size in opened().sizes()} == {"e2-small": 0, "e2-standard-4": 0, "g2-standard-4": 1}


def test_a_machine_that_is_suspended_goes_on(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    next(iter(service.instances.values()))["status"] = "SUSPENDED"
    compute.start(made.id)
    assert compute.machine(made.id).state is MachineState.RUNNING


def test_a_volume_of_another_zone_is_not_attached(service, opened):
    volume = opened(settings={"zone": "europe-west9-b"}).create_volume("data", size=1)
    made = opened().launch(LAUNCH)
    with pytest.raises(InvalidArgument, match="another zone"):
        opened().attach(volume.id, made.id)


@pytest.mark.parametrize("hosts", [{"elsewhere.example"}, {"127.0.0.1"}, {"127.0.0.1:1"}, {"localhost"}])
def test_nothing_is_sent_to_another_host(opened, proxy, hosts):
    compute = opened(proxy.host, hosts=frozenset(hosts))
    for call in (compute.machines, lambda: compute.launch(LAUNCH), lambda: compute.destroy(MACHINE)):
        with pytest.raises(PermissionDenied, match="nothing was sent"):
            call()
    assert proxy.seen == ()


def test_redirects_are_not_followed(opened, proxy, service):
    with ChaosProxy(service.host) as elsewhere:
        proxy.always(Status(307, b"", (("Location", f"{elsewhere.url}/compute/v1/x"),)))
        with pytest.raises(StoreError, match="307"):
            opened(proxy.host).machines()
        assert elsewhere.seen == ()


def test_the_environment_changes_nothing(opened, monkeypatch, tmp_path):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    monkeypatch.setenv("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "elsewhere.example")
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/bundle")
    assert opened().machines() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"container": ""}, "no id of a project"),
        ({"container": "a/b"}, "`a/b`"),
        ({"region": None}, "region"),
        ({"hosts": frozenset()}, "hosts"),
        ({"endpoint": None}, "https://"),
        ({"endpoint": "http://compute.googleapis.com/compute/v1"}, "https://"),
        ({"endpoint": "https://compute.s3nsapis.fr/compute/v1"}, "universe `googleapis.com`"),
        ({"endpoint": "https://evilgoogleapis.com/compute/v1"}, "universe"),
        ({"credentials": Credentials({})}, "service_account"),
        ({"credentials": Credentials({"service_account": '{"type": "authorized_user"}'})}, "`authorized_user`"),
        ({"credentials": Credentials({"service_account": json.dumps({**INFO, "private_key": "x"})})}, "cannot be read"),
        ({"settings": {"zones": "a"}}, "`zones`"),
        ({"settings": {"zone": "us-central1-a"}}, "no zone of `europe-west9`"),
        ({"settings": {"subnet": "../x"}}, "`subnet`"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_once(opened, changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        opened(**changes)
    assert PEM.splitlines()[3] not in str(caught.value)


def test_a_key_of_the_universe_opens_it(service):
    key = json.dumps({**INFO, "universe_domain": "s3nsapis.fr"})
    binding = dataclasses.replace(
        service.binding(key),
        container="s3ns:our-project",
        endpoint="https://compute.s3nsapis.fr/compute/v1",
        region="u-france-east1",
    )
    build(binding).close()


def test_a_missing_library_names_its_extra(service, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("sovbroker_adapters.gce.import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'sovbroker\[gce\]'"):
        build(service.binding(KEY))


def test_secrets_are_neither_shown_nor_pickled(opened, proxy):
    compute = opened(proxy.host)
    assert proxy.seen == ()
    assert "PRIVATE" not in repr(compute) + repr(compute._connection) + repr(compute._connection._account)
    for held in (compute._connection, compute._connection._account):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(held)
