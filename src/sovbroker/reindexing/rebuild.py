"""From what the providers hold to rows: the newest version of each object, and those that the policy retains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from sovbroker.envelope import Record
from sovbroker.errors import AlreadyExists, StoreError
from sovbroker.guard import Permit
from sovbroker.placements import Placement, Precondition
from sovbroker.reindexing.found import Claim, survey
from sovbroker.reindexing.report import Odd, Oddity, Reindexed
from sovbroker.writing import Flow

__all__ = ["reindex"]

ABSENT: Final = Precondition(if_absent=True)
Versions = dict[str, list[Claim]]


def reindex(flow: Flow) -> Reindexed:
    """Give every object that the configured targets hold its row again, where it has none; remove nothing.

    What was deleted, and could not be removed or had to be kept, comes back: nobody else knows that it was deleted.
    Raises StoreError when a target cannot be listed: with a part of the copies unseen, an old version could pass for
    the newest.
    """
    odd: list[Odd] = []
    objects: defaultdict[str, Versions] = defaultdict(lambda: defaultdict(list))
    for target in flow.stores.places:
        for found in survey(flow.stores.guarded(target, Permit.READ), flow.keyrings):
            if isinstance(found, Odd):
                odd.append(found)
            else:
                objects[found.key][found.version].append(found)
    rebuilt = known = 0
    for key, versions in sorted(objects.items()):
        if flow.index.current(key) is not None:
            known += 1
            continue
        rows, strange = rows_of(versions, now=flow.clock())
        odd += strange
        # The older ones first: each becomes a retained one when the next is committed.
        done = [_commit(flow, row, odd) for row in rows]
        rebuilt += bool(done and all(done))
    return Reindexed(rebuilt, known, tuple(odd))


def rows_of(versions: Versions, *, now: datetime) -> tuple[Sequence[Placement], Sequence[Odd]]:
    """Return the rows of one object, oldest first, and what is odd: what is replaced and not retained has no row."""
    rows: list[Placement] = []
    odd: list[Odd] = []
    newest = ""
    for version, claims in sorted(versions.items(), reverse=True):
        agreeing = [claim for claim in claims if _same(claim, claims[0])]
        odd += [_told(c, Oddity.DAMAGED, "it contradicts the other copies") for c in claims if c not in agreeing]
        first = agreeing[0]
        if not newest:
            newest = version
            odd += _missing(agreeing)
        elif first.retain_until is None or first.retain_until <= now:
            odd += [_told(claim, Oddity.DOUBLED, f"version {newest} replaced it") for claim in agreeing]
            continue
        rows.insert(0, _row(agreeing, now))
    return rows, odd


def _commit(flow: Flow, row: Placement, odd: list[Odd]) -> bool:
    condition = Precondition(if_version=current.version) if (current := flow.index.current(row.key)) else ABSENT
    try:
        flow.index.commit(row, condition=condition, now=flow.clock())
    except (AlreadyExists, StoreError) as error:
        # Somebody writes the very object: what is written now is newer than what was found.
        odd += [Odd(Oddity.DOUBLED, copy.target, copy.physical, str(error), row.key) for copy in row.copies]
        return False
    return True


def _same(one: Claim, other: Claim) -> bool:
    """Whether two copies tell of one version."""
    sealed = one.copy.sealed and other.copy.sealed
    clear = not one.copy.sealed and not other.copy.sealed
    if sealed and not Record.decode(one.record).same_but_wrapped(Record.decode(other.record)):
        return False
    if clear and one.digest != other.digest:
        return False
    return (one.label, one.size, one.metadata) == (other.label, other.size, other.metadata)


def _missing(claims: Sequence[Claim]) -> Iterator[Odd]:
    there = {claim.copy.target for claim in claims}
    for target in claims[0].targets:
        if target not in there:
            yield Odd(Oddity.MISSING, target, f"@{claims[0].version}", "it was written there", claims[0].key)


def _told(claim: Claim, oddity: Oddity, why: str) -> Odd:
    return Odd(oddity, claim.copy.target, claim.copy.physical, why, claim.key)


def _row(claims: Sequence[Claim], now: datetime) -> Placement:
    first = claims[0]
    order = {target: place for place, target in enumerate(first.targets)}
    copies = sorted((claim.copy for claim in claims), key=lambda copy: order.get(copy.target, len(order)))
    return Placement(
        key=first.key,
        version=first.version,
        label=first.label,
        size=first.size,
        created=first.created,
        copies=tuple(copies),
        domain=next((claim.domain for claim in claims if claim.domain), ""),
        # Of copies under several keys, the row follows the oldest: then it is known what is still to be wrapped anew.
        record=min((claim for claim in claims if claim.record), key=lambda claim: claim.epoch, default=first).record,
        digest=next((claim.digest for claim in claims if claim.digest), ""),
        content_type=first.content_type,
        metadata=first.metadata,
        decision={"reindexed": now.isoformat()} | ({"padded": True} if any(c.padded for c in claims) else {}),
        retain_until=first.retain_until,
    )
