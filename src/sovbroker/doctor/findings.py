"""What a check finds, and what it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from sovbroker.catalogue import Catalogue
from sovbroker.config import Config
from sovbroker.errors import NotFound, PermissionDenied, SovbrokerError, Unavailable

__all__ = ["Check", "Finding", "Patient", "Severity", "mend_of"]


class Severity(StrEnum):
    """How bad a finding is. `OK` tells that a check found nothing."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `subject`, `what` was found, and how to `mend` it."""

    severity: Severity
    subject: str
    what: str
    mend: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Patient:
    """What the checks look at."""

    config: Config
    catalogue: Catalogue
    clock: Callable[[], datetime]


Check = Callable[[Patient], Iterable[Finding]]
"""One check: yields findings, OK when all is well, none where there is nothing to look at.

An error that it raises becomes a finding.
"""


def mend_of(error: SovbrokerError) -> str:
    """Return what to do about an error whose message does not say it."""
    match error:
        case NotFound():
            return "create the bucket or folder at the provider, or correct its name in the configuration"
        case PermissionDenied() if "skew" in str(error).lower():
            return "set the clock of this machine, by NTP say: signatures count for a few minutes only"
        case PermissionDenied():
            return "compare the credentials, and what they allow, with what the provider shows"
        case Unavailable():
            return "look whether the provider and the way to it are up, and try again"
        case _:
            return ""
