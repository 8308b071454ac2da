"""A clock that a test sets. It runs on from there, as clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sovbroker.errors import InvalidArgument

__all__ = ["FakeClock"]


class FakeClock:
    """Call it for the time (UTC); until it is set, that is the real one."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def __call__(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC) + self._ahead

    def set(self, moment: datetime) -> None:
        """Make it `moment` now. Raises InvalidArgument for a time without a zone, which could mean any."""
        if moment.tzinfo is None:
            raise InvalidArgument(f"the time {moment} has no zone; add one, such as `tzinfo=UTC`")
        self._ahead = moment - datetime.now(UTC)

    def advance(self, span: timedelta) -> None:
        """Let time pass. A span below zero turns it back."""
        self._ahead += span
