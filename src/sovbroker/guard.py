"""The guard next to the network: a store that lets through only what its permit allows.

No code path obtains a store that is not guarded (`router` assembles them). The guard knows no keys; it looks at what is
about to leave. Towards a target that may hold ciphertext only, a body must be an envelope: the head that its record
announces, the lengths that the format allows, and bytes that look random. The record stands in the metadata that come
with the body; where a store has none, in the sidecar that the same guard has let through before.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Final

from sovbroker.envelope import CHUNK, HEAD, TAG, Record, SealingReader, plain_size, read_sidecar
from sovbroker.errors import NotSupported, SealError, StoreError
from sovbroker.ports import (
    NO_METADATA,
    Bytes,
    Feature,
    Inspection,
    Limits,
    ObjectInfo,
    Page,
    Part,
    Reader,
    Source,
    Store,
    Support,
    Upload,
    UploadInfo,
)

__all__ = ["Guarded", "Permit"]

UNIT: Final = CHUNK + TAG
SAMPLE: Final = 4096
SAMPLE_LEAST: Final = 64
SAMPLE_SURE: Final = 1024
VALUES: Final = 256
BLOCK: Final = 1 << 20
SIDECAR: Final = "~"
"""What stands behind a body's name in that of its sidecar."""

NOTHING: Final[Mapping[Feature, Support]] = MappingProxyType({})
ENCRYPTED_NAME: Final = re.compile(r"(?:[0-9a-v]{28,}/)*[0-9a-v]{28,}@[0-9a-v]+~?")
"""What `names` makes of a key: each segment has 17 bytes at least, in base32hex; then the version."""


class Permit(Enum):
    """What may leave through a guarded store."""

    READ = "read"
    """Nothing: read, list and remove only."""
    SEALED = "sealed"
    """Envelopes."""
    HIDDEN = "hidden"
    """Envelopes, under encrypted names."""
    CLEAR = "clear"
    """Anything: a decision has allowed plaintext at this target."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A `Store` that holds `inner` and refuses, before a byte leaves, what `permit` does not allow: SealError.

    Of a stream, before the block leaves in which something is wrong; the store then keeps nothing of it. `_announced`
    are the heads of envelopes, by name, whose sidecars went through, and whose bodies did not yet. `found` is what a
    probe found the service to offer where that is less than the adapter declares: NotSupported.
    """

    inner: Store
    permit: Permit
    found: Mapping[Feature, Support] = field(default_factory=lambda: NOTHING)
    _announced: dict[str, bytes] = field(default_factory=dict[str, bytes], init=False, repr=False, compare=False)

    @property
    def target(self) -> str:
        """See `Store.target`."""
        return self.inner.target

    @property
    def capabilities(self) -> Mapping[Feature, Support]:
        """See `Store.capabilities`."""
        declared = self.inner.capabilities
        return MappingProxyType({**declared, **self.found}) if self.found else declared

    @property
    def limits(self) -> Limits:
        """See `Store.limits`."""
        return self.inner.limits

    def head(self, key: str) -> ObjectInfo:
        """See `Store.head`."""
        return self.inner.head(key)

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> Reader:  # noqa: A002 - the port's word
        """See `Store.get`."""
        if range is not None:
            self._need(Feature.RANGE, key)
        return self.inner.get(key, range=range)

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
            self._need(Feature.METADATA, key)
        if if_absent:
            self._need(Feature.CONDITIONAL_PUT, key)
        if self.permit is Permit.CLEAR:
            return self.inner.put(key, body, size=size, metadata=metadata, if_absent=if_absent)
        if key.endswith(SIDECAR) and not metadata:
            announced = self._check_sidecar(body, size)
            info = self.inner.put(key, body, size=size, if_absent=if_absent)
            if announced is not None:
                self._announced[key.removesuffix(SIDECAR)] = announced
            return info
        checked = self._check_body(body, size, self._head_of(key, metadata))
        info = self.inner.put(key, checked, size=size, metadata=metadata, if_absent=if_absent)
        self._announced.pop(key, None)
        return info

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        self.inner.delete(key)

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`."""
        return self.inner.delete_many(keys)

    def list(self, prefix: str = "", *, delimiter: str | None = None, start_after: str = "") -> Iterator[Page]:
        """See `Store.list`."""
        if delimiter:
            self._need(Feature.DELIMITER)
        if start_after:
            self._need(Feature.ORDERED_LIST)
        return self.inner.list(prefix, delimiter=delimiter, start_after=start_after)

    def copy(self, source: str, destination: str) -> ObjectInfo:
        """See `Store.copy`."""
        self._check_name(destination)
        self._need(Feature.COPY, source)
        return self.inner.copy(source, destination)

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """See `Store.set_metadata`. A write: of an envelope's metadata nothing but a record is let through."""
        self._check_name(key)
        self._need(Feature.SET_METADATA, key)
        self._need(Feature.METADATA, key)
        if self.permit is not Permit.CLEAR:
            self._head_of(key, metadata)
        return self.inner.set_metadata(key, metadata=metadata)

    def multipart(self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None) -> Upload:
        """See `Store.multipart`. A sealed upload cannot be opened again to send parts, only to abort it."""
        if upload_id is not None:
            # What is unfinished can be aborted, whatever a probe has found since.
            upload = self.inner.multipart(key, upload_id=upload_id)
            return upload if self.permit is Permit.CLEAR else GuardedUpload(upload, head=None, target=self.target)
        self._check_name(key)
        self._need(Feature.MULTIPART, key)
        if metadata:
            self._need(Feature.METADATA, key)
        if self.permit is Permit.CLEAR:
            return self.inner.multipart(key, metadata=metadata)
        head = self._head_of(key, metadata)
        return GuardedUpload(self.inner.multipart(key, metadata=metadata), head=head, target=self.target)

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:
        """See `Store.uploads`."""
        return self.inner.uploads(prefix)

    def presign(self, key: str, *, expires: timedelta) -> str:
        """See `Store.presign`. Only for what lies in the clear: a link to ciphertext helps nobody."""
        if self.permit is not Permit.CLEAR:
            raise _refused(self.target, "a link would hand out ciphertext")
        self._need(Feature.PRESIGN, key)
        return self.inner.presign(key, expires=expires)

    def retain(self, key: str, *, until: datetime) -> None:
        """See `Store.retain`. A write: it needs a decision, as every write does."""
        self._check_name(key)
        self._need(Feature.RETENTION, key)
        self.inner.retain(key, until=until)

    def inspect(self) -> Inspection:
        """See `Store.inspect`."""
        return self.inner.inspect()

    def close(self) -> None:
        """See `Store.close`."""
        self.inner.close()

    def _need(self, feature: Feature, key: str | None = None) -> None:
        found = self.found.get(feature)
        if found is not None and not found.usable:
            message = f"a probe found `{feature}` to be {found} at this store; `sovbroker targets probe` looks again"
            raise NotSupported(message, target=self.target, key=key)

    def _check_name(self, key: str) -> None:
        if self.permit is Permit.READ:
            raise _refused(self.target, "no decision allows a write here")
        if self.permit is Permit.HIDDEN and ENCRYPTED_NAME.fullmatch(key) is None:
            raise _refused(self.target, "the policy hides names here, and this one is not encrypted")

    def _head_of(self, key: str, metadata: Mapping[str, str]) -> bytes:
        """Return the head of the envelope that the metadata announce, or the sidecar where there are none."""
        if not self.capabilities[Feature.METADATA].usable and not metadata:
            if key not in self._announced:
                raise _refused(self.target, "no sidecar has announced this envelope")
            return self._announced[key]
        if set(metadata) != {Record.NAME}:
            raise _refused(self.target, f"only `{Record.NAME}` may stand in the metadata of a sealed object")
        try:
            record = Record.decode(metadata[Record.NAME])
        except SealError as error:
            raise _refused(self.target, "the metadata hold no record of an envelope") from error
        _check_random(self.target, memoryview(record.metadata))
        return record.head

    def _check_sidecar(self, body: Bytes | Source, size: int) -> bytes | None:
        """Return the head that a sidecar announces; None where it only goes with metadata, which announce it."""
        if not isinstance(body, (bytes, bytearray, memoryview)) or memoryview(body).nbytes != size:
            raise _refused(self.target, "the sidecar is not as long as was announced")
        try:
            if self.capabilities[Feature.METADATA].usable:
                _check_random(self.target, memoryview(Record.check_sidecar(body)))
                return None
            record = read_sidecar(body)
        except SealError as error:
            raise _refused(self.target, "this is no sidecar of an envelope") from error
        if not isinstance(record, Record):
            raise _refused(self.target, "the sidecar is that of a copy in the clear")
        _check_random(self.target, memoryview(record.metadata))
        return record.head

    def _check_body(self, body: Bytes | Source, size: int, head: bytes) -> Bytes | Source:
        """Return the body as it may be sent: a stream is looked at while it is read."""
        try:
            plain_size(size)
        except SealError as error:
            raise _refused(self.target, f"no envelope is {size} bytes long") from error
        if isinstance(body, SealingReader):
            if body.head != head:
                raise _refused(self.target, "the body is not the envelope that its record announces")
            return body
        if not isinstance(body, (bytes, bytearray, memoryview)):
            return GuardedSource(body, head=head, target=self.target)
        view = memoryview(body).cast("B")
        if len(view) != size or bytes(view[:HEAD]) != head:
            raise _refused(self.target, "the body is not the envelope that its record announces")
        _check_random(self.target, view[HEAD:])
        return body


class GuardedSource:
    """A `Source` whose bytes must be the envelope with `head`. Each block is looked at before any of it is given out.

    Memory: a block of 1 MiB.
    """

    def __init__(self, inner: Source, *, head: bytes, target: str) -> None:
        self._inner = inner
        self._head: bytes | None = head
        self._target = target
        self._ready = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        """See `Source.read`."""
        if size < 0:
            return b"".join(iter(lambda: self.read(BLOCK), b""))
        if not self._ready and size:
            self._ready = memoryview(self._block())
        data, self._ready = bytes(self._ready[:size]), self._ready[size:]
        return data

    def _block(self) -> bytes:
        """Return the next block, long enough to be judged by, however little the source gives at a time."""
        block = self._inner.read(BLOCK)
        while 0 < len(block) < HEAD + SAMPLE and (more := self._inner.read(BLOCK)):
            block += more
        head, self._head = self._head, None
        if head is None:
            _check_random(self._target, memoryview(block))
            return block
        if block[:HEAD] != head:
            raise _refused(self._target, "the body is not the envelope that its record announces")
        _check_random(self._target, memoryview(block)[HEAD:])
        return block


@dataclass(slots=True)
class GuardedUpload:
    """An `Upload` whose parts must be pieces of one envelope."""

    inner: Upload
    head: bytes | None
    target: str
    _odd: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def id(self) -> str:
        """See `Upload.id`."""
        return self.inner.id

    @property
    def key(self) -> str:
        """See `Upload.key`."""
        return self.inner.key

    def part(self, number: int, body: Bytes) -> Part:
        """See `Upload.part`."""
        view = memoryview(body).cast("B")
        first = number == 1
        if self.head is None:
            raise _refused(self.target, "a sealed upload cannot be continued without its sealer")
        if first and bytes(view[:HEAD]) != self.head:
            raise _refused(self.target, "the first part does not begin with the head that its record announces")
        sealed = view[HEAD:] if first else view
        rest = len(sealed) % UNIT
        if rest:
            with self._lock:
                if rest < TAG or self._odd not in {0, number}:
                    raise _refused(self.target, f"part {number} is not made of sealed chunks")
                self._odd = number
        _check_random(self.target, sealed)
        return self.inner.part(number, body)

    def parts(self) -> Sequence[Part]:
        """See `Upload.parts`."""
        return self.inner.parts()

    def commit(self, parts: Sequence[Part]) -> ObjectInfo:
        """See `Upload.commit`."""
        return self.inner.commit(parts)

    def abort(self) -> None:
        """See `Upload.abort`."""
        self.inner.abort()


def _check_random(target: str, sealed: memoryview) -> None:
    """Refuse what does not look like ciphertext: text, markup and the like use far fewer byte values than chance does.

    The share asked for is so low that chance misses it less than once in 10^9 times, and less the longer the sample.
    """
    size = min(len(sealed), SAMPLE)
    if size < SAMPLE_LEAST:
        return
    by_chance = VALUES * (1 - (1 - 1 / VALUES) ** size)
    share = 0.9 if size >= SAMPLE_SURE else 0.6
    # Bytes are iterated faster than a view.
    if len(set(bytes(sealed[:size]))) < share * by_chance:
        raise _refused(target, "the body does not look encrypted")


def _refused(target: str, why: str) -> SealError:
    return SealError(f"{target}: nothing was sent: {why}")
