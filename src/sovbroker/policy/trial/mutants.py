"""Mutants: a policy with one thing weaker or gone. A suite that does not notice would not notice the mistake either.

What cannot make a difference is left out, as far as that is cheap to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from sovbroker.document import Place
from sovbroker.labels import Label, Lattice
from sovbroker.policy.rulebook import Rule, Rulebook, Waiver
from sovbroker.policy.sources import Part
from sovbroker.policy.trial import altering, weakening
from sovbroker.policy.trial.coverage import tags
from sovbroker.policy.trial.spots import Spots

__all__ = ["Mutant", "category_mutants", "default_mutants", "rule_mutants", "waiver_bounds"]

Change = Callable[[Rulebook], Rulebook]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: how it is called, which case would notice it, where it is, and the rulebook that it makes of one.

    `touches` are the tags of the cases that may notice; `bears` tells that an invariant may notice, too.
    """

    name: str
    hint: str
    place: Place = field(compare=False, repr=False)
    change: Change = field(compare=False, repr=False)
    touches: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    bears: bool = field(default=True, compare=False, repr=False)


def rule_mutants(book: Rulebook, spots: Spots) -> Iterator[Mutant]:
    """Yield a policy without each rule, with a lower label of each, without each of several conditions."""
    for rule in book.rules:
        label = book.lattice.label(rule.mask)
        found: list[tuple[str, str, Rule | None]] = [
            (f"without the rule `{rule.id}`", f"add a case that it matches, and expect `rules: [{rule.id}]`", None)
        ]
        for mask in weakening.lower_labels(book.lattice, rule.mask):
            change = f"rule `{rule.id}` with the label `{book.lattice.label(mask)}` in place of `{label}`"
            hint = f"add a case that this rule alone matches, and expect the label `{label}`"
            found.append((change, hint, replace(rule, mask=mask)))
        found += _looser(rule)
        for name, hint, changed in found:
            yield Mutant(
                name,
                hint,
                spots.rule(rule.id),
                partial(altering.with_rule, name=rule.id, rule=changed),
                tags(rule=rule.id),
                bears=False,
            )


def _looser(rule: Rule) -> Iterator[tuple[str, str, Rule]]:
    """Yield a rule without each of its conditions, where one is left, and with a higher `min`."""
    conditions = (rule.path is not None) + len(rule.meta) + (rule.content is not None)
    hint = f"add a case that meets the other conditions of `{rule.id}`, and expect that it does not match"
    if conditions > 1:
        if rule.path is not None:
            yield f"rule `{rule.id}` without its `path`", hint, replace(rule, path=None)
        for pair in rule.meta:
            rest = tuple(own for own in rule.meta if own != pair)
            yield f"rule `{rule.id}` without `{pair[0]}` under `meta`", hint, replace(rule, meta=rest)
        if rule.content is not None:
            yield f"rule `{rule.id}` without its `content`", hint, replace(rule, content=None)
    if rule.content is not None:
        least = rule.content.least
        more = replace(rule, content=replace(rule.content, least=least + 1))
        exact = f"add a case whose `content` holds {least} findings of `{rule.content.detector}`, and expect the rule"
        yield f"rule `{rule.id}` with `min: {least + 1}` in place of {least}", exact, more


def default_mutants(book: Rulebook, spots: Spots) -> Iterator[Mutant]:
    """Yield a policy with each weaker default."""
    label = book.lattice.label(book.default)
    for mask in weakening.lower_labels(book.lattice, book.default):
        yield Mutant(
            f"the default label `{book.lattice.label(mask)}` in place of `{label}`",
            f"add a case that no rule matches, and expect the label `{label}`",
            spots.at("default"),
            partial(altering.with_default, mask=mask),
            tags(rule="default"),
            bears=False,
        )


def category_mutants(book: Rulebook, parts: Sequence[Part], spots: Spots) -> Iterator[Mutant]:
    """Yield a policy without each implication and each minimum of a category that its files declare."""
    spelling = altering.Spelling(parts)
    declared = {str(name) for part in parts for name in part.document.categories}
    lattice = book.lattice
    for name in sorted(declared & set(lattice.categories)):
        category = lattice.categories[name]
        found = [
            (f"without implying `{other}`", "implies", replace(category, implies=category.implies - {other}))
            for other in sorted(category.implies)
        ]
        if category.minimum is not None:
            found.append((f"without `minimum: {category.minimum}`", "minimum", replace(category, minimum=None)))
        for change, key, changed in found:
            other = Lattice(lattice.levels, {**lattice.categories, name: changed}, lattice.aliases)
            if other.mask_of_text(name) == lattice.mask_of_text(name):
                continue  # something else that it implies brings the same
            yield Mutant(
                f"category `{name}` {change}",
                f"add a case with the caller's `label: {name}`, and expect the label `{lattice.parse(name)}`",
                spots.at("categories", name, key),
                partial(altering.with_lattice, lattice=other, spelling=spelling),
                tags(name),
            )


def waiver_bounds(book: Rulebook, spots: Spots) -> Iterator[Mutant]:
    """Yield a policy without each waiver, and with a waiver for higher labels and for other categories."""
    for waiver in book.waivers:
        label = book.lattice.label(waiver.mask)
        hint = f"add a case under `{waiver.path.text}`, before {waiver.expires}, and expect `waiver: {waiver.id}`"
        yield _waived(waiver, None, f"without the waiver `{waiver.id}`", hint, spots)
        for mask in _wider(book, waiver.mask):
            wider = book.lattice.label(mask)
            hint = f"add a case under `{waiver.path.text}` labelled `{wider}`, and expect what holds without the waiver"
            name = f"waiver `{waiver.id}` up to `{wider}` in place of `{label}`"
            yield _waived(waiver, replace(waiver, mask=mask), name, hint, spots)


def _waived(waiver: Waiver, changed: Waiver | None, name: str, hint: str, spots: Spots) -> Mutant:
    change = partial(altering.with_waiver, name=waiver.id, waiver=changed)
    return Mutant(name, hint, spots.waiver(waiver.id), change, tags(waiver=waiver.id))


def _wider(book: Rulebook, mask: int) -> Iterator[int]:
    """Yield a higher bound: of the next level, and with every other category. One that would not load is left out."""
    lattice = book.lattice
    label, levels = lattice.label(mask), list(lattice.levels)
    above = levels[levels.index(label.level) + 1 :]
    if above and not _firm(book, higher := lattice.mask(Label(above[0], label.categories))):
        yield higher
    more = mask
    for name in sorted(set(lattice.categories) - label.categories):
        joined = mask | lattice.mask_of_text(name)
        if lattice.label(joined).level == label.level and not _firm(book, joined):
            more |= joined
    if more != mask:
        yield more


def _firm(book: Rulebook, mask: int) -> bool:
    """Whether a label includes what cannot be waived."""
    found: Iterable[str] = book.lattice.elements(mask)
    return any(not r.waivable and r.store is not None for name in found for r in book.requirements.get(name, ()))
