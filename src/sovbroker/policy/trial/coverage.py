"""Coverage: which parts of a policy some case exercises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sovbroker.document import Place
from sovbroker.policy.decision import Decision, Operation
from sovbroker.policy.documents import Work
from sovbroker.policy.policy import Policy
from sovbroker.policy.rulebook import Invariant, Requirement, Rulebook, Waiver
from sovbroker.policy.table import Option, Placing, Scope, Table
from sovbroker.policy.trial.spots import Spots
from sovbroker.policy.trial.suite import Case
from sovbroker.policy.trial.weakening import impossible

__all__ = ["Coverage", "Exercise", "Portion", "exercise", "measure", "portions", "tags"]


@dataclass(frozen=True, slots=True)
class Portion:
    """A part of a policy that cases should exercise: a rule, an alternative, a waiver or an invariant.

    `key` tells it from all others; `hint` says which case would exercise it.
    """

    key: tuple[str, ...]
    name: str
    hint: str
    place: Place = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What cases exercise: how many of the parts, and those that no case does."""

    total: int
    uncovered: tuple[Portion, ...]

    @property
    def covered(self) -> int:
        """How many parts some case exercises."""
        return self.total - len(self.uncovered)

    @property
    def share(self) -> float:
        """Which share of the parts that is; 1 where there are none."""
        return self.covered / self.total if self.total else 1.0


@dataclass(frozen=True, slots=True)
class Exercise:
    """What one case exercises (`keys`), and the names of what its outcome depends on (`tags`)."""

    keys: frozenset[tuple[str, ...]]
    tags: frozenset[str]


def portions(book: Rulebook, spots: Spots) -> tuple[Portion, ...]:
    """Return every part of a policy that cases should exercise, in a fixed order."""
    return (*_rules(book, spots), *_alternatives(book, spots), *_waivers(book, spots), *_invariants(book, spots))


def measure(wanted: Sequence[Portion], found: Iterable[Exercise]) -> Coverage:
    """Return which of the parts were exercised."""
    keys = frozenset[tuple[str, ...]]().union(*(own.keys for own in found))
    return Coverage(len(wanted), tuple(portion for portion in wanted if portion.key not in keys))


def tags(element: str = "", *, rule: str = "", zone: str = "", waiver: str = "") -> frozenset[str]:
    """Return the names by which a change of the policy finds the cases that are most likely to notice it."""
    pairs = (("element", element), ("rule", rule), ("zone", zone), ("waiver", waiver))
    return frozenset(f"{kind} {name}" for kind, name in pairs if name)


def exercise(policy: Policy, case: Case, decision: Decision) -> Exercise:
    """Return what a case exercises. `decision` is what the policy says to it."""
    return _Reader(policy, case, decision).read()


def _rules(book: Rulebook, spots: Spots) -> Iterator[Portion]:
    for rule in book.rules:
        hint = "add a case with an object that it matches, and expect its label"
        yield Portion(("rule", rule.id), f"rule `{rule.id}`", hint, spots.rule(rule.id))


def _alternatives(book: Rulebook, spots: Spots) -> Iterator[Portion]:
    for element, found in book.requirements.items():
        for index, requirement in enumerate(found):
            for way in requirement.store or ():
                if impossible(book.zones[way.zone]):
                    continue
                yield Portion(
                    ("store", element, str(index), way.zone),
                    f"`{way.zone}` under `store` of {requirement.title}",
                    f"add a case with an object labelled `{element}` and a target that complies by `{way.zone}`",
                    spots.requirement(requirement, "store", way.zone),
                )


def _waivers(book: Rulebook, spots: Spots) -> Iterator[Portion]:
    for waiver in book.waivers:
        hint = f"add a case under `{waiver.path.text}` with a target that complies by the waiver, before its end"
        yield Portion(("waiver", waiver.id), f"waiver `{waiver.id}`", hint, spots.waiver(waiver.id))


def _invariants(book: Rulebook, spots: Spots) -> Iterator[Portion]:
    for invariant in book.always:
        label = book.lattice.label(invariant.mask)
        hint = f"add a case with an object labelled `{label}` and a target that the invariant is about"
        yield Portion(("always", invariant.id), f"invariant `{invariant.id}`", hint, spots.invariant(invariant.id))


class _Reader:
    def __init__(self, policy: Policy, case: Case, decision: Decision) -> None:
        self.book = policy.book
        self.decision = decision
        self.compute = decision.operation is Operation.COMPUTE
        doc = case.doc
        found = policy.classify(
            str(doc.key),
            label=None if doc.label is None else str(doc.label),
            metadata={str(name): str(value) for name, value in doc.meta.items()},
            stored=case.stored,
            scan=case.scan,
        )
        self.mask = found.mask
        self.waivers = 0
        for number, waiver in enumerate(self.book.waivers):
            if waiver.id in found.waivers and waiver.mask & self.mask == self.mask:
                self.waivers |= 1 << number
        self.table: Table = policy.table(case.at.toordinal())
        self.placing: Placing = self.table.place(Scope(self.mask, self.waivers, self.compute))
        self.elements = self.book.lattice.elements(self.mask)

    def read(self) -> Exercise:
        rules = [name for name in self.decision.rules if name != "default"]
        keys = {("rule", name) for name in rules}
        keys |= {("waiver", waiver.id) for waiver in self._used()}
        keys |= {("always", invariant.id) for invariant in self.book.always if self._concerns(invariant)}
        found: set[tuple[str, ...]] = {*keys}
        marks: set[str] = set()
        for name in rules:
            marks |= tags(rule=name)
        for number, waiver in enumerate(self.book.waivers):
            if self.waivers >> number & 1:
                marks |= tags(waiver=waiver.id)
        for element in self.elements:
            marks |= tags(element)
            for index, requirement in enumerate(self.book.requirements.get(element, ())):
                for zone in requirement.compute or () if self.compute else self._zones(requirement):
                    marks |= tags(zone=zone)
                if not self.compute:
                    found |= {("store", element, str(index), zone) for zone in self._taken(requirement)}
        return Exercise(frozenset(found), frozenset(marks))

    @staticmethod
    def _zones(requirement: Requirement) -> Iterator[str]:
        for way in requirement.store or ():
            yield way.zone
            yield from way.mode.keys

    def _taken(self, requirement: Requirement) -> Iterator[str]:
        """Yield the zones by which some target that complies meets a requirement, by the least of its modes there."""
        for option in self.placing.ranked:
            mode = self.table.mode(option.code)
            here = [way for way in requirement.store or () if self._inside(way.zone, option) and way.mode <= mode]
            for way in here:
                if not any(other.mode != way.mode and other.mode <= way.mode for other in here):
                    yield way.zone

    def _inside(self, zone: str, option: Option) -> bool:
        return bool(self.table.zones[zone] >> option.target & 1)

    def _used(self) -> Iterator[Waiver]:
        bits = 0
        for option in self.placing.ranked:
            bits |= option.waivers
        for number, waiver in enumerate(self.book.waivers):
            if bits >> number & 1:
                yield waiver

    def _concerns(self, invariant: Invariant) -> bool:
        """Whether an invariant is about the label and the work of this case, and about some target."""
        work = Work.COMPUTE if self.compute else Work.STORE
        if work not in invariant.operations or invariant.mask & self.mask != invariant.mask:
            return False
        region = (1 << len(self.table.world.targets)) - 1
        for zone in invariant.inside:
            region &= self.table.zones[zone]
        for zone in invariant.outside:
            region &= ~self.table.zones[zone]
        return region != 0
