"""The machines of a tenant in an availability zone."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from sovbroker.errors import InvalidArgument, NotFound, NotSupported, StoreError
from sovbroker.machines import (
    ComputeFeature,
    Image,
    ImageSource,
    Launch,
    Machine,
    MachineState,
    Size,
    Visibility,
)
from sovbroker.ports import Support
from sovbroker_adapters.absent import WithoutKeys, WithoutVolumes
from sovbroker_adapters.answers import broken, number, read, text
from sovbroker_adapters.cloudtemple.client import Connection
from sovbroker_adapters.launches import check_launch, named

__all__ = ["CloudTempleMachines"]

CAPABILITIES: Final[Mapping[ComputeFeature, Support]] = MappingProxyType(
    dict.fromkeys(ComputeFeature, Support.ABSENT)
    | {
        ComputeFeature.IDEMPOTENT_LAUNCH: Support.EMULATED,
        ComputeFeature.STOP: Support.NATIVE,
        ComputeFeature.TAGS: Support.EMULATED,
        ComputeFeature.USER_DATA: Support.EMULATED,
    }
)
GIB: Final = 1 << 30
SIZE: Final = re.compile(r"c([1-9]\d{0,2})m([1-9]\d{0,3})")
GRID: Final = tuple((cpus, cpus * each) for cpus in (1, 2, 4, 8, 16, 32) for each in (1, 2, 4, 8))
MACHINES: Final = "/compute/v1/open_iaas/virtual_machines"
KIND: Final[Mapping[str, str]] = MappingProxyType(
    {"type": "iaas_opensource_virtual_machine", "source": "iaas_opensource"}
)
IMAGE: Final = "sovbroker-image"
"""The tag that names a machine's template, which the provider does not tell."""

NAME: Final = "sovbroker-machine"
"""The tag that says what a machine is called: its name there ends with its launch, which tells of an untagged one."""

STATES: Final[Mapping[str, MachineState]] = MappingProxyType(
    {"Running": MachineState.RUNNING, "Halted": MachineState.STOPPED}
)
SCRIPT: Final = "/var/lib/sovbroker/first-start"


class CloudTempleMachines(WithoutKeys, WithoutVolumes):
    """The `ComputeProvider` of one tenant in one availability zone."""

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
        """See `ComputeProvider.sizes`. They are our choice, in a zone that is there."""
        self._zone()
        return [Size(f"c{cpus}m{gib}", cpus, gib * GIB) for cpus, gib in GRID]

    def images(self, source: ImageSource) -> Sequence[Image]:
        """See `ComputeProvider.images`. Templates, which are the tenant's own or the provider's: they have no owner."""
        if source.owner:
            raise InvalidArgument(f"{self.target}: templates have no owner here; leave `{source.owner}` out")
        found = [read(_image, one, target=self.target) for one in self._templates()]
        return [image for image in found if named(image.name, source.pattern)]

    def launch(self, launch: Launch) -> Machine:
        """See `ComputeProvider.launch`. It is made halted, given its backup policy, tagged, and then started."""
        check_launch(launch, CAPABILITIES, target=self.target)
        if launch.attested is not None:
            raise NotSupported(f"`{launch.attested}` cannot be asked for", target=self.target)
        size = SIZE.fullmatch(launch.size)
        if size is None:
            raise InvalidArgument(f"{self.target}: `{launch.size}` is no size; `c2m4` is 2 processors and 4 GiB")
        if launch.image not in {read(_image, one, target=self.target).id for one in self._templates()}:
            raise NotFound(f"there is no template `{launch.image}`", target=self.target)
        before = self._launched(launch)
        if before is not None:
            return before
        asked: dict[str, object] = {
            "name": f"{launch.name}-{launch.token}",
            "templateId": launch.image,
            "cpu": int(size[1]),
            "memory": int(size[2]) * GIB,
        }
        if launch.user_data:
            asked["cloudInit"] = {"cloudConfig": cloud_config(launch.user_data)}
        if self._connection.network is not None:
            asked["networkAdapters"] = [{"networkId": self._connection.network}]
        made = self._connection.act(f"POST {MACHINES}", asked, what=f"the launch `{launch.token}`")
        if not made:
            raise broken("that it made a machine, and not which", target=self.target)
        self._connection.settle(lambda: self._listed(made), lambda one: one is not None, f"the machine `{made}`")
        try:
            return self._finished(launch, made)
        except BaseException:
            self.destroy(made)
            raise

    def machines(self) -> Sequence[Machine]:
        """See `ComputeProvider.machines`. Tags cost a call for each."""
        return [self._read(one) for one in self._all()]

    def machine(self, machine: str) -> Machine:
        """See `ComputeProvider.machine`."""
        return self._read(self._found(machine))

    def start(self, machine: str) -> None:
        """See `ComputeProvider.start`. Returns when it runs."""
        if _state(self._found(machine)) is not MachineState.RUNNING:
            self._power(machine, on=True)

    def stop(self, machine: str) -> None:
        """See `ComputeProvider.stop`. Returns when it is stopped."""
        if _state(self._found(machine)) is not MachineState.STOPPED:
            self._power(machine, on=False)

    def reboot(self, machine: str) -> None:
        """See `ComputeProvider.reboot`: not here."""
        del machine
        self.lacks(ComputeFeature.REBOOT)

    def destroy(self, machine: str) -> None:
        """See `ComputeProvider.destroy`. One that runs is switched off first."""
        found = self._listed(machine)
        if found is None:
            return
        if _state(found) is not MachineState.STOPPED:
            self._power(machine, on=False, force=True)
        self._connection.act(f"DELETE {MACHINES}/{quote(machine, safe='')}", what=f"the destruction of `{machine}`")
        self._connection.settle(
            lambda: self._listed(machine), lambda one: one is None, f"the destruction of `{machine}`"
        )

    def visibility(self) -> Visibility:
        """See `ComputeProvider.visibility`: the availability zone is the canary; nothing counts in another way."""
        return Visibility(None, f"availability zone {self._zone()}")

    def close(self) -> None:
        """See `ComputeProvider.close`."""
        self._connection.close()

    def _launched(self, launch: Launch) -> Machine | None:
        """Return the machine that the same launch has made before, started; None where there is none.

        One that never got its last tag has never run, and is destroyed: its script cannot be changed any more. Raises
        Unavailable for one that has lost a tag since.
        """
        for one in self._all():
            if not str(one.get("name", "")).endswith(f"-{launch.token}"):
                continue
            found = self._read(one)
            if found.name != launch.name and found.state is MachineState.STOPPED:
                self.destroy(found.id)
                continue
            if found.name != launch.name or not launch.tags.items() <= found.tags.items():
                raise broken(f"the machine `{found.id}` of this launch, which has lost its tags", target=self.target)
            self.start(found.id)
            return self.machine(found.id)
        return None

    def _finished(self, launch: Launch, machine: str) -> Machine:
        """Tag and start a machine that was made and has never run. What is tagged lacks nothing but its start."""
        policy = {"virtualMachineId": machine, "policyIds": [self._connection.policy]}
        what = f"the backup policy of `{machine}`"
        self._connection.act("POST /backup/v1/open_iaas/policies/assign", policy, what=what)
        # Its name comes last: until then, that which ends with its launch is its name.
        for key, value in {IMAGE: launch.image, **launch.tags, NAME: launch.name}.items():
            resource = {"uuid": machine, **KIND}
            self._connection.tell("POST /tag/v1/tags", {"key": key, "value": value, "resources": [resource]})
        found = self.machine(machine)
        if found.name != launch.name or not launch.tags.items() <= found.tags.items() or found.image != launch.image:
            raise broken("a machine without its tags", target=self.target)
        self._power(machine, on=True)
        return self.machine(machine)

    def _power(self, machine: str, *, on: bool, force: bool = False) -> None:
        body: dict[str, object] = {"powerState": "on" if on else "off", **({"force": True} if force else {})}
        what = f"switching `{machine}` {body['powerState']}"
        self._connection.act(f"PATCH {MACHINES}/{quote(machine, safe='')}/power", body, what=what)
        wanted = MachineState.RUNNING if on else MachineState.STOPPED
        self._connection.settle(lambda: _state(self._found(machine)), lambda state: state is wanted, what)

    def _zone(self) -> str:
        """Return the id of the availability zone. Raises StoreError where there is none, or more than one."""
        every = self._connection.listed("/compute/v1/open_iaas")
        names = [read(lambda one: text(one, "id"), each, target=self.target) for each in every]
        if self._connection.zone is not None:
            names = [name for name in names if name == self._connection.zone]
        if len(names) != 1:
            wanted = f" `{self._connection.zone}`" if self._connection.zone else ""
            message = f"there are {len(names)} availability zones{wanted}; give the id of one as `zone`"
            raise StoreError(message, target=self.target)
        return names[0]

    def _all(self) -> Sequence[Mapping[str, Any]]:
        return self._connection.listed(f"{MACHINES}?machineManagerId={quote(self._zone(), safe='')}")

    def _templates(self) -> Sequence[Mapping[str, Any]]:
        zone = quote(self._zone(), safe="")
        return self._connection.listed(f"/compute/v1/open_iaas/templates?machineManagerId={zone}")

    def _listed(self, machine: str) -> Mapping[str, Any] | None:
        return next((one for one in self._all() if one.get("id") == machine), None)

    def _found(self, machine: str) -> Mapping[str, Any]:
        found = self._listed(machine)
        if found is None:
            raise NotFound(f"there is no machine `{machine}`", target=self.target)
        return found

    def _read(self, found: Mapping[str, Any]) -> Machine:
        machine = read(lambda one: text(one, "id"), found, target=self.target)
        every = self._connection.listed(f"/tag/v1/tags/resources/{quote(machine, safe='')}")
        pairs = [read(lambda one: (text(one, "key"), str(one["value"])), each, target=self.target) for each in every]
        return read(lambda one: _machine(one, dict(pairs)), found, target=self.target)


def cloud_config(script: bytes) -> str:
    """Return a cloud-config that writes a script to a file of root's, and runs it at the first start."""
    file = {"path": SCRIPT, "permissions": "0700", "encoding": "b64", "content": base64.b64encode(script).decode()}
    # JSON is YAML.
    return "#cloud-config\n" + json.dumps({"write_files": [file], "runcmd": [[SCRIPT]]})


def _state(found: Mapping[str, Any]) -> MachineState:
    return STATES.get(str(found.get("powerState")), MachineState.UNKNOWN)


def _image(found: Mapping[str, Any]) -> Image:
    return Image(text(found, "id"), text(found, "name"))


def _machine(found: Mapping[str, Any], tags: dict[str, str]) -> Machine:
    told: Mapping[str, Any] = found.get("addresses") or {}
    return Machine(
        id=text(found, "id"),
        name=tags.pop(NAME, "") or text(found, "name"),
        state=STATES.get(text(found, "powerState"), MachineState.UNKNOWN),
        size=f"c{number(found, 'cpu')}m{number(found, 'memory') // GIB}",
        image=tags.pop(IMAGE, ""),
        tags=tags,
        addresses=tuple(str(told[name]) for name in ("ipv4", "ipv6") if told.get(name)),
    )
