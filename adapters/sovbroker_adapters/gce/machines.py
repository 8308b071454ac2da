"""The machines of a project in a region."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final, cast

from sovbroker.errors import AlreadyExists, InvalidArgument, NoCapacity, NotFound, NotSupported
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
from sovbroker_adapters.answers import broken, entries, entry, read, text
from sovbroker_adapters.attempts import unsure
from sovbroker_adapters.gce import told
from sovbroker_adapters.gce.client import Connection
from sovbroker_adapters.launches import check_launch, check_size, gibibytes, named

__all__ = ["GceMachines"]

CAPABILITIES: Final[Mapping[ComputeFeature, Support]] = MappingProxyType(
    dict.fromkeys(ComputeFeature, Support.NATIVE)
    | {
        ComputeFeature.TAGS: Support.EMULATED,
        ComputeFeature.USER_DATA: Support.EMULATED,
        ComputeFeature.KEYS: Support.ABSENT,
    }
)
SPACE: Final = uuid.UUID("0d6a6f43-6ad2-5c1c-8d57-6a1d2a0f3c11")
"""The namespace in which tokens of launches become ids of requests."""

ID: Final = re.compile(r"([a-z][a-z0-9-]{0,61}[a-z0-9])/([a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)")
SIZE: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
IMAGE: Final = re.compile(r"projects/((?:[a-z][a-z0-9.-]{0,61}:)?[a-z0-9-]{1,63})/global/images/[a-z0-9-]{1,63}")
OWNER: Final = re.compile(r"(?:[a-z][a-z0-9.-]{0,61}:)?[a-z0-9-]{1,63}")
CONFIDENTIAL: Final[Mapping[str, str]] = MappingProxyType({"sev": "SEV", "sev-snp": "SEV_SNP", "tdx": "TDX"})
NOTHING_HERE: Final = "NO_RESULTS_ON_PAGE"
DISK_TYPE: Final = "pd-balanced"


class GceMachines(WithoutKeys):
    """The `ComputeProvider` of one project in one region."""

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
        """See `ComputeProvider.sizes`: those of the zone that machines are made in."""
        path = f"{self._project}/zones/{self._zone()}/machineTypes"
        return [read(told.size, one, target=self.target) for one in self._listed(path, "machineTypeList")]

    def images(self, source: ImageSource) -> Sequence[Image]:
        """See `ComputeProvider.images`. Newest first, without those that their owner calls outdated."""
        if OWNER.fullmatch(source.owner) is None:
            raise InvalidArgument(f"{self.target}: name the project that owns the image, not `{source.owner}`")
        found: list[Image] = []
        for one in self._listed(f"projects/{source.owner}/global/images", "imageList"):
            made = read(told.image, one, target=self.target)
            if made.owner != source.owner:
                raise broken(f"an image of `{made.owner}`, which nobody asked for", target=self.target)
            if named(made.name, source.pattern) and not one.get("deprecated") and one.get("status") == "READY":
                found.append(made)
        return sorted(found, key=lambda image: (str(image.created or ""), image.id), reverse=True)

    def launch(self, launch: Launch) -> Machine:
        """See `ComputeProvider.launch`. One call makes it whole; its token is in its name, and in the request's id."""
        check_launch(launch, CAPABILITIES, target=self.target)
        if SIZE.fullmatch(launch.size) is None:
            raise InvalidArgument(f"{self.target}: there is no size `{launch.size}`; see `sizes`")
        if IMAGE.fullmatch(launch.image) is None:
            raise InvalidArgument(f"{self.target}: `{launch.image}` is no image: projects/OWNER/global/images/NAME")
        if launch.attested is not None and launch.attested not in CONFIDENTIAL:
            raise NotSupported(f"`{launch.attested}` cannot be asked for", target=self.target)
        zone, request = self._zone(), str(uuid.uuid5(SPACE, launch.token))
        name = f"m-{request}"
        path = f"{self._project}/zones/{zone}/instances"
        before = True
        try:
            body = self._asked(launch, name, zone)
            with suppress(AlreadyExists):
                before = self._connection.change("POST", path, of=f"{path}/{name}", body=body, request=request)
        except NoCapacity as error:
            self._cleared(f"{zone}/{name}", error)
            raise
        return self._launched(launch, f"{zone}/{name}", new=not before)

    def machines(self) -> Sequence[Machine]:
        """See `ComputeProvider.machines`: in all zones of the region."""
        found = self._everywhere("instances", "instanceAggregatedList")
        return [read(told.instance, one, target=self.target) for one in found]

    def machine(self, machine: str) -> Machine:
        """See `ComputeProvider.machine`. Its image is what its disk was made of."""
        found = self._instance(machine)
        image, disks = "", cast("list[dict[str, Any]]", found.get("disks") or [])
        for disk in disks:
            if disk.get("boot"):
                made = self._connection.get(
                    read(lambda one: told.path(one.get("source")), disk, target=self.target), "disk"
                )
                image = told.path(made["sourceImage"]) if made.get("sourceImage") else ""
        return read(lambda one: told.instance(one, image), found, target=self.target)

    def start(self, machine: str) -> None:
        """See `ComputeProvider.start`. Returns when it runs."""
        status = self._instance(machine).get("status")
        if status not in {"RUNNING", "PROVISIONING", "STAGING"}:
            self._act(machine, "resume" if status == "SUSPENDED" else "start")

    def stop(self, machine: str) -> None:
        """See `ComputeProvider.stop`. Returns when it is stopped."""
        if self._state(machine) is not MachineState.STOPPED:
            self._act(machine, "stop")

    def reboot(self, machine: str) -> None:
        """See `ComputeProvider.reboot`."""
        found = self._state(machine)
        if found is not MachineState.RUNNING:
            raise InvalidArgument(f"{self.target}: the machine `{machine}` is {found}; start it")
        self._act(machine, "reset")

    def destroy(self, machine: str) -> None:
        """See `ComputeProvider.destroy`. Returns when it is gone. One that is protected against it raises."""
        with suppress(NotFound):
            path = self._path("instances", machine)
            self._connection.change("DELETE", path, of=path)

    def volumes(self) -> Sequence[Volume]:
        """See `ComputeProvider.volumes`: in all zones of the region. The machines' own disks are among them."""
        found = self._everywhere("disks", "diskAggregatedList")
        return [read(told.volume, one, target=self.target) for one in found]

    def create_volume(self, name: str, *, size: int, tags: Mapping[str, str] = NO_TAGS) -> Volume:
        """See `ComputeProvider.create_volume`. Returns when it is there."""
        check_size(size)
        zone, request = self._zone(), str(uuid.uuid4())
        path = f"{self._project}/zones/{zone}/disks"
        body = {
            "name": f"v-{request}",
            "sizeGb": str(gibibytes(size)),
            "type": f"{self._project}/zones/{zone}/diskTypes/{DISK_TYPE}",
            "description": told.described(name, tags),
            "labels": told.labels(tags),
        }
        self._connection.change("POST", path, of=f"{path}/v-{request}", body=body, request=request)
        made = read(told.volume, self._disk(f"{zone}/v-{request}"), target=self.target)
        if not tags.items() <= made.tags.items() or made.name != name:
            self.destroy_volume(made.id)
            raise broken("a volume without its tags", target=self.target)
        return made

    def attach(self, volume: str, machine: str) -> None:
        """See `ComputeProvider.attach`. Returns when the machine has it. Both have to be in one zone."""
        held = read(told.volume, self._disk(volume), target=self.target).machine
        self._instance(machine)
        if held == machine:
            return
        if held is not None:
            raise InvalidArgument(f"{self.target}: the volume `{volume}` is attached to `{held}`; detach it")
        if volume.partition("/")[0] != machine.partition("/")[0]:
            raise InvalidArgument(f"{self.target}: the volume `{volume}` is in another zone than `{machine}`")
        path = self._path("instances", machine)
        disk = {"source": self._path("disks", volume), "deviceName": volume.partition("/")[2], "autoDelete": False}
        self._connection.change("POST", f"{path}/attachDisk", of=path, body=disk)

    def detach(self, volume: str) -> None:
        """See `ComputeProvider.detach`. Returns when the machine has it no more."""
        held = read(told.volume, self._disk(volume), target=self.target).machine
        if held is None:
            return
        for disk in entries(self._instance(held), "disks", target=self.target):
            if told.spot(disk.get("source")) == volume:
                device = read(lambda one: text(one, "deviceName"), disk, target=self.target)
                path = self._path("instances", held)
                self._connection.change("POST", f"{path}/detachDisk", of=path, deviceName=device)

    def destroy_volume(self, volume: str) -> None:
        """See `ComputeProvider.destroy_volume`."""
        with suppress(NotFound):
            path = self._path("disks", volume)
            self._connection.change("DELETE", path, of=path)

    def visibility(self) -> Visibility:
        """See `ComputeProvider.visibility`: counted zone by zone; the project is the canary."""
        count = 0
        for zone in self._zones():
            count += sum(1 for _ in self._listed(f"{self._project}/zones/{zone}/instances", "instanceList"))
        seen = self._connection.get(self._project, "project").get("name")
        return Visibility(count, f"project {seen}" if f"projects/{seen}" == self._project else "")

    def close(self) -> None:
        """See `ComputeProvider.close`."""
        self._connection.close()

    @property
    def _project(self) -> str:
        return self._connection.project

    def _launched(self, launch: Launch, machine: str, *, new: bool) -> Machine:
        """Return the machine of a launch. One that is new and not what was asked for is destroyed."""
        try:
            found = self.machine(machine)
        except NotFound as error:
            raise InvalidArgument(
                f"{self.target}: the launch `{launch.token}` has made `{machine}`, which is gone; use another token"
            ) from error
        lacks = ""
        if found.name != launch.name or not launch.tags.items() <= found.tags.items():
            lacks = "its tags"
        elif launch.attested is not None and not self._is_attested(machine, CONFIDENTIAL[launch.attested]):
            lacks = f"`{launch.attested}`"
        if lacks:
            if new:
                self.destroy(machine)
            raise broken(f"a machine without {lacks}", target=self.target)
        return found

    def _cleared(self, machine: str, error: NoCapacity) -> None:
        """Return when nothing is left of a machine that was not to be had. Raises Unavailable where it is there."""
        with suppress(NotFound):
            if self._state(machine) in {MachineState.RUNNING, MachineState.STOPPED}:
                raise unsure(error, f"the machine `{machine}` is there all the same") from error
            self.destroy(machine)
        # Its disk has its name, and ends with it: unless it was made, and the machine was not.
        self.destroy_volume(machine)
        for kind, look in (("machine", self._instance), ("disk", self._disk)):
            with suppress(NotFound):
                look(machine)
                raise unsure(error, f"the {kind} `{machine}` is there all the same") from error

    def _is_attested(self, machine: str, kind: str) -> bool:
        found: Any = self._instance(machine).get("confidentialInstanceConfig")
        return isinstance(found, dict) and cast("dict[str, Any]", found).get("confidentialInstanceType") == kind

    def _asked(self, launch: Launch, name: str, zone: str) -> dict[str, Any]:
        connection = self._connection
        labels, described = told.labels(launch.tags), told.described(launch.name, launch.tags)
        disk = {"sourceImage": launch.image, "labels": labels, "description": described}
        network: dict[str, Any] = {"network": f"{self._project}/global/networks/default"}
        if connection.subnet is not None:
            network = {"subnetwork": f"{self._project}/regions/{connection.region}/subnetworks/{connection.subnet}"}
        if connection.public:
            network["accessConfigs"] = [{"type": "ONE_TO_ONE_NAT", "name": "External NAT"}]
        items = [{"key": "block-project-ssh-keys", "value": "TRUE"}]
        if launch.user_data:
            items.append({"key": "startup-script", "value": told.once(launch.user_data, name)})
        asked: dict[str, Any] = {
            "name": name,
            "description": described,
            "labels": labels,
            "machineType": f"zones/{zone}/machineTypes/{launch.size}",
            "disks": [{"boot": True, "autoDelete": True, "initializeParams": disk}],
            "networkInterfaces": [network],
            "metadata": {"items": items},
        }
        if launch.attested is not None:
            asked["confidentialInstanceConfig"] = {"confidentialInstanceType": CONFIDENTIAL[launch.attested]}
            # Such a machine cannot be moved while it runs.
            asked["scheduling"] = {"onHostMaintenance": "TERMINATE"}
        return asked

    def _zone(self) -> str:
        return self._connection.zone or min(self._zones())

    def _zones(self) -> list[str]:
        """Return the zones of the region."""
        found = self._connection.get(f"{self._project}/regions/{self._connection.region}", "region")
        links: Any = found.get("zones")
        if not isinstance(links, list) or not links:
            raise broken("a region without zones", target=self.target)
        zones = read(lambda one: [told.last(link) for link in one["zones"]], found, target=self.target)
        if not all(self._is_here(zone) for zone in zones):
            raise broken("zones of another region", target=self.target)
        return zones

    def _is_here(self, zone: str) -> bool:
        return zone.rpartition("-")[0] == self._connection.region

    def _listed(self, path: str, kind: str) -> Iterator[Mapping[str, Any]]:
        """Yield the objects of a list. A page of its kind without any leaves `items` out."""
        for page in self._connection.pages(path, kind):
            if "items" in page or page.get("warning"):
                yield from entries(page, "items", target=self.target)

    def _everywhere(self, kind: str, answer: str) -> Iterator[Mapping[str, Any]]:
        """Yield the machines or disks in all zones of the region. Raises Unavailable where no zone of it was told of.

        All zones are asked for at once. One without any says so by a warning, and so does one that did not answer.
        """
        seen = False
        for page in self._connection.pages(f"{self._project}/aggregated/{kind}", answer):
            for place, held in entry(page.get("items"), target=self.target).items():
                if place.startswith("zones/") and self._is_here(place.removeprefix("zones/")):
                    seen = True
                    yield from self._of_zone(kind, place, held)
        if not seen:
            raise broken(f"nothing of the zones of `{self._connection.region}`", target=self.target)

    def _of_zone(self, kind: str, place: str, held: object) -> Sequence[Mapping[str, Any]]:
        scope = entry(held, target=self.target)
        warning: Any = scope.get("warning")
        said = cast("dict[str, Any]", warning).get("code") if isinstance(warning, dict) else None
        if kind not in scope and said == NOTHING_HERE:
            return ()
        if said not in {None, NOTHING_HERE}:
            raise broken(f"`{said}` of `{place}`", target=self.target)
        return entries(scope, kind, target=self.target)

    def _path(self, kind: str, name: str) -> str:
        """Return the path of a machine or a volume. Raises NotFound for what names none in this region."""
        parts = ID.fullmatch(name)
        if parts is None or not self._is_here(parts[1]):
            raise NotFound(f"there is nothing `{name}` in `{self._connection.region}`", target=self.target)
        return f"{self._project}/zones/{parts[1]}/{kind}/{parts[2]}"

    def _instance(self, machine: str) -> Mapping[str, Any]:
        return self._its_own(self._connection.get(self._path("instances", machine), "instance"), machine)

    def _disk(self, volume: str) -> Mapping[str, Any]:
        return self._its_own(self._connection.get(self._path("disks", volume), "disk"), volume)

    def _its_own(self, found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        if read(lambda one: told.spot(one.get("selfLink")), found, target=self.target) != name:
            raise broken(f"something else than `{name}`", target=self.target)
        return found

    def _state(self, machine: str) -> MachineState:
        return read(told.instance, self._instance(machine), target=self.target).state

    def _act(self, machine: str, action: str) -> None:
        path = self._path("instances", machine)
        self._connection.change("POST", f"{path}/{action}", of=path)
