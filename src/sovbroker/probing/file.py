"""The probes of an installation, in a file beside its state database: private, replaced as a whole."""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, cast

from sovbroker.errors import StateError
from sovbroker.ports import Support
from sovbroker.probing.results import Line, Probe, is_feature

__all__ = ["ProbeFile"]

SUFFIX: Final = ".probes.json"
FORM: Final = 1
ID: Final = re.compile(r"[0-9a-f]{16}")
OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Content:
    """What the file says: the installation's id, and its probes, one for each place."""

    installation: str
    probes: tuple[Probe, ...] = ()


class ProbeFile:
    """The file beside `state`. Every method raises StateError for one that cannot be used: it may hold a warning."""

    def __init__(self, state: Path) -> None:
        self.path = state.with_name(state.name + SUFFIX)

    def probes(self) -> tuple[Probe, ...]:
        """Return the stored probes; none where there is no file."""
        content = self._read()
        return () if content is None else content.probes

    def find(self, target: str, *, container: str, endpoint: str | None) -> Probe | None:
        """Return the probe of a place. The same target elsewhere, an emulator say, is another place."""
        return next((probe for probe in self.probes() if _place(probe) == (target, container, endpoint or "")), None)

    def put(self, probes: Iterable[Probe]) -> None:
        """Keep probes, each instead of the last one of its place."""
        held = self._read() or Content(token_hex(8))
        kept = {_place(probe): probe for probe in (*held.probes, *probes)}
        self._write(Content(held.installation, tuple(kept[place] for place in sorted(kept))))

    @contextmanager
    def turn(self) -> Generator[str]:
        """Wait until no other process of this installation probes; yield the installation's id."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error.strerror or "no lock") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            content = self._read()
            if content is None:
                # Before the first key is written: a probe that is killed can be cleared by it.
                content = Content(token_hex(8))
                self._write(content)
            yield content.installation
        finally:
            os.close(handle)

    def _read(self) -> Content | None:
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & OTHERS:
                    raise self._unusable(f"others may write it; run `chmod 600 {self.path}`")
                raw = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error.strerror or "it cannot be read") from error
        try:
            found: Any = json.loads(raw)
            form = found["sovbroker_probes"]
            if form != FORM:
                raise self._unusable(f"it has form {form!r}, and this version knows {FORM}")
            return _content_of(found)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise self._unusable("it is damaged; remove it and run `sovbroker targets probe`") from error

    def _write(self, content: Content) -> None:
        told = {
            "sovbroker_probes": FORM,
            "installation": content.installation,
            "probes": [probe.to_dict() for probe in content.probes],
        }
        temporary: Path | None = None
        try:
            # Private from the start, and on the disk before it has its name.
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            temporary = Path(name)
            with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 - mkstemp gives a handle
                json.dump(told, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:
            if temporary is not None:
                with suppress(OSError):
                    temporary.unlink()
            raise self._unusable(error.strerror or "it cannot be written") from error

    def _unusable(self, why: str) -> StateError:
        return StateError(f"the probes `{self.path}` cannot be used: {why}")


def _place(probe: Probe) -> tuple[str, str, str]:
    return (probe.target, probe.container, probe.endpoint)


def _content_of(found: Mapping[str, Any]) -> Content:
    installation = str(found["installation"])
    if ID.fullmatch(installation) is None:
        raise ValueError(installation)
    return Content(installation, tuple(_probe_of(entry) for entry in found["probes"]))


def _probe_of(entry: Mapping[str, Any]) -> Probe:
    at = datetime.fromisoformat(entry["at"])
    if at.tzinfo is None:
        raise ValueError(at)
    texts = {name: str(entry[name]) for name in ("target", "container", "endpoint", "adapter", "version")}
    lines = cast("list[Mapping[str, Any]]", entry["lines"])
    left = tuple(str(key) for key in entry["left"])
    return Probe(**texts, at=at, lines=tuple(_line_of(line) for line in lines), left=left)


def _line_of(entry: Mapping[str, Any]) -> Line:
    def support(name: str) -> Support | None:
        value = entry[name]
        return None if value is None else Support(value)

    line = Line(str(entry["name"]), support("support"), str(entry["reason"]), support("declared"))
    if (line.declared is not None) is not is_feature(line.name):
        raise ValueError(line.name)
    return line
