"""Machines, sizes, images and volumes, as the API tells of them and as we do."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from sovbroker.machines import Image, Machine, MachineState, Size, Volume
from sovbroker_adapters.answers import moment, number, tags, text

__all__ = ["NAME", "image", "machine", "size", "state", "volume"]

NAME: Final = "Name"
"""The tag that holds what a machine or a volume is called, as the provider's console shows it."""

GIB: Final = 1 << 30
STATES: Final[Mapping[str, MachineState]] = MappingProxyType(
    {
        "pending": MachineState.PENDING,
        "running": MachineState.RUNNING,
        "stopping": MachineState.STOPPING,
        "stopped": MachineState.STOPPED,
        "shutting-down": MachineState.GONE,
        "terminated": MachineState.GONE,
    }
)


def state(word: str) -> MachineState:
    """Return the state of a machine; one that is quarantined is unknown."""
    return STATES.get(word, MachineState.UNKNOWN)


def machine(found: Mapping[str, Any]) -> Machine:
    """Return a machine."""
    own = tags(found.get("Tags"))
    return Machine(
        id=text(found, "VmId"),
        name=own.pop(NAME, ""),
        state=state(text(found, "State")),
        size=str(found.get("VmType", "")),
        image=str(found.get("ImageId", "")),
        created=moment(found.get("CreationDate")),
        tags=own,
        addresses=tuple(str(found[name]) for name in ("PublicIp", "PrivateIp") if found.get(name)),
    )


def size(found: Mapping[str, Any]) -> Size:
    """Return a kind of machine. The provider has one architecture."""
    return Size(
        id=text(found, "VmTypeName"),
        cpus=number(found, "VcoreCount"),
        memory=int(float(found["MemorySize"]) * GIB),
        disk=int(found.get("VolumeCount") or 0) * int(found.get("VolumeSize") or 0) * GIB,
        gpus=int(found.get("Gpu") or 0),
    )


def image(found: Mapping[str, Any], *, owner: str) -> Image:
    """Return an image; one of the account or the alias `owner` is that owner's."""
    own = {found.get("AccountId"), found.get("AccountAlias")}
    return Image(
        id=text(found, "ImageId"),
        name=str(found.get("ImageName", "")),
        owner=owner if owner in own else text(found, "AccountId"),
        arch=text(found, "Architecture"),
        created=moment(found.get("CreationDate")),
    )


def volume(found: Mapping[str, Any]) -> Volume:
    """Return a volume."""
    own = tags(found.get("Tags"))
    held: list[Mapping[str, Any]] = [
        one for one in found.get("LinkedVolumes", []) if one.get("State") not in {"detached", "detaching"}
    ]
    return Volume(
        id=text(found, "VolumeId"),
        name=own.pop(NAME, ""),
        size=number(found, "Size") * GIB,
        machine=text(held[0], "VmId") if held else None,
        tags=own,
    )
