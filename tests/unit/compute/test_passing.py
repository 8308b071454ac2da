"""A place without capacity is passed over for the next that the policy allows, and nothing is launched twice."""

import itertools
import json
from contextlib import suppress

import pytest

from sovbroker.compute import Compute
from sovbroker.errors import NoCapacity, PermissionDenied, StateError, Unavailable
from sovbroker.machines import ComputeFeature, MachineState

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl test"
FR, DE, US = "fr/compute@paris", "de/compute@berlin", "us/compute@ohio"


@pytest.fixture
def order(house):
    """The places of a public machine, in the order of the plan."""
    found = [one.target for one in house.compute.explain("web/x").options]
    assert sorted(found) == sorted([FR, DE, US])
    return found


def fill(house, *targets):
    for target in targets:
        house.fakes[target].full = f"{target} is full"


def left(house):
    """What is anywhere, and what is known."""
    machines = {target: len(fake.fleet) for target, fake in house.fakes.items() if fake.fleet}
    keys = {target: len(fake.imported) for target, fake in house.fakes.items() if fake.imported}
    return machines, keys, [entry.name for entry in house.journal.entries()]


def fails(fake, call, error):
    """Let one call fail once it has been carried out."""

    def act(name):
        if name == call:
            fake.after = lambda name: None
            raise error

    fake.after = act


def test_the_machine_is_at_the_next_place_of_the_plan(house, order, caplog):
    first, second, third = order
    fill(house, first, second)
    node = house.compute.launch("web/x", ssh_key=PUBLIC, ttl="1h")
    assert (node.target, node.state) == (third, MachineState.RUNNING)
    assert left(house) == ({third: 1}, {third: 1}, ["web/x"])
    assert node.passed == {first: f"{first} is full", second: f"{second} is full"}
    assert json.loads(json.dumps(node.to_dict()))["passed"] == node.passed
    # Whoever looks later is told as well, and the same launch is the same machine.
    assert house.compute.get("web/x").passed == node.passed
    again = house.compute.launch("web/x", ssh_key=PUBLIC, ttl="1h")
    assert (again.id, again.passed) == (node.id, node.passed)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [
        f"{place} has no room for `web/x`, and {after} is asked next: {place} is full"
        for place, after in ((first, second), (second, third))
    ]
    # The plan is one still: of what may be, not of what has room.
    assert [one.target for one in house.compute.explain("web/x").options] == order


def test_the_order_is_that_of_the_plan_and_not_of_the_places(house):
    house.put("press/a", "public", "us/ohio")
    house.put("press/b", "public", "us/ohio", "de/berlin")
    fill(house, US)
    assert house.compute.launch("x", near="press/").target == DE


def test_every_place_has_a_launch_and_secrets_of_its_own(house, order):
    asked = []

    def deposit(launch, secrets, script):
        asked.append((launch, dict(secrets)))
        return script + f"ticket-{launch}".encode()

    fill(house, order[0])
    compute = Compute(house.around, deposit=deposit)
    compute.launch("web/x", user_data="#!/bin/sh\n", secrets={"password": "hunter22"})
    (first, second) = asked
    assert first[0] != second[0]
    assert first[1] == second[1] == {"password": "hunter22"}
    (told,) = house.fakes[order[1]].told
    assert (told.token, told.tags["sovbroker-launch"]) == (second[0], second[0])
    assert told.user_data == f"#!/bin/sh\nticket-{second[0]}".encode()


def test_where_no_place_has_room_there_is_nothing(house, order):
    fill(house, *order)
    with pytest.raises(NoCapacity, match="nothing was launched") as caught:
        house.compute.launch("web/x", ssh_key=PUBLIC)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split()[0] for line in lines] == order
    assert all(line.endswith(f"{target} is full") for line, target in zip(lines, order, strict=True))
    assert left(house) == ({}, {}, [])
    house.fakes[order[1]].full = ""
    assert house.compute.launch("web/x", ssh_key=PUBLIC).target == order[1]


def test_with_one_place_the_error_is_as_told(house, order):
    fill(house, *order)
    with pytest.raises(NoCapacity) as caught:
        house.compute.launch("web/x", at=[order[1]])
    assert (str(caught.value), caught.value.target) == (f"{order[1]}: {order[1]} is full", order[1])
    assert left(house) == ({}, {}, [])


def test_nothing_that_the_policy_forbids_or_nobody_asked_for_is_a_next_place(house, order):
    fill(house, FR)
    with pytest.raises(NoCapacity):
        house.compute.launch("job", label="restricted")
    assert left(house) == ({}, {}, [])
    fill(house, order[0], order[1])
    with pytest.raises(NoCapacity, match="nothing was launched"):
        house.compute.launch("web/x", at=order[:2])
    assert left(house) == ({}, {}, [])
    assert not house.fakes[order[2]].told


@pytest.mark.parametrize("error", [Unavailable("no answer"), PermissionDenied("no")])
def test_only_what_is_sure_to_be_nowhere_is_passed_over(house, order, error):
    fails(house.fakes[order[0]], "launch", error)
    with pytest.raises(type(error)):
        house.compute.launch("web/x")
    assert [fake.launches for fake in map(house.fakes.get, order)] == [1, 0, 0]


def test_no_room_may_be_what_an_earlier_try_has_made(house, order):
    """Its answer was lost, it is not shown yet, and it takes the last place: a second one would be one too many."""
    fake = house.fakes[order[0]]
    fake.absent = frozenset({ComputeFeature.IDEMPOTENT_LAUNCH})
    fails(fake, "launch", Unavailable("the answer was lost", target=fake.target))
    with pytest.raises(Unavailable, match="the answer was lost"):
        house.compute.launch("web/x")
    fill(house, order[0])
    fake.blind = True
    with pytest.raises(Unavailable, match="is full; its machine `web/x` is not to be seen, and may still appear"):
        house.compute.launch("web/x")
    assert left(house) == ({order[0]: 1}, {}, ["web/x"])
    fake.blind = False
    node = house.compute.launch("web/x")
    assert (node.target, node.passed) == (order[0], {})
    assert left(house) == ({order[0]: 1}, {}, ["web/x"])


def test_what_appears_while_the_provider_refuses_is_the_machine(house, order):
    fake = house.fakes[order[0]]
    fake.absent = frozenset({ComputeFeature.IDEMPOTENT_LAUNCH})
    fails(fake, "launch", Unavailable("the answer was lost", target=fake.target))
    with pytest.raises(Unavailable):
        house.compute.launch("web/x")
    fill(house, order[0])
    fake.blind = True

    def appears(name):
        fake.blind = fake.blind and name != "launch"

    fake.before = appears
    assert house.compute.launch("web/x").target == order[0]
    assert left(house) == ({order[0]: 1}, {}, ["web/x"])


def test_what_was_begun_and_never_made_goes_elsewhere_in_time(house, order):
    def lost(name):
        if name == "launch":
            raise Unavailable("nobody heard of it", target=order[0])

    fake = house.fakes[order[0]]
    fake.before = lost
    with pytest.raises(Unavailable):
        house.compute.launch("web/x")
    fake.before = lambda name: None
    fill(house, order[0])
    with pytest.raises(Unavailable, match="try again in a quarter of an hour"):
        house.compute.launch("web/x")
    house.later(minutes=16)
    assert house.compute.launch("web/x").target == order[1]
    assert left(house) == ({order[1]: 1}, {}, ["web/x"])


def test_a_place_that_cannot_be_cleared_is_not_left_behind(house, order):
    first = house.fakes[order[0]]
    fill(house, order[0])

    def keeps(name):
        if name == "delete_key":
            raise PermissionDenied("the key stays", target=first.target)

    first.before = keeps
    with pytest.raises(PermissionDenied, match="the key stays"):
        house.compute.launch("web/x", ssh_key=PUBLIC)
    assert left(house) == ({}, {order[0]: 1}, ["web/x"])
    first.before = lambda name: None
    assert house.compute.launch("web/x", ssh_key=PUBLIC).target == order[1]
    assert left(house) == ({order[1]: 1}, {order[1]: 1}, ["web/x"])


def test_a_refusal_that_was_sure_is_so_after_a_lost_answer(house, order):
    first = house.fakes[order[0]]
    fill(house, order[0])

    def silent(name):
        if name == "machines":
            raise Unavailable("no answer", target=first.target)

    first.before = silent
    with pytest.raises(Unavailable, match="is full; no answer"):
        house.compute.launch("web/x")
    assert not house.fakes[order[1]].told
    first.before = lambda name: None
    assert house.compute.launch("web/x").target == order[1]


def test_a_journal_without_passed_places_is_read(house):
    house.compute.launch("web/x")
    (file,) = house.journal.path.glob("*.json")
    held = json.loads(file.read_text())
    del held["passed"]
    file.write_text(json.dumps(held))
    assert house.compute.get("web/x").passed == {}
    file.write_text(json.dumps(held | {"passed": ["a"]}))
    with pytest.raises(StateError):
        house.compute.get("web/x")


class Crash(BaseException):
    """The process dies here: nothing that is ours runs any more."""


def dies_at(house, step, monkeypatch):
    """Let the process die once, before or after a call of a provider or a change of what is known."""
    left = itertools.count(step, -1)

    def tick(*_):
        if next(left) == 0:
            raise Crash

    def ticking(real):
        def act(*args):
            tick()
            found = real(*args)
            tick()
            return found

        return act

    for name in ("put", "remove"):
        monkeypatch.setattr(house.journal, name, ticking(getattr(house.journal, name)))
    for fake in house.fakes.values():
        monkeypatch.setattr(fake, "before", tick)
        monkeypatch.setattr(fake, "after", tick)


@pytest.mark.parametrize("then", ["reap", "launch"])
@pytest.mark.parametrize("idempotent", [True, False])
def test_a_crash_at_any_step_between_places_leaves_nothing_unknown_and_nothing_twice(
    house, order, monkeypatch, then, idempotent
):
    absent = frozenset() if idempotent else frozenset({ComputeFeature.IDEMPOTENT_LAUNCH})
    for fake in house.fakes.values():
        fake.absent = absent
    fill(house, order[0], order[1])
    died = 0
    for step in itertools.count():
        with monkeypatch.context() as patched:
            dies_at(house, step, patched)
            try:
                house.compute.launch("web/x", ssh_key=PUBLIC)
                alive = True
            except Crash:
                alive, died = False, died + 1
        machines, keys, names = left(house)
        assert sum(machines.values()) <= 1
        assert names == ["web/x"] or (machines, keys) == ({}, {})
        if then == "launch":
            with suppress(Unavailable):
                house.compute.launch("web/x", ssh_key=PUBLIC)
            assert sum(left(house)[0].values()) <= 1
            house.later(minutes=16)
            node = house.compute.launch("web/x", ssh_key=PUBLIC)
            assert (node.target, left(house)) == (order[2], ({order[2]: 1}, {order[2]: 1}, ["web/x"]))
        else:
            house.later(minutes=16)
            reaped = house.compute.reap()
            assert (reaped.failures, reaped.strays) == ({}, ())
        for node in house.compute.list():
            house.compute.destroy(node.name)
        assert left(house) == ({}, {}, [])
        if alive:
            break
    assert died > 25
