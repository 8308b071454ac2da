"""The store over one folder of a WebDAV server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NoReturn

from sovbroker.errors import InvalidArgument, NotFound, NotSupported, StoreError, Unavailable
from sovbroker.ports import (
    NO_METADATA,
    Bytes,
    Feature,
    Inspection,
    Limits,
    ObjectInfo,
    Page,
    Source,
    Support,
    Upload,
    UploadInfo,
)
from sovbroker_adapters.checks import beyond, check_key, check_range, check_until, need
from sovbroker_adapters.webdav.bodies import Digest, WebdavReader
from sovbroker_adapters.webdav.calls import Call
from sovbroker_adapters.webdav.client import Connection
from sovbroker_adapters.webdav.listing import Listing
from sovbroker_adapters.webdav.names import Names
from sovbroker_adapters.webdav.settings import Settings
from sovbroker_adapters.webdav.staging import Staging

__all__ = ["WebdavStore"]

NOT_SATISFIABLE: Final = 416
NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class WebdavStore:
    """A `Store` in a folder of a WebDAV server. Safe for threads and after a fork."""

    _connection: Connection
    _settings: Settings
    _names: Names
    _staging: Staging

    @classmethod
    def over(cls, connection: Connection, settings: Settings) -> WebdavStore:
        """Return the store over a connection."""
        names = Names(upper=settings.letters == "any")
        return cls(connection, settings, names, Staging(connection, names))

    @property
    def target(self) -> str:
        """See `Store.target`."""
        return self._connection.target

    @property
    def capabilities(self) -> Mapping[Feature, Support]:
        """See `Store.capabilities`."""
        return self._settings.capabilities

    @property
    def limits(self) -> Limits:
        """See `Store.limits`."""
        return self._settings.limits

    def head(self, key: str) -> ObjectInfo:
        """See `Store.head`."""
        check_key(key, limits=self.limits)
        return self._staging.awaiting(key, lambda: self._head(key))

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> WebdavReader:  # noqa: A002 - the port's word
        """See `Store.get`."""
        check_key(key, limits=self.limits)
        check_range(range)
        if range is None:
            call = Call("GET", self._names.file(key), key)
        else:
            self._need(Feature.RANGE, key)
            headers = {"Range": f"bytes={range[0]}-{range[1]}"}
            call = Call("GET", self._names.file(key), key, headers, also=frozenset({NOT_SATISFIABLE}))
        response = self._staging.awaiting(key, lambda: self._connection.open(call))
        if range is not None and response.status_code == NOT_SATISFIABLE:
            response.close()
            raise beyond(range)
        return WebdavReader.over(
            response, key, range, digest=self._digest, target=self.target, size=lambda: self._head(key).size
        )

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
        if metadata:
            self._need(Feature.METADATA, key)
        if if_absent:
            self._need(Feature.CONDITIONAL_PUT, key)
        if size > self.limits.put_max:
            raise InvalidArgument(f"{size} bytes are more than the {self.limits.put_max} that this store takes")
        name = self._staging.send(key, body, size=size, digest=self._digest)
        self._staging.publish(name, key, size=size, if_absent=if_absent)
        return ObjectInfo(key, size)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        check_key(key, limits=self.limits)
        status, _ = self._connection.ask(Call("DELETE", self._names.file(key), key, also=frozenset({NOT_FOUND})))
        if status == NOT_FOUND:
            self._staging.check_container()

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`."""
        for key in keys:
            check_key(key, limits=self.limits)
        failures: dict[str, StoreError] = {}
        for key in keys:
            try:
                self.delete(key)
            except StoreError as error:
                if error.key is None:
                    raise
                failures[key] = error
        return failures

    def list(self, prefix: str = "", *, delimiter: str | None = None, start_after: str = "") -> Iterator[Page]:
        """See `Store.list`. An object that is just being replaced may be missing."""
        try:
            yield from Listing(self._connection, self._names, prefix, start_after).pages(delimiter)
        except NotFound:
            self._staging.check_container()

    def copy(self, source: str, destination: str) -> ObjectInfo:
        """See `Store.copy`."""
        check_key(source, limits=self.limits)
        check_key(destination, limits=self.limits)
        self._need(Feature.COPY, source)
        size = self.head(source).size
        name = self._staging.copy(source, destination, size=size)
        self._staging.publish(name, destination, size=size)
        return ObjectInfo(destination, size)

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:  # noqa: ARG002 - the port's signature
        """Raise NotSupported: WebDAV has no metadata."""
        self._refuse("WebDAV has no metadata to replace; put an object beside", key)

    def multipart(self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None) -> Upload:  # noqa: ARG002 - the port's signature
        """Raise NotSupported: WebDAV does not join."""
        self._refuse("WebDAV has no uploads in parts; put the object whole", key)

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:  # noqa: ARG002 - the port's signature
        """Raise NotSupported: WebDAV does not join."""
        self._refuse("WebDAV has no uploads in parts")

    def presign(self, key: str, *, expires: timedelta) -> str:  # noqa: ARG002 - the port's signature
        """Raise NotSupported: WebDAV has no links."""
        self._refuse("WebDAV has no links to hand out; read the object instead", key)

    def retain(self, key: str, *, until: datetime) -> None:
        """See `Store.retain`."""
        check_key(key, limits=self.limits)
        check_until(until)
        self._need(Feature.RETENTION, key)

    def inspect(self) -> Inspection:
        """See `Store.inspect`."""
        next(iter(self.list()), None)
        return Inspection()

    def close(self) -> None:
        """See `Store.close`."""
        self._connection.close()

    @property
    def _digest(self) -> Digest:
        return Digest(self._settings.digests, in_etags=self._settings.etags == "digest")

    def _head(self, key: str) -> ObjectInfo:
        found = self._connection.find(self._names.file(key), key=key)
        if found.collection:
            raise NotFound(f"there is no object `{key}`, but a collection of this name", target=self.target, key=key)
        if found.size is None:
            raise Unavailable(f"the store did not say how long `{key}` is", target=self.target, key=key)
        return ObjectInfo(key, found.size, found.etag, found.modified)

    def _need(self, feature: Feature, key: str | None = None) -> None:
        need(feature, self.capabilities, target=self.target, key=key)

    def _refuse(self, why: str, key: str | None = None) -> NoReturn:
        raise NotSupported(why, target=self.target, key=key)
