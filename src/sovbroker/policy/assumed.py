"""Key services that nobody has configured, to judge a policy that is still without a configuration.

A policy may ask for keys in a zone before it is known which services there will be. Judged without any, all that has to
be sealed there would be refused, and everything else about it would stay unseen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from sovbroker.catalogue.facts import (
    Basis,
    Confidence,
    Evidence,
    Fact,
    Facts,
    KeyHolder,
    Qualification,
    SealScore,
    Status,
)
from sovbroker.policy.rulebook import Rulebook
from sovbroker.policy.zones import Axis, Named, Qualified, Seal, Within, Zone

__all__ = ["assumed_holders"]

ASSUMED = Evidence(Basis.ATTESTED, Confidence.HIGH, note="assumed: no configuration was given")


def assumed_holders(book: Rulebook) -> tuple[KeyHolder, ...]:
    """Return one key service for each set of zones that a policy may want keys in, where one is possible at all.

    Modes add up, so there is one in all key zones together too, where no two of them exclude each other.
    """
    stores = [r.store or () for found in book.requirements.values() for r in found] + [w.store for w in book.waivers]
    wanted = {alternative.mode.keys for store in stores for alternative in store if alternative.mode.keys}
    wanted |= {frozenset[str]().union(*wanted)} if wanted else set()
    found = {zones: _holder([book.zones[name] for name in sorted(zones)]) for zones in wanted}
    named = {holder.id: holder for holder in found.values() if holder is not None}
    return tuple(named[name] for name in sorted(named))


def _holder(zones: list[Zone]) -> KeyHolder | None:
    countries: dict[Axis, frozenset[str]] = {}
    schemes: dict[str, tuple[int, ...]] = {}
    scores: list[SealScore] = []
    name = f"any key service in {' and '.join(zone.name for zone in zones)}"
    for predicate in (predicate for zone in zones for predicate in zone.predicates):
        match predicate:
            case Within():
                known = countries.get(predicate.axis, predicate.countries)
                countries[predicate.axis] = known & predicate.countries
            case Qualified():
                schemes[predicate.scheme] = max(schemes.get(predicate.scheme, ()), predicate.least)
            case Seal():
                assessor = min(predicate.assessors, default="anyone")
                levels = tuple((objective, 4) for objective, _ in predicate.minimum)
                scores.append(SealScore(predicate.framework, assessor, levels, ASSUMED))
            case Named():
                # A key service has no provider, and only the name that a zone gives it.
                if predicate.what == "provider" or not predicate.ids:
                    return None
                name = predicate.ids[0]
            case _:
                assert_never(predicate)
    asked = set(countries)
    # A keyring that nobody opens alone is in every list of those who may.
    countries.pop(Axis.ALONE, None)
    if not all(countries.values()):
        return None
    facts = Facts(
        located=_fact(countries.get(Axis.LOCATED)),
        controlled=_fact(countries.get(Axis.CONTROLLED)),
        technology=_fact(countries.get(Axis.TECHNOLOGY)),
        alone=Fact(frozenset[str](), ASSUMED) if Axis.ALONE in asked else None,
        qualified=tuple(Qualification(s, Status.QUALIFIED, ASSUMED, v) for s, v in sorted(schemes.items())),
        seal=tuple(scores),
    )
    return KeyHolder(name, facts)


def _fact(countries: Iterable[str] | None) -> Fact[frozenset[str]]:
    return Fact(None if countries is None else frozenset({min(countries)}), ASSUMED)
