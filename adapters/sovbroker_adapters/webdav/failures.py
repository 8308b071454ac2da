"""What WebDAV servers and networks do when something fails, in our words. Needs httpx."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import httpx

from sovbroker.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    NotSupported,
    PermissionDenied,
    SovbrokerError,
    StoreError,
    Unavailable,
)
from sovbroker_adapters.webdav.calls import Call
from sovbroker_adapters.webdav.multistatus import BrokenAnswerError

__all__ = ["answered", "failure"]

KINDS: Final[Mapping[int, type[StoreError]]] = MappingProxyType(
    {
        401: PermissionDenied,
        403: PermissionDenied,
        404: NotFound,
        405: NotSupported,
        407: PermissionDenied,
        408: Unavailable,
        # The collection above is missing: somebody removed it, and it is made again.
        409: Unavailable,
        410: NotFound,
        423: Unavailable,
        425: Unavailable,
        429: Unavailable,
        501: NotSupported,
    }
)
TOO_MUCH: Final = frozenset({413, 414, 416, 431})
CONDITION: Final = 412
SHOWN: Final = 200


def answered(status: int, call: Call, *, target: str) -> SovbrokerError:
    """Return the error that an answer's status means. What is not known to be final is Unavailable."""
    said = f"the store answered {status}{_phrase(status)} to {call.method}"
    if status in TOO_MUCH:
        return InvalidArgument(f"{target}: {said}")
    if status == CONDITION and call.conditional:
        return AlreadyExists(f"there is an object `{call.key}` already", target=target, key=call.key)
    if 300 <= status < 400:  # noqa: PLR2004 - redirects
        said += "; redirects are not followed: give the endpoint that it leads to"
        return StoreError(said, target=target, key=call.key)
    # A success that was not asked for is a broken answer.
    final = 400 <= status < 500  # noqa: PLR2004 - the request's fault
    kind = KINDS.get(status, StoreError if final else Unavailable)
    if kind is NotFound and call.key is not None:
        said = f"there is no object `{call.key}`"
    return kind(said, target=target, key=call.key)


def failure(error: Exception, call: Call, *, target: str) -> SovbrokerError:
    """Return the error of ours that `error` means."""
    match error:
        case SovbrokerError():
            return error
        case httpx.LocalProtocolError() | httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return InvalidArgument(f"{target}: the request cannot be sent: {_short(error)}")
        case httpx.TimeoutException():
            said = f"no answer in time to {call.method}: {type(error).__name__}"
        case httpx.TransportError() | OSError():
            said = f"no answer to {call.method}: {_short(error)}"
        case BrokenAnswerError():
            said = f"a broken answer to {call.method}: {_short(error)}"
        case _:
            said = f"a broken answer to {call.method}: {type(error).__name__}: {_short(error)}"
    return Unavailable(said, target=target, key=call.key)


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _short(error: Exception) -> str:
    return str(error)[:SHOWN]
