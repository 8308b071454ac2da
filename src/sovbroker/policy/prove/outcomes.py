"""What a table says of each of its targets, for any label: every minimal mode, and not only the one that is picked.

Which minimal mode is picked depends on the key services that there are. Targets with the same modes are kept together,
as a bit each of one number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sovbroker.policy.rulebook import Requirement
from sovbroker.policy.table import FIRST_ZONE, Demand, Scope, Table

__all__ = ["Modes", "Outcomes", "Pick", "bits"]

Modes = frozenset[tuple[int, int]]
"""Minimal modes, as the table's numbers, each with the waivers that it takes, a bit each."""

_Stores = list[list[tuple[int, int, int]]]


@dataclass(frozen=True, slots=True)
class Pick:
    """A mode that is picked where these waivers are in scope and this one key service is there (None: none at all)."""

    code: int
    waivers: int
    holder: int | None


class Outcomes:
    """The outcomes of a table, each computed once."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._everywhere = (1 << len(table.world.targets)) - 1
        self._zone_bits = {name: 1 << number for number, name in enumerate(table.zones)}
        self._kinds = self._by_zones()
        self._stored: dict[tuple[tuple[int, ...], int], Mapping[Modes, int]] = {}
        self._computed: dict[tuple[int, ...], int] = {}
        self._picks: dict[Modes, tuple[Pick, ...]] = {}

    def _by_zones(self) -> dict[int, int]:
        """Return the targets by the zones in which they are: targets in the same ones have the same modes."""
        kinds: dict[int, int] = {}
        for index in range(len(self.table.world.targets)):
            inside = 0
            for name, members in self.table.zones.items():
                if members >> index & 1:
                    inside |= self._zone_bits[name]
            kinds[inside] = kinds.get(inside, 0) | 1 << index
        return kinds

    def store(self, mask: int, waivers: int = 0) -> Mapping[Modes, int]:
        """Return where a label may be stored: the targets, a bit each, by their minimal modes."""
        demands = self.table.demands(Scope(mask))
        key = (tuple(map(id, demands)), waivers)
        found = self._stored.get(key)
        if found is None:
            found = self._stored[key] = self._store(demands, waivers)
        return found

    def compute(self, mask: int) -> int:
        """Return where a label may be computed on: a bit for each target."""
        key = tuple(map(id, self.table.demands(Scope(mask))))
        found = self._computed.get(key)
        if found is None:
            found = 0
            for option in self.table.place(Scope(mask, compute=True)).ranked:
                found |= 1 << option.target
            self._computed[key] = found
        return found

    def covering(self, mask: int) -> int:
        """Return the live waivers whose label covers one, a bit each."""
        found = 0
        for number, waiver in enumerate(self.table.book.waivers):
            if waiver.live(self.table.since) and waiver.mask & mask == mask:
                found |= 1 << number
        return found

    def without(self, mask: int, left_out: Sequence[tuple[Requirement, str]]) -> Mapping[Modes, int]:
        """Return where a label may be stored without some alternatives: of a requirement that for a zone."""
        demands = self.table.demands(Scope(mask))
        return self._store(demands, 0, left_out={(id(requirement), zone) for requirement, zone in left_out})

    def _store(
        self, demands: Sequence[Demand], waivers: int, *, left_out: Collection[tuple[int, str]] = ()
    ) -> Mapping[Modes, int]:
        barred, asked = 0, 0
        stores: _Stores = []
        exceptions = [
            (way.zone, self.table.zones[way.zone], self.table.code(way.mode), 1 << number)
            for number, waiver in enumerate(self.table.book.waivers)
            if waivers >> number & 1 and waiver.live(self.table.since)
            for way in waiver.store
        ]
        for demand in demands:
            barred |= demand.barred
            if demand.store is None:
                continue
            ways = [
                (way.zone, *pair, 0)
                for way, pair in zip(demand.requirement.store or (), demand.store, strict=True)
                if (id(demand.requirement), way.zone) not in left_out
            ]
            ways += exceptions if demand.requirement.waivable else []
            for zone, *_ in ways:
                asked |= self._zone_bits[zone]
            stores.append([way[1:] for way in ways])
        return self._grouped(stores, self._everywhere & ~barred, asked)

    def _grouped(self, stores: _Stores, allowed: int, asked: int) -> Mapping[Modes, int]:
        """Return the targets by their modes; one look suffices for those that are alike in the zones asked about."""
        known: dict[int, Modes] = {}
        found: dict[Modes, int] = {}
        for inside, members in self._kinds.items():
            here = members & allowed
            if not here:
                continue
            modes = known.get(inside & asked)
            if modes is None:
                index = (here & -here).bit_length() - 1
                modes = frozenset(pair for pair in self.table.joins(index, stores) if self._served(pair[0]))
                known[inside & asked] = modes
            if modes:
                found[modes] = found.get(modes, 0) | here
        return found

    def _served(self, code: int) -> bool:
        """Whether some key service could hold the key of a mode."""
        return code < 1 << FIRST_ZONE or self.table.keys(code) != 0

    def picks(self, modes: Modes) -> tuple[Pick, ...]:
        """Return every mode that can be picked: for any waivers in scope among those taken, and any key services.

        One key service is enough to look at, because with more of them the best mode is the best that one of them
        serves. What is picked with some waivers in scope is also picked with those alone that it takes.
        """
        found = self._picks.get(modes)
        if found is None:
            picked: dict[tuple[int, int], Pick] = {}
            for waivers in sorted({own for _, own in modes}):
                codes = {code for code, own in modes if own & waivers == own}
                least = [c for c in codes if not any(other != c and other & c == other for other in codes)]
                least.sort(key=lambda code: self.table.mode(code).rank)
                for holder in (None, *range(len(self.table.services))):
                    code = next((c for c in least if self._held(c, holder)), None)
                    if code is not None and (code, waivers) in modes:
                        picked.setdefault((code, waivers), Pick(code, waivers, holder))
            found = self._picks[modes] = tuple(picked.values())
        return found

    def served_by(self, modes: Modes, holder: int | None) -> bool:
        """Whether one of these modes can be had where there is this one key service, or none."""
        return any(self._held(code, holder) for code, _ in modes)

    def _held(self, code: int, holder: int | None) -> bool:
        """Whether a mode can be had where there is this one key service, or none."""
        if code < 1 << FIRST_ZONE:
            return True
        return holder is not None and bool(self.table.keys(code) >> holder & 1)


def bits(number: int) -> Iterator[int]:
    """Yield the places of the bits of a number that are set, the lowest first."""
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low
