"""The store over a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final, Self, TypeVar, cast

from sovbroker.errors import AlreadyExists, NotSupported, StoreError, Unavailable
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
from sovbroker_adapters.checks import check_key, check_metadata, check_range, clip
from sovbroker_adapters.listing import pages
from sovbroker_adapters.local.disk import Disk
from sovbroker_adapters.local.names import BODY, ENTRY, folder_name, segments
from sovbroker_adapters.local.upload import LocalUpload, Opened, read_record

__all__ = ["LocalStore"]

CAPABILITIES: Final = MappingProxyType(
    dict.fromkeys(Feature, Support.NATIVE) | {Feature.PRESIGN: Support.ABSENT, Feature.RETENTION: Support.ABSENT}
)
LIMITS: Final = Limits(metadata_max=1 << 16, put_max=1 << 50, part_min=1, part_max=1 << 50)
TRIES: Final = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies beside a body: its info, and the name of its file."""

    info: ObjectInfo
    body: str

    def encode(self) -> bytes:
        """Return the entry as JSON."""
        info = self.info
        modified = None if info.modified is None else info.modified.isoformat()
        values = {"key": info.key, "size": info.size, "etag": info.etag, "modified": modified, "body": self.body}
        return json.dumps(values | {"metadata": dict(info.metadata)}, indent=1).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Entry:
        """Read an entry. Raises ValueError, KeyError or TypeError for anything else."""
        values = json.loads(raw)
        body = str(values["body"])
        if "/" in body or not body.startswith(BODY):
            raise ValueError(body)
        metadata = MappingProxyType(cast("dict[str, str]", dict(values["metadata"])))
        modified = datetime.fromisoformat(values["modified"])
        return cls(ObjectInfo(str(values["key"]), int(values["size"]), str(values["etag"]), modified, metadata), body)


@dataclass(slots=True)
class LocalReader:
    """A `Reader` of an open file: what is replaced or removed meanwhile is read to its end."""

    info: ObjectInfo
    _file: BinaryIO
    _left: int
    _target: str

    def read(self, size: int = -1, /) -> bytes:
        """See `Reader.read`."""
        wanted = self._left if size < 0 else min(size, self._left)
        if not wanted:
            return b""
        try:
            data = self._file.read(wanted)
        except OSError as error:
            message = f"the body of `{self.info.key}` cannot be read: {error.strerror}"
            raise Unavailable(message, target=self._target, key=self.info.key) from error
        self._left -= len(data)
        if not data or (size < 0 and self._left):
            message = f"the body of `{self.info.key}` ended {self._left} bytes early"
            raise Unavailable(message, target=self._target, key=self.info.key)
        return data

    def close(self) -> None:
        """See `Reader.close`."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()


@dataclass(frozen=True, slots=True)
class LocalStore:
    """A `Store` in a folder. Safe for threads and for processes that share the folder."""

    _disk: Disk
    capabilities: Mapping[Feature, Support] = field(default_factory=lambda: CAPABILITIES)
    limits: Limits = LIMITS

    @property
    def target(self) -> str:
        """See `Store.target`."""
        return self._disk.target

    def head(self, key: str) -> ObjectInfo:
        """See `Store.head`."""
        check_key(key, limits=self.limits)
        with self._disk.telling(key):
            entry, length = self._read(key, lambda path: path.stat().st_size)
        self._check_length(entry, length)
        return entry.info

    def get(self, key: str, *, range: tuple[int, int] | None = None) -> LocalReader:  # noqa: A002 - the port's word
        """See `Store.get`."""
        check_key(key, limits=self.limits)
        check_range(range)
        with self._disk.telling(key):
            entry, file = self._read(key, _open)
            try:
                self._check_length(entry, os.fstat(file.fileno()).st_size)
                offset, length = clip(range, size=entry.info.size)
                file.seek(offset)
            except BaseException:
                file.close()
                raise
        return LocalReader(entry.info, file, length, self.target)

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
        check_key(key, limits=self.limits)
        check_metadata(metadata, limits=self.limits)
        pieces = blocks(body, size=size)
        with self._disk.telling(key):
            fresh = self._disk.fresh()
        length = self._disk.write(fresh, pieces, key=key)
        return self.publish(key, fresh, length, metadata=metadata, if_absent=if_absent)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        check_key(key, limits=self.limits)
        disk, folder = self._disk, self._folder(key)
        retired: list[Path] = []
        with disk.telling():
            disk.check()
            with disk.changing():
                if not folder.is_dir():
                    return
                # The entry first: without it there is no object, whatever happens to the rest.
                (folder / ENTRY).unlink(missing_ok=True)
                retired += [disk.retire(path) for path in _bodies(folder)]
                disk.prune(folder, below=disk.objects)
        disk.forget(*retired)

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`."""
        self._disk.check()
        failures: dict[str, StoreError] = {}
        for key in keys:
            try:
                self.delete(key)
            except StoreError as error:
                failures[key] = error
        return failures

    def list(self, prefix: str = "", *, delimiter: str | None = None, start_after: str = "") -> Iterator[Page]:
        """See `Store.list`."""
        self._disk.check()
        walk = self._walk(self._disk.objects, b"", prefix=prefix.encode(), after=start_after.encode())
        return pages(walk, prefix=prefix, delimiter=delimiter)

    def copy(self, source: str, destination: str) -> ObjectInfo:
        """See `Store.copy`. Bodies are never changed in place, so a copy is another name for the same file."""
        check_key(source, limits=self.limits)
        check_key(destination, limits=self.limits)
        with self._disk.telling(source):
            fresh = self._disk.fresh()
            entry, _ = self._read(source, lambda path: self._link(path, fresh))
        try:
            with self._disk.telling(source):
                length = fresh.stat().st_size
            self._check_length(entry, length)
            return self.publish(destination, fresh, length, metadata=entry.info.metadata)
        finally:
            self._disk.forget(fresh)

    def set_metadata(self, key: str, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """See `Store.set_metadata`. Another entry takes the place of the one beside the body."""
        check_key(key, limits=self.limits)
        check_metadata(metadata, limits=self.limits)
        disk, folder = self._disk, self._folder(key)
        with disk.telling(key):
            waiting = disk.fresh()
        try:
            with disk.telling(key), disk.changing():
                before, length = self._read(key, lambda path: path.stat().st_size)
                self._check_length(before, length)
                info = replace(before.info, modified=datetime.now(UTC), metadata=MappingProxyType(dict(metadata)))
                disk.write(waiting, [memoryview(Entry(info, before.body).encode())], key=key)
                waiting.rename(folder / ENTRY)
            with disk.telling(key), suppress(FileNotFoundError):
                disk.sync(folder)
        finally:
            disk.forget(waiting)
        return info

    def multipart(
        self, key: str, *, metadata: Mapping[str, str] = NO_METADATA, upload_id: str | None = None
    ) -> LocalUpload:
        """See `Store.multipart`."""
        check_key(key, limits=self.limits)
        check_metadata(metadata, limits=self.limits)
        if upload_id is not None:
            return LocalUpload(self._disk, self, upload_id, key)
        return LocalUpload.begin(self._disk, self, Opened(key, metadata))

    def uploads(self, prefix: str = "") -> Iterator[UploadInfo]:
        """See `Store.uploads`."""
        self._disk.check()
        found: list[UploadInfo] = []
        with self._disk.telling(), suppress(FileNotFoundError):
            for folder in self._disk.uploads.iterdir():
                with suppress(FileNotFoundError):
                    record = read_record(folder)
                    if record.key.startswith(prefix):
                        found.append(UploadInfo(record.key, folder.name))
        return iter(sorted(found, key=lambda upload: (upload.key, upload.id)))

    def presign(self, key: str, *, expires: timedelta) -> str:  # noqa: ARG002 - the port's signature
        """Raise NotSupported: there is no server to ask."""
        raise NotSupported("a folder has no links to hand out; read the object instead", target=self.target, key=key)

    def retain(self, key: str, *, until: datetime) -> None:  # noqa: ARG002 - the port's signature
        """Raise NotSupported: whoever owns the folder can remove what is in it."""
        raise NotSupported("a folder retains nothing; the broker does by its rows", target=self.target, key=key)

    def inspect(self) -> Inspection:
        """See `Store.inspect`. Public is a folder that every user of the machine may enter."""
        self._disk.check()
        now = datetime.now(UTC)
        public = self._disk.open_to_others()
        return Inspection(clock=now, skew=timedelta(0), public=public, versioned=False, locks=False, removals=())

    def close(self) -> None:
        """See `Store.close`."""

    def publish(
        self, key: str, fresh: Path, length: int, *, metadata: Mapping[str, str], if_absent: bool = False
    ) -> ObjectInfo:
        """Make the synced file `fresh` the body of an object: the commit of every write."""
        disk, folder, etag = self._disk, self._folder(key), fresh.name
        info = ObjectInfo(key, length, etag, datetime.now(UTC), MappingProxyType(dict(metadata)))
        entry = Entry(info, BODY + etag)
        waiting = fresh.with_name(f"{etag}-entry")
        retired: list[Path] = [fresh, waiting]
        try:
            disk.write(waiting, [memoryview(entry.encode())], key=key)
            with disk.telling(key), disk.changing():
                disk.make(folder, below=disk.objects)
                if if_absent and (folder / ENTRY).exists():
                    raise AlreadyExists(f"there is an object `{key}` already", target=self.target, key=key)
                # Whatever body lies there is the one that is replaced, or one that a crash left before its entry.
                before = _bodies(folder)
                fresh.rename(folder / entry.body)
                waiting.rename(folder / ENTRY)
                retired += [disk.retire(path) for path in before]
            # Whoever removed the object since then has made its end durable instead.
            with disk.telling(key), suppress(FileNotFoundError):
                disk.sync(folder)
                disk.sync(folder.parent)
        finally:
            disk.forget(*retired)
        return info

    def _folder(self, key: str) -> Path:
        return self._disk.objects / folder_name(key)

    def _link(self, path: Path, fresh: Path) -> None:
        try:
            fresh.hardlink_to(path)
        except FileNotFoundError:
            raise
        except OSError:
            # Not every file system links, and those that do have a limit.
            self._disk.join(fresh, [path])

    def _read(self, key: str, use: Callable[[Path], T]) -> tuple[Entry, T]:
        """Return the entry of `key` with what `use` makes of its body's file. Raises OSError."""
        folder = self._folder(key)
        for _ in range(TRIES):
            raw = (folder / ENTRY).read_bytes()
            entry = self._decode(raw, key)
            # A writer may have replaced both between the two reads: then there is a newer entry.
            with suppress(FileNotFoundError):
                return entry, use(folder / entry.body)
            if (folder / ENTRY).read_bytes() == raw:
                break
        raise Unavailable(f"the body of `{key}` is missing beside its entry", target=self.target, key=key)

    def _decode(self, raw: bytes, key: str) -> Entry:
        try:
            entry = Entry.decode(raw)
            found = entry.info.key
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"the entry of `{key}` is damaged", target=self.target, key=key) from error
        if found != key:
            raise Unavailable(f"the entry of `{key}` is that of `{found}`", target=self.target, key=key)
        return entry

    def _check_length(self, entry: Entry, length: int) -> None:
        info = entry.info
        if length != info.size:
            message = f"the body of `{info.key}` has {length} bytes, its entry says {info.size}"
            raise Unavailable(message, target=self.target, key=info.key)

    def _walk(self, folder: Path, begun: bytes, *, prefix: bytes, after: bytes) -> Iterator[ObjectInfo]:
        """Yield the objects below a folder, in byte order of keys; those that cannot be asked for are not visited."""
        with self._disk.telling():
            found = list(segments(folder))
        # An object `a` sorts before everything below `a/`, but `a.b` comes in between.
        order = [(begun + segment, path, False) for segment, path in found]
        order += [(begun + segment + b"/", path, True) for segment, path in found]
        for name, path, below in sorted(order):
            if below:
                if (name.startswith(prefix) or prefix.startswith(name)) and (name > after or after.startswith(name)):
                    yield from self._walk(path, name, prefix=prefix, after=after)
            elif name.startswith(prefix) and name > after:
                raw = self._peek(path / ENTRY)
                if raw is not None:
                    info = self._decode(raw, name.decode()).info
                    yield ObjectInfo(info.key, info.size, info.etag, info.modified)

    def _peek(self, path: Path) -> bytes | None:
        with self._disk.telling(), suppress(FileNotFoundError):
            return path.read_bytes()
        return None


def _open(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb")


def _bodies(folder: Path) -> Sequence[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(BODY)]
