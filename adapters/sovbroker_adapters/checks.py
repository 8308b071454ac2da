"""What an adapter checks of a call before it touches its store: the same words for the same mistake at every target."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

from sovbroker.errors import InvalidArgument, NotSupported
from sovbroker.ports import Feature, Limits, Part, Support

__all__ = [
    "beyond",
    "check_key",
    "check_metadata",
    "check_number",
    "check_parts",
    "check_range",
    "check_until",
    "clip",
    "need",
    "shows",
]

NAME: Final = re.compile(r"[a-z0-9]+")
VALUE: Final = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
SHOWN: Final = 80


def check_key(key: str, *, limits: Limits) -> None:
    """Raise InvalidArgument for a key that is empty, no valid Unicode, or longer than `limits` allow."""
    if not key:
        raise InvalidArgument("the key is empty; give it at least one character")
    try:
        length = len(key.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"the key {ascii(key)[:SHOWN]} is not valid Unicode; remove the lone surrogate"
        ) from error
    if length > limits.key_max:
        raise InvalidArgument(
            f"the key `{key[:SHOWN]}…` is {length} bytes long; this store holds keys of at most {limits.key_max} bytes"
        )
    longest = max(len(part) for part in key.encode().split(b"/"))
    if longest > limits.segment_max:
        raise InvalidArgument(
            f"a part of the key `{key[:SHOWN]}…` is {longest} bytes long; this store holds keys of at most "
            f"{limits.segment_max} bytes between slashes"
        )


def check_metadata(metadata: Mapping[str, str], *, limits: Limits) -> None:
    """Raise InvalidArgument for metadata that a store cannot be relied on to give back exactly.

    Names are lower-case letters and digits, values printable ASCII without a space at either end: HTTP strips those.
    """
    total = 0
    for name, value in metadata.items():
        if NAME.fullmatch(name) is None:
            raise InvalidArgument(f"the metadata name `{name[:SHOWN]}` is not made of lower-case letters and digits")
        if VALUE.fullmatch(value) is None:
            raise InvalidArgument(
                f"the metadata value of `{name}` is not printable ASCII without a space at either end"
            )
        total += len(name) + len(value)
    if total > limits.metadata_max:
        raise InvalidArgument(f"the metadata are {total} bytes; this store holds at most {limits.metadata_max}")


def check_number(number: int, *, limits: Limits) -> None:
    """Raise InvalidArgument for a part number that the store does not take."""
    if not 1 <= number <= limits.parts_max:
        raise InvalidArgument(f"part {number} is out of range; this store takes parts 1 to {limits.parts_max}")


def check_parts(parts: Sequence[Part]) -> Sequence[Part]:
    """Return the parts of a commit by number. Raises InvalidArgument when there is none, or one twice."""
    if not parts:
        raise InvalidArgument("an upload cannot be joined from no parts; put an empty object instead")
    ordered = sorted(parts, key=lambda part: part.number)
    for one, other in pairwise(ordered):
        if one.number == other.number:
            raise InvalidArgument(f"part {one.number} is given twice; give the receipt of its last sending")
    return ordered


def check_range(span: tuple[int, int] | None) -> None:
    """Raise InvalidArgument for a range that runs backwards or begins before 0."""
    if span is not None and not 0 <= span[0] <= span[1]:
        raise InvalidArgument(f"the range {span[0]}-{span[1]} runs backwards or begins before 0")


def check_until(until: datetime, *, now: datetime | None = None) -> datetime:
    """Return the end of a retention in UTC. Raises InvalidArgument for one that is naive or, by `now`, past."""
    if until.tzinfo is None:
        raise InvalidArgument(f"the moment {until} has no time zone; give one, such as UTC")
    if until <= (now or datetime.now(UTC)):
        raise InvalidArgument(f"an object cannot be retained until {until}, which is past")
    return until.astimezone(UTC)


def clip(span: tuple[int, int] | None, *, size: int) -> tuple[int, int]:
    """Return (offset, length) of what is asked of `size` bytes; InvalidArgument when it begins beyond the end."""
    if span is None:
        return 0, size
    first, last = span
    if first >= size:
        raise beyond(span, size=size)
    return first, min(last, size - 1) - first + 1


def beyond(span: tuple[int, int], *, size: int | None = None) -> InvalidArgument:
    """Return the error of a range that begins beyond the end."""
    known = "" if size is None else f" of the {size} bytes"
    return InvalidArgument(f"the range {span[0]}-{span[1]} begins beyond the end{known}")


def need(feature: Feature, capabilities: Mapping[Feature, Support], *, target: str, key: str | None = None) -> None:
    """Raise NotSupported unless the store offers `feature` in a way to be relied on."""
    support = capabilities[feature]
    if not support.usable:
        raise NotSupported(
            f"`{feature}` is {support} at this store; its capabilities say so beforehand", target=target, key=key
        )


def shows(found: Mapping[str, str], wanted: Mapping[str, str], *, before: Mapping[str, str]) -> bool:
    """Whether an object has the metadata that it was given, and says nothing of those that it had before.

    A store may add its own.
    """
    kept = any(found.get(name) for name in before.keys() - wanted.keys())
    return not kept and all(found.get(name) == value for name, value in wanted.items())
