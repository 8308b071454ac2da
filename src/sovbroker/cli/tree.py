"""The tree of commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sovbroker import __version__
from sovbroker.cli import accounts, catalogue, compute, keys, label, policy, reading, targets, upkeep, writing
from sovbroker.cli.failures import Exit
from sovbroker.cli.session import CONFIG, DEBUG, JSON, Options

__all__ = ["app"]

app = typer.Typer(
    help="One storage API over many clouds: a label and a policy decide where each object may live.",
    epilog="Exit codes: 0 done, 1 failure, 2 usage or configuration, 3 refused by policy, 4 not found, 5 integrity.",
    rich_markup_mode=None,  # with rich, `--help` takes twice as long
    pretty_exceptions_enable=False,
    invoke_without_command=True,
)

for part in (writing.app, reading.app, upkeep.app):
    app.add_typer(part)
app.add_typer(policy.app, name="policy", help="Write, check, test and compare policies.")
app.add_typer(label.app, name="label", help="Find the label of data.")
app.add_typer(catalogue.app, name="catalogue", help="What is known of the providers, and from where.")
app.add_typer(targets.app, name="targets", help="The targets of the configuration.")
app.add_typer(accounts.app, name="accounts", help="Users and keys at the account plane of a provider.")
app.add_typer(keys.app, name="keys", help="The keyrings of the configuration.")
app.add_typer(compute.app, name="compute", help="Machines, placed by label.")


@app.callback()
def root(
    context: typer.Context,
    *,
    config: Annotated[Path | None, CONFIG] = None,
    json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Keep the options that stand before the command's name."""
    context.obj = Options(config=config, json=json, debug=debug)
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(Exit.USAGE)
