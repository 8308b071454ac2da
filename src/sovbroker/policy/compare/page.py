"""A difference as one HTML page: nothing is loaded, nothing is run, and every text is escaped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from sovbroker.policy.compare.matrix import SIGNS, matrix
from sovbroker.policy.compare.spelling import (
    changes_text,
    journey_text,
    label_text,
    lots,
    objects_text,
    size_text,
    some,
)
from sovbroker.policy.compare.style import STYLE

if TYPE_CHECKING:
    from sovbroker.policy.compare.classes import Amount
    from sovbroker.policy.compare.difference import Difference
    from sovbroker.policy.compare.verdict import Verdict

__all__ = ["as_page"]

LOTS_MAX: Final = 200
SAYING: Final = {
    "same": "Nothing changes.",
    "changes": "The policy changes, and loosens nothing.",
    "loosens": "The new policy loosens: something may be stored, or computed on, as it might not before.",
}
GROUPS: Final = {
    "loosens": (SIGNS["loosens"], "less is demanded"),
    "tightens": (SIGNS["tightens"], "more is demanded"),
    "moves": ("→", "copies change place"),
    "refused": ("✕", "allowed before, not now"),
    "unchanged": ("=", "in none of these"),
}

MARKS: Final = {**{name: sign for name, (sign, _) in GROUPS.items()}, "chosen": "→", "work": "→"}


def as_page(difference: Difference) -> str:
    """Return a whole HTML page that shows a difference; it needs no other file and no script."""
    old, new = escape(difference.old.name), escape(difference.new.name)
    title = f"{old} → {new}" if old != new else old
    body = [
        f'<header><h1>{title}</h1><p class="verdict {difference.verdict}"><b>{_sign(difference)}</b>',
        f"{SAYING[difference.verdict]}</p><p>Judged on {difference.at.isoformat()}.</p></header><main>",
        *_summary(difference),
        *matrix(difference, "store"),
        *matrix(difference, "compute"),
        *_changes(difference),
        *_samples(difference),
        *_remarks(difference),
        "</main>",
        f"<footer><p>Old policy <code>{difference.old.policy}</code><br>",
        f"new policy <code>{difference.new.policy}</code></p></footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>Policy change: {title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _sign(difference: Difference) -> str:
    return {"same": "=", "changes": "▼", "loosens": "▲"}[difference.verdict]


# --- the numbers


def _summary(difference: Difference) -> Iterator[str]:
    if difference.classes is None:
        return
    yield f"<section><h2>Objects</h2><p>The inventory holds {escape(objects_text(difference.amount))}.</p>"
    yield '<ul class="tiles">'
    for name, amount in difference.groups.items():
        sign, saying = GROUPS[name]
        yield (
            f'<li class="{name}"><span class="name">{sign} {name}</span><strong>{amount.objects:,}</strong>'
            f"<span>{size_text(amount.bytes)}</span><small>{saying}</small></li>"
        )
    yield "</ul>"
    columns = (difference.egress, difference.leaves, difference.arrives)
    providers = sorted({name for column in columns for name in column})
    if providers:
        yield '<div class="scroll"><table class="plain"><caption>What has to be carried, by provider</caption>'
        yield '<thead><tr><th scope="col">provider</th><th scope="col">read (egress)</th>'
        yield '<th scope="col">copies that go</th><th scope="col">copies that come</th></tr></thead><tbody>'
        for name in providers:
            cells = "".join(f"<td>{_amount(column, name)}</td>" for column in columns)
            yield f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
        yield "</tbody></table></div>"
    if difference.reseals.objects:
        yield f"<p>To be sealed again where they are: {escape(objects_text(difference.reseals))}.</p>"
    yield "</section>"


def _amount(column: Mapping[str, Amount], name: str) -> str:
    return size_text(column[name].bytes) if name in column else "none"


# --- the lists


def _changes(difference: Difference) -> Iterator[str]:
    found = lots(difference)
    if found:
        yield '<section><h2>What changes for objects</h2><div class="scroll"><table class="plain list"><thead><tr>'
        yield '<th scope="col">label</th><th scope="col">objects</th><th scope="col">bytes</th>'
        yield '<th scope="col">what changes</th><th scope="col">egress</th></tr></thead><tbody>'
        for verdict, amount, classes in found[:LOTS_MAX]:
            egress: defaultdict[str, int] = defaultdict(int)
            for own in classes:
                if own.journey.source:
                    egress[difference.provider(own.journey.source)] += own.amount.bytes
            carried = [f"{escape(name)} {size_text(size)}" for name, size in sorted(egress.items())] or ["none"]
            journeys = some([text for text in dict.fromkeys(journey_text(own.journey) for own in classes) if text])
            yield (
                f'<tr><th scope="row">{escape(label_text(verdict))}</th><td>{amount.objects:,}</td>'
                f"<td>{size_text(amount.bytes)}</td><td>{_list(verdict, journeys)}</td>"
                f"<td>{'<br>'.join(carried)}</td></tr>"
            )
        yield "</tbody></table></div>"
        if len(found) > LOTS_MAX:
            yield f"<p>{len(found) - LOTS_MAX} more are not listed.</p>"
        yield "</section>"
    rows = [(row.label, row.verdict) for row in difference.labels if row.verdict is not None and not row.verdict.same]
    yield from _listed("What changes for labels", "label", rows)


def _samples(difference: Difference) -> Iterator[str]:
    rows = [(f"{own.question}: {label_text(own.verdict)}", own.verdict) for own in difference.samples]
    yield from _listed("Made-up objects, for the rules and waivers that differ", "object", rows)


def _listed(title: str, heading: str, rows: Sequence[tuple[str, Verdict]]) -> Iterator[str]:
    if not rows:
        return
    yield f'<section><h2>{title}</h2><div class="scroll"><table class="plain list"><thead><tr>'
    yield f'<th scope="col">{heading}</th><th scope="col">what changes</th></tr></thead><tbody>'
    for name, verdict in rows[:LOTS_MAX]:
        yield f'<tr><th scope="row">{escape(name)}</th><td>{_list(verdict, "")}</td></tr>'
    yield "</tbody></table></div>"
    if len(rows) > LOTS_MAX:
        yield f"<p>{len(rows) - LOTS_MAX} more are not listed.</p>"
    yield "</section>"


def _list(verdict: Verdict, journeys: str) -> str:
    lines = [("refused", "it was allowed")] if verdict.refused else []
    lines += [("loosens", text) for text in changes_text(verdict.loosens)]
    lines += [("tightens", text) for text in changes_text(verdict.tightens)]
    if verdict.rechosen:
        lines.append(("chosen", f"{', '.join(verdict.old.chosen)} → {', '.join(verdict.new.chosen)}"))
    lines += [("work", journeys)] if journeys else []
    items = "".join(f'<li class="{name}"><b>{MARKS[name]} {name}</b> {escape(text)}</li>' for name, text in lines)
    return f"<ul>{items}</ul>"


def _remarks(difference: Difference) -> Iterator[str]:
    remarks: Iterable[str] = [f"Not compared: {text}." for text in difference.unseen]
    remarks = [*remarks, *(f"{text[:1].upper()}{text[1:]}." for text in difference.notes)]
    if remarks:
        yield "<section><h2>Remarks</h2><ul>"
        yield from (f"<li>{escape(text)}</li>" for text in remarks)
        yield "</ul></section>"
