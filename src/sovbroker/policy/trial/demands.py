"""Mutants of what a policy demands: of its zones, its requirements and the alternatives of its waivers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sovbroker.policy.rulebook import Alternative, Requirement, Retain, Rulebook
from sovbroker.policy.trial import altering, weakening
from sovbroker.policy.trial.coverage import tags
from sovbroker.policy.trial.mutants import Mutant
from sovbroker.policy.trial.spots import Spots

__all__ = ["requirement_mutants", "waived_mutants", "zone_mutants"]

EXCLUDE = "add a case with a target that {near}; list it under `excludes`, or say under `modes` how it complies"


def zone_mutants(book: Rulebook, spots: Spots) -> Iterator[Mutant]:
    """Yield a policy with each weaker form of each zone that decides something."""
    for name, zone in book.zones.items():
        places, keys = _uses(book)
        if name not in places | keys:
            continue
        for weaker in weakening.predicates(zone):
            what = "target" if name in places else "key service"
            hint = EXCLUDE if name in places else "add a key service that {near}, and a case where it alone could serve"
            yield Mutant(
                f"zone `{name}` {weaker.change}",
                hint.format(near=weaker.near).replace("a target", f"a {what}"),
                spots.at("zones", name, weaker.key),
                partial(altering.with_zone, zone=weaker.zone),
                tags(zone=name),
            )


def _uses(book: Rulebook) -> tuple[set[str], set[str]]:
    """Return the zones that decide about targets, and those that decide about key services."""
    requirements = [r for found in book.requirements.values() for r in found]
    stores = [*(r.store or () for r in requirements), *(waiver.store for waiver in book.waivers)]
    places = {way.zone for store in stores for way in store} | set(book.prefer)
    places |= {name for r in requirements for name in (*(r.compute or ()), *r.deny)}
    return places, {zone for store in stores for way in store for zone in way.mode.keys}


def requirement_mutants(book: Rulebook, spots: Spots) -> Iterator[Mutant]:
    """Yield a policy with each requirement weaker, stricter by one alternative, or gone."""
    for found in book.requirements.values():
        for index, requirement in enumerate(found):
            yield from _Requirement(book, spots, requirement, index).mutants()


def waived_mutants(book: Rulebook, spots: Spots) -> Iterator[Mutant]:
    """Yield a policy with each alternative of a waiver gone or weaker."""
    for waiver in book.waivers:
        for store, name, zone in _stores(book, waiver.store):
            if store:
                yield Mutant(
                    f"waiver `{waiver.id}` {name}",
                    f"add a case with a target that complies by `{zone}` and the waiver, and say its mode",
                    spots.waiver(waiver.id),
                    partial(altering.with_waiver, name=waiver.id, waiver=replace(waiver, store=store)),
                    tags(waiver=waiver.id),
                )


def _stores(book: Rulebook, store: Sequence[Alternative]) -> Iterator[tuple[tuple[Alternative, ...], str, str]]:
    """Yield a store without each alternative, and with each mode weaker: with a phrase, and the zone concerned."""
    for index, way in enumerate(store):
        rest = (*store[:index], *store[index + 1 :])
        if _needless(book, way, rest):
            continue
        yield rest, f"without `{way.zone}` under `store`", way.zone
        for mode, change in weakening.modes(way.mode):
            weaker = replace(way, mode=mode)
            if not _needless(book, weaker, rest):
                yield (*store[:index], weaker, *store[index + 1 :]), f"at `{way.zone}` {change}", way.zone


def _needless(book: Rulebook, way: Alternative, others: Sequence[Alternative]) -> bool:
    """Whether nothing is there, or another alternative is there wherever this one is, and demands no more."""
    zones = book.zones
    return weakening.impossible(zones[way.zone]) or any(
        o.mode <= way.mode and weakening.within(zones[way.zone], zones[o.zone]) for o in others
    )


@dataclass(frozen=True, slots=True)
class _Requirement:
    book: Rulebook
    spots: Spots
    own: Requirement
    index: int

    def mutants(self) -> Iterator[Mutant]:
        own = self.own
        if own == Requirement(own.element, basis=own.basis, waivable=own.waivable):
            return
        parts = [*self._store(), *self._compute(), *self._where(), *self._deny(), *self._copies(), *self._kept()]
        yield from parts
        if not self._single():
            hint = f"add a case with an object labelled `{own.element}`, and expect what this demands"
            yield self._mutant("without the requirement of {}", hint, None)
        yield from self._waivable()

    def _mutant(self, name: str, hint: str, changed: Requirement | None, *keys: str) -> Mutant:
        own = self.own
        return Mutant(
            name.format(own.title),
            hint,
            self.spots.requirement(own, *keys),
            partial(altering.with_requirement, element=own.element, index=self.index, requirement=changed),
            tags(own.element),
        )

    def _single(self) -> bool:
        """Whether it demands one thing, so that to drop that is to drop it all."""
        own = self.own
        known = [own.store is not None, own.compute is not None, own.where is not None, own.count > 1, own.pad]
        known += [bool(own.distinct), own.retain.min is not None, own.retain.max is not None, *map(bool, own.deny)]
        # A `where` of several predicates is never dropped as a whole.
        return sum(known) == 1 and (own.where is None or len(own.where.predicates) == 1)

    def _store(self) -> Iterator[Mutant]:
        own = self.own
        for store, name, zone in _stores(self.book, own.store or ()):
            dropped = name.startswith("without `")
            hint = f"add a case with an object labelled `{own.element}` and a target in `{zone}` that "
            hint += "nothing else lets comply; list it under `includes`" if dropped else "complies; say its mode"
            yield self._mutant(f"{{}} {name}", hint, replace(own, store=store), "store", zone)
        if own.store is not None:
            hint = f"add a case labelled `{own.element}` with a target in no zone of its `store`; list it in `excludes`"
            yield self._mutant("{} without its `store`", hint, replace(own, store=None), "store")

    def _compute(self) -> Iterator[Mutant]:
        own = self.own
        if own.compute is None:
            return
        # Where the lowest level does not say it, nothing is computed on at all.
        lowest = own.element == self.book.lattice.levels[0]
        wanted = "complies" if lowest else "does not comply because of this alone"
        hint = f"add a case with `operation: compute`, labelled `{own.element}`, where a target {wanted}"
        yield self._mutant("{} without its `compute`", hint, replace(own, compute=None), "compute")

    def _where(self) -> Iterator[Mutant]:
        own = self.own
        if own.where is None:
            return
        for weaker in weakening.predicates(own.where):
            where = weaker.zone if weaker.zone.predicates else None
            name, hint = f"`where` of {{}} {weaker.change}", EXCLUDE.format(near=weaker.near)
            yield self._mutant(name, hint, replace(own, where=where), "where", weaker.key)

    def _deny(self) -> Iterator[Mutant]:
        own = self.own
        for name in own.deny:
            rest = tuple(other for other in own.deny if other != name)
            hint = f"add a case with a target that `{name}` means, and list it under `excludes`"
            yield self._mutant(f"{{}} without denying `{name}`", hint, replace(own, deny=rest), "deny")

    def _copies(self) -> Iterator[Mutant]:
        own = self.own
        if own.count > 1:
            name = f"{{}} with `count: {own.count - 1}` in place of {own.count}"
            hint = f"add a case labelled `{own.element}`, and expect `copies: {own.count}`"
            yield self._mutant(name, hint, replace(own, count=own.count - 1), "copies", "count")
        for distinct in sorted(own.distinct):
            hint = f"add a case labelled `{own.element}`, and expect `distinct: [{distinct.value}]`"
            changed = replace(own, distinct=own.distinct - {distinct})
            yield self._mutant(f"{{}} without `distinct: {distinct.value}`", hint, changed, "copies", "distinct")

    def _kept(self) -> Iterator[Mutant]:
        own = self.own
        for key, bound, rest in (
            ("min", own.retain.min, Retain(None, own.retain.max)),
            ("max", own.retain.max, Retain(own.retain.min, None)),
        ):
            if bound is not None:
                hint = f"add a case labelled `{own.element}`, and expect its `retain`"
                yield self._mutant(f"{{}} without `retain: {key}`", hint, replace(own, retain=rest), "retain", key)
        if own.pad:
            hint = f"add a case labelled `{own.element}`, and expect `pad: true`"
            yield self._mutant("{} without `pad`", hint, replace(own, pad=False), "pad")

    def _waivable(self) -> Iterator[Mutant]:
        """Yield a requirement that cannot be waived any more.

        The opposite changes no decision: a waiver whose label includes what cannot be waived does not load.
        """
        own, lattice = self.own, self.book.lattice
        covered = any(own.element in lattice.elements(waiver.mask) for waiver in self.book.waivers)
        if own.waivable and own.store is not None and covered:
            hint = "add a case that expects a target to comply by a waiver"
            yield self._mutant("{} without being waivable", hint, replace(own, waivable=False), "waivable")
