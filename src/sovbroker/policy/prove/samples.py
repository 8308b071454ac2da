"""Objects that carry a given label and are in the scope of given waivers: what a case of a counterexample is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sovbroker.policy.glob import Glob
from sovbroker.policy.inclusion import Undecided, witness
from sovbroker.policy.policy import Classification, Policy
from sovbroker.policy.rulebook import Rule

__all__ = ["Sample", "Samples"]

ROUNDS: Final = 24
"""How many patterns are avoided, one after another, before a search gives up."""

ANY: Final = Glob("**")


@dataclass(frozen=True, slots=True)
class Sample:
    """An object: its key and metadata."""

    key: str
    meta: Mapping[str, str] = field(default_factory=dict[str, str])


class Samples:
    """Finds objects. Each question is answered once."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._rules = {rule.id: rule for rule in policy.book.rules}
        self._waivers = {waiver.id: waiver for waiver in policy.book.waivers}
        self._known: dict[tuple[int, int, int], tuple[Sample | None, bool]] = {}

    def find(self, mask: int, waivers: int, covering: int) -> Sample | None:
        """Return an object that carries exactly a label, in the scope of `waivers` and of no other of `covering`.

        None when there is none: something else always matches, too. Raises Undecided where it was not found out.
        """
        asked = (mask, waivers, covering)
        if asked not in self._known:
            self._known[asked] = self._find(mask, waivers, covering)
        found, sure = self._known[asked]
        if not sure:
            raise Undecided
        return found

    def _find(self, mask: int, waivers: int, covering: int) -> tuple[Sample | None, bool]:
        """Return an object, and whether the answer is sure."""
        sure = True
        paths = [w.path for n, w in enumerate(self._policy.book.waivers) if waivers >> n & 1]
        excluded = {w.id for n, w in enumerate(self._policy.book.waivers) if (covering & ~waivers) >> n & 1}
        rules: list[Rule | None] = [r for r in self._policy.book.rules if r.mask & mask == r.mask]
        if self._policy.book.default & mask == self._policy.book.default:
            rules.append(None)
        for rule in rules:
            if rule is not None and rule.content is not None:
                # Its content would have to be made up; what looks at path and metadata alone is tried instead.
                sure = False
                continue
            try:
                found = self._search(mask, rule, paths, excluded)
            except Undecided:
                sure = False
                continue
            if found is not None:
                return found, True
        return None, sure

    def _search(self, mask: int, rule: Rule | None, paths: list[Glob], excluded: set[str]) -> Sample | None:
        """Return an object that a rule matches (None: that perhaps none does) and that nothing unwanted matches."""
        meta = {} if rule is None else dict(rule.meta)
        inside = [*([] if rule is None or rule.path is None else [rule.path]), *paths] or [ANY]
        outside: list[Glob] = []
        label = self._policy.lattice.label(mask)
        for _ in range(ROUNDS):
            key = witness(inside, outside, tidy=True) or witness(inside, outside)
            if key is None:
                return None
            found = self._policy.classify(key, label=label, metadata=meta)
            unwanted = self._unwanted(found, mask, excluded)
            if found.mask == mask and not unwanted:
                return Sample(key, meta)
            more = [path for path in unwanted if path is not None]
            if not more or len(more) < len(unwanted):
                return None
            outside += [path for path in more if path not in outside]
        raise Undecided

    def _unwanted(self, found: Classification, mask: int, excluded: set[str]) -> list[Glob | None]:
        """Return the patterns of what should not have matched; None for what matches whatever the key."""
        rules = [self._rules[name] for name in found.rules if name in self._rules]
        paths = [rule.path for rule in rules if rule.mask & mask != rule.mask]
        return paths + [self._waivers[name].path for name in found.waivers if name in excluded]
