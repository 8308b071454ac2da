"""What the service, the network and the SDK say when something fails, in our words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, cast

import requests

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

__all__ = ["Asked", "failure", "names_object", "refusal"]

_auth: Final[Any] = import_module("google.auth.exceptions")

LATER: Final = frozenset(
    {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "SlowDown", "TooManyRequests", "backendError"}
)
UNKNOWN_TO_IT: Final = frozenset({"notImplemented", "NotImplemented", "MethodNotAllowed", "UnsupportedOperation"})
NO_BUCKET: Final = ("The specified bucket does not exist", "NoSuchBucket")
NO_OBJECT: Final = ("No such object", "NoSuchKey")
DIGEST: Final = re.compile(r"CRC32C|MD5|BadDigest")
CODE: Final = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
MESSAGE: Final = re.compile(r"<Message>([^<]{1,400})</Message>")
SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What was being asked when it failed: `conditional` when the call was to change nothing that exists."""

    target: str
    bucket: str
    key: str | None = None
    conditional: bool = False


def failure(error: Exception, asked: Asked) -> SovbrokerError:
    """Return the error of ours that an exception means. Whatever is not known to be final is Unavailable."""
    where = {"target": asked.target, "key": asked.key}
    match error:
        case SovbrokerError():
            return error
        case requests.exceptions.SSLError():
            return Unavailable(f"no trusted connection: {_short(error)}", **where)
        case requests.RequestException() | OSError():
            return Unavailable(f"no answer: {_short(error)}", **where)
        case _ if isinstance(error, _auth.TransportError) or getattr(error, "retryable", False):
            return Unavailable(f"no token could be had: {_short(error)}", **where)
        case _ if isinstance(error, _auth.GoogleAuthError):
            return PermissionDenied(f"the credentials give no token: {_short(error)}", **where)
        case _:
            return Unavailable(f"a broken answer: {type(error).__name__}: {_short(error)}", **where)


def refusal(status: int, body: bytes, asked: Asked) -> SovbrokerError:
    """Return the error that an answer with an error's status means."""
    reason, message = _said(body)
    named = message.startswith(NO_BUCKET[0]) or reason == NO_BUCKET[1] or asked.key is None
    if status == 404 and named:  # noqa: PLR2004 - not found
        return NotFound(f"there is no bucket `{asked.bucket}`", target=asked.target)
    said = f"the store answered {status} {reason}: {message}"[: SHOWN + 60]
    if status in {413, 416}:
        return InvalidArgument(f"{asked.target}: {said}")
    kind = _kind(status, reason, message, conditional=asked.conditional)
    if kind is NotFound:
        said = f"there is no object `{asked.key}`"
    if kind is AlreadyExists:
        said = f"there is an object `{asked.key}` already"
    return kind(said, target=asked.target, key=asked.key)


def names_object(body: bytes) -> bool:
    """Whether an answer says that it is an object that is missing, and so not the bucket."""
    reason, message = _said(body)
    return message.startswith(NO_OBJECT[0]) or reason == NO_OBJECT[1]


def _kind(status: int, reason: str, message: str, *, conditional: bool) -> type[StoreError]:  # noqa: PLR0911 - a table
    if reason in LATER or (status == 400 and DIGEST.search(f"{reason} {message}")):  # noqa: PLR2004 - bad request
        return Unavailable
    if reason in UNKNOWN_TO_IT:
        return NotSupported
    if conditional and status == 412:  # noqa: PLR2004 - precondition failed
        return AlreadyExists
    match status:
        case 401 | 403 | 407:
            return PermissionDenied
        case 404:
            return NotFound
        case 405 | 501:
            return NotSupported
        case 408 | 425 | 429:
            return Unavailable
        case _ if status < 300 or status >= 500:  # noqa: PLR2004 - an error in a success, or a failure of the server
            return Unavailable
        case _:
            return StoreError


def _said(body: bytes) -> tuple[str, str]:
    """Return the reason and the message of an error, of either interface; empty where there is none."""
    text = body.decode(errors="replace")
    code, message = CODE.search(text), MESSAGE.search(text)
    if code is not None:
        return code[1], message[1] if message else ""
    try:
        error = cast("Mapping[str, Any]", json.loads(text))["error"]
        reason = error["errors"][0].get("reason", "") if error.get("errors") else error.get("status", "")
        return str(reason)[:60], str(error.get("message", ""))[:SHOWN]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", ""


def _short(error: Exception) -> str:
    return str(error)[:SHOWN]
