"""One run of a probe: its folder, what it wrote, and how all of it goes away again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Final

from sovbroker.errors import InvalidArgument, NotFound, PermissionDenied, SovbrokerError, StoreError
from sovbroker.ports import NO_METADATA, Feature, ObjectInfo, Store
from sovbroker.specimens import METADATA, PREFIX, body, installation_of, is_key

__all__ = ["HOLD", "KEPT", "AbsentError", "Run", "UnsafeError", "clear_leftovers", "short"]

HOLD: Final = timedelta(seconds=3)
"""For how long a run retains an object of its own."""

KEPT: Final = "kept"
"""The name of that object."""

FOREIGN: Final = timedelta(days=1)
ALLOWED_LATE: Final = timedelta(seconds=10)
PAUSE: Final = 0.1
SHOWN: Final = 160


def short(error: object) -> str:
    """Return what an error says, on one line of some length."""
    text = " ".join(str(error).split())
    target = getattr(error, "target", None)
    text = text.removeprefix(f"{target}: ")
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


class UnsafeError(Exception):
    """The service said yes, and did something else."""


class AbsentError(Exception):
    """The service does not do it, and says so or shows so."""


@dataclass(slots=True)
class Run:
    """What the checks of one run share.

    `store` claims every feature but retention, so that a check finds out what is behind it; `holding` claims that, too.
    `sorting` lists in whatever order the service gives, as far as the adapter can.
    """

    store: Store
    sorting: Store
    holding: Store
    installation: str
    id: str = field(default_factory=lambda: token_hex(8))
    skew: timedelta = timedelta(0)
    hold: timedelta = HOLD
    retained: datetime | None = None
    written: set[str] = field(default_factory=set[str])

    @property
    def prefix(self) -> str:
        """What every key of this run begins with."""
        return f"{PREFIX}{self.installation}-{self.id}/"

    def key(self, name: str) -> str:
        """Return the key of a specimen, which the run will remove."""
        key = self.prefix + name
        self.written.add(key)
        return key

    def put(self, name: str, size: int, *, seed: int = 0, metadata: bool = False, if_absent: bool = False) -> bytes:
        """Store a specimen, and return its body."""
        data = body(size, seed=seed)
        named = METADATA if metadata else NO_METADATA
        self.store.put(self.key(name), data, size=size, metadata=named, if_absent=if_absent)
        return data

    def read(self, name: str, *, span: tuple[int, int] | None = None) -> bytes:
        """Return the body of a specimen, or a range of it."""
        with self.store.get(self.key(name), range=span) as reader:
            return reader.read()

    def metadata(self, name: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the metadata of a specimen as `head` and as `get` tell them."""
        key = self.key(name)
        told = dict(self.store.head(key).metadata)
        with self.store.get(key) as reader:
            reader.read()
            return told, dict(reader.info.metadata)

    def remove(self, *names: str) -> None:
        """Remove specimens; what is not there is gone."""
        for name in names:
            self.store.delete(self.key(name))

    def clear(self) -> tuple[str, ...]:
        """Remove everything that this run wrote; return the keys that could not be removed.

        A retained object is waited for.
        """
        self._wait()
        abort_all(self.store, self.prefix)
        self.written.update(key for key in list_keys(self.sorting, self.prefix) if is_key(key))
        late = datetime.now(UTC) + ALLOWED_LATE
        return tuple(key for key in sorted(self.written) if not self._gone(key, late))

    def _wait(self) -> None:
        """Wait until what this run retained may go, by the service's clock."""
        if self.retained is not None:
            left = self.retained - (datetime.now(UTC) + self.skew)
            time.sleep(max(0.0, left.total_seconds()) + PAUSE)

    def _gone(self, key: str, late: datetime) -> bool:
        # What claims to retain may need more than a service has, to remove anything; the other one is plain.
        stores = (self.holding, self.store) if key == self.prefix + KEPT else (self.store,)
        return any(_goes(store, key, late) for store in stores)


def _goes(store: Store, key: str, late: datetime) -> bool:
    while True:
        try:
            store.delete(key)
        except PermissionDenied:
            # A service's clock, or its idea of a second, may be another.
            if datetime.now(UTC) > late:
                return False
            time.sleep(PAUSE)
        except InvalidArgument:
            # It was refused when it was to be written, too.
            return True
        except SovbrokerError:
            return False
        else:
            return True


def clear_leftovers(store: Store, *, installation: str, now: datetime) -> tuple[str, ...]:
    """Remove what earlier runs left; return the keys that could not be removed.

    Those of this installation are nobody's any more: one probe runs at a time. Those of others count after a day.
    """
    abort_all(store, PREFIX, installation=installation)
    found = [
        info
        for page in store.list(PREFIX)
        for info in page.objects
        if installation_of(info.key) == installation or (installation_of(info.key) and _old(info, now))
    ]
    return tuple(key for key in (info.key for info in found) if not _removed(store, key))


def list_keys(store: Store, prefix: str) -> Iterable[str]:
    """Return the keys under a prefix; none where the store cannot tell."""
    try:
        return [info.key for page in store.list(prefix) for info in page.objects]
    except StoreError:
        return []


def abort_all(store: Store, prefix: str, *, installation: str | None = None) -> None:
    """Drop the unfinished uploads of specimens under a prefix: all of them, or one installation's."""
    if not store.capabilities[Feature.MULTIPART].usable:
        return
    try:
        for upload in list(store.uploads(prefix)):
            owner = installation_of(upload.key)
            if owner and installation in {None, owner}:
                store.multipart(upload.key, upload_id=upload.id).abort()
    except StoreError:
        # A service that lists no uploads, or does not know them, has its line in the matrix.
        return


def _removed(store: Store, key: str) -> bool:
    try:
        store.delete(key)
    except NotFound:
        return True
    except SovbrokerError:
        return False
    return True


def _old(info: ObjectInfo, now: datetime) -> bool:
    return info.modified is not None and now - info.modified > FOREIGN
