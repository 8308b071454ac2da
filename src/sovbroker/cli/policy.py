"""The commands on policies: check."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sovbroker.cli.failures import Exit
from sovbroker.cli.screen import counts_text
from sovbroker.cli.session import Session, command
from sovbroker.errors import Diagnostic

__all__ = ["app"]

app = typer.Typer()


@command(app, "check")
def check(
    session: Session,
    *,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The policy [default: that of the configuration].")
    ] = None,
) -> None:
    """Load a policy, and print every finding with its place.

    With a FILE and without --config, it is judged with every target of the catalogue; otherwise with the targets and
    keys of the configuration.
    """
    from sovbroker import doctor  # noqa: PLC0415  # `--help` must not wait for it

    config = session.configuration() if file is None or session.options.config is not None else None
    found = doctor.diagnose_policy(file, config=config)
    errors = [finding for finding in found if finding.severity == "error"]
    if session.options.json:
        session.screen.data({"ok": not errors, "diagnostics": [asdict(finding) for finding in found]})
    else:
        print_findings(session, found)
    if errors:
        raise typer.Exit(Exit.USAGE)


def print_findings(session: Session, found: tuple[Diagnostic, ...]) -> None:
    """Print findings as compilers do, and a last line that counts them."""
    for finding in found:
        session.screen.say(f"{finding}\n")
    errors = sum(finding.severity == "error" for finding in found)
    session.screen.say(counts_text(errors, len(found) - errors))
