"""Why: the reasons of a placing, for every target. Built only when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sovbroker.catalogue.attestation import Vouched
from sovbroker.policy.decision import Choice
from sovbroker.policy.mode import CLEAR, Mode
from sovbroker.policy.rulebook import Alternative, Requirement, Retain
from sovbroker.policy.table import Demand, Obligations, Option, Placing, Scope, Table

__all__ = ["Verdict", "choose", "verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a decision says that depends on the label, the waivers and the day alone."""

    targets: tuple[Choice, ...]
    alternatives: tuple[Choice, ...]
    rejected: Mapping[str, tuple[str, ...]]
    mode: Mode
    reasons: tuple[str, ...]
    basis: tuple[str, ...]
    waiver: str | None
    retain: Retain | None
    copies: int
    distinct: frozenset[str]
    pad: bool = False


def verdict(table: Table, scope: Scope, placing: Placing) -> Verdict:
    """Return every reason for a placing."""
    return _Explainer(table, scope, placing).verdict()


def choose(table: Table, scope: Scope, options: Iterable[Option]) -> tuple[Choice, ...]:
    """Return options as choices, with ids in place of numbers."""
    demands = _strictest_first(table, scope)
    services = table.world.holders
    found: list[Choice] = []
    for option in options:
        mode = table.mode(option.code)
        bits = table.keys(option.code) if mode.sealed else 0
        keys = tuple(dict.fromkeys(holder.name for index, holder in enumerate(services) if bits >> index & 1))
        zone = _zone(table, scope, demands, option)
        found.append(Choice(table.world.targets[option.target].id, mode, zone, keys))
    return tuple(found)


def _strictest_first(table: Table, scope: Scope) -> list[Demand]:
    """Return the demands, those of the highest level first, then those of the categories."""
    levels = table.book.lattice.levels
    rank = {level: -index for index, level in enumerate(levels)}
    return sorted(table.demands(scope), key=lambda demand: rank.get(demand.requirement.element, 1))


def _zone(table: Table, scope: Scope, demands: Sequence[Demand], option: Option) -> str | None:
    """Return the zone by which an option meets the first demand that names zones: that of the nearest mode below."""
    inside = {name for name, bits in table.zones.items() if bits >> option.target & 1}
    for demand in demands:
        if scope.compute:
            zones = inside & set(demand.requirement.compute or ())
            if demand.requirement.compute is not None:
                return min(zones, default=None)
        elif demand.requirement.store is not None:
            ways = [*demand.requirement.store]
            if demand.requirement.waivable:
                ways += [a for waiver in _waivers(table, option.waivers) for a in waiver]
            fitting = [a for a in ways if a.zone in inside and a.mode <= table.mode(option.code)]
            best = min(fitting, key=lambda a: (tuple(-n for n in a.mode.rank[:3]), a.zone), default=None)
            return None if best is None else best.zone
    return None


def _waivers(table: Table, bits: int) -> list[tuple[Alternative, ...]]:
    return [waiver.store for index, waiver in enumerate(table.book.waivers) if bits >> index & 1]


class _Explainer:
    def __init__(self, table: Table, scope: Scope, placing: Placing) -> None:
        self.table = table
        self.scope = scope
        self.placing = placing
        self.demands = table.demands(scope)

    def verdict(self) -> Verdict:
        table, scope, placing = self.table, self.scope, self.placing
        others = [option for option in placing.ranked if option not in placing.chosen]
        compliant = {option.target for option in placing.ranked}
        owed = table.obligations(scope)
        mode = CLEAR
        for option in placing.chosen:
            mode |= table.mode(option.code)
        return Verdict(
            targets=choose(table, scope, placing.chosen),
            alternatives=choose(table, scope, others),
            rejected={
                target.id: self.rejection(index)
                for index, target in enumerate(table.world.targets)
                if index not in compliant
            },
            mode=mode,
            reasons=tuple(self._reasons(owed)),
            basis=tuple(dict.fromkeys(d.requirement.basis for d in self.demands if d.requirement.basis)),
            waiver=self._waiver(),
            retain=None if owed.retain == Retain() else owed.retain,
            copies=owed.count,
            distinct=frozenset(d.value for d in owed.distinct),
            pad=owed.pad,
        )

    # --- what was demanded, and the outcome as a whole

    def _reasons(self, owed: Obligations) -> Iterable[str]:
        distinct = [d.value for d in sorted(owed.distinct)]
        for demand in self.demands:
            yield from self._demanded(demand.requirement)
        if owed.count > 1:
            yield f"{owed.count} copies" + (f" that differ in {' and '.join(distinct)}" if distinct else "")
        for bound, word in ((owed.retain.min, "at least"), (owed.retain.max, "at most")):
            if bound is not None:
                yield f"kept for {word} {bound.days} days"
        if owed.pad:
            yield "sealed copies have a padded size"
        yield from self._used_waivers()
        yield from self._accepted()
        if not self.placing.chosen:
            yield self._failure(owed.count, distinct=distinct, retain=owed.retain)

    def _demanded(self, requirement: Requirement) -> Iterable[str]:
        if self.scope.compute:
            if requirement.compute is not None:
                yield f"{requirement.title} allows computing in {_listed(requirement.compute)}"
        elif requirement.store is not None:
            ways = [f"{a.zone} ({a.mode})" for a in requirement.store]
            yield f"{requirement.title} allows storing in {_listed(ways)}"

    def _used_waivers(self) -> Iterable[str]:
        used = 0
        for option in self.placing.chosen:
            used |= option.waivers
        for index, waiver in enumerate(self.table.book.waivers):
            if used >> index & 1:
                yield f"waiver `{waiver.id}` of {waiver.owner}, until {waiver.expires}: {waiver.reason}"
            elif self.scope.waivers >> index & 1 and not waiver.live(self.table.since):
                yield f"waiver `{waiver.id}` lapsed on {waiver.expires} and has no effect"

    def _accepted(self) -> Iterable[str]:
        """Tell what the chosen targets owe to the operator's own documents, and who accepts it."""
        table = self.table
        wanted = [d.requirement for d in self.demands]
        compute = {name for r in wanted for name in r.compute or ()}
        store = {a.zone for r in wanted for a in r.store or ()}
        places = [r.where for r in wanted if r.where is not None]
        for option in self.placing.chosen:
            names = sorted(compute if self.scope.compute else store)
            zones = [table.book.zones[name] for name in names if table.zones[name] >> option.target & 1]
            found = [e for zone in (*zones, *places) for e in zone.grounds(table.subjects[option.target])]
            for evidence in dict.fromkeys(e for e in found if isinstance(e, Vouched) and e.accepted is not None):
                yield f"{table.world.targets[option.target].id} counts by {evidence}"

    def _failure(self, count: int, *, distinct: Sequence[str], retain: Retain) -> str:
        compliant = len(self.placing.ranked)
        if retain.contradicts:
            return "it would have to be kept for longer than it may be kept"
        if compliant == 0:
            return "no target complies" if self.table.world.targets else "there are no targets"
        differ = f", that differ in {' and '.join(distinct)}" if distinct else ""
        needed = f"{count} targets that share a key service{differ} are needed"
        return f"{needed}, and of the {compliant} that comply no set does so"

    def _waiver(self) -> str | None:
        used = 0
        for option in self.placing.chosen:
            used |= option.waivers
        names = [waiver.id for index, waiver in enumerate(self.table.book.waivers) if used >> index & 1]
        return ", ".join(names) or None

    # --- one target

    def rejection(self, index: int) -> tuple[str, ...]:
        """Return why a target does not comply: at least one reason, and one for each demand that it fails."""
        reasons = [reason for demand in self.demands for reason in self._failed(demand, index)]
        if self.scope.compute and not self.table.computes():
            lowest = self.table.book.lattice.levels[0]
            reasons.append(f"`{lowest}`, which every label includes, does not say where anything may be computed on")
        return tuple(reasons) or (self._together(),)

    def _failed(self, demand: Demand, index: int) -> Iterable[str]:
        requirement, table = demand.requirement, self.table
        denied = [name for name in requirement.deny if table.named(name) >> index & 1]
        if denied:
            yield f"{requirement.title} denies {_listed([f'`{name}`' for name in denied])}"
        if requirement.where is not None:
            unmet = requirement.where.unmet(table.subjects[index], table.since)
            if unmet:
                yield f"{requirement.title} demands more: {'; '.join(unmet)}"
        if self.scope.compute:
            yield from self._not_in(requirement, requirement.compute, index=index)
        elif requirement.store is not None:
            yield from self._not_stored(requirement, requirement.store, index=index)

    def _not_stored(self, requirement: Requirement, store: Sequence[Alternative], *, index: int) -> Iterable[str]:
        ways = list(store)
        if requirement.waivable:
            live = [w for w in self.table.book.waivers if w.live(self.table.since)]
            bits = self.scope.waivers
            scoped = {w.id for i, w in enumerate(self.table.book.waivers) if bits >> i & 1}
            ways += [a for waiver in live if waiver.id in scoped for a in waiver.store]
        here = [a for a in ways if self.table.zones[a.zone] >> index & 1]
        if not here:
            yield from self._not_in(requirement, [a.zone for a in ways], index=index)
            return
        without = [a for a in here if a.mode.keys and not self.table.keys(self.table.code(a.mode))]
        if len(without) == len(here):
            zones = sorted({zone for a in without for zone in a.mode.keys})
            yield f"{requirement.title} wants the keys in {_listed(zones)}: {self._no_service(zones)}"

    def _not_in(self, requirement: Requirement, zones: Sequence[str] | None, *, index: int) -> Iterable[str]:
        if zones is None or any(self.table.zones[name] >> index & 1 for name in zones):
            return
        if not zones:
            yield f"{requirement.title} allows no place at all"
            return
        subject, day = self.table.subjects[index], self.table.since
        misses = [f"not in {n}: {', '.join(self.table.book.zones[n].unmet(subject, day))}" for n in sorted(set(zones))]
        yield f"{requirement.title}: {'; '.join(misses)}"

    def _no_service(self, zones: Sequence[str]) -> str:
        services = self.table.world.holders
        if not services:
            return "no key service is configured"
        parts: list[str] = []
        for holder, subject in zip(services, self.table.services, strict=True):
            unmet = [r for zone in zones for r in self.table.book.zones[zone].unmet(subject, self.table.since)]
            parts.append(f"{holder.id}: {', '.join(dict.fromkeys(unmet))}")
        return f"no key service is there ({'; '.join(parts)})"

    def _together(self) -> str:
        zones = sorted({z for d in self.demands for a in d.requirement.store or () for z in a.mode.keys})
        return f"no key service is in all the zones that the demands together want the keys in ({_listed(zones)})"


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else ", ".join(names) or "no zone"
