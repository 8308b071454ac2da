"""Machines, sizes, images and volumes, as the services tell of them and as we do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from sovbroker.machines import Image, Machine, MachineState, Size, Volume
from sovbroker_adapters.answers import moment, number, text

__all__ = ["SOFT", "attachments", "attested", "homeless", "image", "machine", "size", "unplaced", "volume"]

MIB: Final = 1 << 20
GIB: Final = 1 << 30
SOFT: Final = frozenset({"SOFT_DELETED", "soft-deleting"})
"""What a machine is called that its project can bring back: it is not destroyed."""

STATES: Final[Mapping[str, MachineState]] = MappingProxyType(
    {
        "ACTIVE": MachineState.RUNNING,
        "BUILD": MachineState.PENDING,
        "REBUILD": MachineState.PENDING,
        "REBOOT": MachineState.PENDING,
        "HARD_REBOOT": MachineState.PENDING,
        "SHUTOFF": MachineState.STOPPED,
        "ERROR": MachineState.FAILED,
        "DELETED": MachineState.GONE,
    }
)
TASKS: Final[Mapping[str, MachineState]] = MappingProxyType(
    {
        "deleting": MachineState.GONE,
        "powering-off": MachineState.STOPPING,
        "powering-on": MachineState.PENDING,
        "rebooting": MachineState.PENDING,
        "reboot_started": MachineState.PENDING,
        "rebooting_hard": MachineState.PENDING,
    }
)
SCHEDULING: Final = "scheduling"
SHOWN: Final = 300
NO_HOST: Final = re.compile(r"no ?valid ?host|exhausted all hosts", re.IGNORECASE)
"""What Nova says of a machine that no host had room for, or that every host has tried to build."""

MODELS: Final[Mapping[str, str]] = MappingProxyType({"amd-sev-snp": "sev-snp", "intel-tdx": "tdx"})
"""Models of encrypted memory that a machine can prove; the others (`amd-sev`, `amd-sev-es`) only encrypt."""

ARCHES: Final[Mapping[str, str]] = MappingProxyType({"aarch64": "arm64", "amd64": "x86_64"})


def machine(found: Mapping[str, Any]) -> Machine:
    """Return a machine. One that runs from a volume names no image."""
    task = found.get("OS-EXT-STS:task_state")
    state = STATES.get(text(found, "status"), MachineState.UNKNOWN)
    networks = cast("Mapping[str, list[Mapping[str, Any]]]", found.get("addresses") or {})
    return Machine(
        id=text(found, "id"),
        name=str(found["name"]),
        state=TASKS.get(str(task), state),
        size=text(found["flavor"], "id"),
        image=text(found["image"], "id") if found["image"] else "",
        created=moment(found.get("created")),
        tags={str(name): str(value) for name, value in found["metadata"].items()},
        addresses=tuple(str(one["addr"]) for network in networks.values() for one in network),
    )


def unplaced(found: Mapping[str, Any]) -> bool:
    """Whether a machine is one that no host was chosen for as yet."""
    return found.get("status") == "BUILD" and found.get("OS-EXT-STS:task_state") == SCHEDULING


def homeless(found: Mapping[str, Any]) -> str:
    """Return why a machine that has failed got no host, "" for one that has failed otherwise."""
    fault = found.get("fault")
    said = str(cast("Mapping[str, Any]", fault).get("message") or "") if isinstance(fault, Mapping) else ""
    return said[:SHOWN] if NO_HOST.search(said) else ""


def size(found: Mapping[str, Any], specs: Mapping[str, Any]) -> Size:
    """Return a kind of machine. `specs` are its extra specs, where they were asked for."""
    arch = str(specs.get("ecs:instance_architecture") or specs.get("hw:architecture") or "x86_64")
    return Size(
        id=text(found, "id"),
        cpus=number(found, "vcpus"),
        memory=number(found, "ram") * MIB,
        disk=number(found, "disk") * GIB,
        arch=ARCHES.get(arch, arch),
        attested=attested(specs),
        name=str(found.get("name") or ""),
    )


def attested(specs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the kinds of confidential computing that a flavor with these extra specs proves."""
    kind = MODELS.get(str(specs.get("hw:mem_encryption_model", "")).lower())
    wanted = str(specs.get("hw:mem_encryption", "")).lower() in {"true", "1", "yes", "on"}
    return (kind,) if kind is not None and wanted else ()


def image(found: Mapping[str, Any]) -> Image:
    """Return an image; its owner is a project."""
    arch = str(found.get("architecture") or "x86_64")
    return Image(
        id=text(found, "id"),
        name=str(found.get("name") or ""),
        owner=text(found, "owner"),
        arch=ARCHES.get(arch, arch),
        created=moment(found.get("created_at")),
    )


def attachments(found: Mapping[str, Any]) -> list[str]:
    """Return the ids of the machines that a volume is attached to. Raises ValueError, KeyError and TypeError."""
    held = cast("list[Mapping[str, Any]]", found["attachments"])
    return [text(one, "server_id") for one in held]


def volume(found: Mapping[str, Any]) -> Volume:
    """Return a volume."""
    own = cast("Mapping[str, Any]", found.get("metadata") or {})
    return Volume(
        id=text(found, "id"),
        name=str(found.get("name") or ""),
        size=number(found, "size") * GIB,
        machine=next(iter(attachments(found)), None),
        tags={str(name): str(value) for name, value in own.items()},
    )
