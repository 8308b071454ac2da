"""The matrix of labels and targets, as an HTML table: a cell is halved where the new policy says something else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sovbroker.policy.compare.difference import Difference
    from sovbroker.policy.compare.outcome import Outcome, Way
    from sovbroker.policy.compare.probes import Row

__all__ = ["SIGNS", "matrix"]

ROWS_MAX: Final = 64
NAMES_MAX: Final = 2
SIGNS: Final = {"loosens": "▲", "tightens": "▼"}
STATES: Final = {
    "clear": ("○", "in the clear"),
    "sealed": ("◐", "sealed"),
    "names": ("◑", "sealed, names hidden"),
    "keys": ("●", "sealed, keys in given zones"),
    "refused": ("✕", "refused"),
    "unknown": ("?", "the policy does not know the label"),
}

Cell = tuple[str, str, str, str, str]
"""The states and the modes of old and new, and what that is: `loosens`, `tightens`, both, or "" for no change."""


def matrix(difference: Difference, work: str) -> Iterator[str]:
    """Yield the HTML of a table of labels and targets for `work`: `store`, or `compute` where anything may compute.

    Targets for which every label says the same share a column.
    """
    rows, hidden = _shown(difference.labels)
    targets = sorted(difference.providers)
    grid = {row.label: [_cell(row, target, work) for target in targets] for row in rows}
    if not any(cell[0] != "refused" or cell[1] != "refused" for cells in grid.values() for cell in cells):
        return
    columns: defaultdict[tuple[Cell, ...], list[int]] = defaultdict(list)
    for index in range(len(targets)):
        columns[tuple(cells[index] for cells in grid.values())].append(index)
    groups = list(columns.values())
    title = "Where each label may be stored" if work == "store" else "Where each label may be computed on"
    yield f'<section><h2>{title}</h2>{_legend(work)}<div class="scroll"><table class="matrix"><thead><tr>'
    yield '<th scope="col">label</th>'
    for group in groups:
        yield f'<th scope="col" class="target">{_heading([targets[index] for index in group])}</th>'
    yield "</tr></thead><tbody>"
    for row in rows:
        yield f'<tr><th scope="row">{escape(row.label)}</th>'
        yield from (_drawn(grid[row.label][group[0]]) for group in groups)
        yield "</tr>"
    yield "</tbody></table></div>"
    if hidden:
        yield f"<p>{hidden} more labels are not drawn.</p>"
    many = [[targets[index] for index in group] for group in groups if len(group) > NAMES_MAX]
    if many:
        yield "<details><summary>The targets of columns that stand for several</summary><ul>"
        yield from (f"<li>{escape(', '.join(names))}</li>" for names in many)
        yield "</ul></details>"
    yield "</section>"


def _shown(rows: Sequence[Row]) -> tuple[list[Row], int]:
    """Return the labels that are drawn, those that change and the bare levels first, and how many are not."""
    weight = {row.label: (row.verdict is not None and row.verdict.same, "+" in row.label) for row in rows}
    kept = {row.label for row in sorted(rows, key=lambda row: weight[row.label])[:ROWS_MAX]}
    return [row for row in rows if row.label in kept], len(rows) - len(kept)


def _legend(work: str) -> str:
    wanted = STATES if work == "store" else ("clear", "refused", "unknown")
    items = "".join(
        f'<li><span class="half {name}">{STATES[name][0]}</span> {_saying(name, work)}</li>' for name in wanted
    )
    return (
        f'<ul class="legend">{items}<li><span class="half old">old</span><span class="half">new</span> where it '
        "changes</li><li>▲ loosens</li><li>▼ tightens</li></ul>"
    )


def _saying(state: str, work: str) -> str:
    return "allowed" if state == "clear" and work == "compute" else STATES[state][1]


def _heading(names: Sequence[str]) -> str:
    listed = "<br>".join(escape(name) for name in names[:NAMES_MAX])
    return listed if len(names) <= NAMES_MAX else f"{listed}<br>and {len(names) - NAMES_MAX} more"


def _cell(row: Row, target: str, work: str) -> Cell:
    if work == "compute":
        old, new = (_computed(outcome, target) for outcome in (row.old, row.new))
        known = "unknown" not in {old, new}
        change = "loosens" if known and new < old else "tightens" if known and old < new else ""
        return old, new, _saying(old, work), _saying(new, work), change
    found = [_stored(outcome, target) for outcome in (row.old, row.new)]
    marks: list[str] = []
    if row.verdict is not None:
        sides = {"loosens": row.verdict.loosens, "tightens": row.verdict.tightens}
        marks = [
            name
            for name, changes in sides.items()
            if any(c.target == target and c.what in {"target", "mode"} for c in changes)
        ]
    (old, before), (new, after) = found
    return old, new, before, after, " ".join(marks)


def _stored(outcome: Outcome | None, target: str) -> tuple[str, str]:
    if outcome is None:
        return "unknown", STATES["unknown"][1]
    way = outcome.ways.get(target)
    if way is None:
        return "refused", "refused"
    return _state(way), str(way)


def _state(way: Way) -> str:
    if way.mode.keys:
        return "keys"
    if way.mode.names_encrypted:
        return "names"
    return "sealed" if way.mode.sealed else "clear"


def _computed(outcome: Outcome | None, target: str) -> str:
    if outcome is None:
        return "unknown"
    return "clear" if target in outcome.compute else "refused"


def _drawn(cell: Cell) -> str:
    """Return one cell: halved where it changes. What colours and signs say is there in words too."""
    old, new, before, after, change = cell
    if not change and (old, before) == (new, after):
        sign = STATES[old][0]
        return f'<td title="{escape(after)}"><span class="half {old}">{sign}{_words(after)}</span></td>'
    arrow = "".join(SIGNS[name] for name in change.split())
    words = f"{before} → {after}" + (f" ({', '.join(change.split())})" if change else "")
    return (
        f'<td class="changed {change}" title="{escape(words)}"><span class="half old {old}">{STATES[old][0]}</span>'
        f'<span class="half {new}">{STATES[new][0]}</span><b>{arrow}</b>{_words(words)}</td>'
    )


def _words(text: str) -> str:
    return f'<span class="words">{escape(text)}</span>'
