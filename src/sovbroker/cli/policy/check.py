"""The command that checks a policy: what loading finds, and what can be proved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sovbroker.cli.failures import Exit
from sovbroker.cli.policy.app import app
from sovbroker.cli.screen import counts_text
from sovbroker.cli.session import Session, command
from sovbroker.errors import Diagnostic

if TYPE_CHECKING:
    from sovbroker.policy import Policy
    from sovbroker.policy.prove import Proof

__all__ = ["check", "print_findings"]


@command(app, "check")
def check(
    session: Session,
    *,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The policy [default: that of the configuration].")
    ] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="DAY", help="Judge on this day [default: today].")] = None,
    form: Annotated[
        Literal["text", "json", "sarif", "github"], typer.Option("--format", help="How to print findings.")
    ] = "text",
    calendar: Annotated[
        Path | None,
        typer.Option("--calendar", metavar="FILE", help="Write the days on which labels lose targets (iCalendar)."),
    ] = None,
) -> None:
    """Load a policy and prove it; print every finding with its place, and what is proved.

    With a FILE and without --config, it is judged with every target of the catalogue, and keys wherever they have to
    be; otherwise with the targets and keys of the configuration. Exits with 0 when nothing is wrong, and with 2 for an
    error.
    """
    from sovbroker.errors import PolicyError  # noqa: PLC0415  # `--help` must not wait for it
    from sovbroker.policy.prove import prove  # noqa: PLC0415  # as above

    day = _day(at)
    proof: Proof | None = None
    try:
        policy = _load(session, file, day)
    except PolicyError as error:
        found = error.diagnostics
    else:
        proof = prove(policy, at=day, any_keys=not _configured(session, file))
        found = _together(policy.warnings, proof.diagnostics)
        if calendar is not None:
            _write(calendar, proof)
    errors = [finding for finding in found if finding.severity == "error"]
    _print(session, found, proof, "json" if session.options.json else form)
    if errors:
        raise typer.Exit(Exit.USAGE)


def _configured(session: Session, file: Path | None) -> bool:
    """Whether the targets and keys of the configuration are what a policy is judged with."""
    return file is None or session.options.config is not None


def _load(session: Session, file: Path | None, day: date) -> Policy:
    """Load a policy for the targets of the configuration, or else for those of the catalogue."""
    from sovbroker import doctor, policy  # noqa: PLC0415  # as above
    from sovbroker.opening import world_of  # noqa: PLC0415  # as above

    now = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if file is not None and not _configured(session, file):
        return policy.load(file, keys=None, at=now)
    config = session.configuration()
    world = world_of(config)
    source = file or config.policy
    if source is None:
        text, name = policy.DEFAULT, doctor.BUILT_IN
        return policy.loads(
            text, file=name, targets=world.targets, keys=world.keys, catalogue_digest=world.digest, at=now
        )
    return policy.load(source, targets=world.targets, keys=world.keys, catalogue_digest=world.digest, at=now)


def _together(loaded: Sequence[Diagnostic], proved: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return the findings of loading and of proving, errors first; what both found, once and as the graver."""
    from sovbroker.policy import codes  # noqa: PLC0415  # as above

    dark = {(found.file, found.line, found.column) for found in proved if found.code == codes.NO_PLACEMENT}
    kept = [f for f in loaded if f.code != codes.DARK or (f.file, f.line, f.column) not in dark]
    every = [*kept, *proved]
    return tuple(sorted(every, key=lambda f: (f.severity != "error", f.file, f.line, f.column, f.code)))


def _print(session: Session, found: Sequence[Diagnostic], proof: Proof | None, form: str) -> None:
    """Print findings, and the proof where the format has room for it."""
    if form == "json":
        errors = any(finding.severity == "error" for finding in found)
        told: dict[str, object] = {"ok": not errors, "diagnostics": [asdict(finding) for finding in found]}
        if proof is not None:
            told["proof"] = {name: value for name, value in proof.to_dict().items() if name != "diagnostics"}
        session.screen.data(told)
    elif form == "text":
        print_findings(session, found, proof)
    else:
        from sovbroker import __version__  # noqa: PLC0415  # as above
        from sovbroker.policy import TITLES  # noqa: PLC0415  # as above
        from sovbroker.report import render  # noqa: PLC0415  # as above

        session.screen.line(render(found, form, tool_version=__version__, titles=TITLES, root=Path.cwd()))


def print_findings(session: Session, found: Sequence[Diagnostic], proof: Proof | None = None) -> None:
    """Print findings as compilers do, what is proved, and a last line that counts the findings."""
    for finding in found:
        session.screen.say(f"{finding}\n")
    if proof is not None:
        session.screen.say(f"{proof}\n")
    errors = sum(finding.severity == "error" for finding in found)
    session.screen.say(counts_text(errors, len(found) - errors))


def _day(text: str | None) -> date:
    from sovbroker.errors import InvalidArgument  # noqa: PLC0415  # as above

    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument(f"`--at {text}` is not a day; write it as 2026-11-24") from error


def _write(file: Path, proof: Proof) -> None:
    from sovbroker.cli.output import file_sink  # noqa: PLC0415  # as above
    from sovbroker.policy.prove import calendar  # noqa: PLC0415  # as above

    with file_sink(file) as sink:
        sink.write(calendar(proof))
