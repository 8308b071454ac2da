"""An audit as one HTML page: nothing is loaded, nothing is run, and every text is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from sovbroker.compute.audit import Audit, AuditedMachine, AuditedPlace, Standing

__all__ = ["audit_page"]

MARKS: Final = {
    Standing.VIOLATION: "✕ violation",
    Standing.UNLABELLED: "✕ unlabelled",
    Standing.OVERDUE: "! overdue",
    Standing.MISSING: "? missing",
    Standing.FINE: "✓ fine",
}
FINE_MAX: Final = 500
"""How many machines that are fine the page lists; all others are always there."""

STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --bad: #b3261e; --good: #1b6e3c; --odd: #8a5a00 }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --good: #7fd69b; --odd: #ffc15e } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; max-width: 70rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } th { text-align: left; font-weight: 600 }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .75rem .35rem 0; vertical-align: top }
.scroll { overflow-x: auto } .bad { color: var(--bad) } .good { color: var(--good) } .odd { color: var(--odd) }
.verdict { font-size: 1.15rem } footer { margin-top: 2rem; font-size: .85rem; opacity: .75; overflow-wrap: anywhere }
"""


def audit_page(audit: Audit) -> str:
    """Return a whole HTML page that shows an audit; it needs no other file and no script."""
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>Machines and the policy</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            "<header><h1>Machines and the policy</h1>",
            *_verdict(audit),
            "</header>\n<main>",
            *_places(audit),
            *_machines(audit),
            "</main>",
            f"<footer><p>Looked at {escape(audit.at.isoformat())}, by the policy",
            f"<code>{escape(audit.policy)}</code>.</p></footer>\n</body>\n</html>\n",
        ]
    )


def _verdict(audit: Audit) -> Iterator[str]:
    count = len(audit.violations)
    if count:
        yield f'<p class="verdict bad"><b>✕</b> {_many(count, "machine")} where the policy does not allow it.</p>'
    if audit.blind:
        yield (
            f'<p class="verdict odd"><b>?</b> {_many(len(audit.blind), "place")} of which nothing is known for sure: '
            "it is not clean, it is unseen.</p>"
        )
    if audit.clean:
        yield (
            f'<p class="verdict good"><b>✓</b> {_many(len(audit.machines), "machine")}, every one where it may be, '
            "and every place was seen.</p>"
        )


def _places(audit: Audit) -> Iterator[str]:
    yield '<h2>Places</h2><div class="scroll"><table><tr><th>place<th>machines<th>what shows it</tr>'
    for one in audit.places:
        shown = f'<span class="odd">? blind: {escape(one.blind)}</span>' if one.blind else escape(one.proof)
        yield f"<tr><td>{escape(one.target)}<td>{_count(one)}<td>{shown}</tr>"
    yield "</table></div>"


def _count(place: AuditedPlace) -> str:
    return "at least " * bool(place.blind) + str(place.machines)


def _machines(audit: Audit) -> Iterator[str]:
    wrong = [one for one in audit.machines if one.standing is not Standing.FINE]
    fine = [one for one in audit.machines if one.standing is Standing.FINE]
    yield '<h2>Machines</h2><div class="scroll"><table>'
    yield "<tr><th>standing<th>name<th>place<th>label<th>state<th>why</tr>"
    yield from map(_row, [*wrong, *fine[:FINE_MAX]])
    yield "</table></div>"
    if len(fine) > FINE_MAX:
        yield f"<p>{len(fine) - FINE_MAX} more are fine.</p>"


def _row(one: AuditedMachine) -> str:
    look = "bad" if one.standing.wrong else "good" if one.standing is Standing.FINE else "odd"
    name = escape(one.name) + (f"<br><small>{escape(one.id)}</small>" if one.id else "")
    return (
        f'<tr><td class="{look}">{MARKS[one.standing]}<td>{name}<td>{escape(one.target)}<td>{escape(one.label)}'
        f"<td>{escape(one.state)}<td>{escape(one.why)}</tr>"
    )


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
