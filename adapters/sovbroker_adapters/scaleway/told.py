"""What the API tells, as the port's values. Each function raises ValueError, KeyError or TypeError for less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, cast

from sovbroker.errors import InvalidArgument
from sovbroker.machines import Image, Machine, MachineState, Size, Volume
from sovbroker_adapters.answers import moment, number, text

__all__ = ["BLOCK_SNAPSHOT", "BLOCK_VOLUME", "LAUNCH", "held", "image", "machine", "size", "tagged", "tags", "volume"]

LAUNCH: Final = "sovbroker-token"
"""The tag that names the launch of a machine. Nobody is shown it."""

BLOCK_VOLUME: Final = "sbs_volume"
BLOCK_SNAPSHOT: Final = "sbs_snapshot"
SERVER: Final = "instance_server"
GONE: Final = "detached"
STATES: Final[Mapping[str, MachineState]] = MappingProxyType(
    {
        "running": MachineState.RUNNING,
        "stopped": MachineState.STOPPED,
        "stopped in place": MachineState.STOPPED,
        "stopped_in_place": MachineState.STOPPED,
        "starting": MachineState.PENDING,
        "stopping": MachineState.STOPPING,
    }
)


def tagged(pairs: Mapping[str, str], *, target: str) -> list[str]:
    """Return tags as the provider has them: texts. Raises InvalidArgument for a name that could not be read back."""
    for name in pairs:
        if not name or "=" in name:
            raise InvalidArgument(f"{target}: `{name}` cannot name a tag; a name has one letter or more, and no `=`")
    return [f"{name}={value}" for name, value in pairs.items()]


def tags(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a thing; one without a `=` is a name without a value."""
    told = cast("list[object]", found["tags"])
    if not isinstance(found["tags"], list):
        raise TypeError("tags that are no list")
    pairs = (str(one).partition("=") for one in told)
    return {name: value for name, _, value in pairs}


def size(name: str, found: Mapping[str, Any]) -> Size:
    """Return a kind of machine. Its disk is on Block Storage, and none of its own; a price of 0 is none."""
    price = Decimal(str(found["hourly_price"]))
    return Size(
        id=name,
        cpus=number(found, "ncpus"),
        memory=number(found, "ram"),
        gpus=number({"gpu": found.get("gpu") or 0}, "gpu"),
        arch=text(found, "arch"),
        price=price if price > 0 else None,
    )


def image(found: Mapping[str, Any], *, name: str = "", owner: str) -> Image:
    """Return an image, by a name of its own or the given one; `owner` is the name of what tells whose it is."""
    return Image(
        id=text(found, "id"),
        name=name or text(found, "name"),
        owner=text(found, owner),
        arch=text(found, "arch"),
        created=moment(found.get("creation_date")),
    )


def machine(zone: str, found: Mapping[str, Any]) -> Machine:
    """Return a machine."""
    own = tags(found)
    own.pop(LAUNCH, None)
    made: Mapping[str, Any] = found.get("image") or {}
    public = cast("Sequence[Mapping[str, Any]]", found.get("public_ips") or ())
    addresses = [text(one, "address") for one in public]
    if found.get("private_ip"):
        addresses.append(text(found, "private_ip"))
    return Machine(
        id=f"{zone}/{text(found, 'id')}",
        name=text(found, "name"),
        state=STATES.get(text(found, "state"), MachineState.UNKNOWN),
        size=text(found, "commercial_type"),
        image=str(made.get("id") or ""),
        created=moment(found.get("creation_date")),
        tags=own,
        addresses=tuple(addresses),
    )


def held(found: Mapping[str, Any]) -> list[str]:
    """Return the machines that have a volume, by their ids in its zone. One that is being let go of has it still."""
    references = cast("list[Mapping[str, Any]]", found["references"])
    return [
        text(one, "product_resource_id")
        for one in references
        if one.get("product_resource_type") == SERVER and one.get("status") != GONE
    ]


def volume(zone: str, found: Mapping[str, Any]) -> Volume:
    """Return a volume."""
    machines = held(found)
    return Volume(
        id=f"{zone}/{text(found, 'id')}",
        name=str(found.get("name") or ""),
        size=number(found, "size"),
        machine=f"{zone}/{machines[0]}" if machines else None,
        tags=tags(found),
    )
