"""The store over one container."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
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
    UploadInfo,
)
from sovbroker_adapters.azure import upload as uploading
from sovbroker_adapters.azure.bodies import IN_MEMORY, AzureReader, Outgoing, Taken, take
from sovbroker_adapters.azure.client import Connection
from sovbroker_adapters.azure.copying import copy, link, set_metadata
from sovbroker_adapters.azure.listing import Listing
from sovbroker_adapters.azure.names import check_name
from sovbroker_adapters.azure.proof import Proof
from sovbroker_adapters.azure.retaining import Retention, inspect
from sovbroker_adapters.azure.settings import Settings
from sovbroker_adapters.bodies import blocks
from sovbroker_adapters.checks import beyond, check_metadata, check_range, check_until, clip, need
from sovbroker_adapters.together import each

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

__all__ = ["AzureStore"]

LINK_MAX: Final = timedelta(days=7)
CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
META: Final = "x-ms-meta-"


@dataclass(frozen=True, slots=True)
class AzureStore:
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
        return self._proof.head(key)

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> AzureReader:  # noqa: A002 - the port's word
        """See `Store.get`."""
        self._check_name(key)
        check_range(range)
        if range is not None:
            self._need(Feature.RANGE, key)

        def ask(request: Any) -> None:  # noqa: ANN401 - the SDK's request
            # The SDK would ask for a first piece; an empty object has none.
            headers = request.http_request.headers
            headers.pop("x-ms-range", None)
            if range is not None:
                headers["x-ms-range"] = f"bytes={range[0]}-{range[1]}"

        def send(blob: BlobClient) -> None:
            blob.download_blob(offset=0, raw_request_hook=ask, raw_response_hook=take)

        try:
            self._connection.blob(send, key)
        except Taken as taken:
            return self._reader(taken.answer, key, range)
        except InvalidArgument as error:
            if range is None:
                raise
            raise beyond(range) from error
        except NotFound as error:
            self._proof.check_container(error)
            raise
        raise Unavailable(f"the store answered nothing for `{key}`", target=self.target, key=key)

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
        self._check_metadata(metadata, key)
        if size > self.limits.put_max:
            raise InvalidArgument(f"{size} bytes are more than one request may hold here; send them in parts")
        if if_absent:
            self._need(Feature.CONDITIONAL_PUT, key)
        if not size:
            # Nothing is sent of an empty body, so that nothing else would ask the source whether it is one.
            deque(blocks(body, size=0), maxlen=0)
            body = b""
        sent = Outgoing(body, size=size)

        def send(blob: BlobClient) -> Any:  # noqa: ANN401 - headers, as they came
            nonlocal sent
            sent = Outgoing(body, size=size)
            return blob.upload_blob(
                b"", length=0, overwrite=not if_absent, metadata=dict(metadata), raw_request_hook=sent.attach
            )

        # A condition that is sent again may meet the object that the first sending made.
        again = isinstance(body, IN_MEMORY) and not if_absent
        try:
            answer = self._connection.blob(send, key, again=again, conditional=if_absent)
        except (StoreError, InvalidArgument):
            if sent.error is not None:
                raise sent.error from None
            raise
        etag = self._proof.check_put(key, sent, answer, size=size)
        return ObjectInfo(key, size, etag, None, MappingProxyType(dict(metadata)))

    def delete(self, key: str) -> None:
        """See `Store.delete`. Snapshots of the object go with it."""
        self._check_name(key)
        if self.capabilities[Feature.RETENTION].usable:
            Retention(self._proof).check_free(key)
        try:
            self._connection.blob(lambda blob: blob.delete_blob(delete_snapshots="include"), key)
        except NotFound as error:
            self._proof.check_container(error)

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`. One request for each, several at a time."""
        for key in keys:
            self._check_name(key)
        unique = tuple(dict.fromkeys(keys))

        def remove(key: str) -> StoreError | None:
            try:
                self.delete(key)
            except StoreError as error:
                if error.key is None:
                    raise
                return error
            return None

        said = zip(unique, each(remove, unique), strict=True)
        return {key: error for key, error in said if error is not None}

    def list(self, prefix: str = "", *, delimiter: str | None = None, start_after: str = "") -> Iterator[Page]:
        """See `Store.list`."""
        if delimiter:
            self._need(Feature.DELIMITER)
        if start_after:
            self._need(Feature.ORDERED_LIST)
        return self._listing.pages(prefix, delimiter=delimiter or "", start_after=start_after)

    def copy(self, source: str, destination: str) -> ObjectInfo:
        """See `Store.copy`. A source that is replaced meanwhile raises Unavailable."""
        self._check_name(source)
        self._check_name(destination)
        self._need(Feature.COPY, source)
        return copy(self._proof, source, destination)

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """See `Store.set_metadata`. An object that is replaced meanwhile raises Unavailable."""
        self._check_name(key)
        self._need(Feature.SET_METADATA, key)
        self._check_metadata(metadata, key)
        return set_metadata(self._proof, key, metadata)

    def multipart(
        self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None
    ) -> uploading.AzureUpload:
        """See `Store.multipart`."""
        self._check_name(key)
        self._need(Feature.MULTIPART, key)
        if upload_id is not None:
            return uploading.AzureUpload(self._proof, upload_id, key)
        self._check_metadata(metadata, key)
        return uploading.start(self._proof, key, metadata)

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:
        """See `Store.uploads`."""
        self._need(Feature.MULTIPART)
        return uploading.unfinished(self._listing, prefix)

    def presign(self, key: str, *, expires: timedelta) -> str:
        """See `Store.presign`. Up to seven days; makes no request."""
        self._check_name(key)
        self._need(Feature.PRESIGN, key)
        if not timedelta(seconds=1) <= expires <= LINK_MAX:
            raise InvalidArgument(f"a link may live from a second to {LINK_MAX.days} days, not {expires}")
        return link(self._connection, key, until=datetime.now(UTC) + expires)

    def retain(self, key: str, *, until: datetime) -> None:
        """See `Store.retain`."""
        self._check_name(key)
        end = check_until(until)
        self._need(Feature.RETENTION, key)
        Retention(self._proof).hold(key, end)

    def inspect(self) -> Inspection:
        """See `Store.inspect`."""
        return inspect(self._connection)

    def close(self) -> None:
        """See `Store.close`."""
        self._connection.close()

    @property
    def _proof(self) -> Proof:
        return Proof(self._connection, self.limits)

    @property
    def _listing(self) -> Listing:
        return Listing(self._connection, self.capabilities[Feature.ORDERED_LIST], self._settings.page)

    def _check_name(self, key: str) -> None:
        check_name(key, limits=self.limits)

    def _check_metadata(self, metadata: Mapping[str, str], key: str) -> None:
        if metadata:
            self._need(Feature.METADATA, key)
            check_metadata(metadata, limits=self.limits)

    def _need(self, feature: Feature, key: str | None = None) -> None:
        need(feature, self.capabilities, target=self.target, key=key)

    def _reader(self, answer: Any, key: str, span: tuple[int, int] | None) -> AzureReader:  # noqa: ANN401 - the SDK's answer
        """Return a reader of what was asked for, whatever part of the object the answer holds."""
        try:
            headers: Mapping[str, str] = answer.headers
            part = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
            length = self._length(headers, key)
            info = _info_of(headers, key, size=length if part is None else int(part[3]))
            offset, wanted = clip(span, size=info.size)
            if part is not None:
                self._check_span((int(part[1]), int(part[2]), length), (offset, offset + wanted - 1, wanted), key)
            # A service that does not know ranges sends all of it.
            skip = 0 if part is not None else offset
            return AzureReader(answer, info, skip=skip, length=wanted, target=self.target)
        except BaseException:
            answer.close()
            raise

    def _check_span(self, found: tuple[int, int, int], wanted: tuple[int, int, int], key: str) -> None:
        if found != wanted:
            message = f"the store answered another range of `{key}` than was asked for"
            raise Unavailable(message, target=self.target, key=key)

    def _length(self, headers: Mapping[str, str], key: str) -> int:
        found = headers.get("Content-Length", "")
        if not found.isdecimal():
            raise Unavailable(f"the store did not say how long `{key}` is", target=self.target, key=key)
        return int(found)


def _info_of(headers: Mapping[str, str], key: str, *, size: int) -> ObjectInfo:
    """Return what the headers of an answer say of an object."""
    named = ((name.lower(), value) for name, value in headers.items())
    metadata = {name.removeprefix(META): value for name, value in named if name.startswith(META)}
    try:
        modified = parsedate_to_datetime(headers.get("Last-Modified", ""))
    except ValueError:
        modified = None
    return ObjectInfo(key, size, headers.get("ETag", "").strip('"') or None, modified, MappingProxyType(metadata))
