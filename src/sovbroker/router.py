"""From a decision to open stores. The one place where an adapter becomes a store, and every store leaves it guarded."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import Final

from sovbroker.catalogue.attestation import Vouched
from sovbroker.catalogue.facts import Target
from sovbroker.confine import Confined
from sovbroker.errors import ConfigError, InvalidArgument, SovbrokerError, StoreError
from sovbroker.forks import ForkLock
from sovbroker.guard import Guarded, Permit
from sovbroker.plugins import entry_of
from sovbroker.policy import Choice
from sovbroker.ports import Binding, Credentials, Store
from sovbroker.probing import Bound, Probe, ProbeFile, bound, find_out

__all__ = ["ADAPTERS", "Place", "Stores", "Targets", "adapter_version", "permit_of"]

ADAPTERS: Final = "sovbroker.adapters"
"""The entry-point group in which adapters are found, the shipped ones and a stranger's alike."""

UNBOUND: Final = Bound(MappingProxyType({}), MappingProxyType({}))
AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Place:
    """A configured target: what the policy knows of it, and how to reach it.

    `binding` is without credentials; `credentials` fetches them when the store is opened, and not before. `vouched` is
    what the operator attests of it by a document: the axis, the scheme or `binding`, and the evidence. `beside` names
    the adapter that opens `Binding.beside`, where `adapter` does only a part of the work.
    """

    target: Target
    adapter: str
    binding: Binding
    credentials: Callable[[], Credentials] = Credentials
    vouched: tuple[tuple[str, Vouched], ...] = ()
    beside: str | None = None

    def open(self) -> Store:
        """Open the store. Raises ConfigError when an adapter or a credential is missing."""
        binding = replace(self.binding, credentials=self.credentials())
        if self.beside is not None:
            settings = {**binding.settings, "protocol": self.beside}
            binding = replace(binding, beside=find_adapter(self.beside)(binding), settings=settings)
        return find_adapter(self.adapter)(binding)


@dataclass(frozen=True, slots=True)
class Targets:
    """The configured targets, as `Broker.targets` shows them."""

    stores: Stores

    def list(self) -> Sequence[Place]:
        """Return every configured target: its facts, its adapter, and how it is reached. No request is made."""
        return tuple(self.stores.places.values())

    def probe(self, *targets: str) -> Sequence[Probe]:
        """Find out what the targets (all of them, where none is named) really do; keep it, and rely on no more than it.

        Writes and removes objects of its own under `.sovbroker-probe/`: some 15 MiB where parts have a least
        size, within a few seconds. Where one cannot be probed, its `error` says why, and what was kept of it stays.
        Raises InvalidArgument for a target that is not configured, ConfigError where there is no place to keep probes,
        StateError where they cannot be kept.
        """
        known = self.stores.places
        for name in targets:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean `{close[0]}`?" if close else f"configured: {', '.join(known)}"
                raise InvalidArgument(f"there is no target `{name}` in the configuration; {hint}")
        return self.stores.probe(targets or tuple(known))


def permit_of(choice: Choice) -> Permit:
    """Translate what a decision asks of one target into what may leave towards it."""
    if choice.mode.names_encrypted:
        return Permit.HIDDEN
    return Permit.SEALED if choice.mode.sealed else Permit.CLEAR


class Stores:
    """The open stores of a configuration, one per target and process, each handed out guarded only.

    `probes` is where probes are kept: what they found is relied on as `sovbroker.probing.bound` says. Raises StateError
    where they cannot be read.
    """

    def __init__(self, places: Mapping[str, Place], probes: ProbeFile | None = None) -> None:
        self.places = places
        self._probes = probes
        self._bound = {} if probes is None else {probe.target: self._binds(probe) for probe in self._kept(probes)}
        self._lock = ForkLock()
        self._pid = os.getpid()
        self._open: dict[str, Store] = {}
        self._replaced: list[Store] = []

    def guarded(self, target: str, permit: Permit) -> Guarded:
        """Return the store of `target`, opened on first use, that lets through what `permit` allows.

        Raises ConfigError when the adapter is not installed, StoreError when the target is not configured (any more).
        """
        return Guarded(self._store(target), permit, self._bound.get(target, UNBOUND).found)

    def chosen(self, choice: Choice) -> Guarded:
        """Return the store of a chosen target, permitted what the decision says."""
        return self.guarded(choice.target, permit_of(choice))

    def confined(self, target: str, settings: Mapping[str, str | int | bool]) -> Confined:
        """Return a store of `target`, opened anew, that lets through what a probe makes up; the caller closes it.

        `settings` come on top of the target's own. Raises what `guarded` raises.
        """
        return Confined(self._opened(self._place(target), settings))

    def probe(self, targets: Sequence[str]) -> Sequence[Probe]:
        """See `Targets.probe`."""
        if self._probes is None:
            raise ConfigError("probes are kept beside the state database, and this broker has none")
        with self._probes.turn() as installation:
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sovbroker-probe") as pool:
                found = tuple(pool.map(partial(self._probe, installation=installation), targets))
            done = [probe for probe in found if not probe.error]
            self._probes.put(done)
        with self._lock:
            for probe in done:
                self._bound[probe.target] = self._binds(probe)
                # It was opened as if it could do more, or less; whoever still reads from it does so to the end.
                before = self._open.pop(probe.target, None)
                self._replaced += [] if before is None else [before]
        return found

    def _probe(self, target: str, *, installation: str) -> Probe:
        place = self._place(target)
        probe = Probe(
            target=target,
            container=place.binding.container,
            endpoint=place.binding.endpoint or "",
            adapter=place.adapter,
            version="",
            at=datetime.now(UTC),
        )
        try:
            found = find_out(partial(self.confined, target), installation=installation)
            return replace(probe, version=adapter_version(place.adapter), lines=found.lines, left=found.left)
        except SovbrokerError as error:
            return replace(probe, error=str(error))

    def _kept(self, probes: ProbeFile) -> Sequence[Probe]:
        """Return the stored probes of the places that are configured."""
        return [
            probe
            for probe in probes.probes()
            if (place := self.places.get(probe.target)) is not None
            and (probe.container, probe.endpoint) == (place.binding.container, place.binding.endpoint or "")
        ]

    def _binds(self, probe: Probe) -> Bound:
        place = self.places[probe.target]
        return bound(probe, place.binding, version=adapter_version(place.adapter))

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            stores = [*self._open.values(), *self._replaced] if self._pid == os.getpid() else []
            self._open, self._replaced = {}, []
        for store in stores:
            store.close()

    def _store(self, target: str) -> Store:
        with self._lock:
            if self._pid != os.getpid():
                # Connections of the parent are not ours to use or to close.
                self._open, self._replaced = {}, []
                self._pid = os.getpid()
            store = self._open.get(target)
            if store is None:
                found = self._bound.get(target, UNBOUND)
                store = self._open[target] = self._opened(self._place(target), found.settings)
            return store

    def _place(self, target: str) -> Place:
        place = self.places.get(target)
        if place is None:
            raise StoreError(
                "the target is not in the configuration any more; add it to read what it holds", target=target
            )
        return place

    @staticmethod
    def _opened(place: Place, settings: Mapping[str, str | int | bool]) -> Store:
        own = {**place.binding.settings, **settings}
        return replace(place, binding=replace(place.binding, settings=own)).open()


def find_adapter(name: str) -> Callable[[Binding], Store]:
    """Return the adapter `name` from the entry points. Raises ConfigError with a suggestion."""
    adapter: Callable[[Binding], Store] = _entry(name).load()
    return adapter


def adapter_version(name: str) -> str:
    """Return the distribution that brings an adapter, with its version; "" where nothing tells it."""
    try:
        brought = _entry(name).dist
    except ConfigError:
        return ""
    return "" if brought is None else f"{brought.name} {brought.version}"


def _entry(name: str) -> EntryPoint:
    return entry_of(ADAPTERS, name, lacking=f"there is no adapter `{name}`")
