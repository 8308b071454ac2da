"""The machines of an account in a region."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

from sovbroker.errors import InvalidArgument, NotFound, NotSupported
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
from sovbroker_adapters.ec2 import told
from sovbroker_adapters.ec2.client import Connection
from sovbroker_adapters.launches import check_launch, check_size, gibibytes, named
from sovbroker_adapters.settling import settled

__all__ = ["Ec2Machines"]

CAPABILITIES: Final[Mapping[ComputeFeature, Support]] = MappingProxyType(dict.fromkeys(ComputeFeature, Support.NATIVE))
PAGE: Final = 1000
SIZES_PAGE: Final = 100
DEVICES: Final = tuple(f"/dev/sd{letter}" for letter in "fghijklmnop")
"""The names under which the service recommends to attach volumes."""

SEV_SNP: Final = "sev-snp"


class Ec2Machines:
    """The `ComputeProvider` of one account in one region. `sleep` waits for volumes."""

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
        """See `ComputeProvider.sizes`: those of the region, of which a zone may lack some."""
        return self._each(told.size, "describe_instance_types", "InstanceTypes", most=SIZES_PAGE)

    def images(self, source: ImageSource) -> Sequence[Image]:
        """See `ComputeProvider.images`. Newest first; an account or an alias such as `amazon` owns them."""
        if not source.owner:
            raise InvalidArgument(f"{self.target}: name the account that owns the image: anybody may publish one here")
        escaped = source.pattern.replace("\\", "\\\\").replace("?", "\\?")
        wanted = [{"Name": "name", "Values": [escaped]}, {"Name": "state", "Values": ["available"]}]
        pages = self._connection.pages("describe_images", "Images", most=PAGE, Owners=[source.owner], Filters=wanted)
        found: list[Image] = []
        for one in pages:
            made = read(told.image, one, target=self.target)
            if source.owner not in {made.owner, one.get("ImageOwnerAlias")}:
                raise broken(f"an image of `{made.owner}`, which nobody asked for", target=self.target)
            if named(made.name, source.pattern):
                found.append(made)
        return sorted(found, key=lambda image: (str(image.created or ""), image.id), reverse=True)

    def launch(self, launch: Launch) -> Machine:
        """See `ComputeProvider.launch`. Disks of the image end with the machine, whatever the image says."""
        check_launch(launch, CAPABILITIES, target=self.target)
        if launch.attested not in {None, SEV_SNP}:
            raise NotSupported(f"`{launch.attested}` cannot be asked for; `{SEV_SNP}` can", target=self.target)
        asked = self._asked(launch)
        # The token makes it one machine, however often it is asked for.
        answer = self._connection.ask("run_instances", again=True, **asked)
        instances = entries(answer, "Instances", target=self.target)
        if len(instances) != 1:
            raise broken(f"{len(instances)} machines to a launch of one", target=self.target)
        made = read(told.machine, instances[0], target=self.target)
        attested = entry(instances[0].get("CpuOptions") or {}, target=self.target).get("AmdSevSnp") == "enabled"
        lacks = "its tags" if not launch.tags.items() <= made.tags.items() else ""
        lacks = "its confidential computing" if launch.attested and not attested else lacks
        if made.state is MachineState.GONE:
            raise InvalidArgument(
                f"{self.target}: the launch `{launch.token}` has made `{made.id}`, which is gone; use another token"
            )
        if lacks:
            # One that runs was launched before, and has lost them since.
            new = made.state is MachineState.PENDING
            if new:
                self.destroy(made.id)
            raise broken(f"a machine without {lacks}, which {'was destroyed' if new else 'runs'}", target=self.target)
        return made

    def machines(self) -> Sequence[Machine]:
        """See `ComputeProvider.machines`."""
        pages = self._connection.pages("describe_instances", "Reservations", most=PAGE)
        found = [self._machine(one) for held in pages for one in self._of(held)]
        return [one for one in found if one.state is not MachineState.GONE]

    def machine(self, machine: str) -> Machine:
        """See `ComputeProvider.machine`."""
        return self._machine(self._instance(machine))

    def start(self, machine: str) -> None:
        """See `ComputeProvider.start`."""
        self.machine(machine)
        answer = self._connection.ask("start_instances", again=True, InstanceIds=[machine])
        self._confirmed(answer, "StartingInstances", machine)

    def stop(self, machine: str) -> None:
        """See `ComputeProvider.stop`."""
        self.machine(machine)
        answer = self._connection.ask("stop_instances", again=True, InstanceIds=[machine])
        self._confirmed(answer, "StoppingInstances", machine)

    def reboot(self, machine: str) -> None:
        """See `ComputeProvider.reboot`."""
        found = self.machine(machine)
        if found.state is not MachineState.RUNNING:
            raise InvalidArgument(f"{self.target}: the machine `{machine}` is {found.state}; start it")
        self._connection.ask("reboot_instances", again=False, InstanceIds=[machine])

    def destroy(self, machine: str) -> None:
        """See `ComputeProvider.destroy`. One that is protected against it raises, as does every other refusal."""
        with suppress(NotFound):
            answer = self._connection.ask("terminate_instances", again=True, InstanceIds=[machine])
            found = self._confirmed(answer, "TerminatingInstances", machine)
            if read(lambda one: told.state(one["CurrentState"]), found, target=self.target) is not MachineState.GONE:
                raise broken(f"that it destroys `{machine}`, which goes on", target=self.target)

    def import_key(self, name: str, public: str) -> PublicKey:
        """See `ComputeProvider.import_key`. Machines that have the replaced one keep it."""
        self._connection.ask("delete_key_pair", again=True, KeyName=name)
        answer = self._connection.ask("import_key_pair", again=False, KeyName=name, PublicKeyMaterial=public.encode())
        return read(_key, answer, target=self.target)

    def public_keys(self) -> Sequence[PublicKey]:
        """See `ComputeProvider.public_keys`."""
        return self._each(_key, "describe_key_pairs", "KeyPairs")

    def delete_key(self, key: str) -> None:
        """See `ComputeProvider.delete_key`."""
        with suppress(NotFound):
            self._connection.ask("delete_key_pair", again=True, KeyName=key)

    def volumes(self) -> Sequence[Volume]:
        """See `ComputeProvider.volumes`. The machines' own disks are among them."""
        pages = self._connection.pages("describe_volumes", "Volumes", most=PAGE)
        kept = [one for one in pages if one.get("State") not in {"deleting", "deleted"}]
        return [read(told.volume, one, target=self.target) for one in kept]

    def create_volume(self, name: str, *, size: int, tags: Mapping[str, str] = NO_TAGS) -> Volume:
        """See `ComputeProvider.create_volume`."""
        check_size(size)
        answer = self._connection.ask(
            "create_volume",
            again=True,
            ClientToken=str(uuid.uuid4()),
            AvailabilityZone=self._zone(),
            Size=gibibytes(size),
            TagSpecifications=[_tagged("volume", name, tags)],
        )
        made = read(told.volume, answer, target=self.target)
        self._settled(made.id, "a volume", lambda found: found.get("State") == "available")
        return made

    def attach(self, volume: str, machine: str) -> None:
        """See `ComputeProvider.attach`. Returns when the machine has it."""
        held = read(told.volume, self._found(volume), target=self.target).machine
        instance = self._instance(machine)
        if held == machine:
            return
        if held is not None:
            raise InvalidArgument(f"{self.target}: the volume `{volume}` is attached to `{held}`; detach it")
        used = {one.get("DeviceName") for one in entries(instance, "BlockDeviceMappings", target=self.target)}
        free = next((name for name in DEVICES if name not in used), None)
        if free is None:
            raise InvalidArgument(f"{self.target}: the machine `{machine}` has as many volumes as it can have")
        self._connection.ask("attach_volume", again=False, VolumeId=volume, InstanceId=machine, Device=free)
        self._settled(volume, "an attachment", lambda found: _attached(found) == ["attached"])

    def detach(self, volume: str) -> None:
        """See `ComputeProvider.detach`. Returns when the machine has it no more."""
        held = entries(self._found(volume), "Attachments", target=self.target)
        for one in held:
            machine = read(lambda found: text(found, "InstanceId"), one, target=self.target)
            self._connection.ask("detach_volume", again=False, VolumeId=volume, InstanceId=machine)
        self._settled(volume, "a detachment", lambda found: not _attached(found))

    def destroy_volume(self, volume: str) -> None:
        """See `ComputeProvider.destroy_volume`."""
        with suppress(NotFound):
            self._connection.ask("delete_volume", again=True, VolumeId=volume)

    def visibility(self) -> Visibility:
        """See `ComputeProvider.visibility`: a default security group that this account owns is the canary."""
        told_of = self._connection.pages(
            "describe_instance_status", "InstanceStatuses", most=PAGE, IncludeAllInstances=True
        )
        states = [read(lambda one: told.state(one["InstanceState"]), each, target=self.target) for each in told_of]
        wanted = [{"Name": "group-name", "Values": ["default"]}]
        groups = self._connection.pages("describe_security_groups", "SecurityGroups", most=PAGE, Filters=wanted)
        account = self._connection.account
        own = sorted(
            f"security group {group.get('GroupId')} of {group.get('OwnerId')}"
            for group in groups
            if group.get("OwnerId") and account in {"", group["OwnerId"]}
        )
        count = sum(state is not MachineState.GONE for state in states)
        return Visibility(count, own[0] if own else "")

    def close(self) -> None:
        """See `ComputeProvider.close`."""
        self._connection.close()

    def _asked(self, launch: Launch) -> dict[str, Any]:
        """Return everything that the launch is to be, in one call."""
        connection = self._connection
        asked: dict[str, Any] = {
            "ClientToken": launch.token,
            "MinCount": 1,
            "MaxCount": 1,
            "ImageId": launch.image,
            "InstanceType": launch.size,
            "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
            "TagSpecifications": [_tagged(kind, launch.name, launch.tags) for kind in ("instance", "volume")],
            "BlockDeviceMappings": self._disks(launch.image),
        }
        if launch.user_data:
            # The SDK encodes it.
            asked["UserData"] = launch.user_data
        if launch.key is not None:
            asked["KeyName"] = launch.key
        if launch.attested is not None:
            asked["CpuOptions"] = {"AmdSevSnp": "enabled"}
        if connection.group is not None:
            asked["SecurityGroupIds"] = [connection.group]
        if connection.subnet is not None:
            asked["SubnetId"] = connection.subnet
        else:
            asked["Placement"] = {"AvailabilityZone": self._zone()}
        return asked

    def _disks(self, image: str) -> list[dict[str, Any]]:
        """Return the disks of an image as those of a machine: an image may say that they outlive it."""
        answer = self._connection.ask("describe_images", again=True, ImageIds=[image])
        found = entries(answer, "Images", target=self.target)
        if not found:
            raise NotFound(f"there is no image `{image}`", target=self.target)
        mappings = entries(found[0], "BlockDeviceMappings", target=self.target)
        return [
            {
                "DeviceName": one.get("DeviceName"),
                "Ebs": {
                    name: value
                    for name, value in one["Ebs"].items()
                    if name in {"SnapshotId", "VolumeSize", "VolumeType"}
                }
                | {"DeleteOnTermination": True},
            }
            for one in mappings
            if one.get("Ebs")
        ]

    def _zone(self) -> str:
        """Return the zone of machines and volumes: they have to be in the same one."""
        connection = self._connection
        if connection.zone is not None:
            return connection.zone
        if connection.subnet is not None:
            answer = connection.ask("describe_subnets", again=True, SubnetIds=[connection.subnet])
            found = entries(answer, "Subnets", target=self.target)
            return read(lambda one: text(one, "AvailabilityZone"), next(iter(found), None), target=self.target)
        answer = connection.ask("describe_availability_zones", again=True)
        found = entries(answer, "AvailabilityZones", target=self.target)
        names = [read(lambda one: text(one, "ZoneName"), zone, target=self.target) for zone in found]
        if not names:
            raise broken("that the region has no zone", target=self.target)
        return min(names)

    def _each(self, make: Callable[[Mapping[str, Any]], Any], operation: str, name: str, *, most: int = 0) -> list[Any]:
        return [read(make, one, target=self.target) for one in self._connection.pages(operation, name, most=most)]

    def _of(self, reservation: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        owner, account = reservation.get("OwnerId"), self._connection.account
        if account and owner != account:
            raise broken(f"machines of the account `{owner}`, not of `{account}`", target=self.target)
        return entries(reservation, "Instances", target=self.target)

    def _instance(self, machine: str) -> Mapping[str, Any]:
        answer = self._connection.ask("describe_instances", again=True, InstanceIds=[machine])
        held = entries(answer, "Reservations", target=self.target)
        for one in (each for reservation in held for each in self._of(reservation)):
            if one.get("InstanceId") == machine:
                if self._machine(one).state is MachineState.GONE:
                    break
                return one
        raise NotFound(f"there is no machine `{machine}`", target=self.target)

    def _machine(self, found: Mapping[str, Any]) -> Machine:
        return read(told.machine, found, target=self.target)

    def _confirmed(self, answer: Mapping[str, Any], name: str, machine: str) -> Mapping[str, Any]:
        """Return what an answer says of a machine. Raises Unavailable where it says nothing of it."""
        for one in entries(answer, name, target=self.target):
            if one.get("InstanceId") == machine:
                return one
        raise broken(f"nothing of `{machine}`, which it was asked about", target=self.target)

    def _found(self, volume: str) -> Mapping[str, Any]:
        answer = self._connection.ask("describe_volumes", again=True, VolumeIds=[volume])
        for one in entries(answer, "Volumes", target=self.target):
            if one.get("VolumeId") == volume and one.get("State") not in {"deleting", "deleted"}:
                return one
        raise NotFound(f"there is no volume `{volume}`", target=self.target)

    def _settled(self, volume: str, what: str, done: Callable[[Mapping[str, Any]], bool]) -> None:
        within = self._connection.within
        named = f"{what} of `{volume}`"
        settled(lambda: self._found(volume), done, within=within, what=named, target=self.target, sleep=self._sleep)


def _tagged(kind: str, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
    own = {**tags, told.NAME: name}
    return {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in own.items()]}


def _attached(volume: Mapping[str, Any]) -> list[str]:
    """Return the states of a volume's attachments, without those that are over."""
    states = [str(one.get("State", "")) for one in volume.get("Attachments", [])]
    return [state for state in states if state != "detached"]


def _key(found: Mapping[str, Any]) -> PublicKey:
    return PublicKey(text(found, "KeyName"), text(found, "KeyName"))
