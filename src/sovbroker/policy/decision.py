"""Decisions: where an object may go, in which mode, and why; for every target, not only for those that were chosen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from sovbroker.labels import Label
from sovbroker.policy.mode import Mode
from sovbroker.policy.rulebook import Retain

__all__ = ["Choice", "Decision", "Operation"]


class Operation(StrEnum):
    """What is to be done. `COMPUTE` works on plaintext; all others store. For `GET` a decision is advice: drift."""

    PUT = "put"
    COPY = "copy"
    MOVE = "move"
    RELABEL = "relabel"
    DECLASSIFY = "declassify"
    RESTORE = "restore"
    PRESIGN = "presign"
    GET = "get"
    COMPUTE = "compute"


@dataclass(frozen=True, slots=True)
class Choice:
    """A target that complies, and the mode in which it does.

    `zone` is the zone by which it meets the strictest element, None where no element names zones. `keys` are the key
    services that may hold the object's key: () for what is stored in the clear.
    """

    target: str
    mode: Mode
    zone: str | None = None
    keys: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the choice as JSON types."""
        return {"target": self.target, "mode": self.mode.to_dict(), "zone": self.zone, "keys": list(self.keys)}


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says about one operation on one object.

    `label` is the join of everything known; `rules` are the ids of the rules that matched, or `default` alone when none
    did. `targets` are chosen, in rank order, and `mode` is the join of their modes. Every other target is either one of
    `alternatives` (it complies and is not needed, also in rank order) or a key of `rejected`, with its reasons. `basis`
    holds the legal bases of what was demanded. `pad` says that sealed copies get a padded size. `waiver` names the
    waivers that the chosen targets take, or is None. `policy` and `catalogue` are the digests of what decided. The
    decision holds from `at` to the day before `valid_until`, the next day on which a fact or a waiver ends, None when
    there is none.
    """

    label: Label
    rules: tuple[str, ...]
    operation: Operation
    targets: tuple[Choice, ...]
    mode: Mode
    reasons: tuple[str, ...]
    rejected: Mapping[str, tuple[str, ...]]
    basis: tuple[str, ...]
    waiver: str | None
    policy: str
    catalogue: str
    at: datetime
    valid_until: date | None
    retain: Retain | None
    copies: int
    distinct: frozenset[str]
    allowed: bool
    alternatives: tuple[Choice, ...] = field(default=())
    pad: bool = False

    def to_dict(self) -> dict[str, object]:
        """Return the decision as JSON types, in a stable order."""
        return {
            "allowed": self.allowed,
            "operation": self.operation.value,
            "label": str(self.label),
            "rules": list(self.rules),
            "mode": self.mode.to_dict(),
            "targets": [choice.to_dict() for choice in self.targets],
            "alternatives": [choice.to_dict() for choice in self.alternatives],
            "rejected": {target: list(reasons) for target, reasons in self.rejected.items()},
            "reasons": list(self.reasons),
            "basis": list(self.basis),
            "waiver": self.waiver,
            "copies": self.copies,
            "distinct": sorted(self.distinct),
            "retain": None if self.retain is None else _retain(self.retain),
            **({"pad": True} if self.pad else {}),
            "at": self.at.isoformat(),
            "valid_until": None if self.valid_until is None else self.valid_until.isoformat(),
            "policy": self.policy,
            "catalogue": self.catalogue,
        }

    @property
    def digest(self) -> str:
        """The SHA-256, in hexadecimal, of everything that the decision says: the same for the same inputs, anywhere."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def __str__(self) -> str:
        """Print for people: the outcome, why, and every target once."""
        outcome = "allowed" if self.allowed else "refused"
        lines = [f"{outcome}: {self.operation.value} of an object labelled {self.label}"]
        lines += [f"  {'because' if index == 0 else '':<9}{reason}" for index, reason in enumerate(self.reasons)]
        width = max((len(name) for name in self._names()), default=0)
        lines += _block("goes to", [f"{c.target:<{width}}  {_mode(c)}" for c in self.targets])
        lines += _block("or to", [f"{c.target:<{width}}  {_mode(c)}" for c in self.alternatives])
        refusals = [f"{name:<{width}}  {'; '.join(reasons)}" for name, reasons in self.rejected.items()]
        lines += _block("not to", refusals)
        if self.valid_until is not None:
            lines += _block("until", [self.valid_until.isoformat()])
        return "\n".join(lines)

    def _names(self) -> list[str]:
        return [*(c.target for c in self.targets), *(c.target for c in self.alternatives), *self.rejected]


def _block(title: str, lines: list[str]) -> list[str]:
    return [f"  {title if index == 0 else '':<9}{line}" for index, line in enumerate(lines)]


def _mode(choice: Choice) -> str:
    return str(choice.mode) if choice.zone is None else f"{choice.mode} (zone {choice.zone})"


def _retain(retain: Retain) -> dict[str, object]:
    def whole(bound: timedelta | None) -> int | None:
        return None if bound is None else bound.days

    return {"min_days": whole(retain.min), "max_days": whole(retain.max)}
