"""Listings of stores that know all their keys: ordered infos in, pages with folded prefixes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from sovbroker.ports import ObjectInfo, Page

__all__ = ["PAGE", "pages"]

PAGE: Final = 1000


def pages(infos: Iterable[ObjectInfo], *, prefix: str, delimiter: str | None) -> Iterator[Page]:
    """Yield pages of at most 1,000 names; `infos` are all of them under `prefix`, in key order."""
    objects: list[ObjectInfo] = []
    prefixes: list[str] = []
    last: str | None = None
    for info in infos:
        folded = _folded(info.key, prefix, delimiter)
        # Keys are in order, so those of one prefix follow each other.
        if folded is not None and folded == last:
            continue
        if len(objects) + len(prefixes) == PAGE:
            yield Page(tuple(objects), tuple(prefixes))
            objects, prefixes = [], []
        if folded is None:
            objects.append(info)
        else:
            prefixes.append(folded)
            last = folded
    if objects or prefixes:
        yield Page(tuple(objects), tuple(prefixes))


def _folded(key: str, prefix: str, delimiter: str | None) -> str | None:
    if not delimiter:
        return None
    cut = key.find(delimiter, len(prefix))
    return None if cut < 0 else key[: cut + len(delimiter)]
