"""Every error that sovbroker raises, in one tree.

::

    SovbrokerError
    ├── ConfigError            the configuration cannot be used; nothing was opened
    ├── InvalidArgument        an argument that can mean nothing (also a ValueError)
    ├── PolicyError            the policy cannot be loaded; carries diagnostics
    ├── Refused                the policy says no; carries the decision; never retried
    ├── StateError             the state database cannot be used
    ├── StoreError             a store said no; carries target and key
    │   ├── NotFound
    │   ├── AlreadyExists      `if_absent` met an object
    │   ├── Conflict           `if_version` met another version
    │   ├── PermissionDenied
    │   ├── Unavailable        the only one worth a retry
    │   ├── NoCapacity         no room for a machine now; nothing was made
    │   └── NotSupported       the store cannot do this, and says so
    └── SealError              sealing or opening failed
        ├── Tampered           what was read is not what was sealed
        ├── KeyUnavailable     the key is missing, locked or unreachable
        └── UnknownFormat      written by a newer version, or not by us

An SDK's exception never crosses a port: it is the `__cause__` of one of these. Messages are lower case, carry the
user's input in backticks and say what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AlreadyExists",
    "ConfigError",
    "Conflict",
    "Diagnostic",
    "Explained",
    "InvalidArgument",
    "KeyUnavailable",
    "NoCapacity",
    "NotFound",
    "NotSupported",
    "PermissionDenied",
    "PolicyError",
    "Refused",
    "SealError",
    "SovbrokerError",
    "StateError",
    "StoreError",
    "Tampered",
    "Unavailable",
    "UnknownFormat",
]

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding about one place of a file that a person wrote.

    `line` and `column` count from 1; `width` is the number of characters to underline; `text` is the source line.
    `code` (`SB001`) names a page of the documentation. `str()` prints it for people, with a caret.
    """

    code: str
    severity: Severity
    message: str
    file: str
    line: int
    column: int
    width: int = 1
    text: str = ""
    help: str = ""

    def __str__(self) -> str:
        """Print the finding as compilers do: what, where, the line, a caret, the mend."""
        gutter = len(str(self.line))
        place = f"{self.file}:{self.line}:{self.column}"
        lines = [f"{self.severity}[{self.code}]: {self.message}", f"{' ' * gutter}--> {place}"]
        if self.text:
            lines.append(f"{self.line} | {self.text}")
            lines.append(f"{' ' * gutter} | {' ' * (self.column - 1)}{'^' * max(1, self.width)}")
        if self.help:
            lines.append(f"{' ' * gutter} = help: {self.help}")
        return "\n".join(lines)


class Explained(Protocol):
    """What `Refused` carries: a decision that prints itself for people and machines."""

    def to_dict(self) -> dict[str, object]:
        """Return the decision as JSON types."""
        ...


class SovbrokerError(Exception):
    """The root: catch this to catch everything that sovbroker raises on purpose."""


class ConfigError(SovbrokerError):
    """The configuration, an extra or a credential is missing or wrong; nothing was opened."""


class InvalidArgument(SovbrokerError, ValueError):
    """An argument that can mean nothing: a key with `..`, an unknown label, a range that runs backwards."""


class PolicyError(SovbrokerError):
    """The policy cannot be loaded. `diagnostics` holds every finding, errors first, in file order."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n\n".join(str(d) for d in self.diagnostics))


class Refused(SovbrokerError):
    """The policy forbids the operation. `decision` says why, target by target. Never retried."""

    def __init__(self, decision: Explained, message: str | None = None) -> None:
        self.decision = decision
        super().__init__(message or str(decision))


class StateError(SovbrokerError):
    """The state database cannot be read or written: wrong version, full disk, no permission, corrupt."""


class StoreError(SovbrokerError):
    """A store, or the broker's own view of the stores, said no.

    `target` is the id of the target that answered, or None when the broker answered from its placements;
    `key` is the key as the caller of that layer knows it, or None when no single key is meant.
    """

    def __init__(self, message: str, *, target: str | None = None, key: str | None = None) -> None:
        self.target = target
        self.key = key
        super().__init__(message if target is None else f"{target}: {message}")


class NotFound(StoreError):
    """There is no such object, or no such bucket (then `key` is None)."""


class AlreadyExists(StoreError):
    """`if_absent` was asked for, and there is an object."""


class Conflict(StoreError):
    """`if_version` was asked for, and the object has another version."""


class PermissionDenied(StoreError):
    """The credentials were refused, or allow less than the call needs."""


class Unavailable(StoreError):
    """No answer, a broken answer, or "try later". The only error that a retry may mend."""


class NoCapacity(StoreError):
    """A provider has no room for what was asked for now, or a quota is full. Nothing was made, nothing will be.

    It is raised only where that is sure. Where a machine may have been made all the same, the error is Unavailable.
    """


class NotSupported(StoreError):
    """The store cannot do this. Declared capabilities say so beforehand."""


class SealError(SovbrokerError):
    """Sealing or opening failed. No plaintext of the damaged chunk was released."""


class Tampered(SealError):
    """What was read is not what was sealed. One message for every cause, so that it tells an attacker nothing."""

    def __init__(self) -> None:
        super().__init__("the object is not what was sealed: it was damaged, truncated, swapped or relabelled")


class KeyUnavailable(SealError):
    """The key is missing, locked, destroyed or its service is unreachable."""


class UnknownFormat(SealError):
    """The bytes carry a format that this version does not know."""
