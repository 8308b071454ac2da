"""Which of the compliant targets are chosen: rank them, then take the first set that meets the obligations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sovbroker.catalogue.facts import Target
from sovbroker.policy.documents import Distinct

__all__ = ["STEPS", "Candidate", "attributes", "first_set"]

STEPS: Final = 20_000
"""How many partial sets are tried before a search gives up. Fixed, so that every machine gives up at the same one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A compliant target: its index, what must differ from the others, and a bit per key service that may serve it.

    An attribute that is "" is not known, and differs from nothing.
    """

    index: int
    attributes: tuple[str, ...]
    holders: int


def attributes(target: Target, distinct: frozenset[Distinct]) -> tuple[str, ...]:
    """Return in what a target must differ from others. A region is told apart by its provider too."""
    values = {
        Distinct.PROVIDER: target.provider,
        Distinct.REGION: f"{target.provider}/{target.region}",
        Distinct.SITE: target.site,
    }
    return tuple(values[d] for d in sorted(distinct))


def first_set(candidates: Sequence[Candidate], count: int) -> tuple[int, ...]:
    """Return the indexes of the first `count` candidates that go together, in rank order; () when there are none.

    They go together when they differ pairwise in every attribute and share a key service. First means that no earlier
    candidate could take the place of a later one. After `STEPS` partial sets the answer is (): a refusal.
    """
    if count == 1:
        return (candidates[0].index,) if candidates else ()
    usable = candidates
    if candidates and candidates[0].attributes:
        # Of candidates that nothing tells apart only the first can be in a set: two would not differ.
        different: dict[tuple[object, int], Candidate] = {}
        for candidate in candidates:
            if all(candidate.attributes):
                different.setdefault((candidate.attributes, candidate.holders), candidate)
        usable = list(different.values())
        # Where one attribute alone has too few values, there is nothing to search.
        if any(len(set(values)) < count for values in zip(*(c.attributes for c in usable), strict=True)):
            return ()
    return _Search(usable, count).run()


class _Search:
    """A search in lexicographic order, with a bound on its steps."""

    def __init__(self, candidates: Sequence[Candidate], count: int) -> None:
        self._candidates = candidates
        self._count = count

    def run(self) -> tuple[int, ...]:
        """Return the first set, or ()."""
        candidates, count = self._candidates, self._count
        taken: list[int] = []
        shared = [-1]
        position = steps = 0
        while steps < STEPS:
            steps += 1
            if len(taken) == count:
                return tuple(candidates[i].index for i in taken)
            if position > len(candidates) - (count - len(taken)):
                if not taken:
                    return ()
                position = taken.pop() + 1
                shared.pop()
            elif self._fits(taken, position) and shared[-1] & candidates[position].holders:
                shared.append(shared[-1] & candidates[position].holders)
                taken.append(position)
                position += 1
            else:
                position += 1
        return ()

    def _fits(self, taken: Sequence[int], position: int) -> bool:
        own = self._candidates[position].attributes
        return not any(a == b for i in taken for a, b in zip(self._candidates[i].attributes, own, strict=True))
