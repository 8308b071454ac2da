"""Listings of a container, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sovbroker.errors import Unavailable
from sovbroker.ports import NO_METADATA, ObjectInfo, Page, Support
from sovbroker_adapters.azure.client import Connection
from sovbroker_adapters.azure.names import UPLOADS
from sovbroker_adapters.listing import PAGE, pages

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

__all__ = ["Listing", "info_of"]


def info_of(blob: Any, key: str, *, size: int, metadata: bool = True) -> ObjectInfo:  # noqa: ANN401 - the SDK's blob
    """Return what the SDK's properties of a blob say."""
    modified = blob.last_modified
    named: Mapping[str, Any] = (metadata and blob.metadata) or NO_METADATA
    found = {name.lower(): str(value) for name, value in named.items()}
    return ObjectInfo(
        key,
        size,
        str(blob.etag or "").strip('"') or None,
        modified if isinstance(modified, datetime) else None,
        MappingProxyType(found) if found else NO_METADATA,
    )


@dataclass(frozen=True, slots=True)
class Listing:
    """The listings of a container, `page` names at a time.

    `ordered`: EMULATED reads all pages and sorts them, NATIVE checks the order.
    """

    connection: Connection
    ordered: Support
    page: int = PAGE

    def pages(self, prefix: str, *, delimiter: str, start_after: str) -> Iterator[Page]:
        """Yield the pages of `Store.list`."""
        # The service cannot start after a key, nor tell whether a folded prefix still holds one: so all are read.
        if not delimiter or start_after or self.ordered is Support.EMULATED:
            return pages(self._infos(prefix, start_after), prefix=prefix, delimiter=delimiter)
        return self._folded(prefix, delimiter)

    def markers(self) -> Iterator[ObjectInfo]:
        """Yield the markers of uploads, with metadata."""
        for blobs in self._raw(UPLOADS, delimiter="", metadata=True):
            for blob in blobs:
                yield info_of(blob, self._name(blob), size=0)

    def _infos(self, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
        found = (info for info in self._unordered(prefix) if info.key > start_after)
        if self.ordered is Support.EMULATED:
            # Keys sort alike as code points and as bytes of UTF-8.
            return iter(sorted(found, key=lambda info: info.key))
        return self._checked(found) if self.ordered is Support.NATIVE else found

    def _checked(self, infos: Iterator[ObjectInfo]) -> Iterator[ObjectInfo]:
        last = ""
        for info in infos:
            if info.key <= last:
                raise self._broken("is not in byte order; set `ordered-list: emulated`")
            last = info.key
            yield info

    def _unordered(self, prefix: str) -> Iterator[ObjectInfo]:
        for blobs in self._raw(prefix, delimiter=""):
            yield from (info for info in map(self._info, blobs) if not info.key.startswith(UPLOADS))

    def _folded(self, prefix: str, delimiter: str) -> Iterator[Page]:
        for blobs in self._raw(prefix, delimiter=delimiter):
            prefixes = [self._name(blob) for blob in blobs if not hasattr(blob, "size")]
            shown = tuple(name for name in prefixes if self._own(name))
            infos = (self._info(blob) for blob in blobs if hasattr(blob, "size"))
            objects = tuple(info for info in infos if not info.key.startswith(UPLOADS))
            if objects or shown:
                yield Page(objects, shown)

    def _own(self, prefix: str) -> bool:
        """Whether a folded prefix holds anything but markers of uploads."""
        if prefix.startswith(UPLOADS):
            return False
        return not UPLOADS.startswith(prefix) or next(self._unordered(prefix), None) is not None

    def _raw(self, prefix: str, *, delimiter: str, metadata: bool = False) -> Iterator[list[Any]]:
        """Yield the service's own pages: blobs, and folded prefixes, which have no size."""
        token: str | None = None
        include = ["metadata"] if metadata else None

        def ask(client: ContainerClient) -> tuple[list[Any], str | None]:
            asked: dict[str, Any] = {
                "name_starts_with": prefix or None,
                "include": include,
                "results_per_page": self.page,
            }
            items = client.walk_blobs(delimiter=delimiter, **asked) if delimiter else client.list_blobs(**asked)
            page: Any = items.by_page(token)
            blobs = list(next(page, ()))
            if page.service_endpoint is None:
                raise self._broken("is none: the store answered something else")
            return blobs, page.continuation_token

        while True:
            blobs, following = self.connection.ask(ask)
            yield blobs
            if not following:
                return
            if following == token:
                raise self._broken("does not end: it names no next page")
            token = following

    def _info(self, blob: Any) -> ObjectInfo:  # noqa: ANN401 - the SDK's blob
        name = self._name(blob)
        if not isinstance(blob.size, int):
            raise self._broken(f"does not say how long `{name}` is")
        return info_of(blob, name, size=blob.size, metadata=False)

    def _name(self, blob: Any) -> str:  # noqa: ANN401 - the SDK's blob
        if not blob.name:
            raise self._broken("holds a blob without a name")
        return str(blob.name)

    def _broken(self, why: str) -> Unavailable:
        return Unavailable(f"the store's listing {why}", target=self.connection.target)
