"""What is read of a provider's answer: what is missing or of another kind is no answer, and never counts as nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from sovbroker.errors import Unavailable

__all__ = ["broken", "entries", "entry", "moment", "number", "read", "tags", "text"]

T = TypeVar("T")


def broken(why: str, *, target: str) -> Unavailable:
    """Return the error of an answer that is not what it should be; `why` is what it holds instead."""
    return Unavailable(f"the provider answered {why}", target=target)


def entry(answer: object, *, target: str) -> Mapping[str, Any]:
    """Return an answer that is an object. Raises Unavailable for any other."""
    if not isinstance(answer, Mapping):
        raise broken("something that is no object", target=target)
    return cast("Mapping[str, Any]", answer)


def entries(answer: object, name: str = "", *, target: str) -> Sequence[Mapping[str, Any]]:
    """Return the objects of a list: of `name` in the answer, or of the answer itself.

    Raises Unavailable where there is no such list: an answer without it does not say that there is nothing.
    """
    found = entry(answer, target=target).get(name) if name else answer
    if not isinstance(found, list):
        raise broken(f"without the list `{name}`" if name else "something that is no list", target=target)
    return [entry(one, target=target) for one in cast("list[object]", found)]


def read(make: Callable[[Mapping[str, Any]], T], found: object, *, target: str) -> T:
    """Return what `make` makes of an object of an answer. Raises Unavailable where that lacks what it needs."""
    try:
        return make(entry(found, target=target))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise broken(f"something that lacks what it should tell ({error})", target=target) from error


def text(found: Mapping[str, Any], name: str) -> str:
    """Return a text that is not empty. Raises ValueError."""
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"no `{name}`")
    return value


def number(found: Mapping[str, Any], name: str) -> int:
    """Return a whole number from 0. Raises ValueError."""
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"no `{name}`")
    return value


def moment(value: object) -> datetime | None:
    """Return a moment that is told as ISO 8601 or as such; None where there is none. Raises ValueError."""
    if value is None or value == "":
        return None
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def tags(found: object) -> dict[str, str]:
    """Return tags that are told as a list of `Key` and `Value`. Raises KeyError and TypeError."""
    pairs = cast("list[Mapping[str, Any]]", found or [])
    return {str(one["Key"]): str(one["Value"]) for one in pairs}
