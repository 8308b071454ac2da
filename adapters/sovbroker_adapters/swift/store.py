"""The store over one container."""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote, urlsplit

from sovbroker.errors import AlreadyExists, InvalidArgument, StoreError
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
from sovbroker_adapters.checks import beyond, check_metadata, check_range, check_until, need, shows
from sovbroker_adapters.swift import upload as uploading
from sovbroker_adapters.swift.bodies import IN_MEMORY, Outgoing, SwiftReader, etag_of, md5
from sovbroker_adapters.swift.calls import Call
from sovbroker_adapters.swift.client import Connection
from sovbroker_adapters.swift.inspecting import inspect
from sovbroker_adapters.swift.large import OCTETS, Large
from sovbroker_adapters.swift.listing import Listing
from sovbroker_adapters.swift.metadata import headers_of
from sovbroker_adapters.swift.names import check_name, quoted
from sovbroker_adapters.swift.proof import NOT_FOUND, Found, Proof
from sovbroker_adapters.swift.settings import Settings
from sovbroker_adapters.together import each

__all__ = ["SwiftStore"]

LINK_MAX: Final = timedelta(days=7)
NOT_SATISFIABLE: Final = 416
FAILED: Final = 412
SMALL: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SwiftStore:
    """A `Store` in a container of Swift. Safe for threads and after a fork."""

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
        return self._proof.head(key).info

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> SwiftReader:  # noqa: A002 - the port's word
        """See `Store.get`."""
        self._check_name(key)
        check_range(range)
        also = NOT_FOUND
        headers: dict[str, str] = {}
        if range is not None:
            self._need(Feature.RANGE, key)
            headers["Range"] = f"bytes={range[0]}-{range[1]}"
            also |= {NOT_SATISFIABLE}
        answer = self._connection.open(Call("GET", key, key, headers=headers, also=also))
        if answer.status_code in also:
            answer.close()
            if range is not None and answer.status_code == NOT_SATISFIABLE:
                raise beyond(range)
            raise self._proof.missing(key)
        return SwiftReader.over(answer, key, range, target=self.target)

    def put(
        self,
        key: str,
        body: Bytes | Source,
        *,
        size: int,
        metadata: Mapping[str, str] = NO_METADATA,
        if_absent: bool = False,
    ) -> ObjectInfo:
        """See `Store.put`. The segments of a large object that is replaced are removed."""
        self._check_name(key)
        headers = self._metadata(metadata, key)
        if size > self.limits.put_max:
            raise InvalidArgument(f"{size} bytes are more than one request may hold here; send them in parts")
        if not size:
            # Nothing is sent of an empty body, so that nothing else would ask the source whether it is one.
            deque(blocks(body, size=0), maxlen=0)
            body = b""
        large = Large(self._proof)
        replaced: frozenset[str] = frozenset()
        if if_absent:
            self._need(Feature.CONDITIONAL_PUT, key)
            etag = self._put(key, body, size=size, headers=headers, new=True)
        elif isinstance(body, IN_MEMORY) and size <= SMALL:
            # Mostly there is nothing under the key, and this way one request is enough to know it.
            try:
                etag = self._put(key, body, size=size, headers=headers, new=True, again=True)
            except AlreadyExists:
                replaced = large.replaced(key)
                etag = self._put(key, body, size=size, headers=headers)
        else:
            replaced = large.replaced(key)
            etag = self._put(key, body, size=size, headers=headers)
        large.remove(replaced)
        return ObjectInfo(key, size, etag, None, MappingProxyType(dict(metadata)))

    def delete(self, key: str) -> None:
        """See `Store.delete`. A large object goes with its segments."""
        self._check_name(key)
        found = self._proof.find(key, newest=True)
        if found is None:
            self._proof.check_container()
        elif found.large:
            Large(self._proof).delete(found)
        else:
            self._connection.ask(Call("DELETE", key, key, also=NOT_FOUND))

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`. One after the other, several at a time: Swift's own bulk leaves segments behind."""
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
        """See `Store.list`. What was written or removed just now may be missing or still be there."""
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
        before = self._proof.head(source, newest=True)
        if before.large and before.info.size > self.limits.put_max:
            return self._copy_in_parts(before, destination)
        large = Large(self._proof)
        replaced = large.replaced(destination)
        self._copy_whole(before, destination)
        info = self._proof.head(destination, newest=True).info
        if info.size != before.info.size:
            raise self._proof.broken(destination, f"the store copied {info.size} bytes of {before.info.size}")
        large.remove(replaced)
        return info

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """See `Store.set_metadata`. Swift knows no condition here: the body is compared before and after."""
        self._check_name(key)
        self._need(Feature.SET_METADATA, key)
        headers = self._metadata(metadata, key)
        before = self._proof.head(key, newest=True)
        status, _ = self._connection.ask(Call("POST", key, key, {}, {**headers, "Content-Length": "0"}, also=NOT_FOUND))
        if status in NOT_FOUND:
            raise self._proof.missing(key)
        info = self._proof.head(key, newest=True).info
        if (info.size, info.etag) != (before.info.size, before.info.etag):
            raise self._proof.broken(key, "it was replaced while its metadata were set")
        if not shows(info.metadata, metadata, before=before.info.metadata):
            raise self._proof.broken(key, "the store does not show the metadata that it was given")
        return info

    def multipart(
        self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None
    ) -> uploading.SwiftUpload:
        """See `Store.multipart`."""
        self._check_name(key)
        self._need(Feature.MULTIPART, key)
        if upload_id is not None:
            return uploading.SwiftUpload(self._proof, self._listing, upload_id, key)
        self._metadata(metadata, key)
        return uploading.start(self._proof, self._listing, key, metadata)

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:
        """See `Store.uploads`."""
        self._need(Feature.MULTIPART)
        return uploading.unfinished(self._proof, self._listing, prefix)

    def presign(self, key: str, *, expires: timedelta) -> str:
        """See `Store.presign`. Up to seven days; makes a request only where there is no token yet."""
        self._check_name(key)
        self._need(Feature.PRESIGN, key)
        if not timedelta(seconds=1) <= expires <= LINK_MAX:
            raise InvalidArgument(f"a link may live from a second to {LINK_MAX.days} days, not {expires}")
        url = f"{self._connection.login().url}/{quoted(self._connection.container)}/{quoted(key)}"
        until = int(time.time() + expires.total_seconds())
        signed = f"GET\n{until}\n{unquote(urlsplit(url).path)}".encode()
        digest = self._settings.link_digest
        made = hmac.new((self._connection.access.link_key or "").encode(), signed, getattr(hashlib, digest))
        # Only the longest has to be written so; old services know no other way than the first.
        long = f"sha512:{urlsafe_b64encode(made.digest()).decode()}"
        signature = long if digest == "sha512" else made.hexdigest()
        self._connection.check_host(url)
        return f"{url}?temp_url_sig={signature}&temp_url_expires={until}"

    def retain(self, key: str, *, until: datetime) -> None:
        """See `Store.retain`."""
        self._check_name(key)
        check_until(until)
        self._need(Feature.RETENTION, key)

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
        return Listing(self._connection, self.capabilities[Feature.ORDERED_LIST])

    def _put(
        self,
        key: str,
        body: Bytes | Source,
        *,
        size: int,
        headers: Mapping[str, str],
        new: bool = False,
        again: bool = False,
    ) -> str | None:
        """Send a body, and return its ETag. `new`: only where there is no object, else AlreadyExists."""
        in_memory = isinstance(body, IN_MEMORY)
        sent = Outgoing(body, size=size)

        def anew() -> Outgoing:
            nonlocal sent
            sent = Outgoing(body, size=size)
            return sent

        given = {**headers, "Content-Type": OCTETS, "Content-Length": str(size)}
        if new:
            given["If-None-Match"] = "*"
        if isinstance(body, IN_MEMORY):
            # Damage on the way is refused, instead of found out afterwards.
            given["Etag"] = md5(body)
        # A condition that is sent again may meet the object that the first sending made.
        repeatable = in_memory and (again or not new)
        call = Call("PUT", key, key, {}, given, anew, again=repeatable, once=not in_memory, conditional=new)
        try:
            _, told = self._connection.ask(call)
        except (StoreError, InvalidArgument):
            if sent.error is not None:
                raise sent.error from None
            raise
        return self._proof.check_put(key, sent, told, size=size)

    def _copy_whole(self, before: Found, destination: str) -> None:
        source = before.info
        origin = quoted(f"/{self._connection.container}/{source.key}")
        headers = {"X-Copy-From": origin, "Content-Length": "0"}
        if source.etag is not None:
            headers["If-Match"] = f'"{source.etag}"'
        call = Call("PUT", destination, source.key, {}, headers, also=NOT_FOUND | {FAILED})
        status, told = self._connection.ask(call)
        if status in NOT_FOUND:
            raise self._proof.missing(source.key)
        if status == FAILED:
            raise self._proof.broken(source.key, "it was replaced while it was being copied")
        if not before.large and etag_of(told) not in {source.etag, None}:
            raise self._proof.broken(destination, "the store copied something else")

    def _copy_in_parts(self, before: Found, destination: str) -> ObjectInfo:
        """Copy what is longer than one object may be: segment by segment."""
        segments = Large(self._proof).segments(before.info.key)
        upload = uploading.start(self._proof, self._listing, destination, before.info.metadata)
        try:
            return upload.commit(upload.copy_segments(segments))
        except BaseException:
            upload.abort()
            raise

    def _check_name(self, key: str) -> None:
        check_name(key, limits=self.limits)

    def _metadata(self, metadata: Mapping[str, str], key: str) -> Mapping[str, str]:
        """Return the headers that hold metadata, checked."""
        if metadata:
            self._need(Feature.METADATA, key)
            check_metadata(metadata, limits=self.limits)
        return headers_of(metadata)

    def _need(self, feature: Feature, key: str | None = None) -> None:
        need(feature, self.capabilities, target=self.target, key=key)
