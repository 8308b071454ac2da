"""The machines of a subscription in a location."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final, cast

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sovbroker.errors import InvalidArgument, NoCapacity, NotFound, NotSupported, SovbrokerError
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
from sovbroker_adapters.answers import broken, entry, read, text
from sovbroker_adapters.attempts import unsure
from sovbroker_adapters.azure_arm import told
from sovbroker_adapters.azure_arm.client import Connection
from sovbroker_adapters.launches import check_launch, check_size, gibibytes, named

__all__ = ["ArmMachines"]

CAPABILITIES: Final[Mapping[ComputeFeature, Support]] = MappingProxyType(dict.fromkeys(ComputeFeature, Support.NATIVE))
SPACE: Final = uuid.UUID("5f0cf6a2-57ab-5a2e-9a1e-0f7d5a7f2c44")
"""The namespace in which tokens of launches become names."""

COMPUTE: Final = "2024-07-01"
DISKS: Final = "2024-03-02"
SKUS: Final = "2021-07-01"
NETWORK: Final = "2022-11-01"
GROUPS: Final = "2021-04-01"
ID: Final = re.compile(r"([\w.()-]{1,90})/([\w.-]{1,80})", re.ASCII)
KEY: Final = re.compile(r"[A-Za-z0-9]([\w.-]{0,78}\w)?", re.ASCII)
WORD: Final = re.compile(r"[\w.-]{1,128}", re.ASCII)
USER: Final = "sovbroker"
DISK: Final = "StandardSSD_LRS"
EXPONENT, BITS = 65537, 2048


class ArmMachines:
    """The `ComputeProvider` of one subscription in one location."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def target(self) -> str:
        """See `ComputeProvider.target`."""
        return self._connection.target

    @property
    def capabilities(self) -> Mapping[ComputeFeature, Support]:
        """See `ComputeProvider.capabilities`."""
        return CAPABILITIES

    def sizes(self) -> Sequence[Size]:
        """See `ComputeProvider.sizes`: those that the subscription may use in the location."""
        where = {"$filter": f"location eq '{self._connection.region}'"}
        found: dict[str, Size] = {}
        for one in self._connection.pages(f"{self._provider()}/skus", SKUS, **where):
            limits = cast("list[dict[str, Any]]", one.get("restrictions") or [])
            if one.get("resourceType") == "virtualMachines" and not any(
                each.get("type") == "Location" for each in limits
            ):
                size = read(told.size, one, target=self.target)
                found[size.id] = size
        return list(found.values())

    def images(self, source: ImageSource) -> Sequence[Image]:
        """See `ComputeProvider.images`: the newest version of each SKU of a publisher that `OFFER:SKU` matches."""
        if WORD.fullmatch(source.owner) is None:
            raise InvalidArgument(f"{self.target}: name the publisher of the image, not `{source.owner}`")
        names = self._connection.names
        here = f"{self._provider()}/locations/{self._connection.region}"
        root = f"{here}/publishers/{source.owner}/artifacttypes/vmimage/offers"
        offer_pattern = source.pattern.partition(":")[0]
        found: list[Image] = []
        for offer in (name for name in names(root, COMPUTE) if named(name, offer_pattern)):
            for sku in names(f"{root}/{self._word(offer)}/skus", COMPUTE):
                if named(f"{offer}:{sku}", source.pattern):
                    path = f"{root}/{offer}/skus/{self._word(sku)}/versions"
                    versions = sorted(names(path, COMPUTE), key=_numbers)
                    if versions:
                        newest = self._connection.get(f"{path}/{self._word(versions[-1])}", COMPUTE)
                        urn = f"{source.owner}:{offer}:{sku}:{versions[-1]}"
                        arch = told.arch(entry(newest.get("properties") or {}, target=self.target).get("architecture"))
                        found.append(Image(urn, f"{offer}:{sku}", owner=source.owner, arch=arch))
        return found

    def launch(self, launch: Launch) -> Machine:
        """See `ComputeProvider.launch`. One call makes it whole; what could not be made whole is removed again."""
        check_launch(launch, CAPABILITIES, target=self.target)
        if launch.attested not in {None, *told.CONFIDENTIAL.values()}:
            raise NotSupported(f"`{launch.attested}` cannot be asked for", target=self.target)
        name = f"m-{uuid.uuid5(SPACE, launch.token)}"
        machine = f"{self._connection.group.lower()}/{name}"
        path = self._path("virtualMachines", machine)
        body = self._asked(launch, name)
        made = False
        try:
            made = self._connection.put(path, COMPUTE, body, new=True)
        except SovbrokerError as error:
            # A machine that could not be started stays there, as one that has failed.
            self._remove_failed(machine)
            if isinstance(error, NoCapacity):
                self._check_gone(machine, error)
            raise
        found = self.machine(machine)
        if found.name != launch.name or not launch.tags.items() <= found.tags.items():
            if made:
                self.destroy(machine)
            raise broken("a machine without its tags", target=self.target)
        return found

    def machines(self) -> Sequence[Machine]:
        """See `ComputeProvider.machines`. What each is doing is asked for in a list of its own."""
        path = f"{self._provider()}/virtualMachines"
        states: dict[str, object] = {}
        for one in self._connection.pages(path, COMPUTE, statusOnly="true"):
            properties = entry(one.get("properties"), target=self.target)
            view = cast("Mapping[str, Any]", properties.get("instanceView") or {})
            states[read(lambda each: told.spot(each.get("id")), one, target=self.target)] = view.get("statuses")
        found = [
            read(lambda each: told.vm(each, states.get(told.spot(each.get("id")))), one, target=self.target)
            for one in self._here(path, COMPUTE)
        ]
        return [one for one in found if one.state is not MachineState.GONE]

    def machine(self, machine: str) -> Machine:
        """See `ComputeProvider.machine`."""
        return self._told(machine, self._vm(machine), whole=True)

    def start(self, machine: str) -> None:
        """See `ComputeProvider.start`. Returns when it runs."""
        if self._state(machine) is not MachineState.RUNNING:
            self._connection.act(self._path("virtualMachines", machine), "start", COMPUTE)

    def stop(self, machine: str) -> None:
        """See `ComputeProvider.stop`. It is deallocated, so that it costs no more than its disk."""
        if self._state(machine) is not MachineState.STOPPED:
            self._connection.act(self._path("virtualMachines", machine), "deallocate", COMPUTE)

    def reboot(self, machine: str) -> None:
        """See `ComputeProvider.reboot`."""
        found = self._state(machine)
        if found is not MachineState.RUNNING:
            raise InvalidArgument(f"{self.target}: the machine `{machine}` is {found}; start it")
        self._connection.act(self._path("virtualMachines", machine), "restart", COMPUTE)

    def destroy(self, machine: str) -> None:
        """See `ComputeProvider.destroy`. Returns when it is gone."""
        with suppress(NotFound):
            self._connection.delete(self._path("virtualMachines", machine), COMPUTE)

    def import_key(self, name: str, public: str) -> PublicKey:
        """See `ComputeProvider.import_key`. Machines that have the replaced one keep it."""
        self.delete_key(name)
        body = {"location": self._connection.region, "properties": {"publicKey": public}}
        self._connection.put(self._key(name), COMPUTE, body)
        return PublicKey(name, name)

    def public_keys(self) -> Sequence[PublicKey]:
        """See `ComputeProvider.public_keys`: those of the resource group."""
        path = self._key("x").rpartition("/")[0]
        names = [
            read(lambda one: text(one, "name"), each, target=self.target)
            for each in self._connection.pages(path, COMPUTE)
        ]
        return [PublicKey(name, name) for name in names]

    def delete_key(self, key: str) -> None:
        """See `ComputeProvider.delete_key`."""
        with suppress(NotFound):
            self._connection.delete(self._key(key), COMPUTE)

    def volumes(self) -> Sequence[Volume]:
        """See `ComputeProvider.volumes`. The machines' own disks are among them."""
        return [read(told.volume, one, target=self.target) for one in self._here(f"{self._provider()}/disks", DISKS)]

    def create_volume(self, name: str, *, size: int, tags: Mapping[str, str] = NO_TAGS) -> Volume:
        """See `ComputeProvider.create_volume`. Returns when it is there."""
        check_size(size)
        volume = f"{self._connection.group.lower()}/v-{uuid.uuid4()}"
        body = {
            "location": self._connection.region,
            "tags": told.labelled(name, tags),
            "sku": {"name": DISK},
            "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": gibibytes(size)},
        }
        self._connection.put(self._path("disks", volume), DISKS, body)
        made = self._volume(volume)
        if made.name != name or not tags.items() <= made.tags.items():
            self.destroy_volume(volume)
            raise broken("a volume without its tags", target=self.target)
        return made

    def attach(self, volume: str, machine: str) -> None:
        """See `ComputeProvider.attach`. Returns when the machine has it."""
        held = self._volume(volume).machine
        self._vm(machine)
        if held == machine:
            return
        if held is not None:
            raise InvalidArgument(f"{self.target}: the volume `{volume}` is attached to `{held}`; detach it")
        body = {"dataDisksToAttach": [{"diskId": self._path("disks", volume)}]}
        self._connection.act(self._path("virtualMachines", machine), "attachDetachDataDisks", COMPUTE, body)

    def detach(self, volume: str) -> None:
        """See `ComputeProvider.detach`. Returns when the machine has it no more."""
        held = self._volume(volume).machine
        if held is not None:
            body = {"dataDisksToDetach": [{"diskId": self._path("disks", volume)}]}
            self._connection.act(self._path("virtualMachines", held), "attachDetachDataDisks", COMPUTE, body)

    def destroy_volume(self, volume: str) -> None:
        """See `ComputeProvider.destroy_volume`."""
        with suppress(NotFound):
            held = self._volume(volume).machine
            if held is not None:
                raise InvalidArgument(f"{self.target}: the volume `{volume}` is attached to `{held}`; detach it")
            self._connection.delete(self._path("disks", volume), DISKS)

    def visibility(self) -> Visibility:
        """See `ComputeProvider.visibility`: counted by the location's list; the resource group is the canary."""
        path = f"{self._provider()}/locations/{self._connection.region}/virtualMachines"
        count = sum(1 for _ in self._connection.pages(path, COMPUTE))
        group = f"{self._connection.subscription}/resourceGroups/{self._connection.group}"
        seen = read(lambda one: text(one, "name"), self._connection.get(group, GROUPS), target=self.target)
        return Visibility(count, f"resource group {seen}")

    def close(self) -> None:
        """See `ComputeProvider.close`."""
        self._connection.close()

    def _asked(self, launch: Launch, name: str) -> dict[str, Any]:
        connection = self._connection
        parts = launch.image.split(":")
        if len(parts) != 4 or not all(WORD.fullmatch(part) for part in parts):  # noqa: PLR2004 - as they are named below
            raise InvalidArgument(f"{self.target}: `{launch.image}` is no image: PUBLISHER:OFFER:SKU:VERSION")
        tags = told.labelled(launch.name, launch.tags)
        disk: dict[str, Any] = {"storageAccountType": DISK}
        keys = [{"path": f"/home/{USER}/.ssh/authorized_keys", "keyData": self._public(launch.key)}]
        address = {"name": "ip", "properties": {"primary": True, "subnet": {"id": connection.subnet}}}
        interface = {"primary": True, "deleteOption": "Delete", "ipConfigurations": [address]}
        properties: dict[str, Any] = {
            "hardwareProfile": {"vmSize": launch.size},
            "storageProfile": {
                "imageReference": dict(zip(("publisher", "offer", "sku", "version"), parts, strict=True)),
                "osDisk": {
                    "name": f"{name}-os",
                    "createOption": "FromImage",
                    "deleteOption": "Delete",
                    "managedDisk": disk,
                },
            },
            "osProfile": {
                "computerName": name,
                "adminUsername": USER,
                "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}},
            },
            "networkProfile": {
                "networkApiVersion": NETWORK,
                "networkInterfaceConfigurations": [{"name": f"{name}-nic", "properties": interface}],
            },
        }
        if launch.user_data:
            properties["osProfile"]["customData"] = base64.b64encode(launch.user_data).decode()
        if launch.attested is not None:
            secure = {"secureBootEnabled": True, "vTpmEnabled": True}
            properties["securityProfile"] = {"securityType": "ConfidentialVM", "uefiSettings": secure}
            disk["securityProfile"] = {"securityEncryptionType": "VMGuestStateOnly"}
            if launch.attested not in {
                kind for size in self.sizes() if size.id == launch.size for kind in size.attested
            }:
                raise NotSupported(f"the size `{launch.size}` does not offer `{launch.attested}`", target=self.target)
        return {"location": connection.region, "tags": tags, "properties": properties}

    def _public(self, key: str | None) -> str:
        """Return the public key of a machine, which has to have one: the caller's, or one whose other half is lost."""
        if key is None:
            lost = generate_private_key(EXPONENT, BITS).public_key()
            return lost.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        held = entry(self._connection.get(self._key(key), COMPUTE).get("properties"), target=self.target)
        return read(lambda one: text(one, "publicKey"), held, target=self.target)

    def _remove_failed(self, machine: str) -> None:
        with suppress(NotFound):
            properties = entry(self._vm(machine).get("properties"), target=self.target)
            if properties.get("provisioningState") == "Failed":
                self.destroy(machine)

    def _check_gone(self, machine: str, error: NoCapacity) -> None:
        """Raise Unavailable where a machine is there that was not to be had."""
        with suppress(NotFound):
            self._vm(machine)
            raise unsure(error, f"the machine `{machine}` is there all the same") from error

    def _provider(self) -> str:
        return f"{self._connection.subscription}/providers/Microsoft.Compute"

    def _path(self, kind: str, name: str) -> str:
        """Return the path of a machine or a volume. Raises NotFound for what names none."""
        parts = ID.fullmatch(name)
        if parts is None or not parts[2].strip("."):
            raise NotFound(f"there is nothing `{name}`", target=self.target)
        return (
            f"{self._connection.subscription}/resourceGroups/{parts[1]}/providers/Microsoft.Compute/{kind}/{parts[2]}"
        )

    def _key(self, name: str) -> str:
        if KEY.fullmatch(name) is None:
            raise InvalidArgument(f"{self.target}: `{name}` is no name of a key: letters, digits, `_`, `.` and `-`")
        return self._path("sshPublicKeys", f"{self._connection.group}/{name}")

    def _word(self, name: str) -> str:
        if WORD.fullmatch(name) is None or not name.strip("."):
            raise broken("a name that is none", target=self.target)
        return name

    def _here(self, path: str, version: str) -> Iterator[Mapping[str, Any]]:
        """Yield what a list of the subscription has in the location."""
        for one in self._connection.pages(path, version):
            if read(told.place, one, target=self.target) == self._connection.region:
                yield one

    def _vm(self, machine: str) -> Mapping[str, Any]:
        found = self._connection.get(self._path("virtualMachines", machine), COMPUTE, **{"$expand": "instanceView"})
        if read(told.place, found, target=self.target) != self._connection.region:
            raise NotFound(f"the machine `{machine}` is in another region", target=self.target)
        if self._told(machine, found).state is MachineState.GONE:
            raise NotFound(f"the machine `{machine}` is gone", target=self.target)
        return found

    def _told(self, machine: str, found: Mapping[str, Any], *, whole: bool = False) -> Machine:
        properties = entry(found.get("properties"), target=self.target)
        statuses = entry(properties.get("instanceView") or {}, target=self.target).get("statuses")
        addresses = tuple(self._addresses(properties)) if whole else ()
        made = read(lambda one: told.vm(one, statuses, addresses), found, target=self.target)
        if made.id != machine:
            raise broken(f"something else than `{machine}`", target=self.target)
        return made

    def _addresses(self, properties: Mapping[str, Any]) -> Iterator[str]:
        profile = cast("Mapping[str, Any]", properties.get("networkProfile") or {})
        for link in cast("list[dict[str, Any]]", profile.get("networkInterfaces") or []):
            found = self._connection.get(read(lambda one: text(one, "id"), link, target=self.target), NETWORK)
            held = entry(found.get("properties"), target=self.target)
            for one in cast("list[dict[str, Any]]", held.get("ipConfigurations") or []):
                address = entry(one.get("properties"), target=self.target).get("privateIPAddress")
                if address:
                    yield str(address)

    def _state(self, machine: str) -> MachineState:
        return self._told(machine, self._vm(machine)).state

    def _volume(self, volume: str) -> Volume:
        return read(told.volume, self._connection.get(self._path("disks", volume), DISKS), target=self.target)


def _numbers(version: str) -> list[int]:
    return [int(part) if part.isdigit() else -1 for part in version.split(".")]
