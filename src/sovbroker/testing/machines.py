"""A provider of machines that is none: what it has been told is there, and what it says of it can be made wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count

from sovbroker.errors import InvalidArgument, NoCapacity, NotFound, NotSupported
from sovbroker.machines import (
    NO_TAGS,
    ComputeFeature,
    Image,
    ImageSource,
    Launch,
    Machine,
    MachineState,
    PublicKey,
    Size,
    Visibility,
    Volume,
)
from sovbroker.ports import Support

__all__ = ["FakeCompute"]

GIB = 1 << 30


def _sizes() -> list[Size]:
    return [
        Size("small", 1, GIB, price=Decimal("0.01")),
        Size("medium", 2, 4 * GIB, price=Decimal("0.02")),
        Size("sealed", 2, 8 * GIB, price=Decimal("0.05"), attested=("sev-snp",)),
        Size("gpu", 8, 64 * GIB, gpus=1),
    ]


def _nothing(name: str) -> None:
    """Do nothing."""


@dataclass(slots=True)
class FakeCompute:
    """A `ComputeProvider` in memory, with every feature but those that are `absent`.

    `before` and `after` are called with the name of each call that changes something, and may raise; `blind` makes it
    list nothing, and `canary` and `counts` are what it shows of itself. `launches` counts the machines it has made.
    `full` is why it has no room for another machine, "" while it has.
    """

    target: str = "fake/compute@region"
    absent: frozenset[ComputeFeature] = frozenset()
    offered: list[Size] = field(default_factory=_sizes)
    known: list[Image] = field(default_factory=lambda: [Image("image-1", "debian-12", owner="debian")])
    before: Callable[[str], None] = _nothing
    after: Callable[[str], None] = _nothing
    blind: bool = False
    canary: str = "its default group"
    counts: bool = True
    full: str = ""
    fleet: dict[str, Machine] = field(default_factory=dict[str, Machine])
    disks: dict[str, Volume] = field(default_factory=dict[str, Volume])
    imported: dict[str, str] = field(default_factory=dict[str, str])
    told: list[Launch] = field(default_factory=list[Launch])
    launches: int = 0
    _numbers: count[int] = field(default_factory=lambda: count(1))
    _tokens: dict[str, str] = field(default_factory=dict[str, str])
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def capabilities(self) -> Mapping[ComputeFeature, Support]:
        """See `ComputeProvider.capabilities`."""
        return {one: Support.ABSENT if one in self.absent else Support.NATIVE for one in ComputeFeature}

    def sizes(self) -> Sequence[Size]:
        """See `ComputeProvider.sizes`."""
        return list(self.offered)

    def images(self, source: ImageSource) -> Sequence[Image]:
        """See `ComputeProvider.images`."""
        pattern = source.pattern.removesuffix("*")
        return [one for one in self.known if one.name.startswith(pattern) and source.owner in {"", one.owner}]

    def launch(self, launch: Launch) -> Machine:
        """See `ComputeProvider.launch`."""
        with self._lock:
            self.before("launch")
            if launch.size not in {one.id for one in self.offered} or launch.image not in {
                one.id for one in self.known
            }:
                raise InvalidArgument(f"{self.target}: there is no such size or image")
            if launch.tags:
                self._need(ComputeFeature.TAGS)
            if launch.user_data:
                self._need(ComputeFeature.USER_DATA)
            if launch.key is not None and launch.key not in self.imported:
                raise InvalidArgument(f"{self.target}: there is no key `{launch.key}`")
            known = self._tokens.get(launch.token)
            if known in self.fleet and ComputeFeature.IDEMPOTENT_LAUNCH not in self.absent:
                return self.fleet[known]
            if self.full:
                raise NoCapacity(self.full, target=self.target)
            self.told.append(launch)
            self.launches += 1
            made = Machine(
                id=f"i-{next(self._numbers):06}",
                name=launch.name,
                state=MachineState.RUNNING,
                size=launch.size,
                image=launch.image,
                tags=NO_TAGS if ComputeFeature.TAGS in self.absent else dict(launch.tags),
            )
            self.fleet[made.id] = made
            self._tokens[launch.token] = made.id
            self.after("launch")
            return made

    def machines(self) -> Sequence[Machine]:
        """See `ComputeProvider.machines`."""
        self.before("machines")
        with self._lock:
            return [] if self.blind else list(self.fleet.values())

    def machine(self, machine: str) -> Machine:
        """See `ComputeProvider.machine`."""
        with self._lock:
            if machine not in self.fleet:
                raise NotFound(f"there is no machine `{machine}`", target=self.target)
            return self.fleet[machine]

    def start(self, machine: str) -> None:
        """See `ComputeProvider.start`."""
        self._become(machine, MachineState.RUNNING, ComputeFeature.STOP)

    def stop(self, machine: str) -> None:
        """See `ComputeProvider.stop`."""
        self._become(machine, MachineState.STOPPED, ComputeFeature.STOP)

    def reboot(self, machine: str) -> None:
        """See `ComputeProvider.reboot`."""
        self._need(ComputeFeature.REBOOT)
        if self.machine(machine).state is not MachineState.RUNNING:
            raise InvalidArgument(f"{self.target}: `{machine}` does not run")

    def destroy(self, machine: str) -> None:
        """See `ComputeProvider.destroy`."""
        with self._lock:
            self.before("destroy")
            self.fleet.pop(machine, None)
            self.disks = {
                name: replace(one, machine=None) if one.machine == machine else one for name, one in self.disks.items()
            }
            self.after("destroy")

    def import_key(self, name: str, public: str) -> PublicKey:
        """See `ComputeProvider.import_key`."""
        self._need(ComputeFeature.KEYS)
        self.before("import_key")
        self.imported[name] = public
        self.after("import_key")
        return PublicKey(name, name)

    def public_keys(self) -> Sequence[PublicKey]:
        """See `ComputeProvider.public_keys`."""
        self._need(ComputeFeature.KEYS)
        return [PublicKey(name, name) for name in self.imported]

    def delete_key(self, key: str) -> None:
        """See `ComputeProvider.delete_key`."""
        self._need(ComputeFeature.KEYS)
        self.before("delete_key")
        self.imported.pop(key, None)
        self.after("delete_key")

    def volumes(self) -> Sequence[Volume]:
        """See `ComputeProvider.volumes`."""
        self._need(ComputeFeature.VOLUMES)
        return list(self.disks.values())

    def create_volume(self, name: str, *, size: int, tags: Mapping[str, str] = NO_TAGS) -> Volume:
        """See `ComputeProvider.create_volume`."""
        self._need(ComputeFeature.VOLUMES)
        made = Volume(f"vol-{next(self._numbers):06}", name, size, tags=dict(tags))
        self.disks[made.id] = made
        return made

    def attach(self, volume: str, machine: str) -> None:
        """See `ComputeProvider.attach`."""
        held, found = self._volume(volume), self.machine(machine)
        if held.machine not in {None, machine}:
            raise InvalidArgument(f"{self.target}: `{volume}` is attached elsewhere")
        self.disks[volume] = replace(held, machine=found.id)

    def detach(self, volume: str) -> None:
        """See `ComputeProvider.detach`."""
        self.disks[volume] = replace(self._volume(volume), machine=None)

    def destroy_volume(self, volume: str) -> None:
        """See `ComputeProvider.destroy_volume`."""
        self._need(ComputeFeature.VOLUMES)
        if volume in self.disks and self.disks[volume].machine is not None:
            raise InvalidArgument(f"{self.target}: `{volume}` is in use")
        self.disks.pop(volume, None)

    def visibility(self) -> Visibility:
        """See `ComputeProvider.visibility`."""
        shown = 0 if self.blind else len(self.fleet)
        return Visibility(shown if self.counts else None, self.canary)

    def close(self) -> None:
        """See `ComputeProvider.close`."""

    def _need(self, feature: ComputeFeature) -> None:
        if feature in self.absent:
            raise NotSupported(f"`{feature}` is absent here", target=self.target)

    def _become(self, machine: str, state: MachineState, feature: ComputeFeature) -> None:
        self._need(feature)
        with self._lock:
            self.fleet[machine] = replace(self.machine(machine), state=state)

    def _volume(self, volume: str) -> Volume:
        self._need(ComputeFeature.VOLUMES)
        if volume not in self.disks:
            raise NotFound(f"there is no volume `{volume}`", target=self.target)
        return self.disks[volume]
