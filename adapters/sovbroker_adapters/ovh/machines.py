"""The machines of a project in a region."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final, TypeVar

from sovbroker.errors import (
    InvalidArgument,
    NoCapacity,
    NotFound,
    NotSupported,
    SovbrokerError,
    StoreError,
    Unavailable,
)
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
from sovbroker_adapters.answers import broken, entries, entry, moment, number, read, text
from sovbroker_adapters.launches import check_launch, check_size, gibibytes, lacking, named
from sovbroker_adapters.ovh.client import Connection
from sovbroker_adapters.settling import settled

__all__ = ["OvhMachines"]

T = TypeVar("T")

CAPABILITIES: Final[Mapping[ComputeFeature, Support]] = MappingProxyType(
    dict.fromkeys(ComputeFeature, Support.NATIVE)
    | {ComputeFeature.IDEMPOTENT_LAUNCH: Support.ABSENT, ComputeFeature.TAGS: Support.ABSENT}
)
STATES: Final[Mapping[str, MachineState]] = MappingProxyType(
    {
        "ACTIVE": MachineState.RUNNING,
        "BUILD": MachineState.PENDING,
        "BUILDING": MachineState.PENDING,
        "DELETED": MachineState.GONE,
        "DELETING": MachineState.GONE,
        "ERROR": MachineState.FAILED,
        "HARD_REBOOT": MachineState.PENDING,
        "REBOOT": MachineState.PENDING,
        "SHUTOFF": MachineState.STOPPED,
        "SOFT_DELETED": MachineState.GONE,
        "STOPPED": MachineState.STOPPED,
    }
)
WRONG: Final = frozenset({400, 409})
GIB: Final = 1 << 30
MB: Final = 10**6
GB: Final = 10**9


class OvhMachines:
    """The `ComputeProvider` of one project in one region. `sleep` waits for what was confirmed to be done."""

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
        """See `ComputeProvider.sizes`: those that can be had now."""
        return [read(_size, one, target=self.target) for one in self._list("flavor") if one.get("available") is True]

    def images(self, source: ImageSource) -> Sequence[Image]:
        """See `ComputeProvider.images`. A project sees the provider's public images alone, so they have no owner."""
        if source.owner:
            raise InvalidArgument(f"{self.target}: images have no owners here; leave `{source.owner}` out")
        public = [one for one in self._list("image") if one.get("visibility") == "public"]
        found = [read(_image, one, target=self.target) for one in public]
        kept = [image for image in found if named(image.name, source.pattern)]
        return sorted(kept, key=lambda image: (str(image.created or ""), image.id), reverse=True)

    def launch(self, launch: Launch) -> Machine:
        """See `ComputeProvider.launch`. It is asked for once: nothing tells a second asking from another launch."""
        check_launch(launch, CAPABILITIES, target=self.target)
        if launch.attested is not None:
            raise NotSupported(f"`{launch.attested}` cannot be asked for", target=self.target)
        asked = {
            "flavorId": launch.size,
            "imageId": launch.image,
            "name": launch.name,
            "region": self._connection.region,
            "monthlyBilling": False,
        }
        if launch.user_data:
            try:
                asked["userData"] = launch.user_data.decode()
            except UnicodeDecodeError as error:
                raise InvalidArgument(f"{self.target}: the script is not UTF-8, which is all that it may be") from error
        if launch.key is not None:
            asked["sshKeyId"] = launch.key
        try:
            answer = self._ask("POST", "instance", body=asked)
        except (InvalidArgument, StoreError) as error:
            if not isinstance(error, Unavailable) and (full := self._full(launch.size)):
                raise NoCapacity(
                    f"{full}: {str(error).removeprefix(f'{self.target}: ')}", target=self.target
                ) from error
            raise
        made = read(_machine, answer, target=self.target)
        if made.name != launch.name:
            raise broken(f"a machine `{made.name}` to the launch of `{launch.name}`", target=self.target)
        return made

    def machines(self) -> Sequence[Machine]:
        """See `ComputeProvider.machines`."""
        found = [read(_machine, one, target=self.target) for one in self._list("instance")]
        return [one for one in found if one.state is not MachineState.GONE]

    def machine(self, machine: str) -> Machine:
        """See `ComputeProvider.machine`."""
        found = read(_machine, self._ask("GET", "instance", machine), target=self.target)
        if found.id != machine:
            raise broken(f"`{found.id}` when asked for `{machine}`", target=self.target)
        if found.state is MachineState.GONE:
            raise NotFound(f"there is no machine `{machine}`", target=self.target)
        return found

    def start(self, machine: str) -> None:
        """See `ComputeProvider.start`."""
        if self.machine(machine).state is not MachineState.RUNNING:
            self._ask("POST", "instance", machine, "start")

    def stop(self, machine: str) -> None:
        """See `ComputeProvider.stop`."""
        if self.machine(machine).state is not MachineState.STOPPED:
            self._ask("POST", "instance", machine, "stop")

    def reboot(self, machine: str) -> None:
        """See `ComputeProvider.reboot`."""
        found = self.machine(machine)
        if found.state is not MachineState.RUNNING:
            raise InvalidArgument(f"{self.target}: the machine `{machine}` is {found.state}; start it")
        self._ask("POST", "instance", machine, "reboot", body={"type": "soft"})

    def destroy(self, machine: str) -> None:
        """See `ComputeProvider.destroy`. Returns when it is listed no more, or as being destroyed."""
        # A 404 of somebody in between does not say that it is gone: the list does.
        with suppress(NotFound):
            self._ask("DELETE", "instance", machine)
        self._gone(lambda: [one.id for one in self.machines()], machine)

    def import_key(self, name: str, public: str) -> PublicKey:
        """See `ComputeProvider.import_key`. Machines that have the replaced one keep it."""
        for key in self.public_keys():
            if key.name == name:
                self.delete_key(key.id)
        asked = {"name": name, "publicKey": public, "region": self._connection.region}
        return read(_key, self._ask("POST", "sshkey", body=asked), target=self.target)

    def public_keys(self) -> Sequence[PublicKey]:
        """See `ComputeProvider.public_keys`."""
        return [read(_key, one, target=self.target) for one in self._list("sshkey")]

    def delete_key(self, key: str) -> None:
        """See `ComputeProvider.delete_key`."""
        with suppress(NotFound):
            self._ask("DELETE", "sshkey", key)
        self._gone(lambda: [one.id for one in self.public_keys()], key)

    def volumes(self) -> Sequence[Volume]:
        """See `ComputeProvider.volumes`."""
        kept = [one for one in self._list("volume") if one.get("status") not in {"deleting", "deleted"}]
        return [read(_volume, one, target=self.target) for one in kept]

    def create_volume(self, name: str, *, size: int, tags: Mapping[str, str] = NO_TAGS) -> Volume:
        """See `ComputeProvider.create_volume`. It is asked for once, as a launch is."""
        check_size(size)
        if tags:
            raise lacking(ComputeFeature.TAGS, CAPABILITIES, target=self.target)
        region, kind = self._connection.region, self._connection.volumes
        asked = {"name": name, "region": region, "size": gibibytes(size), "type": kind}
        made = read(_volume, self._ask("POST", "volume", body=asked), target=self.target)
        found = self._settled(made.id, "a volume", lambda one: one.get("status") == "available")
        return read(_volume, found, target=self.target)

    def attach(self, volume: str, machine: str) -> None:
        """See `ComputeProvider.attach`. Returns when the machine has it."""
        held = read(_volume, self._found(volume), target=self.target).machine
        self.machine(machine)
        if held == machine:
            return
        if held is not None:
            raise InvalidArgument(f"{self.target}: the volume `{volume}` is attached to `{held}`; detach it")
        self._ask("POST", "volume", volume, "attach", body={"instanceId": machine})
        self._settled(volume, "an attachment", lambda one: one.get("status") == "in-use")

    def detach(self, volume: str) -> None:
        """See `ComputeProvider.detach`. Returns when the machine has it no more."""
        held = read(_volume, self._found(volume), target=self.target).machine
        if held is not None:
            self._ask("POST", "volume", volume, "detach", body={"instanceId": held})
            self._settled(volume, "a detachment", lambda one: one.get("status") == "available")

    def destroy_volume(self, volume: str) -> None:
        """See `ComputeProvider.destroy_volume`. Returns when it is listed no more, or as being destroyed."""
        with suppress(NotFound):
            self._ask("DELETE", "volume", volume)
        self._gone(lambda: [one.id for one in self.volumes()], volume)

    def visibility(self) -> Visibility:
        """See `ComputeProvider.visibility`: a flavor is the canary, the used quota the number."""
        used = read(lambda one: number(one, "usedInstances"), self._quota(), target=self.target)
        flavors = sorted(size.id for size in self.sizes())
        return Visibility(used, f"flavor {flavors[0]} in {self._connection.region}" if flavors else "")

    def close(self) -> None:
        """See `ComputeProvider.close`."""
        self._connection.close()

    def _quota(self) -> Mapping[str, Any]:
        answer = entry(self._ask("GET", "region", self._connection.region, "quota"), target=self.target)
        return entry(answer.get("instance"), target=self.target)

    def _full(self, size: str) -> str:
        """Return which quota has no room for a machine of a size, "" where none is seen to be full.

        What the API calls a refusal for that reason is not told anywhere, and so its own numbers have to tell.
        """
        with suppress(SovbrokerError):
            quota = self._quota()
            cpus = next((one.cpus for one in self.sizes() if one.id == size), 0)
            for name, wanted in (("Instances", 1), ("Cores", cpus)):
                with suppress(ValueError):
                    most, used = number(quota, f"max{name}"), number(quota, f"used{name}")
                    if used + wanted > most:
                        return f"{used} of {most} {name.lower()} of the quota are used, and {wanted} more are wanted"
        return ""

    def _ask(self, method: str, *path: str, body: object = None, query: Mapping[str, str] = NO_TAGS) -> Any:  # noqa: ANN401 - what JSON holds
        """Call the API. What it calls wrong, or in conflict with what is, is an argument that is wrong."""
        try:
            return self._connection.ask(method, *path, body=body, query=query)
        except StoreError as error:
            answer = getattr(error.__cause__, "response", None)
            if type(error) is StoreError and getattr(answer, "status_code", 0) in WRONG:
                raise InvalidArgument(str(error)) from error
            raise

    def _list(self, kind: str) -> Sequence[Mapping[str, Any]]:
        """Return everything of a kind in the region: the API tells it in one answer."""
        answer = self._ask("GET", kind, query={"region": self._connection.region})
        return entries(answer, target=self.target)

    def _gone(self, listed: Callable[[], list[str]], name: str) -> None:
        settled(
            listed,
            lambda found: name not in found,
            within=self._connection.within,
            what=f"the end of `{name}`",
            target=self.target,
            sleep=self._sleep,
        )

    def _found(self, volume: str) -> Mapping[str, Any]:
        found = entry(self._ask("GET", "volume", volume), target=self.target)
        if found.get("id") != volume:
            raise broken(f"`{found.get('id')}` when asked for `{volume}`", target=self.target)
        return found

    def _settled(self, volume: str, what: str, done: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        within = self._connection.within
        named = f"{what} of `{volume}`"
        return settled(
            lambda: self._found(volume), done, within=within, what=named, target=self.target, sleep=self._sleep
        )


def _size(found: Mapping[str, Any]) -> Size:
    # The API tells 2000 of a flavor that is sold with 2 GB.
    return Size(
        id=text(found, "id"),
        cpus=number(found, "vcpus"),
        memory=number(found, "ram") * MB,
        disk=number(found, "disk") * GB,
        name=str(found.get("name") or ""),
    )


def _image(found: Mapping[str, Any]) -> Image:
    return Image(text(found, "id"), text(found, "name"), created=moment(found.get("creationDate")))


def _machine(found: Mapping[str, Any]) -> Machine:
    """Return a machine; a list tells the ids of its flavor and image, the machine itself has them in it."""
    where: list[Mapping[str, Any]] = found.get("ipAddresses") or []
    return Machine(
        id=text(found, "id"),
        name=str(found.get("name", "")),
        state=STATES.get(text(found, "status"), MachineState.UNKNOWN),
        size=_named(found, "flavor"),
        image=_named(found, "image"),
        created=moment(found.get("created")),
        addresses=tuple(str(one["ip"]) for one in where),
    )


def _named(found: Mapping[str, Any], kind: str) -> str:
    held: Mapping[str, Any] = found.get(kind) or {}
    return str(found.get(f"{kind}Id") or held.get("id", ""))


def _key(found: Mapping[str, Any]) -> PublicKey:
    return PublicKey(text(found, "id"), text(found, "name"))


def _volume(found: Mapping[str, Any]) -> Volume:
    held: list[object] = found.get("attachedTo") or []
    machine = str(held[0]) if held else None
    return Volume(text(found, "id"), str(found.get("name", "")), number(found, "size") * GIB, machine)
