"""Inventories: which objects there are, how large they are, and where they lie."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, cast

from sovbroker.errors import InvalidArgument

__all__ = ["Item", "item_of", "read_items"]

NOTHING: Final[Mapping[str, str]] = {}
FIELDS: Final = ("key", "size", "label", "targets", "metadata")
BLANK: Final = re.compile(r"\s*")


class Item(NamedTuple):
    """One object of an inventory: `size` in bytes, the `label` that it carries, and the `targets` where it lies now.

    `label` None: it carries none, and its path and metadata alone decide. `targets` empty: it is not known where it
    lies, and it counts as lying where the old policy puts it.
    """

    key: str
    size: int = 0
    label: str | None = None
    targets: tuple[str, ...] = ()
    metadata: Mapping[str, str] = NOTHING


def read_items(lines: Iterable[str | bytes], *, name: str = "inventory", first: int = 1) -> Iterator[Item]:
    """Yield the objects of JSON lines; blank lines hold none.

    `name` and `first` (the number of the first line) are for messages. Raises InvalidArgument, with the line's number,
    for a line that is not one object as `Item` describes it: nothing is left out.
    """
    decode = json.JSONDecoder(object_pairs_hook=_unique).raw_decode
    for number, line in enumerate(lines, first):
        try:
            text = line if isinstance(line, str) else line.decode("utf-8")
            start = cast("re.Match[str]", BLANK.match(text)).end()
            if start == len(text):
                continue
            value, end = decode(text, start)
            yield item_of(value, text[end:].strip())
        except InvalidArgument as error:
            raise InvalidArgument(f"{name}:{number}: {error}") from error
        except UnicodeDecodeError as error:
            raise InvalidArgument(f"{name}:{number}: not UTF-8 text") from error
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(
                f'{name}:{number}: not JSON ({error}); write one object a line, such as {{"key": "a/b", "size": 1}}'
            ) from error


def item_of(value: object, rest: str = "") -> Item:
    """Return the object that a JSON value describes. Raises InvalidArgument for anything else, and for a `rest`."""
    if rest:
        raise InvalidArgument(f"there is more after the object: {_shown(rest)}; write one a line")
    if not isinstance(value, dict):
        raise InvalidArgument('not an object; write {"key": "a/b", "size": 1}')
    fields = cast("dict[str, object]", value)
    unknown = next((field for field in fields if field not in FIELDS), None)
    if unknown is not None:
        raise InvalidArgument(f"unknown field `{unknown}`; known: {', '.join(FIELDS)}")
    return Item(
        _key(fields.get("key")),
        _size(fields.get("size", 0)),
        _label(fields.get("label")),
        _targets(fields.get("targets", [])),
        _metadata(fields.get("metadata", {})),
    )


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidArgument(f"`{twice}` is given twice; keep one")
    return found


def _key(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidArgument("an object needs a `key`, a text that is not empty")
    return value


def _size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidArgument(f"`size` is {_shown(value)}; give a whole number of bytes, 0 or more")
    return value


def _label(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise InvalidArgument(f"`label` is {_shown(value)}; give a text such as `restricted+health`, or leave it out")


def _targets(value: object) -> tuple[str, ...]:
    found = cast("list[object]", value) if isinstance(value, list) else [None]
    names = tuple(name for name in found if isinstance(name, str) and name)
    if len(names) != len(found):
        raise InvalidArgument(f'`targets` is {_shown(value)}; give a list of target ids, such as ["aws/eu-west-3"]')  # pyright: ignore[reportUnknownArgumentType]  # any JSON can be shown
    return names


def _metadata(value: object) -> Mapping[str, str]:
    found = cast("dict[str, object]", value) if isinstance(value, dict) else {"": None}
    if not all(isinstance(text, str) for text in found.values()):
        raise InvalidArgument(f"`metadata` is {_shown(value)}; give texts by name")  # pyright: ignore[reportUnknownArgumentType]  # as above
    return cast("dict[str, str]", found)


def _shown(value: object) -> str:
    text = json.dumps(value)
    return f"`{text}`" if len(text) <= 40 else f"`{text[:40]}…`"  # noqa: PLR2004  # enough to find it
