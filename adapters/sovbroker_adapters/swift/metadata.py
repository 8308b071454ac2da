"""Metadata as Swift's headers: at most 256 bytes a value, so that a longer one travels in pieces.

A piece stands between angle brackets, as HTTP would strip a space at its end, in a header whose name ends with a hyphen
and a number from 1. Names of ours have no hyphen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sovbroker.errors import InvalidArgument

__all__ = ["headers_of", "metadata_of"]

META: Final = "x-object-meta-"
VALUE_MAX: Final = 256
NAME_MAX: Final = 124
COUNT_MAX: Final = 90
PIECE: Final = VALUE_MAX - 2
CUT: Final = re.compile(r"([a-z0-9]+)-([1-9][0-9]?)")


def headers_of(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that hold metadata. Raises InvalidArgument for what Swift does not take."""
    found: dict[str, str] = {}
    for name, value in metadata.items():
        if len(name) > NAME_MAX:
            raise InvalidArgument(f"the metadata name `{name[:80]}…` is longer than {NAME_MAX} characters")
        if len(value) <= VALUE_MAX:
            found[META + name] = value
            continue
        for number, start in enumerate(range(0, len(value), PIECE), start=1):
            found[f"{META}{name}-{number}"] = f"<{value[start : start + PIECE]}>"
    if len(found) > COUNT_MAX:
        raise InvalidArgument(f"these metadata take {len(found)} headers; Swift takes at most {COUNT_MAX}")
    return found


def metadata_of(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the metadata that an answer's headers hold, by names in lower case."""
    named = ((name.lower(), value) for name, value in headers.items())
    found = {name.removeprefix(META): value for name, value in named if name.startswith(META)}
    pieces: dict[str, dict[int, str]] = {}
    for name, value in found.items():
        cut = CUT.fullmatch(name)
        if cut is not None and len(value) > 1 and value[0] == "<" and value[-1] == ">":
            pieces.setdefault(cut[1], {})[int(cut[2])] = value[1:-1]
    for name, held in pieces.items():
        # Others may have such names too: ours begin with 1, and have no gap.
        if name not in found and sorted(held) == [*range(1, len(held) + 1)]:
            for number in held:
                del found[f"{name}-{number}"]
            found[name] = "".join(held[number] for number in sorted(held))
    return MappingProxyType(found)
