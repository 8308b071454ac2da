"""Whether new facts make anything easier than old ones, for any zone that a policy could have, on any day.

Facts have an end and no beginning: what counts on a day has counted on every day before. So the hardest question that a
new fact can be asked is the one that only just lets it pass, on its last day; where an old fact passes that, it passes
every other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from sovbroker.catalogue.facts import Basis, Evidence, Fact, Facts, Qualification, SealScore, Status, trimmed

__all__ = ["loosened"]

Countries = frozenset[str]


def loosened(old: Facts, new: Facts) -> Iterator[tuple[str, str, Evidence]]:
    """Yield what `new` makes easier than `old`: the axis or scheme, why (the rest of a sentence), and the evidence."""
    for axis, before, after in (
        ("located", old.located, new.located),
        ("controlled", old.controlled, new.controlled),
        ("technology", old.technology, new.technology),
    ):
        if why := _countries(before, after):
            yield axis, why, after.evidence
    for qualification in new.qualified:
        if why := _qualification(old.qualified, qualification):
            yield qualification.scheme, why, qualification.evidence
    for score in new.seal:
        if why := _score(old.seal, score):
            yield "seal", why, score.evidence


def _countries(old: Fact[Countries], new: Fact[Countries]) -> str:
    """Say why "every country is among these" is met more easily; "" when it is not."""
    if not _counts(new.evidence) or not new.value:
        return ""
    if not old.value:
        return f"would count as {', '.join(sorted(new.value))}, and the catalogue does not know it"
    missing = old.value - new.value
    if missing:
        return f"leaves out {', '.join(sorted(missing))}, which the catalogue names"
    return _surer(old.evidence, new.evidence)


def _qualification(old: Sequence[Qualification], new: Qualification) -> str:
    if new.status is not Status.QUALIFIED or not _counts(new.evidence):
        return ""
    before = [q for q in old if q.scheme == new.scheme and q.status is Status.QUALIFIED]
    if not before:
        told = sorted({q.status.value for q in old if q.scheme == new.scheme})
        return f"would count, and the catalogue says {', '.join(told)}" if told else _unknown()
    enough = [q for q in before if not new.version or (q.version and trimmed(q.version) >= trimmed(new.version))]
    if not enough:
        versions = sorted({".".join(map(str, q.version)) or "unknown" for q in before})
        return f"would count as version {_version(new)}, and the catalogue knows {', '.join(versions)}"
    return _nearest(_surer(q.evidence, new.evidence) for q in enough)


def _score(old: Sequence[SealScore], new: SealScore) -> str:
    if not _counts(new.evidence):
        return ""
    levels = dict(new.levels)
    before = [s for s in old if (s.framework, s.assessor) == (new.framework, new.assessor)]
    enough = [s for s in before if all(dict(s.levels).get(name, -1) >= level for name, level in levels.items())]
    if not enough:
        return (
            f"would be higher than the catalogue knows of {new.assessor} by {new.framework}" if before else _unknown()
        )
    return _nearest(_surer(s.evidence, new.evidence) for s in enough)


def _counts(evidence: Evidence) -> bool:
    """Whether it supports anything on any day at all."""
    return evidence.trusted and evidence.expires != date.min


def _surer(old: Evidence, new: Evidence) -> str:
    """Say why `new` counts on a day on which `old` does not; "" when there is no such day."""
    if old.basis is Basis.MEMORY:
        return "would count, and the catalogue knows it from memory only"
    if not old.trusted:
        return f"would count, and the catalogue knows it with {old.confidence.value} confidence only"
    if old.expires is not None and (new.expires is None or new.expires > old.expires):
        return f"would count until {new.expires or 'for ever'}, and the catalogue's ends on {old.expires}"
    return ""


def _nearest(reasons: Iterator[str]) -> str:
    """Return the last of some reasons, or "" where one of them is none."""
    found = list(reasons)
    return "" if "" in found else found[-1]


def _version(qualification: Qualification) -> str:
    return ".".join(map(str, qualification.version))


def _unknown() -> str:
    return "would count, and the catalogue knows of none"
