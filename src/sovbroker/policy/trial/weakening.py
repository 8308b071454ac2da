"""Weaker forms of the smallest parts of a policy: predicates, modes and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sovbroker.catalogue.facts import trimmed
from sovbroker.labels import Label, Lattice
from sovbroker.policy.mode import Encrypt, Mode, Names
from sovbroker.policy.zones import Named, Predicate, Qualified, Seal, Within, Zone

__all__ = ["Weaker", "impossible", "lower_labels", "modes", "predicates", "spell", "within"]


@dataclass(frozen=True, slots=True)
class Weaker:
    """A weaker zone: how it differs, and the key of the predicate that does.

    `near` ends the sentence "a target that …", and tells what a target is like that only the weaker zone takes.
    """

    zone: Zone
    change: str
    key: str
    near: str


def spell(predicate: Predicate) -> str:
    """Spell a predicate as a policy does."""
    match predicate:
        case Within():
            return f"{predicate.axis.value}: [{', '.join(predicate.names)}]"
        case Qualified():
            return f"qualified: {predicate}"
        case Seal():
            return f"seal: {', '.join(f'{name}>={least}' for name, least in predicate.minimum)}"
        case Named():
            return f"{predicate.what}: [{', '.join(predicate.ids)}]"


def impossible(zone: Zone) -> bool:
    """Whether nothing can be in a zone: it lists no provider or no target."""
    return any(isinstance(predicate, Named) and not predicate.ids for predicate in zone.predicates)


def predicates(zone: Zone) -> Iterator[Weaker]:
    """Yield a zone without each of its predicates, and with each minimum lower by one step."""
    for index, predicate in enumerate(zone.predicates):
        told = spell(predicate)
        near = f"meets all of it but `{told}`"
        yield Weaker(_with(zone, index, ()), f"without `{told}`", told.partition(":")[0], near)
        match predicate:
            case Qualified() if trimmed(predicate.least):
                yield _lower_version(zone, index, predicate)
            case Seal():
                yield from _lower_seal(zone, index, predicate)
            case _:
                pass


def _with(zone: Zone, index: int, found: Sequence[Predicate]) -> Zone:
    return replace(zone, predicates=(*zone.predicates[:index], *found, *zone.predicates[index + 1 :]))


def _lower_version(zone: Zone, index: int, predicate: Qualified) -> Weaker:
    *first, last = trimmed(predicate.least)
    lower = replace(predicate, least=trimmed((*first, last - 1)))
    change = f"with `{lower}` in place of `{predicate}`"
    return Weaker(
        _with(zone, index, (lower,)), change, "qualified", f"meets all of it, but is qualified `{lower}` only"
    )


def _lower_seal(zone: Zone, index: int, predicate: Seal) -> Iterator[Weaker]:
    for place, (name, least) in enumerate(predicate.minimum):
        before, after = predicate.minimum[:place], predicate.minimum[place + 1 :]
        if least:
            lower = replace(predicate, minimum=(*before, (name, least - 1), *after))
            change, near = (
                f"with `{name}: {least - 1}` in place of {least}",
                f"has {name} {least - 1}, and meets the rest",
            )
            yield Weaker(_with(zone, index, (lower,)), change, "seal", near)
        elif len(predicate.minimum) > 1:
            # Whoever notices a lower minimum notices one that is gone; only of 0 there is no lower one.
            lower = replace(predicate, minimum=(*before, *after))
            near = f"has no score for {name}, and meets the rest"
            yield Weaker(_with(zone, index, (lower,)), f"without `{name}: 0`", "seal", near)
    if predicate.assessors:
        lower = replace(predicate, assessors=())
        near = f"is scored by somebody else than {' or '.join(predicate.assessors)}, and meets the rest"
        yield Weaker(_with(zone, index, (lower,)), "with a `seal` by any assessor", "seal", near)


def modes(mode: Mode) -> Iterator[tuple[Mode, str]]:
    """Yield the modes one step below a mode, and what each lacks."""
    for zone in sorted(mode.keys):
        yield replace(mode, keys=mode.keys - {zone}), f"without `keys: {zone}`"
    if mode.names_encrypted:
        yield replace(mode, names=Names.CLEAR), "with readable names"
    if mode.sealed and not mode.names_encrypted and not mode.keys:
        yield replace(mode, encrypt=Encrypt.NONE), "in the clear"


def lower_labels(lattice: Lattice, mask: int) -> Iterator[int]:
    """Yield the labels one step below a label: without each category, and one level lower.

    What is implied by the rest comes back, and is left out.
    """
    label, seen = lattice.label(mask), {mask}
    levels = list(lattice.levels)
    rank = levels.index(label.level)
    lower = [Label(label.level, label.categories - {name}) for name in sorted(label.categories)]
    lower += [Label(levels[rank - 1], label.categories)] if rank else []
    for own in lower:
        found = lattice.mask(own)
        if found not in seen:
            seen.add(found)
            yield found


def within(inner: Zone, outer: Zone) -> bool:
    """Whether whatever is in one zone is in another, because the other asks for less."""
    return set(outer.predicates) <= set(inner.predicates)
