"""Machines, sizes, images and volumes, as the API tells of them and as we do."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from sovbroker.errors import InvalidArgument
from sovbroker.machines import Image, Machine, MachineState, Size, Volume
from sovbroker_adapters.answers import moment, number, text

__all__ = ["described", "image", "instance", "labels", "last", "once", "path", "size", "spot", "volume"]

GIB: Final = 1 << 30
MIB: Final = 1 << 20
OURS: Final = "sovbroker"
LABEL: Final = re.compile(r"(?!goog)[a-z][a-z0-9_-]{0,62}")
VALUE: Final = re.compile(r"[a-z0-9_-]{0,63}")
LABELS_MAX: Final = 64
DESCRIPTION_MAX: Final = 2048
ARCHITECTURES: Final[Mapping[str, str]] = MappingProxyType({"X86_64": "x86_64", "ARM64": "arm64"})
STATES: Final[Mapping[str, MachineState]] = MappingProxyType(
    {
        "PROVISIONING": MachineState.PENDING,
        "STAGING": MachineState.PENDING,
        "RUNNING": MachineState.RUNNING,
        "PENDING_STOP": MachineState.STOPPING,
        "STOPPING": MachineState.STOPPING,
        "SUSPENDING": MachineState.STOPPING,
        "DEPROVISIONING": MachineState.STOPPING,
        "SUSPENDED": MachineState.STOPPED,
        "TERMINATED": MachineState.STOPPED,
        "REPAIRING": MachineState.FAILED,
    }
)
ONCE: Final = """#!/bin/sh
# Startup scripts run whenever a machine starts; what follows is for the first time only.
mkdir -p {folder} && mkdir {folder}/{name} 2>/dev/null || exit 0
base64 -d >{folder}/{name}/script <<'END' && chmod 700 {folder}/{name}/script && exec {folder}/{name}/script
{encoded}
END
"""


def once(script: bytes, name: str, *, folder: str = "/var/lib/sovbroker") -> str:
    """Return a startup script that runs another one when the machine `name` starts for the first time."""
    return ONCE.format(folder=folder, name=name, encoded=base64.encodebytes(script).decode().strip())


def labels(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that labels can hold."""
    fit = sorted(name for name, value in tags.items() if LABEL.fullmatch(name) and VALUE.fullmatch(value))
    return {name: tags[name] for name in fit[:LABELS_MAX]}


def described(name: str, tags: Mapping[str, str]) -> str:
    """Return a description that holds a name and the tags that no label does. Raises InvalidArgument if too long."""
    held = labels(tags)
    rest = {key: value for key, value in tags.items() if key not in held}
    said = json.dumps({OURS: {"name": name, "tags": rest}}, separators=(",", ":"), sort_keys=True)
    if len(said) > DESCRIPTION_MAX:
        raise InvalidArgument(
            f"the name and the tags of `{name[:40]}` are {len(said)} bytes; at most {DESCRIPTION_MAX}"
        )
    return said


def last(link: object) -> str:
    """Return the name at the end of a link. Raises ValueError."""
    if not isinstance(link, str) or not link.rpartition("/")[2]:
        raise ValueError("a link is missing")
    return link.rpartition("/")[2]


def path(link: object) -> str:
    """Return a link without its host and version: from `projects/` on. Raises ValueError."""
    before, found, rest = str(link).partition("projects/")
    if not found or (before and not before.endswith("/")):
        raise ValueError("a link leads to no project")
    return f"projects/{rest}"


def spot(link: object) -> str:
    """Return the id of the machine or volume that a link leads to: its zone and its name. Raises ValueError."""
    parts = path(link).split("/")
    if len(parts) != 6 or parts[2] != "zones":  # noqa: PLR2004 - projects/P/zones/Z/KIND/NAME
        raise ValueError("a link leads to nothing of a zone")
    return f"{parts[3]}/{parts[5]}"


def instance(found: Mapping[str, Any], image: str = "") -> Machine:
    """Return a machine; `image` is what its disk was made of, which it does not tell itself."""
    name, tags = _own(found)
    return Machine(
        id=spot(found.get("selfLink")),
        name=name,
        state=STATES.get(text(found, "status"), MachineState.UNKNOWN),
        size=last(found.get("machineType")),
        image=image,
        created=moment(found.get("creationTimestamp")),
        tags=tags,
        addresses=tuple(_addresses(found)),
    )


def size(found: Mapping[str, Any]) -> Size:
    """Return a kind of machine."""
    held: Any = found.get("accelerators") or []
    return Size(
        id=text(found, "name"),
        cpus=number(found, "guestCpus"),
        memory=number(found, "memoryMb") * MIB,
        gpus=sum(number(one, "guestAcceleratorCount") for one in held),
        arch=_arch(found),
    )


def image(found: Mapping[str, Any]) -> Image:
    """Return an image; its owner is the project that it is in."""
    own = path(found.get("selfLink"))
    return Image(
        id=own,
        name=text(found, "name"),
        owner=own.split("/")[1],
        arch=_arch(found),
        created=moment(found.get("creationTimestamp")),
    )


def volume(found: Mapping[str, Any]) -> Volume:
    """Return a volume. The API tells its size as a text."""
    name, tags = _own(found)
    users: Any = found.get("users") or []
    return Volume(
        id=spot(found.get("selfLink")),
        name=name,
        size=int(found["sizeGb"]) * GIB,
        machine=spot(users[0]) if users else None,
        tags=tags,
    )


def _own(found: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return name and tags: those of the description too, where it is one of ours."""
    tags = dict(cast("dict[str, str]", found.get("labels") or {}))
    try:
        said: Any = json.loads(found.get("description") or "")[OURS]
        name, rest = text(said, "name"), cast("dict[str, str]", said["tags"])
        return name, {**tags, **{str(key): str(value) for key, value in rest.items()}}
    except (AttributeError, KeyError, TypeError, ValueError):
        # Somebody else's, who writes there what they like.
        return text(found, "name"), tags


def _arch(found: Mapping[str, Any]) -> str:
    return ARCHITECTURES.get(str(found.get("architecture") or "X86_64"), "unknown")


def _addresses(found: Mapping[str, Any]) -> list[str]:
    held = cast("list[dict[str, Any]]", found.get("networkInterfaces") or [])
    configs = [each for one in held for each in cast("list[dict[str, Any]]", one.get("accessConfigs") or [])]
    public = [str(each["natIP"]) for each in configs if each.get("natIP")]
    return public + [str(one["networkIP"]) for one in held if one.get("networkIP")]
