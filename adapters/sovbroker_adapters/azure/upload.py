"""Uploads in parts: blocks beside the blob, and a marker that says whose they are."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from sovbroker.errors import InvalidArgument, NotFound, StoreError
from sovbroker.ports import Bytes, ObjectInfo, Part, UploadInfo
from sovbroker_adapters.azure.bodies import Outgoing
from sovbroker_adapters.azure.listing import Listing
from sovbroker_adapters.azure.names import UPLOADS
from sovbroker_adapters.azure.proof import Proof
from sovbroker_adapters.checks import check_number, check_parts

if TYPE_CHECKING:
    from azure.storage.blob import BlobBlock, BlobClient

__all__ = ["AzureUpload", "start", "unfinished"]

ID: Final = re.compile(r"[0-9a-f]{32}")
# Metadata of a marker: the upload's key, and its metadata by name behind a letter, so that they do not meet.
KEY: Final = "key"
OWN: Final = "m"


def start(proof: Proof, key: str, metadata: Mapping[str, str]) -> AzureUpload:
    """Begin an upload: put its marker."""
    upload = AzureUpload(proof, uuid4().hex, key)
    marked = {KEY: base64.urlsafe_b64encode(key.encode()).decode()}
    marked |= {OWN + name: value for name, value in metadata.items()}
    proof.connection.blob(
        lambda blob: blob.upload_blob(b"", length=0, overwrite=True, metadata=marked), UPLOADS + upload.id
    )
    return upload


def unfinished(listing: Listing, prefix: str) -> Iterator[UploadInfo]:
    """Yield the uploads of keys that begin with `prefix`."""
    for marker in listing.markers():
        key, upload_id = _key_of(marker), marker.key.removeprefix(UPLOADS)
        if key is not None and key.startswith(prefix) and ID.fullmatch(upload_id):
            yield UploadInfo(key, upload_id)


def _key_of(marker: ObjectInfo) -> str | None:
    try:
        return base64.urlsafe_b64decode(marker.metadata.get(KEY, "")).decode() or None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class AzureUpload:
    """An `Upload` to a container. The id of a block holds the id of its upload and its number."""

    _proof: Proof
    id: str
    key: str

    def part(self, number: int, body: Bytes) -> Part:
        """See `Upload.part`."""
        check_number(number, limits=self._proof.limits)
        size = memoryview(body).nbytes
        if size > self._proof.limits.part_max:
            raise InvalidArgument(f"a part of {size} bytes is more than one block may hold here")
        self._marked()
        name = self._block(number)
        if not size:
            # The service takes no empty block; `commit` leaves it out.
            return Part(number, 0, name)
        sent = Outgoing(body, size=size)

        def stage(blob: BlobClient) -> Any:  # noqa: ANN401 - headers, as they came
            nonlocal sent
            sent = Outgoing(body, size=size)
            return blob.stage_block(name, b"", length=0, raw_request_hook=sent.attach)

        answer = self._proof.connection.blob(stage, self.key)
        told = answer.get("content_md5")
        if told is None:
            self._check_listed(number, size)
        elif bytes(told) != sent.digest:
            raise self._proof.broken(self.key, "what the store acknowledged of a part is not what was sent")
        return Part(number, size, name)

    def parts(self) -> Sequence[Part]:
        """See `Upload.parts`."""
        self._marked()
        return tuple(part for _, part in sorted(self._held("uncommitted").items()))

    def commit(self, parts: Sequence[Part]) -> ObjectInfo:
        """See `Upload.commit`."""
        ordered = check_parts(parts)
        metadata = self._marked()
        # The answer to an earlier attempt may have been lost after the blocks had been joined: so both kinds count.
        held = self._held("all")
        for part in ordered:
            if part.size and held.get(part.number) != part:
                message = f"the store does not hold part {part.number} of `{self.key}` as the receipt says"
                raise NotFound(message, target=self._proof.target, key=self.key)
        info = self._proof.join(
            self.key, [part.etag for part in ordered if part.size], metadata, size=sum(part.size for part in ordered)
        )
        # The object is there, whatever becomes of the marker.
        with suppress(StoreError):
            self._unmark()
        return info

    def abort(self) -> None:
        """See `Upload.abort`."""
        try:
            self._marked()
            self._unmark()
        except NotFound as error:
            if error.key is None:
                raise

    def _marked(self) -> Mapping[str, str]:
        """Return the upload's metadata. Raises NotFound when it is finished, aborted, or never was."""
        gone = f"there is no unfinished upload with this id of `{self.key}`"
        if ID.fullmatch(self.id) is None:
            raise NotFound(gone, target=self._proof.target, key=self.key)
        try:
            marker = self._proof.head(UPLOADS + self.id)
        except NotFound as error:
            if error.key is None:
                raise
            raise NotFound(gone, target=self._proof.target, key=self.key) from error
        if _key_of(marker) != self.key:
            raise NotFound(gone, target=self._proof.target, key=self.key)
        found = {name[len(OWN) :]: value for name, value in marker.metadata.items() if name.startswith(OWN)}
        return MappingProxyType(found)

    def _unmark(self) -> None:
        self._proof.connection.blob(lambda blob: blob.delete_blob(), UPLOADS + self.id)

    def _block(self, number: int) -> str:
        # All of one length, as the service wants it.
        return f"{self.id}-{number:05}"

    def _held(self, kind: str) -> Mapping[int, Part]:
        """Return the blocks of this upload by number."""
        try:
            joined, loose = self._proof.connection.blob(lambda blob: blob.get_block_list(kind), self.key)
        except NotFound as error:
            if error.key is None:
                raise
            return {}
        mine: dict[int, Part] = {}
        blocks: list[BlobBlock] = [*joined, *loose]
        for block in blocks:
            upload_id, _, number = block.id.partition("-")
            if upload_id == self.id:
                mine[int(number)] = Part(int(number), int(block.size), block.id)
        return mine

    def _check_listed(self, number: int, size: int) -> None:
        found = self._held("uncommitted").get(number)
        if found is None or found.size != size:
            raise self._proof.broken(self.key, f"the store does not hold part {number} as it was sent")
