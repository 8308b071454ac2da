"""What a container is like, as far as its answers tell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from uuid import uuid4

from sovbroker.errors import PermissionDenied, StoreError
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
    denied: PermissionDenied | None = None
    headers: Mapping[str, str] = {}
    try:
        _, headers = connection.ask(Call("HEAD"))
    except PermissionDenied as error:
        # Who may read the objects may still not ask for the container.
        denied = error
    clock = _moment(headers.get("Date", ""))
    here = datetime.now(UTC)
    public = _public(connection, headers)
    if denied is not None and public is None:
        raise denied
    return Inspection(
        clock=clock,
        skew=None if clock is None else clock - here,
        region=connection.login().region,
        public=public,
        versioned=None if denied is not None else _versioned(headers),
        locks=False,
    )


def _public(connection: Connection, headers: Mapping[str, str]) -> bool | None:
    """Whether somebody without credentials may read. The list of readers is shown to the container's owner alone."""
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
