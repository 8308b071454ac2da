"""How far the clock of a service is ahead of this machine's, by the `Date` of an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

__all__ = ["Watch"]

HALF: timedelta = timedelta(milliseconds=500)


@dataclass(slots=True)
class Watch:
    """Started when a request is made; `read` when its answer is there."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def read(self, date: str | None) -> tuple[datetime | None, timedelta | None]:
        """Return the service's time when it answered and how far it is ahead, None where the header does not tell.

        Exact to half a second and half the time that the answer took: the header counts whole seconds.
        """
        now = datetime.now(UTC)
        try:
            told = parsedate_to_datetime(date or "")
        except ValueError:
            return None, None
        there = (told if told.tzinfo is not None else told.replace(tzinfo=UTC)).astimezone(UTC) + HALF
        return there, there - (self.started + (now - self.started) / 2)
