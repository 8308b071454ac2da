"""Whether a stricter label never gains a target, nor a lesser mode, whatever targets there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sovbroker.policy.documents import Work
from sovbroker.policy.prove.outcomes import Modes, Outcomes, bits

__all__ = ["Gain", "first_gain"]


@dataclass(frozen=True, slots=True)
class Gain:
    """A label, a stricter one, and a target (by its index) at which the stricter one is allowed more."""

    low: int
    high: int
    target: int
    operation: Work


def first_gain(outcomes: Outcomes, labels: Sequence[int], steps: Iterable[int]) -> Gain | None:
    """Return the first gain that one of `steps`, joined with one of `labels`, brings; None when none does.

    Steps of which all labels are joins prove it for every two labels, one step after another.
    """
    known = set(labels)
    seen: set[tuple[int, int]] = set()
    steps = tuple(steps)
    for low in labels:
        for step in steps:
            high = low | step
            if high == low or high not in known:
                continue
            few, many = outcomes.store(high), outcomes.store(low)
            if (id(few), id(many)) not in seen:
                seen.add((id(few), id(many)))
                gained = _gained(few, many)
                if gained:
                    return Gain(low, high, next(bits(gained)), Work.STORE)
            gained = outcomes.compute(high) & ~outcomes.compute(low)
            if gained:
                return Gain(low, high, next(bits(gained)), Work.COMPUTE)
    return None


def _gained(few: Mapping[Modes, int], many: Mapping[Modes, int]) -> int:
    """Return the targets at which `few` has more than `many`: none at all there, or a mode that demands less."""
    gained = 0
    for modes, members in few.items():
        rest = members
        for other, others in many.items():
            common = rest & others
            if common:
                rest ^= common
                if not _above(modes, other):
                    gained |= common
        gained |= rest
    return gained


def _above(modes: Modes, other: Modes) -> bool:
    """Whether each of `modes` demands everything that one of `other` does."""
    return all(any(code & least == least for least, _ in other) for code, _ in modes)
