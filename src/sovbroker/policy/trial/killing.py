"""Running cases against mutants: which of them some case, or some invariant, notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from sovbroker.document import Place
from sovbroker.policy.policy import Policy
from sovbroker.policy.rulebook import Rulebook
from sovbroker.policy.sources import Part
from sovbroker.policy.table import World
from sovbroker.policy.trial.coverage import Exercise
from sovbroker.policy.trial.demands import requirement_mutants, waived_mutants, zone_mutants
from sovbroker.policy.trial.everywhere import Everywhere
from sovbroker.policy.trial.expecting import decide, failures
from sovbroker.policy.trial.mutants import Mutant, category_mutants, default_mutants, rule_mutants, waiver_bounds
from sovbroker.policy.trial.spots import Spots
from sovbroker.policy.trial.suite import Case, Suite

__all__ = ["Kill", "Mutation", "judge_over", "mutants", "mutate"]


@dataclass(frozen=True, slots=True)
class Kill:
    """A mutant that was noticed, and the case or the invariant that noticed it."""

    mutant: Mutant
    by: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """What became of every mutant."""

    killed: tuple[Kill, ...]
    survivors: tuple[Mutant, ...]

    @property
    def total(self) -> int:
        """How many mutants there were."""
        return len(self.killed) + len(self.survivors)

    @property
    def score(self) -> float:
        """Which share of them was noticed; 1 where there were none."""
        return len(self.killed) / self.total if self.total else 1.0


def mutants(book: Rulebook, parts: Sequence[Part]) -> tuple[Mutant, ...]:
    """Return every mutant of a policy, in a fixed order."""
    spots = Spots(parts)
    return (
        *zone_mutants(book, spots),
        *requirement_mutants(book, spots),
        *category_mutants(book, parts, spots),
        *rule_mutants(book, spots),
        *default_mutants(book, spots),
        *waiver_bounds(book, spots),
        *waived_mutants(book, spots),
    )


def judge_over(book: Rulebook, world: World, day: date, parts: Sequence[Part] = ()) -> Policy:
    """Return a policy over a world, on a clock that stands still."""
    now = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return Policy(book, world, clock=lambda: now, parts=parts)


def mutate(
    book: Rulebook,
    suite: Suite,
    parts: Sequence[Part],
    exercises: Sequence[Exercise],
    *,
    counts: Callable[[Place], bool],
) -> Mutation:
    """Try every mutant of a place that counts.

    `exercises` are what the cases exercise, in their order; every case passes without a change.
    """
    killer = _Killer(book, suite, exercises)
    killed: list[Kill] = []
    survivors: list[Mutant] = []
    for mutant in (found for found in mutants(book, parts) if counts(found.place)):
        by = killer.kills(mutant)
        if by:
            killed.append(Kill(mutant, by))
        elif by is not None:
            survivors.append(mutant)
    return Mutation(tuple(killed), tuple(survivors))


class _Killer:
    def __init__(self, book: Rulebook, suite: Suite, exercises: Sequence[Exercise]) -> None:
        self.book = book
        self.suite = suite
        self.day = suite.day or date.min
        self.marked = [(case, own.tags) for case, own in zip(suite.cases, exercises, strict=True)]
        matched = {name for own in exercises for kind, name in (key[:2] for key in own.keys) if kind == "rule"}
        # A rule that matches no case can change none; only what it asks of content shows in the reasons.
        rules = tuple(rule for rule in book.rules if rule.id in matched or rule.content is not None)
        self.small = replace(book, rules=rules)

    def kills(self, mutant: Mutant) -> str | None:
        """Return the case or invariant that notices a mutant; "" when none does, None when nothing could."""
        policy = judge_over(mutant.change(self.small), self.suite.world, self.day)
        for case in self._likely_first(mutant):
            if any(failures(case, decide(policy, case))):
                return f"case `{case.id}`"
        if not mutant.bears:
            return ""
        everywhere = Everywhere.of(self.book, mutant.change(self.book), self.day)
        broken = everywhere.broken()
        if broken:
            return f"invariant `{broken}`"
        return None if everywhere.alike() else ""

    def _likely_first(self, mutant: Mutant) -> Iterator[Case]:
        yield from (case for case, tags in self.marked if tags & mutant.touches)
        yield from (case for case, tags in self.marked if not tags & mutant.touches)
