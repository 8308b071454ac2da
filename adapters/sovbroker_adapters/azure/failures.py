"""What Azure and its SDK say when something fails, in our words. It needs the SDK.

Codes come first; a code that is not known is judged by its status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast

from azure.core import exceptions as sdk

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

__all__ = ["Asked", "code_of", "failure"]

DENIED: Final = frozenset(
    {
        "AccountIsDisabled",
        "AuthenticationFailed",
        "BlobImmutableDueToLegalHold",
        "BlobImmutableDueToPolicy",
        "InsufficientAccountPermissions",
        "InvalidAuthenticationInfo",
        "KeyBasedAuthenticationNotPermitted",
        "LeaseIdMissing",
        "NoAuthenticationInformation",
        "PublicAccessNotPermitted",
    }
)
LATER: Final = frozenset(
    {
        "AccountBeingCreated",
        "BlobOverwritten",
        "ContainerBeingCreated",
        "ContainerBeingDeleted",
        "ContainerDisabled",
        "Crc64Mismatch",
        "InternalError",
        "Md5Mismatch",
        "OperationTimedOut",
        "PendingCopyOperation",
        "ServerBusy",
        "SourceConditionNotMet",
    }
)
WRONG: Final = frozenset(
    {
        "BlobTooLarge",
        "BlockCountExceedsLimit",
        "BlockListTooLong",
        "EmptyMetadataKey",
        "InvalidMetadata",
        "InvalidRange",
        "InvalidResourceName",
        "InvalidUri",
        "MetadataTooLarge",
        "OutOfRangeInput",
        "RequestBodyTooLarge",
    }
)
UNKNOWN_TO_IT: Final = frozenset(
    {"APINotImplemented", "BlobTypeNotSupported", "FeatureNotSupportedForAccount", "UnsupportedHttpVerb"}
)
CONDITION: Final = frozenset({"BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet"})
GONE: Final = frozenset({"InvalidBlockList"})
CONTAINER: Final = frozenset({"ContainerNotFound", "ResourceNotFound"})
KINDS: Final[Mapping[str, type[StoreError]]] = MappingProxyType(
    dict.fromkeys(DENIED, PermissionDenied)
    | dict.fromkeys(UNKNOWN_TO_IT, NotSupported)
    | dict.fromkeys(LATER, Unavailable)
    | dict.fromkeys(GONE, NotFound)
)
SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What was being asked when it failed: `conditional` when the call was to change nothing that exists."""

    target: str
    container: str
    key: str | None = None
    conditional: bool = False


def code_of(error: BaseException | None) -> str:
    """Return the service's code for a failure, or "" when it gave none."""
    answer = cast("Any", getattr(error, "response", None))
    said = getattr(error, "error_code", None) or (answer and answer.headers.get("x-ms-error-code"))
    return str(getattr(said, "value", said) or "")


def failure(error: Exception, asked: Asked) -> SovbrokerError:
    """Return the error of ours that `error` means. Whatever is not known to be final is Unavailable."""
    where = {"target": asked.target, "key": asked.key}
    match error:
        case SovbrokerError():
            return error
        case sdk.HttpResponseError() if not isinstance(error, sdk.DecodeError | sdk.IncompleteReadError):
            return _answered(error, asked)
        case sdk.ServiceRequestError() | sdk.ServiceResponseError() | OSError():
            return Unavailable(f"no answer: {_short(error)}", **where)
        case _ if isinstance(error.__context__, sdk.HttpResponseError):
            # The SDK failed at reading why the service refused.
            return _answered(error.__context__, asked)
        case _:
            return Unavailable(f"a broken answer: {type(error).__name__}: {_short(error)}", **where)


def _answered(error: sdk.HttpResponseError, asked: Asked) -> SovbrokerError:
    code, status = code_of(error), error.status_code or 0
    if code in CONTAINER:
        return NotFound(f"there is no container `{asked.container}`", target=asked.target)
    said = f"the store answered {status} {code}: {_short(error)}"
    if code in WRONG or status == 416:  # noqa: PLR2004 - range not satisfiable
        return InvalidArgument(f"{asked.target}: {said}")
    kind = _kind(code, status, conditional=asked.conditional)
    if code in GONE:
        said = f"the store no longer holds all parts of `{asked.key}`"
    elif kind is NotFound:
        said = f"there is no object `{asked.key}`"
    elif kind is AlreadyExists:
        said = f"there is an object `{asked.key}` already"
    return kind(said, target=asked.target, key=asked.key)


def _kind(code: str, status: int, *, conditional: bool) -> type[StoreError]:  # noqa: PLR0911 - a table in words
    if code in KINDS:
        return KINDS[code]
    if code.startswith("Authorization"):
        return PermissionDenied
    if conditional and (code in CONDITION or (not code and status in {409, 412})):
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


def _short(error: Exception) -> str:
    said = str(getattr(error, "message", None) or error)
    return " ".join(said.split())[:SHOWN]
