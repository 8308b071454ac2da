"""What a container is like, as far as its answers tell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from uuid import uuid4

from sovbroker.errors import StoreError
from sovbroker.ports import Inspection
from sovbroker_adapters.swift.calls import Call
from sovbroker_adapters.swift.client import Connection
from sovbroker_adapters.swift.names import UPLOADS
from sovbroker_adapters.swift.proof import NOT_FOUND

__all__ = ["inspect"]

DENIED: Final = frozenset({401, 403})
VERSIONS: Final = ("X-Versions-Location", "X-History-Location")


def inspect(connection: Connection) -> Inspection:
    """Ask for the container, and as somebody without a token for an object that is not there.

    What expires by itself is written on each object, and how the disks are encrypted is written nowhere.
    """
    _, headers = connection.ask(Call("HEAD"))
    clock = _moment(headers.get("Date", ""))
    here = datetime.now(UTC)
    return Inspection(
        clock=clock,
        skew=None if clock is None else clock - here,
        region=connection.login().region,
        public=_public(connection, headers),
        versioned=_versioned(headers),
        locks=False,
    )


def _public(connection: Connection, headers: Mapping[str, str]) -> bool | None:
    """Whether somebody without credentials may read. The container's list is shown to its owner alone."""
    allowed = [word.strip() for word in headers.get("X-Container-Read", "").split(",")]
    if any(word.startswith(".r:") and not word.startswith(".r:-") for word in allowed):
        return True
    call = Call("HEAD", f"{UPLOADS}{uuid4().hex}", anonymous=True, also=DENIED | NOT_FOUND)
    try:
        status, _ = connection.ask(call)
    except StoreError:
        return None
    return status not in DENIED


def _versioned(headers: Mapping[str, str]) -> bool:
    if any(headers.get(name) for name in VERSIONS):
        return True
    return headers.get("X-Versions-Enabled", "").lower() == "true"


def _moment(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
