"""Cases, resolved: what a cases file says, with the names of the policy that it tests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final

from sovbroker import catalogue, detect
from sovbroker.detect import Scan
from sovbroker.document import Findings, Kind, Word, suggest
from sovbroker.labels import Label
from sovbroker.policy import codes
from sovbroker.policy.mode import Mode
from sovbroker.policy.rulebook import Rulebook
from sovbroker.policy.table import World
from sovbroker.policy.trial import lab
from sovbroker.policy.trial.language import CaseDoc, CasesDoc, ExpectDoc, Found
from sovbroker.policy.vocabulary import SCHEMES
from sovbroker.policy.words import Words
from sovbroker.policy.zones import Qualified

__all__ = ["NO_WAIVER", "Case", "Suite", "schemes_of", "suite_of"]

NO_WAIVER: Final = "none"


@dataclass(frozen=True, slots=True)
class Case:
    """One question to the policy, and what it must answer. `label` and `modes` are what `expect` says, resolved."""

    doc: CaseDoc = field(repr=False)
    at: datetime
    stored: Label | None
    scan: Scan | None
    label: Label | None
    modes: Mapping[Word, Mode]

    @property
    def id(self) -> str:
        """The case's name."""
        return str(self.doc.id)

    @property
    def expect(self) -> ExpectDoc:
        """What the decision must be, as it is written."""
        return self.doc.expect


@dataclass(frozen=True, slots=True)
class Suite:
    """The cases of one file, and the targets and key services that all of them are judged over."""

    cases: tuple[Case, ...]
    world: World

    @property
    def day(self) -> date | None:
        """The first day of a case; None without cases."""
        return min((case.at.date() for case in self.cases), default=None)


def schemes_of(doc: CasesDoc) -> frozenset[str]:
    """Return the qualification schemes that the facts of a cases file mention."""
    places = [*(doc.targets or {}).values(), *doc.keys.values()]
    return frozenset(str(found.scheme) for place in places for found in place.qualified)


def suite_of(doc: CasesDoc, book: Rulebook, findings: Findings) -> Suite:
    """Return what a cases file means for a policy; names that mean nothing to it are findings."""
    return _Resolver(doc, book, findings).run()


class _Resolver:
    def __init__(self, doc: CasesDoc, book: Rulebook, findings: Findings) -> None:
        self.doc = doc
        self.book = book
        self.findings = findings
        self.words = Words(findings, zones=set(book.zones), lattice=book.lattice)
        self.detectors = frozenset(rule.content.detector for rule in book.rules if rule.content is not None)

    def run(self) -> Suite:
        self._schemes()
        world = self._world()
        ids = {target.id for target in world.targets}
        seen = set[str]()
        cases: list[Case] = []
        for doc in self.doc.cases:
            if doc.id in seen:
                self.findings.error(
                    Kind.DUPLICATE, doc.id.place, f"case `{doc.id}` is here twice", "rename one of them"
                )
            seen.add(str(doc.id))
            found = self._case(doc, ids)
            if found is not None:
                cases.append(found)
        return Suite(tuple(cases), world)

    # --- what is judged over

    def _world(self) -> World:
        targets = [lab.target(name, own, self.findings) for name, own in (self.doc.targets or {}).items()]
        holders = [lab.holder(name, own, self.findings) for name, own in self.doc.keys.items()]
        with_catalogue = self.doc.targets is None if self.doc.catalogue is None else self.doc.catalogue
        shipped = catalogue.load() if with_catalogue else None
        if shipped is not None:
            known = {target.id: target for target in shipped.targets()}
            for name in self.doc.targets or ():
                if name in known:
                    message = f"`{name}` is a target of the catalogue"
                    self.findings.error(Kind.DUPLICATE, name.place, message, "rename it, or say `catalogue: false`")
                    del known[str(name)]
            targets += known.values()
        return World.of(targets, holders, catalogue="cases" if shipped is None else shipped.digest)

    def _schemes(self) -> None:
        """Find schemes that neither the policy nor anybody else asks for: misspelt, they qualify for nothing."""
        zones = [*self.book.zones.values(), *(r.where for f in self.book.requirements.values() for r in f if r.where)]
        known = SCHEMES | {p.scheme for zone in zones for p in zone.predicates if isinstance(p, Qualified)}
        for place in (*(self.doc.targets or {}).values(), *self.doc.keys.values()):
            for found in place.qualified:
                if found.scheme not in known:
                    message = f"unknown qualification `{found.scheme}`"
                    self.findings.error(codes.NO_SCHEME, found.scheme.place, message, suggest(found.scheme, known))

    # --- cases

    def _case(self, doc: CaseDoc, targets: set[str]) -> Case | None:
        day = doc.at or self.doc.at
        expect = doc.expect
        if day is None:
            message = f"case `{doc.id}` has no `at`, and neither has the file"
            self.findings.error(Kind.MISSING, doc.id.place, message, "say on top on which day cases are judged")
        if not self._expects(expect):
            message = f"case `{doc.id}` expects nothing"
            self.findings.error(codes.WRONG_VALUE, expect.place, message, "say at least `allowed: true`")
        if doc.label is not None:
            self.words.label(doc.label)
        stored = None if doc.stored is None else self._label(doc.stored)
        for found in (expect.targets, expect.only, expect.includes, expect.excludes):
            self._named(found, targets, "target")
        self._named(Found(tuple(expect.modes), expect.place), targets, "target")
        self._named(expect.rules, {"default", *(rule.id for rule in self.book.rules)}, "rule")
        if expect.waiver is not None:
            known = {NO_WAIVER, *(waiver.id for waiver in self.book.waivers)}
            self._named(Found((expect.waiver,), expect.place), known, "waiver")
        modes = {name: self.words.mode(mode) for name, mode in expect.modes.items()}
        label = None if expect.label is None else self._label(expect.label)
        if day is None:
            return None
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return Case(doc, at, stored, self._scan(doc), label, modes)

    def _label(self, word: Word) -> Label:
        return self.book.lattice.label(self.words.label(word))

    def _scan(self, doc: CaseDoc) -> Scan | None:
        """Show the content to every detector that a rule names, so that a changed rule finds what it asks for."""
        if doc.content is None:
            return None
        return detect.scan(doc.content.encode(), self.detectors, seconds_max=math.inf)

    def _named(self, found: Found[tuple[Word, ...]] | None, known: Iterable[str], noun: str) -> None:
        """Find names of things that are not there: an expectation about them would say nothing."""
        names = set(known)
        for word in () if found is None else found.value:
            if word not in names:
                self.findings.error(codes.WRONG_VALUE, word.place, f"there is no {noun} `{word}`", suggest(word, names))

    @staticmethod
    def _expects(expect: ExpectDoc) -> bool:
        single = (
            expect.allowed,
            expect.label,
            expect.rules,
            expect.targets,
            expect.only,
            expect.includes,
            expect.because,
        )
        more = (expect.excludes, expect.copies, expect.distinct, expect.retain, expect.pad, expect.waiver)
        return bool(expect.modes) or any(found is not None for found in (*single, *more))
