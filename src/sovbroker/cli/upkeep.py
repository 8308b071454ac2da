"""The commands that set up and look after an installation: init, sweep, reindex, doctor, demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sovbroker.cli.failures import Exit
from sovbroker.cli.keys import tell_code
from sovbroker.cli.passphrase import new_passphrase
from sovbroker.cli.screen import counts_text
from sovbroker.cli.session import Session, command

if TYPE_CHECKING:
    from sovbroker.doctor import Finding

__all__ = ["app"]

app = typer.Typer()


@command(app, "init")
def init(
    session: Session,
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder, made when it is not there.")],
) -> None:
    """Write a configuration, a policy and a keyring to begin with."""
    from sovbroker.config import PASSPHRASE  # noqa: PLC0415  # `--help` must not wait for it
    from sovbroker.initialising import init as initialise  # noqa: PLC0415  # as above
    from sovbroker.secrets import SecretSource  # noqa: PLC0415  # as above

    made = initialise(folder, passphrase=new_passphrase(SecretSource(env=PASSPHRASE), name=str(folder)))
    if session.options.json:
        files = [str(file) for file in made.files]
        session.screen.data({"folder": str(made.folder), "files": files, "recovery_code": made.recovery_code})
        return
    for file in made.files:
        session.screen.say(f"wrote {file}")
    tell_code(session, made.recovery_code)
    session.screen.say(f"\nNext: `sovbroker --config {made.folder} doctor`")


@command(app, "sweep")
def sweep(session: Session) -> None:
    """Remove from the providers what no object needs any more."""
    with session.broker() as broker:
        removed = broker.sweep()
        left = broker.leftovers()
    if session.options.json:
        session.screen.data(
            {
                "removed": removed,
                "left": [
                    {
                        "kind": item.kind,
                        "key": item.key,
                        "target": item.target,
                        "attempts": item.attempts,
                        "error": item.error,
                    }
                    for item in left
                ],
            }
        )
        return
    session.screen.say(f"removed {removed}, left {len(left)}")
    for item in left:
        session.screen.say(f"{item.kind} of {item.key} at {item.target}: {item.error or 'not due yet'}")


@command(app, "reindex")
def reindex(session: Session) -> None:
    """Find every object again from what the providers hold, after the state was lost. Exits with 1 for an oddity."""
    with session.broker() as broker:
        outcome = broker.reindex()
    if session.options.json:
        session.screen.data(outcome.to_dict())
    else:
        session.screen.say(f"{outcome.rebuilt} objects have their row again, {outcome.known} had one")
        if outcome.odd:
            columns = ("what", "target", "name there", "object", "why")
            rows = [(str(odd.oddity), odd.target, odd.name, odd.key or "-", odd.why) for odd in outcome.odd]
            session.screen.table(columns, rows)
    if not outcome.whole:
        raise typer.Exit(Exit.FAILURE)


@command(app, "doctor")
def doctor(session: Session) -> None:
    """Check the configuration, the keyrings, the policy, every target and the state. Exits with 1 for an error."""
    from sovbroker.doctor import Severity, examine  # noqa: PLC0415  # as above

    found: list[Finding] = []
    for finding in examine(session.options.config):
        found.append(finding)
        if not session.options.json:
            print_finding(session, finding)
    errors = sum(finding.severity is Severity.ERROR for finding in found)
    warnings = sum(finding.severity is Severity.WARNING for finding in found)
    if session.options.json:
        session.screen.data({"ok": not errors, "findings": [finding.to_dict() for finding in found]})
    session.screen.say(counts_text(errors, warnings))
    if errors:
        raise typer.Exit(Exit.FAILURE)


@command(app, "demo")
def demo(session: Session) -> None:
    """Store sample files at five providers played by servers on this machine, and check every claim."""
    from sovbroker import demo as play  # noqa: PLC0415  # as above

    del session
    raise typer.Exit(play.run())


def print_finding(session: Session, finding: Finding) -> None:
    """Print one finding: how bad, what about, what, and below it the mend."""
    session.screen.say(f"{finding.severity:<8} {finding.subject}: {finding.what}")
    if finding.mend:
        session.screen.say(f"{'':<8} mend: {finding.mend}")
