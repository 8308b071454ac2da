"""What an adapter for machines checks of a call before it asks: the same words for the same mistake everywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sovbroker.errors import InvalidArgument, NotSupported
from sovbroker.machines import ComputeFeature, Launch
from sovbroker.ports import Support

__all__ = ["check_launch", "check_size", "gibibytes", "lacking", "named"]

TOKEN: Final = re.compile(r"[A-Za-z0-9-]{1,36}")
USER_DATA_MAX: Final = 16 << 10
GIB: Final = 1 << 30


def check_launch(launch: Launch, capabilities: Mapping[ComputeFeature, Support], *, target: str) -> None:
    """Raise InvalidArgument for a launch that means nothing, NotSupported for one that the provider cannot do whole."""
    if TOKEN.fullmatch(launch.token) is None:
        raise InvalidArgument(f"`{launch.token}` is no token of a launch: letters, digits and hyphens, at most 36")
    if not launch.name:
        raise InvalidArgument(f"{target}: a machine needs a name")
    if len(launch.user_data) > USER_DATA_MAX:
        raise InvalidArgument(f"{target}: the script is {len(launch.user_data)} bytes long; at most {USER_DATA_MAX}")
    wanted = {
        ComputeFeature.TAGS: bool(launch.tags),
        ComputeFeature.KEYS: launch.key is not None,
        ComputeFeature.USER_DATA: bool(launch.user_data),
    }
    for feature, asked in wanted.items():
        if asked and not capabilities[feature].usable:
            raise lacking(feature, capabilities, target=target)


def lacking(feature: ComputeFeature, capabilities: Mapping[ComputeFeature, Support], *, target: str) -> NotSupported:
    """Return the error of a feature that a provider does not offer."""
    return NotSupported(
        f"`{feature}` is {capabilities[feature]} here; the capabilities say so beforehand", target=target
    )


def check_size(size: int) -> None:
    """Raise InvalidArgument for a volume of no bytes."""
    if size < 1:
        raise InvalidArgument(f"a volume of {size} bytes is none; ask for at least one")


def gibibytes(size: int) -> int:
    """Return the least whole number of GiB that holds `size` bytes."""
    return -(-size // GIB)


def named(name: str, pattern: str) -> bool:
    """Whether a name is of a pattern, in which `*` stands for any characters and nothing else is special."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name, re.DOTALL) is not None
