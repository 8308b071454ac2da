"""What a mutant changes at any target that there could be, for mutants that no case notices.

One that breaks an invariant is noticed after all. One that changes nothing anywhere is no mutant: no case could notice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date

from sovbroker.policy.documents import Work
from sovbroker.policy.prove.outcomes import Outcomes
from sovbroker.policy.prove.possible import Possible, possible
from sovbroker.policy.rulebook import Invariant, Requirement, Rulebook
from sovbroker.policy.table import Scope, Table

__all__ = ["Everywhere"]


@dataclass(frozen=True, slots=True)
class Everywhere:
    """A rulebook and another one, over every kind of target that either can tell apart."""

    before: Outcomes
    after: Outcomes
    kinds: Possible

    @classmethod
    def of(cls, before: Rulebook, after: Rulebook, day: date) -> Everywhere:
        """Look at two rulebooks of the same names, on a day."""
        kinds = possible(_both(before, after), day)
        old, new = (Outcomes(Table(book, kinds.world, since=day, until=None)) for book in (before, after))
        return cls(old, new, kinds)

    def broken(self) -> str:
        """Return the first invariant that holds before and not after; "" when there is none."""
        pairs = zip(self.before.table.book.always, self.after.table.book.always, strict=True)
        return next((b.id for a, b in pairs if _holds(self.before, a) and not _holds(self.after, b)), "")

    def alike(self) -> bool:
        """Whether it is certain that no object goes anywhere else, nor otherwise.

        Labels are joins of levels and categories, and what a label demands is what those demand together; so these are
        enough to look at.
        """
        lattice = self.before.table.book.lattice
        if not self.kinds.complete or lattice != self.after.table.book.lattice or self._ranked_or_keyed():
            return False
        return all(self._alike(lattice.mask_of_text(name)) for name in (*lattice.levels, *lattice.categories))

    def _alike(self, mask: int) -> bool:
        before, after, scope = self.before, self.after, Scope(mask)
        covering = before.covering(mask)
        return (
            before.table.obligations(scope) == after.table.obligations(scope)
            and dict(before.store(mask, covering)) == dict(after.store(mask, covering))
            and before.compute(mask) == after.compute(mask)
        )

    def _ranked_or_keyed(self) -> bool:
        """Whether what differs also decides about key services, ranks or waivers, where more than modes matter."""
        before, after = self.before.table.book, self.after.table.book
        changed = {name for name, zone in before.zones.items() if after.zones[name] != zone}
        requirements = [r for book in (before, after) for found in book.requirements.values() for r in found]
        stores = [*(r.store or () for r in requirements), *(waiver.store for waiver in before.waivers)]
        keyed = {zone for store in stores for way in store for zone in way.mode.keys}
        return bool(changed & (keyed | set(before.prefer))) or before.waivers != after.waivers


def _both(before: Rulebook, after: Rulebook) -> Rulebook:
    """Return a rulebook that asks of a target whatever either asks."""
    known = set(before.zones)
    zones = dict(before.zones)
    for name, zone in after.zones.items():
        if zone != before.zones[name]:
            zones[_fresh(name, known)] = zone
    requirements: dict[str, tuple[Requirement, ...]] = dict(before.requirements)
    for element, found in after.requirements.items():
        requirements[element] = tuple(dict.fromkeys((*requirements.get(element, ()), *found)))
    return replace(before, zones=zones, requirements=requirements)


def _fresh(name: str, known: Collection[str]) -> str:
    """Return a name that no zone has: an apostrophe is in none."""
    return f"{name}'" if f"{name}'" not in known else _fresh(f"{name}'", known)


def _holds(outcomes: Outcomes, invariant: Invariant) -> bool:
    """Whether an invariant holds at every kind of target.

    A stricter label allows less, so its own label is enough to look at; whatever waivers may cover it are in scope.
    """
    table = outcomes.table
    region = (1 << len(table.world.targets)) - 1
    for name in invariant.inside:
        region &= table.zones[name]
    for name in invariant.outside:
        region &= ~table.zones[name]
    if Work.COMPUTE in invariant.operations and outcomes.compute(invariant.mask) & region:
        return False
    if Work.STORE not in invariant.operations:
        return True
    demand = None if invariant.demand is None else table.code(invariant.demand)
    return not any(
        members & region and any(demand is None or pick.code & demand != demand for pick in outcomes.picks(modes))
        for modes, members in outcomes.store(invariant.mask, outcomes.covering(invariant.mask)).items()
    )
