"""What services, the network and drivers say when something fails, in our words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import requests

from sovbroker.errors import (
    InvalidArgument,
    NotFound,
    NotSupported,
    PermissionDenied,
    SovbrokerError,
    StoreError,
    Unavailable,
)
from sovbroker_adapters.libcloud.wire import AnsweredError

__all__ = ["Asked", "failure"]

CODE: Final = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
LATER: Final = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    }
)
DENIED: Final = frozenset(
    {"AuthorizationHeaderMalformed", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestTimeTooSkewed"}
)
WRONG: Final = frozenset({"EntityTooLarge", "InvalidRange", "KeyTooLongError", "MetadataTooLarge"})
SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What was being asked when it failed."""

    target: str
    container: str
    key: str | None = None


def failure(error: Exception, asked: Asked) -> SovbrokerError:
    """Return the error of ours that an exception means. Whatever is not known to be final is Unavailable."""
    where = {"target": asked.target, "key": asked.key}
    match error:
        case SovbrokerError():
            return error
        case AnsweredError():
            return _answered(error, asked)
        case requests.exceptions.SSLError():
            return Unavailable(f"no trusted connection: {_short(error)}", **where)
        case requests.RequestException() | OSError():
            return Unavailable(f"no answer: {_short(error)}", **where)
        case _:
            return Unavailable(f"a broken answer: {type(error).__name__}: {_short(error)}", **where)


def _answered(error: AnsweredError, asked: Asked) -> SovbrokerError:
    found = CODE.search(error.said)
    code = found[1] if found is not None else ""
    if code == "NoSuchBucket" or (error.status == 404 and not error.of_object):  # noqa: PLR2004 - not found
        return NotFound(f"there is no bucket `{asked.container}`", target=asked.target)
    said = f"the store answered {error.status} {code}".rstrip()
    if code in WRONG or error.status in {413, 416}:
        return InvalidArgument(f"{asked.target}: {said}")
    kind = _kind(error.status, code)
    if kind is NotFound:
        said = f"there is no object `{asked.key}`"
    return kind(said, target=asked.target, key=asked.key)


def _kind(status: int, code: str) -> type[StoreError]:  # noqa: PLR0911 - a table in words
    if code in DENIED:
        return PermissionDenied
    if code in LATER:
        return Unavailable
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


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:SHOWN]
