"""Expectations against a decision: what was expected, what came, and the reason that the decision gives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sovbroker.document import Place
from sovbroker.policy.decision import Decision
from sovbroker.policy.policy import Policy
from sovbroker.policy.rulebook import Retain
from sovbroker.policy.trial.suite import NO_WAIVER, Case

__all__ = ["Failure", "decide", "failures"]

WHY_MAX: Final = 3
"""How many targets are explained in one finding."""

REASONS_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that is not met: where it stands, what is wrong, and why the policy says so ("" if unknown)."""

    place: Place
    message: str
    why: str = ""


def decide(policy: Policy, case: Case) -> Decision:
    """Ask a policy what a case asks."""
    doc = case.doc
    return policy.decide(
        str(doc.key),
        label=None if doc.label is None else str(doc.label),
        metadata={str(name): str(value) for name, value in doc.meta.items()},
        stored=case.stored,
        operation=doc.operation.value,
        scan=case.scan,
        at=case.at,
    )


def failures(case: Case, decision: Decision) -> Iterator[Failure]:
    """Yield each expectation of a case that a decision does not meet, in a fixed order."""
    for check in CHECKS:
        yield from check(case, decision)


def _allowed(case: Case, decision: Decision) -> Iterator[Failure]:
    wanted = case.expect.allowed
    if wanted is None or wanted.value == decision.allowed:
        return
    if wanted.value:
        yield Failure(wanted.place, "expected to be allowed, and it is refused", _refusal(decision))
    else:
        chosen = _spell([choice.target for choice in decision.targets])
        yield Failure(wanted.place, f"expected to be refused, and it goes to {chosen}", decision.reasons[0])


def _label(case: Case, decision: Decision) -> Iterator[Failure]:
    if case.label is not None and case.expect.label is not None and case.label != decision.label:
        message = f"expected the label `{case.label}`, and it is `{decision.label}`"
        yield Failure(case.expect.label.place, message, decision.reasons[0])


def _rules(case: Case, decision: Decision) -> Iterator[Failure]:
    wanted = case.expect.rules
    if wanted is not None and set(wanted.value) != set(decision.rules):
        message = f"expected the rules {_spell(wanted.value)} to match, and what matches is {_spell(decision.rules)}"
        yield Failure(wanted.place, message)


def _targets(case: Case, decision: Decision) -> Iterator[Failure]:
    wanted, chosen = case.expect.targets, [choice.target for choice in decision.targets]
    if wanted is not None and list(wanted.value) != chosen:
        message = f"expected {_spell(wanted.value)} to be chosen, and what is chosen is {_spell(chosen)}"
        yield Failure(wanted.place, message, _why(wanted.value, decision) or _refusal(decision))


def _only(case: Case, decision: Decision) -> Iterator[Failure]:
    wanted, complying = case.expect.only, _complying(decision)
    if wanted is None or set(wanted.value) == set(complying):
        return
    missing = [name for name in wanted.value if name not in complying]
    extra = sorted(set(complying) - set(wanted.value))
    parts = [f"{_spell(missing)} {_do(missing)} not"] if missing else []
    parts += [f"{_spell(extra)} {_do(extra)} too"] if extra else []
    message = f"expected that only {_spell(wanted.value)} {'comply' if len(wanted.value) > 1 else 'complies'}, and "
    yield Failure(wanted.place, message + " and ".join(parts), _why(missing, decision) or _modes_of(extra, decision))


def _includes(case: Case, decision: Decision) -> Iterator[Failure]:
    wanted, complying = case.expect.includes, _complying(decision)
    for name in () if wanted is None else wanted.value:
        if name not in complying:
            yield Failure(name.place, f"expected that `{name}` complies, and it does not", _why([name], decision))


def _excludes(case: Case, decision: Decision) -> Iterator[Failure]:
    wanted, complying = case.expect.excludes, _complying(decision)
    for name in () if wanted is None else wanted.value:
        if name in complying:
            message = f"expected that `{name}` does not comply, and it does"
            yield Failure(name.place, message, _modes_of([name], decision))


def _modes(case: Case, decision: Decision) -> Iterator[Failure]:
    found = {choice.target: choice.mode for choice in (*decision.targets, *decision.alternatives)}
    for name, mode in case.modes.items():
        came = found.get(str(name))
        if came is None:
            message = f"expected `{name}` to comply ({mode}), and it does not"
            yield Failure(name.place, message, _why([name], decision))
        elif came != mode:
            yield Failure(name.place, f"expected the mode `{mode}` at `{name}`, and it is `{came}`", _demands(decision))


def _copies(case: Case, decision: Decision) -> Iterator[Failure]:
    wanted = case.expect.copies
    if wanted is not None and wanted.value != decision.copies:
        message = f"expected copies: {wanted.value}, and it is {decision.copies}"
        yield Failure(wanted.place, message)


def _distinct(case: Case, decision: Decision) -> Iterator[Failure]:
    wanted = case.expect.distinct
    names = [] if wanted is None else [own.value for own in wanted.value]
    if wanted is not None and set(names) != set(decision.distinct):
        message = f"expected copies to differ in {_spell(names)}, and it is {_spell(sorted(decision.distinct))}"
        yield Failure(wanted.place, message)


def _retain(case: Case, decision: Decision) -> Iterator[Failure]:
    doc = case.expect.retain
    if doc is None:
        return
    wanted, came = Retain(doc.min, doc.max), decision.retain or Retain()
    if wanted != came:
        yield Failure(doc.place, f"expected to be kept {_kept(wanted)}, and it is {_kept(came)}")


def _pad(case: Case, decision: Decision) -> Iterator[Failure]:
    wanted = case.expect.pad
    if wanted is not None and wanted.value != decision.pad:
        asked, came = ("to be padded", "are not") if wanted.value else ("not to be padded", "are")
        yield Failure(wanted.place, f"expected sizes {asked}, and they {came}")


def _waiver(case: Case, decision: Decision) -> Iterator[Failure]:
    wanted = case.expect.waiver
    if wanted is None or wanted == (decision.waiver or NO_WAIVER):
        return
    came = NO_WAIVER if decision.waiver is None else decision.waiver
    told = [reason for reason in decision.reasons if reason.startswith("waiver ")]
    chosen = _spell([choice.target for choice in decision.targets])
    why = "; ".join(told) or f"what counts is what the chosen targets take: {chosen}"
    yield Failure(wanted.place, f"expected the waiver `{wanted}`, and it is `{came}`", why)


def _because(case: Case, decision: Decision) -> Iterator[Failure]:
    wanted = case.expect.because
    every = [*decision.reasons, *(reason for reasons in decision.rejected.values() for reason in reasons)]
    if wanted is not None and not any(wanted in reason for reason in every):
        yield Failure(
            wanted.place, f"expected a reason that holds `{wanted}`, and none does", "; ".join(every[:REASONS_MAX])
        )


CHECKS: Final[Sequence[Callable[[Case, Decision], Iterator[Failure]]]] = (
    _allowed, _label, _rules, _targets, _only, _includes, _excludes, _modes, _copies, _distinct, _retain, _pad,
    _waiver, _because,
)  # fmt: skip


def _complying(decision: Decision) -> list[str]:
    return [choice.target for choice in (*decision.targets, *decision.alternatives)]


def _refusal(decision: Decision) -> str:
    """Say why there is no placement: the outcome, and what the nearest targets lack."""
    if decision.allowed:
        return ""
    nearest = sorted(decision.rejected, key=lambda name: (len(decision.rejected[name]), name))
    return "; ".join(filter(None, (decision.reasons[-1], _why(nearest, decision))))


def _why(names: Iterable[str], decision: Decision) -> str:
    """Return the reasons for which targets are rejected."""
    told = [f"{name}: {'; '.join(decision.rejected[name])}" for name in names if name in decision.rejected]
    more = f"; and {len(told) - WHY_MAX} more" if len(told) > WHY_MAX else ""
    return "; ".join(told[:WHY_MAX]) + more


def _modes_of(names: Sequence[str], decision: Decision) -> str:
    """Say in which mode, and by which zone, targets comply."""
    told = [
        f"{choice.target}: {choice.mode}" + (f" (zone {choice.zone})" if choice.zone is not None else "")
        for choice in (*decision.targets, *decision.alternatives)
        if choice.target in names
    ]
    more = f"; and {len(told) - WHY_MAX} more" if len(told) > WHY_MAX else ""
    return "; ".join(told[:WHY_MAX]) + more


def _demands(decision: Decision) -> str:
    return "; ".join(reason for reason in decision.reasons if " allows storing in " in reason)


def _spell(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def _do(names: Sequence[str]) -> str:
    return "does" if len(names) == 1 else "do"


def _kept(retain: Retain) -> str:
    def days(bound: timedelta | None, word: str) -> list[str]:
        return [] if bound is None else [f"{word} {bound.days} day{'' if bound.days == 1 else 's'}"]

    return " and ".join(days(retain.min, "at least") + days(retain.max, "at most")) or "for any time"
