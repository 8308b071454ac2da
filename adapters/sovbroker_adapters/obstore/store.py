"""The store: whole objects by object_store, everything else by the store beside."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from sovbroker.errors import InvalidArgument, NotFound, StoreError, Unavailable
from sovbroker.ports import (
    NO_METADATA,
    Bytes,
    Feature,
    Inspection,
    Limits,
    ObjectInfo,
    Page,
    Reader,
    Source,
    Store,
    Support,
    Upload,
    UploadInfo,
)
from sovbroker_adapters.bodies import blocks
from sovbroker_adapters.checks import beyond, check_metadata, check_range, clip, need
from sovbroker_adapters.obstore.bodies import FastReader
from sovbroker_adapters.obstore.client import Connection
from sovbroker_adapters.obstore.failures import whole_instead
from sovbroker_adapters.obstore.library import inherited, load
from sovbroker_adapters.obstore.settings import Settings

__all__ = ["WHOLE", "FastStore"]

WHOLE: Final = 16 << 20
"""The bytes of the largest body that is sent here: it is in memory as a whole, and sent by one request."""

IN_MEMORY: Final = (bytes, bytearray, memoryview)
MD5: Final = re.compile(r"[0-9a-f]{32}")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
CHANGED: Final = re.compile("[\\\\\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
SEGMENT_MAX: Final = 255
OURS: Final = ".sovbroker-"
"""How the keys begin under which adapters keep what is their own."""


@dataclass(frozen=True, slots=True)
class FastStore:
    """A `Store` that is `beside`, and faster. Safe for threads and after a fork."""

    _connection: Connection
    _settings: Settings
    _beside: Store

    @property
    def target(self) -> str:
        """See `Store.target`."""
        return self._connection.target

    @property
    def capabilities(self) -> Mapping[Feature, Support]:
        """See `Store.capabilities`."""
        return self._beside.capabilities

    @property
    def limits(self) -> Limits:
        """See `Store.limits`."""
        return self._beside.limits

    def head(self, key: str) -> ObjectInfo:
        """See `Store.head`."""
        if not self._takes(key):
            return self._beside.head(key)
        try:
            answer = self._connection.ask(lambda client: load().get(client, key, options={"head": True}), key=key)
        except NotFound:
            # An answer without a body does not tell whether the object or the bucket is missing.
            return self._beside.head(key)
        return _info(answer, key)

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> Reader:  # noqa: A002 - the port's word
        """See `Store.get`."""
        check_range(range)
        if not self._takes(key):
            return self._beside.get(key, range=range)
        options: dict[str, Any] = {}
        if range is not None:
            need(Feature.RANGE, self.capabilities, target=self.target, key=key)
            options["range"] = (range[0], range[1] + 1)
        try:
            answer = self._connection.ask(lambda client: load().get(client, key, options=options), key=key)
        except NotFound:
            return self._beside.get(key, range=range)
        except InvalidArgument as error:
            if range is None:
                raise
            raise beyond(range) from error
        except Unavailable as error:
            if range is not None and whole_instead(error.__cause__):
                return self._beside.get(key, range=range)
            raise
        info = _info(answer, key)
        offset, length = clip(range, size=info.size)
        if tuple(answer.range) != (offset, offset + length):
            message = f"the store answered another range of `{key}` than was asked for"
            raise Unavailable(message, target=self.target, key=key)
        return FastReader(answer, info, length=length, target=self.target)

    def put(
        self,
        key: str,
        body: Bytes | Source,
        *,
        size: int,
        metadata: Mapping[str, str] = NO_METADATA,
        if_absent: bool = False,
    ) -> ObjectInfo:
        """See `Store.put`. A source of up to 16 MiB is read into memory first."""
        if size > WHOLE or not self._takes(key):
            return self._beside.put(key, body, size=size, metadata=metadata, if_absent=if_absent)
        if metadata:
            need(Feature.METADATA, self.capabilities, target=self.target, key=key)
            check_metadata(metadata, limits=self.limits)
        if if_absent:
            need(Feature.CONDITIONAL_PUT, self.capabilities, target=self.target, key=key)
        whole = _whole(body, size)
        mode = "create" if if_absent else "overwrite"
        try:
            answer = self._connection.ask(
                lambda client: load().put(
                    client, key, whole, attributes=dict(metadata), mode=mode, use_multipart=False
                ),
                key=key,
                # A condition that is sent again may meet the object that the first sending made.
                again=not if_absent,
                conditional=if_absent,
            )
        except NotFound as error:
            if error.key is None:
                raise
            raise NotFound(f"there is no bucket `{self._connection.container}`", target=self.target) from error
        etag = self._verified(key, whole, str(answer["e_tag"] or "").strip('"'))
        return ObjectInfo(key, size, etag, None, MappingProxyType(dict(metadata)))

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        self._beside.delete(key)

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`."""
        return self._beside.delete_many(keys)

    def list(self, prefix: str = "", *, delimiter: str | None = None, start_after: str = "") -> Iterator[Page]:
        """See `Store.list`."""
        return self._beside.list(prefix, delimiter=delimiter, start_after=start_after)

    def copy(self, source: str, destination: str) -> ObjectInfo:
        """See `Store.copy`."""
        return self._beside.copy(source, destination)

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """See `Store.set_metadata`."""
        return self._beside.set_metadata(key, metadata=metadata)

    def multipart(self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None) -> Upload:
        """See `Store.multipart`."""
        return self._beside.multipart(key, metadata=metadata, upload_id=upload_id)

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:
        """See `Store.uploads`."""
        return self._beside.uploads(prefix)

    def presign(self, key: str, *, expires: timedelta) -> str:
        """See `Store.presign`."""
        return self._beside.presign(key, expires=expires)

    def retain(self, key: str, *, until: datetime) -> None:
        """See `Store.retain`."""
        self._beside.retain(key, until=until)

    def inspect(self) -> Inspection:
        """See `Store.inspect`."""
        return self._beside.inspect()

    def close(self) -> None:
        """See `Store.close`."""
        self._connection.close()
        self._beside.close()

    def _takes(self, key: str) -> bool:
        """Whether object_store can be asked for a key here: what it would change, the store beside judges."""
        if inherited() or CHANGED.search(key) or key.startswith(OURS):
            return False
        if len(key.encode()) > self.limits.key_max:
            return False
        segments = key.split("/")
        return all(part and part[-1] != "." and len(part.encode()) <= SEGMENT_MAX for part in segments)

    def _verified(self, key: str, sent: Bytes, etag: str) -> str | None:
        """Return the ETag of what is stored, when it is what was sent. Raises Unavailable."""
        if self._settings.digests and MD5.fullmatch(etag.lower()) is not None:
            if etag.lower() != hashlib.md5(sent, usedforsecurity=False).hexdigest():
                message = (
                    f"`{key}`: what the store acknowledged is not what was sent; if its ETags are no MD5 of the body, "
                    "set `etags: opaque`"
                )
                raise Unavailable(message, target=self.target, key=key)
            return etag.lower()
        info = self._beside.head(key)
        if info.size != len(sent) or (etag and info.etag != etag):
            message = f"`{key}`: the store holds another object of {info.size} bytes, and {len(sent)} were sent"
            raise Unavailable(message, target=self.target, key=key)
        return info.etag


def _whole(body: Bytes | Source, size: int) -> Bytes:
    """Return a body in memory that is as long as was announced. Raises InvalidArgument, and what a source raises."""
    pieces = blocks(body, size=size)
    return memoryview(body).cast("B") if isinstance(body, IN_MEMORY) else b"".join(pieces)


def _info(answer: Any, key: str) -> ObjectInfo:  # noqa: ANN401 - what the library answers has no types
    meta, attributes = answer.meta, answer.attributes
    modified = meta["last_modified"]
    # The names of headers that are no metadata begin with a capital.
    own = {str(name): str(value) for name, value in attributes.items() if name == name.lower()}
    etag = str(meta["e_tag"] or "").strip('"') or None
    return ObjectInfo(key, int(meta["size"]), etag, None if modified == EPOCH else modified, MappingProxyType(own))
