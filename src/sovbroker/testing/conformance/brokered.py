"""A whole broker as a store: policy, placements, keys and sealing over one store, behind the methods of `Store`.

So the suites ask a broker what they ask an adapter. Whatever a broker offers is declared and tested; parts, links and
retention it does by itself, so they are declared absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Final, NoReturn, Protocol, Self, cast

from sovbroker.broker import KEY_MAX, Broker
from sovbroker.catalogue.facts import KeyHolder, Target
from sovbroker.errors import InvalidArgument, NotFound, NotSupported, SovbrokerError, StoreError
from sovbroker.keyrings import Keyrings, Service
from sovbroker.keys import Cost, Keyring, PassphraseService
from sovbroker.objects import Folder, Info, Stored
from sovbroker.opening import utc_now
from sovbroker.placements import SqliteIndex
from sovbroker.policy import Policy, loads
from sovbroker.ports import (
    NO_METADATA,
    Binding,
    Bytes,
    Feature,
    Inspection,
    Limits,
    ObjectInfo,
    Page,
    Reader,
    Source,
    Store,
    Support,
    Upload,
    UploadInfo,
)
from sovbroker.recipients import attested
from sovbroker.router import Place, Stores
from sovbroker.writing import METADATA_MAX, Data

__all__ = ["SUFFIX", "BrokeredStore", "Face", "Mode", "broker_over"]

POLICY: Final = """
sovbroker: 1
levels: [stored]
default: stored
zones: {{anywhere: {{}}}}
require:
  stored: {{store: {{anywhere: {{{terms}}}}}}}
"""
KEYS: Final = "suite"
PASSPHRASE: Final = "a passphrase that the suite made up"  # noqa: S105  # it opens what a test threw away
QUICK: Final = Cost(memory=8 << 10, passes=1, lanes=1)
SUFFIX: Final = len("@" + "0" * 24 + "~")
"""What a broker needs of a store's `key_max` beside the name: the version, and the mark of a sidecar."""

OFFERED: Final = MappingProxyType(
    {
        Feature.CONDITIONAL_PUT: Support.NATIVE,
        Feature.RANGE: Support.NATIVE,
        Feature.METADATA: Support.NATIVE,
        Feature.SET_METADATA: Support.ABSENT,
        Feature.COPY: Support.EMULATED,
        Feature.MULTIPART: Support.ABSENT,
        Feature.DELIMITER: Support.NATIVE,
        Feature.ORDERED_LIST: Support.EMULATED,
        Feature.PRESIGN: Support.ABSENT,
        Feature.RETENTION: Support.ABSENT,
    }
)
PAGE: Final = 1000


class Mode(Enum):
    """What the policy asks of every object."""

    CLEAR = ""
    SEALED = "encrypt: client"
    HIDDEN = "encrypt: client, names: encrypt"


class File(Protocol):
    """An open object, as `Broker.get` gives one."""

    info: Info

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


class Face(Protocol):
    """What the suites use of a broker: `Broker` has it, and `Awaited` gives it to an `AsyncBroker`."""

    def put(self, key: str, data: Data, *, metadata: Mapping[str, str] | None, if_absent: bool) -> Stored:
        """See `Broker.put`."""
        ...

    def copy(self, source: str, destination: str) -> Stored:
        """See `Broker.copy`."""
        ...

    def delete(self, key: str) -> None:
        """See `Broker.delete`."""
        ...

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, SovbrokerError]:
        """See `Broker.delete_many`."""
        ...

    def get(self, key: str) -> File:
        """See `Broker.get`."""
        ...

    def read(self, key: str, *, range: tuple[int, int] | None = None, version: str | None = None) -> bytes:  # noqa: A002 - HTTP's own word
        """See `Broker.read`."""
        ...

    def stat(self, key: str) -> Info:
        """See `Broker.stat`."""
        ...

    def list(self, prefix: str = "", *, delimiter: str | None = None) -> Iterator[Info | Folder]:
        """See `Broker.list`."""
        ...

    def close(self) -> None:
        """See `Broker.close`."""
        ...


class GivenStores(Stores):
    """Stores that are open already, guarded as others are. By the promise of `Store` they survive a fork."""

    def __init__(self, places: Mapping[str, Place], given: Mapping[str, Store]) -> None:
        super().__init__(places)
        self._given = given

    def close(self) -> None:
        """Leave them to whoever opened them."""

    def _store(self, target: str) -> Store:
        return self._given[target]


def broker_over(store: Store, folder: Path, *, mode: Mode) -> Broker:
    """Open a broker whose one target is `store`; its state and its keyring are in `folder`, made there if need be.

    Two brokers over one folder share the state, as two processes of one configuration do.
    """
    keyring = folder / "keyring.json"
    if not keyring.exists():
        keyring.write_bytes(_keyring())
        keyring.chmod(0o600)
    place = Place(_target(store.target), adapter="given", binding=Binding(store.target, container=""))
    return Broker(
        policy=_policy(store.target, mode),
        index=SqliteIndex(folder / "state.db"),
        stores=GivenStores({store.target: place}, {store.target: store}),
        keyrings=Keyrings({KEYS: Service((_holder(),), lambda: Keyring.open(keyring, PassphraseService(PASSPHRASE)))}),
        clock=utc_now,
    )


@cache
def _keyring() -> bytes:
    """Return a keyring that is made once a process: each costs a derivation of its key, and some waiting for a disk."""
    with TemporaryDirectory(prefix="sovbroker-suite-") as folder:
        path = Path(folder, "keyring.json")
        made, _ = Keyring.create(path, PassphraseService(PASSPHRASE, cost=QUICK), recovery=False)
        # Made now, at this price: the broker would make it at the real one.
        made.domain(KEYS)
        made.close()
        return path.read_bytes()


def _holder() -> KeyHolder:
    return KeyHolder(KEYS, attested(located=None, controlled=None))


def _target(name: str) -> Target:
    return Target(id=name, provider=name, region="", facts=attested(located=None, controlled=None), site=name)


@cache
def _policy(target: str, mode: Mode) -> Policy:
    return loads(POLICY.format(terms=mode.value), targets=[_target(target)], keys=[_holder()])


class BrokeredReader:
    """A `Reader` of an object that a broker opened."""

    def __init__(self, file: File, info: ObjectInfo) -> None:
        self.info = info
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        """See `Reader.read`."""
        return self._file.read(size)

    def close(self) -> None:
        """See `Reader.close`."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()


class RangeReader(BrokeredReader):
    """A `Reader` of a range, which a broker gives at once."""

    def __init__(self, data: bytes, info: ObjectInfo) -> None:
        self.info = info
        self._rest = data

    def read(self, size: int = -1, /) -> bytes:
        """See `Reader.read`."""
        data = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(data) :]
        return data

    def close(self) -> None:
        """See `Reader.close`."""


class Measured:
    """A source of as many bytes as were announced: more or fewer raise InvalidArgument, as the port promises.

    A broker asks for no length beforehand; that it commits nothing when its data raises is what is tested.
    """

    def __init__(self, body: Source, *, size: int) -> None:
        self._body = body
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        """Read on."""
        data = self._body.read(size)
        self._left -= len(data)
        if self._left < 0 or (not data and self._left):
            raise InvalidArgument("the body has another length than was announced")
        return data


class BrokeredStore:
    """A `Store` whose every call goes through a whole broker. `target` is the one whose errors are to be named."""

    capabilities: Mapping[Feature, Support] = OFFERED

    def __init__(self, face: Face, *, target: str, limits: Limits) -> None:
        self.face = face
        self.target = target
        self.limits = Limits(
            key_max=min(KEY_MAX, limits.key_max - SUFFIX), metadata_max=METADATA_MAX, put_max=limits.put_max
        )

    def head(self, key: str) -> ObjectInfo:
        """See `Store.head`."""
        with self._named():
            return known(self.face.stat(key))

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> Reader:  # noqa: A002 - the port's word
        """See `Store.get`."""
        with self._named():
            if range is None:
                file = self.face.get(key)
                return BrokeredReader(file, known(file.info))
            info = self.face.stat(key)
            return RangeReader(self.face.read(key, range=range, version=info.version), known(info))

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
        data: Data
        if isinstance(body, (bytes, bytearray, memoryview)):
            if memoryview(body).nbytes != size:
                raise InvalidArgument("the body has another length than was announced")
            data = body
        else:
            data = cast("Data", Measured(body, size=size))
        with self._named():
            stored = self.face.put(key, data, metadata=metadata, if_absent=if_absent)
        return ObjectInfo(stored.key, stored.size, stored.version, metadata=dict(metadata))

    def delete(self, key: str) -> None:
        """See `Store.delete`. A broker says what was not there; a store does not."""
        try:
            self.face.delete(key)
        except NotFound:
            return

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`."""
        failures = self.face.delete_many(keys)
        return {
            key: error if isinstance(error, StoreError) else StoreError(str(error), target=self.target, key=key)
            for key, error in failures.items()
            if not isinstance(error, NotFound)
        }

    def list(self, prefix: str = "", *, delimiter: str | None = None, start_after: str = "") -> Iterator[Page]:
        """See `Store.list`. A broker lists from the beginning; what comes before `start_after` is passed over."""
        if start_after and delimiter:
            return self._pages(_folded(self._after(prefix, start_after), prefix, delimiter))
        if start_after:
            return self._pages(self._after(prefix, start_after))
        return self._pages(self.face.list(prefix, delimiter=delimiter))

    def _after(self, prefix: str, start_after: str) -> Iterator[Info | Folder]:
        for entry in self.face.list(prefix):
            if isinstance(entry, Info) and entry.key > start_after:
                yield entry

    def _pages(self, entries: Iterator[Info | Folder]) -> Iterator[Page]:
        objects: list[ObjectInfo] = []
        prefixes: list[str] = []
        for entry in entries:
            if isinstance(entry, Folder):
                prefixes.append(entry.prefix)
            else:
                objects.append(ObjectInfo(entry.key, entry.size, entry.version, entry.created))
            if len(objects) + len(prefixes) == PAGE:
                yield Page(tuple(objects), tuple(prefixes))
                objects, prefixes = [], []
        if objects or prefixes:
            yield Page(tuple(objects), tuple(prefixes))

    def copy(self, source: str, destination: str) -> ObjectInfo:
        """See `Store.copy`."""
        with self._named():
            stored = self.face.copy(source, destination)
            return ObjectInfo(stored.key, stored.size, stored.version)

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """See `Store.set_metadata`: a broker's metadata belong to a version, which never changes."""
        del metadata
        self._absent(key)

    def multipart(self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None) -> Upload:
        """See `Store.multipart`: a broker cuts what is large by itself."""
        del metadata, upload_id
        self._absent(key)

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:
        """See `Store.uploads`."""
        self._absent(prefix)

    def presign(self, key: str, *, expires: timedelta) -> str:
        """See `Store.presign`."""
        del expires
        self._absent(key)

    def retain(self, key: str, *, until: datetime) -> None:
        """See `Store.retain`: with a broker, the policy retains."""
        del until
        self._absent(key)

    def inspect(self) -> Inspection:
        """See `Store.inspect`."""
        return Inspection()

    def close(self) -> None:
        """See `Store.close`."""
        self.face.close()

    def _absent(self, key: str) -> NoReturn:
        raise NotSupported("a broker does not do this; its capabilities say so", target=self.target, key=key)

    def _named(self) -> Named:
        return Named(self.target)


class Named:
    """Names the target in what a broker answers from its placements, where no target was asked."""

    def __init__(self, target: str) -> None:
        self._target = target

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Name the target."""
        if isinstance(error, StoreError) and error.target is None:
            error.target = self._target


def known(info: Info) -> ObjectInfo:
    """Say of an object what a store says."""
    return ObjectInfo(info.key, info.size, info.version, info.created, info.metadata)


def _folded(entries: Iterator[Info | Folder], prefix: str, delimiter: str) -> Iterator[Info | Folder]:
    """Fold as a broker folds."""
    last = ""
    for entry in entries:
        cut = -1 if isinstance(entry, Folder) else entry.key.find(delimiter, len(prefix))
        if isinstance(entry, Folder) or cut < 0:
            yield entry
        elif (folder := entry.key[: cut + len(delimiter)]) != last:
            last = folder
            yield Folder(folder)
