"""Machines, sizes and volumes, as Resource Manager tells of them and as we do."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from sovbroker.errors import InvalidArgument
from sovbroker.machines import Machine, MachineState, Size, Volume
from sovbroker_adapters.answers import moment, number, text

__all__ = ["arch", "labelled", "place", "size", "spot", "state", "vm", "volume"]

NAME: Final = "Name"
GIB: Final = 1 << 30
MIB: Final = 1 << 20
TAGS_MAX, NAME_MAX, VALUE_MAX = 50, 512, 256
FORBIDDEN: Final = frozenset("<>%&\\?/")
PARTS: Final = 9
ARCHITECTURES: Final[Mapping[str, str]] = MappingProxyType({"x64": "x86_64", "arm64": "arm64"})
CONFIDENTIAL: Final[Mapping[str, str]] = MappingProxyType({"SNP": "sev-snp", "TDX": "tdx"})
POWER: Final[Mapping[str, MachineState]] = MappingProxyType(
    {
        "starting": MachineState.PENDING,
        "running": MachineState.RUNNING,
        "stopping": MachineState.STOPPING,
        "deallocating": MachineState.STOPPING,
        "stopped": MachineState.STOPPED,
        "deallocated": MachineState.STOPPED,
    }
)
PROVISIONING: Final[Mapping[str, MachineState]] = MappingProxyType(
    {
        "creating": MachineState.PENDING,
        "updating": MachineState.PENDING,
        "failed": MachineState.FAILED,
    }
)


def labelled(name: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags with the name among them. Raises InvalidArgument for those that would not come back as they are."""
    own = {**tags, NAME: name}
    if len({key.lower() for key in own}) != len(tags) + 1:
        raise InvalidArgument(
            f"the tags `{', '.join(sorted(own))}` are not told apart: only by case, or called `{NAME}`"
        )
    for key, value in own.items():
        if not key or len(key) > NAME_MAX or FORBIDDEN & set(key) or len(value) > VALUE_MAX:
            raise InvalidArgument(
                f"the tag `{key[:40]}` cannot be held: none of <>%&\\?/ in it, at most {VALUE_MAX} characters"
            )
    if len(own) > TAGS_MAX:
        raise InvalidArgument(f"{len(own)} tags are too many; at most {TAGS_MAX}")
    return own


def spot(link: object) -> str:
    """Return the id of what a link leads to: its group and its name, in lower case: the service changes it."""
    parts = str(link).lower().split("/")
    if len(parts) != PARTS or parts[1] != "subscriptions" or parts[3] != "resourcegroups":
        raise ValueError("an id is of another form")
    return f"{parts[4]}/{parts[8]}"


def place(found: Mapping[str, Any]) -> str:
    """Return the location of something, as it is written in settings."""
    return text(found, "location").replace(" ", "").lower()


def state(properties: Mapping[str, Any], statuses: object) -> MachineState:
    """Return the state of a machine by what is told of its power, else of its making."""
    said = [str(one.get("code", "")).lower() for one in cast("list[dict[str, Any]]", statuses or [])]
    made = str(properties.get("provisioningState", "")).lower()
    if made == "deleting" or "provisioningstate/deleting" in said:
        return MachineState.GONE
    for code in said:
        if code.startswith("powerstate/"):
            return POWER.get(code.removeprefix("powerstate/"), MachineState.UNKNOWN)
    return PROVISIONING.get(made, MachineState.UNKNOWN)


def vm(found: Mapping[str, Any], statuses: object, addresses: tuple[str, ...] = ()) -> Machine:
    """Return a machine."""
    properties = cast("Mapping[str, Any]", found["properties"])
    tags = dict(cast("dict[str, str]", found.get("tags") or {}))
    storage, hardware = _within(properties, "storageProfile"), _within(properties, "hardwareProfile")
    reference = _within(storage, "imageReference")
    image = ":".join(str(reference.get(part, "")) for part in ("publisher", "offer", "sku", "version"))
    return Machine(
        id=spot(found.get("id")),
        name=tags.pop(NAME, "") or text(found, "name"),
        state=state(properties, statuses),
        size=str(hardware.get("vmSize", "")),
        image=image if reference.get("publisher") else str(reference.get("id", "")),
        created=moment(properties.get("timeCreated")),
        tags=tags,
        addresses=addresses,
    )


def _within(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", found.get(name) or {})


def arch(word: object) -> str:
    """Return an architecture."""
    return ARCHITECTURES.get(str(word or "x64").lower(), "unknown")


def size(found: Mapping[str, Any]) -> Size:
    """Return a kind of machine. Its own disk is a temporary one."""
    held = {text(one, "name"): str(one.get("value", "")) for one in found["capabilities"]}
    kind = CONFIDENTIAL.get(held.get("ConfidentialComputingType", ""))
    return Size(
        id=text(found, "name"),
        cpus=int(held["vCPUs"]),
        memory=int(float(held["MemoryGB"]) * GIB),
        disk=int(held.get("MaxResourceVolumeMB", "0")) * MIB,
        gpus=int(held.get("GPUs", "0")),
        arch=arch(held.get("CpuArchitectureType")),
        attested=(kind,) if kind else (),
    )


def volume(found: Mapping[str, Any]) -> Volume:
    """Return a volume."""
    tags = dict(cast("dict[str, str]", found.get("tags") or {}))
    return Volume(
        id=spot(found.get("id")),
        name=tags.pop(NAME, "") or text(found, "name"),
        size=number(found["properties"], "diskSizeGB") * GIB,
        machine=spot(found["managedBy"]) if found.get("managedBy") else None,
        tags=tags,
    )
