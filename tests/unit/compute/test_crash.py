"""A crash at any step of a launch leaves nothing unknown, and nothing twice."""

import pytest

from sovbroker.errors import PermissionDenied, StateError, Unavailable
from sovbroker.machines import ComputeFeature, Machine, MachineState

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl test"
ASKED = {"label": "restricted", "ssh_key": PUBLIC, "ttl": "1h"}
STEPS = [(when, call) for call in ("import_key", "launch") for when in ("before", "after")]


class Crash(BaseException):
    """The process dies here: nothing that is ours runs any more."""


def dies(house, when, call):
    """Let the process die once, before or after a call of the provider is carried out."""

    def act(name):
        if name == call:
            setattr(fake, when, lambda name: None)
            raise Crash

    fake = house.fakes["fr/compute@paris"]
    setattr(fake, when, act)
    return fake


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize(("when", "call"), STEPS)
def test_the_same_call_goes_on_where_a_crash_cut_it_short(house, when, call, idempotent):
    fake = dies(house, when, call)
    fake.absent = frozenset() if idempotent else frozenset({ComputeFeature.IDEMPOTENT_LAUNCH})
    with pytest.raises(Crash):
        house.compute.launch("job", **ASKED)
    node = house.compute.launch("job", **ASKED)
    assert (node.state, fake.launches, len(fake.fleet), len(fake.imported)) == (MachineState.RUNNING, 1, 1, 1)
    house.compute.destroy("job")
    assert (fake.fleet, fake.imported, house.compute.list()) == ({}, {}, [])


@pytest.mark.parametrize(("when", "call"), STEPS)
def test_reap_removes_what_a_crash_left(house, when, call):
    fake = dies(house, when, call)
    with pytest.raises(Crash):
        house.compute.launch("job", **ASKED)
    (node,) = house.compute.list()
    assert node.name == "job"
    first = house.compute.reap()
    if not fake.launches:
        # A provider may take its time to show what it made.
        assert "may still appear" in first.failures["job"]
        house.later(minutes=16)
        first = house.compute.reap()
    assert first.unfinished == ("job",)
    assert (fake.fleet, fake.imported, house.compute.list()) == ({}, {}, [])
    assert house.compute.reap() == type(first)()


@pytest.mark.parametrize(("when", "call"), [("before", "destroy"), ("after", "destroy"), ("before", "delete_key")])
def test_a_destruction_that_was_cut_short_is_finished(house, when, call):
    house.compute.launch("job", **ASKED)
    fake = dies(house, when, call)
    with pytest.raises(Crash):
        house.compute.destroy("job")
    assert house.compute.reap().unfinished == ("job",)
    assert (fake.fleet, fake.imported, house.compute.list()) == ({}, {}, [])


def test_an_answer_that_was_lost_is_found_again(house):
    fake = house.fakes["fr/compute@paris"]

    def lost(name):
        if name == "launch":
            fake.after = lambda name: None
            raise Unavailable("the answer was lost", target=fake.target)

    fake.after = lost
    with pytest.raises(Unavailable):
        house.compute.launch("job", **ASKED)
    assert len(fake.fleet) == 1
    assert house.compute.launch("job", **ASKED).id in fake.fleet
    assert fake.launches == 1


def test_what_a_provider_refuses_leaves_nothing(house):
    fake = house.fakes["fr/compute@paris"]

    def refuse(name):
        if name == "launch":
            raise PermissionDenied("no", target=fake.target)

    fake.before = refuse
    with pytest.raises(PermissionDenied):
        house.compute.launch("job", **ASKED)
    assert (fake.fleet, fake.imported, house.compute.list()) == ({}, {}, [])


def test_another_workload_of_that_name_clears_away_what_was_begun(house):
    fake = dies(house, "after", "launch")
    with pytest.raises(Crash):
        house.compute.launch("job", **ASKED)
    (before,) = fake.fleet
    node = house.compute.launch("job", **{**ASKED, "ttl": "2h"})
    assert node.id != before
    assert list(fake.fleet) == [node.id]


def test_what_was_begun_where_it_no_longer_may_be_is_begun_elsewhere(house):
    house.put("press/a", "public", "us/ohio")
    fake = house.fakes["us/compute@ohio"]

    def die(name):
        if name == "launch":
            raise Crash

    fake.after = die
    with pytest.raises(Crash):
        house.compute.launch("job", near="press/a")
    house.put("press/a", "restricted", "us/ohio")
    node = house.compute.launch("job", near="press/a")
    assert node.target == "fr/compute@paris"
    assert fake.fleet == {}


def test_machines_whose_time_is_over_are_destroyed(house):
    house.compute.launch("short", label="restricted", ttl="1h")
    house.compute.launch("long", label="restricted", ttl="3h")
    house.compute.launch("endless", label="restricted")
    house.later(hours=1)
    assert house.compute.reap().expired == ("short",)
    house.later(hours=5)
    assert house.compute.reap().expired == ("long",)
    assert [node.name for node in house.compute.list()] == ["endless"]


def test_one_that_cannot_be_destroyed_is_told_and_tried_again(house):
    house.compute.launch("job", label="restricted", ttl="1h")
    fake = house.fakes["fr/compute@paris"]

    def refuse(name):
        if name == "destroy":
            raise PermissionDenied("it is protected", target=fake.target)

    fake.before = refuse
    house.later(hours=2)
    reaped = house.compute.reap()
    assert reaped.expired == ()
    assert "protected" in reaped.failures["job"]
    fake.before = lambda name: None
    assert house.compute.reap().unfinished == ("job",)
    assert fake.fleet == {}


def test_strays_are_told_of_and_destroyed_only_when_that_is_asked(house):
    house.compute.launch("job", label="restricted")
    house.journal.remove("job")
    reaped = house.compute.reap()
    assert [stray.target for stray in reaped.strays] == ["fr/compute@paris"]
    assert len(house.fakes["fr/compute@paris"].fleet) == 1
    house.compute.reap(strays=True)
    assert house.fakes["fr/compute@paris"].fleet == {}


def test_machines_of_others_are_nobodys_strays(house):
    fake = house.fakes["fr/compute@paris"]
    fake.fleet["i-9"] = Machine("i-9", "theirs", MachineState.RUNNING, tags={"sovbroker-installation": "0" * 16})
    assert house.compute.reap(strays=True).strays == ()
    assert list(fake.fleet) == ["i-9"]


def test_a_damaged_entry_is_not_taken_for_none(house):
    house.compute.launch("job", label="restricted")
    (file,) = house.journal.path.glob("*.json")
    file.write_text("{")
    for act in (house.compute.list, house.compute.reap, house.compute.audit, lambda: house.compute.get("job")):
        with pytest.raises(StateError, match=r"damaged|cannot be read"):
            act()
