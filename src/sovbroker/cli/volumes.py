"""The commands on volumes: create, list, attach, detach, destroy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sovbroker.cli.session import Session, command

if TYPE_CHECKING:
    from sovbroker.compute import Placed

__all__ = ["app"]

app = typer.Typer()


@command(app, "create")
def create_volume(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    machine: Annotated[str, typer.Option("--machine", help="The machine that it is for, and attached to.")],
    size: Annotated[str, typer.Option("--size", metavar="AMOUNT", help="How large, at least: `10GiB`.")],
) -> None:
    """Make a volume where a machine is, and attach it to that."""
    with session.broker() as broker:
        placed = broker.compute.volumes.create(name, machine=machine, size=size)
    if session.options.json:
        session.screen.data(volume_facts(placed))
    else:
        session.screen.say(f"`{placed.volume.id}` is attached to `{machine}` at {placed.target}")


@command(app, "list")
def list_volumes(session: Session) -> None:
    """List our volumes."""
    with session.broker() as broker:
        found = broker.compute.volumes.list()
    if session.options.json:
        session.screen.data([volume_facts(one) for one in found])
        return
    rows = [
        (one.volume.id, one.volume.name, one.target, f"{one.volume.size / (1 << 30):g}", one.volume.machine or "-")
        for one in found
    ]
    session.screen.table(("id", "name", "place", "size, GiB", "attached to"), rows)


@command(app, "attach")
def attach(
    session: Session,
    volume: Annotated[str, typer.Argument(metavar="ID")],
    *,
    machine: Annotated[str, typer.Option("--machine", help="The machine.")],
) -> None:
    """Attach a volume to a machine at the same place, whose label is not lower."""
    with session.broker() as broker:
        broker.compute.volumes.attach(volume, machine=machine)
    _tell(session, volume, "attached")


@command(app, "detach")
def detach(session: Session, volume: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Take a volume from its machine."""
    with session.broker() as broker:
        broker.compute.volumes.detach(volume)
    _tell(session, volume, "detached")


@command(app, "destroy")
def destroy_volume(session: Session, volume: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Destroy a volume that is attached to no machine."""
    with session.broker() as broker:
        broker.compute.volumes.destroy(volume)
    _tell(session, volume, "destroyed")


def _tell(session: Session, volume: str, done: str) -> None:
    """Tell what was done."""
    if session.options.json:
        session.screen.data({done: volume})
    else:
        session.screen.say(f"`{volume}` is {done}")


def volume_facts(placed: Placed) -> dict[str, object]:
    """Return a volume as JSON types."""
    one = placed.volume
    return {"id": one.id, "name": one.name, "target": placed.target, "size": one.size, "machine": one.machine}
