"""Differences: what a new policy changes, for every label and for every object of an inventory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import BinaryIO, Final

from sovbroker.errors import InvalidArgument
from sovbroker.policy.compare.classes import Amount, Class, journey, total
from sovbroker.policy.compare.counting import Found, Sums, count, count_lines
from sovbroker.policy.compare.inventory import Item
from sovbroker.policy.compare.outcome import Judge, Outcome
from sovbroker.policy.compare.probes import LABELS_MAX, Row, Sample, changed_rules, labels, samples
from sovbroker.policy.compare.spelling import as_dict
from sovbroker.policy.compare.text import as_text
from sovbroker.policy.compare.verdict import Verdict, verdict
from sovbroker.policy.policy import Policy

__all__ = ["GROUPS", "Difference", "Side", "compare", "compare_lines"]

GROUPS: Final = ("loosens", "tightens", "moves", "refused", "unchanged")
"""What can happen to an object. All but `unchanged` may happen to one object together."""

SAME, CHANGES, LOOSENS = 0, 1, 3
FEW: Final = 5
UNKNOWN: Final = Outcome()


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two policies: its name, and the digests of what it says and of the facts it was judged with."""

    name: str
    policy: str
    catalogue: str

    def to_dict(self) -> dict[str, str]:
        """Return it as JSON types."""
        return {"name": self.name, "policy": self.policy, "catalogue": self.catalogue}


@dataclass(frozen=True)
class Difference:
    """What changes from the policy `old` to the policy `new` on the day `at`.

    `classes` hold every object of the inventory exactly once, the largest first; None: there was no inventory.
    `labels` is a row per label; `samples` are keys that were made up for rules and waivers that differ. `unseen` names
    what differs and could not be compared, `notes` what a reader should know. `providers` maps targets to providers.
    """

    old: Side
    new: Side
    at: date
    classes: tuple[Class, ...] | None
    labels: tuple[Row, ...]
    samples: tuple[Sample, ...]
    unseen: tuple[str, ...]
    notes: tuple[str, ...]
    providers: Mapping[str, str]

    @cached_property
    def exit_code(self) -> int:
        """0 where nothing changes, 3 where anything loosens, 1 for every other change.

        A label or a sample key counts as an object does: a policy that would loosen tomorrow's objects loosens.
        """
        found = self._verdicts()
        if any(own.loosens for own in found):
            return LOOSENS
        moved = any(own.journey.moves for own in self.classes or ())
        return CHANGES if moved or self.unseen or any(not own.same for own in found) else SAME

    @property
    def verdict(self) -> str:
        """`same`, `changes` or `loosens`."""
        return {SAME: "same", CHANGES: "changes", LOOSENS: "loosens"}[self.exit_code]

    def _verdicts(self) -> list[Verdict]:
        found = [own.verdict for own in self.classes or ()] + [sample.verdict for sample in self.samples]
        return found + [row.verdict for row in self.labels if row.verdict is not None]

    @cached_property
    def amount(self) -> Amount:
        """All objects of the inventory."""
        return total(self.classes or ())

    @cached_property
    def groups(self) -> Mapping[str, Amount]:
        """The objects of each of `GROUPS`. One that is in two groups counts in both."""
        return {name: total(own for own in self.classes or () if name in own.groups) for name in GROUPS}

    @cached_property
    def egress(self) -> Mapping[str, Amount]:
        """The objects that have to be read at each provider, and their bytes: each object once, whatever its copies."""
        return self._by_provider(((own.journey.source,), own.amount) for own in self.classes or ())

    @cached_property
    def leaves(self) -> Mapping[str, Amount]:
        """The copies that have to go from each provider."""
        return self._by_provider((own.journey.leaves, own.amount) for own in self.classes or ())

    @cached_property
    def arrives(self) -> Mapping[str, Amount]:
        """The copies that each provider gets."""
        return self._by_provider((own.journey.arrives, own.amount) for own in self.classes or ())

    @cached_property
    def reseals(self) -> Amount:
        """The objects of which a copy that stays has to be sealed more strictly."""
        return total(own for own in self.classes or () if own.journey.reseals)

    def provider(self, target: str) -> str:
        """Return the provider of a target, of one that neither policy knows too."""
        return self.providers.get(target) or target.partition("/")[0]

    def _by_provider(self, moved: Iterable[tuple[tuple[str, ...], Amount]]) -> Mapping[str, Amount]:
        found: defaultdict[str, Amount] = defaultdict(Amount)
        for targets, amount in moved:
            for target in targets:
                if target:
                    found[self.provider(target)] += amount
        return dict(sorted(found.items()))

    def to_dict(self) -> dict[str, object]:
        """Return the difference as JSON types, in a stable order."""
        return as_dict(self)

    def __str__(self) -> str:
        """Print the difference for people."""
        return as_text(self)


def compare(old: Policy, new: Policy, inventory: Iterable[Item] | None = None, *, at: date) -> Difference:
    """Return what changes from one policy to another on the day `at`.

    `inventory` is read once, and none of its objects is left out; without it, labels and sample keys are compared.
    Raises InvalidArgument for a label of the inventory that neither policy knows.
    """
    return _difference(old, new, None if inventory is None else count(old, new, inventory), at=at)


def compare_lines(old: Policy, new: Policy, file: BinaryIO, *, at: date, name: str = "inventory") -> Difference:
    """Return what `compare` returns for an inventory in JSON lines, in half the time; `name` is for messages.

    Raises InvalidArgument, with the line's number, for a line that is not an object.
    """
    return _difference(old, new, count_lines(old, new, file, name=name), at=at)


def _difference(old: Policy, new: Policy, sums: Sums | None, *, at: date) -> Difference:
    judges = Judge(old, at), Judge(new, at)
    shared = frozenset(old.lattice.levels) & frozenset(new.lattice.levels)
    rows, every_label = labels(*judges, shared=shared)
    keys, every_rule = samples(*judges, shared=shared)
    classes = None if sums is None else _classes(*judges, sums, shared=shared)
    worlds = (*old.world.targets, *new.world.targets)
    return Difference(
        old=_side(old),
        new=_side(new),
        at=at,
        classes=classes,
        labels=rows,
        samples=keys,
        unseen=tuple(_unseen(old, new, rows, every_label=every_label, every_rule=every_rule)),
        notes=tuple(_notes(old, new, classes or ())),
        providers={target.id: target.provider for target in worlds},
    )


def _side(policy: Policy) -> Side:
    return Side(policy.name, policy.digest, policy.world.catalogue)


def _classes(old: Judge, new: Judge, sums: Sums, *, shared: frozenset[str]) -> tuple[Class, ...]:
    verdicts: dict[tuple[int, int], Verdict] = {}
    merged: dict[tuple[str | None, tuple[str, ...], int, int], Class] = {}
    for (found, other, label, targets), (objects, size) in sums.items():
        before, after = _outcomes(old, new, found, other, label)
        pair = (id(before), id(after))
        if pair not in verdicts:
            verdicts[pair] = verdict(before, after, shared=shared)
        own = verdicts[pair]
        here = tuple(sorted(set(targets)))
        known = merged.get((label, here, *pair))
        amount = Amount(objects, size) if known is None else known.amount + Amount(objects, size)
        merged[label, here, *pair] = Class(label, here, own, journey(own, here), amount)
    return tuple(sorted(merged.values(), key=_order))


def _order(own: Class) -> tuple[object, ...]:
    """Return what sorts classes: the largest first, and nothing left to chance."""
    scopes = [(o.scope.mask, o.scope.waivers) for o in (own.verdict.old, own.verdict.new)]
    return -own.amount.bytes, -own.amount.objects, own.label or "", own.targets, scopes


def _outcomes(old: Judge, new: Judge, found: Found, other: Found, label: str | None) -> tuple[Outcome, Outcome]:
    masks: list[int | None] = []
    problem: InvalidArgument | None = None
    for judge in (old, new):
        try:
            masks.append(0 if label is None else judge.policy.lattice.mask_of_text(label))
        except InvalidArgument as error:
            masks.append(None)
            problem = error
    low, high = masks
    if low is None and high is None:
        raise InvalidArgument(f"the inventory has objects labelled `{label}`, which neither policy knows: {problem}")
    before = UNKNOWN if low is None else old.of(found, low)
    return before, UNKNOWN if high is None else new.of(other, high)


def _unseen(old: Policy, new: Policy, rows: Iterable[Row], *, every_label: bool, every_rule: bool) -> Iterable[str]:
    """Yield what differs and was not compared."""
    strangers = [row.label for row in rows if row.verdict is None]
    if strangers:
        yield f"only one of the policies knows {_some(strangers)}: what carries these labels cannot be compared"
    changed = changed_rules(old.book, new.book)
    if changed:
        names = _some(dict.fromkeys(rule.id for rule in changed))
        yield f"the rules {names} differ: of keys that no inventory holds, only samples were compared"
    if not every_rule:
        yield "there are more rules that differ than sample keys are made for"
    if not every_label and (old.digest != new.digest or old.world.catalogue != new.world.catalogue):
        yield f"there are more labels than the {LABELS_MAX} that were compared"


def _notes(old: Policy, new: Policy, classes: Iterable[Class]) -> Iterable[str]:
    """Yield what a reader has to know to read the numbers rightly."""
    if any(rule.content for policy in (old, new) for rule in policy.book.rules):
        yield "rules look at content, which an inventory does not hold: what they once found is in the stored labels"
    if old.book.always != new.book.always:
        yield "the `always` invariants differ: they decide nothing, `sovbroker policy check` proves them"
    known = {target.id for policy in (old, new) for target in policy.world.targets}
    strange = sorted({target for own in classes for target in own.targets if target not in known})
    if strange:
        yield f"objects lie at {_some(strange)}, which neither policy was given: they comply nowhere there"
    for which in ("old", "new"):
        lost = [own for own in classes if not getattr(own.verdict, which).label]
        if lost:
            names = _some(dict.fromkeys(str(own.label) for own in lost))
            yield f"the {which} policy does not know {names} and refuses what carries it: {total(lost).objects} objects"


def _some(names: Iterable[str]) -> str:
    """List names, the first few of many."""
    listed = list(names)
    first = ", ".join(f"`{name}`" for name in listed[:FEW])
    return first if len(listed) <= FEW else f"{first} and {len(listed) - FEW} more"
