"""Listings of a bucket, page by page, without what is the adapter's own, and of its unfinished uploads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from sovbroker.errors import Unavailable
from sovbroker.ports import NO_METADATA, ObjectInfo, Page
from sovbroker_adapters.gcs.client import Call, Connection
from sovbroker_adapters.gcs.names import BEYOND, OWN
from sovbroker_adapters.gcs.resources import BRIEF, Resource, resource_of
from sovbroker_adapters.listing import PAGE

__all__ = ["Listing"]


@dataclass(frozen=True, slots=True)
class Listing:
    """The listings of a bucket, `page` names at a time."""

    connection: Connection
    page: int = PAGE

    def pages(self, prefix: str, *, delimiter: str, start_after: str) -> Iterator[Page]:
        """Yield the pages of `Store.list`."""
        # The prefix that `start_after` itself is below counts when a key after it does, and the services do not agree.
        begun = _folded(start_after, prefix, delimiter)
        extra = (begun,) if begun is not None and self._holds(begun, after=start_after) else ()
        last_key, last_prefix = start_after, ""
        for found, names in self._raw(prefix, delimiter, start_after):
            objects: list[ObjectInfo] = []
            for resource in found:
                key = resource.info.key
                # It begins with `start_after` itself.
                if key == start_after:
                    continue
                # Keys sort alike as code points and as bytes of UTF-8.
                if key <= last_key:
                    raise Unavailable("the store's listing is not in byte order", target=self.connection.target)
                last_key = key
                if not key.startswith(OWN):
                    objects.append(replace(resource.info, metadata=NO_METADATA))
            prefixes: list[str] = []
            for name in names:
                if name > last_prefix and name != begun and self._shown(name, start_after):
                    prefixes.append(name)
                last_prefix = max(last_prefix, name)
            if objects or prefixes or extra:
                yield Page(tuple(objects), (*extra, *prefixes))
            extra = ()

    def resources(self, prefix: str, *, start: str = "", fields: str = BRIEF) -> Iterator[Resource]:
        """Yield all objects under a prefix from the key `start` on, the adapter's own too, in key order."""
        for found, _ in self._raw(prefix, "", start, fields):
            yield from found

    def _raw(
        self, prefix: str, delimiter: str, start: str, fields: str = BRIEF
    ) -> Iterator[tuple[Sequence[Resource], Sequence[str]]]:
        """Yield the store's pages from the key `start` on."""
        query: dict[str, str | int] = {
            "maxResults": self.page,
            "fields": f"kind,prefixes,nextPageToken,items({fields})",
        }
        query |= {name: value for name, value in (("prefix", prefix), ("delimiter", delimiter)) if value}
        if start:
            query["startOffset"] = start
        seen: set[str] = set()
        target = self.connection.target
        while True:
            answer = self.connection.ask(Call("GET", self.connection.object(""), query))
            if answer.get("kind") != "storage#objects":
                raise Unavailable("the store answered something that is no listing", target=target)
            items, prefixes = _list(answer.get("items")), _list(answer.get("prefixes"))
            yield tuple(resource_of(item, target=target) for item in items), tuple(str(name) for name in prefixes)
            token = answer.get("nextPageToken")
            if not token:
                return
            if not isinstance(token, str) or token in seen:
                raise Unavailable("the store's listing does not end: it names no next page", target=target)
            seen.add(token)
            query["pageToken"] = token

    def _shown(self, prefix: str, start_after: str) -> bool:
        """Whether a folded prefix stands for a key after `start_after` that is not the adapter's own."""
        if prefix.startswith(OWN):
            return False
        return self._holds(prefix, after=start_after) if OWN.startswith(prefix) else prefix > start_after

    def _holds(self, prefix: str, *, after: str) -> bool:
        """Whether there is a key under `prefix` that comes after `after` and is not the adapter's own."""
        for resource in self.resources(prefix, start=after):
            if resource.info.key.startswith(OWN):
                # There may be more of them than of all others.
                others = self.resources(prefix, start=max(after, BEYOND))
                return any(other.info.key > after for other in others)
            if resource.info.key > after:
                return True
        return False


def _list(value: object) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list) else ()


def _folded(key: str, prefix: str, delimiter: str) -> str | None:
    """Return the prefix that a key is folded into."""
    if not delimiter or not key.startswith(prefix):
        return None
    cut = key.find(delimiter, len(prefix))
    return None if cut < 0 else key[: cut + len(delimiter)]
