"""How a difference is spelled: amounts, changes and journeys, for the text, the page and JSON alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sovbroker.policy.compare.classes import Amount, Class, Journey
    from sovbroker.policy.compare.difference import Difference
    from sovbroker.policy.compare.outcome import Outcome
    from sovbroker.policy.compare.probes import Row, Sample
    from sovbroker.policy.compare.verdict import Change, Verdict

__all__ = ["Lot", "as_dict", "changes_text", "journey_text", "label_text", "lots", "objects_text", "size_text", "some"]

FEW: Final = 4
KIBI: Final = 1024
UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

Lot = tuple["Verdict", "Amount", tuple["Class", ...]]
"""Classes for which the same changes, wherever their objects lie."""


def size_text(size: int) -> str:
    """Spell a size in bytes: 512 B, 1.5 KiB, 3.0 GiB."""
    if size < KIBI:
        return f"{size} B"
    power = min((size.bit_length() - 1) // 10, len(UNITS))
    return f"{size / KIBI**power:.1f} {UNITS[power - 1]}"


def objects_text(amount: Amount) -> str:
    """Spell an amount: 1,200 objects, 3.4 GiB."""
    return f"{amount.objects:,} object{'s' * (amount.objects != 1)}, {size_text(amount.bytes)}"


def some(names: Sequence[str], few: int = FEW) -> str:
    """List names, the first few of many."""
    return ", ".join(names) if len(names) <= few else f"{', '.join(names[:few])} and {len(names) - few} more"


def label_text(verdict: Verdict) -> str:
    """Spell what becomes of the label."""
    old, new = (outcome.label or "(unknown)" for outcome in (verdict.old, verdict.new))
    return old if old == new else f"{old} → {new}"


def changes_text(changes: Iterable[Change], *, few: int = FEW) -> Iterator[str]:
    """Spell changes, one line for all targets that change alike."""
    together: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for change in changes:
        together[change.what, change.old, change.new].append(change.target)
    for (what, old, new), targets in together.items():
        match what:
            case "target" | "mode":
                yield f"{some(targets, few)}: {old} → {new}"
            case "compute":
                yield f"{some(targets, few)}: computing {old} → {new}"
            case "label":
                yield f"the label loses {old}" if old else f"the label gains {new}"
            case _:
                yield f"{what} {old} → {new}"


def journey_text(journey: Journey) -> str:
    """Spell what is moved; "" when nothing is."""
    parts = [f"leaves {', '.join(journey.leaves)}"] if journey.leaves else []
    parts += [f"arrives at {', '.join(journey.arrives)}"] if journey.arrives else []
    parts += [f"sealed again at {', '.join(journey.reseals)}"] if journey.reseals else []
    parts += [f"read at {journey.source}"] if journey.source else []
    return ", ".join(parts)


def lots(difference: Difference) -> list[Lot]:
    """Return the classes for which anything changes, those with the same changes together, the largest lot first."""
    found: dict[int, list[Class]] = {}
    for own in difference.classes or ():
        if own.groups != ("unchanged",):
            found.setdefault(id(own.verdict), []).append(own)
    gathered = [
        (classes[0].verdict, sum((own.amount for own in classes), start=type(classes[0].amount)()), tuple(classes))
        for classes in found.values()
    ]
    return sorted(gathered, key=lambda lot: (-lot[1].bytes, -lot[1].objects))


def as_dict(difference: Difference) -> dict[str, object]:
    """Return a difference as JSON types, in a stable order."""
    return {
        "verdict": difference.verdict,
        "exit_code": difference.exit_code,
        "at": difference.at.isoformat(),
        "old": difference.old.to_dict(),
        "new": difference.new.to_dict(),
        "inventory": None if difference.classes is None else _inventory(difference, difference.classes),
        "labels": [_row(row) for row in difference.labels],
        "samples": [_sample(sample) for sample in difference.samples],
        "unseen": list(difference.unseen),
        "notes": list(difference.notes),
    }


def _inventory(difference: Difference, classes: Iterable[Class]) -> dict[str, object]:
    return {
        **difference.amount.to_dict(),
        "groups": {name: amount.to_dict() for name, amount in difference.groups.items()},
        "egress": {name: amount.to_dict() for name, amount in difference.egress.items()},
        "leaves": {name: amount.to_dict() for name, amount in difference.leaves.items()},
        "arrives": {name: amount.to_dict() for name, amount in difference.arrives.items()},
        "reseals": difference.reseals.to_dict(),
        "classes": [_class(difference, own) for own in classes],
    }


def _class(difference: Difference, own: Class) -> dict[str, object]:
    route = own.journey
    return {
        **own.amount.to_dict(),
        "stored": own.label,
        "targets": list(own.targets),
        "groups": list(own.groups),
        "old": _outcome(own.verdict.old),
        "new": _outcome(own.verdict.new),
        "loosens": [change.to_dict() for change in own.verdict.loosens],
        "tightens": [change.to_dict() for change in own.verdict.tightens],
        "leaves": list(route.leaves),
        "arrives": list(route.arrives),
        "reseals": list(route.reseals),
        "source": route.source or None,
        "egress": {difference.provider(route.source): own.amount.bytes} if route.source else {},
    }


def _outcome(outcome: Outcome) -> dict[str, object]:
    return {
        "label": outcome.label or None,
        "allowed": outcome.allowed,
        "chosen": list(outcome.chosen),
        "copies": outcome.copies,
        "waivers": list(outcome.waivers),
    }


def _row(row: Row) -> dict[str, object]:
    def modes(outcome: Outcome | None) -> dict[str, object] | None:
        return None if outcome is None else {target: str(way) for target, way in outcome.ways.items()}

    def changes(found: Iterable[Change]) -> list[object]:
        return [change.to_dict() for change in found]

    known = row.verdict
    return {
        "label": row.label,
        "old": modes(row.old),
        "new": modes(row.new),
        "compute": {
            "old": sorted(row.old.compute) if row.old is not None else None,
            "new": sorted(row.new.compute) if row.new is not None else None,
        },
        "loosens": changes(known.loosens) if known else [],
        "tightens": changes(known.tightens) if known else [],
        "refused": known is not None and known.refused,
        "rechosen": known is not None and known.rechosen,
    }


def _sample(sample: Sample) -> dict[str, object]:
    question, found = sample.question, sample.verdict
    return {
        "key": question.key,
        "metadata": dict(question.metadata),
        "label": question.label,
        "found": {name: count for name, count in question.scan.counts.items() if count} if question.scan else {},
        "old": _outcome(found.old),
        "new": _outcome(found.new),
        "loosens": [change.to_dict() for change in found.loosens],
        "tightens": [change.to_dict() for change in found.tightens],
    }
