"""Where a policy says something: the places in its files that findings point at."""

from __future__ import annotations

from collections.abc import Iterator

from sovbroker.document import MapNode, Place, Source, Word
from sovbroker.policy.documents import DocumentDoc
from sovbroker.policy.mode import Mode
from sovbroker.policy.policy import Policy
from sovbroker.policy.rulebook import Requirement
from sovbroker.policy.sources import Part

__all__ = ["Places"]


class Places:
    """Finds places. A policy that was made from a rulebook has no files: its findings name the policy alone."""

    def __init__(self, policy: Policy) -> None:
        self._parts = policy.parts
        self._book = policy.book
        self._nowhere = Place(Source(policy.name, ()), 1, 1)
        self._rules = {str(d.id): d.id.place for part in self._parts for d in part.document.classify}
        self._labels = {str(d.id): d.label.place for part in self._parts for d in part.document.classify}
        self._always = {str(d.id): d.id.place for part in self._parts for d in part.document.always}

    @property
    def root(self) -> Part | None:
        """The file that was asked for."""
        return self._parts[0] if self._parts else None

    @property
    def document(self) -> DocumentDoc | None:
        """What the file that was asked for says."""
        return self._parts[0].document if self._parts else None

    @property
    def nowhere(self) -> Place:
        """The place of what no file says."""
        return self._nowhere if self.root is None else self.root.node.place

    @property
    def default(self) -> Place:
        """Where the default label is said, or else the top level, which is then the default."""
        document = self.document
        if document is None:
            return self._nowhere
        if document.default is not None:
            return document.default.place
        return document.levels[-1].place if document.levels else self.nowhere

    @property
    def prefer(self) -> Place:
        """Where the order of preference is said."""
        document = self.document
        return document.prefer[0].place if document is not None and document.prefer else self.nowhere

    def rule(self, name: str) -> Place:
        """Where a rule is."""
        return self._rules.get(name, self._nowhere)

    def label(self, rule: str) -> Place:
        """Where the label of a rule is."""
        return self._labels.get(rule, self._nowhere)

    def own_rule(self, name: str) -> bool:
        """Whether a rule is in the file that was asked for, and not in one that it extends."""
        document = self.document
        return document is not None and any(doc.id == name for doc in document.classify)

    def invariant(self, name: str) -> Place:
        """Where an invariant is."""
        return self._always.get(name, self._nowhere)

    def brought(self) -> Iterator[tuple[str, Place]]:
        """Yield each element that only an extended file demands something of, with the place of that demand."""
        own = {str(name) for name, _ in self.elements()}
        for part in self._parts[1:]:
            for name in part.document.require:
                if name not in own:
                    own.add(str(name))
                    yield str(name), name.place

    def elements(self) -> Iterator[tuple[str, Place]]:
        """Yield each element that the file that was asked for demands something of."""
        if self.document is None:
            for name in self._book.requirements:
                yield name, self._nowhere
            return
        for word in self.document.require:
            yield str(word), word.place

    def copies(self, element: str) -> Place:
        """Where it is said how many copies an element has; the element itself, where no file says so."""
        for part in self._parts:
            for word in part.document.require:
                if word == element:
                    return _copies(part, word)
        return self._nowhere

    def alternatives(self) -> Iterator[tuple[Requirement, str, Place]]:
        """Yield each alternative that the file that was asked for gives, with the requirement that it became."""
        if self.document is None:
            return
        for element, doc in self.document.require.items():
            if doc.store is None:
                continue
            ways = {(str(z), Mode(m.encrypt, m.names, frozenset(map(str, m.keys)))) for z, m in doc.store.items()}
            for requirement in self._book.requirements.get(str(element), ()):
                if requirement.store is not None and {(a.zone, a.mode) for a in requirement.store} == ways:
                    for word in doc.store:
                        yield requirement, str(word), word.place
                    break


def _copies(part: Part, element: Word) -> Place:
    require = part.node.get("require")
    said = require.get(element) if isinstance(require, MapNode) else None
    if isinstance(said, MapNode):
        for key, _ in said.entries:
            if key == "copies":
                return key.place
    return element.place
