"""One faked cloud: a store in memory that behaves as its provider's settings say, and keeps everything that it saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Self, TypeVar, cast

from sovbroker.catalogue import load
from sovbroker.catalogue.facts import Target
from sovbroker.errors import InvalidArgument, NotSupported, StoreError, Unavailable
from sovbroker.forks import ForkLock
from sovbroker.ports import (
    NO_METADATA,
    Binding,
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
from sovbroker.router import find_adapter
from sovbroker.testing.faking.manners import Manners, Settings
from sovbroker.testing.faking.seen import Seen, check_operation

__all__ = ["Failure", "FakeCloud"]

IN_MEMORY: Final = (bytes, bytearray, memoryview)
NO_SETTINGS: Final[Settings] = {}
PIECE: Final = 1 << 20

T = TypeVar("T")
Failure = StoreError | type[StoreError]
"""What a faked cloud is to fail with: an error, or a kind of error."""


class Heard:
    """A source that keeps what is read from it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.data = bytearray()

    def read(self, size: int = -1, /) -> bytes:
        """See `Source.read`."""
        data = self._source.read(size)
        self.data += data
        return data


@dataclass(slots=True)
class Fault:
    """A failure that was ordered; `left` is how often it is still to come, None for always."""

    operation: str
    error: Failure
    left: int | None


class FakeCloud:
    """A `Store` in memory in the place of one target, `where`; `saw` is what its provider saw, in order.

    It offers what the provider offers and refuses what the provider refuses, as far as the settings of its adapter
    tell; `presign` it never offers, because there is no server. Safe for threads; a forked child has a copy of its own.
    """

    def __init__(self, where: Target, *, adapter: str = "s3", settings: Settings = NO_SETTINGS) -> None:
        self.where = where
        self.saw: list[Seen] = []
        self._manners = Manners(where.id, adapter=adapter, settings=settings)
        # The adapter for memory takes no limits from a binding, its store does.
        make = cast("Callable[..., Store]", type(find_adapter("memory")(Binding(where.id, ""))))
        self._inner = make(where.id, limits=self._manners.limits)
        self._faults: list[Fault] = []
        self._lock = ForkLock()

    @classmethod
    def at(cls, reference: str) -> Self:
        """Fake one target of the shipped catalogue, such as `ovhcloud/gra`. Raises ConfigError for an unknown one."""
        catalogue = load()
        connection = catalogue.connection(reference)
        return cls(catalogue.target(reference), adapter=connection.adapter or "", settings=connection.settings)

    def fail(self, operation: str = "put", *, error: Failure = Unavailable, times: int | None = 1) -> None:
        """Let the next `times` requests of an operation fail, each after the provider saw it; None: until `mend`.

        `operation` is one of `OPERATIONS`, or `any`. Raises InvalidArgument for another.
        """
        check_operation(operation)
        with self._lock:
            self._faults.append(Fault(operation, error, times))

    def mend(self) -> None:
        """Let nothing fail any more."""
        with self._lock:
            self._faults.clear()

    @property
    def target(self) -> str:
        """See `Store.target`."""
        return self.where.id

    @property
    def capabilities(self) -> Mapping[Feature, Support]:
        """See `Store.capabilities`."""
        return self._manners.capabilities

    @property
    def limits(self) -> Limits:
        """See `Store.limits`."""
        return self._manners.limits

    def head(self, key: str) -> ObjectInfo:
        """See `Store.head`."""
        self._manners.check_key(key)
        return self.ask(Seen(self.target, "head", key), lambda: self._inner.head(key))

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> Reader:  # noqa: A002 - the port's word
        """See `Store.get`."""
        self._manners.check_key(key)
        if range is not None:
            self._manners.need(Feature.RANGE, key)
        return self.ask(Seen(self.target, "get", key), lambda: self._inner.get(key, range=range))

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
        self._manners.check_key(key)
        self._manners.check_size(size)
        if metadata:
            self._manners.need(Feature.METADATA, key)
        if if_absent:
            self._manners.need(Feature.CONDITIONAL_PUT, key)
        given = body if isinstance(body, IN_MEMORY) else Heard(body)
        return self.ask(
            Seen(self.target, "put", key, dict(metadata)),
            lambda: self._inner.put(key, given, size=size, metadata=metadata, if_absent=if_absent),
            body=given,
        )

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        self._manners.check_key(key)
        self.ask(Seen(self.target, "delete", key), lambda: self._inner.delete(key))

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`."""
        for key in keys:
            self._manners.check_key(key)
        failures: dict[str, StoreError] = {}
        for key in keys:
            try:
                self.delete(key)
            except StoreError as error:
                failures[key] = error
        return failures

    def list(self, prefix: str = "", *, delimiter: str | None = None, start_after: str = "") -> Iterator[Page]:
        """See `Store.list`."""
        if delimiter:
            self._manners.need(Feature.DELIMITER)
        if start_after:
            self._manners.need(Feature.ORDERED_LIST)
        return self.ask(
            Seen(self.target, "list", prefix),
            lambda: self._inner.list(prefix, delimiter=delimiter, start_after=start_after),
        )

    def copy(self, source: str, destination: str) -> ObjectInfo:
        """See `Store.copy`."""
        self._manners.check_key(source)
        self._manners.check_key(destination)
        self._manners.need(Feature.COPY, source)
        return self.ask(Seen(self.target, "copy", destination), lambda: self._inner.copy(source, destination))

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """See `Store.set_metadata`."""
        self._manners.check_key(key)
        self._manners.need(Feature.SET_METADATA, key)
        self._manners.need(Feature.METADATA, key)
        return self.ask(
            Seen(self.target, "set_metadata", key, dict(metadata)),
            lambda: self._inner.set_metadata(key, metadata=metadata),
        )

    def multipart(self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None) -> Upload:
        """See `Store.multipart`."""
        self._manners.check_key(key)
        self._manners.need(Feature.MULTIPART, key)
        if upload_id is not None:
            return FakeUpload(self, self._inner.multipart(key, upload_id=upload_id), self._manners)
        if metadata:
            self._manners.need(Feature.METADATA, key)
        upload = self.ask(
            Seen(self.target, "multipart", key, dict(metadata)), lambda: self._inner.multipart(key, metadata=metadata)
        )
        return FakeUpload(self, upload, self._manners)

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:
        """See `Store.uploads`."""
        self._manners.need(Feature.MULTIPART)
        return self.ask(Seen(self.target, "uploads", prefix), lambda: self._inner.uploads(prefix))

    def presign(self, key: str, *, expires: timedelta) -> str:  # noqa: ARG002 - the port's signature
        """Raise NotSupported: there is no server that a link could lead to."""
        raise NotSupported("a faked cloud has no links to hand out; read the object", target=self.target, key=key)

    def retain(self, key: str, *, until: datetime) -> None:
        """See `Store.retain`."""
        self._manners.check_key(key)
        self._manners.need(Feature.RETENTION, key)
        self.ask(Seen(self.target, "retain", key), lambda: self._inner.retain(key, until=until))

    def inspect(self) -> Inspection:
        """See `Store.inspect`. The region is the target's own."""
        found = self.ask(Seen(self.target, "inspect", ""), self._inner.inspect)
        locks = self.capabilities[Feature.RETENTION].usable
        return replace(found, region=self.where.region or None, locks=locks)

    def close(self) -> None:
        """See `Store.close`. What was stored stays: another broker may open the same cloud."""

    @property
    def held(self) -> Store:
        """The bare memory behind it: looking there is no request, and nothing is recorded."""
        return self._inner

    def ask(self, request: Seen, call: Callable[[], T], *, body: Bytes | Heard = b"") -> T:
        """Make a request, record it with the body that was sent, and return the answer.

        What is wrong with a call is found before anything is sent, so that InvalidArgument leaves no record, unless
        something of the body had been read.
        """
        failed, reached = "", True
        try:
            self._fail(request, body)
            return call()
        except BaseException as error:
            failed = str(error) or type(error).__name__
            reached = not isinstance(error, InvalidArgument) or bool(isinstance(body, Heard) and body.data)
            raise
        finally:
            if reached:
                sent = bytes(body.data if isinstance(body, Heard) else body)
                self.saw.append(replace(request, body=sent, failed=failed))

    def _fail(self, request: Seen, body: Bytes | Heard) -> None:
        """Raise the failure that was ordered for a request, after its body was sent."""
        with self._lock:
            fault = next((f for f in self._faults if f.operation in {request.operation, "any"}), None)
            if fault is None:
                return
            if fault.left is not None:
                fault.left -= 1
                if fault.left <= 0:
                    self._faults.remove(fault)
        if isinstance(body, Heard):
            while body.read(PIECE):
                continue
        if isinstance(fault.error, StoreError):
            raise fault.error
        raise fault.error(f"`{request.operation}` fails, as the test ordered", target=self.target, key=request.key)


@dataclass(frozen=True, slots=True)
class FakeUpload:
    """An `Upload` at a faked cloud."""

    _cloud: FakeCloud
    _inner: Upload
    _manners: Manners = field(repr=False)

    @property
    def id(self) -> str:
        """See `Upload.id`."""
        return self._inner.id

    @property
    def key(self) -> str:
        """See `Upload.key`."""
        return self._inner.key

    def part(self, number: int, body: Bytes) -> Part:
        """See `Upload.part`."""
        self._manners.check_size(memoryview(body).nbytes, part=True)
        return self._cloud.ask(self._seen("part", number), lambda: self._inner.part(number, body), body=body)

    def parts(self) -> Sequence[Part]:
        """See `Upload.parts`."""
        return self._inner.parts()

    def commit(self, parts: Sequence[Part]) -> ObjectInfo:
        """See `Upload.commit`."""
        self._manners.check_parts(list(parts))
        return self._cloud.ask(self._seen("commit"), lambda: self._inner.commit(parts))

    def abort(self) -> None:
        """See `Upload.abort`."""
        self._cloud.ask(self._seen("abort"), self._inner.abort)

    def _seen(self, operation: str, part: int = 0) -> Seen:
        return Seen(self._cloud.target, operation, self.key, part=part, upload=self.id)
