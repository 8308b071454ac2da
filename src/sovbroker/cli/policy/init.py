"""The command that writes a first policy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from sovbroker.cli.policy.app import app
from sovbroker.cli.session import Session, command
from sovbroker.errors import InvalidArgument

__all__ = ["init"]


@command(app, "init")
def init(
    session: Session,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy to write.")] = Path("policy.yaml"),
    packs: Annotated[list[str] | None, typer.Option("--pack", metavar="PACK", help="A pack to extend.")] = None,
) -> None:
    """Write a policy that loads, and cases that it passes. Never replaces a file."""
    from datetime import UTC, datetime  # noqa: PLC0415  # `--help` must not wait for it

    from sovbroker.policy.drafting import draft, draft_cases  # noqa: PLC0415  # as above

    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", file.resolve().parent.name).strip("-._") or "policy"
    cases = file.with_name(f"{file.stem}.tests.yaml")
    texts = {file: draft(name[:64], extends=packs or ()), cases: draft_cases(datetime.now(UTC).date())}
    for path in texts:
        if path.exists():
            raise InvalidArgument(f"`{path}` is there already, and nothing was written; name another file")
    for path, text in texts.items():
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InvalidArgument(f"cannot write `{path}`: {error.strerror}") from error
    if session.options.json:
        session.screen.data({"files": [str(path) for path in texts]})
        return
    for path in texts:
        session.screen.say(f"wrote {path}")
    session.screen.say(f"next: sovbroker policy check {file}; sovbroker policy test {file}")
