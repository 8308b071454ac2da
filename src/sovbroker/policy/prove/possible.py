"""Every place that there could be, as far as a policy can tell: one representative of each kind.

Kinds are found by folding axis after axis: what is left satisfied by everything so far, `&` what the next outcome
leaves satisfied. The representatives become real targets and key services, so that the table that decides for real ones
decides for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from sovbroker.policy.prove.axes import Denied, Observer, Outcome, Range, axes, key_names, named_last
from sovbroker.policy.prove.traits import Name, Traits
from sovbroker.policy.rulebook import Rulebook
from sovbroker.policy.table import World

__all__ = ["KINDS_MAX", "Kind", "Possible", "possible"]

KINDS_MAX: Final = 8192
"""How many kinds of places are looked at. Fixed, so that every machine proves the same."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Places that a policy cannot tell apart: the simplest of them, and every name that one of them can have."""

    traits: Traits
    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Possible:
    """Every kind of target, the simplest first, and every kind of key service that matters, as a world.

    `complete` is false where there are more than `KINDS_MAX`: then nothing that holds here is proved.
    """

    targets: tuple[Kind, ...]
    holders: tuple[Kind, ...]
    complete: bool

    @property
    def world(self) -> World:
        """The representatives as targets and key services. A name may occur twice: one target, as it may be."""
        targets = tuple(kind.traits.target() for kind in self.targets)
        return World(targets, tuple(kind.traits.holder() for kind in self.holders), "possible")


def possible(book: Rulebook, day: date) -> Possible:
    """Return every kind of place that a policy can tell apart."""
    observers = _observers(book)
    targets, all_targets = _fold(axes(observers, day), named_last(observers, day))
    keyed = [Observer(book.zones[name].predicates) for name in key_zones(book)]
    holders, all_holders = _fold(axes(keyed, day), key_names(keyed, day))
    return Possible(targets, holders if keyed else (), all_targets and all_holders)


def key_zones(book: Rulebook) -> tuple[str, ...]:
    """Return the zones in which a key may have to be."""
    stores = [r.store or () for found in book.requirements.values() for r in found]
    stores += [waiver.store for waiver in book.waivers]
    modes = [way.mode for store in stores for way in store]
    modes += [invariant.demand for invariant in book.always if invariant.demand is not None]
    return tuple(sorted({zone for mode in modes for zone in mode.keys}))


def _observers(book: Rulebook) -> list[Observer]:
    """Return what a policy asks of targets, each thing once."""
    requirements = [r for found in book.requirements.values() for r in found]
    asked: list[Observer] = [Observer(zone.predicates) for zone in book.zones.values()]
    asked += [Observer(r.where.predicates) for r in requirements if r.where is not None]
    asked += [Observer((Denied(name),)) for r in requirements for name in r.deny]
    return list(dict.fromkeys(asked))


def _fold(facts: Iterable[Range], names: Sequence[Outcome]) -> tuple[tuple[Kind, ...], bool]:
    """Return the kinds, the simplest first, and whether these are all."""
    complete = True
    states: dict[int, Traits] = {-1: Traits()}
    for axis in facts:
        after: dict[int, Traits] = {}
        for seen, traits in states.items():
            for outcome in axis.outcomes:
                both = seen & outcome.seen
                found = traits + outcome.traits
                known = after.get(both)
                if known is None or found.cost < known.cost:
                    after[both] = found
        complete = complete and axis.complete and len(after) <= KINDS_MAX
        states = dict(sorted(after.items(), key=_simple)[:KINDS_MAX])
    called: dict[int, list[Name]] = {}
    last: dict[int, Traits] = {}
    for seen, traits in states.items():
        for outcome in names:
            both = seen & outcome.seen
            found = traits + outcome.traits
            known = last.get(both)
            if known is None or found.cost < known.cost:
                last[both] = found
            if found.name is not None and found.name not in called.setdefault(both, []):
                called[both].append(found.name)
    complete = complete and len(last) <= KINDS_MAX
    kinds = sorted(last.items(), key=_simple)[:KINDS_MAX]
    return tuple(Kind(traits, tuple(sorted(called[seen]))) for seen, traits in kinds), complete


def _simple(item: tuple[int, Traits]) -> tuple[int, str, int]:
    """Return what sorts kinds: the fewest facts first, then by their words, so that every run shows the same."""
    seen, traits = item
    return traits.cost, str(traits), -seen
