"""The store over one container."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sovbroker.errors import InvalidArgument, NotFound, StoreError, Unavailable
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
from sovbroker_adapters.checks import beyond, check_metadata, check_range, check_until, clip, need
from sovbroker_adapters.libcloud.bodies import IN_MEMORY, LibcloudReader, Outgoing
from sovbroker_adapters.libcloud.client import Connection, Linked
from sovbroker_adapters.libcloud.names import check_name
from sovbroker_adapters.libcloud.settings import Settings
from sovbroker_adapters.listing import pages

if TYPE_CHECKING:
    from requests import Response

__all__ = ["LibcloudStore"]

MD5: Final = re.compile(r"[0-9a-f]{32}")
CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
META: Final = "x-amz-meta-"
TYPE: Final = "application/octet-stream"
PARTIAL: Final = 206


@dataclass(frozen=True, slots=True)
class LibcloudStore:
    """A `Store` in a container. Safe for threads and after a fork."""

    _connection: Connection
    _settings: Settings

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
        self._check_name(key)

        def ask(linked: Linked) -> Response:
            linked.session.last = None
            linked.driver.get_object(self._connection.container, key)
            return _last(linked)

        try:
            answer = self._connection.ask(ask, key=key)
        except NotFound as error:
            self._connection.check_container(error)
            raise
        return _info(answer, key, size=self._length(answer, key))

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> LibcloudReader:  # noqa: A002 - the port's word
        """See `Store.get`."""
        self._check_name(key)
        check_range(range)

        def ask(linked: Linked) -> object:
            named = linked.driver, self._object(linked, key)
            if range is None:
                return named[0].download_object_as_stream(named[1])
            return named[0].download_object_range_as_stream(named[1], range[0], range[1] + 1)

        try:
            answer = self._connection.answer(ask, key=key)
        except InvalidArgument as error:
            if range is None:
                raise
            raise beyond(range) from error
        try:
            return self._reader(answer, key, range)
        except BaseException:
            answer.close()
            raise

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
        self._check_name(key)
        if metadata:
            check_metadata(metadata, limits=self.limits)
        if if_absent:
            self._need(Feature.CONDITIONAL_PUT, key)
        if size > self.limits.put_max:
            raise InvalidArgument(f"{size} bytes are more than one request may hold here; send them in parts")
        sent = Outgoing(body, size=size)
        if not size:
            # Nothing is sent of an empty body, so that nothing else would ask the source whether it is one.
            for _ in sent:
                raise AssertionError
            sent = Outgoing(b"", size=0)

        def send(linked: Linked) -> Any:  # noqa: ANN401 - the SDK's object
            nonlocal sent
            if isinstance(body, IN_MEMORY):
                sent = Outgoing(body, size=size)
            extra = {"content_type": TYPE, "meta_data": dict(metadata)}
            return linked.driver.upload_object_via_stream(sent, linked.container, key, extra=extra)

        try:
            answer = self._connection.ask(send, key=key, again=isinstance(body, IN_MEMORY))
        except (StoreError, InvalidArgument):
            if sent.error is not None:
                raise sent.error from None
            raise
        etag = self._verified(key, sent, str(answer.hash or "").strip('"'))
        return ObjectInfo(key, size, etag, None, MappingProxyType(dict(metadata)))

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        self._check_name(key)

        def ask(linked: Linked) -> None:
            if linked.driver.delete_object(self._object(linked, key)) is not True:
                raise Unavailable(f"`{key}` was not deleted: the store did not confirm it", target=self.target, key=key)

        try:
            self._connection.ask(ask, key=key)
        except NotFound as error:
            self._connection.check_container(error)

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`. One by one."""
        for key in keys:
            self._check_name(key)
        failures: dict[str, StoreError] = {}
        for key in keys:
            try:
                self.delete(key)
            except StoreError as error:
                if isinstance(error, NotFound):
                    raise
                failures[key] = error
        return failures

    def list(self, prefix: str = "", *, delimiter: str | None = None, start_after: str = "") -> Iterator[Page]:
        """See `Store.list`. It reads from the beginning of the prefix, whatever it is to start after."""
        found = (info for info in self._listed(prefix) if info.key > start_after)
        return pages(found, prefix=prefix, delimiter=delimiter)

    def copy(self, source: str, destination: str) -> ObjectInfo:
        """See `Store.copy`."""
        self._check_name(source)
        self._check_name(destination)
        raise self._absent(Feature.COPY, source)

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """See `Store.set_metadata`."""
        del metadata
        self._check_name(key)
        raise self._absent(Feature.SET_METADATA, key)

    def multipart(self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None) -> Upload:
        """See `Store.multipart`."""
        del metadata, upload_id
        raise self._absent(Feature.MULTIPART, key)

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:
        """See `Store.uploads`."""
        del prefix
        raise self._absent(Feature.MULTIPART, None)

    def presign(self, key: str, *, expires: timedelta) -> str:
        """See `Store.presign`."""
        del expires
        raise self._absent(Feature.PRESIGN, key)

    def retain(self, key: str, *, until: datetime) -> None:
        """See `Store.retain`."""
        self._check_name(key)
        check_until(until)
        raise self._absent(Feature.RETENTION, key)

    def inspect(self) -> Inspection:
        """See `Store.inspect`."""
        next(iter(self.list()), None)
        return Inspection()

    def close(self) -> None:
        """See `Store.close`."""
        self._connection.close()

    def _check_name(self, key: str) -> None:
        check_name(key, limits=self.limits, files=self._settings.files)

    def _need(self, feature: Feature, key: str | None) -> None:
        need(feature, self.capabilities, target=self.target, key=key)

    def _absent(self, feature: Feature, key: str | None) -> Exception:
        self._need(feature, key)
        return AssertionError(feature)

    def _object(self, linked: Linked, key: str) -> Any:  # noqa: ANN401 - the SDK's object
        return import_module("libcloud.storage.base").Object(key, 0, None, {}, {}, linked.container, linked.driver)

    def _listed(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield what the driver lists, in byte order."""
        linked = self._connection.linked()
        found = linked.driver.iterate_container_objects(linked.container, prefix=prefix or None)
        last = ""
        while True:
            one = self._connection.ask(lambda _: next(found, None), again=False)
            if one is None:
                return
            key = str(one.name or "")
            if not key.startswith(prefix):
                raise Unavailable("the store listed an object of another prefix", target=self.target)
            if key <= last:
                raise Unavailable("the store's listing is not in byte order", target=self.target)
            last = key
            etag = str(one.hash or "").strip('"') or None
            yield ObjectInfo(key, int(one.size), etag, _iso(one.extra.get("last_modified")))

    def _reader(self, answer: Response, key: str, span: tuple[int, int] | None) -> LibcloudReader:
        """Return a reader of what was asked for, whatever part of the object the answer holds."""
        found = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        partial = answer.status_code == PARTIAL or found is not None
        length = self._length(answer, key)
        if partial and found is None:
            raise Unavailable(f"the store did not say how long `{key}` is", target=self.target, key=key)
        info = _info(answer, key, size=length if found is None else int(found[3]))
        offset, wanted = clip(span, size=info.size)
        if found is not None and ((int(found[1]), int(found[2])) != (offset, offset + wanted - 1) or length != wanted):
            message = f"the store answered another range of `{key}` than was asked for"
            raise Unavailable(message, target=self.target, key=key)
        # A service that does not know ranges sends all of it.
        skip = 0 if partial else offset
        digest = self._digest(answer, info) if wanted == info.size else None
        return LibcloudReader(answer, info, skip=skip, length=wanted, digest=digest, target=self.target)

    def _digest(self, answer: Response, info: ObjectInfo) -> str | None:
        """Return the MD5 of an object, where its ETag is one: not where the service encrypts with keys of others."""
        plain = answer.headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
        etag = (info.etag or "").lower()
        return etag if self._settings.digests and plain and MD5.fullmatch(etag) is not None else None

    def _length(self, answer: Response, key: str) -> int:
        length = answer.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise Unavailable(f"the store did not say how long `{key}` is", target=self.target, key=key)
        return int(length)

    def _verified(self, key: str, sent: Outgoing, etag: str) -> str | None:
        """Return the ETag of what is stored, when it is what was sent. Raises Unavailable."""
        if self._settings.digests and MD5.fullmatch(etag.lower()) is not None:
            if etag.lower() != sent.digest:
                message = f"`{key}`: what the store acknowledged is not what was sent"
                raise Unavailable(message, target=self.target, key=key)
            return etag.lower()
        info = self.head(key)
        if info.size != len(sent):
            message = f"`{key}`: the store holds {info.size} bytes of the {len(sent)} that were sent"
            raise Unavailable(message, target=self.target, key=key)
        return info.etag


def _last(linked: Linked) -> Response:
    if linked.session.last is None:
        raise AssertionError
    return linked.session.last


def _info(answer: Response, key: str, *, size: int) -> ObjectInfo:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    own = {name.removeprefix(META): value for name, value in headers.items() if name.startswith(META)}
    etag = headers.get("etag", "").strip('"') or None
    try:
        modified = parsedate_to_datetime(headers.get("last-modified", ""))
    except ValueError:
        modified = None
    return ObjectInfo(key, size, etag, modified, MappingProxyType(own))


def _iso(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
