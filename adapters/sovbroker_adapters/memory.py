"""Objects in the memory of this process: the reference model, and what tests store into.

Every feature is native but `presign`, which needs a server. Nothing survives the store.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from types import MappingProxyType
from typing import Final

from sovbroker.errors import AlreadyExists, NotFound, NotSupported, PermissionDenied, StoreError
from sovbroker.ports import (
    NO_METADATA,
    Binding,
    Bytes,
    Feature,
    Inspection,
    Limits,
    ObjectInfo,
    Page,
    Part,
    Source,
    Support,
    UploadInfo,
)
from sovbroker_adapters.bodies import BytesReader, blocks
from sovbroker_adapters.checks import (
    check_key,
    check_metadata,
    check_number,
    check_parts,
    check_range,
    check_until,
    clip,
)
from sovbroker_adapters.listing import pages

__all__ = ["MemoryStore", "build"]

CAPABILITIES: Final = MappingProxyType(dict.fromkeys(Feature, Support.NATIVE) | {Feature.PRESIGN: Support.ABSENT})


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def build(binding: Binding, /) -> MemoryStore:
    """Open an empty store; every call makes a new one."""
    return MemoryStore(binding.target)


@dataclass(slots=True)
class Pending:
    """An unfinished upload."""

    key: str
    metadata: Mapping[str, str]
    parts: dict[int, tuple[Part, bytes]] = field(default_factory=dict[int, tuple[Part, bytes]])


class Shelf:
    """What a store and its uploads share. `lock` is held around every access."""

    def __init__(self, target: str, limits: Limits, clock: Callable[[], datetime]) -> None:
        self.target = target
        self.clock = clock
        self.limits = limits
        self.objects: dict[str, tuple[ObjectInfo, bytes]] = {}
        self.pending: dict[str, Pending] = {}
        self.retained: dict[str, datetime] = {}
        self._lock = threading.RLock()
        self._pid = os.getpid()

    @property
    def lock(self) -> threading.RLock:
        """The lock of this process."""
        # A lock that another thread held at the fork would stay locked in the child for ever.
        if self._pid != os.getpid():
            self._lock, self._pid = threading.RLock(), os.getpid()
        return self._lock

    def find(self, key: str) -> tuple[ObjectInfo, bytes]:
        """Return an object. Raises NotFound."""
        check_key(key, limits=self.limits)
        with self.lock:
            held = self.objects.get(key)
        if held is None:
            raise NotFound(f"there is no object `{key}`", target=self.target, key=key)
        return held

    def publish(self, key: str, body: bytes, *, metadata: Mapping[str, str], if_absent: bool = False) -> ObjectInfo:
        """Make an object seen. Raises AlreadyExists."""
        info = ObjectInfo(key, len(body), token_hex(8), datetime.now(UTC), MappingProxyType(dict(metadata)))
        with self.lock:
            if if_absent and key in self.objects:
                raise AlreadyExists(f"there is an object `{key}` already", target=self.target, key=key)
            self.check_free(key)
            self.objects[key] = (info, body)
        return info

    def check_free(self, key: str) -> None:
        """Raise PermissionDenied for an object that is retained."""
        until = self.retained.get(key)
        if until is not None and until > self.clock():
            message = f"`{key}` is retained until {until.isoformat()}"
            raise PermissionDenied(message, target=self.target, key=key)


class MemoryStore:
    """A `Store` in memory. Safe for threads; a forked child has a copy of its own.

    `clock` tells the time by which it retains objects.
    """

    capabilities: Mapping[Feature, Support] = CAPABILITIES

    def __init__(
        self, target: str = "memory", *, limits: Limits | None = None, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.target = target
        self.limits = limits or Limits(part_min=1)
        self._shelf = Shelf(target, self.limits, clock)

    def head(self, key: str) -> ObjectInfo:
        """See `Store.head`."""
        return self._shelf.find(key)[0]

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> BytesReader:  # noqa: A002 - the port's word
        """See `Store.get`."""
        check_range(range)
        info, body = self._shelf.find(key)
        offset, length = clip(range, size=info.size)
        return BytesReader(info, body, offset=offset, length=length)

    def put(
        self,
        key: str,
        body: Bytes | Source,
        *,
        size: int,
        metadata: Mapping[str, str] = NO_METADATA,
        if_absent: bool = False,
    ) -> ObjectInfo:
        """See `Store.put`."""
        check_key(key, limits=self.limits)
        check_metadata(metadata, limits=self.limits)
        return self._shelf.publish(key, b"".join(blocks(body, size=size)), metadata=metadata, if_absent=if_absent)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        check_key(key, limits=self.limits)
        with self._shelf.lock:
            self._shelf.check_free(key)
            self._shelf.objects.pop(key, None)

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`."""
        failures: dict[str, StoreError] = {}
        for key in keys:
            try:
                self.delete(key)
            except PermissionDenied as error:
                failures[key] = error
        return failures

    def list(self, prefix: str = "", *, delimiter: str | None = None, start_after: str = "") -> Iterator[Page]:
        """See `Store.list`."""
        with self._shelf.lock:
            found = [
                replace(info, metadata=NO_METADATA)
                for key, (info, _) in sorted(self._shelf.objects.items())
                if key.startswith(prefix) and key > start_after
            ]
        return pages(found, prefix=prefix, delimiter=delimiter)

    def copy(self, source: str, destination: str) -> ObjectInfo:
        """See `Store.copy`."""
        check_key(destination, limits=self.limits)
        info, body = self._shelf.find(source)
        return self._shelf.publish(destination, body, metadata=info.metadata)

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """See `Store.set_metadata`."""
        check_metadata(metadata, limits=self.limits)
        with self._shelf.lock:
            info, body = self._shelf.find(key)
            info = replace(info, modified=datetime.now(UTC), metadata=MappingProxyType(dict(metadata)))
            self._shelf.objects[key] = (info, body)
        return info

    def multipart(
        self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None
    ) -> MemoryUpload:
        """See `Store.multipart`."""
        check_key(key, limits=self.limits)
        check_metadata(metadata, limits=self.limits)
        if upload_id is None:
            upload_id = token_hex(8)
            with self._shelf.lock:
                self._shelf.pending[upload_id] = Pending(key, MappingProxyType(dict(metadata)))
        return MemoryUpload(self._shelf, upload_id, key)

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:
        """See `Store.uploads`."""
        with self._shelf.lock:
            found = [
                UploadInfo(p.key, upload_id) for upload_id, p in self._shelf.pending.items() if p.key.startswith(prefix)
            ]
        return iter(sorted(found, key=lambda upload: (upload.key, upload.id)))

    def presign(self, key: str, *, expires: timedelta) -> str:  # noqa: ARG002 - the port's signature
        """Raise NotSupported: there is no server to ask."""
        raise NotSupported("memory has no links to hand out; read the object instead", target=self.target, key=key)

    def retain(self, key: str, *, until: datetime) -> None:
        """See `Store.retain`."""
        end = check_until(until, now=self._shelf.clock())
        self._shelf.find(key)
        with self._shelf.lock:
            if end < self._shelf.retained.get(key, end):
                self._shelf.check_free(key)
            self._shelf.retained[key] = end

    def inspect(self) -> Inspection:
        """See `Store.inspect`."""
        now = self._shelf.clock()
        return Inspection(clock=now, skew=timedelta(0), public=False, versioned=False, locks=True, removals=())

    def close(self) -> None:
        """See `Store.close`."""


@dataclass(frozen=True, slots=True)
class MemoryUpload:
    """An `Upload` in memory."""

    _shelf: Shelf
    id: str
    key: str

    def part(self, number: int, body: Bytes) -> Part:
        """See `Upload.part`."""
        check_number(number, limits=self._shelf.limits)
        data = bytes(body)
        part = Part(number, len(data), token_hex(8))
        with self._shelf.lock:
            self._found().parts[number] = (part, data)
        return part

    def parts(self) -> Sequence[Part]:
        """See `Upload.parts`."""
        with self._shelf.lock:
            return tuple(part for _, (part, _) in sorted(self._found().parts.items()))

    def commit(self, parts: Sequence[Part]) -> ObjectInfo:
        """See `Upload.commit`."""
        ordered = check_parts(parts)
        with self._shelf.lock:
            pending = self._found()
            for part in ordered:
                if part.number not in pending.parts or pending.parts[part.number][0] != part:
                    message = f"part {part.number} of `{self.key}` is not what was sent; send it again"
                    raise StoreError(message, target=self._shelf.target, key=self.key)
            body = b"".join(pending.parts[part.number][1] for part in ordered)
            del self._shelf.pending[self.id]
            return self._shelf.publish(self.key, body, metadata=pending.metadata)

    def abort(self) -> None:
        """See `Upload.abort`."""
        with self._shelf.lock:
            self._shelf.pending.pop(self.id, None)

    def _found(self) -> Pending:
        pending = self._shelf.pending.get(self.id)
        if pending is None or pending.key != self.key:
            message = f"there is no unfinished upload `{self.id}` of `{self.key}`"
            raise NotFound(message, target=self._shelf.target, key=self.key)
        return pending
