"""Dates as sources give them: a day, a month or a year."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

__all__ = ["UNKNOWN", "Moment", "first_day", "known_day", "moment"]

UNKNOWN: Final = "unknown"
"""What stands where the source gives no date, or where a value is not known."""

PARTIAL: Final = re.compile(r"[0-9]{4}(?:-[0-9]{2}){0,2}")
A_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Moment:
    """A day, a month or a year, as its first and last day."""

    first: date
    last: date


def moment(text: str) -> Moment:
    """Read `2026-11-23`, `2026-11` or `2026`. Raises ValueError."""
    if PARTIAL.fullmatch(text) is not None:
        try:
            match [int(part) for part in text.split("-")]:
                case [year]:
                    return Moment(date(year, 1, 1), date(year, 12, 31))
                case [year, month]:
                    after = date(year + month // 12, month % 12 + 1, 1)
                    return Moment(date(year, month, 1), after - A_DAY)
                case _:
                    return Moment(date.fromisoformat(text), date.fromisoformat(text))
        except ValueError:
            pass
    raise ValueError(f"`{text}` is not a date such as 2026-11-23, 2026-11 or 2026")


def first_day(text: str) -> date:
    """Read a date; a year or a month is read as its first day, the cautious end. Raises ValueError."""
    return moment(text).first


def known_day(text: str) -> date | None:
    """Read a date, or None for `unknown`. Raises ValueError."""
    return None if text == UNKNOWN else first_day(text)
