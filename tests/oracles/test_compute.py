"""No machine is ever planned or launched where the reference forbids it, whichever places have no room."""

import contextlib
import itertools
from collections import Counter
from datetime import UTC, date, datetime
from types import SimpleNamespace

from sovbroker.compute import ComputePlace, Providers, Surroundings
from sovbroker.compute.checks import check_name
from sovbroker.compute.launching import launch
from sovbroker.compute.planning import Workload, plan
from sovbroker.errors import InvalidArgument, NoCapacity, Refused
from sovbroker.ports import Binding
from sovbroker.testing.machines import FakeCompute

LAUNCHES_IN = 10
"""Of how many objects that an oracle judges one is launched for: it asks providers, and more than once."""


class Place(ComputePlace):
    """A place whose provider is in memory."""

    def open(self):
        return FakeCompute(target=self.target.id)


class Memory:
    """What is known of machines, in memory: files are no matter of where they are."""

    def __init__(self):
        self.held = {}

    def installation(self):
        return "0123456789abcdef"

    def get(self, name):
        return self.held.get(name)

    def put(self, entry):
        self.held[entry.name] = entry

    def remove(self, name):
        del self.held[name]

    def locked(self, name):
        del name
        return contextlib.nullcontext()


def around(loaded, clock):
    places = {one.id: Place(one, "fake", Binding(one.id, "")) for one in loaded.policy.world.targets}
    return Surroundings(
        governing=lambda: loaded.policy,
        index=SimpleNamespace(),
        sites={},
        providers=Providers(places),
        journal=Memory(),
        clock=clock,
    )


def test_machines_are_planned_where_the_reference_lets_them_be(batch, tools):
    def differences(loaded):
        now = [datetime(2026, 11, 24, tzinfo=UTC)]
        surroundings = around(loaded, lambda: now[0])
        for asked in loaded.objects:
            day = date.fromisoformat(asked["day"])
            now[0] = datetime(day.year, day.month, day.day, tzinfo=UTC)
            made = plan(surroundings, asked["key"], Workload(label=asked["label"], image="id:image-1"))
            expected = loaded.reference.decide(
                asked["key"], label=asked["label"], stored=None, metadata={}, scan=None, day=day, compute=True
            )
            allowed = {target for target, _ in (*expected.chosen, *expected.alternatives)} if expected.chosen else set()
            found = {one.target for one in made.options}
            every = {one.id for one in loaded.policy.world.targets}
            if found != allowed or made.label != expected.label:
                yield f"{asked}: planned {found} for {made.label}, and the reference {allowed} for {expected.label}"
            if made.rejected.keys() != every - found or not all(all(why) and why for why in made.rejected.values()):
                yield f"{asked}: {every - found} are out, and the reasons are {made.rejected}"

    assert tools.agree(differences, batch) >= tools.objects / len(tools.batches)


def nameable(key):
    """Whether a machine can be called as an object is: what the policy is asked about is its name then."""
    try:
        return check_name(key) == key
    except InvalidArgument:
        return False


def opened(world, chance):
    """Let the policy of a world allow machines in more places than worlds do by themselves, and not everywhere."""
    document = world["policy"]
    for label in (*document["levels"], *document["require"]):
        zones = chance.some(sorted(document["zones"]), 3)
        wide = [] if chance.one_in(3) else ["anywhere"]
        document["require"].setdefault(label, {})["compute"] = list(dict.fromkeys([*zones, *wide]))
    return world


def without_room(loaded, asked, chance):
    """Yield what is wrong with a launch at places of which some have no room; return how many places came before."""
    day = date.fromisoformat(asked["day"])
    surroundings = around(loaded, lambda: datetime(day.year, day.month, day.day, tzinfo=UTC))
    workload = Workload(label=asked["label"], image="id:image-1")
    judged = loaded.reference.decide(
        asked["key"], label=asked["label"], stored=None, metadata={}, scan=None, day=day, compute=True
    )
    allowed = {target for target, _ in (*judged.chosen, *judged.alternatives)} if judged.chosen else set()
    order = [one.target for one in plan(surroundings, asked["key"], workload).options]
    fakes = {target: surroundings.providers.provider(target) for target in surroundings.providers.places}
    full = set(chance.some(sorted(fakes), len(fakes)))
    for target, fake in fakes.items():
        fake.full = "no room" if target in full else ""
        fake.before = lambda name, target=target: touched.add(target) if name == "launch" else None
    touched, passed, error = set(), [], None
    try:
        passed = list(launch(surroundings, asked["key"], workload, secrets={}, deposit=None).entry.passed)
    except (NoCapacity, Refused, InvalidArgument) as caught:
        error = caught
    first = next((target for target in order if target not in full), None)
    before = order if first is None else order[: order.index(first)]
    found = {target: len(fake.fleet) for target, fake in fakes.items() if fake.fleet}
    known = [entry.target for entry in surroundings.journal.held.values()]
    wanted = {} if first is None else {first: 1}
    if (found, known, passed) != (wanted, list(wanted), [] if first is None else before):
        yield f"machines at {found}, known at {known}, passed {passed}, with {full} full of {order}"
    if not found.keys() <= allowed or not touched <= allowed or touched != {*before, *wanted}:
        yield f"machines at {found}, asked {touched}, with {full} full of {order}; the reference allows {allowed}"
    if isinstance(error, NoCapacity) != (first is None and bool(order)) or (error is None) != bool(wanted):
        yield f"{error!r}, with {full} full of {order}"
    return -1 if first is None else len(before)


def test_a_machine_is_at_the_first_place_that_has_room_or_nowhere(batch, tools):
    outcomes = Counter()
    for number in itertools.count():
        if outcomes.total() >= tools.objects / len(tools.batches) / LAUNCHES_IN:
            break
        chance = tools.chance(f"launches.{batch}.{number}")
        loaded = tools.load(opened(chance.world(), chance))
        for asked in () if loaded is None else loaded.objects:
            if nameable(asked["key"]):
                wrong = yielded(without_room(loaded, asked, chance), outcomes)
                assert not wrong, f"launches.{batch}.{number}: {asked}: {wrong}"
    # Nowhere, at the first place, at the second.
    assert min(outcomes[-1], outcomes[0], outcomes[1]) > 0


def yielded(found, outcomes):
    """Return what a generator yields, and count what it returns."""
    wrong = []
    while True:
        try:
            wrong.append(next(found))
        except StopIteration as done:
            outcomes[done.value] += 1
            return wrong
