"""How `ls` prints what a listing yields."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from sovbroker.cli.screen import Screen, aligned, time_text, visible
from sovbroker.objects import Folder, Info

__all__ = ["facts_of", "name_of", "print_long"]

PAGE: Final = 1000
SIZE_COLUMN: Final = frozenset({1})


def name_of(item: Info | Folder) -> str:
    """Return what a listing shows of an item: its key, or its prefix, which ends with `/`."""
    return item.key if isinstance(item, Info) else item.prefix


def facts_of(item: Info | Folder) -> dict[str, object]:
    """Return an item of a listing as JSON types."""
    return item.to_dict() if isinstance(item, Info) else {"prefix": item.prefix}


def long_row(item: Info | Folder) -> tuple[str, ...]:
    """Return the cells of one line of `ls -l`."""
    if not isinstance(item, Info):
        return ("-", "-", "-", "-", visible(item.prefix))
    copies = ",".join(copy.target for copy in item.copies)
    return (time_text(item.created), str(item.size), item.label, copies, visible(item.key))


def print_long(screen: Screen, found: Iterator[Info | Folder]) -> None:
    """Print lines with aligned columns, a page at a time: a listing may be longer than memory."""
    while page := list(islice(found, PAGE)):
        for line in aligned([long_row(item) for item in page], right=SIZE_COLUMN):
            screen.line(line)
