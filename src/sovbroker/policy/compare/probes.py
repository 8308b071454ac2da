"""What can be compared without an inventory: every label, and sample keys for the rules and waivers that differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sovbroker.detect import Scan
from sovbroker.errors import InvalidArgument
from sovbroker.labels import Lattice
from sovbroker.policy.compare.outcome import Judge, Outcome
from sovbroker.policy.compare.verdict import Verdict, verdict
from sovbroker.policy.policy import Policy
from sovbroker.policy.rulebook import Rule, Rulebook
from sovbroker.policy.table import Scope

__all__ = ["LABELS_MAX", "Question", "Row", "Sample", "changed_rules", "labels", "samples"]

LABELS_MAX: Final = 512
"""How many labels are compared at most."""

COMBINATIONS_MAX: Final = 8192
SAMPLES_MAX: Final = 4096
NAME: Final = "zz~"
"""A name that is in no pattern: it matches a wildcard and nothing else."""


@dataclass(frozen=True, slots=True)
class Row:
    """One label, and what each policy says of it: None for a policy that does not know it."""

    label: str
    old: Outcome | None
    new: Outcome | None
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Question:
    """An object that was made up. `scan` is what its content would hold, None where no rule asks."""

    key: str
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    label: str | None = None
    scan: Scan | None = None

    def __str__(self) -> str:
        """Spell the object: its key, and whatever else matters."""
        parts = [f"`{self.key}`"]
        parts += [f"{name}={value}" for name, value in self.metadata.items()]
        parts += [f"{n} findings of {name}" for name, n in (self.scan.counts.items() if self.scan else ()) if n]
        parts += [f"labelled {self.label}"] if self.label else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Sample:
    """An object made from the pattern of a rule or waiver, and what changes for it."""

    question: Question
    verdict: Verdict


def labels(old: Judge, new: Judge, *, shared: frozenset[str]) -> tuple[tuple[Row, ...], bool]:
    """Return a row for every label whose parts matter to either policy, lowest first, and whether these are all."""
    rows: dict[tuple[int | None, int | None], Row] = {}
    for number, text in enumerate(_spellings(old.policy, new.policy)):
        masks = (_mask(old.policy.lattice, text), _mask(new.policy.lattice, text))
        if masks in rows or masks == (None, None):
            continue
        if len(rows) == LABELS_MAX or number >= COMBINATIONS_MAX:
            return _ordered(rows.values(), old, new), False
        rows[masks] = _row(text, old, new, *masks, shared=shared)
    return _ordered(rows.values(), old, new), True


def _row(text: str, old: Judge, new: Judge, low: int | None, high: int | None, *, shared: frozenset[str]) -> Row:
    before = None if low is None else old.of_label(low)
    after = None if high is None else new.of_label(high)
    found = None if before is None or after is None else verdict(before, after, shared=shared)
    spelled = {outcome.label for outcome in (before, after) if outcome is not None}
    return Row(spelled.pop() if len(spelled) == 1 else text, before, after, found)


def _ordered(rows: Iterable[Row], old: Judge, new: Judge) -> tuple[Row, ...]:
    chain = [*new.policy.lattice.levels, *old.policy.lattice.levels]

    def place(row: Row) -> tuple[int, int, str]:
        level, *categories = row.label.split("+")
        return chain.index(level), len(categories), row.label

    return tuple(sorted(rows, key=place))


def _spellings(old: Policy, new: Policy) -> Iterator[str]:
    levels = dict.fromkeys((*new.lattice.levels, *old.lattice.levels))
    for size in itertools.count():
        combinations = list(itertools.islice(itertools.combinations(_categories(old, new), size), COMBINATIONS_MAX))
        if not combinations:
            return
        for chosen in combinations:
            for level in levels:
                yield "+".join((level, *chosen))


def _categories(old: Policy, new: Policy) -> list[str]:
    """Return the categories of which anything depends, in either policy: all others change nothing."""
    found = set[str]()
    for policy in (old, new):
        known = set(policy.lattice.categories)
        found |= known & set(policy.book.requirements)
        for waiver in policy.book.waivers:
            found |= policy.lattice.label(waiver.mask).categories
    return sorted(found)


def _mask(lattice: Lattice, text: str) -> int | None:
    try:
        return lattice.mask_of_text(text)
    except InvalidArgument:
        return None


def samples(old: Judge, new: Judge, *, shared: frozenset[str]) -> tuple[tuple[Sample, ...], bool]:
    """Return the samples for which something changes, and whether every rule that differs was tried.

    Of those that both policies judge alike one stands for all.
    """
    found: dict[tuple[Scope, Scope], Sample] = {}
    asked = list(itertools.islice(_questions(old.policy, new.policy), SAMPLES_MAX + 1))
    for question in asked[:SAMPLES_MAX]:
        before, after = _outcome(old, question), _outcome(new, question)
        if before is None or after is None:
            continue
        scopes = before.scope, after.scope
        own = verdict(before, after, shared=shared)
        if not own.same and scopes not in found:
            found[scopes] = Sample(question, own)
    return tuple(found.values()), len(asked) <= SAMPLES_MAX


def _outcome(judge: Judge, question: Question) -> Outcome | None:
    label = 0 if question.label is None else _mask(judge.policy.lattice, question.label)
    return None if label is None else judge.of_object(question.key, question.metadata, label, question.scan)


def _questions(old: Policy, new: Policy) -> Iterator[Question]:
    """Yield objects that what differs applies to: for a rule, each way to fill its wildcards; the same for waivers."""
    yield Question(f"{NAME}/{NAME}")
    detectors = {r.content.detector for book in (old.book, new.book) for r in book.rules if r.content is not None}
    seen = set[object]()
    for rule in changed_rules(old.book, new.book):
        for key in keys_of(rule.path.segments if rule.path else ("**",)):
            if (key, rule.meta, rule.content) not in seen:
                seen.add((key, rule.meta, rule.content))
                yield Question(key, dict(rule.meta), None, _scan(rule, detectors))
    for policy in (old, new):
        for waiver in policy.book.waivers:
            for key in keys_of(waiver.path.segments):
                yield Question(key, label=str(policy.lattice.label(waiver.mask)))


def _scan(rule: Rule, detectors: Iterable[str]) -> Scan | None:
    """Return a scan that finds what a rule asks for, and nothing else."""
    if rule.content is None:
        return None
    return Scan({**dict.fromkeys(sorted(detectors), 0), rule.content.detector: rule.content.least})


def changed_rules(old: Rulebook, new: Rulebook) -> list[Rule]:
    """Return the rules that only one of two policies has, whatever they are called."""
    before, after = ({_sense(rule, book.lattice): rule for rule in book.rules} for book in (old, new))
    return [rule for sense, rule in (before | after).items() if (sense in before) != (sense in after)]


def _sense(rule: Rule, lattice: Lattice) -> tuple[object, ...]:
    return rule.path and rule.path.text, rule.meta, rule.content, str(lattice.label(rule.mask))


def keys_of(segments: Sequence[str]) -> Iterator[str]:
    """Yield keys that a pattern matches and, as far as can be, no other one."""
    ways = [_fillings(segment, last=index == len(segments) - 1) for index, segment in enumerate(segments)]
    for filled in itertools.islice(itertools.product(*ways), 8):
        key = "/".join(part for part in filled if part)
        if key:
            yield key


def _fillings(segment: str, *, last: bool) -> Sequence[str]:
    if segment == "**":
        return (NAME, f"{NAME}/{NAME}") if last else ("", NAME)
    return (segment.replace("*", NAME).replace("?", "~"),)
