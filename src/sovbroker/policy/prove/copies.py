"""Whether there could be targets for as many copies, as different, as a label demands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sovbroker.document import Findings, Place
from sovbroker.labels import Lattice
from sovbroker.policy import codes
from sovbroker.policy.documents import Distinct
from sovbroker.policy.prove.labels import Reached
from sovbroker.policy.prove.outcomes import Outcomes, bits
from sovbroker.policy.prove.places import Places
from sovbroker.policy.prove.possible import Possible
from sovbroker.policy.prove.traits import Name
from sovbroker.policy.table import Scope

__all__ = ["Copies"]


@dataclass(frozen=True, slots=True)
class Copies:
    """Proves that copies can be made, in some possible world, of every label that objects carry."""

    outcomes: Outcomes
    possible: Possible
    lattice: Lattice
    places: Places

    def run(self, reached: Sequence[Reached], findings: Findings) -> None:
        """Find the labels for which they cannot; of labels that include one another, the lowest."""
        if not self.possible.complete:
            return
        failed: list[int] = []
        for own in reached:
            if any(own.mask & low == low for low in failed):
                continue
            owed = self.outcomes.table.obligations(Scope(own.mask))
            count, distinct = owed.count, owed.distinct
            worlds = [] if count == 1 else self._worlds(own.mask)
            if not any(worlds) or any(enough(names, count, distinct) for names in worlds):
                continue
            failed.append(own.mask)
            differing = f", of which no two share a {' or a '.join(sorted(distinct))}," if distinct else ""
            names = sorted({name.id if name.single else name.provider for found in worlds for name in found})
            findings.error(
                codes.UNSATISFIABLE,
                self._place(own.mask, count),
                f"no {count} targets{differing} could ever hold `{self.lattice.label(own.mask)}`: "
                f"only {', '.join(f'`{name}`' for name in names)} may",
                "lower `count`, ask for less under `distinct`, or allow more places",
            )

    def _worlds(self, mask: int) -> list[set[Name]]:
        """Return the names of targets that comply, for each key service that all copies could share, and for none."""
        worlds: list[set[Name]] = []
        for holder in (None, *range(len(self.possible.holders))):
            names: set[Name] = set()
            for modes, members in self.outcomes.store(mask).items():
                if self.outcomes.served_by(modes, holder):
                    for index in bits(members):
                        names.update(self.possible.targets[index].names)
            worlds.append(names)
        return worlds

    def _place(self, mask: int, count: int) -> Place:
        """Return where the number of copies is said."""
        demands = self.outcomes.table.demands(Scope(mask))
        element = next(d.requirement.element for d in demands if d.requirement.count == count)
        return self.places.copies(element)


def enough(names: Iterable[Name], count: int, distinct: frozenset[Distinct]) -> bool:
    """Whether targets of these names can be `count` that differ as asked.

    Of a provider there can be any number of regions, and a site can be anywhere; a target that is named is one.
    """
    found = tuple(names)
    if any(name.fresh for name in found):
        return True
    if Distinct.PROVIDER in distinct:
        return len({name.provider for name in found}) >= count
    if not all(name.single for name in found):
        return True
    if Distinct.REGION in distinct:
        return len({(name.provider, name.region) for name in found}) >= count
    return len({name.id for name in found}) >= count
