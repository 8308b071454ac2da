"""The values that the broker hands out: what was stored, what is known of it, and how to open it without us."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sovbroker.placements import CopyRow, Placement
from sovbroker.policy import Decision

__all__ = ["Copy", "ExitTicket", "Folder", "Info", "ObjectFile", "Stored"]

BUFFER: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy: the target that holds it, and its mode: `clear`, `sealed`, or `sealed, names hidden`."""

    target: str
    mode: str

    def __str__(self) -> str:
        """Name the target, then the mode."""
        return f"{self.target} ({self.mode})"


@dataclass(frozen=True, slots=True)
class Info:
    """What the broker knows of one version of one object. `size` is the plaintext's, in bytes; `created` is UTC."""

    key: str
    version: str
    label: str
    size: int
    created: datetime
    content_type: str | None
    metadata: Mapping[str, str]
    copies: tuple[Copy, ...]
    current: bool = True

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {
            "key": self.key,
            "version": self.version,
            "label": self.label,
            "size": self.size,
            "created": self.created.isoformat(),
            "content_type": self.content_type,
            "metadata": dict(self.metadata),
            "copies": [{"target": copy.target, "mode": copy.mode} for copy in self.copies],
            "current": self.current,
        }


class ObjectFile(io.BufferedReader):
    """What `Broker.get` returns: a binary file. `info` is what the broker knows of the object."""

    def __init__(self, raw: io.RawIOBase, info: Info) -> None:
        super().__init__(raw, BUFFER)
        self.info = info


@dataclass(frozen=True, slots=True)
class Folder:
    """What a listing with a delimiter folds together: every key that begins with `prefix`."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Stored:
    """The outcome of a write: it is committed, at every one of `copies`, by the `decision`."""

    key: str
    version: str
    label: str
    size: int
    copies: tuple[Copy, ...]
    decision: Decision = field(repr=False)

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {
            "key": self.key,
            "version": self.version,
            "label": self.label,
            "size": self.size,
            "copies": [{"target": copy.target, "mode": copy.mode} for copy in self.copies],
            "decision": self.decision.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class ExitTicket:
    """Everything that opens one version's copies without this library, its key included.

    `dek` and `context` are what Cobblestone-256 asks for, in hexadecimal, "" where no copy is sealed; the context is
    made of `domain`, `key`, `version` and `label`, as docs/format.md says. Each place tells the target, the endpoint,
    the container, the object's name there and whether its body is sealed.
    """

    domain: str
    key: str
    version: str
    label: str
    size: int
    format: str
    dek: str = field(repr=False)
    context: str
    places: tuple[Mapping[str, object], ...]

    def to_json(self) -> str:
        """Write the ticket as JSON, key included."""
        ticket = {
            "domain": self.domain,
            "key": self.key,
            "version": self.version,
            "label": self.label,
            "size": self.size,
            "format": self.format,
            "dek": self.dek,
            "context": self.context,
            "places": [dict(place) for place in self.places],
        }
        return json.dumps(ticket, indent=2, ensure_ascii=False)


def copy_of(row: CopyRow) -> Copy:
    """Tell a copy's mode in words."""
    if not row.sealed:
        return Copy(row.target, "clear")
    return Copy(row.target, "sealed, names hidden" if row.names_encrypted else "sealed")


def info_of(placement: Placement) -> Info:
    """Tell what a row says, without what opens the object."""
    return Info(
        key=placement.key,
        version=placement.version,
        label=placement.label,
        size=placement.size,
        created=placement.created,
        content_type=placement.content_type,
        metadata=placement.metadata,
        copies=tuple(copy_of(row) for row in placement.copies),
        current=placement.state == "current",
    )
