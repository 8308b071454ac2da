"""Unwrapped domain keys, kept for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from sovbroker.forks import ForkLock
from sovbroker.keys.domain import DomainKey

__all__ = ["Cache"]


@dataclass(slots=True)
class Entry:
    """One key, the times at which it was fetched and is dropped, and how often it may still be handed out."""

    key: DomainKey
    fetched: float
    expires: float
    uses: int


@final
class Cache:
    """Keys by id. A key is fetched again after `lifetime` seconds or `uses` uses, whatever comes first.

    Callers that miss at the same time make one fetch between them. `clock` tells seconds and never goes back.
    """

    __slots__ = ("_clock", "_entries", "_gates", "_lifetime", "_lock", "_uses")

    def __init__(self, *, lifetime: float, uses: int, clock: Callable[[], float]) -> None:
        self._lifetime = lifetime
        self._uses = uses
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._gates: dict[str, ForkLock] = {}
        self._lock = ForkLock()

    def get(self, kid: str, fetch: Callable[[], DomainKey], *, within: float | None = None) -> DomainKey:
        """Return the key `kid`, by `fetch` when it is not here; what that raises is raised.

        `within`: it has to have been fetched in the last so many seconds. One that is older stays for those who do not
        ask for that.
        """
        with self._lock:
            found = self._live(kid, within)
            if found is not None:
                return found
            gate = self._gates.setdefault(kid, ForkLock())
        with gate:
            with self._lock:
                found = self._live(kid, within)
            if found is not None:
                return found
            key = fetch()
            with self._lock:
                now = self._clock()
                self._entries[kid] = Entry(key, now, now + self._lifetime, self._uses - 1)
            return key

    def clear(self) -> None:
        """Wipe and forget every key."""
        with self._lock:
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            entry.key.wipe()

    def _live(self, kid: str, within: float | None) -> DomainKey | None:
        entry = self._entries.get(kid)
        if entry is None or (within is not None and self._clock() - entry.fetched > within):
            return None
        if entry.uses <= 0 or self._clock() >= entry.expires:
            # Somebody may be using it right now, so it is not wiped here but when the last of them lets go.
            del self._entries[kid]
            return None
        entry.uses -= 1
        return entry.key
