"""`make bench`: every module of this folder that has `rows()`, measured and printed as one table.

A module's `rows()` returns (name, value, unit, goal) for each of its measurements. A goal is a bound as it is spoken,
in the value's unit: `>= 0.95`, `<= 40`; empty where there is none. The exit code is always 0: a noisy machine is not a
broken library. Names as arguments pick modules: `python -m bench envelope`.
"""

import importlib
import math
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import Protocol, cast

import bench

Row = tuple[str, float, str, str]
HEADINGS = ("measured", "value", "unit", "goal", "met")
GOAL = re.compile(r"(>=|<=|>|<)\s*([\d.,_]+(?:e-?\d+)?)")


class Measured(Protocol):
    """A module of this folder."""

    def rows(self) -> Iterable[Row]:
        """Measure."""
        ...


def modules(wanted: Sequence[str]) -> list[str]:
    """Return the names of the modules that measure something, or of those of them that are wanted."""
    names = [info.name for info in pkgutil.iter_modules(bench.__path__) if not info.name.startswith("_")]
    return [name for name in names if not wanted or name in wanted]


def met(value: float, goal: str) -> str:
    """Say whether a value is within its goal: `yes`, `NO`, `?` where the goal is not a bound, nothing without one."""
    parsed = GOAL.fullmatch(goal.strip())
    if parsed is None:
        return "?" if goal else ""
    bound = float(re.sub(r"[,_]", "", parsed[2]))
    within = {">=": value >= bound, "<=": value <= bound, ">": value > bound, "<": value < bound}[parsed[1]]
    return "yes" if within else "NO"


def spoken(value: float) -> str:
    """Print a number with the digits that a measurement deserves; `-` where nothing could be measured."""
    if math.isnan(value):
        return "-"
    for least, digits in ((1000, 0), (100, 1), (1, 2)):
        if abs(value) >= least:
            return f"{value:,.{digits}f}"
    return f"{value:.3g}"


def table(lines: Sequence[Sequence[str]]) -> str:
    """Align columns: values and goals to the right, words to the left."""
    every = [HEADINGS, *lines]
    widths = [max(len(line[column]) for line in every) for column in range(len(HEADINGS))]
    rows = [
        "  ".join(
            cell.rjust(width) if column in {1, 3} else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in every
    ]
    rows.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(row.rstrip() for row in rows)


def main(wanted: Sequence[str]) -> None:
    """Measure and print. A module that fails is a line of the table, and its traceback goes to stderr."""
    lines: list[tuple[str, ...]] = []
    for name in modules(wanted):
        try:
            module = importlib.import_module(f"bench.{name}")
            if not hasattr(module, "rows"):
                continue
            print(f"measuring {name} …", file=sys.stderr, flush=True)  # noqa: T201 - a bench takes its time
            measured = list(cast("Measured", module).rows())
        except Exception as error:  # noqa: BLE001 - one broken module must not hide the others' values
            traceback.print_exc()
            lines.append((name, "failed", "", "", f"{type(error).__name__}: {error}"))
            continue
        lines += [
            (f"{name}: {what}", spoken(value), unit, goal, met(value, goal)) for what, value, unit, goal in measured
        ]
    print(table(lines))  # noqa: T201 - the table is what this is for


if __name__ == "__main__":
    main(sys.argv[1:])
