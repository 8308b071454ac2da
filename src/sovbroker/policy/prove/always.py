"""The `always` invariants: whether each holds at every possible target, and a smallest counterexample where not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from sovbroker.document import Findings
from sovbroker.policy import codes
from sovbroker.policy.documents import Work
from sovbroker.policy.inclusion import Undecided
from sovbroker.policy.mode import CLEAR, Mode
from sovbroker.policy.policy import Policy
from sovbroker.policy.prove.outcomes import Modes, Outcomes, Pick, bits
from sovbroker.policy.prove.places import Places
from sovbroker.policy.prove.possible import Possible
from sovbroker.policy.prove.samples import Sample, Samples
from sovbroker.policy.prove.traits import Traits
from sovbroker.policy.prove.writing import case_text
from sovbroker.policy.rulebook import Invariant
from sovbroker.policy.table import FIRST_ZONE, World

__all__ = ["Always", "Counterexample"]

TRIES = 64
"""How many violations are looked at, the simplest first, for one that an object shows."""


@dataclass(frozen=True, slots=True)
class Counterexample:
    """Why an invariant does not hold: a label, a target that there could be, and the mode in which it goes there.

    `holder` are the facts of the one key service that there is, None where it takes none. `sample` is an object that
    carries the label, and `case` is a cases file with it, which fails until the invariant holds; None and "" where no
    object was found.
    """

    invariant: str
    label: str
    operation: Work
    target: Traits
    mode: Mode
    waivers: tuple[str, ...] = ()
    holder: Traits | None = None
    sample: Sample | None = None
    case: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {
            "invariant": self.invariant,
            "label": self.label,
            "operation": self.operation.value,
            "target": {"id": "" if self.target.name is None else self.target.name.id, **self.target.to_dict()},
            "mode": self.mode.to_dict(),
            "waivers": list(self.waivers),
            "keys": None if self.holder is None else self.holder.to_dict(),
            "case": self.case,
        }

    def __str__(self) -> str:
        """Say it in a sentence."""
        what = "computed on" if self.operation is Work.COMPUTE else f"stored {self.mode}"
        name = self.target.name
        where = "any target"
        if name is not None and not name.fresh:
            where = f"`{name.id}`" if name.single else f"any target of `{name.provider}`"
        under = f", by waiver {' and '.join(self.waivers)}" if self.waivers else ""
        return f"`{self.label}` may be {what} at {where}, {self.target}{under}"


@dataclass(frozen=True, slots=True)
class _Violation:
    mask: int
    index: int
    operation: Work
    pick: Pick


@dataclass(frozen=True, slots=True)
class Always:
    """Proves invariants over every possible target, for labels."""

    policy: Policy
    outcomes: Outcomes
    possible: Possible
    labels: Sequence[int]
    places: Places
    at: date

    def run(self, findings: Findings) -> tuple[Counterexample, ...]:
        """Return a counterexample for each invariant that does not hold."""
        samples = Samples(self.policy)
        found: list[Counterexample] = []
        for invariant in self.policy.book.always:
            example = self._smallest(invariant, samples)
            if example is not None:
                found.append(example)
                help_text = "the case below fails until it holds; put it in a cases file" if example.case else ""
                findings.error(
                    codes.ALWAYS_VIOLATED,
                    self.places.invariant(invariant.id),
                    f"invariant `{invariant.id}` does not hold: {example}",
                    help_text,
                )
            elif not self.possible.complete:
                findings.error(
                    codes.ALWAYS_VIOLATED,
                    self.places.invariant(invariant.id),
                    f"invariant `{invariant.id}` is not proved: there are too many kinds of targets to look at",
                    "ask about fewer lists of countries, schemes or names",
                )
        return tuple(found)

    def _smallest(self, invariant: Invariant, samples: Samples) -> Counterexample | None:
        """Return the counterexample with the fewest facts, then the lowest label; one that can be shown, if any can."""
        best: Counterexample | None = None
        for number, violation in enumerate(self._violations(invariant)):
            if number == TRIES and best is not None:
                break
            covering = self.outcomes.covering(violation.mask) if violation.operation is Work.STORE else 0
            try:
                sample = samples.find(violation.mask, violation.pick.waivers, covering)
            except Undecided:
                sample = None
            else:
                if sample is None and violation.pick.waivers:
                    # No object of this label is in the scope of these waivers, so that nothing is violated.
                    continue
            example = self._example(invariant, violation)
            if sample is not None:
                for keys in self._key_services(example, invariant):
                    if self._shown(example, sample, keys):
                        text = case_text(_told(example, sample, keys, invariant), self.at)
                        return replace(example, sample=sample, case=text)
            best = best or example
        return best

    def _violations(self, invariant: Invariant) -> Iterator[_Violation]:
        """Return the violations, those without waivers and with the fewest facts first, then by label."""
        zones = self.outcomes.table.zones
        region = (1 << len(self.possible.targets)) - 1
        for name in invariant.inside:
            region &= zones[name]
        for name in invariant.outside:
            region &= ~zones[name]
        found: list[_Violation] = []
        for mask in self.labels:
            if mask & invariant.mask == invariant.mask:
                found += self._of_label(mask, invariant, region)
        kinds = self.possible.targets
        found.sort(
            key=lambda v: (
                v.pick.waivers.bit_count(),
                kinds[v.index].traits.cost + self._holder_cost(v.pick),
                v.mask.bit_count(),
                v.mask,
                v.index,
                v.operation,
                v.pick.code,
            )
        )
        return iter(found)

    def _holder_cost(self, pick: Pick) -> int:
        return 0 if pick.holder is None else self.possible.holders[pick.holder].traits.cost

    def _of_label(self, mask: int, invariant: Invariant, region: int) -> Iterator[_Violation]:
        demand = None if invariant.demand is None else self.outcomes.table.code(invariant.demand)

        def short(code: int) -> bool:
            return demand is None or code & demand != demand

        if Work.STORE in invariant.operations:
            waivers = self.outcomes.covering(mask)
            by_modes: dict[Modes, int] = dict(self.outcomes.store(mask, waivers))
            for modes, members in by_modes.items():
                if members & region:
                    index = next(bits(members & region))
                    for pick in self.outcomes.picks(modes):
                        if short(pick.code):
                            yield _Violation(mask, index, Work.STORE, pick)
        if Work.COMPUTE in invariant.operations:
            hit = self.outcomes.compute(mask) & region
            if hit and short(0):
                yield _Violation(mask, next(bits(hit)), Work.COMPUTE, Pick(0, 0, None))

    def _example(self, invariant: Invariant, violation: _Violation) -> Counterexample:
        pick, book = violation.pick, self.policy.book
        return Counterexample(
            invariant=invariant.id,
            label=str(self.policy.lattice.label(violation.mask)),
            operation=violation.operation,
            target=self.possible.targets[violation.index].traits,
            mode=self.outcomes.table.mode(pick.code),
            waivers=tuple(w.id for number, w in enumerate(book.waivers) if pick.waivers >> number & 1),
            holder=None if pick.holder is None else self.possible.holders[pick.holder].traits,
        )

    def _key_services(self, example: Counterexample, invariant: Invariant) -> Iterator[Traits | None]:
        """Yield the key service to show a counterexample with: first those that the mode which is due could have."""
        due = self.outcomes.table.code(example.mode | (invariant.demand or CLEAR))
        for index in bits(self.outcomes.table.keys(due) if due >> FIRST_ZONE else 0):
            yield self.possible.holders[index].traits
        yield example.holder

    def _shown(self, example: Counterexample, sample: Sample, keys: Traits | None) -> bool:
        """Whether a policy over that one target and key service decides as the counterexample says."""
        target = example.target.target()
        holders = [] if keys is None else [keys.holder()]
        now = datetime(self.at.year, self.at.month, self.at.day, tzinfo=UTC)
        policy = Policy(self.policy.book, World.of([target], holders, catalogue="possible"), clock=lambda: now)
        decision = policy.decide(
            sample.key,
            label=example.label,
            metadata=sample.meta,
            operation="compute" if example.operation is Work.COMPUTE else "put",
        )
        return any(
            c.target == target.id and c.mode == example.mode for c in (*decision.targets, *decision.alternatives)
        )


def _told(example: Counterexample, sample: Sample, keys: Traits | None, invariant: Invariant) -> dict[str, object]:
    """Return a cases file: what should be so, and is not."""
    target = example.target.target().id
    case: dict[str, object] = {"id": invariant.id, "about": f"the invariant, where {example}", "key": sample.key}
    if sample.meta:
        case["meta"] = dict(sample.meta)
    case["label"] = example.label
    if example.operation is Work.COMPUTE:
        case["operation"] = "compute"
    if invariant.demand is None:
        case["expect"] = {"excludes": [target]}
    else:
        case["expect"] = {"modes": {target: _spelled(example.mode | invariant.demand)}}
    told: dict[str, object] = {"targets": {target: example.target.to_dict()}}
    if keys is not None:
        told["keys"] = {keys.holder().id: keys.to_dict()}
    told["cases"] = [case]
    return told


def _spelled(mode: Mode) -> dict[str, object]:
    """Return a mode as a policy spells it."""
    found: dict[str, object] = {}
    if mode.sealed:
        found["encrypt"] = "client"
    if mode.names_encrypted:
        found["names"] = "encrypt"
    if mode.keys:
        found["keys"] = sorted(mode.keys)
    return found
