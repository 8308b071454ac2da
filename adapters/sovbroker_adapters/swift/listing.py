"""Listings of a container, page by page, without what is ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

from sovbroker.errors import Unavailable
from sovbroker.ports import ObjectInfo, Page, Support
from sovbroker_adapters.listing import PAGE, pages
from sovbroker_adapters.swift.answers import records
from sovbroker_adapters.swift.calls import Call
from sovbroker_adapters.swift.client import Connection
from sovbroker_adapters.swift.names import BEYOND, UPLOADS

__all__ = ["Listing"]

SLASH: Final = "/"
# What sorts right after a key, as no key of ours has a control character.
NEXT: Final = "\x01"


@dataclass(frozen=True, slots=True)
class Listing:
    """The listings of a container. `ordered`: EMULATED reads all pages and sorts them, NATIVE checks the order."""

    connection: Connection
    ordered: Support

    def pages(self, prefix: str, *, delimiter: str, start_after: str) -> Iterator[Page]:
        """Yield the pages of `Store.list`."""
        if delimiter == SLASH and self.ordered is not Support.EMULATED:
            return self._folded(prefix, start_after)
        # Old services know no other delimiter, and would fold what is ours together with what is not.
        return pages(self._infos(prefix, start_after), prefix=prefix, delimiter=delimiter)

    def own(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield what is under a prefix of ours."""
        for entries in self._raw(prefix, "", delimiter=""):
            yield from map(self._info, entries)

    def _infos(self, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
        if self.ordered is Support.EMULATED:
            found = (info for info in self._shown(prefix, "") if info.key > start_after)
            # Keys sort alike as code points and as bytes of UTF-8.
            return iter(sorted(found, key=lambda info: info.key))
        return self._shown(prefix, start_after)

    def _shown(self, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
        for entries in self._raw(prefix, start_after, delimiter=""):
            yield from (info for info in map(self._info, entries) if not info.key.startswith(UPLOADS))

    def _folded(self, prefix: str, start_after: str) -> Iterator[Page]:
        # After a folded name comes the next one, although there may be keys in it that sort after it.
        after = start_after + NEXT if start_after.endswith(SLASH) else start_after
        for entries in self._raw(prefix, after, delimiter=SLASH):
            names = [str(entry["subdir"]) for entry in entries if "subdir" in entry]
            shown = tuple(name for name in names if not name.startswith(UPLOADS))
            infos = (self._info(entry) for entry in entries if "subdir" not in entry)
            objects = tuple(info for info in infos if not info.key.startswith(UPLOADS))
            if objects or shown:
                yield Page(objects, shown)

    def _raw(self, prefix: str, marker: str, *, delimiter: str) -> Iterator[Sequence[Mapping[str, object]]]:
        """Yield the service's own pages, until an empty one: a short one need not be the last."""
        asked = {"format": "json", "limit": str(PAGE), "prefix": prefix, "delimiter": delimiter}
        while True:
            query = {name: value for name, value in {**asked, "marker": marker}.items() if value}
            entries = self._checked(self.connection.load(Call("GET", query=query)), marker)
            if not entries:
                return
            yield entries
            marker = _name(entries[-1])
            if marker.startswith(UPLOADS) and not prefix.startswith(UPLOADS):
                marker = BEYOND

    def _checked(self, answer: object, marker: str) -> Sequence[Mapping[str, object]]:
        if not isinstance(answer, list):
            raise self._broken("is none: the store answered something else")
        entries = records(cast("object", answer))
        last = marker
        for entry in entries:
            if not _name(entry):
                raise self._broken("holds something without a name")
            if self.ordered is Support.NATIVE and _name(entry) <= last:
                raise self._broken("is not in byte order; set `ordered-list: emulated`")
            last = _name(entry)
        if entries and last == marker:
            raise self._broken("does not end")
        return entries

    def _info(self, entry: Mapping[str, object]) -> ObjectInfo:
        size = entry.get("bytes")
        if not isinstance(size, int):
            raise self._broken(f"does not say how long `{_name(entry)}` is")
        etag = str(entry.get("slo_etag") or entry.get("hash") or "").strip('"') or None
        return ObjectInfo(_name(entry), size, etag, _moment(entry.get("last_modified")))

    def _broken(self, why: str) -> Unavailable:
        return Unavailable(f"the store's listing {why}", target=self.connection.target)


def _name(entry: Mapping[str, object]) -> str:
    return str(entry.get("subdir") or entry.get("name") or "")


def _moment(text: object) -> datetime | None:
    """Return a moment as listings write it, in UTC without saying so."""
    try:
        return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
    except ValueError:
        return None
