"""Changing one thing of a rulebook: what a mutant is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sovbroker.labels import Lattice
from sovbroker.policy.rulebook import Requirement, Rule, Rulebook, Waiver
from sovbroker.policy.sources import Part
from sovbroker.policy.zones import Zone

__all__ = ["Spelling", "with_default", "with_lattice", "with_requirement", "with_rule", "with_waiver", "with_zone"]


def with_zone(book: Rulebook, *, zone: Zone) -> Rulebook:
    """Return a rulebook with another zone in place of the one of its name."""
    return replace(book, zones={**book.zones, zone.name: zone})


def with_requirement(book: Rulebook, *, element: str, index: int, requirement: Requirement | None) -> Rulebook:
    """Return a rulebook with another one in place of an element's requirement of that index, or without it."""
    found = list(book.requirements[element])
    found[index : index + 1] = [] if requirement is None else [requirement]
    return replace(book, requirements={**book.requirements, element: tuple(found)})


def with_rule(book: Rulebook, *, name: str, rule: Rule | None) -> Rulebook:
    """Return a rulebook with another rule in place of the one of that id, or without it."""
    rules = [own for own in book.rules if own.id != name]
    rules += [] if rule is None else [rule]
    return replace(book, rules=tuple(sorted(rules, key=lambda own: own.id)))


def with_waiver(book: Rulebook, *, name: str, waiver: Waiver | None) -> Rulebook:
    """Return a rulebook with another waiver in place of the one of that id, or without it."""
    changed = (waiver if own.id == name else own for own in book.waivers)
    return replace(book, waivers=tuple(own for own in changed if own is not None))


def with_default(book: Rulebook, *, mask: int) -> Rulebook:
    """Return a rulebook with another default label."""
    return replace(book, default=mask)


class Spelling:
    """The labels of a policy as its files spell them, which mean something else in another lattice."""

    def __init__(self, parts: Iterable[Part]) -> None:
        documents = [part.document for part in parts]
        self.rules = {str(doc.id): str(doc.label) for document in documents for doc in document.classify}
        self.waivers = {str(doc.id): str(doc.label) for document in documents for doc in document.waivers}
        self.always = {str(doc.id): str(doc.label) for document in documents for doc in document.always}
        self.default = None if not documents or documents[0].default is None else str(documents[0].default)


def with_lattice(book: Rulebook, *, lattice: Lattice, spelling: Spelling) -> Rulebook:
    """Return a rulebook with another lattice of the same names: every label is read anew."""

    def mask(texts: Mapping[str, str], name: str, own: int) -> int:
        return lattice.mask_of_text(texts[name]) if name in texts else own

    return replace(
        book,
        lattice=lattice,
        default=lattice.mask_of_text(spelling.default or lattice.top_level),
        rules=tuple(replace(own, mask=mask(spelling.rules, own.id, own.mask)) for own in book.rules),
        waivers=tuple(replace(own, mask=mask(spelling.waivers, own.id, own.mask)) for own in book.waivers),
        always=tuple(replace(own, mask=mask(spelling.always, own.id, own.mask)) for own in book.always),
    )
