"""The proof as a whole: what was looked at, what holds, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date

from sovbroker.document import Findings
from sovbroker.errors import Diagnostic
from sovbroker.policy import codes
from sovbroker.policy.policy import Policy
from sovbroker.policy.prove.advice import Advice
from sovbroker.policy.prove.always import Always, Counterexample
from sovbroker.policy.prove.copies import Copies
from sovbroker.policy.prove.labels import Reached, every, generators, reachable
from sovbroker.policy.prove.monotone import first_gain
from sovbroker.policy.prove.outcomes import Outcomes
from sovbroker.policy.prove.places import Places
from sovbroker.policy.prove.possible import possible
from sovbroker.policy.prove.timeline import Loss, Timeline
from sovbroker.policy.table import Table, World

__all__ = ["Proof", "prove"]


@dataclass(frozen=True, slots=True)
class Proof:
    """What is proved of a policy on the day `at`.

    `diagnostics` are findings with their places, errors first. `counterexamples` show the invariants that do not hold,
    and `dark` the targets that labels lose on later days, by day. `any_keys` tells that key services were taken to be
    wherever keys have to be. `numbers` say how much was looked at: labels (every
    label of the lattice, if `every_label`, else joins of those that objects carry), reachable labels, possible targets
    and key services (all kinds, if `complete`), targets of the policy's own, epochs and invariants.
    """

    policy: str
    digest: str
    at: date
    numbers: Mapping[str, int]
    every_label: bool
    complete: bool
    any_keys: bool = False
    diagnostics: tuple[Diagnostic, ...] = ()
    counterexamples: tuple[Counterexample, ...] = ()
    dark: tuple[Loss, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether everything that was to be proved is proved; warnings may remain."""
        return not any(found.severity == "error" for found in self.diagnostics)

    def to_dict(self) -> dict[str, object]:
        """Return the proof as JSON types, in a stable order."""
        return {
            "policy": self.policy,
            "digest": self.digest,
            "at": self.at.isoformat(),
            "holds": self.holds,
            "every_label": self.every_label,
            "complete": self.complete,
            "any_keys": self.any_keys,
            "numbers": dict(self.numbers),
            "diagnostics": [asdict(found) for found in self.diagnostics],
            "counterexamples": [example.to_dict() for example in self.counterexamples],
            "dark": [loss.to_dict() for loss in self.dark],
        }

    def __str__(self) -> str:
        """Print for people: what was looked at, what holds of it, what does not, and what time will take away."""
        numbers = self.numbers
        which = "every label" if self.every_label else "joins of the labels that objects carry, not every label"
        kinds = "every kind of target" if self.complete else "the simplest kinds of targets only"
        keys = "; with key services wherever keys have to be" if self.any_keys else ""
        lines = [f"{'proved' if self.holds else 'NOT proved'} for {_size(numbers)}", f"  ({which}; {kinds}{keys})"]
        failed = {found.code for found in self.diagnostics if found.severity == "error"}
        for code, claim in (
            (codes.NO_PLACEMENT, f"every reachable label ({numbers['reachable_labels']}) has a placement"),
            (codes.ALWAYS_VIOLATED, f"every invariant ({numbers['invariants']}) holds at every possible target"),
            (codes.NOT_MONOTONE, "a stricter label never gains a target nor a lesser mode"),
            (codes.UNSATISFIABLE, "there could be targets for all copies"),
        ):
            lines.append(f"  {'no: ' if code in failed else 'yes:'} {claim}")
        for example in self.counterexamples:
            lines.append(f"counterexample to `{example.invariant}`: {example}")
            lines += [f"    {line}" for line in example.case.splitlines()]
        for loss in self.dark:
            stay = "1 target stays" if loss.left == 1 else f"{loss.left} targets stay"
            after = "has no placement" if loss.dark else stay
            lines.append(f"{loss.day}: `{loss.label}` loses {loss.target}, and {after}")
        return "\n".join(lines)


def _size(numbers: Mapping[str, int]) -> str:
    """Say how much was looked at."""
    sizes = (("labels", "label"), ("possible_targets", "possible target"), ("epochs", "epoch"))
    return " x ".join(f"{numbers[name]} {noun}{'' if numbers[name] == 1 else 's'}" for name, noun in sizes)


def prove(policy: Policy, *, at: date, any_keys: bool = False) -> Proof:
    """Prove what can be proved of a policy on the day `at`, by looking at every label and every kind of place.

    - Every label that objects carry has a placement in every epoch, over the policy's own targets.
    - Each `always` invariant holds at every target that there could be, with and without waivers.
    - A stricter label never gains a target, nor a lesser mode.
    - For as many copies as are demanded there could be targets.

    With `any_keys`, labels are placed as if there were a key service wherever one could be: for a policy that is looked
    at without the configuration that names them. What does not hold is in `Proof.diagnostics`. The same policy, facts
    and day have the same proof.
    """
    findings = Findings(codes.DOCUMENT_CODES)
    places = Places(policy)
    kinds = possible(policy.book, at)
    outcomes = Outcomes(Table(policy.book, kinds.world, since=at, until=None))
    reached = reachable(policy, places)
    labels, every_label = every(policy, reached)
    own = policy
    if any_keys:
        own = Policy(policy.book, World(policy.world.targets, kinds.world.holders, policy.world.catalogue))
    brought = tuple(Reached(policy.lattice.mask_of_text(name), place) for name, place in places.brought())
    timeline = Timeline(own, at, brought=brought)
    dark = timeline.run(reached, findings)
    examples = Always(policy, outcomes, kinds, labels, places, at).run(findings)
    steps = generators(policy.lattice) if every_label else labels
    gain = first_gain(outcomes, labels, steps)
    if gain is not None:
        low, high = policy.lattice.label(gain.low), policy.lattice.label(gain.high)
        findings.error(
            codes.NOT_MONOTONE,
            places.nowhere,
            f"`{high}` may be {'stored' if gain.operation == 'store' else 'computed on'} with less than `{low}` at a "
            f"target {kinds.targets[gain.target].traits}",
            "this is a defect of sovbroker, not of the policy; report it",
        )
    Copies(outcomes, kinds, policy.lattice, places).run(reached, findings)
    advice = Advice(policy, places, findings)
    if kinds.complete:
        advice.alternatives(outcomes)
    advice.rules()
    advice.ranking(policy.table(at.toordinal()))
    advice.stars()
    return Proof(
        policy=policy.name,
        digest=policy.digest,
        at=at,
        numbers={
            "labels": len(labels),
            "reachable_labels": len(reached),
            "possible_targets": len(kinds.targets),
            "possible_key_services": len(kinds.holders),
            "targets": len(policy.world.targets),
            "epochs": timeline.epochs,
            "invariants": len(policy.book.always),
        },
        every_label=every_label,
        complete=kinds.complete,
        any_keys=any_keys,
        diagnostics=findings.diagnostics,
        counterexamples=examples,
        dark=dark,
    )
