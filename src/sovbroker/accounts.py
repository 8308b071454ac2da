"""Keys for a target's storage: made at the provider's account plane, kept in a private folder, and rotated.

The folder holds one folder for each pair of keys, with `access_key` and `secret_key` in it, and `current`, a link to
the one that is in use. So a configuration that names `FOLDER/current/access_key` and `FOLDER/current/secret_key` always
reads both of one pair: the link is replaced in one step.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sovbroker.errors import ConfigError, NotFound, PermissionDenied, SovbrokerError, StoreError, Unavailable
from sovbroker.plugins import entry_of
from sovbroker.ports import AccessKey, Accounts, Binding, User

__all__ = ["ACCOUNTS", "CURRENT", "KeyFolder", "Rotation", "find_accounts", "owner_of", "rotate"]

ACCOUNTS: Final = "sovbroker.accounts"
"""The entry-point group in which account planes are found, each by the catalogue's id of its provider."""

CURRENT: Final = "current"
"""The link in a folder of keys to the pair that is in use."""

NAME: Final = re.compile(r"[A-Za-z0-9]{1,128}")
FILES: Final = ("access_key", "secret_key")
PRIVATE: Final = 0o700
SECRET: Final = 0o600
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
PROVEN_WITHIN: Final = 60.0
PAUSE: Final = 2.0

Prove = Callable[[AccessKey], None]
"""Use a pair of keys, and raise what the store raises when it does not work."""


def find_accounts(provider: str) -> Callable[[Binding], Accounts]:
    """Return what opens the account plane of a provider. Raises ConfigError with a suggestion."""
    entry = entry_of(ACCOUNTS, provider, lacking=f"nothing here talks to the accounts of `{provider}`")
    opener: Callable[[Binding], Accounts] = entry.load()
    return opener


class KeyFolder:
    """A private folder of pairs of keys. Every change is flushed to the disk before the method returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other processes from changing the folder. Raises ConfigError when one does, or others may read it."""
        self.path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        if self.path.stat().st_mode & OTHERS:
            raise ConfigError(f"the folder of keys `{self.path}` is open to others; run `chmod 700 {self.path}`")
        opened = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise ConfigError(f"another process is changing the keys in `{self.path}`; wait for it") from error
        finally:
            os.close(opened)

    def current(self) -> AccessKey | None:
        """Return the pair in use; None when there is none. Raises ConfigError for one that cannot be read."""
        link = self.path / CURRENT
        return self.read(link.readlink().name) if link.is_symlink() else None

    def others(self) -> Sequence[str]:
        """Return the access keys of the pairs that are kept and not in use."""
        link = self.path / CURRENT
        used = link.readlink().name if link.is_symlink() else ""
        held = {entry.name for entry in self.path.iterdir() if entry.is_dir() and not entry.is_symlink()}
        return sorted(held - {used})

    def read(self, access_key: str) -> AccessKey:
        """Return one of the pairs. Raises ConfigError."""
        folder = self.path / access_key
        try:
            found = [(folder / name).read_text(encoding="utf-8").partition("\n")[0] for name in FILES]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the pair of keys `{folder}` cannot be read: {error}") from error
        if found[0] != access_key or not found[1]:
            raise ConfigError(f"the pair of keys `{folder}` is not whole")
        return AccessKey(*found)

    def add(self, key: AccessKey) -> None:
        """Keep a pair, beside the one in use. Raises ConfigError for an access key that cannot be a file's name."""
        if NAME.fullmatch(key.access_key) is None or key.access_key == CURRENT:
            raise ConfigError(f"the access key `{key.access_key[:40]}` is none that a folder can be named after")
        folder = self.path / key.access_key
        folder.mkdir(mode=PRIVATE)
        for name, text in zip(FILES, (key.access_key, key.secret_key), strict=True):
            opened = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET)
            with os.fdopen(opened, "w", encoding="utf-8") as file:
                file.write(f"{text}\n")
                file.flush()
                os.fsync(file.fileno())
        _flush(folder)
        _flush(self.path)

    def use(self, access_key: str) -> None:
        """Let `current` be this pair, in one step."""
        fresh = self.path / f".{CURRENT}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(access_key)
        fresh.replace(self.path / CURRENT)
        _flush(self.path)

    def remove(self, access_key: str) -> None:
        """Forget a pair that is not in use."""
        if access_key not in self.others():
            raise ConfigError(f"the pair of keys `{access_key}` is in use, or is not here")
        shutil.rmtree(self.path / access_key)
        _flush(self.path)


def _flush(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation that was done: the access keys, and those of earlier ones that had broken off and are removed now."""

    user: User
    old: str
    new: str
    removed: Sequence[str] = ()


def owner_of(accounts: Accounts, access_key: str) -> User:
    """Return the user whose key this is. Raises NotFound."""
    for user in accounts.users():
        if access_key in accounts.keys(user.id):
            return user
    raise NotFound(f"no user of the project has the key `{access_key}`; `sovbroker accounts users` lists them")


def rotate(
    accounts: Accounts,
    folder: KeyFolder,
    *,
    prove: Prove,
    within: float = PROVEN_WITHIN,
    sleep: Callable[[float], None] = time.sleep,
) -> Rotation:
    """Replace the pair of keys in use by a new one of the same user.

    The new pair is made, kept, proven to work within `within` seconds, and put to use; only then is the old one removed
    at the provider. Whenever this ends, by an error or by the end of the process, the pair in `current` works. What
    broke off is cleared by the next rotation. When the new pair does not work it is removed again.

    Raises ConfigError when there is no pair, what `prove` raises when the pair in use does not work, and errors of the
    provider; when only the removal of the old pair failed, the message says so.
    """
    with folder.locked():
        old = folder.current()
        if old is None:
            raise ConfigError(f"there is no pair of keys in `{folder.path}`; make one with `sovbroker accounts create`")
        prove(old)
        user = owner_of(accounts, old.access_key)
        # The pair in use works, so no other is needed, whether it was never proven or has been replaced.
        removed = [_drop(accounts, folder, user, name) for name in folder.others()]
        new = accounts.create_key(user.id)
        try:
            folder.add(new)
            _prove(new, prove, within=within, sleep=sleep)
        except Exception:
            _undo(accounts, folder, user, new)
            raise
        folder.use(new.access_key)
        try:
            _drop(accounts, folder, user, old.access_key)
        except StoreError as error:
            raise Unavailable(
                f"the new key `{new.access_key}` is in use, and the old one, `{old.access_key}`, is not removed yet: "
                f"{error}; the next rotation removes it"
            ) from error
        return Rotation(user, old.access_key, new.access_key, tuple(removed))


def _prove(key: AccessKey, prove: Prove, *, within: float, sleep: Callable[[float], None]) -> None:
    """Prove that a new key works; it takes providers a while to know it everywhere."""
    deadline = time.monotonic() + within
    while True:
        try:
            prove(key)
        except (PermissionDenied, Unavailable):
            if time.monotonic() + PAUSE > deadline:
                raise
        else:
            return
        sleep(PAUSE)


def _drop(accounts: Accounts, folder: KeyFolder, user: User, access_key: str) -> str:
    """Remove a pair at the provider, and then here: as long as it may be there, its secret is known."""
    accounts.delete_key(user.id, access_key)
    folder.remove(access_key)
    return access_key


def _undo(accounts: Accounts, folder: KeyFolder, user: User, new: AccessKey) -> None:
    """Remove a new pair that does not work; where that fails too, the next rotation does it."""
    try:
        accounts.delete_key(user.id, new.access_key)
        if new.access_key in folder.others():
            folder.remove(new.access_key)
    except (SovbrokerError, OSError):
        return
