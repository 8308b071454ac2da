"""Replacing the metadata of an object: by a copy onto itself, which is the only way that the interface has.

Such a copy is a new object to the service. What came with the old one is named again, what is retained is refused, and
where the bucket keeps versions the old one is removed: it would hold the old metadata, and all of the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sovbroker.ports import ObjectInfo
from sovbroker_adapters.checks import shows
from sovbroker_adapters.s3.bodies import MD5
from sovbroker_adapters.s3.client import Answer
from sovbroker_adapters.s3.removal import Removal
from sovbroker_adapters.s3.retention import Retention
from sovbroker_adapters.s3.upload import S3Upload, Verification

__all__ = ["Restating"]

KEPT: Final = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage")
USUAL: Final = "STANDARD"


@dataclass(frozen=True, slots=True)
class Restating:
    """Replaces the metadata of objects of one bucket."""

    verification: Verification
    removal: Removal

    def set_metadata(self, key: str, metadata: Mapping[str, str]) -> ObjectInfo:
        """See `Store.set_metadata`."""
        verification = self.verification
        answer = verification.answer(key)
        before = verification.info(answer, key)
        Retention(verification.connection, verification.settings).check_free(key, answer)
        given = _given(answer) | {"Metadata": dict(metadata)}
        if before.size > verification.settings.limits.put_max:
            self._in_parts(before, given)
        else:
            self._at_once(before, given)
        info = verification.head(key)
        if info.size != before.size:
            raise verification.broken(key, f"it has {info.size} bytes since the copy, and had {before.size}")
        if not shows(info.metadata, metadata, before=before.metadata):
            raise verification.broken(key, "the store does not show the metadata that it was given")
        self.removal.remove_older(key)
        return info

    def _at_once(self, before: ObjectInfo, given: Mapping[str, Any]) -> None:
        named: dict[str, Any] = {"Key": before.key, "CopySource": self._origin(before.key), **given}
        if before.etag is not None and MD5.fullmatch(before.etag):
            # What came in parts has another ETag, and not every service compares the one that it shows.
            named["CopySourceIfMatch"] = f'"{before.etag}"'
        self.verification.connection.ask("copy_object", named | {"MetadataDirective": "REPLACE"}, key=before.key)

    def _in_parts(self, before: ObjectInfo, given: Mapping[str, Any]) -> None:
        """Copy what is longer than one request copies. Until the parts are joined, the old object is there."""
        connection = self.verification.connection
        answer = connection.ask("create_multipart_upload", {"Key": before.key, **given}, key=before.key)
        started = answer.get("UploadId")
        if not started:
            raise self.verification.broken(before.key, "the store named no upload")
        upload = S3Upload(connection, self.verification, started, before.key)
        try:
            upload.commit(upload.copy_parts(before.key, size=before.size))
        except BaseException:
            upload.abort()
            raise

    def _origin(self, key: str) -> Mapping[str, str]:
        return {"Bucket": self.verification.connection.bucket, "Key": key}


def _given(answer: Answer) -> dict[str, Any]:
    """Return what a copy has to be told so that it is like its source: the service keeps none of it by itself."""
    given = {name: answer[name] for name in KEPT if answer.get(name)}
    if answer.get("StorageClass") not in {None, "", USUAL}:
        given["StorageClass"] = answer["StorageClass"]
    if answer.get("SSEKMSKeyId"):
        given |= {"ServerSideEncryption": answer["ServerSideEncryption"], "SSEKMSKeyId": answer["SSEKMSKeyId"]}
    return given
