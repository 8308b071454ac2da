"""Machines, sizes, images and volumes, as the service tells of them and as we do."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from sovbroker.machines import Image, Machine, MachineState, Size, Volume
from sovbroker_adapters.answers import moment, number, tags, text

__all__ = ["NAME", "image", "machine", "size", "state", "volume"]

NAME: Final = "Name"
"""The tag that holds what a machine or a volume is called."""

MIB: Final = 1 << 20
GIB: Final = 1 << 30
GB: Final = 10**9
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
ATTESTED: Final[Mapping[str, str]] = MappingProxyType({"amd-sev-snp": "sev-snp"})


def state(found: Mapping[str, Any]) -> MachineState:
    """Return the state of a machine. Raises where none is told."""
    return STATES.get(text(found, "Name"), MachineState.UNKNOWN)


def machine(found: Mapping[str, Any]) -> Machine:
    """Return a machine."""
    own = tags(found.get("Tags"))
    where = (found.get(name) for name in ("PublicIpAddress", "PrivateIpAddress", "Ipv6Address"))
    return Machine(
        id=text(found, "InstanceId"),
        name=own.pop(NAME, ""),
        state=state(found["State"]),
        size=str(found.get("InstanceType", "")),
        image=str(found.get("ImageId", "")),
        created=moment(found.get("LaunchTime")),
        tags=own,
        addresses=tuple(str(one) for one in where if one),
    )


def size(found: Mapping[str, Any]) -> Size:
    """Return a kind of machine. Of several architectures it has the usual one."""
    processor: Mapping[str, Any] = found["ProcessorInfo"]
    architectures = list(processor["SupportedArchitectures"])
    graphics: list[Mapping[str, Any]] = found.get("GpuInfo", {}).get("Gpus", [])
    features = processor.get("SupportedFeatures", [])
    return Size(
        id=text(found, "InstanceType"),
        cpus=number(found["VCpuInfo"], "DefaultVCpus"),
        memory=number(found["MemoryInfo"], "SizeInMiB") * MIB,
        disk=int(found.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0)) * GB,
        gpus=sum(number(one, "Count") for one in graphics),
        arch="x86_64" if "x86_64" in architectures else str(architectures[0]),
        attested=tuple(ours for theirs, ours in ATTESTED.items() if theirs in features),
    )


def image(found: Mapping[str, Any]) -> Image:
    """Return an image."""
    return Image(
        id=text(found, "ImageId"),
        name=str(found.get("Name", "")),
        owner=text(found, "OwnerId"),
        arch=text(found, "Architecture"),
        created=moment(found.get("CreationDate")),
    )


def volume(found: Mapping[str, Any]) -> Volume:
    """Return a volume."""
    own = tags(found.get("Tags"))
    held: list[Mapping[str, Any]] = [
        one for one in found.get("Attachments", []) if one.get("State") not in {"detached", "detaching"}
    ]
    return Volume(
        id=text(found, "VolumeId"),
        name=own.pop(NAME, ""),
        size=number(found, "Size") * GIB,
        machine=text(held[0], "InstanceId") if held else None,
        tags=own,
    )
