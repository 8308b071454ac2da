"""What object_store says when something fails, in our words. It says it as text alone, with status and body within.

Codes come first, as services agree on them more than on statuses; a code that is not known is judged by its status.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

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

__all__ = ["NOWHERE", "Asked", "failure", "whole_instead"]

NOWHERE: Final = "127.0.0.1:0"
"""Where nobody can listen: the proxy of every host but the endpoint's."""

STATUS: Final = re.compile(r"\bstatus: (\d{3}),")
BODY: Final = re.compile(r'\bbody: Some\(\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)
CODE: Final = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
LATER: Final = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "Md5Mismatch",
        "OperationAborted",
        "OperationTimedOut",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "XAmzContentSHA256Mismatch",
    }
)
DENIED: Final = frozenset(
    {
        "AuthenticationFailed",
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
        "ExpiredToken",
        "InvalidAuthenticationInfo",
        "InvalidToken",
        "LeaseIdMissing",
        "TokenRefreshRequired",
    }
)
WRONG: Final = frozenset(
    {
        "EntityTooLarge",
        "InvalidMetadata",
        "InvalidRange",
        "KeyTooLongError",
        "MetadataTooLarge",
        "OutOfRangeInput",
        "RequestBodyTooLarge",
    }
)
NO_CONTAINER: Final = frozenset({"NoSuchBucket", "ContainerNotFound"})
SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What was being asked when it failed: `conditional` when the call was to change nothing that exists."""

    target: str
    container: str
    key: str
    conditional: bool = False


def failure(error: Exception, asked: Asked) -> SovbrokerError:
    """Return the error of ours that an exception means. Whatever is not known to be final is Unavailable."""
    if isinstance(error, SovbrokerError):
        return error
    text = str(error)
    where = {"target": asked.target, "key": asked.key}
    found, body = STATUS.search(text), BODY.search(text)
    if found is None:
        if f"{NOWHERE}," in text or "BareRedirect" in text:
            return StoreError("the store sends to another place; its requests go nowhere but to its endpoint", **where)
        return Unavailable(f"no answer, or a broken one: {_short(text)}", **where)
    said = body[1] if body is not None else ""
    code = CODE.search(said)
    return _answered(int(found[1]), code[1] if code is not None else "", asked)


def whole_instead(error: BaseException | None) -> bool:
    """Whether a service sent all of an object where a range was asked for: some do, where the two are the same."""
    return "source: NotPartial" in str(error)


def _answered(status: int, code: str, asked: Asked) -> SovbrokerError:
    said = f"the store answered {status} {code}".rstrip()
    if code in NO_CONTAINER:
        return NotFound(f"there is no bucket `{asked.container}`", target=asked.target)
    if code in WRONG or status in {413, 416}:
        return InvalidArgument(f"{asked.target}: {said}")
    kind = _kind(status, code, conditional=asked.conditional)
    if kind is NotFound:
        said = f"there is no object `{asked.key}`"
    if kind is AlreadyExists:
        said = f"there is an object `{asked.key}` already"
    return kind(said, target=asked.target, key=asked.key)


def _kind(status: int, code: str, *, conditional: bool) -> type[StoreError]:  # noqa: PLR0911 - a table in words
    if code in DENIED:
        return PermissionDenied
    if conditional and status in {409, 412}:
        return AlreadyExists
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


def _short(text: str) -> str:
    return text.partition("\n")[0][:SHOWN]
