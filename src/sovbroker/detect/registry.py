"""Which detectors there are: those of the broker, and those of the entry points `sovbroker.detectors`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Final, Protocol

from sovbroker.detect.emails import EMAILS, Emails
from sovbroker.detect.numbers import NUMBERS, Numbers
from sovbroker.detect.reader import Reader
from sovbroker.errors import ConfigError

__all__ = ["BUILT_IN", "DETECTORS", "BuiltIn", "Detector", "known", "names"]

DETECTORS: Final = "sovbroker.detectors"
BUILT_IN: Final = frozenset((*NUMBERS, *EMAILS))


class Detector(Protocol):
    """Counts the values of one kind in one stream; made anew for each stream, used by one thread."""

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next piece of the stream. A value may be cut by the end of a piece."""
        ...

    def finish(self) -> int:
        """Return how many different values the stream holds. The stream may have been cut; count what was seen."""
        ...


class BuiltIn:
    """The broker's own detectors, all in one reading."""

    def __init__(self, names: Iterable[str]) -> None:
        wanted = frozenset(names)
        self._sieves = [
            sieve(sorted(wanted & own))
            for sieve, own in ((Numbers, frozenset(NUMBERS)), (Emails, frozenset(EMAILS)))
            if wanted & own
        ]
        self._reader = Reader(self._sieves)

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next piece of the stream."""
        self._reader.feed(chunk)

    def finish(self) -> dict[str, int]:
        """Return how many different values were found, by detector."""
        self._reader.finish()
        return self.counts()

    def counts(self) -> dict[str, int]:
        """Return how many were found until now."""
        return {name: distinct.count for sieve in self._sieves for name, distinct in sieve.found.items()}


class _Alone:
    """One of the broker's own detectors."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._own = BuiltIn((name,))

    def feed(self, chunk: bytes | memoryview) -> None:
        self._own.feed(chunk)

    def finish(self) -> int:
        return self._own.finish()[self._name]


@cache
def known() -> Mapping[str, Callable[[], Detector]]:
    """Return what makes a detector, by name. The broker's own names cannot be taken by a package.

    A package's code is loaded when its detector is made. If it cannot be, making it raises: whoever scans then takes
    the content for one that was not looked at.
    """
    found: dict[str, Callable[[], Detector]] = {}
    offers: defaultdict[str, dict[str, EntryPoint]] = defaultdict(dict)
    for entry in entry_points(group=DETECTORS):
        offers[entry.name][entry.value] = entry
    for name, offered in sorted(offers.items()):
        found[name] = partial(_make, name, tuple(entry for _, entry in sorted(offered.items())))
    found.update({name: partial(_Alone, name) for name in BUILT_IN})
    return MappingProxyType(found)


def names() -> tuple[str, ...]:
    """Return the names of all detectors, sorted."""
    return tuple(sorted(known()))


def _make(name: str, offered: tuple[EntryPoint, ...]) -> Detector:
    """Make a package's detector. Raises ConfigError when several packages offer the name, or whatever its code does."""
    entry, *others = offered
    if others:
        listed = " and ".join(f"`{each.value}`" for each in offered)
        raise ConfigError(f"the detector `{name}` is offered by {listed}; uninstall all but one")
    made: Detector = entry.load()()
    return made
