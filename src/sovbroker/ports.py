"""The contracts that adapters fulfil.

Adapters import this module, `sovbroker.errors` and `sovbroker.labels`, and nothing else of sovbroker. What each method
promises is asserted by the conformance suite in `sovbroker.testing`: a declared capability by its behaviour, an
undeclared one by `NotSupported`.

Two promises hold for every method. A failure is an error of `sovbroker.errors` with the SDK's exception as its
`__cause__`; a "no" is never a return value. And every store may be used by several threads at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol, Self, runtime_checkable

from sovbroker.errors import StoreError, Unavailable

__all__ = [
    "AccessKey",
    "Accounts",
    "Adapter",
    "Binding",
    "Bytes",
    "Container",
    "Credentials",
    "Feature",
    "Inspection",
    "KeyAdapter",
    "KeyBinding",
    "KeyService",
    "Limits",
    "ObjectInfo",
    "Page",
    "Part",
    "Patience",
    "Probing",
    "Reader",
    "Source",
    "Store",
    "Support",
    "Upload",
    "UploadInfo",
    "User",
    "patience",
    "waiting",
]

Bytes = bytes | bytearray | memoryview
"""A body in memory."""

NO_METADATA: Mapping[str, str] = MappingProxyType({})


class Feature(StrEnum):
    """What a store may offer beyond plain head, get, put, delete and list."""

    CONDITIONAL_PUT = "conditional-put"
    RANGE = "range"
    METADATA = "metadata"
    SET_METADATA = "set-metadata"
    COPY = "copy"
    MULTIPART = "multipart"
    DELIMITER = "delimiter"
    ORDERED_LIST = "ordered-list"
    PRESIGN = "presign"
    RETENTION = "retention"


class Support(StrEnum):
    """How a store offers a feature. `UNSAFE`: it accepts the request and does not honour it, so the adapter refuses."""

    NATIVE = "native"
    EMULATED = "emulated"
    ABSENT = "absent"
    UNSAFE = "unsafe"

    @property
    def usable(self) -> bool:
        """Whether the behaviour is there to be relied on."""
        return self in {Support.NATIVE, Support.EMULATED}


@dataclass(frozen=True, slots=True)
class Limits:
    """A store's limits, in bytes (UTF-8 for keys) and counts.

    Every part but the last has `part_min` to `part_max` bytes; a single `put` takes up to `put_max`; `metadata_max`
    counts names and values together. `segment_max` is for each part of a key between slashes, where a store has a limit
    of its own for them, as one that keeps files.
    """

    key_max: int = 1024
    metadata_max: int = 2048
    put_max: int = 5 << 30
    part_min: int = 5 << 20
    part_max: int = 5 << 30
    parts_max: int = 10_000
    segment_max: int = 1 << 16


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store knows of one object. `etag` is opaque, without quotes; `metadata` names are lower case.

    `metadata` is empty in listings, where stores do not tell it.
    """

    key: str
    size: int
    etag: str | None = None
    modified: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing: `objects` and, where a delimiter was given, the common `prefixes`, each in key order."""

    objects: Sequence[ObjectInfo]
    prefixes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """The receipt of one uploaded part. `number` counts from 1, `size` is in bytes."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """An unfinished multipart upload that a store still holds."""

    key: str
    id: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a store tells of its container. None: it does not tell, or the credentials may not ask; so nothing is known.

    `clock` is the server's time when it answered, `skew` how far it is ahead of this machine. `region` is the one the
    provider names. `public`: somebody without credentials may read or list. `versioned`: what is removed or replaced
    stays as an older version. `locks`: objects can be retained. `encryption` is how it encrypts at rest, in its own
    words, "" when it does not. `removals` are the rules by which it removes objects by itself, a sentence each.
    """

    clock: datetime | None = None
    skew: timedelta | None = None
    region: str | None = None
    public: bool | None = None
    versioned: bool | None = None
    locks: bool | None = None
    encryption: str | None = None
    removals: tuple[str, ...] | None = None


class Source(Protocol):
    """Where a body is read from: a binary file. A short read is not the end, an empty one is."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; all of the rest for -1; b"" at the end."""
        ...


class Reader(Protocol):
    """The body of one `get`. `info.size` is the size of the whole object, also for a range.

    A body that ends before its announced length raises Unavailable; it is never passed off as a shorter object.
    """

    @property
    def info(self) -> ObjectInfo:
        """What the store said of the object in the same answer."""
        ...

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; all of the rest for -1; b"" at the end. Short reads may happen."""
        ...

    def close(self) -> None:
        """Give the connection back. May be called twice."""
        ...

    def __enter__(self) -> Self:
        """Return the reader itself."""
        ...

    def __exit__(self, *exc: object) -> None:
        """Close."""
        ...


class Upload(Protocol):
    """One multipart upload. Parts may be sent in any order, by several threads, and again: the last sending counts."""

    @property
    def id(self) -> str:
        """The id under which `Store.multipart` opens this upload again."""
        ...

    @property
    def key(self) -> str:
        """The key that the object will have."""
        ...

    def part(self, number: int, body: Bytes) -> Part:
        """Send part `number` (from 1). When it returns, the store holds just these bytes."""
        ...

    def parts(self) -> Sequence[Part]:
        """Return the parts that the store holds, by number."""
        ...

    def commit(self, parts: Sequence[Part]) -> ObjectInfo:
        """Join `parts`, by number, into the object. Until this returns there is no object under the key.

        The object's size is checked against the sum of the parts before this returns; a mismatch raises Unavailable.
        """
        ...

    def abort(self) -> None:
        """Drop the parts. Aborting twice, or what is gone already, succeeds."""
        ...


class Store(Protocol):
    """One bucket (container, folder) at one target.

    Keys are non-empty strings of at most `limits.key_max` bytes of UTF-8, and `limits.segment_max` in each part
    between slashes. A store treats them as opaque, except that it refuses those it cannot hold exactly
    (`InvalidArgument`) rather than change them.
    """

    @property
    def target(self) -> str:
        """The id of the target, as errors name it."""
        ...

    @property
    def capabilities(self) -> Mapping[Feature, Support]:
        """Every feature with how it is offered."""
        ...

    @property
    def limits(self) -> Limits:
        """The store's limits."""
        ...

    def head(self, key: str) -> ObjectInfo:
        """Return what is known of an object. Raises NotFound."""
        ...

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> Reader:  # noqa: A002 - HTTP's own word
        """Open an object's body, or the bytes `range` = (first, last), both inclusive, from 0.

        `last` may lie beyond the end and is cut; a `first` beyond the end raises InvalidArgument. One request.
        Raises NotFound.
        """
        ...

    def put(
        self,
        key: str,
        body: Bytes | Source,
        *,
        size: int,
        metadata: Mapping[str, str] = NO_METADATA,
        if_absent: bool = False,
    ) -> ObjectInfo:
        """Store `size` bytes under `key`, replacing what is there, all or nothing.

        Readers see the old object or the new one, never a part. A body that is shorter or longer than `size`, or that
        raises, changes nothing. What the store acknowledged is compared with what was sent (by digest or by size), so
        that a server that cut the body is found out: Unavailable. With `if_absent`, raises AlreadyExists when there is
        an object. Metadata names are lower-case letters and digits; values are printable ASCII.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object. Removing what is not there succeeds; a missing bucket does not."""
        ...

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """Remove many objects; return the failures by key, empty when all went well."""
        ...

    def list(self, prefix: str = "", *, delimiter: str | None = None, start_after: str = "") -> Iterator[Page]:
        """Yield pages of the objects under `prefix` whose keys sort after `start_after`, in byte order of keys.

        With `delimiter`, keys that hold it after the prefix are folded into `Page.prefixes`.
        """
        ...

    def copy(self, source: str, destination: str) -> ObjectInfo:
        """Copy within the store, with metadata, without the bytes passing through here. Raises NotFound."""
        ...

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """Replace an object's metadata, all of them, while its body stays where it is; return what is known of it now.

        Needs the features `SET_METADATA` and `METADATA`.
        Readers see the old metadata or the new ones. Where the service can compare, an object that is replaced
        meanwhile keeps the metadata that it came with, and an error is raised. Raises NotFound; and PermissionDenied
        for an object that is retained, where the service allows it only for those that are not.
        """
        ...

    def multipart(self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None) -> Upload:
        """Start an upload in parts, or open the unfinished one `upload_id` again (its metadata stays as it was)."""
        ...

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:
        """Yield the unfinished multipart uploads of keys that begin with `prefix`."""
        ...

    def presign(self, key: str, *, expires: timedelta) -> str:
        """Return a URL that reads the object without credentials until it expires."""
        ...

    def retain(self, key: str, *, until: datetime) -> None:
        """Let nobody remove or replace an object before `until` (aware, in the future); a retention is never shortened.

        Until then `delete` raises PermissionDenied and the object stays readable. Raises NotFound, InvalidArgument for
        a moment that is past or naive, and PermissionDenied for one before a longer retention's end.
        """
        ...

    def inspect(self) -> Inspection:
        """Ask what the container is like. Changes nothing; what cannot be found out is None, never a guess.

        Raises NotFound for a missing container, Unavailable and PermissionDenied where nothing at all was told.
        """
        ...

    def close(self) -> None:
        """Give connections back. May be called twice; a closed store may not be used."""
        ...


@runtime_checkable
class Probing(Protocol):
    """What a store may offer a probe beside its methods. None of it is used for anything else; see `sovbroker.probing`.

    A call that the service refuses or does not know raises as every method does.
    """

    def sub_resources(self) -> Mapping[str, Callable[[str], None]]:
        """Return, by its name, each call of the service that writes something *beside* an object: tags, rights.

        It is given the key of an object, and must leave that object's body as it is. Some services replace it.
        """
        ...

    def wrong_digests(self) -> Mapping[str, Callable[[str, bytes], None]]:
        """Return, by its name, each way to announce a body's digest, as a put of a key and a body with a wrong one.

        A service that looks refuses it; one that does not stores the body.
        """
        ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """Secrets of one target by name (`access_key`, `secret_key`, `session_token`, `profile`).

    Never printed, never pickled.
    """

    _values: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def get(self, name: str) -> str | None:
        """Return one secret, or None."""
        return self._values.get(name)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._values)

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("credentials cannot be pickled")


@dataclass(frozen=True, slots=True)
class Binding:
    """Everything that an adapter needs to open one target.

    `container` is the bucket, container or folder. `hosts` are the only host names (`host` or `host:port`) that the
    adapter may talk to. `settings` are the provider's preset from the catalogue, in the adapter's own words.

    `beside` is the same container as another adapter has opened it, for an adapter that does only a part of the work;
    it is closed with the store that has it.
    """

    target: str
    container: str
    endpoint: str | None = None
    region: str | None = None
    hosts: frozenset[str] = frozenset()
    credentials: Credentials = field(default_factory=Credentials)
    settings: Mapping[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])
    beside: Store | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How a store's caller waits for the call that it makes in this context.

    `deadline` is a time of `time.monotonic`: no request begins after it, none waits beyond it for the next byte, and no
    pause reaches it. `repeats`: the caller makes a call that raises Unavailable again by itself, with the same body, so
    that the adapter makes each request once.
    """

    deadline: float | None = None
    repeats: bool = False

    def left(self, most: float) -> float:
        """Return how many seconds a request may wait now, at most `most`. Raises Unavailable when the time is over."""
        if self.deadline is None:
            return most
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Unavailable("the deadline passed, and nothing more was asked of the store")
        return min(most, left)


ENDLESS: Final = Patience()
_patience: Final[ContextVar[Patience]] = ContextVar("sovbroker-patience")


def patience() -> Patience:
    """Return how the caller of this store waits. Outside of any `waiting`: without end, and it repeats nothing."""
    return _patience.get(ENDLESS)


@contextmanager
def waiting(*, deadline: float | None, repeats: bool) -> Generator[None]:
    """Wait so for every call of a store in this block, in this thread. Of two deadlines, the earlier one counts."""
    outer = patience()
    until = [moment for moment in (deadline, outer.deadline) if moment is not None]
    token = _patience.set(Patience(min(until, default=None), repeats or outer.repeats))
    try:
        yield
    finally:
        _patience.reset(token)


class Adapter(Protocol):
    """What an entry point of the group `sovbroker.adapters` names: a function that opens a store.

    It imports its SDK when called, and raises ConfigError that names the missing extra where it cannot. It makes no
    request: a wrong credential is found out by the first call.
    """

    def __call__(self, binding: Binding, /) -> Store:
        """Open the store of `binding`."""
        ...


@dataclass(frozen=True, slots=True)
class User:
    """Somebody at a provider who may hold keys for its storage. `status` is the provider's word, such as `ok`."""

    id: str
    name: str
    description: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a provider's storage, and the region that it is in."""

    name: str
    region: str


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A pair of keys for S3. The secret is never printed, never pickled."""

    access_key: str
    secret_key: str = field(repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a key cannot be pickled")


class Accounts(Protocol):
    """The account plane of a provider: one project of it, with its users and their keys for storage.

    An entry point of the group `sovbroker.accounts`, named as the catalogue names the provider, is a function that
    opens it for a `Binding`, whose container is the project. Every failure is an error of `sovbroker.errors`. Nothing
    that changes something is repeated here: whether it happened can be looked up.
    """

    def regions(self) -> Sequence[str]:
        """Return the regions of the project."""
        ...

    def containers(self) -> Sequence[Container]:
        """Return the containers of the project's S3 storage, in all regions."""
        ...

    def users(self) -> Sequence[User]:
        """Return the users of the project."""
        ...

    def create_user(self, description: str) -> User:
        """Make a user who may use the project's storage, and return it as soon as it can have keys."""
        ...

    def keys(self, user: str) -> Sequence[str]:
        """Return the access keys of a user, by the user's id. Raises NotFound."""
        ...

    def create_key(self, user: str) -> AccessKey:
        """Make a pair of keys for a user. Raises NotFound."""
        ...

    def delete_key(self, user: str, access_key: str) -> None:
        """Remove a pair of keys. Removing what is not there succeeds."""
        ...

    def close(self) -> None:
        """Give connections back. May be called twice."""
        ...


class KeyService(Protocol):
    """A key that never leaves its service, and the wrapping of domain keys under it.

    Where the service is, who controls it and how it is qualified are facts in the configuration, not here.
    """

    @property
    def name(self) -> str:
        """The name under which keyrings know this recipient; the same for as long as its key is."""
        ...

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """Return `secret` (up to 256 bytes) wrapped and bound to `context`. Raises KeyUnavailable."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return what `wrap` wrapped for the same `context`.

        Raises KeyUnavailable when the key is locked, destroyed, refused or out of reach, and Tampered when `wrapped`
        is damaged or belongs to another context.
        """
        ...

    def close(self) -> None:
        """Give connections and secrets back. May be called twice; a closed service may not be used."""
        ...


@dataclass(frozen=True, slots=True)
class KeyBinding:
    """Everything that an adapter needs to use one key of one key service.

    `name` is what keyrings know the recipient by, `key` what the service knows the key by: a name, an id, a label.
    `hosts` are the only hosts (`host` or `host:port`) that may be talked to. `settings` are in the adapter's own words.
    """

    name: str
    key: str
    endpoint: str | None = None
    region: str | None = None
    hosts: frozenset[str] = frozenset()
    credentials: Credentials = field(default_factory=Credentials)
    settings: Mapping[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])


class KeyAdapter(Protocol):
    """What an entry point of the group `sovbroker.key_services` names: a function that opens a key service.

    It imports its SDK when called, and raises ConfigError that names the missing extra where it cannot. It makes no
    request.
    """

    def __call__(self, binding: KeyBinding, /) -> KeyService:
        """Open the key service of `binding`."""
        ...
