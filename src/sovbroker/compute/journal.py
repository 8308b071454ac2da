"""What is known of our machines, on the disk before a provider hears of it.

One file for each name, written beside and renamed, so that a crash leaves the old entry or the new one. An entry is
there before the first request of a launch and until the machine is destroyed: whatever a crash leaves at a provider has
one. A launch holds the lock of its name; who gets that lock knows that nobody is at work on it any more.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from sovbroker.errors import StateError, Unavailable

__all__ = ["Entry", "Journal", "Step"]

SUFFIX: Final = ".machines"
FORM: Final = 1
INSTALLATION: Final = re.compile(r"[0-9a-f]{16}")


class Step(StrEnum):
    """How far a machine is. `LAUNCHING`: a provider may have it, and may not."""

    LAUNCHING = "launching"
    LAUNCHED = "launched"
    DESTROYING = "destroying"


@dataclass(frozen=True, slots=True)
class Entry:
    """One machine of ours. `launch` is the id that its provider is given; `machine` the provider's own, "" before that.

    `key` is what the policy is asked about: the key of the data that it works near, or its own name; `near` is "" or
    what it was asked to be near. `request` is the digest of all that was asked. `public_key` is what was imported for
    it, "" for nothing. `hidden`: its provider is not told its name and label. `passed` are the places that had no room
    for it, with their words.
    """

    name: str
    launch: str
    target: str
    key: str
    label: str
    near: str
    request: str
    size: str
    image: str
    step: Step
    created: str
    expires: str = ""
    owner: str = ""
    machine: str = ""
    public_key: str = ""
    hidden: bool = False
    policy: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    passed: Mapping[str, str] = field(default_factory=dict[str, str])

    def expired(self, now: datetime) -> bool:
        """Whether its time to live is over."""
        return bool(self.expires) and datetime.fromisoformat(self.expires) <= now


class Journal:
    """The entries beside the state database `state`. Every method raises StateError where they cannot be used."""

    def __init__(self, state: Path) -> None:
        self.path = state.with_name(state.name + SUFFIX)

    def installation(self) -> str:
        """Return the id of this installation, by which its machines are told from those of others."""
        file = self.path / "installation"
        with self._storing():
            if not file.exists():
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
                # Of two processes that come first at the same time, the same one wins for both.
                made = self._written(self.path / f".{token_hex(8)}", token_hex(8))
                with suppress(FileExistsError):
                    os.link(made, file)
                made.unlink()
            found = file.read_text(encoding="ascii")
        if INSTALLATION.fullmatch(found) is None:
            raise StateError(f"`{file}` is damaged; restore it from a copy")
        return found

    def get(self, name: str) -> Entry | None:
        """Return the entry of a name, or None."""
        file = self._file(name)
        try:
            return _entry(file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise StateError(f"`{file}`, which tells of the machine `{name}`, cannot be read: {error}") from error

    def entries(self) -> tuple[Entry, ...]:
        """Return every entry, by name."""
        found: list[Entry] = []
        with self._storing():
            for file in self.path.glob("*.json"):
                try:
                    found.append(_entry(file.read_bytes()))
                except FileNotFoundError:
                    continue
                except (ValueError, LookupError, TypeError) as error:
                    raise StateError(f"`{file}`, which tells of a machine, is damaged: {error}") from error
        return tuple(sorted(found, key=lambda entry: entry.name))

    def put(self, entry: Entry) -> None:
        """Keep an entry, flushed to the disk."""
        told = {"sovbroker_machine": FORM, **asdict(entry)}
        with self._storing():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path, prefix=".")
            os.close(handle)
            self._written(Path(name), json.dumps(told, indent=1)).replace(self._file(entry.name))
            self._flush()

    def remove(self, name: str) -> None:
        """Forget a name."""
        with self._storing():
            self._file(name).unlink(missing_ok=True)
            self._flush()

    @contextmanager
    def locked(self, name: str, *, wait: bool = True) -> Generator[None]:
        """Keep other threads and processes from a name. Raises Unavailable where one has it and we do not `wait`."""
        with self._storing():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._file(name).with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise Unavailable(f"somebody is at work on the machine `{name}`") from error
            yield
        finally:
            os.close(handle)

    def _file(self, name: str) -> Path:
        return self.path / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"

    @staticmethod
    def _written(file: Path, text: str) -> Path:
        with file.open("w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        return file

    def _flush(self) -> None:
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    @contextmanager
    def _storing(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise StateError(f"what is known of machines, in `{self.path}`, cannot be used: {error}") from error


NAMES: Final = tuple(one.name for one in fields(Entry))


def _entry(raw: bytes) -> Entry:
    found: dict[str, Any] = json.loads(raw)
    if found["sovbroker_machine"] != FORM:
        raise ValueError(f"it has form {found['sovbroker_machine']!r}, and this version knows {FORM}")
    given: dict[str, Any] = {name: found[name] for name in NAMES if name in found}
    given["step"] = Step(found["step"])
    given["passed"] = dict(found.get("passed", {}))
    entry = Entry(**given)
    if not all(isinstance(getattr(entry, name), str) for name in ("name", "launch", "target", "key", "label")):
        raise ValueError("it names no machine")
    return entry
