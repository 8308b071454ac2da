"""What Outscale is asked, by whom, and what comes of each answer."""

import base64
import dataclasses
import json
import logging
import os
import pickle
from datetime import UTC, datetime

import osc_sdk_python.authentication
import pytest
from osc_sdk_python.credentials import Profile

from sovbroker.errors import (
    ConfigError,
    InvalidArgument,
    NotSupported,
    PermissionDenied,
    StoreError,
    Unavailable,
)
from sovbroker.machines import ImageSource, Launch
from sovbroker.ports import Credentials
from sovbroker.testing.chaos import ChaosProxy, Reset, Status
from sovbroker.testing.outscale import IMAGE, OutscaleService, RefusalError
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters.outscale import build
from sovbroker_adapters.outscale.client import Connection
from sovbroker_adapters.outscale.machines import OutscaleMachines
from sovbroker_adapters.outscale.signing import signed

SCRIPT = b"#!/bin/sh\necho the-script-of-a-patient\n"
LAUNCH = Launch("token-1", "one", "tinav5.c1r1p2", IMAGE, user_data=SCRIPT, tags={"sovbroker-launch": "token-1"})
PER_HOUR = {"Service": "TinaOS-FCU", "Operation": "RunInstances-OD", "Type": "CustomRam"}
CONTEXT = {"ResponseContext": {"RequestId": "r"}}


@pytest.fixture
def service():
    with OutscaleService() as running:
        yield running


@pytest.fixture
def proxy(service):
    with ChaosProxy(service.host) as running:
        yield running


@pytest.fixture
def opened(service):
    """A function that opens the account at a server, with changes of the binding."""
    made = []

    def make(host=service.host, **changes):
        base = dataclasses.replace(service.binding(), endpoint=f"http://{host}/api/v1", hosts=frozenset({host}))
        binding = dataclasses.replace(base, **changes)
        build(binding)
        made.append(OutscaleMachines(Connection(binding), sleep=lambda seconds: None))
        return made[-1]

    yield make
    for each in made:
        each.close()


def answer(status=200, **fields):
    return Status(status, json.dumps({**CONTEXT, **fields}).encode())


def test_signatures_are_those_of_the_providers_sdk(monkeypatch):
    now = datetime(2026, 11, 28, 20, 15, 1, tzinfo=UTC)
    theirs = osc_sdk_python.authentication.Authentication(
        Profile(access_key="AK", secret_key="a secret", region="cloudgouv-eu-west-1"), "api.example"
    )
    monkeypatch.setattr(theirs, "build_dates", lambda: ("20261128T201501Z", "20261128"))
    expected = theirs.forge_headers_signed("/api/v1/ReadVms", '{"a": "é"}')
    ours = signed(
        '{"a": "é"}'.encode(),
        path="/api/v1/ReadVms",
        host="api.example",
        region="cloudgouv-eu-west-1",
        access_key="AK",
        secret_key="a secret",
        now=now,
    )
    for name in ("Authorization", "X-Osc-Date", "Content-Type"):
        assert ours[name] == expected[name]


def test_a_wrong_secret_is_found_out(opened):
    compute = opened(credentials=Credentials({"access_key": "OSCEXAMPLE", "secret_key": "another"}))
    with pytest.raises(PermissionDenied, match="the signature is wrong"):
        compute.machines()


def test_what_the_service_is_told_and_what_nobody_is(service, opened, caplog):
    caplog.set_level(logging.DEBUG)
    with Recorder() as recorder:
        host = recorder.in_front_of("outscale", service.host).removeprefix("http://")
        opened(host, settings={"zone": "eu-west-2a"}).launch(LAUNCH)
        assert recorder.saw(b"not-a-secret") == []
        assert "outscale sent: base64" in recorder.saw(SCRIPT)
    for secret in (b"not-a-secret", SCRIPT):
        for form in (secret.decode(), base64.b64encode(secret).decode()):
            assert form not in caplog.text


def test_what_has_no_tags_has_never_run(service, opened):
    """The tags cannot be given with the machine: where they fail, it was not started, and is destroyed."""
    service.refuse["CreateTags"] = RefusalError("AccessDenied", "4", "no tags for you", status=401)
    with pytest.raises(PermissionDenied, match="no tags for you"):
        opened().launch(LAUNCH)
    assert service.asked["StartVms"] == 0
    assert [vm["State"] for vm in service.vms.values()] == ["shutting-down"]


def test_a_launch_that_was_left_half_way_is_finished(service, opened, proxy):
    compute = opened(proxy.host, settings={"attempts": 1, "zone": "eu-west-2a"})
    # The image, the machine, and then nothing: not even the destruction of what was made arrives.
    proxy.script(None, None, *[Reset()] * 8)
    with pytest.raises(Unavailable):
        compute.launch(LAUNCH)
    proxy.script()
    # Its token tells which launch it was, where it has no tags to tell it.
    assert [(one.state, one.name, one.tags) for one in compute.machines()] == [("stopped", "token-1", {})]
    made = compute.launch(LAUNCH)
    assert len(service.vms) == 1
    assert made.tags == LAUNCH.tags
    assert {tag["Key"] for disk in service.volumes.values() for tag in disk["Tags"]} == {"sovbroker-launch", "Name"}


def test_a_launch_again_leaves_what_runs_alone(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    service.refuse["CreateTags"] = RefusalError("InternalError", "2000", "later", status=500)
    assert compute.launch(LAUNCH).id == made.id
    assert service.asked["StartVms"] == 1
    compute.destroy(made.id)
    compute.machines()
    with pytest.raises(InvalidArgument, match=f"has made `{made.id}`, which is gone"):
        compute.launch(LAUNCH)


def test_disks_end_with_their_machine_whatever_the_image_says(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    assert [volume.machine for volume in compute.volumes()] == [made.id]
    compute.destroy(made.id)
    assert service.volumes == {}


def test_a_machine_that_is_protected_is_not_destroyed(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    service.vms[made.id]["DeletionProtection"] = True
    with pytest.raises(StoreError, match="protected against deletion"):
        compute.destroy(made.id)
    assert [one.id for one in compute.machines()] == [made.id]


@pytest.mark.parametrize(
    "said",
    [
        answer(),
        answer(Vms=[]),
        answer(Vms=[{"VmId": "i-2", "CurrentState": "terminated"}]),
        answer(Vms=[{"VmId": "i-1", "CurrentState": "running"}]),
        answer(Vms=[{"VmId": "i-1"}]),
        answer(Errors=[{"Type": "InvalidState", "Code": "6006", "Details": "no"}]),
        Status(200, b'{"Vms": [{"VmId": "i-1", "CurrentState": "terminated"}]}'),
    ],
)
def test_a_destruction_that_was_not_confirmed_raises(opened, proxy, said):
    proxy.always(said)
    with pytest.raises((Unavailable, InvalidArgument)):
        opened(proxy.host, settings={"attempts": 1}).destroy("i-1")


def test_three_thousand_machines_on_three_pages(service, opened):
    for number in range(2500):
        service.vms[f"i-{number}"] = {"VmId": f"i-{number}", "State": "running", "Tags": []}
    assert len(opened().machines()) == 2500
    assert service.asked["ReadVms"] == 3
    assert opened().visibility().count == 2500


def test_pages_in_a_circle_end(opened, proxy):
    proxy.always(answer(Vms=[], NextPageToken="again"))
    with pytest.raises(Unavailable, match="circle"):
        opened(proxy.host).machines()
    assert len(proxy.seen) == 2


def test_another_account_is_not_what_was_to_be_seen(opened):
    assert opened().visibility().canary == "security group sg-00000001 of 123456789012"
    assert opened(container="").visibility().canary != ""
    assert opened(container="999999999999").visibility().canary == ""


def test_a_private_key_is_not_made_there(opened, proxy):
    made = {"KeypairName": "a", "PrivateKey": "made there"}
    proxy.script(None, answer(Keypair=made))
    with pytest.raises(Unavailable, match="a private key that it made itself") as caught:
        opened(proxy.host).import_key("a", "ssh-ed25519 AAAA")
    assert "made there" not in str(caught.value)
    assert len(proxy.seen) == 3


def test_images_of_somebody_else_are_no_answer(opened, proxy):
    image = {"ImageId": "ami-1", "ImageName": "Debian-12-a", "AccountId": "000000000002", "Architecture": "x86_64"}
    proxy.always(answer(Images=[image]))
    with pytest.raises(Unavailable, match="`000000000002`, which nobody asked for"):
        opened(proxy.host).images(ImageSource("Outscale", "Debian-12-*"))
    with pytest.raises(InvalidArgument, match="name the account"):
        opened().images(ImageSource("", "Debian-12-*"))


def prices(compute):
    return {size.id: None if size.price is None else str(size.price) for size in compute.sizes()}


UNKNOWN = dict.fromkeys(("tinav5.c1r1p2", "tinav5.c2r4p1", "tinav5.c8r16p1"))


def test_prices_are_those_of_the_catalog(service, opened):
    """Cores and memory, or what the catalog says of the whole size: for an hour, on demand."""
    told = {"tinav5.c1r1p2": "0.050000", "tinav5.c2r4p1": "0.120000", "tinav5.c8r16p1": "0.240000"}
    assert prices(opened()) == told
    service.prices["BoxUsage:tinav5.c2r4p1"] = 0.11
    assert prices(opened()) == told | {"tinav5.c2r4p1": "0.11"}
    del service.prices["CustomCore:v5-p2"]
    assert prices(opened())["tinav5.c1r1p2"] is None


def test_a_price_that_is_not_sure_is_none(service, opened):
    service.currency = "USD"
    assert prices(opened()) == UNKNOWN
    service.currency = "EUR"
    del service.prices["CustomRam"]
    assert prices(opened()) == UNKNOWN
    service.prices["CustomRam"] = -0.005
    assert prices(opened()) == UNKNOWN


@pytest.mark.parametrize("action", ["ReadCatalog", "ReadUnitPrice"])
@pytest.mark.parametrize(
    ("kind", "status"), [("AccessDenied", 403), ("InvalidResource", 400), ("InvalidParameter", 400)]
)
def test_who_may_not_see_prices_sees_sizes(service, opened, action, kind, status):
    service.refuse[action] = RefusalError(kind, "1", "no", status=status)
    compute = opened()
    assert prices(compute) == UNKNOWN
    assert service.asked[action] == 1
    assert None not in prices(compute).values()


@pytest.mark.parametrize("catalog", [None, {}, {"Entries": {}}, {"Entries": [None]}])
def test_a_catalog_that_is_none_tells_no_price(service, opened, monkeypatch, catalog):
    monkeypatch.setattr(service, "_ReadCatalog", lambda body: {"Catalog": catalog}, raising=True)
    assert prices(opened()) == UNKNOWN


@pytest.mark.parametrize("memory", [[0.005, 0.006], [5.0], [0.0051], [True], ["0.005"], [float("nan")], [-0.005], []])
def test_what_is_no_price_is_none(service, opened, monkeypatch, memory):
    """Two prices of one thing, no number, or another price than the call for a single one tells."""
    cores = [PER_HOUR | {"Type": f"CustomCore:v5-p{level}", "UnitPrice": 0.04} for level in "12"]

    def told(memory):
        made = [*cores, *(PER_HOUR | {"UnitPrice": price} for price in memory)]
        monkeypatch.setattr(service, "_ReadCatalog", lambda body: {"Catalog": {"Entries": made}}, raising=True)
        return prices(opened())

    assert told(memory) == UNKNOWN
    assert None not in told([0.005]).values()
    # The catalog's floats are shorter.
    assert None not in told([0.004999999888241291]).values()


def test_no_size_is_confidential(opened):
    assert all(size.attested == () for size in opened().sizes())
    with pytest.raises(NotSupported, match="`sev-snp`"):
        opened().launch(dataclasses.replace(LAUNCH, attested="sev-snp"))


def test_a_no_is_not_asked_for_again_and_what_may_pass_is(opened, proxy):
    compute = opened(proxy.host, settings={"attempts": 2})
    for status, error in ((401, PermissionDenied), (403, PermissionDenied), (400, StoreError), (302, StoreError)):
        before = len(proxy.seen)
        proxy.script(answer(status))
        with pytest.raises(error):
            compute.machines()
        assert len(proxy.seen) == before + 1
    for fault in (Reset(), answer(503), answer(429)):
        proxy.script(fault)
        assert compute.machines() == []


def test_no_room_is_not_sure_where_an_attempt_had_no_answer(service, opened, proxy):
    compute = opened(proxy.host)
    service.refuse["CreateVms"] = RefusalError("TooManyResources (QuotaExceded)", "10029", "too-many-cores")
    # What there is, the image, the subregion, and then the launch.
    proxy.script(None, None, None, Status(503, b"{}"))
    with pytest.raises(Unavailable, match="too-many-cores; an attempt before had no answer"):
        compute.launch(LAUNCH)
    assert service.vms == {}


def test_a_machine_that_is_there_and_finds_no_room_to_run_stays(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    compute.stop(made.id)
    compute.machine(made.id)
    service.refuse["StartVms"] = RefusalError("InsufficientCapacity", "10001", "no room")
    with pytest.raises(Unavailable, match=r"no room; the machine .* is there, and does not run"):
        compute.launch(LAUNCH)
    assert [one.id for one in compute.machines()] == [made.id]


def test_what_would_happen_twice_is_asked_for_once(service, opened, proxy):
    compute = opened(proxy.host, settings={"zone": "eu-west-2a"})
    made = compute.launch(LAUNCH)
    proxy.script(None, Reset())
    compute.machine(made.id)
    before = len(proxy.seen)
    proxy.script(None, answer(503))
    with pytest.raises(Unavailable):
        compute.reboot(made.id)
    assert len(proxy.seen) == before + 2


def test_the_environment_and_the_users_files_change_nothing(service, opened, monkeypatch, tmp_path):
    (tmp_path / ".osc").mkdir()
    (tmp_path / ".osc" / "config.json").write_text('{"default": {"access_key": "SOMEBODY", "region": "mars"}}')
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login SOMEBODY password else\n")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "OSC_ENDPOINT_API"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("OSC_ACCESS_KEY", "OSC_SECRET_KEY", "OSC_REGION", "OSC_LOGIN", "OSC_PASSWORD"):
        monkeypatch.setenv(name, "SOMEBODY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/bundle")
    assert opened().machines() == []


@pytest.mark.parametrize("hosts", [{"elsewhere.example"}, {"127.0.0.1"}, {"127.0.0.1:1"}, {"localhost"}])
def test_nothing_is_sent_to_another_host(opened, proxy, hosts):
    compute = opened(proxy.host, hosts=frozenset(hosts))
    for call in (compute.machines, lambda: compute.launch(LAUNCH), lambda: compute.destroy("i-1")):
        with pytest.raises(PermissionDenied, match="nothing was sent"):
            call()
    assert proxy.seen == ()


def test_redirects_are_not_followed(opened, proxy, service):
    with ChaosProxy(service.host) as elsewhere:
        proxy.always(Status(307, b"", (("Location", f"{elsewhere.url}/api/v1/ReadVms"),)))
        with pytest.raises(StoreError, match="307"):
            opened(proxy.host).machines()
        assert elsewhere.seen == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"container": "my-account"}, "`my-account`"),
        ({"region": None}, "region"),
        ({"hosts": frozenset()}, "hosts"),
        ({"endpoint": None}, "https://"),
        ({"endpoint": "http://api.example/api/v1"}, "https://"),
        ({"endpoint": "https://api.example/api/v1?a=b"}, "https://"),
        ({"credentials": Credentials({"access_key": "x"})}, "no credentials"),
        ({"settings": {"zones": "a"}}, "`zones`"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_once(opened, changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        opened(**changes)
    assert "not-a-secret" not in str(caught.value)


def test_a_missing_library_names_its_extra(service, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("sovbroker_adapters.outscale.import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'sovbroker\[outscale\]'"):
        build(service.binding())


def test_secrets_are_neither_shown_nor_pickled(opened, proxy):
    compute = opened(proxy.host)
    assert proxy.seen == ()
    assert "not-a-secret" not in repr(compute) + repr(compute._connection)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(compute._connection)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_makes_a_client_of_its_own(opened):
    connection = opened()._connection
    mine = connection._caller._clients.get()
    child = os.fork()
    if child == 0:
        os._exit(0 if connection._caller._clients.get() is not mine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert connection._caller._clients.get() is mine
