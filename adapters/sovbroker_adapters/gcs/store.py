"""The store over one bucket."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sovbroker.errors import InvalidArgument, StoreError, Unavailable
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
from sovbroker_adapters.checks import beyond, check_metadata, check_range, check_until, clip, need
from sovbroker_adapters.gcs.bodies import GcsReader
from sovbroker_adapters.gcs.client import Call, Connection
from sovbroker_adapters.gcs.listing import Listing
from sovbroker_adapters.gcs.names import check_name
from sovbroker_adapters.gcs.objects import Objects
from sovbroker_adapters.gcs.resources import header_checksum, info_of_headers
from sovbroker_adapters.gcs.retaining import Retention, inspect
from sovbroker_adapters.gcs.settings import Settings
from sovbroker_adapters.gcs.upload import GcsUpload, begin, unfinished
from sovbroker_adapters.together import each

if TYPE_CHECKING:
    from requests import Response

__all__ = ["GcsStore"]

LINK_MAX: Final = timedelta(days=7)
CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
PARTIAL: Final = 206
PLAIN: Final = frozenset({"", "identity"})


class GcsStore:
    """A `Store` in a bucket. Safe for threads and after a fork."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._objects = Objects(connection)
        self._retention = Retention(connection)
        self._limits = settings.limits
        self._page = settings.page
        # Nobody, or a user whose key is not here, signs nothing.
        links = {} if connection.signs else {Feature.PRESIGN: Support.ABSENT}
        self._capabilities = MappingProxyType({**settings.capabilities, **links})

    def __repr__(self) -> str:
        """Name the bucket, and no secret."""
        return f"GcsStore({self._connection!r})"

    @property
    def target(self) -> str:
        """See `Store.target`."""
        return self._connection.target

    @property
    def capabilities(self) -> Mapping[Feature, Support]:
        """See `Store.capabilities`."""
        return self._capabilities

    @property
    def limits(self) -> Limits:
        """See `Store.limits`."""
        return self._limits

    def head(self, key: str) -> ObjectInfo:
        """See `Store.head`."""
        check_name(key, limits=self.limits)
        return self._objects.head(key, key=key).info

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> GcsReader:  # noqa: A002 - the port's word
        """See `Store.get`."""
        check_name(key, limits=self.limits)
        check_range(range)
        # What is stored, as it is: else the service unpacks what others stored compressed.
        headers = {"Accept-Encoding": "gzip"}
        if range is not None:
            need(Feature.RANGE, self.capabilities, target=self.target, key=key)
            headers["Range"] = f"bytes={range[0]}-{range[1]}"
        # The XML interface's path: the JSON one does not send the metadata along with the body.
        path = f"/{self._connection.bucket}/{quote(key, safe='/~')}"
        try:
            answer = self._connection.open(Call("GET", path, headers=headers, key=key))
        except InvalidArgument as error:
            if range is None:
                raise
            raise beyond(range) from error
        return self._reader(answer, key, range)

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
        check_name(key, limits=self.limits)
        self._check_metadata(metadata, key)
        if size > self.limits.put_max:
            raise InvalidArgument(f"{size} bytes are more than one request may hold here; send them in parts")
        if if_absent:
            need(Feature.CONDITIONAL_PUT, self.capabilities, target=self.target, key=key)
        stored = self._objects.store(key, body, size=size, key=key, metadata=metadata, if_absent=if_absent).info
        return ObjectInfo(key, size, stored.etag, stored.modified, MappingProxyType(dict(metadata)))

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        check_name(key, limits=self.limits)
        self._remove(key)

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`. Several requests at once: the service's own bulk request saves it no work."""
        for key in keys:
            check_name(key, limits=self.limits)

        def work(key: str) -> StoreError | None:
            try:
                self._remove(key)
            except StoreError as error:
                if error.key is None:
                    raise
                return error
            return None

        unique = tuple(dict.fromkeys(keys))
        found = zip(unique, each(work, unique), strict=True)
        return {key: error for key, error in found if error is not None}

    def list(self, prefix: str = "", *, delimiter: str | None = None, start_after: str = "") -> Iterator[Page]:
        """See `Store.list`."""
        if delimiter:
            need(Feature.DELIMITER, self.capabilities, target=self.target)
        if start_after:
            need(Feature.ORDERED_LIST, self.capabilities, target=self.target)
        return Listing(self._connection, self._page).pages(prefix, delimiter=delimiter or "", start_after=start_after)

    def copy(self, source: str, destination: str) -> ObjectInfo:
        """See `Store.copy`."""
        check_name(source, limits=self.limits)
        check_name(destination, limits=self.limits)
        need(Feature.COPY, self.capabilities, target=self.target, key=source)
        return self._objects.copy(source, destination).info

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """See `Store.set_metadata`."""
        check_name(key, limits=self.limits)
        need(Feature.SET_METADATA, self.capabilities, target=self.target, key=key)
        self._check_metadata(metadata, key)
        return self._objects.set_metadata(key, metadata).info

    def multipart(
        self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None
    ) -> GcsUpload:
        """See `Store.multipart`."""
        check_name(key, limits=self.limits)
        need(Feature.MULTIPART, self.capabilities, target=self.target, key=key)
        if upload_id is not None:
            return GcsUpload(self._objects, self.limits, upload_id, key)
        self._check_metadata(metadata, key)
        return begin(self._objects, key, metadata=metadata, limits=self.limits)

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:
        """See `Store.uploads`."""
        need(Feature.MULTIPART, self.capabilities, target=self.target)
        return unfinished(self._objects, prefix)

    def presign(self, key: str, *, expires: timedelta) -> str:
        """See `Store.presign`. Up to seven days; makes no request."""
        check_name(key, limits=self.limits)
        need(Feature.PRESIGN, self.capabilities, target=self.target, key=key)
        if not timedelta(seconds=1) <= expires <= LINK_MAX:
            raise InvalidArgument(f"a link may live from a second to {LINK_MAX.days} days, not {expires}")
        return self._connection.sign(key, seconds=int(expires.total_seconds()))

    def retain(self, key: str, *, until: datetime) -> None:
        """See `Store.retain`."""
        check_name(key, limits=self.limits)
        end = check_until(until)
        need(Feature.RETENTION, self.capabilities, target=self.target, key=key)
        self._retention.hold(key, end)

    def inspect(self) -> Inspection:
        """See `Store.inspect`."""
        return inspect(self._connection)

    def close(self) -> None:
        """See `Store.close`."""
        self._connection.close()

    def _remove(self, key: str) -> None:
        if self.capabilities[Feature.RETENTION].usable:
            self._retention.check_free(key)
        self._objects.remove(key, key=key)

    def _check_metadata(self, metadata: Mapping[str, str], key: str) -> None:
        if metadata:
            need(Feature.METADATA, self.capabilities, target=self.target, key=key)
            check_metadata(metadata, limits=self.limits)

    def _reader(self, answer: Response, key: str, span: tuple[int, int] | None) -> GcsReader:
        """Return a reader of what was asked for, whatever part of the object the answer holds."""
        try:
            self._check_answer(answer, key)
            info = info_of_headers(answer, key, size=self._whole(answer, key))
            offset, length = clip(span, size=info.size)
            partial = answer.status_code == PARTIAL
            if partial:
                self._check_span(answer, key, (offset, offset + length - 1))
            checksum = header_checksum(answer) if length == info.size else None
            # A service that does not know ranges sends all of it.
            skip = 0 if partial else offset
            return GcsReader(answer, info, skip=skip, length=length, checksum=checksum, target=self.target)
        except BaseException:
            answer.close()
            raise

    def _check_answer(self, answer: Response, key: str) -> None:
        if not {"x-goog-generation", "x-goog-hash"} & {name.lower() for name in answer.headers}:
            raise self._broken(key, "what answered is no object of a bucket")
        sent = answer.headers.get("Content-Encoding") or ""
        stored = answer.headers.get("x-goog-stored-content-encoding") or ""
        if sent not in PLAIN and sent != stored:
            raise self._broken(key, f"the store sent the body as `{sent[:40]}`, and it is not stored so")

    def _whole(self, answer: Response, key: str) -> int:
        """Return the size of the whole object."""
        found = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range") or "")
        if answer.status_code == PARTIAL and found is not None:
            return int(found[3])
        size = answer.headers.get("Content-Length") or answer.headers.get("x-goog-stored-content-length") or ""
        if answer.status_code == PARTIAL or not (size.isascii() and size.isdigit()):
            raise self._broken(key, "the store did not say how long it is")
        return int(size)

    def _check_span(self, answer: Response, key: str, wanted: tuple[int, int]) -> None:
        found = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range") or "")
        length = wanted[1] - wanted[0] + 1
        fits = found is not None and (int(found[1]), int(found[2])) == wanted
        if not fits or answer.headers.get("Content-Length", str(length)) != str(length):
            raise self._broken(key, "the store answered another range than was asked for")

    def _broken(self, key: str, why: str) -> Unavailable:
        return Unavailable(f"`{key}`: {why}", target=self.target, key=key)
