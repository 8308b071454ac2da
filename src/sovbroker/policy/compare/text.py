"""A difference as text for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from sovbroker.policy.compare.classes import Amount, Class, total
from sovbroker.policy.compare.spelling import (
    Lot,
    changes_text,
    journey_text,
    label_text,
    lots,
    objects_text,
    size_text,
)

if TYPE_CHECKING:
    from sovbroker.policy.compare.difference import Difference
    from sovbroker.policy.compare.verdict import Verdict

__all__ = ["as_text"]

LOTS_MAX: Final = 20
WAYS_MAX: Final = 5
VERDICTS: Final = {"same": "nothing changes", "changes": "it changes, and loosens nothing", "loosens": "it loosens"}


def as_text(difference: Difference) -> str:
    """Return a difference as people read it; what is long is cut, and says so."""
    old, new = difference.old.name, difference.new.name
    names = f"{old} → {new}" if old != new else old
    lines = [f"{names} on {difference.at.isoformat()}: {VERDICTS[difference.verdict]}"]
    if difference.classes is not None:
        lines += ["", *_sums(difference), *_cut([_lot(lot, difference) for lot in lots(difference)])]
    rows = [row for row in difference.labels if row.verdict is not None and not row.verdict.same]
    lines += ["", f"labels: {len(rows)} of {len(difference.labels)} change"]
    lines += _cut([[f"label {row.label}", *_changes(row.verdict)] for row in rows if row.verdict is not None])
    if difference.samples:
        lines += ["", "made-up objects, for the rules and waivers that differ:"]
        lines += _cut([[f"{s.question}: {label_text(s.verdict)}", *_changes(s.verdict)] for s in difference.samples])
    for text in difference.unseen:
        lines += ["", f"not compared: {text}"]
    for text in difference.notes:
        lines += ["", f"note: {text}"]
    return "\n".join(lines)


def _sums(difference: Difference) -> Iterator[str]:
    yield f"inventory: {objects_text(difference.amount)}"
    width = max(len(f"{amount.objects:,}") for amount in difference.groups.values())
    for name, amount in difference.groups.items():
        yield f"  {name:<9}  {amount.objects:>{width},}  {size_text(amount.bytes):>10}"
    if difference.reseals.objects:
        yield f"to be sealed again: {objects_text(difference.reseals)}"
    for name, found in (
        ("egress", difference.egress),
        ("copies that go", difference.leaves),
        ("copies that come", difference.arrives),
    ):
        if found:
            yield f"{name}: {_providers(found)}"


def _providers(found: Mapping[str, Amount]) -> str:
    return "; ".join(f"{name} {size_text(amount.bytes)}" for name, amount in found.items())


def _lot(lot: Lot, difference: Difference) -> list[str]:
    verdict, amount, classes = lot
    groups = dict.fromkeys(name for own in classes for name in own.groups)
    found = [f"{label_text(verdict)}: {objects_text(amount)} ({', '.join(groups)})", *_changes(verdict)]
    ways: defaultdict[str, list[Class]] = defaultdict(list)
    for own in classes:
        ways[journey_text(own.journey)].append(own)
    listed = [(text, owns) for text, owns in ways.items() if text]
    for text, owns in listed[:WAYS_MAX]:
        found.append(f"  work      {text}: {objects_text(total(owns))}")
    if len(listed) > WAYS_MAX:
        found.append(f"  work      and {len(listed) - WAYS_MAX} other ways")
    egress: defaultdict[str, int] = defaultdict(int)
    for own in classes:
        if own.journey.source:
            egress[difference.provider(own.journey.source)] += own.amount.bytes
    if egress:
        found.append(f"  egress    {'; '.join(f'{name} {size_text(size)}' for name, size in sorted(egress.items()))}")
    return found


def _changes(verdict: Verdict) -> Iterator[str]:
    if verdict.refused:
        yield "  refused   it was allowed"
    for text in changes_text(verdict.loosens):
        yield f"  loosens   {text}"
    for text in changes_text(verdict.tightens):
        yield f"  tightens  {text}"
    if verdict.rechosen:
        yield f"  chosen    {', '.join(verdict.old.chosen)} → {', '.join(verdict.new.chosen)}"


def _cut(blocks: Sequence[Sequence[str]]) -> Iterator[str]:
    for block in blocks[:LOTS_MAX]:
        yield ""
        yield from block
    if len(blocks) > LOTS_MAX:
        yield ""
        yield f"… and {len(blocks) - LOTS_MAX} more: `--format json` lists all"
