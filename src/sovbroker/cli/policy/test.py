"""The command that tests policies with cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sovbroker.cli.failures import Exit
from sovbroker.cli.policy.app import app
from sovbroker.cli.session import Session, command
from sovbroker.errors import Diagnostic, InvalidArgument

if TYPE_CHECKING:
    from sovbroker.policy.trial import Trial

__all__ = ["run_cases"]


@command(app, "test")
def run_cases(
    session: Session,
    *,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The policies.")],
    cases: Annotated[
        Path | None,
        typer.Option("--cases", metavar="FILE", help="The cases [default: FILE.tests.yaml beside FILE.yaml]."),
    ] = None,
    no_mutants: Annotated[bool, typer.Option("--no-mutants", help="Do not try the cases on mutants.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail for a mutant that survives, and for a part that no case exercises.")
    ] = False,
    packs: Annotated[
        bool, typer.Option("--packs", help="Cover what packs bring, too; they have cases of their own.")
    ] = False,
    form: Annotated[
        Literal["text", "json", "sarif", "github"], typer.Option("--format", help="How to print findings.")
    ] = "text",
) -> None:
    """Run the cases of policies, on days that stand still; tell which mistakes in a policy no case would notice.

    Exits with 0 when everything passes, 1 when a case fails or there is none, and 2 when a policy or its cases do not
    load.
    """
    from sovbroker.errors import PolicyError  # noqa: PLC0415  # `--help` must not wait for it
    from sovbroker.policy.trial import try_policy  # noqa: PLC0415  # as above

    if cases is not None and len(files) > 1:
        raise InvalidArgument("`--cases` is for one policy; give one FILE, or put the cases beside each")
    tried: list[Trial | _Unloaded] = []
    for file in files:
        try:
            tried.append(try_policy(file, cases, mutate=not no_mutants, strict=strict, packs=packs))
        except PolicyError as error:
            tried.append(_Unloaded(file, error.diagnostics))
    _print(session, tried, "json" if session.options.json else form)
    if any(isinstance(own, _Unloaded) for own in tried):
        raise typer.Exit(Exit.USAGE)
    if not all(own.passed for own in tried):
        raise typer.Exit(Exit.FAILURE)


class _Unloaded:
    """A policy that could not be tested, with every finding."""

    def __init__(self, file: Path, diagnostics: Sequence[Diagnostic]) -> None:
        self.policy = str(file)
        self.diagnostics = diagnostics
        self.passed = False

    def to_dict(self) -> dict[str, object]:
        return {
            "policy": self.policy,
            "passed": False,
            "diagnostics": [asdict(found) for found in self.diagnostics],
        }

    def __str__(self) -> str:
        found = "".join(f"{finding}\n\n" for finding in self.diagnostics)
        return f"{found}FAILED {self.policy}: it could not be tested"


def _print(session: Session, tried: Sequence[Trial | _Unloaded], form: str) -> None:
    if form == "json":
        passed = all(own.passed for own in tried)
        session.screen.data({"passed": passed, "trials": [own.to_dict() for own in tried]})
    elif form == "text":
        session.screen.say("\n".join(map(str, tried)))
    else:
        from sovbroker import __version__  # noqa: PLC0415  # as above
        from sovbroker.policy import TITLES  # noqa: PLC0415  # as above
        from sovbroker.report import render  # noqa: PLC0415  # as above

        found = [finding for own in tried for finding in own.diagnostics]
        session.screen.line(render(found, form, tool_version=__version__, titles=TITLES, root=Path.cwd()))
