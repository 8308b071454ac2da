"""Every machine at every provider, compared with the policy that holds now.

A list in which nothing is found to be wrong is clean only where the provider has shown that it lists what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Final

from sovbroker.compute.journal import Entry
from sovbroker.compute.launching import TAG, launch_of
from sovbroker.compute.planning import Data, Surroundings, data_of, decide
from sovbroker.errors import InvalidArgument, SovbrokerError
from sovbroker.machines import Machine, MachineState

__all__ = ["Audit", "AuditedMachine", "AuditedPlace", "Standing", "audit"]

AT_ONCE: Final = 8


class Standing(StrEnum):
    """How a machine stands to the policy."""

    FINE = "fine"
    VIOLATION = "violation"
    """It is where the policy does not allow it."""
    UNLABELLED = "unlabelled"
    """Nothing tells its label, and the policy's default may not be worked on there: a violation, too."""
    OVERDUE = "overdue"
    """Its time is over; `reap` destroys it."""
    MISSING = "missing"
    """We launched it, and its provider does not list it."""

    @property
    def wrong(self) -> bool:
        """Whether it violates the policy."""
        return self in {Standing.VIOLATION, Standing.UNLABELLED}


@dataclass(frozen=True, slots=True)
class AuditedMachine:
    """One machine, and how it stands. `ours`: this installation launched it. `label` is what was decided upon."""

    target: str
    id: str
    name: str
    state: MachineState
    standing: Standing
    label: str
    ours: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class AuditedPlace:
    """One place: how many machines it lists, and what shows that it lists them. `blind`: why that is not shown."""

    target: str
    machines: int
    proof: str = ""
    blind: str = ""


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found. Clean only where nothing is wrong and no place is blind."""

    at: datetime
    policy: str
    places: tuple[AuditedPlace, ...]
    machines: tuple[AuditedMachine, ...]

    @property
    def violations(self) -> tuple[AuditedMachine, ...]:
        """The machines that violate the policy."""
        return tuple(one for one in self.machines if one.standing.wrong)

    @property
    def blind(self) -> tuple[AuditedPlace, ...]:
        """The places of which nothing is known for sure."""
        return tuple(one for one in self.places if one.blind)

    @property
    def clean(self) -> bool:
        """Whether every place was seen and nothing violates the policy."""
        return not self.violations and not self.blind

    def to_dict(self) -> dict[str, object]:
        """Return the audit as JSON types."""
        return {
            "at": self.at.isoformat(),
            "policy": self.policy,
            "clean": self.clean,
            "places": [
                {"target": one.target, "machines": one.machines, "proof": one.proof, "blind": one.blind}
                for one in self.places
            ],
            "machines": [
                {
                    "target": one.target,
                    "id": one.id,
                    "name": one.name,
                    "state": one.state.value,
                    "standing": one.standing.value,
                    "label": one.label,
                    "ours": one.ours,
                    "why": one.why,
                }
                for one in self.machines
            ],
        }


@dataclass(frozen=True, slots=True)
class _Seen:
    place: AuditedPlace
    machines: tuple[Machine, ...] = ()


def audit(around: Surroundings) -> Audit:
    """Compare every machine with the policy. Changes nothing, and raises nothing for a place that cannot be asked."""
    known = {entry.launch: entry for entry in around.journal.entries()}
    judge = _Judge(around, known)
    targets = list(around.providers.places)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sovbroker-audit") as pool:
        seen = list(pool.map(partial(_look, around), targets))
    lost = sorted({entry.target for entry in known.values()} - set(targets))
    seen += [_Seen(AuditedPlace(one, 0, blind="machines of ours are there, and it is not configured")) for one in lost]
    found = [judge.machine(one.place.target, machine) for one in seen for machine in one.machines]
    listed = {(one.place.target, launch_of(machine)) for one in seen for machine in one.machines}
    asked = {one.place.target for one in seen if not one.place.blind or one.machines}
    # What was launched since the lists were made is no matter of theirs.
    found += [
        judge.missing(entry)
        for entry in known.values()
        if entry.machine and entry.target in asked and (entry.target, entry.launch) not in listed
    ]
    order = {standing: place for place, standing in enumerate((Standing.VIOLATION, Standing.UNLABELLED))}
    found.sort(key=lambda one: (order.get(one.standing, len(order)), one.target, one.name, one.id))
    return Audit(around.clock(), around.policy().digest, tuple(one.place for one in seen), tuple(found))


def _look(around: Surroundings, target: str) -> _Seen:
    """List the machines of a place, and look what shows that this is all of them."""
    try:
        provider = around.providers.provider(target)
        machines = tuple(provider.machines())
        shown = provider.visibility()
    except SovbrokerError as error:
        return _Seen(AuditedPlace(target, 0, blind=str(error)))
    count = len(machines)
    if shown.count is not None and shown.count != count:
        again = tuple(provider.machines())
        if len(again) != shown.count:
            blind = f"it lists {count} machines, and counts {shown.count} in another way"
            return _Seen(AuditedPlace(target, count, blind=blind), machines)
        machines, count = again, len(again)
    if not machines and not shown.canary:
        blind = "it lists no machine, and nothing shows that it would list one"
        return _Seen(AuditedPlace(target, 0, blind=blind))
    proofs = [f"it sees {shown.canary}"] if shown.canary else []
    proofs += [f"counted {shown.count} in another way"] if shown.count is not None else []
    return _Seen(AuditedPlace(target, count, proof="; ".join(proofs) or "it lists machines"), machines)


class _Judge:
    """Judges machines. What the policy says of one label is asked once."""

    def __init__(self, around: Surroundings, known: Mapping[str, Entry]) -> None:
        self._around = around
        self._known = known
        self._reasons: dict[tuple[str, str | None, str], tuple[str, Mapping[str, str]]] = {}
        self._data: dict[str, Data | None] = {}
        self._now = around.clock()

    def machine(self, target: str, machine: Machine) -> AuditedMachine:
        """Judge one machine that a place lists."""
        entry = self._known.get(launch_of(machine))
        told = machine.tags.get(f"{TAG}-label") if entry is None else entry.label
        key = (machine.name or machine.id) if entry is None else entry.key
        near = "" if entry is None else entry.near
        label, refused = self._asked(key, told, near)
        why = refused.get(target, "")
        standing = Standing.FINE
        if why:
            standing = Standing.VIOLATION if told is not None else Standing.UNLABELLED
        elif entry is not None and entry.expired(self._now):
            standing, why = Standing.OVERDUE, f"its time was over at {entry.expires}"
        return AuditedMachine(
            target=target,
            id=machine.id,
            name=machine.name if entry is None else entry.name,
            state=machine.state,
            standing=standing,
            label=label,
            ours=entry is not None,
            why=why,
        )

    def missing(self, entry: Entry) -> AuditedMachine:
        """Tell of one that its provider does not list."""
        return AuditedMachine(
            target=entry.target,
            id=entry.machine,
            name=entry.name,
            state=MachineState.UNKNOWN,
            standing=Standing.MISSING,
            label=entry.label,
            ours=True,
            why="its provider does not list it",
        )

    def _asked(self, key: str, label: str | None, near: str) -> tuple[str, Mapping[str, str]]:
        """Return the label that was decided upon, and the places that are refused with the first reason."""
        asked = (key, label, near)
        if asked not in self._reasons:
            try:
                found = decide(self._around, key=key, label=label, data=self._near(near))
            except InvalidArgument:
                # A label that the policy does not know (any more) is none.
                found = decide(self._around, key=key, label=None, data=None)
            refused = {target: reasons[0] for target, reasons in found.decision.rejected.items()}
            if not found.decision.allowed:
                every = self._around.providers.places
                refused = dict.fromkeys(every, found.decision.reasons[-1]) | refused
            self._reasons[asked] = found.label, refused
        return self._reasons[asked]

    def _near(self, near: str) -> Data | None:
        """Return the data that a machine works near, as it is labelled now; None where it is gone."""
        if not near:
            return None
        if near not in self._data:
            try:
                self._data[near] = data_of(self._around, near)
            except InvalidArgument:
                self._data[near] = None
        return self._data[near]
