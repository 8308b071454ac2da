"""Uploads in parts, and the proof that the store holds what was sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sovbroker.errors import NotFound, SovbrokerError, StoreError, Unavailable
from sovbroker.ports import Bytes, ObjectInfo, Part, Source
from sovbroker_adapters.checks import check_number, check_parts
from sovbroker_adapters.s3.bodies import MD5, Outgoing
from sovbroker_adapters.s3.client import Answer, Connection
from sovbroker_adapters.s3.settings import Settings

__all__ = ["S3Upload", "Verification", "info_of"]

NO_CONTENT: Final = 204

PLAIN_ENCRYPTION: Final = frozenset({None, "", "AES256"})


def info_of(answer: Answer, key: str, *, size: int) -> ObjectInfo:
    """Return what an answer says of an object. Some services capitalise the names of metadata."""
    metadata = {str(name).lower(): str(value) for name, value in answer.get("Metadata", {}).items()}
    modified = answer.get("LastModified")
    return ObjectInfo(
        key,
        size,
        str(answer.get("ETag") or "").strip('"') or None,
        modified if isinstance(modified, datetime) else None,
        MappingProxyType(metadata),
    )


@dataclass(frozen=True, slots=True)
class Verification:
    """Compares what a store acknowledges with what was sent to it."""

    connection: Connection
    settings: Settings

    def outgoing(self, body: Bytes | Source, *, size: int) -> Outgoing:
        """Return one sending of a body."""
        return Outgoing(body, size=size, digested=self.settings.etags == "md5")

    def head(self, key: str) -> ObjectInfo:
        """Ask for an object's info. Raises NotFound, of the object or of the bucket."""
        return self.info(self.answer(key), key)

    def answer(self, key: str, version: str | None = None) -> Answer:
        """Ask for an object, or for one version of it, without its body. Raises as `head` does."""
        try:
            named = {"Key": key} if version is None else {"Key": key, "VersionId": version}
            return self.connection.ask("head_object", named, key=key)
        except NotFound as error:
            self.check_bucket(error)
            raise

    def info(self, answer: Answer, key: str) -> ObjectInfo:
        """Return what the answer to such a question says."""
        size = answer.get("ContentLength")
        if size is None or not answer.get("ETag"):
            raise self.broken(key, "the store did not say how long it is, or what")
        return info_of(answer, key, size=int(size))

    def check_removed(self, answer: Answer, key: str) -> None:
        """Raise Unavailable for an answer that says more than that something is removed: a portal's page says nothing.

        A service has no body to send then.
        """
        said: Answer = answer["ResponseMetadata"]
        length = str(said.get("HTTPHeaders", {}).get("content-length", "0"))
        if said["HTTPStatusCode"] != NO_CONTENT and length != "0":
            raise self.broken(key, "the store did not say that it is removed")

    def check_bucket(self, error: NotFound) -> None:
        """Raise NotFound of the bucket if it is missing: an answer without a body does not tell what was not found."""
        if error.key is None:
            raise error
        bucket = self.connection.bucket
        try:
            self.connection.ask("head_bucket")
        except NotFound as missing:
            raise NotFound(f"there is no bucket `{bucket}`", target=self.connection.target) from missing
        except StoreError:
            # The credentials may read objects and not ask for the bucket: then the first answer stands.
            return

    def check_put(self, key: str, sent: Outgoing, answer: Answer, *, size: int) -> str | None:
        """Return the ETag of a `put` that the store holds as it was sent. Raises Unavailable."""
        etag = str(answer.get("ETag") or "").strip('"').lower()
        if self._tells(answer, etag):
            if etag != sent.digest:
                raise self.broken(key, "what the store acknowledged is not what was sent")
            return etag
        info = self.head(key)
        if info.size != size:
            raise self.broken(key, f"the store holds {info.size} bytes of the {size} that were sent")
        return info.etag

    def part_told(self, key: str, sent: Outgoing, answer: Answer) -> bool:
        """Whether the answer to a part proves that it arrived. Raises Unavailable when it proves that it did not."""
        etag = str(answer.get("ETag") or "").strip('"').lower()
        if not self._tells(answer, etag):
            return False
        if etag != sent.digest:
            raise self.broken(key, "what the store acknowledged of a part is not what was sent")
        return True

    def broken(self, key: str, why: str) -> Unavailable:
        """Return the error of an object that is not what it should be."""
        return Unavailable(f"`{key}`: {why}", target=self.connection.target, key=key)

    def _tells(self, answer: Answer, etag: str) -> bool:
        """Whether the ETag is the MD5 of the body: not where the service encrypts with keys of a key service."""
        plain = answer.get("ServerSideEncryption") in PLAIN_ENCRYPTION
        return self.settings.etags == "md5" and plain and MD5.fullmatch(etag) is not None


@dataclass(frozen=True, slots=True)
class S3Upload:
    """An `Upload` to a bucket."""

    _connection: Connection
    _verification: Verification
    id: str
    key: str

    def part(self, number: int, body: Bytes) -> Part:
        """See `Upload.part`."""
        check_number(number, limits=self._verification.settings.limits)
        size = memoryview(body).nbytes
        sent = self._verification.outgoing(body, size=size)

        def params() -> Answer:
            nonlocal sent
            sent = self._verification.outgoing(body, size=size)
            return self._names | {"PartNumber": number, "Body": sent if size else b"", "ContentLength": size}

        answer = self._connection.ask("upload_part", params, key=self.key)
        etag = str(answer.get("ETag") or "").strip('"')
        if not self._verification.part_told(self.key, sent, answer):
            etag = self._check_listed(number, size)
        return Part(number, size, etag)

    def parts(self) -> Sequence[Part]:
        """See `Upload.parts`."""
        return tuple(self._list(after=0))

    def commit(self, parts: Sequence[Part]) -> ObjectInfo:
        """See `Upload.commit`."""
        ordered = check_parts(parts)
        named: Any = [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in ordered]
        size = sum(part.size for part in ordered)
        try:
            self._connection.ask(
                "complete_multipart_upload", self._names | {"MultipartUpload": {"Parts": named}}, key=self.key
            )
        except NotFound as error:
            # The answer to an earlier attempt may have been lost after the store had joined the parts.
            self._check_joined(ordered, size, error)
        info = self._verification.head(self.key)
        if info.size != size:
            raise self._verification.broken(
                self.key, f"the store joined {info.size} bytes of the {size} that were sent"
            )
        return info

    def abort(self) -> None:
        """See `Upload.abort`."""
        if not self.id.isascii():
            # No service gives such an id, and Swift's face has no word for "there is none".
            return
        try:
            answer = self._connection.ask("abort_multipart_upload", self._names, key=self.key)
            self._verification.check_removed(answer, self.key)
        except NotFound as error:
            if error.key is None:
                raise

    def copy_parts(self, source: str, *, size: int) -> Sequence[Part]:
        """Fill the parts from another object of the same bucket, as large as one part may be."""
        limits = self._verification.settings.limits
        origin = {"Bucket": self._connection.bucket, "Key": source}
        step = min(limits.part_max, limits.put_max)
        copied: list[Part] = []
        for number, start in enumerate(range(0, size, step), start=1):
            end = min(start + step, size)
            span = f"bytes={start}-{end - 1}"
            named = {"PartNumber": number, "CopySource": origin, "CopySourceRange": span}
            answer = self._connection.ask("upload_part_copy", self._names | named, key=source)
            etag = str(answer.get("CopyPartResult", {}).get("ETag") or "").strip('"')
            copied.append(Part(number, end - start, etag))
        return copied

    @property
    def _names(self) -> dict[str, Any]:
        return {"Key": self.key, "UploadId": self.id}

    def _list(self, *, after: int, most: int = 1000) -> Iterator[Part]:
        marker = after
        while True:
            asked = {"PartNumberMarker": marker, "MaxParts": most}
            answer = self._connection.ask("list_parts", self._names | asked, key=self.key)
            # As in listings of uploads.
            if not answer.keys() & {"IsTruncated", "UploadId"}:
                raise self._verification.broken(self.key, "the store answered something that is no list of parts")
            for entry in answer.get("Parts", ()):
                number, size = entry.get("PartNumber"), entry.get("Size")
                if number is None or size is None:
                    raise self._verification.broken(self.key, "the store listed a part without number or size")
                yield Part(number, size, entry.get("ETag", "").strip('"'))
                marker = max(marker, number)
            if not answer.get("IsTruncated", False):
                return
            if marker <= after:
                raise self._verification.broken(self.key, "the store's list of parts does not end")
            after = marker

    def _check_listed(self, number: int, size: int) -> str:
        """Return the ETag of a part that the store lists with the right size."""
        for part in self._list(after=number - 1):
            if part.number == number and part.size == size:
                return part.etag
            if part.number >= number:
                break
        raise self._verification.broken(self.key, f"the store does not hold part {number} as it was sent")

    def _check_joined(self, ordered: Sequence[Part], size: int, error: NotFound) -> None:
        """Raise `error` unless the object is just what joining these parts makes."""
        digests = b"".join(bytes.fromhex(part.etag) for part in ordered if MD5.fullmatch(part.etag))
        expected = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(ordered)}"
        try:
            info = self._verification.head(self.key)
        except SovbrokerError:
            raise error from None
        if info.etag != expected or info.size != size:
            raise error
