"""The guard of a probe: a store in which it can touch nothing but what it made up itself.

No decision stands behind a probe, so it may send no data of anybody's. `specimens` is the closed set that passes; what
does not is refused before a byte leaves, and no other object is read, listed or removed either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from sovbroker.errors import SealError, StoreError
from sovbroker.ports import (
    NO_METADATA,
    Bytes,
    Feature,
    Inspection,
    Limits,
    ObjectInfo,
    Page,
    Part,
    Probing,
    Reader,
    Source,
    Store,
    Support,
    Upload,
    UploadInfo,
)
from sovbroker.specimens import METADATA, PREFIX, is_body, is_key

__all__ = ["Confined"]

NO_CALLS: Final[Mapping[str, Callable[[str], None]]] = MappingProxyType({})
NO_PUTS: Final[Mapping[str, Callable[[str, bytes], None]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Confined:
    """A `Store` and `Probing` that holds `inner` and lets through specimens only: SealError for everything else."""

    inner: Store

    @property
    def target(self) -> str:
        """See `Store.target`."""
        return self.inner.target

    @property
    def capabilities(self) -> Mapping[Feature, Support]:
        """See `Store.capabilities`."""
        return self.inner.capabilities

    @property
    def limits(self) -> Limits:
        """See `Store.limits`."""
        return self.inner.limits

    def head(self, key: str) -> ObjectInfo:
        """See `Store.head`."""
        self._check_key(key)
        return self.inner.head(key)

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> Reader:  # noqa: A002 - the port's word
        """See `Store.get`."""
        self._check_key(key)
        return self.inner.get(key, range=range)

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
        self._check_key(key)
        self._check_content(body, metadata)
        return self.inner.put(key, body, size=size, metadata=metadata, if_absent=if_absent)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        self._check_key(key)
        self.inner.delete(key)

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`."""
        for key in keys:
            self._check_key(key)
        return self.inner.delete_many(keys)

    def list(self, prefix: str = "", *, delimiter: str | None = None, start_after: str = "") -> Iterator[Page]:
        """See `Store.list`."""
        self._check_prefix(prefix)
        return self.inner.list(prefix, delimiter=delimiter, start_after=start_after)

    def copy(self, source: str, destination: str) -> ObjectInfo:
        """See `Store.copy`."""
        self._check_key(source)
        self._check_key(destination)
        return self.inner.copy(source, destination)

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """See `Store.set_metadata`."""
        self._check_key(key)
        self._check_content(b"", metadata)
        return self.inner.set_metadata(key, metadata=metadata)

    def multipart(
        self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None
    ) -> ConfinedUpload:
        """See `Store.multipart`."""
        self._check_key(key)
        self._check_content(b"", metadata)
        return ConfinedUpload(self.inner.multipart(key, metadata=metadata, upload_id=upload_id), self)

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:
        """See `Store.uploads`."""
        self._check_prefix(prefix)
        return self.inner.uploads(prefix)

    def presign(self, key: str, *, expires: timedelta) -> str:
        """See `Store.presign`."""
        self._check_key(key)
        return self.inner.presign(key, expires=expires)

    def retain(self, key: str, *, until: datetime) -> None:
        """See `Store.retain`."""
        self._check_key(key)
        self.inner.retain(key, until=until)

    def inspect(self) -> Inspection:
        """See `Store.inspect`."""
        return self.inner.inspect()

    def sub_resources(self) -> Mapping[str, Callable[[str], None]]:
        """See `Probing.sub_resources`; none where the adapter has none."""
        calls = self.inner.sub_resources() if isinstance(self.inner, Probing) else NO_CALLS

        def confined(call: Callable[[str], None]) -> Callable[[str], None]:
            def send(key: str) -> None:
                self._check_key(key)
                call(key)

            return send

        return MappingProxyType({name: confined(call) for name, call in calls.items()})

    def wrong_digests(self) -> Mapping[str, Callable[[str, bytes], None]]:
        """See `Probing.wrong_digests`; none where the adapter has none."""
        calls = self.inner.wrong_digests() if isinstance(self.inner, Probing) else NO_PUTS

        def confined(call: Callable[[str, bytes], None]) -> Callable[[str, bytes], None]:
            def send(key: str, body: bytes) -> None:
                self._check_key(key)
                self._check_content(body, NO_METADATA)
                call(key, body)

            return send

        return MappingProxyType({name: confined(call) for name, call in calls.items()})

    def close(self) -> None:
        """See `Store.close`."""
        self.inner.close()

    def _check_key(self, key: str) -> None:
        if not is_key(key):
            raise self.refused("a probe touches nothing but what it made")

    def _check_prefix(self, prefix: str) -> None:
        if not prefix.startswith(PREFIX):
            raise self.refused("a probe lists nothing but what it made")

    def _check_content(self, body: Bytes | Source, metadata: Mapping[str, str]) -> None:
        if not isinstance(body, (bytes, bytearray, memoryview)) or not is_body(body):
            raise self.refused("the body is not one that a probe makes up")
        if metadata and dict(metadata) != METADATA:
            raise self.refused("the metadata are not those of a probe")

    def check_part(self, body: Bytes) -> None:
        """Raise SealError for a part that is no specimen."""
        self._check_content(body, NO_METADATA)

    def refused(self, why: str) -> SealError:
        """Return the error of what is refused."""
        return SealError(f"{self.target}: nothing was sent: {why}")


@dataclass(frozen=True, slots=True)
class ConfinedUpload:
    """An `Upload` whose parts must be specimens."""

    inner: Upload
    store: Confined

    @property
    def id(self) -> str:
        """See `Upload.id`."""
        return self.inner.id

    @property
    def key(self) -> str:
        """See `Upload.key`."""
        return self.inner.key

    def part(self, number: int, body: Bytes) -> Part:
        """See `Upload.part`."""
        self.store.check_part(body)
        return self.inner.part(number, body)

    def parts(self) -> Sequence[Part]:
        """See `Upload.parts`."""
        return self.inner.parts()

    def commit(self, parts: Sequence[Part]) -> ObjectInfo:
        """See `Upload.commit`."""
        return self.inner.commit(parts)

    def abort(self) -> None:
        """See `Upload.abort`."""
        self.inner.abort()
