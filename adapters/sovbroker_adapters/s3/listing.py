"""Listings of a bucket, page by page, and of its unfinished uploads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from sovbroker.errors import Unavailable
from sovbroker.ports import ObjectInfo, Page, Support, UploadInfo
from sovbroker_adapters.listing import PAGE
from sovbroker_adapters.s3.client import Answer, Connection

__all__ = ["Listing"]


@dataclass(frozen=True, slots=True)
class Listing:
    """The listings of a bucket, `page` names at a time.

    `ordered`: EMULATED reads all pages and sorts them, NATIVE checks the order.
    """

    connection: Connection
    ordered: Support
    page: int = PAGE

    def pages(self, prefix: str, *, delimiter: str, start_after: str) -> Iterator[Page]:
        """Yield the pages of `Store.list`."""
        if self.ordered is Support.EMULATED:
            return self._sorted(prefix, delimiter, start_after)
        return self._checked(prefix, delimiter, start_after)

    def uploads(self, prefix: str) -> Iterator[UploadInfo]:
        """Yield what `Store.uploads` yields."""
        asked: dict[str, Any] = {}
        while True:
            answer = self.connection.ask("list_multipart_uploads", {"Prefix": prefix, "EncodingType": "url"} | asked)
            # Some services leave out that there is no more; what names no bucket either is something else.
            if not answer.keys() & {"IsTruncated", "Bucket"}:
                raise self._nothing()
            encoded = answer.get("EncodingType") == "url"
            for entry in answer.get("Uploads", ()):
                key, upload_id = entry.get("Key", ""), entry.get("UploadId", "")
                key = unquote_plus(key) if encoded else key
                if key.startswith(prefix):
                    yield UploadInfo(key, upload_id)
            if not answer.get("IsTruncated", False):
                return
            key, upload_id = answer.get("NextKeyMarker", ""), answer.get("NextUploadIdMarker", "")
            following = {"KeyMarker": unquote_plus(key) if encoded else key, "UploadIdMarker": upload_id}
            if following == asked or not key:
                raise self._endless()
            asked = following

    def _raw(self, prefix: str, delimiter: str, start_after: str) -> Iterator[Page]:
        asked: dict[str, Any] = {"Delimiter": delimiter} if delimiter else {}
        if start_after:
            asked["StartAfter"] = start_after
        seen: str | None = None
        while True:
            answer = self.connection.ask("list_objects_v2", {"Prefix": prefix, "MaxKeys": self.page} | asked)
            if "IsTruncated" not in answer:
                raise self._nothing()
            yield self._page(answer)
            if not answer["IsTruncated"]:
                return
            token = answer.get("NextContinuationToken")
            if not token or token == seen:
                raise self._endless()
            seen = token
            asked = asked | {"ContinuationToken": token}

    def _page(self, answer: Answer) -> Page:
        objects: list[ObjectInfo] = []
        for entry in answer.get("Contents", ()):
            if "Key" not in entry or "Size" not in entry:
                raise Unavailable("the store listed an object without key or size", target=self.connection.target)
            etag = str(entry.get("ETag") or "").strip('"') or None
            objects.append(ObjectInfo(entry["Key"], entry["Size"], etag, entry.get("LastModified")))
        return Page(tuple(objects), tuple(entry["Prefix"] for entry in answer.get("CommonPrefixes", ())))

    def _checked(self, prefix: str, delimiter: str, start_after: str) -> Iterator[Page]:
        last = start_after
        for page in self._raw(prefix, delimiter, start_after):
            if self.ordered is Support.NATIVE:
                for info in page.objects:
                    # Keys sort alike as code points and as bytes of UTF-8.
                    if info.key <= last:
                        message = "the store's listing is not in byte order; set `ordered-list: emulated`"
                        raise Unavailable(message, target=self.connection.target)
                    last = info.key
            if page.objects or page.prefixes:
                yield page

    def _sorted(self, prefix: str, delimiter: str, start_after: str) -> Iterator[Page]:
        objects: dict[str, ObjectInfo] = {}
        prefixes: set[str] = set()
        for page in self._raw(prefix, delimiter, ""):
            objects |= {info.key: info for info in page.objects if info.key > start_after}
            prefixes |= {name for name in page.prefixes if name > start_after or start_after.startswith(name)}
        names = sorted([*objects, *prefixes])
        for start in range(0, len(names), PAGE):
            chosen = names[start : start + PAGE]
            found = tuple(objects[name] for name in chosen if name in objects)
            yield Page(found, tuple(name for name in chosen if name not in objects))

    def _nothing(self) -> Unavailable:
        return Unavailable("the store answered something that is no listing", target=self.connection.target)

    def _endless(self) -> Unavailable:
        return Unavailable("the store's listing does not end: it names no next page", target=self.connection.target)
