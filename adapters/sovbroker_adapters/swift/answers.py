"""Answers, read whole and taken apart: JSON that does not have the form that was asked for is nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    import httpx

__all__ = ["record", "records", "whole"]

NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


def whole(answer: httpx.Response, *, most: int) -> bytes:
    """Return an answer's body. Raises ValueError for more than `most` bytes."""
    pieces: list[bytes] = []
    left = most
    for piece in answer.iter_raw():
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            raise ValueError(f"it is longer than {most} bytes")
    return b"".join(pieces)


def record(value: object) -> Mapping[str, object]:
    """Return a map; an empty one for anything else. Names in JSON are texts."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else NOTHING


def records(value: object) -> Sequence[Mapping[str, object]]:
    """Return a list of maps, with an empty one for anything else in it; an empty list for anything else."""
    return [record(entry) for entry in cast("list[object]", value)] if isinstance(value, list) else ()
