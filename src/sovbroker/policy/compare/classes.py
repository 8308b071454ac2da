"""Classes: all objects of one kind, with what changes for them and what would have to be moved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sovbroker.policy.compare.verdict import Verdict

__all__ = ["Amount", "Class", "Journey", "journey", "total"]


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of objects, and their bytes."""

    objects: int = 0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        """Return both together."""
        return Amount(self.objects + other.objects, self.bytes + other.bytes)

    def __mul__(self, times: int) -> Amount:
        """Return the amount for so many copies."""
        return Amount(self.objects * times, self.bytes * times)

    def to_dict(self) -> dict[str, int]:
        """Return the amount as JSON types."""
        return {"objects": self.objects, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class Journey:
    """What it takes to bring an object from where it lies to where the new policy puts it.

    `leaves` and `arrives` are targets that lose and gain a copy, `reseals` those that keep one under a stricter mode.
    `source` is the target from which the object is read, once, for all that is written; "" when nothing is.
    """

    leaves: tuple[str, ...] = ()
    arrives: tuple[str, ...] = ()
    reseals: tuple[str, ...] = ()
    source: str = ""

    @property
    def moves(self) -> bool:
        """Whether any target loses or gains a copy."""
        return bool(self.leaves or self.arrives)


@dataclass(frozen=True, slots=True)
class Class:
    """All objects of one kind: the stored `label` (None: none), the `targets` where they lie, what changes.

    `targets` empty: it is not known where they lie; the journey then begins where the old policy puts them.
    """

    label: str | None
    targets: tuple[str, ...]
    verdict: Verdict
    journey: Journey
    amount: Amount

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that the objects are in: `loosens`, `tightens`, `moves`, `refused`; `unchanged` when in none."""
        found = {
            "loosens": bool(self.verdict.loosens),
            "tightens": bool(self.verdict.tightens),
            "moves": self.journey.moves,
            "refused": self.verdict.refused,
        }
        return tuple(name for name, within in found.items() if within) or ("unchanged",)


def journey(verdict: Verdict, targets: tuple[str, ...]) -> Journey:
    """Return what the change of policy asks to be moved, of an object that lies at `targets`.

    An object that lies elsewhere than either policy says is no work of the change: unless the policies choose
    differently, or a target that complied does not any more, or holds it in a mode that is now too weak, nothing moves.
    """
    old, new = verdict.old, verdict.new
    here = sorted(targets or old.chosen)
    if not new.allowed or not here:
        return Journey()
    forced = any(target in old.ways and target not in new.ways for target in here)
    due = verdict.rechosen or forced or not old.allowed
    stays = [target for target in here if target in new.chosen or (not due and target in new.ways)]
    reseals = tuple(t for t in stays if t in old.ways and old.ways[t].lesser(new.ways[t]))
    leaves = tuple(target for target in here if due and target not in new.chosen)
    arrives = tuple(target for target in new.chosen if due and target not in here)
    if not (arrives or reseals):
        return Journey(leaves=leaves)
    # What is read to be sealed again can serve all others; else what goes anyway is read, rather than what stays.
    source = (*reseals, *leaves, *here)[0]
    return Journey(leaves, arrives, reseals, source)


def total(classes: Iterable[Class]) -> Amount:
    """Return the objects and bytes of classes together."""
    found = Amount()
    for own in classes:
        found += own.amount
    return found
