"""The machines of a project in the zones of a region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final, cast

from sovbroker.errors import InvalidArgument, NotFound, NotSupported, SovbrokerError, StoreError, Unavailable
from sovbroker.machines import (
    NO_TAGS,
    ComputeFeature,
    Image,
    ImageSource,
    Launch,
    Machine,
    MachineState,
    Size,
    Visibility,
    Volume,
)
from sovbroker.ports import Support
from sovbroker_adapters.absent import WithoutKeys
from sovbroker_adapters.answers import broken, entry, number, read, text
from sovbroker_adapters.launches import check_launch
from sovbroker_adapters.scaleway import told
from sovbroker_adapters.scaleway.client import INSTANCE, Connection, Named
from sovbroker_adapters.scaleway.disks import Disks
from sovbroker_adapters.scaleway.images import Images

__all__ = ["ScalewayMachines"]

CAPABILITIES: Final[Mapping[ComputeFeature, Support]] = MappingProxyType(
    dict.fromkeys(ComputeFeature, Support.NATIVE)
    | {
        ComputeFeature.IDEMPOTENT_LAUNCH: Support.EMULATED,
        ComputeFeature.TAGS: Support.EMULATED,
        ComputeFeature.KEYS: Support.ABSENT,
    }
)
MADE: Final = (200, 201)
ACCEPTED: Final = (200, 201, 202)
DELETED: Final = (204,)
SCRIPT: Final = "cloud-init"
ROOT: Final = "0"
SHORT: Final = "shortage"
CHANGING: Final = frozenset({MachineState.PENDING, MachineState.STOPPING})
Server = Mapping[str, Any]


class ScalewayMachines(WithoutKeys):
    """The `ComputeProvider` of one project in one region."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._disks = Disks(connection)
        self._images = Images(connection)

    @property
    def target(self) -> str:
        """See `ComputeProvider.target`."""
        return self._connection.target

    @property
    def capabilities(self) -> Mapping[ComputeFeature, Support]:
        """See `ComputeProvider.capabilities`."""
        return CAPABILITIES

    def sizes(self) -> Sequence[Size]:
        """See `ComputeProvider.sizes`. Those on Block Storage, in service, of which there are some in the zone."""
        path = f"{INSTANCE}/{self._connection.zone}/products/servers"
        stock = self._connection.listed(f"{path}/availability", "servers", size="per_page")
        return [
            self._size(name, found)
            for name, found in self._connection.listed(path, "servers", size="per_page").items()
            if read(_launchable, found, target=self.target) and stock.get(name, {}).get("availability") != SHORT
        ]

    def images(self, source: ImageSource) -> Sequence[Image]:
        """See `ComputeProvider.images`. The owner is a project, or the organisation of the provider's own images."""
        return self._images.of(source)

    def launch(self, launch: Launch) -> Machine:
        """See `ComputeProvider.launch`. Made with its tags and stopped, then given its script, then started."""
        check_launch(launch, CAPABILITIES, target=self.target)
        if launch.attested is not None:
            raise NotSupported(f"`{launch.attested}` cannot be asked for", target=self.target)
        made = self._launched(launch.token)
        if made is None:
            self._images.check(launch.image)
            made = self._made(launch)
        try:
            return self._finished(launch, made)
        except Unavailable:
            # The same launch goes on with it.
            raise
        except SovbrokerError:
            self.destroy(str(made))
            raise

    def machines(self) -> Sequence[Machine]:
        """See `ComputeProvider.machines`: in all zones of the region."""
        return [self._read(named, found) for named, found in self._all()]

    def machine(self, machine: str) -> Machine:
        """See `ComputeProvider.machine`."""
        named = self._named(machine)
        return self._read(named, self._server(named))

    def start(self, machine: str) -> None:
        """See `ComputeProvider.start`. What it is doing is waited for."""
        named, found = self._steady(machine)
        if found.state is not MachineState.RUNNING:
            self._act(named, "poweron")

    def stop(self, machine: str) -> None:
        """See `ComputeProvider.stop`. What it is doing is waited for."""
        named, found = self._steady(machine)
        if found.state is not MachineState.STOPPED:
            self._act(named, "poweroff")

    def reboot(self, machine: str) -> None:
        """See `ComputeProvider.reboot`. What it is doing is waited for."""
        named, found = self._steady(machine)
        if found.state is not MachineState.RUNNING:
            raise InvalidArgument(f"{self.target}: the machine `{machine}` is {found.state}; start it")
        self._act(named, "reboot")

    def destroy(self, machine: str) -> None:
        """See `ComputeProvider.destroy`. Returns when neither it nor a disk that is marked as its own is there."""
        try:
            named = self._named(machine)
        except NotFound:
            return
        with suppress(NotFound):
            _, found = self._steady(machine)
            self._removed(named, found)
        self._disks.destroy_of(named)

    def volumes(self) -> Sequence[Volume]:
        """See `ComputeProvider.volumes`. The machines' own disks are among them."""
        return self._disks.all()

    def create_volume(self, name: str, *, size: int, tags: Mapping[str, str] = NO_TAGS) -> Volume:
        """See `ComputeProvider.create_volume`."""
        return self._disks.create(name, size=size, tags=tags)

    def attach(self, volume: str, machine: str) -> None:
        """See `ComputeProvider.attach`. Returns when the machine has it."""
        named, _ = self._steady(machine)
        self._disks.attach(self._connection.named(volume, "volume"), named)

    def detach(self, volume: str) -> None:
        """See `ComputeProvider.detach`. Returns when no machine has it."""
        self._disks.detach(self._connection.named(volume, "volume"))

    def destroy_volume(self, volume: str) -> None:
        """See `ComputeProvider.destroy_volume`."""
        with suppress(NotFound):
            self._disks.destroy(self._connection.named(volume, "volume"))

    def visibility(self) -> Visibility:
        """See `ComputeProvider.visibility`: the project's default security group is the canary."""
        counted, canaries = 0, list[str]()
        project = self._connection.project
        for zone in self._connection.zones:
            board = self._connection.told(f"GET {INSTANCE}/{zone}/dashboard?project={project}", "dashboard", again=True)
            counted += read(lambda one: number(one, "servers_count"), board, target=self.target)
            path = f"{INSTANCE}/{zone}/security_groups"
            groups = self._connection.listed(path, "security_groups", size="per_page", project=project)
            canaries += [
                f"security group {zone}/{key} of {project}"
                for key, one in groups.items()
                if one.get("project_default") is True and one.get("project") == project
            ]
        return Visibility(counted, canaries[0] if canaries else "")

    def close(self) -> None:
        """See `ComputeProvider.close`."""
        self._connection.close()

    def _made(self, launch: Launch) -> Named:
        connection = self._connection
        asked: dict[str, object] = {
            "name": launch.name,
            "commercial_type": launch.size,
            "image": launch.image,
            "project": connection.project,
            "tags": told.tagged({**launch.tags, told.LAUNCH: launch.token}, target=self.target),
            "dynamic_ip_required": connection.public,
            "protected": False,
        }
        if connection.group is not None:
            asked["security_group"] = connection.group
        path = f"POST {INSTANCE}/{connection.zone}/servers"
        server = connection.told(path, "server", body=asked, expected=MADE)
        return Named(connection.zone, read(lambda one: text(one, "id"), server, target=self.target))

    def _finished(self, launch: Launch, made: Named) -> Machine:
        """Give a machine that was made all that it lacks, and start it."""
        _, found = self._steady(str(made))
        if found.name != launch.name or not launch.tags.items() <= found.tags.items():
            raise StoreError(f"the machine `{made}` came without its name or tags", target=self.target)
        if found.state is not MachineState.STOPPED:
            return found
        self._mark(made)
        if launch.user_data:
            path = f"{INSTANCE}/{made.zone}/servers/{made.id}/user_data"
            self._connection.ask(
                f"PATCH {path}/{SCRIPT}", script=launch.user_data, expected=(200, 204), again=True, about=made.id
            )
            names = self._connection.told(f"GET {path}", again=True, about=made.id).get("user_data")
            if not isinstance(names, list) or SCRIPT not in names:
                raise broken("that it keeps a script, and does not", target=self.target)
        self._act(made, "poweron")
        return self.machine(str(made))

    def _mark(self, machine: Named) -> None:
        """Mark the disk that a machine of ours was made with; a disk in its place that is not, when none is its own."""
        server = self._server(machine)
        if told.LAUNCH not in read(told.tags, server, target=self.target) or self._disks.of(machine):
            return
        root = entry(read(_disks, server, target=self.target).get(ROOT), target=self.target)
        if root.get("volume_type") == told.BLOCK_VOLUME:
            disk = read(lambda one: text(one, "id"), root, target=self.target)
            self._disks.mark(Named(machine.zone, disk), machine)

    def _removed(self, machine: Named, found: Machine) -> None:
        server = self._server(machine)
        disks = read(_disks, server, target=self.target)
        names = {key: read(lambda one: text(one, "id"), disk, target=self.target) for key, disk in disks.items()}
        local = {key: names[key] for key, disk in disks.items() if disk.get("volume_type") != told.BLOCK_VOLUME}
        if others := [disk for key, disk in local.items() if key != ROOT]:
            message = f"{self.target}: the machine `{machine}` has local disks, which would go with it: {others}"
            raise InvalidArgument(f"{message}; detach them")
        self._mark(machine)
        path = f"DELETE {INSTANCE}/{machine.zone}"
        if found.state is MachineState.STOPPED:
            self._connection.ask(f"{path}/servers/{machine.id}", expected=DELETED, again=True, about=machine.id)
        else:
            self._act(machine, "terminate")
        self._connection.settle(lambda: self._gone(machine), lambda gone: gone, f"the destruction of `{machine}`")
        for key in disks.keys() - local.keys():
            self._disks.let_go(Named(machine.zone, names[key]), machine)
        if found.state is MachineState.STOPPED and ROOT in local:
            with suppress(NotFound):
                disk = local[ROOT]
                self._connection.ask(f"{path}/volumes/{disk}", expected=DELETED, again=True, about=disk)

    def _gone(self, machine: Named) -> bool:
        try:
            self._server(machine)
        except NotFound:
            return True
        return False

    def _launched(self, token: str) -> Named | None:
        """Return the machine of a launch that was sent before; of several, the first that was made."""
        found = [
            (str(server.get("creation_date")), server["id"], named)
            for named, server in self._all()
            if read(told.tags, server, target=self.target).get(told.LAUNCH) == token
        ]
        return min(found, key=lambda one: one[:2])[2] if found else None

    def _act(self, machine: Named, action: str) -> None:
        path = f"POST {INSTANCE}/{machine.zone}/servers/{machine.id}/action"
        task = self._connection.told(path, "task", body={"action": action}, expected=ACCEPTED, about=machine.id)
        if read(lambda one: text(one, "status"), task, target=self.target) == "failure":
            raise StoreError(f"`{machine}` could not be told to {action}", target=self.target)

    def _steady(self, machine: str) -> tuple[Named, Machine]:
        """Return a machine as soon as it is neither starting nor stopping: then it can be told to do something."""
        named = self._named(machine)
        found = self._connection.settle(
            lambda: self._read(named, self._server(named)),
            lambda one: one.state not in CHANGING,
            f"a change of `{machine}`",
        )
        return named, found

    def _all(self) -> list[tuple[Named, Server]]:
        project = self._connection.project
        found = [
            (Named(zone, key), server)
            for zone in self._connection.zones
            for key, server in self._connection.listed(
                f"{INSTANCE}/{zone}/servers", "servers", size="per_page", project=project
            ).items()
        ]
        if any(server.get("project") != project for _, server in found):
            raise broken("a machine of another project", target=self.target)
        return found

    def _server(self, machine: Named) -> Server:
        """Return a machine of the project. Raises NotFound."""
        path = f"GET {INSTANCE}/{machine.zone}/servers/{machine.id}"
        found = self._connection.told(path, "server", again=True, about=machine.id)
        if found.get("id") != machine.id:
            raise broken(f"nothing of `{machine}`, which it was asked about", target=self.target)
        if found.get("project") != self._connection.project:
            raise NotFound(f"there is no machine `{machine}` in the project", target=self.target)
        return found

    def _read(self, named: Named, server: Server) -> Machine:
        return read(lambda one: told.machine(named.zone, one), server, target=self.target)

    def _size(self, name: str, found: Mapping[str, Any]) -> Size:
        return read(lambda one: told.size(name, one), found, target=self.target)

    def _named(self, machine: str) -> Named:
        return self._connection.named(machine, "machine")


def _launchable(found: Mapping[str, Any]) -> bool:
    """Whether machines of a kind may be made, with their disks on Block Storage."""
    able: Mapping[str, Any] = found["capabilities"] or {}
    return found["end_of_service"] is False and able.get("block_storage") is True


def _disks(server: Server) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, object] = server["volumes"]
    if not all(isinstance(one, Mapping) for one in found.values()):
        raise TypeError("disks that are no objects")
    return cast("Mapping[str, Mapping[str, Any]]", found)
