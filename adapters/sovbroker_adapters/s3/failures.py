"""What S3 services and the SDK say when something fails, in our words.

Codes come first, as services agree on them more than on statuses; a code that is not known is judged by its status.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from botocore import exceptions as sdk

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

__all__ = ["Asked", "code_of", "failure", "kind_of"]

DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "NotSignedUp",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
LATER: Final = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "XAmzContentSHA256Mismatch",
    }
)
WRONG: Final = frozenset(
    {"EntityTooLarge", "EntityTooSmall", "InvalidRange", "KeyTooLongError", "MetadataTooLarge", "UnexpectedContent"}
)
UNKNOWN_TO_IT: Final = frozenset({"NotImplemented", "MethodNotAllowed", "UnsupportedOperation"})
CONDITION: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
REFUSED_CREDENTIALS: Final = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.UnauthorizedSSOTokenError,
    sdk.SSOTokenLoadError,
)
SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What was being asked when it failed: `conditional` when the call was to change nothing that exists."""

    target: str
    bucket: str
    key: str | None = None
    conditional: bool = False


def code_of(error: sdk.ClientError) -> tuple[str, int]:
    """Return the code ("" when there is none) and the HTTP status (0 when there is none) of an answer."""
    answer = cast("Mapping[str, Any]", error.response)
    code = str(answer.get("Error", {}).get("Code", ""))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code, int(status)


def failure(error: Exception, asked: Asked) -> SovbrokerError:  # noqa: PLR0911 - a table in words
    """Return the error of ours that `error` means. Whatever is not known to be final is Unavailable."""
    where = {"target": asked.target, "key": asked.key}
    match error:
        case SovbrokerError():
            return error
        case sdk.HTTPClientError() if isinstance(ours := error.kwargs.get("error"), SovbrokerError):
            # The SDK wraps what its connections raise.
            return ours
        case sdk.ClientError():
            return _answered(error, asked)
        case sdk.ParamValidationError():
            return InvalidArgument(f"the request cannot be sent: {error}")
        case _ if isinstance(error, REFUSED_CREDENTIALS):
            return PermissionDenied(f"no credentials to sign with: {_short(error)}", **where)
        case sdk.SSLError() | ssl.SSLError():
            return Unavailable(f"no trusted connection: {_short(error)}", **where)
        case sdk.BotoCoreError() | OSError():
            return Unavailable(f"no answer: {_short(error)}", **where)
        case _:
            return Unavailable(f"a broken answer: {type(error).__name__}: {_short(error)}", **where)


def _answered(error: sdk.ClientError, asked: Asked) -> SovbrokerError:
    code, status = code_of(error)
    if code == "NoSuchBucket":
        return NotFound(f"there is no bucket `{asked.bucket}`", target=asked.target)
    said = f"the store answered {status} {code} to {error.operation_name}: {_said(error)}"
    if code in WRONG or status == 416:  # noqa: PLR2004 - range not satisfiable
        return InvalidArgument(f"{asked.target}: {said}")
    if code == "NoSuchUpload":
        message = f"there is no unfinished upload with this id of `{asked.key}`"
        return NotFound(message, target=asked.target, key=asked.key)
    kind = _kind(code, status, conditional=asked.conditional)
    if kind is NotFound and asked.key is not None:
        said = f"there is no object `{asked.key}`"
    if kind is AlreadyExists:
        said = f"there is an object `{asked.key}` already"
    return kind(said, target=asked.target, key=asked.key)


def kind_of(code: str) -> type[StoreError]:
    """Return the error that a code means where there is no status: in an answer about many objects."""
    return _kind(code, 0, conditional=False)


def _kind(code: str, status: int, *, conditional: bool) -> type[StoreError]:  # noqa: PLR0911 - a table in words
    if code in DENIED:
        return PermissionDenied
    if code in UNKNOWN_TO_IT:
        return NotSupported
    if conditional and (code in CONDITION or status in {409, 412}):
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


def _said(error: sdk.ClientError) -> str:
    answer = cast("Mapping[str, Any]", error.response)
    return str(answer.get("Error", {}).get("Message", ""))[:SHOWN]


def _short(error: Exception) -> str:
    return str(error)[:SHOWN]
