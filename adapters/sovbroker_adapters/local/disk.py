"""The folder beneath a local store: durable writes, atomic replacement, one lock, and errors in our words."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final

from sovbroker.errors import InvalidArgument, NotFound, PermissionDenied, SovbrokerError, Unavailable

__all__ = ["Disk"]

DAY: Final = 86_400
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
COPY: Final = 8 << 20
NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
# What file systems answer that cannot copy within the kernel, or not between these two files.
NO_KERNEL_COPY: Final = frozenset({errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})


@dataclass(frozen=True, slots=True)
class Disk:
    """The folder `root` of the target `target`. Holds no open file, so that it survives a fork."""

    target: str
    root: Path

    @property
    def objects(self) -> Path:
        """Where objects lie."""
        return self.root / "objects"

    @property
    def uploads(self) -> Path:
        """Where the parts of unfinished uploads lie."""
        return self.root / "uploads"

    @property
    def temporary(self) -> Path:
        """Where files lie that nobody may see: not yet complete, or removed."""
        return self.root / "temporary"

    @contextmanager
    def telling(self, key: str | None = None) -> Generator[None]:
        """Turn what the operating system says into errors of ours; a missing file means a missing object."""
        try:
            yield
        except OSError as error:
            raise self._failure(error, key) from error

    def _failure(self, error: OSError, key: str | None) -> SovbrokerError:
        if error.errno in FULL:
            message = f"the disk of `{self.root}` is full; nothing was stored ({error.strerror})"
            return Unavailable(message, target=self.target, key=key)
        if error.errno in FORBIDDEN:
            message = f"no permission in `{self.root}`: {error.strerror}; make it readable and writable for this user"
            return PermissionDenied(message, target=self.target, key=key)
        if error.errno == errno.ENAMETOOLONG:
            return InvalidArgument(f"the key and the folder `{self.root}` together are too long for the file system")
        if not self.root.is_dir():
            return self.missing()
        if error.errno == errno.ENOENT and key is not None:
            return NotFound(f"there is no object `{key}`", target=self.target, key=key)
        return Unavailable(f"`{self.root}` cannot be used: {error.strerror}", target=self.target, key=key)

    def missing(self) -> NotFound:
        """Return the error of a folder that is not there."""
        return NotFound(f"there is no folder `{self.root}`; `sovbroker init` makes it", target=self.target)

    def check(self) -> None:
        """Raise NotFound when the folder itself is missing."""
        if not self.root.is_dir():
            raise self.missing()

    def open_to_others(self) -> bool:
        """Whether users of this machine who do not own the folder may look into it."""
        with self.telling():
            return bool(self.root.stat().st_mode & (stat.S_IROTH | stat.S_IXOTH))

    @contextmanager
    def changing(self) -> Generator[None]:
        """Hold the lock under which names appear and disappear, against threads and other processes."""
        # A file of its own per call: a lock on a shared one would not keep threads apart, nor survive a fork.
        handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            # By name: a child that was forked meanwhile has the file open too, and closing it here would not do.
            fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)

    def fresh(self) -> Path:
        """Return a name in `temporary/` that nobody uses, making that folder when it is missing."""
        self.check()
        self.temporary.mkdir(mode=0o700, exist_ok=True)
        return self.temporary / token_hex(16)

    def write(self, path: Path, body: Iterable[memoryview], *, key: str | None = None) -> int:
        """Write a new file and sync it; return its length. What `body` raises passes, and leaves no file."""
        with self.telling(key):
            handle = os.open(path, NEW, 0o600)
        try:
            length = 0
            for block in body:
                with self.telling(key):
                    length += _write_all(handle, block)
            with self.telling(key):
                os.fsync(handle)
        except BaseException:
            os.close(handle)
            self.forget(path)
            raise
        os.close(handle)
        return length

    def join(self, path: Path, pieces: Iterable[Path]) -> int:
        """Make a new file of the contents of others, within the kernel where that works; return its length."""
        handle = os.open(path, NEW, 0o600)
        try:
            for piece in pieces:
                _append(handle, piece)
            os.fsync(handle)
            return os.fstat(handle).st_size
        finally:
            os.close(handle)

    def make(self, folder: Path, *, below: Path) -> None:
        """Make a folder and those above it up to `below`. Those above are synced, the folder itself is not."""
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except FileNotFoundError:
            if folder == below:
                raise
            self.make(folder.parent, below=below)
            self.sync(folder.parent.parent)
            folder.mkdir(mode=0o700, exist_ok=True)

    def sync(self, folder: Path) -> None:
        """Make the names in a folder survive a power cut."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        except OSError as error:
            # Some network file systems cannot sync a folder, and say so in this way.
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(handle)

    def retire(self, path: Path) -> Path:
        """Move what nobody may see any more into `temporary/`, at once; return where it is, to be forgotten."""
        retired = self.fresh()
        path.rename(retired)
        return retired

    def forget(self, *paths: Path) -> None:
        """Remove files and folders of `temporary/`. What cannot be removed is left to the sweep."""
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def prune(self, folder: Path, *, below: Path) -> None:
        """Remove a folder and those above it while they are empty, up to `below`; sync where names went away."""
        while folder != below:
            try:
                folder.rmdir()
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
                    raise
                if error.errno != errno.ENOENT:
                    break
            folder = folder.parent
        self.sync(folder)

    def sweep(self) -> None:
        """Remove what lies in `temporary/` for more than a day: a crash left it there."""
        for path in self._stale():
            self.forget(path)

    def _stale(self) -> Iterator[Path]:
        # The time of the last change of the file's name, too: a copy shares the body's older time of writing.
        limit = time.time() - DAY
        with suppress(OSError):
            for entry in os.scandir(self.temporary):
                with suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_ctime < limit:
                        yield Path(entry.path)


def _write_all(handle: int, block: memoryview) -> int:
    rest = block
    while rest:
        rest = rest[os.write(handle, rest) :]
    return len(block)


def _append(handle: int, piece: Path) -> None:
    source = os.open(piece, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        left = os.fstat(source).st_size
        while left and hasattr(os, "copy_file_range"):
            try:
                copied = os.copy_file_range(source, handle, min(left, COPY))
            except OSError as error:
                if error.errno not in NO_KERNEL_COPY:
                    raise
                break
            if not copied:
                break
            left -= copied
        while data := os.read(source, COPY):
            _write_all(handle, memoryview(data))
    finally:
        os.close(source)
