"""Sensitivity labels: a level of a chain, with a set of categories.

`a <= b` iff the level of `a` is not above that of `b` and the categories of `a` are a subset; the join is
(highest level, union). Labels are values; what they mean is a `Lattice`, which a policy declares: the chain of levels,
the categories with what each implies, and aliases from other vocabularies.

A lattice also gives each label a bit mask, so that on the hot path join is `|` and dominance is `a & b == b`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sovbroker.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Category", "Label", "Lattice"]


@dataclass(frozen=True, slots=True)
class Label:
    """One label: `level` names a level of the chain, `categories` are regimes and compartments.

    `str()` is the canonical spelling, categories sorted: `restricted+health+personal`.
    """

    level: str
    categories: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Spell the label canonically."""
        return "+".join((self.level, *sorted(self.categories)))


@dataclass(frozen=True, slots=True)
class Category:
    """A regime or compartment. Carrying it implies the categories `implies` and at least the level `minimum`."""

    name: str
    implies: frozenset[str] = frozenset()
    minimum: str | None = None


@dataclass(frozen=True, slots=True)
class Lattice:
    """What labels mean: `levels` from low to high, `categories`, and `aliases` from other spellings.

    The mask of a label has one bit per level above the lowest (unary: the k-th level sets the k lowest bits) and one
    per category, so a lattice of n levels and m categories uses n - 1 + m bits.
    """

    levels: Sequence[str]
    categories: Mapping[str, Category] = field(default_factory=dict[str, Category])
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    _level_mask: dict[str, int] = field(init=False, repr=False, compare=False)
    _category_mask: dict[str, int] = field(init=False, repr=False, compare=False)
    _category_bit: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compute the masks; refuse a lattice that contradicts itself."""
        if not self.levels:
            raise InvalidArgument("a lattice needs at least one level")
        if len(set(self.levels)) != len(self.levels):
            raise InvalidArgument(f"a level is named twice in {list(self.levels)}")
        clash = set(self.levels) & set(self.categories)
        if clash:
            raise InvalidArgument(f"`{min(clash)}` is both a level and a category")
        level_mask = {name: (1 << rank) - 1 for rank, name in enumerate(self.levels)}
        base = len(self.levels) - 1
        bits = {name: 1 << (base + index) for index, name in enumerate(sorted(self.categories))}
        object.__setattr__(self, "_level_mask", level_mask)
        object.__setattr__(self, "_category_bit", bits)
        object.__setattr__(self, "_category_mask", {name: self._close(name, bits, level_mask) for name in bits})

    def _close(self, name: str, bits: Mapping[str, int], level_mask: Mapping[str, int]) -> int:
        """Return the bit of `name` joined with everything that it implies, directly or through others."""
        mask, pending, seen = 0, [name], set[str]()
        while pending:
            current = pending.pop()
            if current in seen:
                continue
            seen.add(current)
            if current not in bits:
                raise InvalidArgument(f"category `{name}` implies `{current}`, which is not a category")
            category = self.categories[current]
            mask |= bits[current]
            if category.minimum is not None:
                if category.minimum not in level_mask:
                    raise InvalidArgument(f"category `{current}` has the minimum `{category.minimum}`, not a level")
                mask |= level_mask[category.minimum]
            pending.extend(category.implies)
        return mask

    @property
    def top_level(self) -> str:
        """The strictest level."""
        return self.levels[-1]

    def parse(self, text: str) -> Label:
        """Read `level`, `level+category+…`, `category+…` (level: the lowest that the categories allow) or an alias.

        Implications are applied: the label returned is closed. Raises InvalidArgument with a suggestion for a name that
        the lattice does not know.
        """
        return self.label(self.mask_of_text(text))

    def mask_of_text(self, text: str) -> int:
        """Return the mask of a label's spelling; see `parse`."""
        mask, levels = 0, list[str]()
        for name in self._names(text):
            mask |= self._mask_of_name(name, text)
            if name in self._level_mask:
                levels.append(name)
        if len(levels) > 1:
            raise InvalidArgument(f"label `{text}` names two levels, `{levels[0]}` and `{levels[1]}`; a label has one")
        return mask

    def _names(self, text: str) -> Iterator[str]:
        """Yield the names that a spelling means: an alias may stand for the whole of it or for one of its parts."""
        for part in self.aliases.get(text.strip(), text).split("+"):
            for name in self.aliases.get(part.strip(), part).split("+"):
                yield name.strip()

    def _mask_of_name(self, name: str, text: str) -> int:
        mask = self._level_mask.get(name, self._category_mask.get(name))
        if mask is None:
            raise self._unknown(name, text)
        return mask

    def _unknown(self, name: str, text: str) -> InvalidArgument:
        known = [*self.levels, *self.categories, *self.aliases]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(known)}"
        where = "" if name == text else f" in `{text}`"
        return InvalidArgument(f"unknown label `{name}`{where}; {hint}")

    def mask(self, label: Label) -> int:
        """Return the mask of a label, closed under implications. Raises InvalidArgument for a name it does not know."""
        mask = self._mask_of_name(label.level, str(label))
        for name in label.categories:
            mask |= self._mask_of_name(name, str(label))
        return mask

    def label(self, mask: int) -> Label:
        """Return the label of a mask that this lattice made."""
        level = [name for name in self.levels if mask & (own := self._level_mask[name]) == own][-1]
        return Label(level, frozenset(name for name, bit in self._category_bit.items() if mask & bit))

    def join(self, labels: Iterable[Label]) -> Label:
        """Return the least label that dominates every one given; of none, the lowest label."""
        mask = 0
        for label in labels:
            mask |= self.mask(label)
        return self.label(mask)

    def dominates(self, high: Label, low: Label) -> bool:
        """Whether `low <= high`."""
        needed = self.mask(low)
        return self.mask(high) & needed == needed

    def elements(self, mask: int) -> tuple[str, ...]:
        """Return the names whose requirements the label of `mask` meets: levels up to its own, then categories."""
        own = self.label(mask)
        return (*self.levels[: list(self.levels).index(own.level) + 1], *sorted(own.categories))
