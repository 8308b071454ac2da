"""From files to a rulebook: merge, resolve every name, and find what contradicts itself.

Files only ever add: zones and categories are united, and an element that two files demand something of has two
requirements. Every name is checked against what the files declare, even where a declaration is itself wrong, so that
one mistake is reported once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, TypeVar

from sovbroker.document import Findings, MapNode, Place, Word, suggest
from sovbroker.labels import Lattice
from sovbroker.policy import codes
from sovbroker.policy.documents import DocumentDoc, ElementDoc, LimitsDoc, Status
from sovbroker.policy.lattices import build_lattice
from sovbroker.policy.rulebook import (
    Requirement,
    Retain,
    Rulebook,
    order,
)
from sovbroker.policy.ruledocs import build_invariants, build_rules
from sovbroker.policy.sources import Part
from sovbroker.policy.waiverdocs import build_waivers, check_firm
from sovbroker.policy.words import Words
from sovbroker.policy.zonedocs import build_zone
from sovbroker.policy.zones import Zone

__all__ = ["CRITERIA", "resolve"]

T = TypeVar("T")

CRITERIA: Final = ("zone", "cost", "latency")
"""By what targets may be ranked, besides the names of zones; this is also the order where `prefer` is not given."""


def resolve(parts: Sequence[Part], findings: Findings, *, today: date, schemes: Iterable[str]) -> Rulebook | None:
    """Return what the files say together, or None with findings. `schemes` are those that the facts at hand mention."""
    return _Resolver(parts, findings, today, frozenset(schemes)).run()


@dataclass(slots=True)
class _Resolver:
    parts: Sequence[Part]
    findings: Findings
    today: date
    schemes: frozenset[str]
    words: Words = field(init=False)

    def __post_init__(self) -> None:
        self.words = Words(self.findings)

    @property
    def lattice(self) -> Lattice | None:
        return self.words.lattice

    def run(self) -> Rulebook | None:
        if not self.parts:
            return None
        root = self.parts[0].document
        self._root_only()
        self.words.zones = {name for part in self.parts for name in raw_keys(part, "zones")}
        self.words.lattice = build_lattice(self.parts, self.findings)
        zones = self._zones()
        requirements = self._requirements()
        rules = build_rules(self.parts, self.words)
        waivers = build_waivers(self.parts, self.words, root.limits or LimitsDoc(), today=self.today)
        always = build_invariants(self.parts, self.words)
        prefer = self._prefer(root)
        default = self._default(root)
        if self.lattice is not None and not self.findings.failed:
            check_firm(waivers, requirements, lattice=self.lattice, findings=self.findings)
        if self.findings.failed or self.lattice is None:
            return None
        self._idle(requirements)
        self._unused()
        book = Rulebook(
            name=str(root.name or "policy"),
            lattice=self.lattice,
            default=default,
            zones=dict(sorted(zones.items())),
            requirements={name: tuple(sorted(found, key=order)) for name, found in sorted(requirements.items())},
            rules=tuple(sorted(rules, key=lambda rule: rule.id)),
            waivers=tuple(sorted((w for _, w in waivers), key=lambda waiver: waiver.id)),
            prefer=prefer,
            always=tuple(sorted(always, key=lambda invariant: invariant.id)),
            limits=root.limits or LimitsDoc(),
        )
        return book if self._retention(book) else None

    # --- files

    def _root_only(self) -> None:
        """Refuse in a pack what would loosen, or decide for, the policy that extends it."""
        for part in self.parts[1:]:
            for key, _ in part.node.entries:
                if key in {"default", "limits", "waivers", "prefer"}:
                    self.findings.error(
                        codes.ROOT_ONLY,
                        key.place,
                        f"`{key}` in a file that a policy extends",
                        "say it in the policy itself; what is extended only adds requirements",
                    )

        self._preview_alone()

    def _preview_alone(self) -> None:
        """Refuse a policy of which every requirement comes from what is only proposed."""
        demanding = [part.document for part in self.parts if part.document.require]
        previews = [d.pack for d in demanding if d.pack is not None and d.pack.status is Status.PREVIEW]
        if previews and len(previews) == len(demanding):
            root = self.parts[0]
            extended = next(iter(root.document.extends), None)
            self.findings.error(
                codes.PREVIEW_ALONE,
                root.node.place if extended is None else extended.pack.place,
                f"only a preview demands anything here: {previews[0].title}",
                "a preview is no law; extend a pack that is in force too, or say under `require` what you demand",
            )

    # --- zones

    def _zones(self) -> dict[str, Zone]:
        zones: dict[str, Zone] = {}
        for part in self.parts:
            for name, doc in part.document.zones.items():
                zone = build_zone(name, doc, self.findings, schemes=self.schemes)
                if name in CRITERIA:
                    self.findings.error(
                        codes.CONFLICT,
                        name.place,
                        f"a zone cannot be called `{name}`, which `prefer` uses",
                        "rename it",
                    )
                known = zones.setdefault(str(name), zone)
                if set(known.predicates) != set(zone.predicates):
                    self.findings.error(
                        codes.CONFLICT,
                        name.place,
                        f"zone `{name}` is defined differently in another file",
                        "give one of the two another name",
                    )
        return zones

    # --- requirements

    def _requirements(self) -> dict[str, list[Requirement]]:
        found: dict[str, list[Requirement]] = {}
        for part in self.parts:
            for name, doc in part.document.require.items():
                self._known_element(name)
                found.setdefault(str(name), []).append(self._requirement(str(name), doc))
        self._no_computing_by_pack(found)
        return found

    def _no_computing_by_pack(self, found: dict[str, list[Requirement]]) -> None:
        """Allow no computing where a pack alone says where: packs add demands, and this would be a permission."""
        if self.lattice is None:
            return
        lowest = self.lattice.levels[0]
        saying = [
            p for p in self.parts for n, doc in p.document.require.items() if n == lowest and doc.compute is not None
        ]
        if saying and all(part.pack for part in saying):
            found.setdefault(lowest, []).append(Requirement(lowest, compute=()))

    def _known_element(self, name: Word) -> None:
        if self.lattice is None:
            return
        known = [*self.lattice.levels, *self.lattice.categories]
        if name not in known:
            mend = suggest(name, known)
            self.findings.error(codes.NO_LABEL, name.place, f"`{name}` is neither a level nor a category", mend)

    def _requirement(self, element: str, doc: ElementDoc) -> Requirement:
        where = None
        if doc.where is not None:
            where = build_zone("where", doc.where, self.findings, schemes=self.schemes)
        self.words.used |= {str(name) for name in doc.deny}
        retain = Retain() if doc.retain is None else Retain(doc.retain.min, doc.retain.max)
        if doc.retain is not None and retain.contradicts:
            self.findings.error(
                codes.RETAIN,
                doc.retain.place,
                f"kept for at least {days(retain.min)} but for at most {days(retain.max)}",
                "lower `min` or raise `max`",
            )
        return Requirement(
            element=element,
            store=None if doc.store is None else self.words.store(doc.store),
            compute=None if doc.compute is None else tuple(sorted(self.words.zone_names(doc.compute))),
            where=where,
            deny=tuple(sorted(str(name) for name in doc.deny)),
            count=doc.copies.count,
            distinct=frozenset(doc.copies.distinct),
            retain=retain,
            pad=doc.pad,
            waivable=doc.waivable,
            basis=str(doc.basis),
        )

    def _retention(self, book: Rulebook) -> bool:
        """Refuse a level or a category that nothing could meet, because of what it implies or stands above."""
        lattice, sound = book.lattice, True
        for part in self.parts:
            for name, doc in part.document.require.items():
                bounds = Retain()
                for element in lattice.elements(lattice.mask_of_text(str(name))):
                    for requirement in book.requirements.get(element, ()):
                        bounds &= requirement.retain
                if bounds.contradicts:
                    sound = False
                    self.findings.error(
                        codes.RETAIN,
                        doc.retain.place if doc.retain is not None else name.place,
                        f"`{name}`, with the elements below it, is kept for at least {days(bounds.min)} but for at "
                        f"most {days(bounds.max)}",
                        "lower a `min` or raise a `max`",
                    )
        return sound

    # --- labels, rules, waivers

    def _default(self, root: DocumentDoc) -> int:
        if self.lattice is None:
            return 0
        top = self.lattice.mask_of_text(self.lattice.top_level)
        if root.default is None:
            return top
        mask = self.words.label(root.default)
        if mask & top != top:
            self.findings.warning(
                codes.WEAK_DEFAULT,
                root.default.place,
                f"what no rule matches is labelled `{root.default}`, which is not the strictest level",
                f"`default: {self.lattice.top_level}` is safe",
            )
        return mask

    # --- the rest

    def _prefer(self, root: DocumentDoc) -> tuple[str, ...]:
        for name in root.prefer or ():
            if name in CRITERIA:
                continue
            self.words.used.add(str(name))
            if name not in self.words.zones:
                known = (*CRITERIA, *self.words.zones)
                self.findings.error(
                    codes.NO_ZONE, name.place, f"cannot prefer by `{name}`, which is no zone", suggest(name, known)
                )
        return tuple(str(name) for name in root.prefer or CRITERIA)

    def _idle(self, requirements: Mapping[str, object]) -> None:
        """Warn of a category that the root declares or uses, and that demands nothing."""
        if self.lattice is None:
            return
        for name, place in self._named_categories():
            closure = self.lattice.elements(self.lattice.mask_of_text(name))
            own = set(closure) - set(self.lattice.levels)
            if not own & set(requirements):
                self.findings.warning(
                    codes.IDLE_CATEGORY,
                    place,
                    f"category `{name}` demands nothing: no file has a requirement for it",
                    "add it under `require`, or extend a pack that has one",
                )

    def _named_categories(self) -> Iterable[tuple[str, Place]]:
        """Return each category that a rule of the root carries or the root declares, once, with a place."""
        lattice = self.lattice
        if lattice is None:
            return ()
        found: dict[str, Place] = {}
        document = self.parts[0].document
        for name in document.categories:
            found.setdefault(str(name), name.place)
        for rule in document.classify:
            for part in rule.label.split("+"):
                if part.strip() in lattice.categories:
                    found.setdefault(part.strip(), rule.label.place)
        return [(name, place) for name, place in found.items() if name in lattice.categories]

    def _unused(self) -> None:
        """Warn of a zone of the root that nothing names."""
        for name in self.parts[0].document.zones:
            if name not in self.words.used:
                self.findings.warning(
                    codes.UNUSED_ZONE, name.place, f"zone `{name}` is used by nothing", "use it or remove it"
                )


def raw_keys(part: Part, key: str) -> tuple[Word, ...]:
    """Return the names under a key as they are written, also those whose value is wrong."""
    node = part.node.get(key)
    return node.keys() if isinstance(node, MapNode) else ()


def days(bound: timedelta | None) -> str:
    """Spell a period in days."""
    return "" if bound is None else f"{bound.days} days"
