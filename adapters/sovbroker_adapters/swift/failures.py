"""What Swift, Keystone and networks do when something fails, in our words. Needs httpx."""

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
from sovbroker_adapters.swift.calls import Call

__all__ = ["answered", "failure", "said"]

KINDS: Final[Mapping[int, type[StoreError]]] = MappingProxyType(
    {
        401: PermissionDenied,
        403: PermissionDenied,
        404: NotFound,
        405: NotSupported,
        407: PermissionDenied,
        408: Unavailable,
        # Somebody wrote later, and was faster.
        409: Unavailable,
        410: NotFound,
        # The body is not the one whose digest was sent.
        422: Unavailable,
        425: Unavailable,
        429: Unavailable,
        # Swift's own number for too many requests.
        498: Unavailable,
        499: Unavailable,
        501: NotSupported,
    }
)
TOO_MUCH: Final = frozenset({413, 414, 416, 431})
CONDITION: Final = 412
SHOWN: Final = 200


def answered(status: int, call: Call, *, target: str, container: str) -> SovbrokerError:
    """Return the error that an answer's status means. What is not known to be final is Unavailable."""
    text = f"the store answered {said(status)} to {call.method}"
    if status in TOO_MUCH:
        return InvalidArgument(f"{target}: {text}")
    if status == CONDITION and call.conditional:
        return AlreadyExists(f"there is an object `{call.key}` already", target=target, key=call.key)
    if 300 <= status < 400:  # noqa: PLR2004 - redirects
        text += "; redirects are not followed: give the endpoint that it leads to"
        return StoreError(text, target=target, key=call.key)
    # A success that was not asked for is a broken answer.
    final = 400 <= status < 500  # noqa: PLR2004 - the request's fault
    kind = KINDS.get(status, StoreError if final else Unavailable)
    if kind is NotFound and (call.key is None or call.method == "PUT"):
        return NotFound(f"there is no container `{container}`", target=target)
    if kind is NotFound:
        text = f"there is no object `{call.key}`"
    return kind(text, target=target, key=call.key)


def failure(error: Exception, what: str, *, target: str, key: str | None = None) -> SovbrokerError:
    """Return the error of ours that `error` means; `what` was being done."""
    match error:
        case SovbrokerError():
            return error
        case httpx.LocalProtocolError() | httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return InvalidArgument(f"{target}: the request cannot be sent: {_short(error)}")
        case httpx.TimeoutException():
            text = f"no answer in time to {what}: {type(error).__name__}"
        case httpx.TransportError() | OSError():
            text = f"no answer to {what}: {_short(error)}"
        case _:
            text = f"a broken answer to {what}: {type(error).__name__}: {_short(error)}"
    return Unavailable(text, target=target, key=key)


def said(status: int) -> str:
    """Return a status with its phrase."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _short(error: Exception) -> str:
    return str(error)[:SHOWN]
