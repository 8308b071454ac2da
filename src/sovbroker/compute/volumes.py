"""Disks that outlive machines. They hold data in the clear, so they are where a machine for that data may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sovbroker.compute.checks import check_name
from sovbroker.compute.journal import Entry, Step
from sovbroker.compute.launching import TAG
from sovbroker.compute.needs import memory_of
from sovbroker.compute.planning import Surroundings
from sovbroker.errors import InvalidArgument, NotFound
from sovbroker.machines import Volume

__all__ = ["Placed", "Volumes"]


@dataclass(frozen=True, slots=True)
class Placed:
    """A volume, and the place that it is at."""

    target: str
    volume: Volume


class Volumes:
    """The volumes of this installation. A volume is made for a machine, and carries its label."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def create(self, name: str, *, machine: str, size: str | int) -> Placed:
        """Make a volume of at least `size` (`10GiB`, or bytes) where a machine is, and attach it to that."""
        entry = self._entry(machine)
        provider = self._around.providers.provider(entry.target)
        tags = {f"{TAG}-installation": self._around.journal.installation(), f"{TAG}-launch": entry.launch}
        if not entry.hidden:
            tags[f"{TAG}-label"] = entry.label
        told = f"{TAG}-{entry.launch}" if entry.hidden else check_name(name)
        amount = memory_of(size) if isinstance(size, str) else size
        made = provider.create_volume(told, size=amount, tags=tags)
        provider.attach(made.id, entry.machine)
        return Placed(entry.target, next(one for one in provider.volumes() if one.id == made.id))

    def list(self) -> Sequence[Placed]:
        """Return the volumes of this installation at every place."""
        installation = self._around.journal.installation()
        return [
            Placed(target, one)
            for target in self._around.providers.places
            for one in self._around.providers.provider(target).volumes()
            if one.tags.get(f"{TAG}-installation") == installation
        ]

    def attach(self, volume: str, *, machine: str) -> None:
        """Attach a volume to a machine at the same place, whose label is not below that of the volume.

        Raises NotFound for a volume that is not ours or elsewhere, InvalidArgument where the label forbids it.
        """
        entry = self._entry(machine)
        found = self._found(volume)
        if found.target != entry.target:
            raise InvalidArgument(
                f"the volume `{volume}` is at {found.target}, the machine `{machine}` at {entry.target}"
            )
        self._check(found.volume, entry)
        self._around.providers.provider(entry.target).attach(volume, entry.machine)

    def detach(self, volume: str) -> None:
        """Take a volume from its machine. Raises NotFound."""
        self._around.providers.provider(self._found(volume).target).detach(volume)

    def destroy(self, volume: str) -> None:
        """Destroy a volume that is attached to no machine. Raises NotFound, and InvalidArgument for one in use."""
        self._around.providers.provider(self._found(volume).target).destroy_volume(volume)

    def _entry(self, machine: str) -> Entry:
        entry = self._around.journal.get(check_name(machine))
        if entry is None or entry.step is not Step.LAUNCHED:
            raise NotFound(f"there is no machine `{machine}`")
        return entry

    def _found(self, volume: str) -> Placed:
        found = next((one for one in self.list() if one.volume.id == volume), None)
        if found is None:
            raise NotFound(f"there is no volume `{volume}` of ours")
        return found

    def _check(self, volume: Volume, entry: Entry) -> None:
        """Refuse a volume whose data may be of a higher label than the machine is for."""
        if volume.tags.get(f"{TAG}-launch") == entry.launch:
            return
        lattice = self._around.policy().lattice
        told = volume.tags.get(f"{TAG}-label")
        if told is None or not lattice.dominates(lattice.parse(entry.label), lattice.parse(told)):
            what = "of an unknown label" if told is None else f"labelled `{told}`"
            raise InvalidArgument(f"the volume `{volume.id}` is {what}, and `{entry.name}` is for `{entry.label}`")
