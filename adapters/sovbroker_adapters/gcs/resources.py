"""What the service says of an object, in JSON or in headers: nothing of it is believed to be there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from sovbroker.errors import Unavailable
from sovbroker.ports import NO_METADATA, ObjectInfo
from sovbroker_adapters.gcs import checksums

if TYPE_CHECKING:
    from requests import Response

__all__ = ["BRIEF", "FIELDS", "Resource", "header_checksum", "info_of_headers", "resource_of"]

BRIEF: Final = "name,size,generation,etag,crc32c,updated"
"""The fields of an object to ask for in listings."""

FIELDS: Final = f"{BRIEF},metageneration,metadata"
"""The fields of an object to ask for."""

META: Final = "x-goog-meta-"


@dataclass(frozen=True, slots=True)
class Resource:
    """One object as the JSON interface describes it. `checksum` is its CRC32C where it was told.

    `metageneration` counts the changes of its metadata, "" where that was not told.
    """

    info: ObjectInfo
    generation: str
    checksum: int | None
    metageneration: str = ""


def resource_of(entry: object, *, target: str) -> Resource:
    """Return what a JSON object says of an object. Raises Unavailable where it says less than what it is."""
    if not isinstance(entry, dict):
        raise Unavailable("the store described an object by something else", target=target)
    found = cast("Mapping[str, Any]", entry)
    name, size = found.get("name"), _number(found.get("size"))
    if not isinstance(name, str) or not name or size is None:
        raise Unavailable("the store described an object without name or size", target=target)
    generation = str(found.get("generation") or "")
    metadata: Mapping[str, str] = NO_METADATA
    if isinstance(found.get("metadata"), dict):
        items = cast("Mapping[str, Any]", found["metadata"]).items()
        metadata = MappingProxyType({key.lower(): str(value) for key, value in items})
    etag = generation or str(found.get("etag") or "") or None
    info = ObjectInfo(name, size, etag, _when(found.get("updated")), metadata)
    changes = str(found.get("metageneration") or "")
    return Resource(info, generation, checksums.read(found.get("crc32c")), changes)


def info_of_headers(answer: Response, key: str, *, size: int) -> ObjectInfo:
    """Return what the answer that brings a body says of the object."""
    headers = answer.headers
    metadata = {
        name.lower().removeprefix(META): value for name, value in headers.items() if name.lower().startswith(META)
    }
    etag = headers.get("x-goog-generation") or (headers.get("ETag") or "").strip('"') or None
    try:
        modified = parsedate_to_datetime(headers.get("Last-Modified", ""))
    except ValueError:
        modified = None
    return ObjectInfo(key, size, etag, modified, MappingProxyType(metadata))


def header_checksum(answer: Response) -> int | None:
    """Return the CRC32C of the whole object that an answer tells, or None."""
    for item in (answer.headers.get("x-goog-hash") or "").split(","):
        kind, _, value = item.strip().partition("=")
        if kind == "crc32c":
            return checksums.read(value)
    return None


def _number(value: object) -> int | None:
    """Return a length: the service writes them as texts."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else None


def _when(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
