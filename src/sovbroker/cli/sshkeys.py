"""The commands on public keys of machines: list, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sovbroker.cli.session import Session, command

if TYPE_CHECKING:
    from sovbroker.compute import ImportedKey

__all__ = ["app"]

app = typer.Typer()


@command(app, "list")
def list_keys(session: Session) -> None:
    """List the public keys that were imported for machines."""
    with session.broker() as broker:
        found = broker.compute.keys.list()
    if session.options.json:
        session.screen.data([_facts(one) for one in found])
        return
    rows = [(one.key.id, one.key.name, one.target, one.machine or "-") for one in found]
    session.screen.table(("id", "name", "place", "machine"), rows)


@command(app, "remove")
def remove_key(
    session: Session,
    key: Annotated[str, typer.Argument(metavar="ID")],
    *,
    at: Annotated[str, typer.Option("--at", metavar="PLACE", help="The place that it is at.")],
) -> None:
    """Remove a public key that is left over: one of no machine of ours."""
    with session.broker() as broker:
        broker.compute.keys.remove(key, at=at)
    if session.options.json:
        session.screen.data({"removed": key})
    else:
        session.screen.say(f"`{key}` is removed")


def _facts(one: ImportedKey) -> dict[str, object]:
    return {"id": one.key.id, "name": one.key.name, "target": one.target, "machine": one.machine or None}
