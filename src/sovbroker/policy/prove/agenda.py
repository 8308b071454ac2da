"""The days on which labels lose targets, as a calendar that any calendar program can subscribe to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from sovbroker.errors import ConfigError
from sovbroker.policy.prove.proof import Proof
from sovbroker.policy.prove.timeline import Loss

if TYPE_CHECKING:
    from icalendar import Component, Event

__all__ = ["calendar"]


def calendar(proof: Proof) -> bytes:
    """Return the losses of a proof as an iCalendar file: an event of a whole day for each label and day.

    The same proof has the same calendar, byte for byte, and an event keeps its UID from one proof to the next, so that
    calendar programs update it. Raises ConfigError when the library that writes it is not installed.
    """
    try:
        from icalendar import Calendar  # noqa: PLC0415  # of an extra
    except ImportError as error:
        raise ConfigError("a calendar needs the library icalendar: pip install 'sovbroker[cli]'") from error
    found = Calendar()
    _add(found, "prodid", "-//sovbroker//policy check//EN")
    _add(found, "version", "2.0")
    _add(found, "x-wr-calname", f"{proof.policy}: what its labels lose")
    for (_, _), losses in groupby(proof.dark, key=lambda loss: (loss.day, loss.label)):
        found.add_component(_event(proof, list(losses)))
    return bytes(found.to_ical())


def _event(proof: Proof, losses: Sequence[Loss]) -> Event:
    from icalendar import Event  # noqa: PLC0415  # of an extra

    first = losses[0]
    count = len(losses)
    lost = f"loses {count} target{'' if count == 1 else 's'}"
    summary = f"`{first.label}` {lost}, and has no placement" if first.dark else f"`{first.label}` {lost}"
    event = Event()
    text = f"{proof.policy}\n{first.label}\n{first.day.isoformat()}"
    _add(event, "uid", f"{hashlib.sha256(text.encode()).hexdigest()[:32]}@sovbroker")
    _add(event, "dtstamp", datetime(proof.at.year, proof.at.month, proof.at.day, tzinfo=UTC))
    _add(event, "dtstart", first.day)
    _add(event, "dtend", first.day + timedelta(days=1))
    _add(event, "summary", summary)
    _add(event, "description", "\n".join(f"{loss.target} complies no more" for loss in losses) + f"\n{first.left} left")
    _add(event, "transp", "TRANSPARENT")
    return event


def _add(component: Component, name: str, value: object) -> None:
    component.add(name, value)  # pyright: ignore[reportUnknownMemberType]  # it takes what icalendar knows how to write
