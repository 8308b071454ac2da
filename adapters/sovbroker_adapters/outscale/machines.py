"""The machines of an account in a region."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

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
from sovbroker_adapters.answers import broken, entries, entry, read, text
from sovbroker_adapters.attempts import unsure
from sovbroker_adapters.launches import check_launch, check_size, gibibytes, named
from sovbroker_adapters.outscale import told
from sovbroker_adapters.outscale.client import Connection
from sovbroker_adapters.outscale.prices import priced
from sovbroker_adapters.settling import gone, settled

__all__ = ["OutscaleMachines"]

CAPABILITIES: Final[Mapping[ComputeFeature, Support]] = MappingProxyType(
    dict.fromkeys(ComputeFeature, Support.NATIVE)
    | {ComputeFeature.IDEMPOTENT_LAUNCH: Support.EMULATED, ComputeFeature.TAGS: Support.EMULATED}
)
DEVICES: Final = tuple(f"/dev/xvd{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")


class OutscaleMachines:
    """The `ComputeProvider` of one account in one region. `sleep` waits for machines and volumes."""

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
        """See `ComputeProvider.sizes`, with the prices of the account's own catalog."""
        pages = self._connection.pages("ReadVmTypes", "VmTypes")
        return priced([read(told.size, one, target=self.target) for one in pages], self._connection)

    def images(self, source: ImageSource) -> Sequence[Image]:
        """See `ComputeProvider.images`. Newest first; an account or an alias such as `Outscale` owns them."""
        if not source.owner:
            raise InvalidArgument(f"{self.target}: name the account that owns the image: anybody may publish one here")
        kind = "AccountIds" if source.owner.isdigit() else "AccountAliases"
        wanted = {kind: [source.owner], "States": ["available"]}
        found: list[Image] = []
        for one in self._connection.pages("ReadImages", "Images", Filters=wanted):
            made = read(lambda each: told.image(each, owner=source.owner), one, target=self.target)
            if made.owner != source.owner:
                raise broken(f"an image of `{made.owner}`, which nobody asked for", target=self.target)
            if named(made.name, source.pattern):
                found.append(made)
        return sorted(found, key=lambda image: (str(image.created or ""), image.id), reverse=True)

    def launch(self, launch: Launch) -> Machine:
        """See `ComputeProvider.launch`. It is made, tagged, and then started."""
        check_launch(launch, CAPABILITIES, target=self.target)
        if launch.attested is not None:
            raise NotSupported(f"`{launch.attested}` cannot be asked for", target=self.target)
        machine = self._begun(launch) or self._made(launch)
        found = self._launched(launch, machine)
        if not _is_tagged(found, launch):
            found = self._finished(launch, machine)
        elif found.state is not MachineState.RUNNING:
            try:
                self._start(machine)
            except NoCapacity as error:
                # An earlier call has made it, and it may have run since: it stays.
                raise unsure(error, f"the machine `{machine}` is there, and does not run") from error
            found = self.machine(machine)
        return found

    def machines(self) -> Sequence[Machine]:
        """See `ComputeProvider.machines`."""
        found = [read(told.machine, one, target=self.target) for one in self._connection.pages("ReadVms", "Vms")]
        return [one for one in found if not _gone(one)]

    def machine(self, machine: str) -> Machine:
        """See `ComputeProvider.machine`."""
        return read(told.machine, self._vm(machine), target=self.target)

    def start(self, machine: str) -> None:
        """See `ComputeProvider.start`."""
        if self.machine(machine).state is not MachineState.RUNNING:
            self._changed("StartVms", machine)

    def stop(self, machine: str) -> None:
        """See `ComputeProvider.stop`."""
        if self.machine(machine).state is not MachineState.STOPPED:
            self._changed("StopVms", machine)

    def reboot(self, machine: str) -> None:
        """See `ComputeProvider.reboot`."""
        found = self.machine(machine)
        if found.state is not MachineState.RUNNING:
            raise InvalidArgument(f"{self.target}: the machine `{machine}` is {found.state}; start it")
        self._connection.ask("RebootVms", {"VmIds": [machine]}, again=False)

    def destroy(self, machine: str) -> None:
        """See `ComputeProvider.destroy`. One that is protected against it raises, as does every other refusal."""
        with suppress(NotFound):
            state = self._changed("DeleteVms", machine)
            if state is not MachineState.GONE:
                raise broken(f"that it destroys `{machine}`, which is {state}", target=self.target)

    def import_key(self, name: str, public: str) -> PublicKey:
        """See `ComputeProvider.import_key`. Machines that have the replaced one keep it."""
        self.delete_key(name)
        asked = {"KeypairName": name, "PublicKey": base64.b64encode(public.encode()).decode()}
        answer = self._connection.ask("CreateKeypair", asked, again=False)
        made = entry(answer.get("Keypair"), target=self.target)
        if made.get("PrivateKey"):
            self.delete_key(name)
            raise broken("a private key that it made itself; it was removed again", target=self.target)
        return read(_key, made, target=self.target)

    def public_keys(self) -> Sequence[PublicKey]:
        """See `ComputeProvider.public_keys`."""
        return [read(_key, one, target=self.target) for one in self._connection.pages("ReadKeypairs", "Keypairs")]

    def delete_key(self, key: str) -> None:
        """See `ComputeProvider.delete_key`."""
        with suppress(NotFound):
            self._connection.ask("DeleteKeypair", {"KeypairName": key}, again=True)

    def volumes(self) -> Sequence[Volume]:
        """See `ComputeProvider.volumes`. The machines' own disks are among them."""
        kept = [one for one in self._connection.pages("ReadVolumes", "Volumes") if one.get("State") != "deleting"]
        return [read(told.volume, one, target=self.target) for one in kept]

    def create_volume(self, name: str, *, size: int, tags: Mapping[str, str] = NO_TAGS) -> Volume:
        """See `ComputeProvider.create_volume`. One that cannot be tagged is destroyed."""
        check_size(size)
        asked = {"ClientToken": str(uuid.uuid4()), "SubregionName": self._zone(), "Size": gibibytes(size)}
        answer = self._connection.ask("CreateVolume", asked, again=True)
        made = read(told.volume, answer.get("Volume"), target=self.target)
        try:
            self._tag(made.id, name, tags)
            found = self._settled(made.id, "a volume", lambda one: one.get("State") == "available")
        except BaseException:
            self.destroy_volume(made.id)
            raise
        return read(told.volume, found, target=self.target)

    def attach(self, volume: str, machine: str) -> None:
        """See `ComputeProvider.attach`. Returns when the machine has it."""
        held = read(told.volume, self._found(volume), target=self.target).machine
        vm = self._vm(machine)
        if held == machine:
            return
        if held is not None:
            raise InvalidArgument(f"{self.target}: the volume `{volume}` is attached to `{held}`; detach it")
        used = {one.get("DeviceName") for one in entries(vm, "BlockDeviceMappings", target=self.target)}
        free = next((name for name in DEVICES if name not in used), None)
        if free is None:
            raise InvalidArgument(f"{self.target}: the machine `{machine}` has as many volumes as it can have")
        asked = {"VolumeId": volume, "VmId": machine, "DeviceName": free}
        self._connection.ask("LinkVolume", asked, again=False)
        self._settled(volume, "an attachment", lambda found: _links(found) == ["attached"])

    def detach(self, volume: str) -> None:
        """See `ComputeProvider.detach`. Returns when the machine has it no more."""
        if _links(self._found(volume)):
            self._connection.ask("UnlinkVolume", {"VolumeId": volume}, again=False)
            self._settled(volume, "a detachment", lambda found: not _links(found))

    def destroy_volume(self, volume: str) -> None:
        """See `ComputeProvider.destroy_volume`."""
        with suppress(NotFound):
            self._connection.ask("DeleteVolume", {"VolumeId": volume}, again=True)

    def visibility(self) -> Visibility:
        """See `ComputeProvider.visibility`: the default security group of this account is the canary."""
        states = [
            read(lambda one: told.state(text(one, "VmState")), each, target=self.target)
            for each in self._connection.pages("ReadVmsState", "VmStates", AllVms=True)
        ]
        wanted = {"SecurityGroupNames": ["default"]}
        account = self._connection.account
        own = sorted(
            f"security group {group.get('SecurityGroupId')} of {group['AccountId']}"
            for group in self._connection.pages("ReadSecurityGroups", "SecurityGroups", Filters=wanted)
            if group.get("AccountId") and account in {"", group["AccountId"]}
        )
        return Visibility(sum(state is not MachineState.GONE for state in states), own[0] if own else "")

    def close(self) -> None:
        """See `ComputeProvider.close`."""
        self._connection.close()

    def _begun(self, launch: Launch) -> str | None:
        """Return the machine that the same launch has made before. One that does not run gets the script of this one.

        An earlier script may have held what was good for minutes.
        """
        every = self._connection.pages("ReadVms", "Vms", Filters={"ClientTokens": [launch.token]})
        found = [one for one in (read(told.machine, each, target=self.target) for each in every) if not _gone(one)]
        if not found:
            return None
        if found[0].state is MachineState.STOPPED and launch.user_data:
            script = base64.b64encode(launch.user_data).decode()
            self._connection.ask("UpdateVm", {"VmId": found[0].id, "UserData": script}, again=True)
        return found[0].id

    def _made(self, launch: Launch) -> str:
        answer = self._connection.ask("CreateVms", self._asked(launch), again=True)
        made = entries(answer, "Vms", target=self.target)
        if len(made) != 1:
            raise broken(f"{len(made)} machines to a launch of one", target=self.target)
        return read(lambda one: text(one, "VmId"), made[0], target=self.target)

    def _launched(self, launch: Launch, machine: str) -> Machine:
        try:
            return self.machine(machine)
        except NotFound as error:
            raise InvalidArgument(
                f"{self.target}: the launch `{launch.token}` has made `{machine}`, which is gone; use another token"
            ) from error

    def _finished(self, launch: Launch, machine: str) -> Machine:
        """Tag and start a machine that was made and has never run. Where that fails, it is destroyed."""
        try:
            for resource in (machine, *self._disks_of(machine)):
                self._tag(resource, launch.name, launch.tags)
            self._tagged(launch, machine)
            self._start(machine)
        except BaseException as error:
            self.destroy(machine)
            if isinstance(error, NoCapacity):
                self._gone(machine)
            raise
        return self._tagged(launch, machine)

    def _gone(self, machine: str) -> None:
        within, what = self._connection.within, f"the machine `{machine}`"
        gone(lambda: self.machine(machine), within=within, what=what, target=self.target, sleep=self._sleep)

    def _tagged(self, launch: Launch, machine: str) -> Machine:
        """Return a machine that has its tags. Raises Unavailable for one that was not given them."""
        found = self.machine(machine)
        if not _is_tagged(found, launch):
            raise broken("a machine without its tags", target=self.target)
        return found

    def _disks_of(self, machine: str) -> list[str]:
        held = entries(self._vm(machine), "BlockDeviceMappings", target=self.target)
        return [read(lambda one: text(one["Bsu"], "VolumeId"), disk, target=self.target) for disk in held]

    def _asked(self, launch: Launch) -> dict[str, Any]:
        connection = self._connection
        asked: dict[str, Any] = {
            "ClientToken": launch.token,
            "MinVmsCount": 1,
            "MaxVmsCount": 1,
            "ImageId": launch.image,
            "VmType": launch.size,
            "BootOnCreation": False,
            "BlockDeviceMappings": self._disks(launch.image),
        }
        if launch.user_data:
            asked["UserData"] = base64.b64encode(launch.user_data).decode()
        if launch.key is not None:
            asked["KeypairName"] = launch.key
        if connection.group is not None:
            asked["SecurityGroupIds"] = [connection.group]
        if connection.subnet is not None:
            asked["SubnetId"] = connection.subnet
        else:
            asked["Placement"] = {"SubregionName": self._zone(), "Tenancy": "default"}
        return asked

    def _disks(self, image: str) -> list[dict[str, Any]]:
        """Return the disks of an image as those of a machine: an image may say that they outlive it."""
        found = list(self._connection.pages("ReadImages", "Images", Filters={"ImageIds": [image]}))
        if not found:
            raise NotFound(f"there is no image `{image}`", target=self.target)
        kept = ("SnapshotId", "VolumeSize", "VolumeType", "Iops")
        return [
            {
                "DeviceName": one.get("DeviceName"),
                "Bsu": {name: one["Bsu"][name] for name in kept if one["Bsu"].get(name)} | {"DeleteOnVmDeletion": True},
            }
            for one in entries(found[0], "BlockDeviceMappings", target=self.target)
            if one.get("Bsu")
        ]

    def _zone(self) -> str:
        """Return the subregion of machines and volumes: they have to be in the same one."""
        connection = self._connection
        if connection.zone is not None:
            return connection.zone
        if connection.subnet is not None:
            found = list(connection.pages("ReadSubnets", "Subnets", Filters={"SubnetIds": [connection.subnet]}))
            return read(lambda one: text(one, "SubregionName"), next(iter(found), None), target=self.target)
        zones = connection.pages("ReadSubregions", "Subregions")
        names = [read(lambda one: text(one, "SubregionName"), zone, target=self.target) for zone in zones]
        if not names:
            raise broken("that the region has no subregion", target=self.target)
        return min(names)

    def _tag(self, resource: str, name: str, tags: Mapping[str, str]) -> None:
        pairs = [{"Key": key, "Value": value} for key, value in {**tags, told.NAME: name}.items()]
        self._connection.ask("CreateTags", {"ResourceIds": [resource], "Tags": pairs}, again=True)

    def _start(self, machine: str) -> None:
        """Start a machine that was made without being started, once it is there."""
        within = self._connection.within
        ready = {MachineState.STOPPED, MachineState.RUNNING}
        found = settled(
            lambda: self.machine(machine),
            lambda one: one.state in ready,
            within=within,
            what=f"the machine `{machine}`",
            target=self.target,
            sleep=self._sleep,
        )
        if found.state is MachineState.STOPPED:
            self._changed("StartVms", machine)

    def _vm(self, machine: str) -> Mapping[str, Any]:
        for one in self._connection.pages("ReadVms", "Vms", Filters={"VmIds": [machine]}):
            if one.get("VmId") == machine:
                if read(told.machine, one, target=self.target).state is MachineState.GONE:
                    break
                return one
        raise NotFound(f"there is no machine `{machine}`", target=self.target)

    def _changed(self, action: str, machine: str) -> MachineState:
        """Make a call about one machine; return the state that it says the machine is in now."""
        answer = self._connection.ask(action, {"VmIds": [machine]}, again=True)
        for one in entries(answer, "Vms", target=self.target):
            if one.get("VmId") == machine:
                return read(lambda found: told.state(text(found, "CurrentState")), one, target=self.target)
        raise broken(f"nothing of `{machine}`, which it was asked about", target=self.target)

    def _found(self, volume: str) -> Mapping[str, Any]:
        for one in self._connection.pages("ReadVolumes", "Volumes", Filters={"VolumeIds": [volume]}):
            if one.get("VolumeId") == volume and one.get("State") != "deleting":
                return one
        raise NotFound(f"there is no volume `{volume}`", target=self.target)

    def _settled(self, volume: str, what: str, done: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        within = self._connection.within
        named = f"{what} of `{volume}`"
        return settled(
            lambda: self._found(volume), done, within=within, what=named, target=self.target, sleep=self._sleep
        )


def _gone(machine: Machine) -> bool:
    return machine.state is MachineState.GONE


def _is_tagged(machine: Machine, launch: Launch) -> bool:
    return machine.name == launch.name and launch.tags.items() <= machine.tags.items()


def _links(volume: Mapping[str, Any]) -> list[str]:
    """Return the states of a volume's attachments, without those that are over."""
    states = [str(one.get("State", "")) for one in volume.get("LinkedVolumes", [])]
    return [state for state in states if state != "detached"]


def _key(found: Mapping[str, Any]) -> PublicKey:
    return PublicKey(text(found, "KeypairName"), text(found, "KeypairName"))
