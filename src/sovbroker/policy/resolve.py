"""From files to a rulebook: merge, resolve every name, and find what contradicts itself.

Files only ever add: zones and categories are united, and an element that two files demand something of has two
requirements. Every name is checked against what the files declare, even where a declaration is itself wrong, so that
one mistake is reported once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, TypeVar

from sovbroker.document import Findings, MapNode, Place, Word, suggest
from sovbroker.errors import InvalidArgument
from sovbroker.labels import Lattice
from sovbroker.policy import codes
from sovbroker.policy.glob import Glob
from sovbroker.policy.language import DocumentDoc, ElementDoc, LimitsDoc, ModeDoc, WaiverDoc
from sovbroker.policy.lattices import build_lattice
from sovbroker.policy.mode import Mode
from sovbroker.policy.rulebook import Alternative, Requirement, Retain, Rule, Rulebook, Waiver, order
from sovbroker.policy.sources import Part
from sovbroker.policy.waiverdocs import check_firm, check_limits
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
    zone_names: set[str] = field(default_factory=set[str])
    used_zones: set[str] = field(default_factory=set[str])
    lattice: Lattice | None = None
    categories_sound: bool = True

    def run(self) -> Rulebook | None:
        if not self.parts:
            return None
        root = self.parts[0].document
        self._root_only()
        self.zone_names = {name for part in self.parts for name in raw_keys(part, "zones")}
        self.lattice = build_lattice(self.parts, self.findings)
        zones = self._zones()
        requirements = self._requirements()
        rules = self._rules()
        waivers = self._waivers(root.limits or LimitsDoc())
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

    def _zone_names(self, names: Iterable[Word]) -> tuple[str, ...]:
        for name in names:
            self.used_zones.add(str(name))
            if name not in self.zone_names:
                self.findings.error(
                    codes.NO_ZONE, name.place, f"there is no zone `{name}`", suggest(name, self.zone_names)
                )
        return tuple(str(name) for name in names)

    def _store(self, store: Mapping[Word, ModeDoc]) -> tuple[Alternative, ...]:
        self._zone_names(store)
        return tuple(sorted((Alternative(str(z), self._mode(m)) for z, m in store.items()), key=lambda a: a.zone))

    def _mode(self, doc: ModeDoc) -> Mode:
        mode = Mode(doc.encrypt, doc.names, frozenset(self._zone_names(doc.keys)))
        if not mode.sealed and (mode.names_encrypted or mode.keys):
            self.findings.error(
                codes.NEEDS_SEAL,
                doc.place,
                "hidden names and key zones mean nothing for what is not encrypted",
                "add `encrypt: client`",
            )
        return mode

    # --- requirements

    def _requirements(self) -> dict[str, list[Requirement]]:
        found: dict[str, list[Requirement]] = {}
        for part in self.parts:
            for name, doc in part.document.require.items():
                self._known_element(name)
                found.setdefault(str(name), []).append(self._requirement(str(name), doc))
        return found

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
        self.used_zones |= {str(name) for name in doc.deny}
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
            store=None if doc.store is None else self._store(doc.store),
            compute=None if doc.compute is None else tuple(sorted(self._zone_names(doc.compute))),
            where=where,
            deny=tuple(sorted(str(name) for name in doc.deny)),
            count=doc.copies.count,
            distinct=frozenset(doc.copies.distinct),
            retain=retain,
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

    def _label(self, text: Word) -> int:
        if self.lattice is None:
            return 0
        try:
            return self.lattice.mask_of_text(text)
        except InvalidArgument as error:
            message, _, mend = str(error).partition("; ")
            self.findings.error(codes.NO_LABEL, text.place, message, mend)
            return 0

    def _default(self, root: DocumentDoc) -> int:
        if self.lattice is None:
            return 0
        top = self.lattice.mask_of_text(self.lattice.top_level)
        if root.default is None:
            return top
        mask = self._label(root.default)
        if mask & top != top:
            self.findings.warning(
                codes.WEAK_DEFAULT,
                root.default.place,
                f"what no rule matches is labelled `{root.default}`, which is not the strictest level",
                f"`default: {self.lattice.top_level}` is safe",
            )
        return mask

    def _glob(self, text: Word) -> Glob | None:
        try:
            return Glob(str(text))
        except ValueError as error:
            self.findings.error(codes.BAD_GLOB, text.place, str(error))
            return None

    def _rules(self) -> list[Rule]:
        rules: list[Rule] = []
        for doc in self._unlike(lambda document: document.classify, "rule", lambda doc: doc.id):
            mask = self._label(doc.label)
            if doc.id == "default":
                self.findings.error(
                    codes.CONFLICT, doc.id.place, "`default` is what decisions call no rule", "rename it"
                )
            path = None if doc.path is None else self._glob(doc.path)
            if doc.path is None and not doc.meta:
                self.findings.error(
                    codes.MATCHES_NOTHING, doc.place, f"rule `{doc.id}` looks at nothing", "give it a `path` or `meta`"
                )
            meta = tuple(sorted((str(name), str(value)) for name, value in doc.meta.items()))
            rules.append(Rule(str(doc.id), mask, path, meta))
        return rules

    def _unlike(self, of: Callable[[DocumentDoc], Iterable[T]], noun: str, name: Callable[[T], Word]) -> list[T]:
        """Return the rules or waivers of all files, and refuse an id that occurs twice."""
        found: dict[str, T] = {}
        for part in self.parts:
            for doc in of(part.document):
                word = name(doc)
                if word in found:
                    self.findings.error(
                        codes.DUPLICATE, word.place, f"{noun} `{word}` is here twice", "rename one of them"
                    )
                found.setdefault(str(word), doc)
        return list(found.values())

    def _waivers(self, limits: LimitsDoc) -> list[tuple[WaiverDoc, Waiver]]:
        waivers: list[tuple[WaiverDoc, Waiver]] = []

        def of(document: DocumentDoc) -> tuple[WaiverDoc, ...]:
            return document.waivers

        for doc in self._unlike(of, "waiver", lambda doc: doc.id):
            path, mask, store = self._glob(doc.path), self._label(doc.label), self._store(doc.store)
            check_limits(doc, limits, findings=self.findings, today=self.today)
            if path is not None:
                approved = tuple(sorted(str(name) for name in doc.approved))
                waiver = Waiver(str(doc.id), path, mask, store, str(doc.reason), str(doc.owner), approved, doc.expires)
                waivers.append((doc, waiver))
        return waivers

    # --- the rest

    def _prefer(self, root: DocumentDoc) -> tuple[str, ...]:
        for name in root.prefer or ():
            if name in CRITERIA:
                continue
            self.used_zones.add(str(name))
            if name not in self.zone_names:
                known = (*CRITERIA, *self.zone_names)
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
            if name not in self.used_zones:
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
