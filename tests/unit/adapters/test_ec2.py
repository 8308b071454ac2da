"""What EC2 is asked, by whom, and what comes of each answer."""

import base64
import dataclasses
import logging
import os
import pickle
import warnings
from datetime import UTC, datetime

import boto3
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
from sovbroker.machines import ImageSource, Launch
from sovbroker.ports import Credentials
from sovbroker.testing.chaos import ChaosProxy, Reset, Status
from sovbroker.testing.ec2 import Ec2Gateway
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters.ec2 import build
from sovbroker_adapters.ec2.client import Connection
from sovbroker_adapters.ec2.machines import Ec2Machines

UBUNTU = "ami-1e749f67"
SCRIPT = b"#!/bin/sh\necho the-script-of-a-patient\n"
LAUNCH = Launch("token-0", "one", "t3.micro", UBUNTU, user_data=SCRIPT, tags={"sovbroker-launch": "token-0"})
HOSTILE = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:1",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
    "ALL_PROXY": "http://127.0.0.1:1",
    "AWS_CA_BUNDLE": "/no/such/bundle",
    "AWS_PROFILE": "no-such-profile",
    "AWS_REGION": "mars-north-1",
    "AWS_DEFAULT_REGION": "mars-north-1",
    "AWS_MAX_ATTEMPTS": "7",
    "AWS_ACCESS_KEY_ID": "AKIASOMEBODYELSE",
    "AWS_SECRET_ACCESS_KEY": "somebody-elses",
    "AWS_SESSION_TOKEN": "somebody-elses",
}


@pytest.fixture(scope="module")
def gateway(moto):
    with Ec2Gateway(moto.host) as running:
        yield running


@pytest.fixture
def proxy(gateway):
    with ChaosProxy(gateway.host) as running:
        yield running


@pytest.fixture
def opened(gateway):
    """A function that opens the account at a server, with changes of the binding; its machines end with the test."""
    made = []

    def make(server=gateway, **changes):
        base = dataclasses.replace(gateway.binding(), endpoint=server.url, hosts=frozenset({server.host}))
        made.append(build(dataclasses.replace(base, **changes)))
        return made[-1]

    yield make
    mine = build(gateway.binding())
    for machine in mine.machines():
        admin(gateway).modify_instance_attribute(InstanceId=machine.id, DisableApiTermination={"Value": False})
        mine.destroy(machine.id)
    for each in (*made, mine):
        each.close()


def admin(server):
    keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "not-a-secret"}
    return boto3.client("ec2", endpoint_url=server.url, region_name="eu-west-3", **keys)


def launch(number, **changes):
    return dataclasses.replace(LAUNCH, token=f"unit-{os.getpid()}-{number}", **changes)


def refusal(code, status=400):
    body = f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>"
    return Status(status, body.encode())


def page(action, inner):
    return Status(200, f"<{action}Response><requestId>r</requestId>{inner}</{action}Response>".encode())


def instance(number, state="running"):
    told = f"<instanceId>i-{number:017x}</instanceId><instanceState><code>16</code><name>{state}</name></instanceState>"
    return f"<item><instancesSet><item>{told}</item></instancesSet><ownerId>123456789012</ownerId></item>"


def test_what_the_service_is_told_and_what_nobody_is(gateway, opened, caplog):
    caplog.set_level(logging.DEBUG)
    with Recorder() as recorder:
        url = recorder.in_front_of("ec2", gateway.host)
        compute = opened(endpoint=url, hosts=frozenset({url.removeprefix("http://")}))
        compute.launch(launch(1))
        assert recorder.saw(b"not-a-secret") == []
        assert recorder.saw(SCRIPT) != []
    for secret in (b"not-a-secret", SCRIPT):
        for form in (secret.decode(), base64.b64encode(secret).decode()):
            assert form not in caplog.text
    assert "RunInstances" in caplog.text


def test_a_machine_wants_sessions_of_its_metadata_and_has_tags_with_its_disks(gateway, opened):
    made = opened().launch(launch(2))
    client = admin(gateway)
    told = client.describe_instances(InstanceIds=[made.id])["Reservations"][0]["Instances"][0]
    assert told["MetadataOptions"]["HttpTokens"] == "required"
    assert told["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    disk = client.describe_volumes(VolumeIds=[told["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]])["Volumes"][0]
    for resource in (told, disk):
        assert {tag["Key"]: tag["Value"] for tag in resource["Tags"]} == {"sovbroker-launch": "token-0", "Name": "one"}


def test_disks_end_with_their_machine_whatever_the_image_says(gateway, opened):
    image = admin(gateway).describe_images(ImageIds=[UBUNTU])["Images"][0]
    assert image["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] is False
    compute = opened()
    made = compute.launch(launch(3))
    (disk,) = (volume.id for volume in compute.volumes() if volume.machine == made.id)
    compute.destroy(made.id)
    assert disk not in {volume.id for volume in compute.volumes()}


def test_a_launch_whose_answer_was_lost_makes_one_machine(gateway, opened, proxy):
    compute = opened(proxy, settings={"zone": "eu-west-3a"})
    proxy.script(None, Reset())
    before = gateway.asked["RunInstances"]
    made = compute.launch(launch(4))
    assert gateway.asked["RunInstances"] == before + 2
    assert [one.id for one in compute.machines()] == [made.id]


def test_another_launch_of_the_same_token_is_refused(opened):
    compute = opened()
    compute.launch(launch(5))
    with pytest.raises(InvalidArgument, match="IdempotentParameterMismatch"):
        compute.launch(launch(5, name="two"))


def test_a_machine_that_is_protected_is_not_destroyed(gateway, opened):
    compute = opened()
    made = compute.launch(launch(6))
    admin(gateway).modify_instance_attribute(InstanceId=made.id, DisableApiTermination={"Value": True})
    with pytest.raises(StoreError, match="OperationNotPermitted"):
        compute.destroy(made.id)
    assert [one.id for one in compute.machines()] == [made.id]


def test_a_machine_that_is_not_what_was_asked_for_is_destroyed(opened):
    """It is not said to be confidential: moto knows nothing of that."""
    compute = opened()
    with pytest.raises(Unavailable, match="without its confidential computing, which was destroyed"):
        compute.launch(launch(7, attested="sev-snp"))
    assert compute.machines() == []
    with pytest.raises(NotSupported, match="`tdx`"):
        compute.launch(launch(7, attested="tdx"))


@pytest.mark.parametrize(("state", "error"), [("running", Unavailable), ("terminated", InvalidArgument)])
def test_what_a_token_launched_before_is_left_alone(gateway, opened, proxy, state, error):
    """It has lost its tags since, or is gone: nothing of it is destroyed because it is asked for again."""
    compute = opened(proxy, settings={"zone": "eu-west-3a", "attempts": 1})
    told = f"<instanceId>i-1</instanceId><instanceState><name>{state}</name></instanceState>"
    proxy.script(None, page("RunInstances", f"<instancesSet><item>{told}</item></instancesSet>"))
    before = gateway.asked["TerminateInstances"]
    with pytest.raises(error, match=r"which (runs|is gone)"):
        compute.launch(launch(10))
    assert len(proxy.seen) == 2
    assert gateway.asked["TerminateInstances"] == before


def test_ten_thousand_machines_on_ten_pages(opened, proxy):
    compute = opened(proxy)
    pages = [
        "<reservationSet>"
        + "".join(instance(number * 1000 + one) for one in range(1000))
        + f"</reservationSet>{f'<nextToken>page-{number + 1}</nextToken>' if number < 9 else ''}"
        for number in range(10)
    ]
    proxy.script(*(page("DescribeInstances", each) for each in pages))
    assert len({machine.id for machine in compute.machines()}) == 10_000
    assert len(proxy.seen) == 10


def test_pages_in_a_circle_end(opened, proxy):
    compute = opened(proxy)
    proxy.always(page("DescribeInstances", "<reservationSet/><nextToken>again</nextToken>"))
    with pytest.raises(Unavailable, match="circle"):
        compute.machines()
    assert len(proxy.seen) == 2


@pytest.mark.parametrize(
    "answer",
    [
        page("DescribeInstances", ""),
        page("DescribeVolumes", "<reservationSet/>"),
        page("DescribeInstances", "<reservationSet><item><ownerId>1</ownerId></item></reservationSet>"),
        page("DescribeInstances", f"<reservationSet>{instance(1).replace('instanceId', 'id')}</reservationSet>"),
        page("DescribeInstances", f"<reservationSet>{instance(1).replace('name', 'word')}</reservationSet>"),
    ],
)
def test_an_answer_without_what_was_asked_for_is_no_empty_list(opened, proxy, answer):
    compute = opened(proxy, settings={"attempts": 1})
    proxy.always(answer)
    with pytest.raises(Unavailable, match="the provider answered"):
        compute.machines()


def test_what_is_gone_or_going_is_no_machine_and_what_is_unheard_of_is(opened, proxy):
    compute = opened(proxy)
    told = [instance(1, "terminated"), instance(2, "shutting-down"), instance(3, "levitating")]
    proxy.script(page("DescribeInstances", f"<reservationSet>{''.join(told)}</reservationSet>"))
    assert [(one.id[-1], one.state) for one in compute.machines()] == [("3", "unknown")]


def test_machines_of_another_account_are_no_answer(opened, proxy, gateway):
    compute = opened(proxy, container="999999999999")
    proxy.script(page("DescribeInstances", f"<reservationSet>{instance(1)}</reservationSet>"))
    with pytest.raises(Unavailable, match="`123456789012`, not of `999999999999`"):
        compute.machines()
    assert compute.visibility().canary == ""
    assert opened(container="123456789012").visibility().canary.endswith(" of 123456789012")


def test_without_a_network_nothing_is_proved(opened, proxy):
    compute = opened(proxy)
    proxy.script(
        page("DescribeInstanceStatus", "<instanceStatusSet/>"), page("DescribeSecurityGroups", "<securityGroupInfo/>")
    )
    assert compute.visibility().canary == ""


FINAL = [
    ("AuthFailure", 401, PermissionDenied),
    ("UnauthorizedOperation", 403, PermissionDenied),
    ("SomethingUnheardOf", 403, PermissionDenied),
    ("InvalidInstanceID.NotFound", 400, NotFound),
    ("IncorrectInstanceState", 400, InvalidArgument),
    ("SomethingUnheardOf", 400, StoreError),
]


@pytest.mark.parametrize(("code", "status", "kind"), FINAL)
def test_a_no_is_not_asked_for_again(opened, proxy, code, status, kind):
    compute = opened(proxy)
    proxy.always(refusal(code, status))
    with pytest.raises(kind, match=f"{status}, {code}"):
        compute.machine("i-0123456789abcdef0")
    assert len(proxy.seen) == 1


@pytest.mark.parametrize(
    ("code", "status"), [("RequestLimitExceeded", 503), ("ServiceUnavailable", 503), ("Unheard", 502)]
)
def test_what_may_pass_is_asked_for_again(opened, proxy, code, status):
    compute = opened(proxy, settings={"attempts": 2})
    proxy.script(refusal(code, status))
    assert compute.machines() == []
    proxy.always(refusal(code, status))
    with pytest.raises(Unavailable, match=code):
        compute.machines()
    assert len(proxy.seen) == 4


def test_no_room_is_said_at_once_and_not_asked_for_again(gateway, opened, proxy, monkeypatch):
    compute = opened(proxy)
    monkeypatch.setattr(gateway, "refuse", (500, "InsufficientInstanceCapacity", "no room"))
    before = gateway.asked["RunInstances"]
    with pytest.raises(NoCapacity, match="no room"):
        compute.launch(launch(40))
    assert gateway.asked["RunInstances"] == before + 1
    # An attempt that had no answer may have made it.
    proxy.script(None, None, refusal("RequestLimitExceeded", 503))
    with pytest.raises(Unavailable, match="no room; an attempt before had no answer"):
        compute.launch(launch(41))
    monkeypatch.setattr(gateway, "refuse", (400, "Unsupported", "The requested configuration is not supported."))
    with pytest.raises(InvalidArgument, match="Unsupported"):
        compute.launch(launch(42))


def test_what_would_happen_twice_is_asked_for_once(opened, proxy):
    compute = opened(proxy)
    made = compute.launch(launch(8))
    compute.machine(made.id)
    before = len(proxy.seen)
    proxy.script(None, refusal("Unheard", 503))
    with pytest.raises(Unavailable):
        compute.reboot(made.id)
    assert len(proxy.seen) == before + 2


def test_a_volume_that_is_not_ready_in_time(gateway, opened, proxy):
    waits = []
    binding = dataclasses.replace(gateway.binding(), endpoint=proxy.url, hosts=frozenset({proxy.host}))
    binding = dataclasses.replace(binding, settings={"zone": "eu-west-3a", "within": 1})
    compute = Ec2Machines(Connection(binding), sleep=waits.append)
    told = "<volumeId>vol-1</volumeId><size>1</size><status>creating</status>"
    proxy.script(page("CreateVolume", told))
    proxy.always(page("DescribeVolumes", f"<volumeSet><item>{told}</item></volumeSet>"))
    with pytest.raises(Unavailable, match="a volume of `vol-1` was confirmed, and is not done after 1 s"):
        compute.create_volume("data", size=1)
    assert waits
    compute.close()


def test_sizes_tell_graphics_and_what_can_be_attested(opened):
    sizes = {size.id: size for size in opened().sizes()}
    assert len(sizes) > 1000
    assert sizes["p4d.24xlarge"].gpus == 8
    assert sizes["m6a.large"].attested == ("sev-snp",)
    assert sizes["t3.micro"].attested == ()
    assert sizes["a1.2xlarge"].arch == "arm64"
    assert (sizes["t3.micro"].cpus, sizes["t3.micro"].memory, sizes["t3.micro"].price) == (2, 1 << 30, None)


def test_images_are_the_owners_newest_first(opened, proxy):
    compute = opened(proxy)
    told = [
        f"<item><imageId>ami-{day}</imageId><name>debian-12-{day}</name><imageOwnerId>136693071363</imageOwnerId>"
        f"<architecture>x86_64</architecture><creationDate>2026-01-0{day}T00:00:00.000Z</creationDate></item>"
        for day in (1, 3, 2)
    ]
    proxy.script(page("DescribeImages", f"<imagesSet>{''.join(told)}</imagesSet>"))
    found = compute.images(ImageSource("136693071363", "debian-12-*"))
    assert [image.id for image in found] == ["ami-3", "ami-2", "ami-1"]
    assert found[0].created == datetime(2026, 1, 3, tzinfo=UTC)
    proxy.always(page("DescribeImages", f"<imagesSet>{told[0]}</imagesSet>"))
    with pytest.raises(Unavailable, match="an image of `136693071363`, which nobody asked for"):
        compute.images(ImageSource("999999999999", "debian-12-*"))
    with pytest.raises(InvalidArgument, match="name the account"):
        compute.images(ImageSource("", "debian-12-*"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"token": "with space"}, "token"),
        ({"token": "x" * 37}, "token"),
        ({"name": ""}, "name"),
        ({"user_data": bytes((16 << 10) + 1)}, "script"),
    ],
)
def test_a_launch_that_means_nothing_is_not_sent(opened, proxy, changes, said):
    with pytest.raises(InvalidArgument, match=said):
        opened(proxy).launch(dataclasses.replace(LAUNCH, **changes))
    assert proxy.seen == ()


def test_the_environment_changes_nothing(opened, gateway, monkeypatch, tmp_path):
    broken = tmp_path / "config"
    broken.write_text("[default]\nendpoint_url = http://127.0.0.1:1\nregion = mars-north-1\n[broken")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(broken))
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    with Recorder() as recorder:
        url = recorder.in_front_of("ec2", gateway.host)
        opened(endpoint=url, hosts=frozenset({url.removeprefix("http://")})).machines()
        said = b"".join(bytes(tape.data) for tape in recorder.tapes(direction="sent"))
    assert said.count(b"Credential=AKIAEXAMPLE/") == 1
    assert b"/eu-west-3/ec2/aws4_request" in said
    for never in (b"SOMEBODY", b"somebody", b"mars-north-1", b"X-Amz-Security-Token"):
        assert never not in said


@pytest.mark.parametrize("hosts", [{"elsewhere.example"}, {"127.0.0.1"}, {"127.0.0.1:1"}, {"localhost"}])
def test_nothing_is_sent_to_another_host(opened, proxy, hosts):
    compute = opened(proxy, hosts=frozenset(hosts))
    for call in (compute.machines, lambda: compute.launch(launch(9)), lambda: compute.destroy("i-1")):
        with pytest.raises(PermissionDenied, match="nothing was sent"):
            call()
    assert proxy.seen == ()


@pytest.mark.parametrize("host", ["169.254.169.254", "ip6-metadata.localhost.invalid"])
def test_no_metadata_service_is_asked(opened, host, monkeypatch):
    """Not even where it is among the hosts, or what a name leads to cannot be reached."""
    compute = opened(endpoint=f"https://{host}", hosts=frozenset({host}), settings={"attempts": 1})
    with pytest.raises((PermissionDenied, Unavailable)):
        compute.machines()


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirects_are_not_followed(opened, proxy, gateway, code):
    compute = opened(proxy)
    with ChaosProxy(gateway.host) as elsewhere:
        proxy.script(Status(code, b"", (("Location", f"{elsewhere.url}/"),)))
        with pytest.raises(StoreError, match=str(code)):
            compute.machines()
        assert elsewhere.seen == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"container": "my-account"}, "`my-account`"),
        ({"region": None}, "region"),
        ({"region": "eu-west-3/"}, "`eu-west-3/`"),
        ({"hosts": frozenset()}, "hosts"),
        ({"endpoint": None}, "https://"),
        ({"endpoint": "http://ec2.example"}, "https://"),
        ({"credentials": Credentials()}, "no credentials"),
        ({"credentials": Credentials({"access_key": "x"})}, "no credentials"),
        ({"settings": {"zones": "a"}}, "`zones`"),
        ({"settings": {"attempts": 0}}, "`attempts`"),
        ({"settings": {"zone": ""}}, "`zone`"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_once(opened, changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        opened(**changes)
    assert "not-a-secret" not in str(caught.value)


def test_a_missing_sdk_names_its_extra(gateway, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("sovbroker_adapters.ec2.import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'sovbroker\[ec2\]'"):
        build(gateway.binding())


def test_secrets_are_neither_shown_nor_pickled(opened, proxy):
    compute = opened(proxy)
    assert proxy.seen == ()
    assert "not-a-secret" not in repr(compute) + repr(compute._connection)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(compute)


def test_a_child_makes_a_client_of_its_own(opened):
    connection = opened()._connection
    mine = connection._clients.get()
    with warnings.catch_warnings():
        # Newer versions of Python warn of what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(0 if connection._clients.get() is not mine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert connection._clients.get() is mine
