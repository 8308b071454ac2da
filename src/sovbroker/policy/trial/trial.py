"""A trial: a policy, its cases, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from sovbroker.document import SIZE_MAX, Findings, Kind, Place, Source, decode, read
from sovbroker.errors import Diagnostic, PolicyError
from sovbroker.policy import codes
from sovbroker.policy.decision import Decision
from sovbroker.policy.policy import Policy
from sovbroker.policy.resolve import resolve
from sovbroker.policy.rulebook import Rulebook
from sovbroker.policy.sources import Part, gather
from sovbroker.policy.trial.coverage import Coverage, exercise, measure, portions
from sovbroker.policy.trial.expecting import Failure, decide, failures
from sovbroker.policy.trial.killing import Mutation, judge_over, mutate
from sovbroker.policy.trial.language import CASES, CasesDoc
from sovbroker.policy.trial.spots import Spots
from sovbroker.policy.trial.suite import Suite, schemes_of, suite_of

__all__ = ["Result", "Trial", "try_policy"]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one case: what it expected and did not find, in words; () when it passed."""

    id: str
    about: str
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.failures


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of testing one policy.

    `coverage` is None without cases; `mutation` is None where no mutants were tried: because nobody asked, or because a
    case fails already. `diagnostics` are findings with their places, errors first.
    """

    policy: str
    cases: str
    results: tuple[Result, ...] = ()
    invariants: int = 0
    coverage: Coverage | None = None
    mutation: Mutation | None = None
    strict: bool = False
    diagnostics: tuple[Diagnostic, ...] = field(default=(), repr=False)

    @property
    def passed(self) -> bool:
        """Whether there is a case, every case passes and every invariant holds; `strict` also: there is no warning."""
        errors = any(found.severity == "error" for found in self.diagnostics)
        return bool(self.results) and not errors and not (self.strict and self.diagnostics)

    def to_dict(self) -> dict[str, object]:
        """Return the trial as JSON types, in a stable order."""
        coverage, mutation = self.coverage, self.mutation
        return {
            "policy": self.policy,
            "cases": self.cases,
            "passed": self.passed,
            "strict": self.strict,
            "results": [
                {"id": own.id, "about": own.about, "passed": own.passed, "failures": list(own.failures)}
                for own in self.results
            ],
            "invariants": self.invariants,
            "coverage": None
            if coverage is None
            else {
                "total": coverage.total,
                "covered": coverage.covered,
                "share": round(coverage.share, 4),
                "uncovered": [portion.name for portion in coverage.uncovered],
            },
            "mutants": None
            if mutation is None
            else {
                "total": mutation.total,
                "killed": len(mutation.killed),
                "score": round(mutation.score, 4),
                "survivors": [{"mutant": own.name, "hint": own.hint} for own in mutation.survivors],
            },
            "diagnostics": [asdict(found) for found in self.diagnostics],
        }

    def __str__(self) -> str:
        """Print for people: every finding, and a line that sums up."""
        return "".join(f"{found}\n\n" for found in self.diagnostics) + self.summary()

    def summary(self) -> str:
        """Return one line: whether it passed, and how much was looked at."""
        failed = sum(not own.passed for own in self.results)
        parts = [_count(len(self.results), "case") + (f", {failed} of them failed" if failed else "")]
        if self.invariants:
            parts.append(_count(self.invariants, "invariant"))
        if self.coverage is not None:
            parts.append(f"{_share(self.coverage.covered, self.coverage.total)} of the parts covered")
        if self.mutation is not None:
            parts.append(f"{_share(len(self.mutation.killed), self.mutation.total)} of the mutants killed")
        return f"{'passed' if self.passed else 'FAILED'} {self.policy}: {'; '.join(parts)}"


def try_policy(
    policy_file: Path | str,
    cases_file: Path | str | None = None,
    *,
    mutate: bool = True,
    strict: bool = False,
    packs: bool = False,
) -> Trial:
    """Test the policy of a file with the cases of another: `acme.yaml` with `acme.tests.yaml` beside it, if not given.

    Every case is judged on its own day, over the targets that the cases file names, whatever the system's clock and
    configuration say: the same files have the same outcome. With `mutate`, the cases are also tried on mutants of the
    policy; `strict` lets a mutant that survives, and a part that no case exercises, fail the trial. What packs bring
    has cases of its own, in the pack: it counts for mutants and coverage with `packs` only.

    Without a case, or without a file beside the policy, the trial has failed. Raises PolicyError with every finding
    where the policy or the cases file cannot be read or is wrong.
    """
    path = Path(policy_file)
    own, other = Findings(codes.DOCUMENT_CODES), Findings(codes.DOCUMENT_CODES)
    content = _read(path, own)
    cases = None if content is None else _cases_beside(path) if cases_file is None else Path(cases_file)
    doc = None if cases is None else _decode(cases, other)
    parts: tuple[Part, ...] = ()
    book: Rulebook | None = None
    if content is not None:
        parts = gather(content, str(path), own)
        # Whether a waiver lasts too long is asked when a policy is opened. Cases stand on days of their own, and on
        # the last day of all every waiver has lapsed, which is a warning at most.
        book = resolve(parts, own, today=date.max, schemes=frozenset() if doc is None else schemes_of(doc))
    suite = None if doc is None or book is None else suite_of(doc, book, other)
    if book is None or own.failed or other.failed:
        raise PolicyError([*_errors(own), *_errors(other)])
    tried = _Attempt(str(path), "" if cases is None else str(cases), parts, book, strict=strict, packs=packs)
    return tried.without_cases() if suite is None or not suite.cases else tried.run(suite, mutants=mutate)


class _Attempt:
    def __init__(
        self, policy: str, cases: str, parts: Sequence[Part], book: Rulebook, *, strict: bool, packs: bool
    ) -> None:
        self.policy = policy
        self.cases = cases
        self.parts = parts
        self.book = book
        self.strict = strict
        self.theirs = {part.node.place.source.file for part in parts if part.pack and not packs}
        self.findings = Findings(codes.DOCUMENT_CODES)

    def without_cases(self) -> Trial:
        beside = f"`{_beside(Path(self.policy))}`"
        message = f"there is no case in `{self.cases}`" if self.cases else f"there is no {beside}, and no --cases"
        help_text = "what nobody asks of a policy, nobody knows; `sovbroker policy init` writes first cases"
        self.findings.error(codes.NO_CASES, self._top(), message, help_text)
        return Trial(self.policy, self.cases, strict=self.strict, diagnostics=self.findings.diagnostics)

    def run(self, suite: Suite, *, mutants: bool) -> Trial:
        day = suite.day or date.min
        policy = judge_over(self.book, suite.world, day, self.parts)
        decisions = [decide(policy, case) for case in suite.cases]
        results = self._results(suite, decisions)
        broken = self._invariants(policy, day)
        found = [exercise(policy, *pair) for pair in zip(suite.cases, decisions, strict=True)]
        wanted = [own for own in portions(self.book, Spots(self.parts)) if self._counts(own.place)]
        coverage = measure(wanted, found)
        # Findings have limits, and many of one kind must not hide those of another.
        uncovered, surviving = Findings(codes.DOCUMENT_CODES), Findings(codes.DOCUMENT_CODES)
        for portion in coverage.uncovered:
            message = f"no case exercises {portion.name}"
            uncovered.warning(codes.UNCOVERED_RULE, portion.place, message, portion.hint)
        mutation: Mutation | None = None
        if mutants and not broken and all(result.passed for result in results):
            mutation = mutate(self.book, suite, self.parts, found, counts=self._counts)
            for mutant in mutation.survivors:
                message = f"no case notices a policy {_article(mutant.name)}"
                surviving.warning(codes.SURVIVING_MUTANT, mutant.place, message, mutant.hint)
        return Trial(
            policy=self.policy,
            cases=self.cases,
            results=results,
            invariants=len(self.book.always),
            coverage=coverage,
            mutation=mutation,
            strict=self.strict,
            diagnostics=(*broken, *self.findings.diagnostics, *uncovered.diagnostics, *surviving.diagnostics),
        )

    def _counts(self, place: Place) -> bool:
        """Whether what is written at a place is to be covered by these cases."""
        return place.source.file not in self.theirs

    def _results(self, suite: Suite, decisions: Sequence[Decision]) -> tuple[Result, ...]:
        results: list[Result] = []
        for case, decision in zip(suite.cases, decisions, strict=True):
            wrong = tuple(failures(case, decision))
            for failure in wrong:
                message = f"case `{case.id}`: {failure.message}"
                self.findings.error(codes.CASE_FAILED, failure.place, message, failure.why)
            results.append(Result(case.id, str(case.doc.about), tuple(map(_told, wrong))))
        return tuple(results)

    def _invariants(self, policy: Policy, day: date) -> tuple[Diagnostic, ...]:
        if not self.book.always:
            return ()
        from sovbroker.policy.prove import prove  # noqa: PLC0415  # not every policy has invariants

        return tuple(found for found in prove(policy, at=day).diagnostics if found.code == codes.ALWAYS_VIOLATED)

    def _top(self) -> Place:
        return self.parts[0].node.place if self.parts else Place(Source(self.policy, ()), 1, 1)


def _told(failure: Failure) -> str:
    return f"{failure.message} ({failure.why})" if failure.why else failure.message


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.tests.yaml")


def _cases_beside(path: Path) -> Path | None:
    """Return the cases file beside a policy, or None where there is none."""
    found = _beside(path)
    return found if found.exists() else None


def _read(path: Path, findings: Findings) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(SIZE_MAX + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        nowhere = Place(Source(str(path), ()), 1, 1)
        findings.error(Kind.SYNTAX, nowhere, f"cannot read `{path}`: {(reason or type(error).__name__).lower()}")
        return None


def _decode(path: Path, findings: Findings) -> CasesDoc | None:
    content = _read(path, findings)
    return None if content is None else decode(read(content, str(path), findings), CASES, findings)


def _errors(findings: Findings) -> list[Diagnostic]:
    return [found for found in findings.diagnostics if found.severity == "error"]


def _article(name: str) -> str:
    """Return what a mutant is called as the end of a sentence."""
    if name.startswith("without "):
        return name
    return f"with {name}" if name.startswith(("`", "the ")) else f"with the {name}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}" + (f" ({100 * part // whole} %)" if whole else "")
