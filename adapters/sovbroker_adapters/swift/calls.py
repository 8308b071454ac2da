"""One request to Swift, as the store thinks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

__all__ = ["Call"]

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Call:
    """A request: `name` is the object's in the container, "" the container itself; `key` the one that errors name.

    `body` gives the bytes anew for each attempt; `once`: it can give them a single time. `again`: the request may be
    repeated when there is no answer. `conditional`: it was to change nothing that exists. `also`: the statuses besides
    2xx that are no error. `anonymous`: it carries no token.
    """

    method: str
    name: str = ""
    key: str | None = None
    query: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    headers: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    body: Callable[[], bytes | Iterable[memoryview]] | None = None
    again: bool = True
    once: bool = False
    conditional: bool = False
    also: frozenset[int] = frozenset()
    anonymous: bool = False
