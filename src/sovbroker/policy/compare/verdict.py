"""Verdicts: what changes for one kind of object between two outcomes, and which way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from sovbroker.policy.compare.outcome import Outcome, Way

__all__ = ["Change", "Verdict", "verdict"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changes, and how.

    `what` is `label`, `target`, `mode`, `compute`, `copies`, `distinct`, `retain` or `pad`. `target` is "" where no
    single target is meant. Of a label, `old` are the levels and categories that it loses, `new` those that it gains.
    `old` and `new` are spelled for people; "" is nothing.
    """

    what: str
    target: str = ""
    old: str = ""
    new: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the change as JSON types."""
        return {"what": self.what, "target": self.target, "old": self.old, "new": self.new}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What changes from `old` to `new`. It may loosen in one thing and tighten in another.

    Loosens: a target newly allowed, for storing or computing; a mode that demands less; a label that lost a level or a
    category; fewer copies, fewer differences between them; kept for a shorter least or a longer most time; sizes that
    are not padded any more.
    Tightens: the same with old and new exchanged.
    """

    old: Outcome
    new: Outcome
    loosens: tuple[Change, ...]
    tightens: tuple[Change, ...]

    @property
    def refused(self) -> bool:
        """Whether it was allowed, and is not any more."""
        return self.old.allowed and not self.new.allowed

    @property
    def rechosen(self) -> bool:
        """Whether both allow it and choose different targets."""
        return self.old.allowed and self.new.allowed and set(self.old.chosen) != set(self.new.chosen)

    @property
    def same(self) -> bool:
        """Whether nothing changes."""
        return not (self.loosens or self.tightens or self.rechosen)


def verdict(old: Outcome, new: Outcome, *, shared: Collection[str]) -> Verdict:
    """Hold two outcomes against each other. `shared` are the levels that both policies have.

    A level that only one of them has is not compared: it may be a new name, and what matters is where it leads.
    """
    return Verdict(old, new, tuple(_gains(old, new, shared)), tuple(_flipped(_gains(new, old, shared))))


def _gains(old: Outcome, new: Outcome, levels: Collection[str]) -> Iterator[Change]:
    """Yield what `new` allows and `old` does not."""
    lost = _lost(old, new, levels) if old.label and new.label else []
    if lost:
        yield Change("label", "", "+".join(lost), "")
    for target, way in new.ways.items():
        before = old.ways.get(target)
        if before is None:
            yield Change("target", target, "refused", str(way))
        elif way.lesser(before):
            yield Change("mode", target, *_ways(before, way))
    for target in sorted(new.compute - old.compute):
        yield Change("compute", target, "refused", "allowed")
    if old.allowed and new.allowed:
        yield from _obligations(old, new)


def _lost(old: Outcome, new: Outcome, levels: Collection[str]) -> list[str]:
    """Return the categories, and the levels that both policies have, of the old label that are not in the new one."""
    categories = old.label.split("+")[1:]
    return sorted(name for name in old.elements - new.elements if name in levels or name in categories)


def _ways(old: Way, new: Way) -> tuple[str, str]:
    """Spell two modes; with the key services where only these differ."""
    if str(old) != str(new):
        return str(old), str(new)
    return _served(old), _served(new)


def _served(way: Way) -> str:
    return f"{way} (served by {', '.join(sorted(way.services)) or 'nobody'})"


def _obligations(old: Outcome, new: Outcome) -> Iterator[Change]:
    if new.copies < old.copies:
        yield Change("copies", "", str(old.copies), str(new.copies))
    if old.distinct - new.distinct:
        yield Change("distinct", "", ", ".join(sorted(old.distinct)), ", ".join(sorted(new.distinct)) or "nothing")
    if old.retain.min is not None and (new.retain.min is None or new.retain.min < old.retain.min):
        yield Change("retain", "", f"at least {_days(old.retain.min)}", f"at least {_days(new.retain.min)}")
    if old.retain.max is not None and (new.retain.max is None or new.retain.max > old.retain.max):
        yield Change("retain", "", f"at most {_days(old.retain.max)}", f"at most {_days(new.retain.max)}")

    if old.pad and not new.pad:
        yield Change("pad", "", "padded", "not padded")


def _days(bound: timedelta | None) -> str:
    return "any time" if bound is None else f"{bound.days} days"


def _flipped(changes: Iterable[Change]) -> Iterator[Change]:
    for change in changes:
        yield Change(change.what, change.target, change.new, change.old)
