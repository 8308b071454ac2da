"""What no machine should be any more: those whose time is over, and what a crash left in the middle of a launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sovbroker.compute.journal import Entry, Step
from sovbroker.compute.launching import TAG, launch_of, undo
from sovbroker.compute.planning import Surroundings
from sovbroker.errors import SovbrokerError, StateError
from sovbroker.machines import Machine

__all__ = ["Reaped", "Stray", "reap"]


@dataclass(frozen=True, slots=True)
class Stray:
    """A machine that this installation has launched, and of which it knows nothing any more."""

    target: str
    machine: Machine


@dataclass(frozen=True, slots=True)
class Reaped:
    """What `reap` did: names of the destroyed, strays (destroyed where that was asked for), and failures by name."""

    expired: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    strays: tuple[Stray, ...] = ()
    failures: dict[str, str] = field(default_factory=dict[str, str])


def reap(around: Surroundings, *, strays: bool) -> Reaped:
    """Destroy the machines whose time is over, and what unfinished launches left. With `strays`, those as well.

    Never raises for one machine: what could not be done is told, and is done by the next call.
    """
    over: dict[Step, list[str]] = {step: [] for step in Step}
    failures: dict[str, str] = {}
    for entry in around.journal.entries():
        if not _due(around, entry):
            continue
        try:
            if _reaped(around, entry):
                over[entry.step].append(entry.name)
        except StateError:
            raise
        except SovbrokerError as error:
            failures[entry.name] = str(error)
    found = _strays(around, failures)
    for stray in found if strays else ():
        try:
            around.providers.provider(stray.target).destroy(stray.machine.id)
        except SovbrokerError as error:
            failures[stray.machine.id] = str(error)
    unfinished = sorted(over[Step.LAUNCHING] + over[Step.DESTROYING])
    return Reaped(tuple(over[Step.LAUNCHED]), tuple(unfinished), tuple(found), failures)


def _reaped(around: Surroundings, entry: Entry) -> bool:
    """Destroy what an entry tells of, unless somebody has changed it. Raises Unavailable where it is too early."""
    with around.journal.locked(entry.name, wait=False):
        if around.journal.get(entry.name) != entry:
            return False
        undo(around, entry)
    return True


def _due(around: Surroundings, entry: Entry) -> bool:
    return entry.step is not Step.LAUNCHED or entry.expired(around.clock())


def _strays(around: Surroundings, failures: dict[str, str]) -> Sequence[Stray]:
    """Return the machines of this installation that no entry tells of.

    The entries are read after the machines are listed: a machine that is being launched has one by then.
    """
    listed: list[Stray] = []
    installation = around.journal.installation()
    for target in around.providers.places:
        try:
            machines = around.providers.provider(target).machines()
        except SovbrokerError as error:
            failures[target] = str(error)
            continue
        listed += [Stray(target, one) for one in machines if one.tags.get(f"{TAG}-installation") == installation]
    known = {entry.launch for entry in around.journal.entries()}
    return [one for one in listed if launch_of(one.machine) not in known]
