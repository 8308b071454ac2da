"""Which labels there are, and which of them objects are known to carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sovbroker.document import Place
from sovbroker.labels import Lattice
from sovbroker.policy.inclusion import Undecided, witness
from sovbroker.policy.policy import Policy
from sovbroker.policy.prove.places import Places
from sovbroker.policy.rulebook import Rule

__all__ = ["LABELS_MAX", "Reached", "every", "generators", "reachable", "together"]

LABELS_MAX: Final = 4096
"""How many labels are looked at."""

PAIRS_MAX: Final = 64
"""How many pairs of rules are tried to find that two labels can be given to one object."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A label that objects carry, as far as the policy says, and where it says so.

    `joined` tells the join of two such labels, which one object can carry, from a label that is written.
    """

    mask: int
    place: Place
    joined: bool = False


def generators(lattice: Lattice) -> tuple[int, ...]:
    """Return the labels of which every other one is a join: each level and each category, with what it implies."""
    return tuple(lattice.mask_of_text(name) for name in (*lattice.levels, *sorted(lattice.categories)))


def every(policy: Policy, reached: Iterable[Reached]) -> tuple[tuple[int, ...], bool]:
    """Return the labels that are looked at, the lowest first, and whether they are all that there are.

    Where a lattice has more than `LABELS_MAX` labels, they are joins of the labels that objects are known to carry.
    """
    found = _joins(generators(policy.lattice))
    if found is not None:
        return found, True
    known = sorted({own.mask for own in reached} | {invariant.mask for invariant in policy.book.always})
    lower = _joins(known)
    return lower or tuple(sorted(known, key=_low)[:LABELS_MAX]), False


def _joins(masks: Sequence[int]) -> tuple[int, ...] | None:
    """Return every join of masks, in order; None where there are more than `LABELS_MAX`."""
    found = set(masks)
    pending = list(found)
    while pending:
        mask = pending.pop()
        for other in masks:
            if mask | other not in found:
                found.add(mask | other)
                pending.append(mask | other)
        if len(found) > LABELS_MAX:
            return None
    return tuple(sorted(found, key=_low))


def _low(mask: int) -> tuple[int, int]:
    return mask.bit_count(), mask


def reachable(policy: Policy, places: Places) -> tuple[Reached, ...]:
    """Return the labels that objects carry, as far as the policy says.

    They are the default, what each rule gives, and each element that the policy itself demands something of; and the
    joins of two labels: of rules that can match one object, and of the default with what a rule gives.
    """
    lattice, book = policy.lattice, policy.book
    found: dict[int, Reached] = {}

    def add(mask: int, place: Place, *, joined: bool = False) -> None:
        found.setdefault(mask, Reached(mask, place, joined))

    add(book.default, places.default)
    given: dict[int, list[Rule]] = {}
    for rule in book.rules:
        add(rule.mask, places.label(rule.id))
        given.setdefault(rule.mask, []).append(rule)
    for name, place in places.elements():
        add(lattice.mask_of_text(name), place)
    for mask, rules in given.items():
        add(mask | book.default, places.label(rules[0].id), joined=True)
        for other, others in given.items():
            if mask < other and mask | other not in found:
                pair = _pair(rules, others)
                if pair is not None:
                    add(mask | other, places.label(pair.id), joined=True)
    return tuple(sorted(found.values(), key=lambda own: _low(own.mask)))


def _pair(rules: Sequence[Rule], others: Sequence[Rule]) -> Rule | None:
    """Return one of two rules that can match one object; None where no two can. What is not decided, can."""
    tried = 0
    for rule in rules:
        for other in others:
            if tried == PAIRS_MAX or together(rule, other):
                return other
            tried += 1
    return None


def together(rule: Rule, other: Rule) -> bool:
    """Whether two rules can match one object. What is not decided, can."""
    known = dict(rule.meta)
    if any(known.get(name, value) != value for name, value in other.meta):
        return False
    if rule.path is None or other.path is None:
        return True
    shorter, longer = sorted((rule.path.directories, other.path.directories), key=len)
    if longer[: len(shorter)] != shorter:
        return False
    try:
        return witness([rule.path, other.path]) is not None
    except Undecided:
        return True
