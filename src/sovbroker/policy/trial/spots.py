"""Where a policy says what a finding of its test is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sovbroker.document import MapNode, Node, Place, Source, Word
from sovbroker.policy.rulebook import Requirement
from sovbroker.policy.sources import Part

__all__ = ["Spots"]


@dataclass(frozen=True, slots=True)
class Spots:
    """Finds places in the files of a policy: the most precise one that there is."""

    parts: Sequence[Part]

    @property
    def nowhere(self) -> Place:
        """The top of the file that was asked for."""
        return self.parts[0].node.place if self.parts else Place(Source("policy", ()), 1, 1)

    def rule(self, name: str) -> Place:
        """Where a classification rule is."""
        return self._first(doc.id for part in self.parts for doc in part.document.classify if doc.id == name)

    def waiver(self, name: str) -> Place:
        """Where a waiver is."""
        return self._first(doc.id for part in self.parts for doc in part.document.waivers if doc.id == name)

    def invariant(self, name: str) -> Place:
        """Where an invariant is."""
        return self._first(doc.id for part in self.parts for doc in part.document.always if doc.id == name)

    def at(self, *keys: str) -> Place:
        """Where the last of these keys is that some file has, each within the one before."""
        return self._deepest(self.parts, keys)

    def requirement(self, requirement: Requirement, *keys: str) -> Place:
        """Where a requirement is, or one of its keys: in the file that says the same, where several demand something.

        Of files that say the same, the first.
        """
        alike = [part for part in self.parts if _says(part, requirement)]
        return self._deepest(alike or self.parts, ("require", requirement.element, *keys))

    def _first(self, words: Iterable[Word]) -> Place:
        return next((word.place for word in words), self.nowhere)

    def _deepest(self, parts: Sequence[Part], keys: Sequence[str]) -> Place:
        best, depth = self.nowhere, 0
        for part in parts:
            node: Node | None = part.node
            for level, key in enumerate(keys, 1):
                if not isinstance(node, MapNode):
                    break
                word = next((own for own, _ in node.entries if own == key), None)
                if word is None:
                    break
                if level > depth:
                    best, depth = word.place, level
                node = node.get(key)
        return best


def _says(part: Part, requirement: Requirement) -> bool:
    """Whether a file demands this of its element."""
    for element, doc in part.document.require.items():
        if element == requirement.element:
            zones = None if doc.store is None else {str(zone) for zone in doc.store}
            own = None if requirement.store is None else {way.zone for way in requirement.store}
            return zones == own and str(doc.basis) == requirement.basis
    return False
