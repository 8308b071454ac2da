"""The machines of a project in a region."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

from sovbroker.errors import InvalidArgument, NoCapacity, NotFound, NotSupported, StoreError, Unavailable
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
from sovbroker.ports import Support, patience
from sovbroker_adapters.answers import broken, entries, entry, number, read, text
from sovbroker_adapters.launches import check_launch, check_size, gibibytes, named
from sovbroker_adapters.openstack import told
from sovbroker_adapters.openstack.client import COMPUTE, IMAGE, VOLUME, Connection, quoted
from sovbroker_adapters.settling import PAUSE, gone, settled

__all__ = ["OpenStackMachines"]

CAPABILITIES: Final[Mapping[ComputeFeature, Support]] = MappingProxyType(
    dict.fromkeys(ComputeFeature, Support.NATIVE) | {ComputeFeature.IDEMPOTENT_LAUNCH: Support.ABSENT}
)
ACCEPTED: Final = (202,)
DELETED: Final = (204,)


class OpenStackMachines:
    """The `ComputeProvider` of one project in one region. `sleep` waits for volumes."""

    def __init__(self, connection: Connection, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._connection = connection
        self._sleep = sleep

    @property
    def target(self) -> str:
        """See `ComputeProvider.target`."""
        return self._connection.target

    @property
    def capabilities(self) -> Mapping[ComputeFeature, Support]:
        """See `ComputeProvider.capabilities`."""
        return CAPABILITIES

    def sizes(self) -> Sequence[Size]:
        """See `ComputeProvider.sizes`."""
        return [
            read(lambda one: told.size(one, self._specs(one)), flavor, target=self.target)
            for flavor in self._connection.pages(COMPUTE, "/flavors/detail", "flavors")
        ]

    def images(self, source: ImageSource) -> Sequence[Image]:
        """See `ComputeProvider.images`. Newest first; the id of a project owns them."""
        if not source.owner:
            raise InvalidArgument(f"{self.target}: name the project that owns the image: anybody may publish one here")
        found: list[Image] = []
        for one in self._connection.pages(IMAGE, "/images", "images", owner=source.owner, status="active"):
            made = read(told.image, one, target=self.target)
            if made.owner != source.owner:
                raise broken(f"an image of `{made.owner}`, which nobody asked for", target=self.target)
            if named(made.name, source.pattern):
                found.append(made)
        return sorted(found, key=lambda image: (str(image.created or ""), image.id), reverse=True)

    def launch(self, launch: Launch) -> Machine:
        """See `ComputeProvider.launch`. One that comes without its tags is destroyed."""
        check_launch(launch, CAPABILITIES, target=self.target)
        if launch.attested is not None:
            specs = entry(self._extra(launch.size), target=self.target)
            if launch.attested not in told.attested(specs):
                message = f"`{launch.attested}` is not what `{launch.size}` proves; it cannot be asked for otherwise"
                raise NotSupported(message, target=self.target)
        asked = {"server": self._asked(launch)}
        answer = self._connection.told(COMPUTE, "POST /servers", body=asked, expected=ACCEPTED)
        machine = read(lambda one: text(one["server"], "id"), answer, target=self.target)
        try:
            found = self._scheduled(machine)
        except NotFound as error:
            raise Unavailable(f"the machine `{machine}` was made, and is not there", target=self.target) from error
        if found.name != launch.name or not launch.tags.items() <= found.tags.items():
            self.destroy(machine)
            raise broken("a machine without its tags; it was destroyed", target=self.target)
        return found

    def machines(self) -> Sequence[Machine]:
        """See `ComputeProvider.machines`."""
        pages = self._connection.pages(COMPUTE, "/servers/detail", "servers")
        found = [read(told.machine, one, target=self.target) for one in pages]
        return [one for one in found if one.state is not MachineState.GONE]

    def machine(self, machine: str) -> Machine:
        """See `ComputeProvider.machine`."""
        found = read(told.machine, self._server(machine), target=self.target)
        if found.state is MachineState.GONE:
            raise NotFound(f"there is no machine `{machine}`", target=self.target)
        return found

    def start(self, machine: str) -> None:
        """See `ComputeProvider.start`."""
        if self.machine(machine).state is not MachineState.RUNNING:
            self._act(machine, {"os-start": None})

    def stop(self, machine: str) -> None:
        """See `ComputeProvider.stop`."""
        if self.machine(machine).state not in {MachineState.STOPPED, MachineState.STOPPING}:
            self._act(machine, {"os-stop": None})

    def reboot(self, machine: str) -> None:
        """See `ComputeProvider.reboot`."""
        found = self.machine(machine)
        if found.state is not MachineState.RUNNING:
            raise InvalidArgument(f"{self.target}: the machine `{machine}` is {found.state}; start it")
        self._act(machine, {"reboot": {"type": "SOFT"}})

    def destroy(self, machine: str) -> None:
        """See `ComputeProvider.destroy`. Where a deleted machine could be brought back, it is deleted for good."""
        with suppress(NotFound):
            self._connection.ask(COMPUTE, f"DELETE /servers/{quoted(machine)}", expected=DELETED, again=True)
            found = self._server(machine)
            if told.SOFT & {str(found.get("status")), str(found.get("OS-EXT-STS:task_state"))}:
                self._act(machine, {"forceDelete": None})
                found = self._server(machine)
            state = read(told.machine, found, target=self.target).state
            if state is not MachineState.GONE:
                raise broken(f"that it destroys `{machine}`, which is {state}", target=self.target)

    def import_key(self, name: str, public: str) -> PublicKey:
        """See `ComputeProvider.import_key`. Machines that have the replaced one keep it."""
        self.delete_key(name)
        asked = {"keypair": {"name": name, "public_key": public}}
        answer = self._connection.told(COMPUTE, "POST /os-keypairs", body=asked)
        made = entry(answer.get("keypair"), target=self.target)
        if made.get("private_key"):
            self.delete_key(name)
            raise broken("a private key that it made itself; it was removed again", target=self.target)
        return read(_key, made, target=self.target)

    def public_keys(self) -> Sequence[PublicKey]:
        """See `ComputeProvider.public_keys`: those of the user whose token it is."""
        answer = self._connection.told(COMPUTE, "GET /os-keypairs", again=True)
        found = entries(answer, "keypairs", target=self.target)
        return [read(lambda one: _key(one["keypair"]), each, target=self.target) for each in found]

    def delete_key(self, key: str) -> None:
        """See `ComputeProvider.delete_key`."""
        with suppress(NotFound):
            self._connection.ask(COMPUTE, f"DELETE /os-keypairs/{quoted(key)}", expected=ACCEPTED, again=True)

    def volumes(self) -> Sequence[Volume]:
        """See `ComputeProvider.volumes`."""
        pages = self._connection.pages(VOLUME, "/volumes/detail", "volumes")
        return [read(told.volume, one, target=self.target) for one in pages if one.get("status") != "deleting"]

    def create_volume(self, name: str, *, size: int, tags: Mapping[str, str] = NO_TAGS) -> Volume:
        """See `ComputeProvider.create_volume`. One that could not be made is destroyed."""
        check_size(size)
        connection = self._connection
        more = {"volume_type": connection.volume_type, "availability_zone": connection.zone}
        asked: dict[str, object] = {"size": gibibytes(size), "name": name, "metadata": dict(tags)}
        asked |= {key: value for key, value in more.items() if value is not None}
        answer = connection.told(VOLUME, "POST /volumes", body={"volume": asked}, expected=ACCEPTED)
        made = read(lambda one: text(one["volume"], "id"), answer, target=self.target)
        try:
            found = self._settled(made, "a volume", lambda one: one.get("status") in {"available", "error"})
        except BaseException:
            self.destroy_volume(made)
            raise
        if found.get("status") == "error":
            self.destroy_volume(made)
            raise StoreError(f"the volume `{made}` could not be made", target=self.target)
        return read(told.volume, found, target=self.target)

    def attach(self, volume: str, machine: str) -> None:
        """See `ComputeProvider.attach`. Returns when the machine has it."""
        held = self._held(self._volume(volume))
        self.machine(machine)
        if held == [machine]:
            return
        if held:
            raise InvalidArgument(f"{self.target}: the volume `{volume}` is attached to `{held[0]}`; detach it")
        path = f"POST /servers/{quoted(machine)}/os-volume_attachments"
        self._connection.told(COMPUTE, path, body={"volumeAttachment": {"volumeId": volume}})
        self._settled(
            volume, "an attachment", lambda one: one.get("status") == "in-use" and self._held(one) == [machine]
        )

    def detach(self, volume: str) -> None:
        """See `ComputeProvider.detach`. Returns when no machine has it."""
        held = self._held(self._volume(volume))
        for machine in held:
            path = f"DELETE /servers/{quoted(machine)}/os-volume_attachments/{quoted(volume)}"
            self._connection.ask(COMPUTE, path, expected=ACCEPTED)
        if held:
            self._settled(volume, "a detachment", lambda one: not self._held(one))

    def destroy_volume(self, volume: str) -> None:
        """See `ComputeProvider.destroy_volume`."""
        with suppress(NotFound):
            found = self._volume(volume)
            if held := self._held(found):
                raise InvalidArgument(f"{self.target}: the volume `{volume}` is attached to `{held[0]}`; detach it")
            self._connection.ask(VOLUME, f"DELETE /volumes/{quoted(volume)}", expected=ACCEPTED)
            state = self._volume(volume).get("status")
            raise broken(f"that it destroys `{volume}`, which is {state}", target=self.target)

    def visibility(self) -> Visibility:
        """See `ComputeProvider.visibility`: the default security group of this project is the canary."""
        limits = self._connection.told(COMPUTE, "GET /limits", again=True)
        count = read(lambda one: number(one["limits"]["absolute"], "totalInstancesUsed"), limits, target=self.target)
        answer = self._connection.told(COMPUTE, "GET /os-security-groups", again=True)
        project = self._connection.project
        own = sorted(
            f"security group {group.get('id')} of {project}"
            for group in entries(answer, "security_groups", target=self.target)
            if group.get("name") == "default" and group.get("tenant_id") == project
        )
        return Visibility(count, own[0] if own else "")

    def close(self) -> None:
        """See `ComputeProvider.close`."""
        self._connection.close()

    def _asked(self, launch: Launch) -> dict[str, Any]:
        connection = self._connection
        asked: dict[str, Any] = {
            "name": launch.name,
            "imageRef": launch.image,
            "flavorRef": launch.size,
            "metadata": dict(launch.tags),
            "min_count": 1,
            "max_count": 1,
        }
        if launch.user_data:
            asked["user_data"] = base64.b64encode(launch.user_data).decode()
        if launch.key is not None:
            asked["key_name"] = launch.key
        if connection.network is not None:
            asked["networks"] = [{"uuid": connection.network}]
        if connection.group is not None:
            asked["security_groups"] = [{"name": connection.group}]
        if connection.zone is not None:
            asked["availability_zone"] = connection.zone
        return asked

    def _scheduled(self, machine: str) -> Machine:
        """Return a new machine once it has a host. Raises NoCapacity where there is none, and it is gone again."""
        end = time.monotonic() + self._connection.within
        while told.unplaced(found := self._server(machine)) and time.monotonic() < end:
            patience().left(self._connection.within)
            self._sleep(PAUSE)
        made = read(told.machine, found, target=self.target)
        if made.state is MachineState.GONE:
            raise NotFound(f"there is no machine `{machine}`", target=self.target)
        why = told.homeless(found)
        if made.state is MachineState.FAILED and why:
            self.destroy(machine)
            within, what = self._connection.within, f"the machine `{machine}`"
            gone(lambda: self.machine(machine), within=within, what=what, target=self.target, sleep=self._sleep)
            raise NoCapacity(f"the machine `{machine}` was destroyed again: {why}", target=self.target)
        return made

    def _act(self, machine: str, action: Mapping[str, object]) -> None:
        self._connection.ask(COMPUTE, f"POST /servers/{quoted(machine)}/action", body=action, expected=ACCEPTED)

    def _server(self, machine: str) -> Mapping[str, Any]:
        answer = self._connection.told(COMPUTE, f"GET /servers/{quoted(machine)}", again=True)
        return self._same(answer, "server", machine)

    def _volume(self, volume: str) -> Mapping[str, Any]:
        """Return a volume. Raises NotFound for one that is not there, or being deleted."""
        answer = self._connection.told(VOLUME, f"GET /volumes/{quoted(volume)}", again=True)
        found = self._same(answer, "volume", volume)
        if found.get("status") == "deleting":
            raise NotFound(f"there is no volume `{volume}`", target=self.target)
        return found

    def _same(self, answer: Mapping[str, Any], name: str, wanted: str) -> Mapping[str, Any]:
        found = entry(answer.get(name), target=self.target)
        if found.get("id") != wanted:
            raise broken(f"nothing of `{wanted}`, which it was asked about", target=self.target)
        return found

    def _held(self, volume: Mapping[str, Any]) -> list[str]:
        return read(told.attachments, volume, target=self.target)

    def _specs(self, flavor: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._extra(text(flavor, "id")) if self._connection.extra_specs else {}

    def _extra(self, size: str) -> Mapping[str, Any]:
        answer = self._connection.told(COMPUTE, f"GET /flavors/{quoted(size)}/os-extra_specs", again=True)
        return entry(answer.get("extra_specs"), target=self.target)

    def _settled(self, volume: str, what: str, done: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        within = self._connection.within
        name = f"{what} of `{volume}`"
        return settled(
            lambda: self._volume(volume), done, within=within, what=name, target=self.target, sleep=self._sleep
        )


def _key(found: Mapping[str, Any]) -> PublicKey:
    return PublicKey(text(found, "name"), text(found, "name"))
