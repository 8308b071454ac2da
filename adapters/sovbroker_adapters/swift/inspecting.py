"""What a container is like, as far as its answers tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from sovbroker.errors import PermissionDenied, StoreError
from sovbroker.ports import Inspection
from sovbroker_adapters.clocks import Watch
from sovbroker_adapters.swift.calls import Call
from sovbroker_adapters.swift.client import Connection
from sovbroker_adapters.swift.names import UPLOADS
from sovbroker_adapters.swift.proof import NOT_FOUND

__all__ = ["inspect"]

FORBIDDEN: Final = frozenset({403})
DENIED: Final = frozenset({401, 403})
VERSIONS: Final = ("X-Versions-Location", "X-History-Location")


def inspect(connection: Connection) -> Inspection:
    """Ask for the container, and as somebody without a token for an object that is not there.

    What expires by itself is written on each object, and how the disks are encrypted is written nowhere.
    """
    watch = Watch()
    # Who may read the objects may still not ask for the container.
    call = Call("HEAD", also=FORBIDDEN)
    status, headers = connection.ask(call)
    clock, skew = watch.read(headers.get("Date"))
    allowed = status not in FORBIDDEN
    if allowed and "X-Container-Object-Count" not in headers:
        raise connection.broken(call, "it does not tell of a container")
    public = _public(connection, headers)
    if not allowed and public is None:
        message = f"the store answered {status} to HEAD, and nothing to who comes without a token"
        raise PermissionDenied(message, target=connection.target)
    return Inspection(
        clock=clock,
        skew=skew,
        region=connection.login().region,
        public=public,
        versioned=_versioned(headers) if allowed else None,
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
