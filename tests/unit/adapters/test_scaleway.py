"""What Scaleway is asked, by whom, and what comes of each answer."""

import dataclasses
import logging
import pickle
from decimal import Decimal

import pytest
from scaleway_core.bridge import ALL_ZONES

from sovbroker.compute.images import SOURCES
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
from sovbroker.testing.chaos import ChaosProxy, Reset
from sovbroker.testing.contracts import Said
from sovbroker.testing.scaleway import (
    CREDENTIALS,
    IMAGE,
    LOCAL_IMAGE,
    ORGANIZATION,
    OWN_IMAGE,
    PROJECT,
    PROVIDER,
    ZONES,
    ScalewayService,
)
from sovbroker_adapters.scaleway import build, images
from sovbroker_adapters.scaleway.client import ZONES as KNOWN_ZONES
from sovbroker_adapters.scaleway.client import Connection
from sovbroker_adapters.scaleway.machines import ScalewayMachines

SCRIPT = b"#!/bin/sh\necho the-script-of-a-patient\n"
LAUNCH = Launch("token-1", "one", "DEV1-S", IMAGE, user_data=SCRIPT, tags={"sovbroker-launch": "token-1", "b": "x=y"})
SECRET = CREDENTIALS["secret_key"]
HERE = f"/instance/v1/zones/{ZONES[0]}"
SERVERS = f"{HERE}/servers"
DISKS = f"/block/v1/zones/{ZONES[0]}/volumes"
STEPS = {
    "mark": f"PATCH {DISKS}",
    "script": f"PATCH {SERVERS}",
    "start": f"POST {SERVERS}/",
}
NO = Said(403, {"type": "permissions_denied", "message": "insufficient permissions", "details": []})


@pytest.fixture
def service():
    with ScalewayService() as running:
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
        base = service.binding(settings={"attempts": 1, "within": 5, **changes.pop("settings", {})})
        binding = dataclasses.replace(base, endpoint=f"http://{host}", hosts=frozenset({host}))
        binding = dataclasses.replace(binding, **changes)
        build(binding)
        made.append(ScalewayMachines(Connection(binding, sleep=lambda seconds: None)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def running(compute, launch=LAUNCH):
    """Launch, and return the machine that runs."""
    made = compute.launch(launch)
    # It is waited for, and runs already.
    compute.start(made.id)
    return compute.machine(made.id)


def short(name):
    return name.partition("/")[2]


def test_the_key_is_in_one_header_and_nothing_is_logged(service, opened, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    heard = []
    handle = service.handle

    def hear(method, target, headers, raw):
        heard.append((target, {**headers}, raw))
        return handle(method, target, headers, raw)

    monkeypatch.setattr(service, "handle", hear)
    compute = opened()
    made = compute.launch(LAUNCH)
    compute.create_volume("data", size=1)
    compute.images(ImageSource(PROVIDER, "*"))
    compute.visibility()
    compute.destroy(made.id)
    assert len(heard) > 20
    for target, headers, raw in heard:
        assert headers.pop("x-auth-token") == SECRET
        assert SECRET not in f"{target} {headers} {raw!r}"
    assert SECRET not in caplog.text
    assert "patient" not in caplog.text


def test_a_machine_is_made_stopped_marked_given_its_script_and_started(service, opened):
    opened().launch(LAUNCH)
    (server,), (disk,) = service.servers.values(), service.disks.values()
    assert set(server["tags"]) == {"sovbroker-launch=token-1", "b=x=y", "sovbroker-token=token-1"}
    assert disk["tags"] == [f"sovbroker-disk-of={server['id']}"]
    changes = [call for call in service.asked if not call.startswith("GET")]
    assert changes == [
        f"POST {SERVERS}",
        f"PATCH {DISKS}/{disk['id']}",
        f"PATCH {SERVERS}/{server['id']}/user_data/cloud-init",
        f"POST {SERVERS}/{server['id']}/action",
    ]


def test_what_is_told_of_a_machine(service, opened):
    compute = opened()
    made = running(compute)
    assert made.id == f"fr-par-1/{next(iter(service.servers))}"
    assert (made.name, made.size, made.image, made.state) == ("one", "DEV1-S", IMAGE, MachineState.RUNNING)
    assert made.tags == LAUNCH.tags
    assert made.addresses == ("192.0.2.7",)
    assert list(service.ran.values()) == [SCRIPT]


def test_a_machine_without_an_address_and_with_a_group(service, opened):
    (group,) = service.groups
    compute = opened(settings={"address": "none", "security-group": group})
    assert running(compute).addresses == ()
    with pytest.raises(StoreError) as caught:
        opened(settings={"security-group": OWN_IMAGE}).launch(dataclasses.replace(LAUNCH, token="token-2"))
    assert not isinstance(caught.value, NotFound)


@pytest.mark.parametrize("lost", [f"POST {SERVERS}", *STEPS.values()])
def test_a_launch_that_was_cut_short_goes_on(service, opened, lost):
    service.lose.append(lost)
    with pytest.raises(Unavailable):
        opened().launch(LAUNCH)
    (left,) = opened().machines()
    assert left.tags == LAUNCH.tags
    assert service.ran == {} or lost == STEPS["start"]
    made = opened().launch(LAUNCH)
    assert made.id == left.id
    compute = opened()
    compute.start(made.id)
    assert service.asked[f"POST {SERVERS}"] == 1
    assert list(service.ran.values()) == [SCRIPT]
    (disk,) = service.disks.values()
    assert disk["tags"] == [f"sovbroker-disk-of={short(made.id)}"]
    compute.destroy(made.id)
    assert (service.servers, service.disks) == ({}, {})


@pytest.mark.parametrize("lost", [f"POST {SERVERS}", *STEPS.values()])
def test_a_launch_that_was_cut_short_is_destroyed_with_its_disk(service, opened, lost):
    service.lose.append(lost)
    with pytest.raises(Unavailable):
        opened().launch(LAUNCH)
    (left,) = opened().machines()
    opened().destroy(left.id)
    assert (service.servers, service.disks, service.ips) == ({}, {}, {})


@pytest.mark.parametrize("step", STEPS.values())
def test_a_launch_that_is_refused_leaves_nothing(service, opened, step):
    service.refuse[step] = NO
    with pytest.raises(PermissionDenied, match="insufficient permissions"):
        opened().launch(LAUNCH)
    assert (service.servers, service.disks) == ({}, {})
    assert service.ran == {}


def test_what_is_out_of_stock_leaves_nothing(service, opened):
    service.refuse[STEPS["start"]] = Said(400, {"type": "out_of_stock", "message": "none left", "resource": "DEV1-S"})
    with pytest.raises(NoCapacity, match="out_of_stock: none left"):
        opened().launch(LAUNCH)
    assert (service.servers, service.disks) == ({}, {})


def test_a_script_that_is_not_kept_starts_nothing(service, opened):
    service.refuse[STEPS["script"]] = Said(204)
    with pytest.raises(Unavailable, match="keeps a script, and does not"):
        opened().launch(LAUNCH)
    assert [one["state"] for one in service.servers.values()] == ["stopped"]


def test_a_machine_that_comes_without_its_tags_is_destroyed(service, opened):
    compute = opened()
    made = compute.launch(LAUNCH)
    service.servers[short(made.id)]["tags"] = ["sovbroker-token=token-1"]
    with pytest.raises(StoreError, match="without its name or tags"):
        compute.launch(LAUNCH)
    assert (service.servers, service.disks) == ({}, {})


def test_a_finished_launch_is_returned_as_it_is(service, opened):
    compute = opened()
    made = running(compute)
    before = service.asked[f"POST {SERVERS}/{short(made.id)}/action"]
    assert compute.launch(LAUNCH) == made
    assert service.asked[f"POST {SERVERS}/{short(made.id)}/action"] == before


def test_a_launch_is_never_sent_twice(service, opened, proxy):
    compute = opened(proxy.host, settings={"attempts": 3})
    proxy.script(None, None, None, None, Reset())
    with pytest.raises(Unavailable):
        compute.launch(LAUNCH)
    assert [one.method for one in proxy.seen] == ["GET", "GET", "GET", "GET", "POST"]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"image": LOCAL_IMAGE}, InvalidArgument, "not on Block Storage"),
        ({"image": "debian_bookworm"}, NotFound, "no image"),
        ({"size": "START1-S"}, InvalidArgument, "commercial_type"),
        ({"size": "COPARM1-2C-8G"}, InvalidArgument, "architecture"),
        ({"tags": {"a=b": "c"}}, InvalidArgument, "cannot name a tag"),
        ({"tags": {"": "c"}}, InvalidArgument, "cannot name a tag"),
        ({"attested": "sev-snp"}, NotSupported, "cannot be asked for"),
        ({"key": "a"}, NotSupported, "keys"),
        ({"token": "a b"}, InvalidArgument, "no token"),
    ],
)
def test_what_cannot_be_launched(service, opened, changes, error, said):
    with pytest.raises(error, match=said):
        opened().launch(dataclasses.replace(LAUNCH, **changes))
    assert service.servers == {}


def test_an_image_with_more_disks_is_refused(service, opened):
    service.images[OWN_IMAGE]["extra_volumes"] = {"1": {"id": "a"}}
    with pytest.raises(InvalidArgument, match="more than one disk"):
        opened().launch(dataclasses.replace(LAUNCH, image=OWN_IMAGE))
    assert service.servers == {}


@pytest.mark.parametrize("stopped", [False, True])
def test_a_machine_goes_with_its_disk_and_address_and_nothing_else(service, opened, stopped):
    compute = opened()
    data = compute.create_volume("data", size=5)
    other = running(compute, dataclasses.replace(LAUNCH, token="token-2"))
    made = running(compute)
    compute.attach(data.id, made.id)
    service.ips["kept"] = {**next(iter(service.ips.values())), "id": "kept", "dynamic": False}
    service.servers[short(made.id)]["public_ips"].append("kept")
    if stopped:
        compute.stop(made.id)
    compute.destroy(made.id)
    kept = {one.id: one.machine for one in compute.volumes()}
    assert kept.pop(data.id) is None
    assert list(kept.values()) == [other.id]
    assert [one.id for one in compute.machines()] == [other.id]
    assert [key for key, one in service.ips.items() if not one["dynamic"]] == ["kept"]
    assert len(service.ips) == 2
    verb = "DELETE" if stopped else "POST"
    assert sum(n for call, n in service.asked.items() if call.startswith(f"{verb} {SERVERS}/{short(made.id)}"))


def test_a_disk_that_was_left_goes_when_the_machine_is_destroyed_again(service, opened):
    compute = opened()
    made = running(compute)
    service.refuse[f"DELETE {DISKS}"] = Said(503, {"message": "later"})
    with pytest.raises(Unavailable):
        compute.destroy(made.id)
    assert service.servers == {}
    assert len(service.disks) == 1
    compute.destroy(made.id)
    assert service.disks == {}


def test_a_destruction_whose_answer_was_lost_is_finished(service, opened):
    compute = opened()
    made = running(compute)
    service.lose.append(f"POST {SERVERS}/")
    with pytest.raises(Unavailable):
        compute.destroy(made.id)
    assert [one.state for one in compute.machines()] == [MachineState.STOPPING]
    assert compute.machines() == []
    compute.destroy(made.id)
    assert (service.servers, service.disks) == ({}, {})


def test_a_disk_that_another_machine_has_is_not_destroyed(service, opened):
    compute = opened()
    made, other = running(compute), running(compute, dataclasses.replace(LAUNCH, token="token-2"))
    service.refuse[f"DELETE {DISKS}"] = Said(503, {"message": "later"})
    with pytest.raises(Unavailable):
        compute.destroy(made.id)
    (left,) = [one for one in compute.volumes() if one.machine is None]
    compute.attach(left.id, other.id)
    with pytest.raises(InvalidArgument, match=f"attached to `{other.id}`"):
        compute.destroy(made.id)
    assert short(left.id) in service.disks


def test_the_disk_of_a_machine_that_we_did_not_launch_stays(service, opened):
    compute = opened()
    made = running(compute)
    service.servers[short(made.id)]["tags"] = []
    (disk,) = service.disks.values()
    disk["tags"] = []
    compute.destroy(made.id)
    assert (service.servers, list(service.disks)) == ({}, [disk["id"]])


def test_a_disk_in_the_place_of_a_machines_own_stays(service, opened):
    compute = opened()
    made = running(compute)
    data = compute.create_volume("data", size=1)
    compute.attach(data.id, made.id)
    volumes = service.servers[short(made.id)]["volumes"]
    own = volumes["0"]["id"]
    volumes["0"] = volumes.pop("1")
    service.disks[own].update(status="available", references=[])
    compute.destroy(made.id)
    assert list(service.disks) == [short(data.id)]


def test_the_disk_of_another_machine_stays_its_own(service, opened):
    compute = opened()
    made, other = running(compute), running(compute, dataclasses.replace(LAUNCH, token="token-2"))
    compute.stop(other.id)
    compute.stop(made.id)
    own, theirs = (service.servers[short(one.id)]["volumes"]["0"]["id"] for one in (made, other))
    del service.disks[own]
    service.servers[short(made.id)]["volumes"]["0"]["id"] = theirs
    service.servers[short(other.id)]["volumes"].clear()
    service.disks[theirs]["references"][0]["product_resource_id"] = short(made.id)
    compute.destroy(made.id)
    assert list(service.disks) == [theirs]
    assert service.disks[theirs]["tags"] == [f"sovbroker-disk-of={short(other.id)}"]


def test_a_list_of_more_than_was_asked_for_destroys_nothing_more(service, opened):
    compute = opened()
    data = compute.create_volume("data", size=1, tags={"sovbroker-disk-of": "another"})
    answer = {"volumes": [service.disks[short(data.id)]], "total_count": 1}
    service.refuse[f"GET {DISKS}"] = Said(200, answer)
    compute.destroy(f"fr-par-1/{ORGANIZATION}")
    assert service.refuse == {}
    assert list(service.disks) == [short(data.id)]


@pytest.mark.parametrize("stopped", [False, True])
def test_somebodys_local_disk_is_not_destroyed(service, opened, stopped):
    compute = opened()
    made = running(compute)
    if stopped:
        compute.stop(made.id)
        compute.start(made.id)
    local = {"id": OWN_IMAGE, "volume_type": "l_ssd", "boot": False, "zone": ZONES[0]}
    service.servers[short(made.id)]["volumes"]["1"] = service.local[OWN_IMAGE] = local
    with pytest.raises(InvalidArgument, match=OWN_IMAGE):
        compute.destroy(made.id)
    assert [one.id for one in compute.machines()] == [made.id]
    assert OWN_IMAGE in service.local
    assert len(service.disks) == 1


@pytest.mark.parametrize("stopped", [False, True])
def test_a_local_disk_that_a_machine_boots_from_goes_with_it(service, opened, stopped):
    compute = opened()
    made = running(compute)
    if stopped:
        compute.stop(made.id)
        compute.machine(made.id)
    root = service.servers[short(made.id)]["volumes"]["0"]
    del service.disks[root["id"]]
    root["volume_type"] = "l_ssd"
    service.local[root["id"]] = root
    compute.destroy(made.id)
    assert (service.servers, service.local) == ({}, {})


@pytest.mark.parametrize("stopped", [False, True])
def test_a_destruction_that_is_refused_raises(service, opened, stopped):
    compute = opened()
    made = running(compute)
    if stopped:
        compute.stop(made.id)
    service.servers[short(made.id)]["protected"] = True
    with pytest.raises(StoreError, match="precondition"):
        compute.destroy(made.id)
    assert [one.id for one in compute.machines()] == [made.id]
    assert len(service.disks) == 1


def test_an_acknowledgement_alone_destroys_nothing(service, opened):
    compute = opened(settings={"within": 1})
    made = running(compute)
    task = {"id": "a", "status": "pending"}
    service.refuse[f"POST {SERVERS}"] = Said(202, {"task": task})
    with pytest.raises(Unavailable, match=r"the destruction of .* not done after 1 s"):
        compute.destroy(made.id)
    service.refuse[f"DELETE {DISKS}"] = Said(204)
    data = compute.create_volume("data", size=1)
    with pytest.raises(Unavailable, match="which is available"):
        compute.destroy_volume(data.id)


@pytest.mark.parametrize("act", ["start", "stop", "reboot", "destroy"])
def test_what_a_machine_is_doing_is_waited_for(service, opened, act):
    compute = opened()
    made = compute.launch(LAUNCH)
    compute.stop(made.id)
    assert service.servers[short(made.id)]["state"] == "stopping"
    if act == "reboot":
        with pytest.raises(InvalidArgument, match="is stopped; start it"):
            compute.reboot(made.id)
    else:
        getattr(compute, act)(made.id)


def test_a_task_that_failed_raises(service, opened):
    compute = opened()
    made = running(compute)
    service.refuse[f"POST {SERVERS}"] = Said(202, {"task": {"id": "a", "status": "failure"}})
    with pytest.raises(StoreError, match="could not be told to poweroff"):
        compute.stop(made.id)


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        (lambda name: {"type": "unknown_resource", "message": f'server "{name}" not found'}, True),
        (lambda name: {"type": "not_found", "resource": "instance_server", "resource_id": name}, True),
        (lambda name: {"type": "not_found", "resource": "project", "resource_id": PROJECT}, False),
        (lambda name: {"type": "unknown_resource", "message": "not found"}, False),
        (lambda name: {"message": f'server "{name}" not found'}, False),
        (lambda name: "404 page not found", False),
    ],
)
def test_only_what_is_called_missing_by_its_id_is_missing(service, opened, body, missing):
    compute = opened()
    made = running(compute)
    for act in (compute.machine, compute.stop):
        service.refuse[f"GET {SERVERS}/"] = Said(404, body(short(made.id)))
        with pytest.raises(StoreError) as caught:
            act(made.id)
        assert isinstance(caught.value, NotFound) == missing
    if not missing:
        service.refuse[f"GET {SERVERS}/"] = Said(404, body(short(made.id)))
        with pytest.raises(StoreError):
            compute.destroy(made.id)
    assert len(service.servers) == 1


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (Said(400, {"type": "invalid_arguments", "message": "no"}), InvalidArgument),
        (Said(400, {"type": "invalid_request_error", "message": "no"}), InvalidArgument),
        (Said(400, {"type": "transient_state", "message": "no"}), Unavailable),
        (Said(401, {"type": "denied_authentication", "message": "no"}), PermissionDenied),
        (Said(403, {"type": "quotas_exceeded", "message": "no"}), NoCapacity),
        (Said(404, {"type": "not_found", "message": "no"}), StoreError),
        (Said(429, {"type": "too_many_requests", "message": "no"}), Unavailable),
        (Said(500, {"message": "no"}), Unavailable),
    ],
)
def test_a_refusal_is_told_by_what_it_calls_itself(service, opened, said, error):
    service.refuse[f"GET {SERVERS}"] = said
    with pytest.raises(error) as caught:
        opened().machines()
    assert type(caught.value) is error
    assert not isinstance(caught.value, NotFound)


@pytest.mark.parametrize("name", ["nothing", f"us-east-1/{OWN_IMAGE}", f"fr-par-1/{OWN_IMAGE}/..", f"{OWN_IMAGE}", ""])
def test_an_id_that_names_nothing_here_is_asked_of_nobody(service, opened, name):
    compute = opened()
    for act in (compute.machine, compute.start, compute.stop, compute.reboot, compute.detach):
        with pytest.raises(NotFound):
            act(name)
    compute.destroy(name)
    compute.destroy_volume(name)
    assert not service.asked


def test_a_machine_of_another_project_is_not_there(service, opened):
    compute = opened()
    made = running(compute)
    service.servers[short(made.id)]["project"] = ORGANIZATION
    next(iter(service.disks.values()))["project_id"] = ORGANIZATION
    with pytest.raises(NotFound):
        compute.machine(made.id)
    compute.destroy(made.id)
    assert len(service.servers) == 1
    answer = {"servers": [service.servers[short(made.id)]]}
    service.refuse[f"GET {SERVERS}"] = Said(200, answer, {"X-Total-Count": "1"})
    with pytest.raises(Unavailable, match="another project"):
        compute.machines()


def test_all_zones_and_all_pages_are_seen(service, opened):
    service.page_max = 2
    for number in range(7):
        where = opened(settings={"zone": ZONES[number % 2]})
        for one in service.images.values():
            one["zone"] = ZONES[number % 2]
        where.launch(dataclasses.replace(LAUNCH, token=f"token-{number}", name=f"m-{number}"))
    compute = opened()
    assert sorted(one.name for one in compute.machines()) == [f"m-{number}" for number in range(7)]
    assert {one.id.partition("/")[0] for one in compute.machines()} == set(ZONES[:2])
    assert compute.visibility().count == 7
    assert len(compute.volumes()) == 7
    assert len(compute.sizes()) == 6
    away = next(one for one in compute.machines() if one.id.startswith(ZONES[1]))
    data = compute.create_volume("data", size=1)
    with pytest.raises(InvalidArgument, match="different zones"):
        compute.attach(data.id, away.id)
    for one in compute.machines():
        compute.destroy(one.id)
    assert list(service.disks) == [short(data.id)]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"servers": []}, {"X-Total-Count": "1"}),
        ({"servers": []}, {"X-Total-Count": "many"}),
        ({"servers": None}, {"X-Total-Count": "0"}),
        ({"servers": [{}]}, {}),
        ({"servers": [None]}, {}),
        ({"server": []}, {"X-Total-Count": "0"}),
        ([], {"X-Total-Count": "0"}),
    ],
)
def test_a_list_that_is_none_raises(service, opened, body, headers):
    service.refuse[f"GET {SERVERS}"] = Said(200, body, headers)
    with pytest.raises(Unavailable):
        opened().machines()


def test_pages_that_lead_in_a_circle_raise(service, opened, monkeypatch):
    made = opened().launch(LAUNCH)
    answer = {"servers": [service.servers[short(made.id)]]}
    monkeypatch.setattr(service, "handle", lambda *asked: Said(200, answer, {"X-Total-Count": "2"}))
    with pytest.raises(Unavailable, match="circle"):
        opened().machines()


def test_a_canary_is_the_default_group_of_the_project(service, opened):
    compute = opened()
    (group,) = service.groups.values()
    assert compute.visibility().canary == f"security group fr-par-1/{group['id']} of {PROJECT}"
    for change in ({"project_default": False}, {"project": ORGANIZATION}):
        before = dict(group)
        group.update(change)
        assert compute.visibility().canary == ""
        group.update(before)
    service.groups.clear()
    assert (compute.visibility().canary, compute.visibility().count) == ("", 0)


def test_sizes_have_prices_and_are_to_be_had(opened):
    found = {one.id: one for one in opened().sizes()}
    assert set(found) == {"DEV1-S", "PLAY2-NANO", "PRO2-M", "COPARM1-2C-8G", "H100-1-80G", "UNTOLD-1"}
    assert found["DEV1-S"].price == Decimal("0.0088")
    assert found["UNTOLD-1"].price is None
    assert (found["H100-1-80G"].gpus, found["H100-1-80G"].memory) == (1, 240 << 30)
    assert found["COPARM1-2C-8G"].arch == "arm64"
    assert all(one.disk == 0 and one.attested == () for one in found.values())


def test_images_of_the_provider_are_called_by_their_labels(opened):
    compute = opened()
    found = compute.images(ImageSource(PROVIDER, "debian_*"))
    assert {(one.name, one.arch, one.owner) for one in found} == {
        ("debian_bookworm", "x86_64", PROVIDER),
        ("debian_bookworm", "arm64", PROVIDER),
    }
    assert all(one.created is not None for one in found)
    assert len(compute.images(ImageSource(PROVIDER, "*"))) == 3
    with pytest.raises(InvalidArgument, match="name the project"):
        compute.images(ImageSource("", "debian_bookworm"))


def test_an_image_that_is_somebody_elses_is_not_taken_for_the_providers(service, opened):
    service.images[IMAGE]["organization"] = ORGANIZATION
    with pytest.raises(Unavailable, match=f"an image of `{ORGANIZATION}` as its own"):
        opened().images(ImageSource(PROVIDER, "debian_bookworm"))


def test_images_of_a_project_are_its_own(service, opened):
    compute = opened()
    (own,) = compute.images(ImageSource(PROJECT, "mi*"))
    assert (own.id, own.name, own.owner) == (OWN_IMAGE, "mine", PROJECT)
    service.images[OWN_IMAGE]["state"] = "creating"
    assert compute.images(ImageSource(PROJECT, "mi*")) == []
    listed = {"images": list(service.images.values())}
    service.refuse[f"GET {HERE}/images"] = Said(200, listed, {"X-Total-Count": str(len(service.images))})
    assert compute.images(ImageSource(PROJECT, "*")) == []


def test_the_names_that_people_call_images_mean_the_providers():
    assert {one.owner for one in SOURCES["scaleway"].values()} == {images.PROVIDER} == {PROVIDER}
    assert {"debian-12", "ubuntu-24.04"} <= set(SOURCES["scaleway"])


def test_a_volume_is_whole_gigabytes_and_waited_for(service, opened):
    compute = opened()
    made = compute.create_volume("data", size=(1 << 30) + 1, tags={"a": "b"})
    assert (made.size, made.tags, made.machine) == (2 * 10**9, {"a": "b"}, None)
    assert service.disks[short(made.id)]["status"] == "available"


def test_a_volume_that_could_not_be_made_is_destroyed(service, opened):
    service.refuse[f"GET {DISKS}"] = NO
    with pytest.raises(PermissionDenied):
        opened().create_volume("data", size=1)
    assert service.disks == {}


def test_a_volume_of_another_project_is_not_there(service, opened):
    compute = opened()
    made = compute.create_volume("data", size=1)
    service.disks[short(made.id)]["project_id"] = ORGANIZATION
    with pytest.raises(NotFound):
        compute.detach(made.id)
    compute.destroy_volume(made.id)
    assert len(service.disks) == 1


def test_a_volume_is_on_one_machine(service, opened):
    compute = opened()
    one, other = running(compute), running(compute, dataclasses.replace(LAUNCH, token="token-2"))
    data = compute.create_volume("data", size=1)
    compute.attach(data.id, one.id)
    compute.attach(data.id, one.id)
    with pytest.raises(InvalidArgument, match=f"attached to `{one.id}`"):
        compute.attach(data.id, other.id)
    assert sum(n for call, n in service.asked.items() if call.endswith("/attach-volume")) == 1


def test_what_is_offered():
    told = ScalewayMachines.capabilities.fget(None)
    assert told[ComputeFeature.KEYS] is Support.ABSENT
    assert told[ComputeFeature.IDEMPOTENT_LAUNCH] is Support.EMULATED
    assert all(told[one].usable for one in ComputeFeature if one is not ComputeFeature.KEYS)


def test_every_zone_that_the_sdk_knows_is_looked_at():
    assert set(ALL_ZONES) <= {zone for zones in KNOWN_ZONES.values() for zone in zones}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"credentials": Credentials({})}, "give the `secret_key`"),
        ({"credentials": Credentials({"secret_key": "not-a-secret\n"})}, "give the `secret_key`"),
        ({"container": ""}, "give the id of the project"),
        ({"container": "mine"}, "give the id of the project"),
        ({"settings": {"zone": "nl-ams-1"}}, "none of fr-par-1"),
        ({"region": "it-rom"}, "are not known"),
        ({"settings": {"address": "yes"}}, "none of public, none"),
        ({"settings": {"colour": "red"}}, "no such setting"),
        ({"endpoint": "http://api.scaleway.com"}, "begins with https"),
        ({"hosts": frozenset()}, "name the hosts"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_once(opened, changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        opened(**changes)
    assert "not-a-secret" not in str(caught.value)


def test_a_region_that_is_not_known_has_the_zone_that_is_given(opened):
    compute = opened(region="", settings={"zone": "fr-par-1"})
    assert compute.machines() == []


def test_a_missing_library_names_its_extra(service, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("sovbroker_adapters.scaleway.import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'sovbroker\[scaleway\]'"):
        build(service.binding())


def test_secrets_are_neither_shown_nor_pickled(opened):
    compute = opened()
    assert SECRET not in repr(compute) + repr(compute._connection)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(compute._connection)
