"""Where machines may be: the configured places, and the one way to open what speaks to their providers."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sovbroker.catalogue.facts import Target
from sovbroker.compute.prices import PriceList, priced
from sovbroker.errors import InvalidArgument
from sovbroker.forks import ForkLock
from sovbroker.machines import ComputeProvider, ImageSource, Size
from sovbroker.plugins import entry_of
from sovbroker.ports import Binding, Credentials

__all__ = ["COMPUTE", "ComputePlace", "Providers", "find_compute"]

COMPUTE: Final = "sovbroker.compute"
"""The entry-point group in which adapters for compute are found, the shipped ones and a stranger's alike."""


OFFER: Final = "compute"
"""The offer of a provider that machines are."""


@dataclass(frozen=True, slots=True)
class ComputePlace:
    """A configured place for machines: what the policy knows of it, and how to reach it.

    `binding` is without credentials; `credentials` fetches them when it is opened, and not before. `images` are sources
    of images by name, beside those that are known of the adapter. `prices` are the operator's own.
    """

    target: Target
    adapter: str
    binding: Binding
    credentials: Callable[[], Credentials] = Credentials
    images: Mapping[str, ImageSource] = field(default_factory=dict[str, ImageSource])
    prices: PriceList | None = None

    def open(self) -> ComputeProvider:
        """Open it. Raises ConfigError when an adapter or a credential is missing."""
        return find_compute(self.adapter)(replace(self.binding, credentials=self.credentials()))


class Providers:
    """The open providers of a configuration, one per place and process."""

    def __init__(self, places: Mapping[str, ComputePlace]) -> None:
        self.places = places
        self._lock = ForkLock()
        self._pid = os.getpid()
        self._open: dict[str, ComputeProvider] = {}

    def place(self, target: str) -> ComputePlace:
        """Return a configured place, by its id or as the configuration spells it: `provider/region`, `local`.

        Raises InvalidArgument with a suggestion.
        """
        provider, slash, region = target.partition("/")
        full = f"{provider}/{OFFER}@{region}" if slash else f"{provider}/{OFFER}"
        found = self.places.get(target) or self.places.get(full)
        if found is None:
            close = difflib.get_close_matches(target, self.places, n=1)
            known = ", ".join(self.places) or "none; add some under `compute`"
            hint = f"did you mean `{close[0]}`?" if close else f"configured: {known}"
            raise InvalidArgument(f"there is no place for machines `{target}` in the configuration; {hint}")
        return found

    def provider(self, target: str) -> ComputeProvider:
        """Return the provider of a place, opened on first use."""
        place = self.place(target)
        name = place.target.id
        with self._lock:
            if self._pid != os.getpid():
                # Connections of the parent are not ours to use or to close.
                self._open, self._pid = {}, os.getpid()
            if name not in self._open:
                self._open[name] = place.open()
            return self._open[name]

    def sizes(self, target: str) -> Sequence[Size]:
        """Return the kinds of machines that a place has, with the prices that are known of them."""
        place = self.place(target)
        found = self.provider(target).sizes()
        return priced(found, provider=place.target.provider, region=place.target.region, own=place.prices)

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            opened = list(self._open.values()) if self._pid == os.getpid() else []
            self._open = {}
        for provider in opened:
            provider.close()


def find_compute(name: str) -> Callable[[Binding], ComputeProvider]:
    """Return the adapter for compute of that name. Raises ConfigError with a suggestion."""
    entry = entry_of(COMPUTE, name, lacking=f"there is no adapter for compute `{name}`")
    opener: Callable[[Binding], ComputeProvider] = entry.load()
    return opener
