"""The SDK's exceptions as errors of ours. Only what the service itself calls missing is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from sovbroker.errors import (
    InvalidArgument,
    NoCapacity,
    NotFound,
    PermissionDenied,
    SovbrokerError,
    StoreError,
    Unavailable,
)

__all__ = ["failure"]

DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AuthFailure",
        "Blocked",
        "ExpiredToken",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
    }
)
FULL: Final = frozenset(
    {
        "InstanceLimitExceeded",
        "InsufficientAddressCapacity",
        "InsufficientCapacity",
        "InsufficientFreeAddressesInSubnet",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "NetworkInterfaceLimitExceeded",
        "VcpuLimitExceeded",
        "VolumeLimitExceeded",
    }
)
"""No room, or a quota that is full: the service checks for it before it makes anything."""

ZONE: Final = "Availability Zone"
"""What `Unsupported` speaks of where it is the zone that lacks the size, not the request that can mean nothing."""

LATER: Final = frozenset(
    {
        "EC2ThrottledException",
        "InternalError",
        "InternalFailure",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "Unavailable",
    }
)
WRONG: Final = frozenset(
    {
        "IdempotentParameterMismatch",
        "IncorrectInstanceState",
        "IncorrectState",
        "MissingParameter",
        "Unsupported",
        "UnsupportedOperation",
        "VPCIdNotSpecified",
        "VolumeInUse",
    }
)
MISSING: Final = (".NotFound", ".Malformed", "ID.Unavailable")
LATER_BY_STATUS: Final = frozenset({408, 425, 429})
SHOWN: Final = 300


def failure(error: Exception, *, target: str) -> SovbrokerError:
    """Return the error of ours that an exception of the SDK is."""
    # The SDK wraps what is raised while it connects.
    found: object = getattr(error, "kwargs", {}).get("error", error)
    if isinstance(found, SovbrokerError):
        return found
    code, said, status = _answered(error)
    if status == 0:
        # What the SDK says of an answer that it cannot read may hold a part of it.
        return Unavailable(f"no whole answer of the provider: {type(error).__name__}", target=target)
    message = f"the provider answered {status}{f', {code}' if code else ''}: {said}"
    if code in FULL or (code == "Unsupported" and ZONE in said):
        return NoCapacity(message, target=target)
    if code in WRONG or (code.startswith("Invalid") and not code.endswith(MISSING) and code not in DENIED):
        return InvalidArgument(f"{target}: {message}")
    return _kind(code, status)(message, target=target)


def _kind(code: str, status: int) -> type[StoreError]:
    """Return the error of an answer; what the service calls it counts before its status."""
    later = status in LATER_BY_STATUS or not 300 <= status < 500  # noqa: PLR2004 - HTTP's own
    match code:
        case _ if code in DENIED:
            return PermissionDenied
        case _ if code.endswith(MISSING):
            return NotFound
        # An error in what says that it is a success is a broken answer.
        case _ if code in LATER or later:
            return Unavailable
        case _:
            return PermissionDenied if status in {401, 403} else StoreError


def _answered(error: Exception) -> tuple[str, str, int]:
    """Return the code, the words and the HTTP status of an answer; 0 where there was none."""
    found: object = getattr(error, "response", None)
    answer = cast("Mapping[str, Any]", found if isinstance(found, Mapping) else {})
    told = answer.get("Error", {})
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return str(told.get("Code", ""))[:SHOWN], str(told.get("Message", ""))[:SHOWN], int(status)
