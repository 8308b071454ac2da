"""What packages bring by entry points: found by group and name, and loaded when it is used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from sovbroker.errors import ConfigError

__all__ = ["entry_of"]


def entry_of(group: str, name: str, *, lacking: str, beside: Iterable[str] = ()) -> EntryPoint:
    """Return the entry point of that name. Raises ConfigError, which begins with `lacking` and ends with a suggestion.

    `beside` are names that are known without one.
    """
    found = entry_points(group=group)
    for entry in found:
        if entry.name == name:
            return entry
    known = sorted({*beside, *found.names})
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(known) or 'none'}"
    raise ConfigError(f"{lacking}; {hint}")
