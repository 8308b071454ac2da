"""The store over one bucket."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

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
from sovbroker_adapters.bodies import blocks
from sovbroker_adapters.checks import beyond, check_metadata, check_range, check_until, clip, need
from sovbroker_adapters.s3 import probing
from sovbroker_adapters.s3.bodies import S3Reader, crc32
from sovbroker_adapters.s3.client import Answer, Connection
from sovbroker_adapters.s3.inspection import inspect
from sovbroker_adapters.s3.listing import Listing
from sovbroker_adapters.s3.names import check_name
from sovbroker_adapters.s3.removal import Removal
from sovbroker_adapters.s3.restating import Restating
from sovbroker_adapters.s3.retention import Retention
from sovbroker_adapters.s3.settings import Settings
from sovbroker_adapters.s3.upload import S3Upload, Verification, info_of

__all__ = ["S3Store"]

LINK_MAX: Final = timedelta(days=7)
CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
PARTIAL: Final = 206
IN_MEMORY: Final = (bytes, bytearray, memoryview)


@dataclass(frozen=True, slots=True)
class S3Store:
    """A `Store` in a bucket. Safe for threads and after a fork."""

    _connection: Connection
    _settings: Settings
    _removal: Removal

    @classmethod
    def at(cls, connection: Connection, settings: Settings) -> S3Store:
        """Return the store behind a connection."""
        return cls(connection, settings, Removal(connection, settings))

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

    @property
    def _bucket(self) -> str:
        return self._connection.bucket

    def head(self, key: str) -> ObjectInfo:
        """See `Store.head`."""
        self._check_name(key)
        return self._verification.head(key)

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> S3Reader:  # noqa: A002 - the port's word
        """See `Store.get`."""
        self._check_name(key)
        check_range(range)
        if range is None:
            answer = self._connection.ask("get_object", {"Key": key}, key=key)
            return self._reader(answer, key, None)
        self._need(Feature.RANGE, key)
        span = f"bytes={range[0]}-{range[1]}"
        try:
            answer = self._connection.ask("get_object", {"Key": key, "Range": span}, key=key)
        except InvalidArgument as error:
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
        self._check_name(key)
        self._check_metadata(metadata, key)
        if size > self.limits.put_max:
            raise InvalidArgument(f"{size} bytes are more than one request may hold here; send them in parts")
        extra: dict[str, Any] = {}
        if if_absent:
            self._need(Feature.CONDITIONAL_PUT, key)
            extra["IfNoneMatch"] = "*"
        verification = self._verification
        sent = verification.outgoing(body, size=size)
        if self._settings.checksums == "when-supported" and isinstance(body, IN_MEMORY):
            extra["ChecksumCRC32"] = crc32(body)

        def params() -> Answer:
            nonlocal sent
            sent = verification.outgoing(body, size=size)
            named = {"Key": key, "ContentLength": size, "Metadata": dict(metadata)}
            return named | {"Body": sent if size else b""} | extra

        if not size:
            # Nothing is sent of an empty body, so that nothing else would ask the source whether it is one.
            deque(blocks(body, size=0), maxlen=0)
        # A condition that is sent again may meet the object that the first sending made.
        again = isinstance(body, IN_MEMORY) and not if_absent
        try:
            answer = self._connection.ask("put_object", params, key=key, again=again, conditional=if_absent)
        except (StoreError, InvalidArgument):
            if sent.error is not None:
                raise sent.error from None
            raise
        etag = verification.check_put(key, sent, answer, size=size)
        return ObjectInfo(key, size, etag, None, MappingProxyType(dict(metadata)))

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        self._check_name(key)
        self._removal.delete(key)

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`."""
        for key in keys:
            self._check_name(key)
        return self._removal.delete_many(keys)

    def list(self, prefix: str = "", *, delimiter: str | None = None, start_after: str = "") -> Iterator[Page]:
        """See `Store.list`."""
        if delimiter:
            self._need(Feature.DELIMITER)
            if self._settings.keys == "files" and delimiter != "/":
                need(Feature.DELIMITER, {Feature.DELIMITER: Support.ABSENT}, target=self.target)
        if start_after:
            self._need(Feature.ORDERED_LIST)
        ordered = self.capabilities[Feature.ORDERED_LIST]
        return Listing(self._connection, ordered, self._settings.page).pages(
            prefix, delimiter=delimiter or "", start_after=start_after
        )

    def copy(self, source: str, destination: str) -> ObjectInfo:
        """See `Store.copy`."""
        self._check_name(source)
        self._check_name(destination)
        self._need(Feature.COPY, source)
        before = self._verification.head(source)
        origin = {"Bucket": self._bucket, "Key": source}
        if before.size > self.limits.put_max:
            upload = self.multipart(destination, metadata=before.metadata)
            try:
                return upload.commit(upload.copy_parts(source, size=before.size))
            except BaseException:
                upload.abort()
                raise
        self._connection.ask("copy_object", {"Key": destination, "CopySource": origin}, key=source)
        info = self._verification.head(destination)
        if info.size != before.size:
            message = f"the copy of `{source}` has {info.size} bytes instead of {before.size}"
            raise Unavailable(message, target=self.target, key=destination)
        return info

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """See `Store.set_metadata`. Beyond what one request copies, it needs uploads in parts."""
        self._check_name(key)
        self._need(Feature.SET_METADATA, key)
        self._check_metadata(metadata, key)
        return Restating(self._verification, self._removal).set_metadata(key, metadata)

    def multipart(
        self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None
    ) -> S3Upload:
        """See `Store.multipart`."""
        self._check_name(key)
        self._need(Feature.MULTIPART, key)
        if upload_id is not None:
            return S3Upload(self._connection, self._verification, upload_id, key)
        self._check_metadata(metadata, key)
        answer = self._connection.ask("create_multipart_upload", {"Key": key, "Metadata": dict(metadata)}, key=key)
        started = answer.get("UploadId")
        if not started:
            raise Unavailable(f"the store named no upload of `{key}`", target=self.target, key=key)
        return S3Upload(self._connection, self._verification, started, key)

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:
        """See `Store.uploads`."""
        self._need(Feature.MULTIPART)
        return Listing(self._connection, self.capabilities[Feature.ORDERED_LIST]).uploads(prefix)

    def presign(self, key: str, *, expires: timedelta) -> str:
        """See `Store.presign`. Up to seven days; makes no request."""
        self._check_name(key)
        self._need(Feature.PRESIGN, key)
        if not timedelta(seconds=1) <= expires <= LINK_MAX:
            raise InvalidArgument(f"a link may live from a second to {LINK_MAX.days} days, not {expires}")
        url = self._connection.local(
            lambda client: client.generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=int(expires.total_seconds())
            ),
            key=key,
        )
        self._connection.check_host(url)
        return url

    def retain(self, key: str, *, until: datetime) -> None:
        """See `Store.retain`. The end is a whole second; how strong it is, the setting `retention-mode` says."""
        self._check_name(key)
        end = check_until(until)
        self._need(Feature.RETENTION, key)
        Retention(self._connection, self._settings).retain(key, end)

    def inspect(self) -> Inspection:
        """See `Store.inspect`."""
        return inspect(self._connection)

    def sub_resources(self) -> Mapping[str, Callable[[str], None]]:
        """See `Probing.sub_resources`."""
        return probing.sub_resources(self._connection)

    def wrong_digests(self) -> Mapping[str, Callable[[str, bytes], None]]:
        """See `Probing.wrong_digests`."""
        return probing.wrong_digests(self._connection)

    def close(self) -> None:
        """See `Store.close`."""
        self._connection.close()

    @property
    def _verification(self) -> Verification:
        return Verification(self._connection, self._settings)

    def _check_name(self, key: str) -> None:
        check_name(key, limits=self.limits, files=self._settings.keys == "files")

    def _check_metadata(self, metadata: Mapping[str, str], key: str) -> None:
        if metadata:
            self._need(Feature.METADATA, key)
            check_metadata(metadata, limits=self.limits)

    def _need(self, feature: Feature, key: str | None = None) -> None:
        need(feature, self.capabilities, target=self.target, key=key)

    def _reader(self, answer: Answer, key: str, span: tuple[int, int] | None) -> S3Reader:
        """Return a reader of what was asked for, whatever part of the object the answer holds."""
        try:
            info = info_of(answer, key, size=self._whole(answer, key))
            offset, length = clip(span, size=info.size)
            # Some services send a part with status 200, so the header tells.
            partial = bool(answer.get("ContentRange")) or status_of(answer) == PARTIAL
            if partial:
                self._check_span(answer, key, (offset, offset + length - 1))
            # A service that does not know ranges sends all of it.
            return S3Reader(answer["Body"], info, skip=0 if partial else offset, length=length, target=self.target)
        except BaseException:
            answer["Body"].close()
            raise

    def _whole(self, answer: Answer, key: str) -> int:
        """Return the size of the whole object."""
        if not answer.get("ETag"):
            # Every service tells it; a portal that answers for everybody does not.
            raise Unavailable(f"what answered for `{key}` is no S3 service", target=self.target, key=key)
        found = CONTENT_RANGE.fullmatch(answer.get("ContentRange", ""))
        if found is not None:
            return int(found[3])
        size = answer.get("ContentLength")
        if size is None or status_of(answer) == PARTIAL:
            raise Unavailable(f"the store did not say how long `{key}` is", target=self.target, key=key)
        return int(size)

    def _check_span(self, answer: Answer, key: str, wanted: tuple[int, int]) -> None:
        found = CONTENT_RANGE.fullmatch(answer.get("ContentRange", ""))
        length = wanted[1] - wanted[0] + 1
        fits = found is not None and (int(found[1]), int(found[2])) == wanted
        if not fits or answer.get("ContentLength", length) != length:
            message = f"the store answered another range of `{key}` than was asked for"
            raise Unavailable(message, target=self.target, key=key)


def status_of(answer: Answer) -> int:
    """Return the HTTP status of an answer."""
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])
