"""What deciding on machines costs: a plan, a launch with all that is written down for it, and an audit of 10,000.

The providers are in memory, so that what is measured is ours; the state is on the disk.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sovbroker import policy as policies
from sovbroker.catalogue.facts import Basis, Confidence, Evidence, Fact, Facts, Target
from sovbroker.compute import Compute, ComputePlace, Journal, Providers, Surroundings
from sovbroker.machines import ComputeProvider, Machine, MachineState
from sovbroker.placements import SqliteIndex
from sovbroker.policy.policy import utc_now
from sovbroker.ports import Binding
from sovbroker.testing.machines import FakeCompute

POLICY = """
sovbroker: 1
name: bench
levels: [public, restricted]
default: restricted
zones: {french: {located: [FR], controlled: [FR]}, anywhere: {}}
require:
  public: {store: {anywhere: {}}, compute: [anywhere]}
  restricted: {store: {french: {}}, compute: [french]}
"""
PLACES = 10
MACHINES = 10_000
LAUNCHES = 200
SURE = Evidence(Basis.VERIFIED, Confidence.HIGH)


@dataclass(frozen=True, slots=True)
class Held(ComputePlace):
    """A place whose provider is at hand."""

    held: FakeCompute | None = None

    def open(self) -> ComputeProvider:
        """Return it."""
        if self.held is None:
            raise AssertionError
        return self.held


def rows() -> Iterator[tuple[str, float, str, str]]:
    """Measure."""
    with TemporaryDirectory() as folder:
        fakes = {f"p{number}/compute@r": FakeCompute(target=f"p{number}/compute@r") for number in range(PLACES)}
        compute = _opened(Path(folder), fakes)
        began = time.perf_counter()
        for number in range(LAUNCHES):
            compute.explain(f"job-{number}", image="id:image-1")
        yield "plan a machine over 10 places", (time.perf_counter() - began) / LAUNCHES * 1e3, "ms", ""
        began = time.perf_counter()
        for number in range(LAUNCHES):
            compute.launch(f"job-{number}", image="id:image-1")
        yield "launch, with what is written down for it", (time.perf_counter() - began) / LAUNCHES * 1e3, "ms", ""
        for number in range(MACHINES - LAUNCHES):
            fake = fakes[f"p{number % PLACES}/compute@r"]
            name, label = f"i-x{number}", "restricted" if number % 100 == 0 else "public"
            fake.fleet[name] = Machine(name, name, MachineState.RUNNING, tags={"sovbroker-label": label})
        began = time.perf_counter()
        audit = compute.audit()
        assert len(audit.machines) == MACHINES  # noqa: S101 - a figure of fewer would be another one
        yield "audit 10,000 machines at 10 places", time.perf_counter() - began, "s", "<= 30"


def _opened(folder: Path, fakes: dict[str, FakeCompute]) -> Compute:
    """Return the compute half over providers in memory, the first of them in France."""
    places: dict[str, ComputePlace] = {}
    for number, (name, fake) in enumerate(fakes.items()):
        country = Fact(frozenset({"US" if number else "FR"}), SURE)
        target = Target(name, f"p{number}", "r", Facts(country, country, Fact(None, SURE)), offer="compute", site=name)
        places[name] = Held(target, "fake", Binding(name, ""), held=fake)
    policy = policies.loads(POLICY, targets=[place.target for place in places.values()])
    around = Surroundings(
        governing=lambda: policy,
        index=SqliteIndex(folder / "state.db"),
        sites={},
        providers=Providers(places),
        journal=Journal(folder / "state.db"),
        clock=utc_now,
    )
    return Compute(around)
