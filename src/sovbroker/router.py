"""From a decision to open stores. The one place where an adapter becomes a store, and every store leaves it guarded."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import Final

from sovbroker.catalogue.facts import Target
from sovbroker.errors import ConfigError, StoreError
from sovbroker.forks import ForkLock
from sovbroker.guard import Guarded, Permit
from sovbroker.policy import Choice
from sovbroker.ports import Binding, Credentials, Store

__all__ = ["ADAPTERS", "Place", "Stores", "Targets", "permit_of"]

ADAPTERS: Final = "sovbroker.adapters"
"""The entry-point group in which adapters are found, the shipped ones and a stranger's alike."""


@dataclass(frozen=True, slots=True)
class Place:
    """A configured target: what the policy knows of it, and how to reach it.

    `binding` is without credentials; `credentials` fetches them when the store is opened, and not before.
    """

    target: Target
    adapter: str
    binding: Binding
    credentials: Callable[[], Credentials] = Credentials


@dataclass(frozen=True, slots=True)
class Targets:
    """The configured targets, as `Broker.targets` shows them."""

    places: Mapping[str, Place]

    def list(self) -> Sequence[Place]:
        """Return every configured target: its facts, its adapter, and how it is reached. No request is made."""
        return tuple(self.places.values())


def permit_of(choice: Choice) -> Permit:
    """Translate what a decision asks of one target into what may leave towards it."""
    if choice.mode.names_encrypted:
        return Permit.HIDDEN
    return Permit.SEALED if choice.mode.sealed else Permit.CLEAR


class Stores:
    """The open stores of a configuration, one per target and process, each handed out guarded only."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self.places = places
        self._lock = ForkLock()
        self._pid = os.getpid()
        self._open: dict[str, Store] = {}

    def guarded(self, target: str, permit: Permit) -> Guarded:
        """Return the store of `target`, opened on first use, that lets through what `permit` allows.

        Raises ConfigError when the adapter is not installed, StoreError when the target is not configured (any more).
        """
        return Guarded(self._store(target), permit)

    def chosen(self, choice: Choice) -> Guarded:
        """Return the store of a chosen target, permitted what the decision says."""
        return self.guarded(choice.target, permit_of(choice))

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            stores = list(self._open.values()) if self._pid == os.getpid() else []
            self._open = {}
        for store in stores:
            store.close()

    def _store(self, target: str) -> Store:
        with self._lock:
            if self._pid != os.getpid():
                # Connections of the parent are not ours to use or to close.
                self._open = {}
                self._pid = os.getpid()
            store = self._open.get(target)
            if store is None:
                place = self.places.get(target)
                if place is None:
                    raise StoreError(
                        "the target is not in the configuration any more; add it to read what it holds", target=target
                    )
                binding = replace(place.binding, credentials=place.credentials())
                store = self._open[target] = find_adapter(place.adapter)(binding)
            return store


def find_adapter(name: str) -> Callable[[Binding], Store]:
    """Return the adapter `name` from the entry points. Raises ConfigError with a suggestion."""
    found = entry_points(group=ADAPTERS)
    for entry in found:
        if entry.name == name:
            adapter: Callable[[Binding], Store] = entry.load()
            return adapter
    close = difflib.get_close_matches(name, found.names, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"installed: {', '.join(sorted(found.names)) or 'none'}"
    raise ConfigError(f"there is no adapter `{name}`; {hint}")
