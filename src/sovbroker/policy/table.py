"""The compiled table: a rulebook over given targets and key services, for one span of days in which no fact changes.

Modes are numbers here (one bit for encryption, one for names, one per key zone), so that a join is `|` and "demands at
most" is a subset of bits. A label's mask picks a cell, and `place` fills it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

from sovbroker.catalogue.facts import KeyHolder, Target
from sovbroker.errors import InvalidArgument
from sovbroker.policy.documents import Distinct
from sovbroker.policy.mode import Encrypt, Mode, Names
from sovbroker.policy.ranking import Candidate, attributes, first_set
from sovbroker.policy.rulebook import Requirement, Retain, Rulebook, Waiver
from sovbroker.policy.zones import Subject, members

__all__ = ["Demand", "Obligations", "Option", "Placing", "Scope", "Table", "World"]

ENCRYPT: Final = 1
NAMES: Final = 2
FIRST_ZONE: Final = 2


@dataclass(frozen=True, slots=True)
class World:
    """What a policy is applied to: targets and key services, each in a fixed order, with the digest of their facts."""

    targets: tuple[Target, ...]
    holders: tuple[KeyHolder, ...]
    catalogue: str

    @classmethod
    def of(cls, targets: Iterable[Target], holders: Iterable[KeyHolder], *, catalogue: str) -> World:
        """Put them in a fixed order. Raises InvalidArgument when two have the same id."""
        ordered = tuple(sorted(targets, key=lambda target: target.id))
        services = tuple(sorted(holders, key=lambda holder: holder.id))
        for ids in ([target.id for target in ordered], [holder.id for holder in services]):
            twice = next((one for one, other in pairwise(ids) if one == other), None)
            if twice is not None:
                raise InvalidArgument(f"`{twice}` is given twice; every target and key service has its own id")
        return cls(ordered, services, catalogue)

    def epochs(self) -> frozenset[date]:
        """Return the days on which a fact of a target or key service begins to count no more."""
        facts = [target.facts for target in self.targets] + [holder.facts for holder in self.holders]
        return frozenset[date]().union(*(found.epochs() for found in facts))


@dataclass(frozen=True, slots=True)
class Scope:
    """What is to be placed: the label's mask, the waivers in scope (a bit each), and whether it is for computing."""

    mask: int
    waivers: int = 0
    compute: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """A target that complies: its index, the mode in which it does, and the waivers that this takes (a bit each)."""

    target: int
    code: int
    waivers: int = 0


@dataclass(frozen=True, slots=True)
class Placing:
    """The outcome for one scope: every target that complies, in rank order, and the chosen ones among them."""

    ranked: tuple[Option, ...]
    chosen: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Obligations:
    """What a label demands besides places: copies, in what they differ, how long they are kept, padded sizes."""

    count: int
    distinct: frozenset[Distinct]
    retain: Retain
    pad: bool = False


@dataclass(frozen=True, slots=True)
class Demand:
    """A requirement, translated: bit sets of targets, and the alternatives as (targets, mode)."""

    requirement: Requirement
    barred: int
    store: tuple[tuple[int, int], ...] | None
    compute: int | None


class Table:
    """The table of one epoch: from the day `since` to the day before `until`."""

    def __init__(self, book: Rulebook, world: World, *, since: date, until: date | None) -> None:
        self.book = book
        self.world = world
        self.since = since
        self.until = until
        self.subjects = [Subject.of(target) for target in world.targets]
        self.services = [Subject.of(holder) for holder in world.holders]
        self.zones = {name: members(zone, self.subjects, day=since) for name, zone in book.zones.items()}
        self.keyed = {name: members(zone, self.services, day=since) for name, zone in book.zones.items()}
        self._zone_bit = {name: 1 << (FIRST_ZONE + index) for index, name in enumerate(book.zones)}
        self._signatures = [self._signature(index) for index in range(len(self.subjects))]
        self._all = (1 << len(world.targets)) - 1
        self._modes: dict[int, Mode] = {}
        self._keys: dict[int, int] = {}
        self._demands = {name: tuple(map(self._demand, found)) for name, found in book.requirements.items()}
        self._exceptions = tuple(self._exception(waiver) for waiver in book.waivers)
        self._rank = self._ranks()

    # --- what the parts of a rulebook mean here

    def _demand(self, requirement: Requirement) -> Demand:
        barred = 0
        for name in requirement.deny:
            barred |= self.named(name)
        if requirement.where is not None:
            barred |= self._all & ~members(requirement.where, self.subjects, day=self.since)
        store = requirement.store
        compute = requirement.compute
        return Demand(
            requirement,
            barred,
            None if store is None else tuple((self.zones[a.zone], self.code(a.mode)) for a in store),
            None if compute is None else self._union(compute),
        )

    def _signature(self, index: int) -> int:
        """Return the zones in which a target is, a bit each: targets with the same ones have the same modes."""
        bits = 0
        for place, members_of in enumerate(self.zones.values()):
            bits |= (members_of >> index & 1) << place
        return bits

    def _union(self, zones: Iterable[str]) -> int:
        bits = 0
        for name in zones:
            bits |= self.zones[name]
        return bits

    def named(self, name: str) -> int:
        """Return the targets that a `deny` means: those of the zone, the provider or the target of that name."""
        bits = self.zones.get(name, 0)
        for index, subject in enumerate(self.subjects):
            if name == subject.provider or name in subject.names:
                bits |= 1 << index
        return bits

    def _exception(self, waiver: Waiver) -> tuple[tuple[int, int], ...]:
        """Return a waiver's alternatives as (targets, mode); none once it has lapsed."""
        if not waiver.live(self.since):
            return ()
        return tuple((self.zones[a.zone], self.code(a.mode)) for a in waiver.store)

    # --- modes as numbers

    def code(self, mode: Mode) -> int:
        """Return the number of a mode."""
        code = (ENCRYPT if mode.sealed else 0) | (NAMES if mode.names_encrypted else 0)
        for zone in mode.keys:
            code |= self._zone_bit[zone]
        return code

    def mode(self, code: int) -> Mode:
        """Return the mode of a number."""
        if code not in self._modes:
            self._modes[code] = Mode(
                Encrypt.CLIENT if code & ENCRYPT else Encrypt.NONE,
                Names.ENCRYPT if code & NAMES else Names.CLEAR,
                frozenset(name for name, bit in self._zone_bit.items() if code & bit),
            )
        return self._modes[code]

    def keys(self, code: int) -> int:
        """Return the key services that may serve a mode, a bit each: those in every one of its key zones."""
        if code not in self._keys:
            bits = (1 << len(self.services)) - 1
            for name, bit in self._zone_bit.items():
                if code & bit:
                    bits &= self.keyed[name]
            self._keys[code] = bits
        return self._keys[code]

    def _feasible(self, code: int) -> bool:
        return code <= (ENCRYPT | NAMES) or self.keys(code) != 0

    # --- what a scope demands

    def demands(self, scope: Scope) -> list[Demand]:
        """Return what every element of the label demands."""
        return [d for name in self.book.lattice.elements(scope.mask) for d in self._demands.get(name, ())]

    def obligations(self, scope: Scope) -> Obligations:
        """Return what every element of the label demands together, besides places."""
        count, distinct, retain, pad = 1, frozenset[Distinct](), Retain(), False
        for demand in self.demands(scope):
            count = max(count, demand.requirement.count)
            distinct |= demand.requirement.distinct
            retain &= demand.requirement.retain
            pad |= demand.requirement.pad
        return Obligations(1, frozenset(), retain) if scope.compute else Obligations(count, distinct, retain, pad)

    def place(self, scope: Scope) -> Placing:
        """Decide where a scope goes. Pure: the same scope has the same outcome for ever."""
        demands = self.demands(scope)
        options = self._compute_options(demands) if scope.compute else self._store_options(demands, scope.waivers)
        ranked = tuple(sorted(options, key=self._rank_of))
        owed = self.obligations(scope)
        if owed.retain.contradicts:
            return Placing(ranked, ())
        targets = self.world.targets
        candidates = [
            Candidate(o.target, attributes(targets[o.target], owed.distinct), self._holders(o.code)) for o in ranked
        ]
        found = set(first_set(candidates, owed.count))
        return Placing(ranked, tuple(o for o in ranked if o.target in found))

    def _holders(self, code: int) -> int:
        """Return the key services of which one must be shared; -1, any, where that does not matter."""
        return self.keys(code) if code & ENCRYPT and self.services else -1

    def _compute_options(self, demands: Sequence[Demand]) -> list[Option]:
        """Return the targets that may work on the plaintext, of which encryption makes none.

        The lowest level, which every label includes, has to say where. Were a stricter element enough to say it, a
        stricter label would gain targets.
        """
        allowed = self._all if self.computes() else 0
        for demand in demands:
            allowed &= ~demand.barred
            if demand.compute is not None:
                allowed &= demand.compute
        return [Option(index, 0) for index in range(len(self.subjects)) if allowed >> index & 1]

    def computes(self) -> bool:
        """Whether the lowest level says where anything may be computed on; where it does not, nothing may be."""
        lowest = self.book.lattice.levels[0]
        return any(demand.compute is not None for demand in self._demands.get(lowest, ()))

    def _store_options(self, demands: Sequence[Demand], waivers: int) -> list[Option]:
        allowed = self._all
        for demand in demands:
            allowed &= ~demand.barred
        exceptions = [
            (zone, code, 1 << bit)
            for bit, alternatives in enumerate(self._exceptions)
            if waivers >> bit & 1
            for zone, code in alternatives
        ]
        stores = [
            [(zone, code, 0) for zone, code in d.store] + (exceptions if d.requirement.waivable else [])
            for d in demands
            if d.store is not None
        ]
        known: dict[int, tuple[int, int] | None] = {}
        options: list[Option] = []
        for index in range(len(self.subjects)):
            if not allowed >> index & 1:
                continue
            signature = self._signatures[index]
            if signature not in known:
                known[signature] = self._mode_at(index, stores)
            found = known[signature]
            if found is not None:
                options.append(Option(index, found[0], found[1]))
        return options

    def joins(self, index: int, stores: Iterable[Iterable[tuple[int, int, int]]]) -> set[tuple[int, int]]:
        """Return the minimal joins of one alternative of each store at a target, with the waivers that each takes."""
        joined = {(0, 0)}
        for store in stores:
            here = {(code, waiver) for zone, code, waiver in store if zone >> index & 1}
            joined = _minimal({(a | b, v | w) for a, v in joined for b, w in here})
        return joined

    def _mode_at(self, index: int, stores: Iterable[Iterable[tuple[int, int, int]]]) -> tuple[int, int] | None:
        """Return the mode at a target, with the fewest waivers that it takes; None when there is none."""
        joined = {(code, waivers) for code, waivers in self.joins(index, stores) if self._feasible(code)}
        if not joined:
            return None
        codes = {code for code, _ in joined}
        least = [code for code in codes if not any(other != code and other & code == other for other in codes)]
        best = min(least, key=lambda code: self.mode(code).rank) if len(least) > 1 else least[0]
        return best, min((w for code, w in joined if code == best), key=lambda w: (w.bit_count(), w))

    # --- ranking

    def _rank_of(self, option: Option) -> tuple[object, ...]:
        """Return what an option is ranked by: at equal trust, first where less must be done to this very object."""
        rank = self._rank[option.target]
        if "zone" not in self.book.prefer:
            return rank
        after = self._trust_at + 1
        return (*rank[:after], effort(option.code), *rank[after:])

    @property
    def _trust_at(self) -> int:
        """Where in a rank the trust stands: zones side by side before it are one criterion."""
        named = [name in self.book.zones for name in self.book.prefer[: self.book.prefer.index("zone")]]
        return sum(1 for place, zone in enumerate(named) if not zone or place == 0 or not named[place - 1])

    def _ranks(self) -> list[tuple[object, ...]]:
        """Return what each target is ranked by, the smallest first."""
        trust = self._trust() if "zone" in self.book.prefer else [()] * len(self.subjects)
        return [
            (*(key for key in self._criteria(index, trust[index])), target.id)
            for index, target in enumerate(self.world.targets)
        ]

    def _criteria(self, index: int, trust: tuple[int, ...]) -> Iterable[object]:
        target, listed = self.world.targets[index], list[str]()
        for name in (*self.book.prefer, ""):
            if name and name in self.book.zones:
                listed.append(name)
                continue
            if listed:
                # Zones side by side are one criterion: the first of them that contains the target.
                inside = (place for place, zone in enumerate(listed) if self.zones[zone] >> index & 1)
                yield next(inside, len(listed))
                listed = []
            match name:
                case "zone":
                    yield trust
                case "cost":
                    yield (target.cost is None, target.cost or 0)
                case "latency":
                    yield (target.latency is None, target.latency or 0)
                case _:
                    pass

    def _trust(self) -> list[tuple[int, ...]]:
        """Return how far each target is trusted: for each level, the strictest first, what it takes to hold it there.

        In the clear before sealed, sealed before sealed with hidden names, fewer key zones before more, all of these
        before not at all. It comes from what the policy says, so the order in which zones are written has no part.
        """
        trust: list[list[int]] = [[] for _ in self.subjects]
        lattice = self.book.lattice
        for level in reversed(lattice.levels):
            demands = self.demands(Scope(lattice.mask_of_text(level)))
            found = {option.target: option.code for option in self._store_options(demands, 0)}
            for index, own in enumerate(trust):
                code = found.get(index)
                own.append(1 << 30 if code is None else effort(code))
        return [tuple(own) for own in trust]


def effort(code: int) -> int:
    """Return a number that grows with what a mode demands: encryption, then names, then how many key zones."""
    return (code & (ENCRYPT | NAMES)) << 16 | (code >> FIRST_ZONE).bit_count()


def _minimal(pairs: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return the pairs that no other one is below, in the mode and in the waivers alike."""
    if len(pairs) < 2:  # noqa: PLR2004  # a single pair is minimal
        return pairs
    return {(a, v) for a, v in pairs if not any((b, w) != (a, v) and b & a == b and w & v == w for b, w in pairs)}
