"""The table of providers for people: Markdown, made from the facts, the same on every day."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from sovbroker.catalogue.facts import Evidence, Status
from sovbroker.catalogue.loader import Catalogue
from sovbroker.catalogue.provider import DEFAULT_OFFER, Grant, Provider

__all__ = ["BEGIN", "END", "provider_table", "replaced"]

BEGIN: Final = "<!-- begin of what `sovbroker catalogue table` prints -->"
"""The line before the table in a page that has it."""

END: Final = "<!-- end of what `sovbroker catalogue table` prints -->"
"""The line after it."""

HEAD: Final = ("provider", "tier", "reached by", "where", "whose law reaches it", "storage qualified, until")
LEGEND: Final = (
    "*In italics*: known from memory only, or with low confidence. It satisfies nothing until somebody has checked it. "
    "A number behind a country counts regions. A qualification of a company, or of another offer than object storage, "
    "is left out."
)


def provider_table(catalogue: Catalogue) -> str:
    """Return the table, with a line that says how to read it."""
    rows = [_row(catalogue.provider(name)) for name in catalogue.providers]
    lines = [f"| {' | '.join(cells)} |" for cells in (HEAD, ("---",) * len(HEAD), *rows)]
    return "\n".join([*lines, "", LEGEND, ""])


def replaced(page: str, table: str) -> str | None:
    """Return a page with the table in the place of the one that it has; None where it has no place for one."""
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}\n", re.DOTALL)
    if pattern.search(page) is None:
        return None
    return pattern.sub(lambda _: f"{BEGIN}\n\n{table}\n{END}\n", page)


def _row(provider: Provider) -> tuple[str, ...]:
    return (
        f"{_plain(provider.name)} (`{provider.id}`)",
        provider.tier,
        _reached(provider),
        _where(provider),
        _law(provider),
        _qualified(provider) or "-",
    )


def _reached(provider: Provider) -> str:
    storage = provider.storage
    adapters = [f"`{face.adapter}`" for face in (storage, *storage.also) if face.adapter is not None]
    return "; ".join(
        [*([", ".join(adapters)] if adapters else []), *([_plain(storage.supply)] if storage.supply else [])]
    )


def _where(provider: Provider) -> str:
    sure = Counter(str(r.country.value) for r in provider.regions.values() if r.country.evidence.trusted)
    unsure = Counter(str(r.country.value) for r in provider.regions.values() if not r.country.evidence.trusted)
    told = [f"{country}{f' {n}' if n > 1 else ''}" for country, n in sure.items()]
    told += [f"*{country}{f' {n}' if n > 1 else ''}*" for country, n in unsure.items()]
    return ", ".join(told) or "-"


def _law(provider: Provider) -> str:
    """Return the countries, and the regions where they are others."""
    usual = _countries(provider.controlled.value, provider.controlled.evidence)
    others: dict[str, list[str]] = {}
    for code, region in provider.regions.items():
        own = region.controlled
        if own is not None and own.value != provider.controlled.value:
            others.setdefault(_countries(own.value, own.evidence), []).append(code)
    return "; ".join([usual, *(f"{told} in {', '.join(codes)}" for told, codes in others.items())])


def _countries(value: frozenset[str] | None, evidence: Evidence) -> str:
    if value is None:
        return "unknown"
    told = ", ".join(sorted(value))
    return told if evidence.trusted else f"*{told}*"


def _qualified(provider: Provider) -> str:
    return "; ".join(dict.fromkeys(told for grant in provider.grants if (told := _grant(grant))))


def _grant(grant: Grant) -> str:
    """Tell a qualification of the storage in some region, or that is in progress; "" for all others."""
    found = grant.qualification
    name = " ".join([found.scheme, *([".".join(map(str, found.version))] if found.version else [])])
    match found.status:
        case Status.QUALIFIED if DEFAULT_OFFER in grant.offers and grant.regions and found.evidence.trusted:
            return f"{name} in {', '.join(sorted(grant.regions))}, {found.evidence.expires}"
        case Status.IN_PROGRESS:
            return f"{name} in progress"
        case _:
            return ""


def _plain(text: str) -> str:
    """Return a text that breaks no cell."""
    return " ".join(text.replace("|", "/").split())
