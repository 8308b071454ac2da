"""Uploads in parts: segments beside the object, and a mark that says whose they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from sovbroker.errors import InvalidArgument, NotFound, StoreError
from sovbroker.ports import Bytes, ObjectInfo, Part, UploadInfo
from sovbroker_adapters.checks import check_number, check_parts
from sovbroker_adapters.swift.answers import record
from sovbroker_adapters.swift.bodies import Outgoing, etag_of, md5
from sovbroker_adapters.swift.calls import Call
from sovbroker_adapters.swift.large import OCTETS, Large, Segment
from sovbroker_adapters.swift.listing import Listing
from sovbroker_adapters.swift.metadata import headers_of
from sovbroker_adapters.swift.names import MARKS, SEGMENTS, quoted
from sovbroker_adapters.swift.proof import NEWEST, NOT_FOUND, Proof

__all__ = ["SwiftUpload", "start", "unfinished"]

ID: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Mark:
    """What is known of an unfinished upload. `key` is empty where the mark was damaged."""

    key: str
    metadata: Mapping[str, str]

    @classmethod
    def of(cls, held: object) -> Mark:
        """Return what a mark's body says."""
        key, metadata = record(held).get("key"), record(record(held).get("metadata"))
        return cls(key, {name: str(value) for name, value in metadata.items()}) if isinstance(key, str) else cls("", {})


def start(proof: Proof, listing: Listing, key: str, metadata: Mapping[str, str]) -> SwiftUpload:
    """Begin an upload: put its mark."""
    upload = SwiftUpload(proof, listing, uuid4().hex, key)
    headers_of(metadata)
    body = json.dumps({"key": key, "metadata": dict(metadata)}).encode()
    headers = {"Content-Type": OCTETS, "Etag": md5(body)}
    proof.connection.ask(Call("PUT", MARKS + upload.id, headers=headers, body=lambda: body))
    return upload


def unfinished(proof: Proof, listing: Listing, prefix: str) -> Iterator[UploadInfo]:
    """Yield the uploads of keys that begin with `prefix`. One request for each unfinished upload of the container."""
    for info in listing.own(MARKS):
        upload_id = info.key.removeprefix(MARKS)
        mark = _mark(proof, upload_id)
        if mark is not None and mark.key and mark.key.startswith(prefix):
            yield UploadInfo(mark.key, upload_id)


def _mark(proof: Proof, upload_id: str) -> Mark | None:
    if ID.fullmatch(upload_id) is None:
        return None
    held = proof.connection.load(Call("GET", MARKS + upload_id, headers=NEWEST, also=NOT_FOUND))
    return None if held is None else Mark.of(held)


@dataclass(frozen=True, slots=True)
class SwiftUpload:
    """An `Upload` to a container. The name of a segment holds the id of its upload and its number."""

    _proof: Proof
    _listing: Listing
    id: str
    key: str

    def part(self, number: int, body: Bytes) -> Part:
        """See `Upload.part`."""
        check_number(number, limits=self._proof.limits)
        size = memoryview(body).nbytes
        if size > self._proof.limits.part_max:
            raise InvalidArgument(f"a part of {size} bytes is more than one segment may hold here")
        self._marked()
        sent = Outgoing(body, size=size)

        def again() -> Outgoing:
            nonlocal sent
            sent = Outgoing(body, size=size)
            return sent

        headers = {"Content-Type": OCTETS, "Content-Length": str(size), "Etag": md5(body)}
        _, told = self._proof.connection.ask(Call("PUT", self._name(number), self.key, {}, headers, again))
        if etag_of(told) != sent.digest:
            raise self._proof.broken(self.key, "what the store acknowledged of a part is not what was sent")
        return Part(number, size, sent.digest)

    def parts(self) -> Sequence[Part]:
        """See `Upload.parts`. A part that was sent just now may be missing: the service's listings can lag behind."""
        self._marked()
        return tuple(Part(number, info.size, info.etag or "") for number, info in sorted(self._held().items()))

    def commit(self, parts: Sequence[Part]) -> ObjectInfo:
        """See `Upload.commit`."""
        ordered = check_parts(parts)
        mark = self._marked()
        large = Large(self._proof)
        # The service takes no empty segment.
        used = [part for part in ordered if part.size]
        names = {self._name(part.number) for part in used}
        replaced = large.replaced(self.key) - names
        if used:
            segments = [Segment(large.path(self._name(part.number)), part.size, part.etag) for part in used]
            large.join(self.key, segments, mark.metadata)
        else:
            self._put_nothing(mark.metadata)
        info = self._proof.head(self.key, newest=True).info
        size = sum(part.size for part in ordered)
        if info.size != size:
            raise self._proof.broken(self.key, f"the store joined {info.size} bytes of the {size} that were sent")
        # The object is there, whatever becomes of the rest; until the mark is gone, `abort` removes that.
        with suppress(StoreError):
            large.remove(replaced | {self._name(number) for number in self._held()} - names)
            self._unmark()
        return info

    def abort(self) -> None:
        """See `Upload.abort`. What a finished object consists of stays, even if its upload was not ended in order."""
        try:
            self._marked()
        except NotFound as error:
            if error.key is None:
                raise
            return
        large = Large(self._proof)
        kept = large.replaced(self.key)
        large.remove({self._name(number) for number in self._held()} - kept)
        self._unmark()
        # What came in while the mark was still there.
        large.remove({self._name(number) for number in self._held()} - kept)

    def copy_segments(self, segments: Sequence[Segment]) -> Sequence[Part]:
        """Fill the parts from other objects of the same account."""
        copied: list[Part] = []
        for number, segment in enumerate(segments, start=1):
            headers = {"X-Copy-From": quoted(segment.path), "Content-Length": "0", "If-Match": f'"{segment.etag}"'}
            _, told = self._proof.connection.ask(Call("PUT", self._name(number), self.key, {}, headers))
            if etag_of(told) != segment.etag:
                raise self._proof.broken(self.key, "a segment was not copied as it is")
            copied.append(Part(number, segment.size, segment.etag))
        return copied

    def _marked(self) -> Mark:
        """Return the upload's mark. Raises NotFound when it is finished, aborted, or never was."""
        mark = _mark(self._proof, self.id)
        if mark is not None and not mark.key:
            raise self._proof.broken(self.key, "the mark of its upload is none")
        if mark is None or mark.key != self.key:
            self._proof.check_container()
            message = f"there is no unfinished upload with this id of `{self.key}`"
            raise NotFound(message, target=self._proof.target, key=self.key)
        return mark

    def _unmark(self) -> None:
        self._proof.connection.ask(Call("DELETE", MARKS + self.id, also=NOT_FOUND))

    def _name(self, number: int) -> str:
        return f"{SEGMENTS}{self.id}/{number:05}"

    def _held(self) -> Mapping[int, ObjectInfo]:
        """Return the segments of this upload by number."""
        place = f"{SEGMENTS}{self.id}/"
        return {int(info.key.removeprefix(place)): info for info in self._listing.own(place)}

    def _put_nothing(self, metadata: Mapping[str, str]) -> None:
        headers = {**headers_of(metadata), "Content-Type": OCTETS, "Content-Length": "0", "Etag": md5(b"")}
        self._proof.connection.ask(Call("PUT", self.key, self.key, headers=headers))
