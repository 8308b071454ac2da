"""What a failure means to the caller of the command line: an exit code, and one message or one JSON object."""

from __future__ import annotations

from dataclasses import asdict
from enum import IntEnum

from sovbroker.errors import (
    ConfigError,
    InvalidArgument,
    NotFound,
    PolicyError,
    Refused,
    SovbrokerError,
    StoreError,
    Tampered,
    UnknownFormat,
)

__all__ = ["Exit", "code_of", "facts_of", "message_of"]


class Exit(IntEnum):
    """The exit codes."""

    DONE = 0
    FAILURE = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    INTEGRITY = 5
    INTERRUPTED = 130
    TERMINATED = 143


def code_of(error: Exception) -> Exit:
    """Return the exit code that an error ends the process with."""
    match error:
        case Refused():
            return Exit.REFUSED
        case NotFound():
            return Exit.NOT_FOUND
        case Tampered() | UnknownFormat():
            return Exit.INTEGRITY
        case ConfigError() | PolicyError() | InvalidArgument():
            return Exit.USAGE
        case _:
            return Exit.FAILURE


def message_of(error: Exception) -> str:
    """Return the message for people. What is not ours is named, for it is all that is known of it."""
    match error:
        case SovbrokerError():
            return str(error)
        case OSError() if error.strerror:
            return f"`{error.filename}`: {error.strerror}" if error.filename else error.strerror
        case _:
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return (
                f"{text}; this is a mistake in sovbroker: run the command again with --debug, and report what it says"
            )


def facts_of(error: Exception) -> dict[str, object]:
    """Return the JSON object that stands for an error: its class, its message and what it carries."""
    facts: dict[str, object] = {"error": type(error).__name__, "message": message_of(error)}
    match error:
        case Refused():
            facts["decision"] = error.decision.to_dict()
        case PolicyError():
            facts["diagnostics"] = [asdict(diagnostic) for diagnostic in error.diagnostics]
        case StoreError():
            facts |= {"target": error.target, "key": error.key}
        case _:
            pass
    return facts
