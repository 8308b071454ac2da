"""Uploads in parts: objects of their own until the service composes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import Final
from urllib.parse import quote, unquote

from sovbroker.errors import InvalidArgument, NotFound, StoreError
from sovbroker.ports import Bytes, Limits, ObjectInfo, Part, UploadInfo
from sovbroker_adapters.checks import check_number, check_parts
from sovbroker_adapters.gcs.checksums import joined, spell
from sovbroker_adapters.gcs.listing import Listing
from sovbroker_adapters.gcs.names import OWN
from sovbroker_adapters.gcs.objects import COMPOSED_MAX, Objects
from sovbroker_adapters.gcs.resources import FIELDS, Resource
from sovbroker_adapters.together import each

__all__ = ["GcsUpload", "begin", "unfinished"]

MARKERS: Final = f"{OWN}uploads/"
PARTS: Final = f"{OWN}parts/"
ID: Final = re.compile(r"[0-9a-f]{32}")
KEY: Final = "key"
GIVEN: Final = "given-"
"""Before the names of the metadata that a marker keeps: `-` is in none of theirs."""


def begin(objects: Objects, key: str, *, metadata: Mapping[str, str], limits: Limits) -> GcsUpload:
    """Start an upload: its marker holds the key and the metadata until the end."""
    upload_id = token_hex(16)
    kept = {KEY: quote(key, safe="/")} | {GIVEN + name: value for name, value in metadata.items()}
    objects.store(MARKERS + upload_id, b"", size=0, key=key, metadata=kept)
    return GcsUpload(objects, limits, upload_id, key)


def unfinished(objects: Objects, prefix: str) -> Iterator[UploadInfo]:
    """Yield what `Store.uploads` yields, by key."""
    found: list[UploadInfo] = []
    for marker in Listing(objects.connection).resources(MARKERS, fields=FIELDS):
        key = unquote(marker.info.metadata.get(KEY, ""))
        if key and key.startswith(prefix):
            found.append(UploadInfo(key, marker.info.key.removeprefix(MARKERS)))
    return iter(sorted(found, key=lambda upload: (upload.key, upload.id)))


@dataclass(frozen=True, slots=True)
class GcsUpload:
    """An `Upload` to a bucket."""

    _objects: Objects
    _limits: Limits
    id: str
    key: str

    def part(self, number: int, body: Bytes) -> Part:
        """See `Upload.part`."""
        check_number(number, limits=self._limits)
        size = memoryview(body).nbytes
        if size > self._limits.part_max:
            raise InvalidArgument(f"a part of {size} bytes is larger than this store's {self._limits.part_max}")
        self._check_id()
        name = self._name(number)
        stored = self._objects.store(name, body, size=size, key=self.key)
        try:
            # Afterwards: an upload that is aborted meanwhile either finds this part, or is found out here.
            self._marker()
        except NotFound:
            self._objects.remove(name, key=self.key)
            raise
        return _receipt(number, stored)

    def parts(self) -> Sequence[Part]:
        """See `Upload.parts`."""
        self._marker()
        return tuple(_receipt(number, resource) for number, resource in self._held().items())

    def commit(self, parts: Sequence[Part]) -> ObjectInfo:
        """See `Upload.commit`."""
        ordered = check_parts(parts)
        given = self._marker().info.metadata
        metadata = {name.removeprefix(GIVEN): value for name, value in given.items() if name.startswith(GIVEN)}
        held = self._held()
        chosen: list[Resource] = []
        for part in ordered:
            resource = held.get(part.number)
            if resource is None or _receipt(part.number, resource) != part:
                message = f"the store does not hold part {part.number} of `{self.key}` as it was sent"
                raise StoreError(message, target=self._objects.connection.target, key=self.key)
            chosen.append(resource)
        size, checksum = _whole(chosen)
        whole = self._objects.compose(self._narrowed(chosen), self.key, key=self.key, metadata=metadata)
        self._objects.check(whole, size=size, checksum=checksum, key=self.key)
        # The object is there. What cannot be cleared now stays listed, and can be aborted.
        with suppress(StoreError):
            self.abort()
        return whole.info

    def abort(self) -> None:
        """See `Upload.abort`."""
        if ID.fullmatch(self.id) is None:
            return
        # First: from here on no part is taken.
        self._objects.remove(MARKERS + self.id, key=self.key)
        listed = Listing(self._objects.connection).resources(self._folder)
        each(lambda name: self._objects.remove(name, key=self.key), [resource.info.key for resource in listed])

    @property
    def _folder(self) -> str:
        return f"{PARTS}{self.id}/"

    def _name(self, number: int) -> str:
        return f"{self._folder}{number:08}"

    def _marker(self) -> Resource:
        """Return the marker. Raises NotFound when there is no such upload, or it is of another key."""
        self._check_id()
        try:
            marker = self._objects.head(MARKERS + self.id, key=self.key)
        except NotFound as error:
            if error.key is None:
                raise
            raise self._missing() from error
        if unquote(marker.info.metadata.get(KEY, "")) != self.key:
            raise self._missing()
        return marker

    def _check_id(self) -> None:
        if ID.fullmatch(self.id) is None:
            raise self._missing()

    def _missing(self) -> NotFound:
        message = f"there is no unfinished upload with this id of `{self.key}`"
        return NotFound(message, target=self._objects.connection.target, key=self.key)

    def _held(self) -> Mapping[int, Resource]:
        """Return the parts that the store holds, by number."""
        found: dict[int, Resource] = {}
        for resource in Listing(self._objects.connection).resources(self._folder):
            name = resource.info.key.removeprefix(self._folder)
            # Beside them are rounds of a commit that broke off.
            if name.isascii() and name.isdigit():
                found[int(name)] = resource
        return found

    def _narrowed(self, sources: Sequence[Resource]) -> Sequence[Resource]:
        """Return at most as many objects as one request joins, composed of these in rounds."""
        level = 0
        while len(sources) > COMPOSED_MAX:
            level += 1
            groups = [sources[start : start + COMPOSED_MAX] for start in range(0, len(sources), COMPOSED_MAX)]
            names = [f"{self._folder}round-{level}/{number:08}" for number in range(len(groups))]
            sources = each(self._join, list(zip(groups, names, strict=True)))
        return sources

    def _join(self, given: tuple[Sequence[Resource], str]) -> Resource:
        group, name = given
        size, checksum = _whole(group)
        resource = self._objects.compose(group, name, key=self.key)
        self._objects.check(resource, size=size, checksum=checksum, key=self.key)
        return resource


def _receipt(number: int, resource: Resource) -> Part:
    """Return the receipt of a part: its etag names one sending of it, with its checksum."""
    checksum = "" if resource.checksum is None else spell(resource.checksum)
    return Part(number, resource.info.size, f"{resource.info.etag or ''}-{checksum}")


def _whole(parts: Sequence[Resource]) -> tuple[int, int | None]:
    """Return the size and the CRC32C of what joining the parts makes; None where one of theirs is not known."""
    size, checksum = 0, 0
    known = True
    for part in parts:
        size += part.info.size
        if part.checksum is None:
            known = False
        else:
            checksum = joined(checksum, part.checksum, length=part.info.size)
    return size, checksum if known else None
