"""Volumes on Block Storage: those that outlive machines, and the disks of machines, which are marked as theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from sovbroker.errors import InvalidArgument, NotFound, StoreError
from sovbroker.machines import Volume
from sovbroker_adapters.answers import broken, read, text
from sovbroker_adapters.launches import check_size
from sovbroker_adapters.scaleway import told
from sovbroker_adapters.scaleway.client import BLOCK, INSTANCE, Connection, Named

__all__ = ["Disks"]

MARK: Final = "sovbroker-disk-of"
"""The tag that names the machine whose own disk a volume is."""

GB: Final = 10**9
READY: Final = frozenset({"available", "in_use"})
FAILED: Final = frozenset({"error", "locked"})
LEAVING: Final = frozenset({"deleting", "deleted"})


class Disks:
    """The volumes of one project in one region."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._target = connection.target

    def all(self) -> Sequence[Volume]:
        """Return every volume."""
        return [self._read(zone, each) for zone in self._connection.zones for each in self._listed(zone).values()]

    def create(self, name: str, *, size: int, tags: Mapping[str, str]) -> Volume:
        """Make a volume, and wait for it. One that could not be made is destroyed."""
        check_size(size)
        connection = self._connection
        asked = {
            "name": name,
            "project_id": connection.project,
            "tags": told.tagged(tags, target=self._target),
            "from_empty": {"size": -(-size // GB) * GB},
        }
        made = connection.told(f"POST {BLOCK}/{connection.zone}/volumes", body=asked)
        named = Named(connection.zone, read(lambda one: text(one, "id"), made, target=self._target))
        try:
            found = self._ready(named)
        except BaseException:
            self.destroy(named)
            raise
        return self._read(named.zone, found)

    def attach(self, volume: Named, machine: Named) -> None:
        """Attach a volume; return when the machine has it."""
        held = self._held(self._found(volume))
        if held == [machine.id] and volume.zone == machine.zone:
            return
        if held:
            raise InvalidArgument(f"{self._target}: `{volume}` is attached to `{volume.zone}/{held[0]}`; detach it")
        if volume.zone != machine.zone:
            raise InvalidArgument(f"{self._target}: `{volume}` and `{machine}` are in different zones")
        asked = {"volume_id": volume.id, "volume_type": told.BLOCK_VOLUME}
        path = f"POST {INSTANCE}/{machine.zone}/servers/{machine.id}/attach-volume"
        self._connection.told(path, "server", body=asked)
        self._connection.settle(
            lambda: self._found(volume),
            lambda one: one.get("status") == "in_use" and self._held(one) == [machine.id],
            f"an attachment of `{volume}`",
        )

    def detach(self, volume: Named) -> None:
        """Take a volume from its machine; return when no machine has it."""
        for machine in self._held(self._found(volume)):
            path = f"POST {INSTANCE}/{volume.zone}/servers/{machine}/detach-volume"
            self._connection.told(path, "server", body={"volume_id": volume.id})
        self._connection.settle(lambda: self._held(self._found(volume)), lambda one: not one, f"to let `{volume}` go")

    def destroy(self, volume: Named) -> None:
        """Destroy a volume that no machine has; return when it is not there."""
        with suppress(NotFound):
            if held := self._held(self._found(volume)):
                raise InvalidArgument(f"{self._target}: `{volume}` is attached to `{volume.zone}/{held[0]}`; detach it")
            self._remove(volume)

    def mark(self, volume: Named, machine: Named) -> None:
        """Mark a volume as a machine's own disk, once it is there. What is marked as another's stays another's."""
        found = self._ready(volume)
        own = read(told.tags, found, target=self._target)
        if MARK in own:
            return
        path = f"PATCH {BLOCK}/{volume.zone}/volumes/{volume.id}"
        wanted = {**own, MARK: machine.id}
        asked = {"tags": told.tagged(wanted, target=self._target)}
        answer = self._connection.told(path, body=asked, again=True, about=volume.id)
        if read(told.tags, answer, target=self._target) != wanted:
            raise broken("that it tagged a disk, and not how", target=self._target)

    def of(self, machine: Named) -> Sequence[Named]:
        """Return the disks that are marked as a machine's."""
        found = self._listed(machine.zone, tags=f"{MARK}={machine.id}")
        return [
            Named(machine.zone, key)
            for key, one in found.items()
            if read(told.tags, one, target=self._target).get(MARK) == machine.id
        ]

    def let_go(self, volume: Named, machine: Named) -> None:
        """Return when a machine that is gone does not have a volume any more."""
        with suppress(NotFound):
            self._connection.settle(
                lambda: self._held(self._found(volume)), lambda one: machine.id not in one, f"to let `{volume}` go"
            )

    def destroy_of(self, machine: Named) -> None:
        """Destroy the disks of a machine that is gone. One that another machine has raises InvalidArgument."""
        for volume in self.of(machine):
            self.let_go(volume, machine)
            self.destroy(volume)

    def _remove(self, volume: Named) -> None:
        path = f"DELETE {BLOCK}/{volume.zone}/volumes/{volume.id}"
        self._connection.ask(path, expected=(204,), again=True, about=volume.id)
        found = self._found(volume)
        raise broken(f"that it destroys `{volume}`, which is {found.get('status')}", target=self._target)

    def _ready(self, volume: Named) -> Mapping[str, Any]:
        found = self._connection.settle(
            lambda: self._found(volume), lambda one: one.get("status") in READY | FAILED, f"the volume `{volume}`"
        )
        if found.get("status") in FAILED:
            raise StoreError(f"the volume `{volume}` is {found.get('status')}", target=self._target)
        return found

    def _found(self, volume: Named) -> Mapping[str, Any]:
        """Return a volume of the project. Raises NotFound for one that is not there, or being deleted."""
        path = f"GET {BLOCK}/{volume.zone}/volumes/{volume.id}"
        found = self._connection.told(path, again=True, about=volume.id)
        if found.get("id") != volume.id:
            raise broken(f"nothing of `{volume}`, which it was asked about", target=self._target)
        if found.get("status") in LEAVING or found.get("project_id") != self._connection.project:
            raise NotFound(f"there is no volume `{volume}`", target=self._target)
        return found

    def _listed(self, zone: str, **filters: str) -> Mapping[str, Mapping[str, Any]]:
        path, project = f"{BLOCK}/{zone}/volumes", self._connection.project
        found = self._connection.listed(path, "volumes", project_id=project, include_deleted="false", **filters)
        if any(one.get("project_id") != project for one in found.values()):
            raise broken("a volume of another project", target=self._target)
        return {key: one for key, one in found.items() if one.get("status") not in LEAVING}

    def _read(self, zone: str, found: Mapping[str, Any]) -> Volume:
        return read(lambda one: told.volume(zone, one), found, target=self._target)

    def _held(self, volume: Mapping[str, Any]) -> list[str]:
        return read(told.held, volume, target=self._target)
