"""Launching, finding and destroying machines, and where they are put."""

import pytest

from sovbroker.compute import Compute
from sovbroker.errors import AlreadyExists, InvalidArgument, NotFound, Refused, Unavailable
from sovbroker.machines import ComputeFeature, MachineState

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl test"


def test_a_machine_is_put_where_its_label_may_be_in_the_clear(house):
    node = house.compute.launch("job", label="restricted")
    assert (node.target, node.label, node.state) == ("fr/compute@paris", "restricted", MachineState.RUNNING)
    assert {name: len(fake.fleet) for name, fake in house.fakes.items()} == {
        "fr/compute@paris": 1,
        "de/compute@berlin": 0,
        "us/compute@ohio": 0,
    }
    # What no rule knows is as restricted as the policy's default.
    assert house.compute.launch("job2", label="public").label == "restricted"
    assert house.compute.launch("web/front").label == "public"


def test_every_place_is_told_of_once_with_a_reason(house):
    plan = house.compute.explain("hr/job", label="internal")
    assert [one.target for one in plan.options] == ["fr/compute@paris"]
    assert set(plan.rejected) == {"de/compute@berlin", "us/compute@ohio"}
    assert all(len(reasons) >= 1 and all(reasons) for reasons in plan.rejected.values())
    assert "not in european" in plan.rejected["us/compute@ohio"][0]
    assert "`restricted`: not in french" in plan.rejected["de/compute@berlin"][0]
    text = str(plan)
    assert all(text.count(name) == 1 for name in house.fakes)
    assert plan.to_dict()["options"][0]["size"] == "small"
    assert not house.fakes["fr/compute@paris"].fleet


def test_the_label_is_joined_with_that_of_the_data(house):
    house.put("press/a", "public", "us/ohio")
    house.put("press/b", "public", "us/ohio", "de/berlin")
    house.put("hr/pay", "restricted", "us/ohio")
    assert house.compute.explain("x", near="press/").label == "public"
    assert house.compute.explain("x", near="press/", label="internal").label == "internal"
    assert house.compute.explain("x", near="hr/pay", label="public").label == "restricted"
    assert house.compute.explain("x", near="").label == "restricted"
    # A key that others begin with is itself alone.
    house.put("press", "restricted", "fr/paris")
    assert house.compute.explain("x", near="press").label == "restricted"
    with pytest.raises(InvalidArgument, match="no object `nowhere/`"):
        house.compute.explain("x", near="nowhere/")


def test_data_pulls_the_workload_to_its_copies(house):
    house.put("press/a", "public", "us/ohio")
    house.put("press/b", "public", "us/ohio", "de/berlin")
    plan = house.compute.explain("x", near="press/")
    assert [(one.target, one.near) for one in plan.options] == [
        ("us/compute@ohio", 1.0),
        ("de/compute@berlin", 0.5),
        ("fr/compute@paris", 0.0),
    ]
    # Never to where it may not be.
    house.put("hr/pay", "restricted", "us/ohio")
    assert [one.target for one in house.compute.explain("x", near="hr/pay").options] == ["fr/compute@paris"]


def test_the_cheapest_size_that_is_enough_decides_between_places(house):
    house.fakes["de/compute@berlin"].offered[0:2] = []
    plan = house.compute.explain("web/x", cpus=2, memory="2GiB")
    assert [(one.target, one.size.id) for one in plan.options] == [
        ("fr/compute@paris", "medium"),
        ("us/compute@ohio", "medium"),
        ("de/compute@berlin", "sealed"),
    ]
    # What has no known price comes last.
    assert house.compute.explain("web/x", gpus=1).options[0].size.price is None
    with pytest.raises(InvalidArgument, match="no size is enough; `gpu`: 8 of 99 processors"):
        house.compute.launch("web/x", cpus=99)


def test_confidential_computing_has_to_be_known(house):
    assert house.compute.explain("web/x", attested=["sev-snp", "tdx"]).options[0].size.id == "sealed"
    assert not house.compute.explain("web/x", attested=["tdx"]).allowed
    with pytest.raises(InvalidArgument, match="it does not prove tdx"):
        house.compute.launch("web/x", attested=["tdx"])


def test_what_the_policy_forbids_is_refused_and_nothing_is_told_to_a_provider(house):
    del house.fakes["fr/compute@paris"].offered[:]
    with pytest.raises(InvalidArgument, match="it has no sizes"):
        house.compute.launch("job", label="restricted")
    with pytest.raises(InvalidArgument, match="it was not asked for"):
        house.compute.launch("web/x", at=["fr/compute@paris"], cpus=2)
    with pytest.raises(InvalidArgument, match="did you mean `us/compute@ohio`"):
        house.compute.launch("web/x", at=["us/compute@ohi"])
    with pytest.raises(InvalidArgument):
        house.compute.launch("job", label="restricted", at=["us/compute@ohio"])
    assert house.compute.list() == []
    assert not any(fake.told for fake in house.fakes.values())


def test_a_policy_without_a_place_refuses(house):
    house.around.providers.places.pop("fr/compute@paris")
    with pytest.raises(Refused) as caught:
        house.compute.launch("job", label="restricted")
    assert "us/compute@ohio" in str(caught.value)
    assert not caught.value.decision.allowed


def test_the_same_launch_again_is_the_same_machine(house):
    first = house.compute.launch("job", label="restricted", ttl="8h")
    assert house.compute.launch("job", label="restricted", ttl="8h").id == first.id
    with pytest.raises(AlreadyExists, match="launched for something else"):
        house.compute.launch("job", label="restricted", ttl="9h")
    fake = house.fakes["fr/compute@paris"]
    assert fake.launches == 1
    # Gone, or not to be seen yet? A provider may take its time, and a second machine would be one too many.
    fake.fleet.clear()
    with pytest.raises(Unavailable, match="may still appear"):
        house.compute.launch("job", label="restricted", ttl="8h")
    house.later(minutes=16)
    assert house.compute.launch("job", label="restricted", ttl="8h").id != first.id
    assert fake.launches == 2


def test_confidential_computing_is_asked_of_the_provider(house):
    house.compute.launch("web/x", attested=["tdx", "sev-snp"])
    house.compute.launch("web/y")
    told = {launch.tags["sovbroker-name"]: launch.attested for fake in house.fakes.values() for launch in fake.told}
    assert told == {"web/x": "sev-snp", "web/y": None}


def test_a_provider_without_tags_is_told_the_launch_in_the_name(house):
    lacking = frozenset({ComputeFeature.TAGS, ComputeFeature.IDEMPOTENT_LAUNCH})
    for fake in house.fakes.values():
        fake.absent = lacking
    node = house.compute.launch("web/x", ttl="1h")
    fake = house.fakes[node.target]
    (told,) = fake.told
    assert (told.tags, told.name) == ({}, f"web-x-{told.token}")
    assert house.compute.list()[0].state is MachineState.RUNNING
    assert house.compute.audit().machines[0].ours
    fake.fleet.clear()
    assert house.compute.list()[0].state is MachineState.UNKNOWN
    hidden = house.compute.launch("hr/pay")
    assert house.fakes[hidden.target].told[-1].name == f"sovbroker-{house.fakes[hidden.target].told[-1].token}"
    house.compute.destroy("hr/pay")
    assert house.fakes[hidden.target].fleet == {}


def test_what_is_not_asked_for_is_not_told(house):
    """Where some place may have such data under hidden names only, a provider learns neither name nor label."""
    house.compute.launch("web/open", owner="ops")
    (told,) = [launch for fake in house.fakes.values() for launch in fake.told]
    assert told.tags["sovbroker-name"] == "web/open"
    assert told.tags["sovbroker-label"] == "public"
    assert told.tags["sovbroker-owner"] == "ops"
    house.compute.launch("hr/payroll", ttl="1h", owner="ops")
    hidden = house.fakes["fr/compute@paris"].told[-1]
    assert set(hidden.tags) == {"sovbroker-launch", "sovbroker-installation", "sovbroker-expires"}
    assert hidden.name == f"sovbroker-{hidden.token}"
    assert "payroll" not in repr(hidden)
    assert house.compute.get("hr/payroll").label == "restricted"


def test_keys_are_told_by_their_machines_and_only_what_is_left_over_goes(house):
    house.compute.launch("job", label="restricted", ssh_key=PUBLIC)
    paris, berlin = house.fakes["fr/compute@paris"], house.fakes["de/compute@berlin"]
    left = f"sovbroker-{'0' * 24}"
    berlin.imported |= {left: PUBLIC, "laptop": PUBLIC, "sovbroker-laptop": PUBLIC}
    # A place that takes no keys has none.
    house.fakes["us/compute@ohio"].absent = frozenset({ComputeFeature.KEYS})
    (own,) = paris.imported
    assert [(one.target, one.key.id, one.machine) for one in house.compute.keys.list()] == [
        ("fr/compute@paris", own, "job"),
        ("de/compute@berlin", left, ""),
    ]
    with pytest.raises(InvalidArgument, match="that of the machine `job`; destroy that"):
        house.compute.keys.remove(own, at="fr/paris")
    for key, place in (("laptop", "de/berlin"), (left, "fr/paris"), (own, "de/berlin")):
        with pytest.raises(NotFound, match=f"no key `{key}` of ours"):
            house.compute.keys.remove(key, at=place)
    # What is at one place is looked for there alone.
    object.__setattr__(house.around.providers.places["us/compute@ohio"], "_held", Silent())
    house.compute.keys.remove(left, at="de/berlin")
    assert sorted(berlin.imported) == ["laptop", "sovbroker-laptop"]
    house.compute.destroy("job")
    assert paris.imported == {}


def test_life(house):
    house.compute.launch("job", label="restricted", ssh_key=PUBLIC)
    fake = house.fakes["fr/compute@paris"]
    assert list(fake.imported.values()) == [PUBLIC]
    assert house.compute.stop("job").state is MachineState.STOPPED
    assert house.compute.start("job").state is MachineState.RUNNING
    assert house.compute.reboot("job").state is MachineState.RUNNING
    placed = house.compute.volumes.create("data", machine="job", size="10GiB")
    assert placed.volume.machine == house.compute.get("job").id
    house.compute.destroy("job")
    assert (fake.fleet, fake.imported) == ({}, {})
    assert [one.volume.id for one in house.compute.volumes.list()] == [placed.volume.id]
    for act in (house.compute.get, house.compute.destroy, house.compute.start):
        with pytest.raises(NotFound, match="no machine `job`"):
            act("job")


def test_a_volume_goes_to_no_machine_for_less(house):
    house.compute.launch("job", label="restricted", at=["fr/compute@paris"])
    house.compute.launch("web/x", at=["fr/compute@paris"])
    high = house.compute.volumes.create("high", machine="job", size="1GiB").volume
    low = house.compute.volumes.create("low", machine="web/x", size="1GiB").volume
    for one in (high, low):
        house.compute.volumes.detach(one.id)
    with pytest.raises(InvalidArgument, match="of an unknown label"):
        house.compute.volumes.attach(high.id, machine="web/x")
    house.compute.volumes.attach(low.id, machine="job")
    house.compute.volumes.attach(high.id, machine="job")
    house.compute.launch("far", label="restricted", near="", at=["fr/compute@paris"])
    with pytest.raises(InvalidArgument):
        house.compute.volumes.destroy(high.id)
    house.compute.volumes.detach(high.id)
    house.compute.volumes.destroy(high.id)
    with pytest.raises(NotFound):
        house.compute.volumes.attach(high.id, machine="job")


def test_what_runs_where_it_no_longer_may_is_not_started_again(house):
    house.put("press/a", "public", "us/ohio")
    house.compute.launch("job", near="press/a")
    house.compute.stop("job")
    house.put("press/a", "restricted", "us/ohio")
    with pytest.raises(Refused):
        house.compute.start("job")
    with pytest.raises(Refused):
        house.compute.reboot("job")


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a b", "a" * 64, "é"])
def test_names_that_not_every_provider_takes(house, name):
    with pytest.raises(InvalidArgument, match="cannot name a machine"):
        house.compute.launch(name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"memory": "4"},
        {"memory": "0GiB"},
        {"cpus": 0},
        {"ttl": "soon"},
        {"ttl": -1.0},
        {"ttl": "0h"},
        {"image": "debain-12"},
        {"label": "secret"},
        {"ssh_key": "-----BEGIN OPENSSH PRIVATE KEY-----"},
        {"user_data": b"x" * 16385},
        {"attested": "tdx"},
        {"secrets": {"a": "12345"}},
        {"arch": "riscv"},
    ],
)
def test_what_can_mean_nothing(house, wrong):
    with pytest.raises(InvalidArgument) as caught:
        house.compute.launch("web/x", **wrong)
    assert "PRIVATE" not in str(caught.value)
    assert not any(fake.told for fake in house.fakes.values())
    assert house.compute.list() == []


def test_places_may_be_spelled_as_the_configuration_does(house):
    assert house.compute.launch("web/x", at=["us/ohio"]).target == "us/compute@ohio"
    assert house.compute.sizes("us/ohio") == house.compute.sizes("us/compute@ohio")
    with pytest.raises(InvalidArgument, match="no place for machines `local`"):
        house.compute.sizes("local")


def test_a_provider_that_lacks_something_is_passed_over(house):
    house.fakes["us/compute@ohio"].absent = frozenset({ComputeFeature.USER_DATA})
    house.put("press/a", "public", "us/ohio")
    plan = house.compute.explain("x", near="press/")
    assert plan.options[0].target == "us/compute@ohio"
    node = house.compute.launch("x", near="press/", user_data="#!/bin/sh\n")
    assert node.target != "us/compute@ohio"
    assert node.plan.rejected["us/compute@ohio"] == ("it has no `user-data`",)
    # A machine asks for its secrets by a script, even if it has none of its own.
    compute = Compute(house.around, deposit=lambda launch, secrets, script: b"#!/bin/sh\n")
    other = compute.launch("y", near="press/", secrets={"password": "correct horse"})
    assert other.target != "us/compute@ohio"


def test_a_place_out_of_reach_is_rejected_with_the_reason(house):
    object.__setattr__(house.around.providers.places["fr/compute@paris"], "_held", Silent())
    with pytest.raises(InvalidArgument, match=r"not possible: a machine for data labelled restricted(.|\n)*no answer"):
        house.compute.launch("job", label="restricted")
    assert house.compute.launch("web/x").target != "fr/compute@paris"


class Silent:
    """A provider that does not answer."""

    def __getattr__(self, name):
        raise Unavailable("no answer", target="fr/compute@paris")
