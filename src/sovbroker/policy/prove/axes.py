"""The axes along which possible places differ, as far as a policy can see: each has finitely many outcomes.

An observer is something that a policy asks of a place: a zone, a `where`, a denied name. Along one axis an outcome is
seen as the set of observers that it leaves satisfied, a bit each, and of outcomes that are seen alike the simplest is
kept. What is seen is asked of the predicates themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, assert_never

from sovbroker.catalogue.countries import COUNTRIES
from sovbroker.catalogue.facts import trimmed
from sovbroker.policy.prove.traits import OFFER, Name, Traits
from sovbroker.policy.zones import Axis, Named, Predicate, Qualified, Seal, Subject, Within

__all__ = ["Denied", "Observer", "Outcome", "Range", "axes", "key_names", "named_last"]

NAMES: Final = "name"

CLOSURE_MAX: Final = 4096
"""How many outcomes of one axis are kept."""

_Levels = tuple[tuple[str, int], ...]

FAMILIAR: Final = ("FR", "DE", "US", "CH", "CN")
"""The countries that stand for others first, because examples with them are read faster."""


@dataclass(frozen=True, slots=True)
class Denied:
    """What `deny` asks: whether the target, or its provider, is called `name`."""

    name: str

    def unmet(self, subject: Subject, day: date) -> str:  # noqa: ARG002  # predicates share one signature
        """Say why it is not met; "" when it is."""
        return "" if self.name == subject.provider or self.name in subject.names else "not denied"


@dataclass(frozen=True, slots=True)
class Observer:
    """Something that is satisfied where all its predicates are."""

    predicates: tuple[Predicate | Denied, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One outcome of an axis: the observers that it leaves satisfied, and the facts that make it."""

    seen: int
    traits: Traits


@dataclass(frozen=True, slots=True)
class Range:
    """The outcomes of one axis, and whether these are all."""

    outcomes: tuple[Outcome, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one axis is asked: each observer's predicates on it, with the observer's bit."""

    every: int
    predicates: tuple[tuple[int, Predicate | Denied], ...]
    day: date

    def outcome(self, traits: Traits, subject: Subject | None = None) -> Outcome:
        """Return how traits are seen."""
        place = subject or Subject(frozenset(), "", traits.facts())
        seen = self.every
        for bit, predicate in self.predicates:
            if seen & bit and predicate.unmet(place, self.day):
                seen ^= bit
        return Outcome(seen, traits)


def axes(observers: Sequence[Observer], day: date) -> tuple[Range, ...]:
    """Return the outcomes of every axis but the names, each seen differently, the simplest one of its kind."""
    found = [_countries(axis, asked) for axis in Axis if (asked := _ask(observers, axis, day)).predicates]
    every = [p for o in observers for p in o.predicates]
    schemes = sorted({p.scheme for p in every if isinstance(p, Qualified)})
    frameworks = sorted({p.framework for p in every if isinstance(p, Seal)})
    found += [_versions(scheme, _ask(observers, f"qualified {scheme}", day)) for scheme in schemes]
    found += [_scores(framework, _ask(observers, f"seal {framework}", day)) for framework in frameworks]
    return tuple(found)


def _axis(predicate: Predicate | Denied) -> str:
    """Return the axis that a predicate is about."""
    match predicate:
        case Within():
            return predicate.axis
        case Qualified():
            return f"qualified {predicate.scheme}"
        case Seal():
            return f"seal {predicate.framework}"
        case Named() | Denied():
            return NAMES
        case _:
            assert_never(predicate)


def _ask(observers: Sequence[Observer], axis: str, day: date) -> _Asked:
    predicates = tuple((1 << i, p) for i, o in enumerate(observers) for p in o.predicates if _axis(p) == axis)
    return _Asked((1 << len(observers)) - 1, predicates, day)


def _simplest(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """Keep, of what is seen alike, the simplest; of equally simple ones the first."""
    kept: dict[int, Outcome] = {}
    for outcome in outcomes:
        known = kept.get(outcome.seen)
        if known is None or outcome.traits.cost < known.traits.cost:
            kept[outcome.seen] = outcome
    return tuple(kept.values())


def _countries(axis: Axis, asked: _Asked) -> Range:
    """Return the outcomes of one question about countries.

    A set of countries is within another when each of them is, so what any set is seen as is what its countries have in
    common; a country of no list is seen as an unknown one.
    """

    def traits(countries: frozenset[str]) -> Traits:
        match axis:
            case Axis.LOCATED:
                return Traits(located=countries)
            case Axis.CONTROLLED:
                return Traits(controlled=countries)
            case Axis.TECHNOLOGY:
                return Traits(technology=countries)
            case Axis.ALONE:
                return Traits(alone=countries)

    known: dict[int, frozenset[str]] = {}
    for country in (*FAMILIAR, *sorted(COUNTRIES)):
        seen = 0
        for bit, predicate in asked.predicates:
            if isinstance(predicate, Within) and country in predicate.countries:
                seen |= bit
        known.setdefault(seen, frozenset({country}))
    pairs = _closed(known, lambda a, b: a & b, lambda a, b: a | b)
    found = [asked.outcome(Traits()), *(asked.outcome(traits(countries)) for countries in pairs.values())]
    if axis is Axis.ALONE:
        found.append(asked.outcome(Traits(alone=frozenset())))
    return Range(_simplest(found), len(pairs) <= CLOSURE_MAX)


def _closed(
    known: dict[int, frozenset[str]],
    meet: Callable[[int, int], int],
    join: Callable[[frozenset[str], frozenset[str]], frozenset[str]],
) -> dict[int, frozenset[str]]:
    """Add what combinations are seen as, with as few parts as it takes, up to `CLOSURE_MAX`."""
    single = dict(known)
    level = dict(known)
    while level and len(known) <= CLOSURE_MAX:
        above: dict[int, frozenset[str]] = {}
        for seen, parts in level.items():
            for other, part in single.items():
                both = meet(seen, other)
                if both not in known and both not in above:
                    above[both] = join(parts, part)
        known.update(above)
        level = above
    return known


def _versions(scheme: str, asked: _Asked) -> Range:
    """Return the outcomes of one scheme: none, of an unknown version, or of each version that is asked for."""
    least = {p.least for _, p in asked.predicates if isinstance(p, Qualified) and p.least}
    versions = [(), *sorted(least, key=lambda version: (trimmed(version), version))]
    outcomes = (asked.outcome(Traits(qualified=((scheme, version),))) for version in versions)
    return Range(_simplest([asked.outcome(Traits()), *outcomes]))


def _scores(framework: str, asked: _Asked) -> Range:
    """Return the outcomes of one framework: every set of scores, by any assessors, that is seen differently.

    A score that is the highest of several minimums meets all of them; several scores meet what any of them meets.
    """
    seals = [p for _, p in asked.predicates if isinstance(p, Seal)]
    named = sorted({assessor for p in seals for assessor in p.assessors})
    other = next(name for name in ("anyone", *(f"anyone-{n}" for n in range(len(named) + 1))) if name not in named)
    vectors = _highest({p.minimum for p in seals})
    # Whoever is no assessor that a policy names comes first: if their word is enough, anyone's is.
    single = [((framework, assessor, levels),) for assessor in (other, *named) for levels in sorted(vectors, key=_size)]
    nothing = asked.outcome(Traits())
    known = {o.seen: o for o in _simplest([nothing, *(asked.outcome(Traits(seal=score)) for score in single)])}
    pairs = {o.seen ^ nothing.seen: o.traits for o in known.values()}
    level = dict(pairs)
    while level and len(pairs) <= CLOSURE_MAX:
        above: dict[int, Traits] = {}
        for seen, traits in level.items():
            for other_seen, other_traits in list(pairs.items()):
                both = seen | other_seen
                if both not in pairs and both not in above:
                    above[both] = traits + other_traits
        pairs.update(above)
        level = above
    complete = max(len(vectors), len(pairs)) <= CLOSURE_MAX
    return Range(_simplest(asked.outcome(traits) for traits in pairs.values()), complete)


def _highest(minimums: Iterable[_Levels]) -> set[_Levels]:
    """Return the minimums, and the least levels that meet any several of them, up to `CLOSURE_MAX`."""
    vectors = set(minimums)
    pending = sorted(vectors)
    while pending and len(vectors) <= CLOSURE_MAX:
        first = pending.pop(0)
        for own in sorted(vectors):
            levels = dict(own)
            levels.update((name, max(level, levels.get(name, -1))) for name, level in first)
            joined = tuple(sorted(levels.items()))
            if joined not in vectors:
                vectors.add(joined)
                pending.append(joined)
    return vectors


def _size(levels: _Levels) -> tuple[int, int, _Levels]:
    return len(levels), sum(level for _, level in levels), levels


def named_last(observers: Sequence[Observer], day: date) -> tuple[Outcome, ...]:
    """Return the outcomes of the last axis, names: any target, one of each provider named, and each target named.

    None is left out for being seen alike: how many targets of different names there can be matters for copies.
    """
    asked, words = _names(observers, day)
    fresh = _fresh("another", words)
    place = _fresh("place", words)
    found = [Name(f"{fresh}/{place}", fresh, place, fresh=True)]
    for word in sorted(words):
        provider, slash, region = word.partition("/")
        if not slash:
            found.append(Name(f"{word}/{place}", word, place))
            # What the operator runs itself is called like its provider.
            found.append(Name(word, word, "", single=True))
            continue
        offer, at, inner = region.partition("@")
        if not at:
            found.append(Name(word, provider, region, single=True))
        else:
            plain = offer == OFFER
            found.append(Name(f"{provider}/{inner}" if plain else word, provider, inner, offer, single=True))
    return tuple(
        asked.outcome(Traits(name=name), Subject.of(Traits(name=name).target())) for name in dict.fromkeys(found)
    )


def key_names(observers: Sequence[Observer], day: date) -> tuple[Outcome, ...]:
    """Return the outcomes of names for key services, of which only the id is seen."""
    asked, words = _names(observers, day)
    names = [Name(_fresh("keys", words), fresh=True), *(Name(word, single=True) for word in sorted(words))]
    return _simplest(asked.outcome(Traits(name=n), Subject.of(Traits(name=n).holder())) for n in names)


def _names(observers: Sequence[Observer], day: date) -> tuple[_Asked, frozenset[str]]:
    asked = _ask(observers, NAMES, day)
    words: set[str] = set()
    for _, predicate in asked.predicates:
        if isinstance(predicate, Named):
            words.update(predicate.ids)
        elif isinstance(predicate, Denied):
            words.add(predicate.name)
    return asked, frozenset(words)


def _fresh(stem: str, words: Iterable[str]) -> str:
    """Return a name that occurs in none of `words`."""
    taken, number, name = list(words), 1, stem
    while any(name in word for word in taken):
        number += 1
        name = f"{stem}-{number}"
    return name
