"""The applications of an organisation in a zone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, cast
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
from sovbroker_adapters.answers import broken, entries, number, read, text
from sovbroker_adapters.clevercloud.client import Connection
from sovbroker_adapters.launches import check_launch, named

__all__ = ["Applications"]

CAPABILITIES: Final[Mapping[ComputeFeature, Support]] = MappingProxyType(
    dict.fromkeys(ComputeFeature, Support.ABSENT)
    | {ComputeFeature.REBOOT: Support.NATIVE, ComputeFeature.TAGS: Support.EMULATED}
)
STATES: Final[Mapping[str, MachineState]] = MappingProxyType(
    {
        "SHOULD_BE_UP": MachineState.RUNNING,
        "WANTS_TO_BE_UP": MachineState.PENDING,
        "SHOULD_BE_DOWN": MachineState.STOPPED,
    }
)
TAGS: Final = "SOVBROKER_TAGS"
MIB: Final = 1 << 20


class Applications(WithoutKeys, WithoutVolumes):
    """The `ComputeProvider` of one organisation in one zone."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._base = f"/organisations/{quote(connection.owner, safe='')}"

    @property
    def target(self) -> str:
        """See `ComputeProvider.target`."""
        return self._connection.target

    @property
    def capabilities(self) -> Mapping[ComputeFeature, Support]:
        """See `ComputeProvider.capabilities`."""
        return CAPABILITIES

    def sizes(self) -> Sequence[Size]:
        """See `ComputeProvider.sizes`: the flavors of all runtimes, each once."""
        found = {
            size.id: size for product in self._products() for size in read(self._flavors, product, target=self.target)
        }
        return list(found.values())

    def images(self, source: ImageSource) -> Sequence[Image]:
        """See `ComputeProvider.images`: the runtimes, which are the provider's own and have no owner."""
        if source.owner:
            raise InvalidArgument(f"{self.target}: runtimes have no owner here; leave `{source.owner}` out")
        found = [read(_image, one, target=self.target) for one in self._products()]
        return [image for image in found if named(image.name, source.pattern)]

    def launch(self, launch: Launch) -> Machine:
        """See `ComputeProvider.launch`. One that cannot be deployed is destroyed."""
        check_launch(launch, CAPABILITIES, target=self.target)
        if launch.attested is not None:
            raise NotSupported(f"`{launch.attested}` cannot be asked for", target=self.target)
        asked = self._asked(launch)
        made = read(
            lambda one: text(one, "id"),
            self._connection.told("POST", f"{self._base}/applications", asked),
            target=self.target,
        )
        try:
            self._check(launch, self.machine(made))
            self._connection.act("POST", f"{self._path(made)}/instances")
            return self.machine(made)
        except BaseException:
            self.destroy(made)
            raise

    def machines(self) -> Sequence[Machine]:
        """See `ComputeProvider.machines`. Tags cost a call for each."""
        seen = (self._seen(one) for one in self._all())
        return [machine for machine in seen if machine is not None]

    def _seen(self, found: Mapping[str, Any]) -> Machine | None:
        """Return an application of the list; None where it has gone since, which the list alone can tell."""
        try:
            return self._read(found)
        except StoreError:
            if self._listed(read(lambda one: text(one, "id"), found, target=self.target)) is not None:
                raise
            return None

    def machine(self, machine: str) -> Machine:
        """See `ComputeProvider.machine`."""
        found = self._listed(machine)
        seen = None if found is None else self._seen(found)
        if seen is None:
            raise NotFound(f"there is no application `{machine}`", target=self.target)
        return seen

    def start(self, machine: str) -> None:
        """See `ComputeProvider.start`: not here, as nothing is stopped."""
        del machine
        self.lacks(ComputeFeature.STOP)

    def stop(self, machine: str) -> None:
        """See `ComputeProvider.stop`: not here, as no disk would be kept."""
        del machine
        self.lacks(ComputeFeature.STOP)

    def reboot(self, machine: str) -> None:
        """See `ComputeProvider.reboot`. It is deployed again."""
        found = self.machine(machine)
        if found.state is not MachineState.RUNNING:
            raise InvalidArgument(f"{self.target}: the application `{machine}` is {found.state}")
        self._connection.act("POST", f"{self._path(machine)}/instances")

    def destroy(self, machine: str) -> None:
        """See `ComputeProvider.destroy`."""
        if self._listed(machine) is None:
            return
        self._connection.act("DELETE", self._path(machine))
        if self._listed(machine) is not None:
            raise broken(f"that it destroyed `{machine}`, which is still there", target=self.target)

    def visibility(self) -> Visibility:
        """See `ComputeProvider.visibility`: the organisation is the canary; nothing counts in another way."""
        owner = self._connection.owner
        found = self._connection.told("GET", self._base).get("id")
        if found is None:
            raise broken("without an organisation", target=self.target)
        return Visibility(None, f"organisation {owner}" if found == owner else "")

    def close(self) -> None:
        """See `ComputeProvider.close`."""
        self._connection.close()

    def _asked(self, launch: Launch) -> Mapping[str, object]:
        for product in self._products():
            if read(_image, product, target=self.target).id == launch.image:
                if launch.size not in {size.id for size in read(self._flavors, product, target=self.target)}:
                    raise InvalidArgument(f"{self.target}: `{launch.size}` is no flavor of `{launch.image}`")
                kind, version, variant = launch.image.split(":")
                return {
                    "name": launch.name,
                    "deploy": "git",
                    "branch": self._connection.branch,
                    "publicGitRepositoryUrl": self._connection.repository,
                    "minFlavor": launch.size,
                    "maxFlavor": launch.size,
                    "minInstances": 1,
                    "maxInstances": 1,
                    "instanceType": kind,
                    "instanceVersion": version,
                    "instanceVariant": variant,
                    "zone": self._connection.zone,
                    "env": {TAGS: json.dumps(dict(launch.tags))},
                }
        raise NotFound(f"there is no runtime `{launch.image}`", target=self.target)

    def _check(self, launch: Launch, found: Machine) -> None:
        if found.name != launch.name or not launch.tags.items() <= found.tags.items():
            raise broken("an application without its tags", target=self.target)

    def _products(self) -> Sequence[Mapping[str, Any]]:
        every = self._connection.listed(f"/products/instances?for={quote(self._connection.owner, safe='')}")
        return [one for one in every if one.get("enabled") is True]

    def _flavors(self, product: Mapping[str, Any]) -> list[Size]:
        return [_size(one) for one in entries(product, "flavors", target=self.target) if one.get("available") is True]

    def _all(self) -> Sequence[Mapping[str, Any]]:
        found = self._connection.listed(f"{self._base}/applications")
        zones = [read(lambda one: text(one, "zone"), each, target=self.target) for each in found]
        return [one for one, zone in zip(found, zones, strict=True) if zone == self._connection.zone]

    def _listed(self, machine: str) -> Mapping[str, Any] | None:
        return next((one for one in self._all() if one.get("id") == machine), None)

    def _path(self, machine: str) -> str:
        return f"{self._base}/applications/{quote(machine, safe='')}"

    def _read(self, found: Mapping[str, Any]) -> Machine:
        machine = read(lambda one: text(one, "id"), found, target=self.target)
        every = self._connection.listed(f"{self._path(machine)}/env")
        pairs = [read(lambda one: (text(one, "name"), str(one["value"])), each, target=self.target) for each in every]
        return read(lambda one: _machine(one, _tags(dict(pairs).get(TAGS, "{}"))), found, target=self.target)


def _tags(told: str) -> dict[str, str]:
    """Return the tags of a variable; none where somebody else wrote it."""
    try:
        found: object = json.loads(told)
    except ValueError:
        return {}
    named = cast("dict[str, object]", found) if isinstance(found, dict) else {}
    return {name: str(value) for name, value in named.items()}


def _size(found: Mapping[str, Any]) -> Size:
    return Size(text(found, "name"), number(found, "cpus"), number(found, "mem") * MIB, gpus=number(found, "gpus"))


def _runtime(found: Mapping[str, Any]) -> str:
    return f"{text(found, 'type')}:{text(found, 'version')}:{text(found['variant'], 'id')}"


def _image(found: Mapping[str, Any]) -> Image:
    return Image(_runtime(found), text(found["variant"], "slug"))


def _machine(found: Mapping[str, Any], tags: dict[str, str]) -> Machine:
    hosts = cast("list[Mapping[str, Any]]", found.get("vhosts") or [])
    return Machine(
        id=text(found, "id"),
        name=text(found, "name"),
        state=STATES.get(text(found, "state"), MachineState.UNKNOWN),
        size=text(found["instance"]["minFlavor"], "name"),
        image=_runtime(found["instance"]),
        created=datetime.fromtimestamp(number(found, "creationDate") / 1000, UTC),
        tags=tags,
        addresses=tuple(str(one["fqdn"]).rstrip("/") for one in hosts),
    )
