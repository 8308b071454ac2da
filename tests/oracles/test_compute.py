"""No machine is ever planned where the reference forbids it, and every place that is passed over has a reason."""

from datetime import UTC, date, datetime
from types import SimpleNamespace

from sovbroker.compute import ComputePlace, Providers, Surroundings
from sovbroker.compute.planning import Workload, plan
from sovbroker.ports import Binding
from sovbroker.testing.machines import FakeCompute


class Place(ComputePlace):
    """A place whose provider is in memory."""

    def open(self):
        return FakeCompute(target=self.target.id)


def around(loaded, clock):
    places = {one.id: Place(one, "fake", Binding(one.id, "")) for one in loaded.policy.world.targets}
    return Surroundings(
        governing=lambda: loaded.policy,
        index=SimpleNamespace(),
        sites={},
        providers=Providers(places),
        journal=SimpleNamespace(),
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
