"""Uploads in parts: each part a file, joined into the body when the upload is committed.

`uploads/<id>/%meta.json` holds key and metadata, `uploads/<id>/<number>/` the part's one file, named after its receipt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from sovbroker.errors import NotFound, StoreError, Unavailable
from sovbroker.ports import Bytes, Limits, ObjectInfo, Part
from sovbroker_adapters.bodies import blocks
from sovbroker_adapters.checks import check_number, check_parts
from sovbroker_adapters.local.disk import Disk
from sovbroker_adapters.local.names import ENTRY

__all__ = ["LocalUpload", "Opened", "read_record"]

ID: Final = re.compile(r"[0-9a-f]{32}")


class Publisher(Protocol):
    """What makes a synced file an object: the store."""

    @property
    def limits(self) -> Limits:
        """See `Store.limits`."""
        ...

    def publish(self, key: str, fresh: Path, length: int, *, metadata: Mapping[str, str]) -> ObjectInfo:
        """Commit a file."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """What an upload was started with."""

    key: str
    metadata: Mapping[str, str]


def read_record(folder: Path) -> Opened:
    """Return what the upload in `folder` was started with. Raises OSError; FileNotFoundError when it is none."""
    try:
        values = json.loads((folder / ENTRY).read_bytes())
        return Opened(str(values["key"]), dict(values["metadata"]))
    except (ValueError, KeyError, TypeError, NotADirectoryError) as error:
        raise FileNotFoundError(2, "no such upload", str(folder)) from error


@dataclass(frozen=True, slots=True)
class LocalUpload:
    """An `Upload` in a folder."""

    _disk: Disk
    _store: Publisher
    id: str
    key: str

    @classmethod
    def begin(cls, disk: Disk, store: Publisher, opened: Opened) -> LocalUpload:
        """Start an upload."""
        raw = json.dumps({"key": opened.key, "metadata": dict(opened.metadata)}, indent=1).encode()
        with disk.telling():
            fresh = disk.fresh()
            fresh.mkdir(mode=0o700)
            disk.write(fresh / ENTRY, [memoryview(raw)])
            disk.sync(fresh)
            disk.make(disk.uploads, below=disk.uploads)
            fresh.rename(disk.uploads / fresh.name)
            disk.sync(disk.uploads)
        return cls(disk, store, fresh.name, opened.key)

    @property
    def _folder(self) -> Path:
        # The id may come from a caller: it must not lead out of the folder.
        if ID.fullmatch(self.id) is None:
            raise self._gone()
        return self._disk.uploads / self.id

    def part(self, number: int, body: Bytes) -> Part:
        """See `Upload.part`."""
        check_number(number, limits=self._store.limits)
        disk, folder = self._disk, self._folder / f"{number:05}"
        with disk.telling(self.key):
            self._opened()
            fresh = disk.fresh()
        length = disk.write(fresh, blocks(body, size=memoryview(body).nbytes), key=self.key)
        retired = [fresh]
        try:
            with disk.telling(self.key), disk.changing():
                self._opened()
                disk.make(folder, below=disk.uploads)
                before = list(folder.iterdir())
                fresh.rename(folder / fresh.name)
                retired += [disk.retire(path) for path in before]
                disk.sync(folder)
                disk.sync(folder.parent)
        finally:
            disk.forget(*retired)
        return Part(number, length, fresh.name)

    def parts(self) -> Sequence[Part]:
        """See `Upload.parts`."""
        with self._disk.telling(self.key), self._disk.changing():
            self._opened()
            return tuple(part for part, _ in self._held())

    def commit(self, parts: Sequence[Part]) -> ObjectInfo:
        """See `Upload.commit`."""
        ordered = check_parts(parts)
        disk = self._disk
        with disk.telling(self.key):
            opened = self._opened()
            pieces = self._pieces(ordered)
            fresh = disk.fresh()
        try:
            length = self._join(fresh, pieces, size=sum(part.size for part in ordered))
            info = self._store.publish(self.key, fresh, length, metadata=opened.metadata)
        finally:
            disk.forget(fresh)
        self.abort()
        return info

    def abort(self) -> None:
        """See `Upload.abort`."""
        disk = self._disk
        if ID.fullmatch(self.id) is None:
            return
        with disk.telling():
            disk.check()
            with disk.changing():
                if not self._folder.is_dir():
                    return
                retired = disk.retire(self._folder)
        disk.forget(retired)

    def _pieces(self, ordered: Sequence[Part]) -> Sequence[Path]:
        held = dict(self._held())
        for part in ordered:
            if part not in held:
                message = f"part {part.number} of `{self.key}` is not what was sent; send it again"
                raise StoreError(message, target=self._disk.target, key=self.key)
        return [held[part] for part in ordered]

    def _join(self, fresh: Path, pieces: Sequence[Path], *, size: int) -> int:
        with self._disk.telling(self.key):
            length = self._disk.join(fresh, pieces)
        if length != size:
            message = f"`{self.key}` has {length} bytes, and its parts have {size}; nothing was stored"
            raise Unavailable(message, target=self._disk.target, key=self.key)
        return length

    def _opened(self) -> Opened:
        try:
            opened = read_record(self._folder)
        except FileNotFoundError as error:
            self._disk.check()
            raise self._gone() from error
        if opened.key != self.key:
            raise self._gone()
        return opened

    def _gone(self) -> NotFound:
        message = f"there is no unfinished upload `{self.id}` of `{self.key}`"
        return NotFound(message, target=self._disk.target, key=self.key)

    def _held(self) -> Sequence[tuple[Part, Path]]:
        found: list[tuple[Part, Path]] = []
        for folder in sorted(self._folder.iterdir()):
            if folder.name.isdigit():
                found += [(Part(int(folder.name), f.stat().st_size, f.name), f) for f in folder.iterdir()]
        return found
