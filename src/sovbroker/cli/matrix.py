"""The matrix of a probe, printed: a row for each thing that was looked at, a column for each target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from sovbroker.cli.screen import time_text

if TYPE_CHECKING:
    from sovbroker.cli.screen import Screen
    from sovbroker.probing import Line, Probe

__all__ = ["print_matrix"]

UNKNOWN: Final = "unknown"
NOTHING: Final = "-"
MARK: Final = " !"


def print_matrix(screen: Screen, probes: Sequence[Probe]) -> None:
    """Print what was found, and below it why, for all that is not simply there."""
    found = [probe for probe in probes if not probe.error]
    names = list(dict.fromkeys(line.name for probe in found for line in probe.lines))
    if found:
        rows = [(name, *(cell_of(probe, name) for probe in found)) for name in names]
        screen.table(("feature", *(probe.target for probe in found)), rows)
    for probe in probes:
        screen.say("")
        screen.say(f"{probe.target}: {probe.container or NOTHING}, {summary_of(probe)}")
        screen.table(("", "", ""), notes_of(probe), header=False)
    if any(probe.wrong for probe in probes):
        screen.say(f"\n{MARK.strip()} is promised and not there; it is refused from now on")


def cell_of(probe: Probe, name: str) -> str:
    """Return the word for one line of one target."""
    line = next((line for line in probe.lines if line.name == name), None)
    if line is None:
        return NOTHING
    return word_of(line) + (MARK if line.wrong else "")


def word_of(line: Line) -> str:
    """Return the word for what was found."""
    return UNKNOWN if line.support is None else str(line.support)


def summary_of(probe: Probe) -> str:
    """Say in a line what came of a probe."""
    if probe.error:
        return f"not probed: {probe.error}"
    wrong = f", {len(probe.wrong)} promised and not there" if probe.wrong else ""
    return f"by {probe.adapter} ({probe.version or 'no version'}) at {time_text(probe.at)}{wrong}"


def notes_of(probe: Probe) -> Iterator[tuple[str, str, str]]:
    """Yield name, word and reason of every line that is not simply there as it was declared."""
    for line in probe.lines:
        if line.support != "native" or line.better:
            declared = "" if line.declared in {None, line.support} else f" (declared {line.declared})"
            yield f"  {line.name}", cell_of(probe, line.name), f"{line.reason}{declared}"
    for key in probe.left:
        yield "  left behind", NOTHING, f"`{key}` could not be removed; the next probe tries again"
