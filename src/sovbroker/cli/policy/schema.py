"""The command that prints the JSON Schema of policies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sovbroker.cli.output import STANDARD_OUTPUT, file_sink
from sovbroker.cli.policy.app import app
from sovbroker.cli.session import Session, command

__all__ = ["print_schema"]


@command(app, "schema")
def print_schema(
    session: Session,
    *,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; `-` is standard output, which is the default."),
    ] = STANDARD_OUTPUT,
) -> None:
    """Print the JSON Schema of policies, for editors.

    With `# yaml-language-server: $schema=./policy.schema.json` on its first line, an editor checks a policy while it
    is written.
    """
    from sovbroker.policy.schema import schema  # noqa: PLC0415  # `--help` must not wait for it

    text = json.dumps(schema(), indent=2)
    if output == STANDARD_OUTPUT:
        session.screen.line(text)
        return
    with file_sink(Path(output)) as file:
        file.write(f"{text}\n".encode())
    session.screen.say(f"wrote {output}")
