"""What time does to a policy over its own targets: the days on which labels lose targets, and have none left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from sovbroker.document import Findings
from sovbroker.policy import codes
from sovbroker.policy.explain import verdict
from sovbroker.policy.policy import Cell, Policy
from sovbroker.policy.prove.labels import Reached

__all__ = ["Loss", "Timeline"]


@dataclass(frozen=True, slots=True)
class Loss:
    """On `day` a label loses a target, and `left` targets stay; `dark` tells that it then has no placement."""

    label: str
    day: date
    target: str
    left: int
    dark: bool

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {
            "label": self.label,
            "day": self.day.isoformat(),
            "target": self.target,
            "left": self.left,
            "dark": self.dark,
        }


@dataclass(slots=True)
class Timeline:
    """Follows labels from the day `at` through every epoch of a policy.

    `brought` are labels that only packs know of: objects may carry them or not, so that they have no placement today is
    no error; that they lose one is told like any other loss.
    """

    policy: Policy
    at: date
    epochs: int = 1
    brought: Sequence[Reached] = ()
    _failed: list[int] = field(default_factory=list[int])
    _spared: set[int] = field(default_factory=set[int])

    def run(self, reached: Sequence[Reached], findings: Findings) -> tuple[Loss, ...]:
        """Return every loss, by day. A label without a placement is an error today and a warning later."""
        known = {own.mask for own in reached}
        more = [own for own in self.brought if own.mask not in known]
        labels = [own for own in (*reached, *more) if not self.policy.book.forbids(own.mask)]
        self._spared = {own.mask for own in more}
        before: dict[int, frozenset[str]] = {}
        losses: list[Loss] = []
        days = [self.at, *(day for day in self._days() if day > self.at)]
        self.epochs = len(days)
        for day in days:
            today = day.toordinal()
            table = self.policy.table(today)
            targets = table.world.targets
            for own in labels:
                cell = self.policy.placement(own.mask, at_day=today)
                now = frozenset(targets[option.target].id for option in cell.placing.ranked)
                lost = sorted(before.get(own.mask, now) - now)
                label = str(self.policy.lattice.label(own.mask))
                losses += [Loss(label, day, name, len(now), not cell.allowed) for name in lost]
                before[own.mask] = now
                if not cell.allowed:
                    self._dark(own, day, _lapsed(cell, lost), findings)
        return tuple(losses)

    def _days(self) -> Sequence[date]:
        """Return the days on which another epoch begins."""
        return sorted(self.policy.world.epochs() | {waiver.expires for waiver in self.policy.book.waivers})

    def _dark(self, own: Reached, day: date, lapsed: str, findings: Findings) -> None:
        """Report a label that has no placement, once; a join only where neither of its labels is reported."""
        if own.mask in self._failed or (own.joined and any(own.mask & low == low for low in self._failed)):
            return
        self._failed.append(own.mask)
        if day == self.at and own.mask in self._spared:
            return
        label = self.policy.lattice.label(own.mask)
        if day == self.at:
            findings.error(
                codes.NO_PLACEMENT,
                own.place,
                f"label `{label}` has no placement: {self.policy.refusal(own.mask, at_day=day.toordinal())}",
                "objects that carry it are refused; `sovbroker explain` gives the reasons for every target",
            )
            return
        why = lapsed or self.policy.refusal(own.mask, at_day=day.toordinal())
        findings.warning(
            codes.GOES_DARK,
            own.place,
            f"label `{label}` has no placement from {day} on: {why}",
            "have the facts renewed, or allow another target, before that day",
        )


def _lapsed(cell: Cell, lost: Sequence[str]) -> str:
    """Say why the targets that were lost comply no more; "" where none were."""
    if not lost:
        return ""
    rejected = verdict(cell.table, cell.scope, cell.placing).rejected
    return "; ".join(f"{name}: {', '.join(rejected[name])}" for name in lost)
