"""A small service that speaks as much of Scaleway's API (Instances, Block Storage, marketplace) as machines need.

::

    with ScalewayService() as service:
        compute = build(service.binding())

It is made after the provider's SDK, and takes no other names, types or paths; tests hold what it takes and says to the
SDK's own types. What changes takes a look to be done. A machine is made stopped, and is told nothing while it changes;
only a running one is terminated, only a stopped one deleted; both leave their disks on Block Storage behind.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Final

from sovbroker.ports import Binding, Credentials
from sovbroker.testing.contracts import Asked, ContractServer, RefusalError, Said, route

__all__ = [
    "CREDENTIALS",
    "IMAGE",
    "LOCAL_IMAGE",
    "ORGANIZATION",
    "OWN_IMAGE",
    "PROJECT",
    "PROVIDER",
    "ZONES",
    "ScalewayService",
]

Body = dict[str, Any]

CREDENTIALS: Final[Mapping[str, str]] = {"secret_key": "11111111-2222-4333-8444-not-a-secret"}
PROJECT: Final = "7d3b5a10-0000-4000-8000-000000000001"
ORGANIZATION: Final = "7d3b5a10-0000-4000-8000-000000000002"
PROVIDER: Final = "51b656e3-4865-41e8-adbc-0c45bdd780db"
ZONES: Final = ("fr-par-1", "fr-par-2", "fr-par-3")
IMAGE: Final = "10000000-0000-4000-8000-00000000de12"
LOCAL_IMAGE: Final = "10000000-0000-4000-8000-00000000de11"
OWN_IMAGE: Final = "10000000-0000-4000-8000-0000000000aa"
MADE: Final = "2026-11-28T12:00:00.000000+00:00"
GB: Final = 10**9
ZONED: Final = "/instance/v1/zones/{zone}"
VOLUMES: Final = "/block/v1/zones/{zone}/volumes"
SERVER: Final = f"{ZONED}/servers/{{id}}"
PAGED: Final[Mapping[str, object]] = {"page": str, "per_page": str}
SIZED: Final[Mapping[str, object]] = {"page": str, "page_size": str}
PAGE_MAX: Final = 100
BUSY: Final = frozenset({"starting", "stopping"})


def _size(cpus: int, gib: int, price: float, **more: object) -> Body:
    return {
        "hourly_price": price,
        "alt_names": [],
        "ncpus": cpus,
        "ram": gib << 30,
        "arch": "x86_64",
        "scratch_storage_max_volumes_count": 0,
        "end_of_service": False,
        "gpu": 0,
        "capabilities": {"boot_types": ["local"], "max_file_systems": 0, "block_storage": True},
        **more,
    }


SIZES: Final[Mapping[str, Body]] = {
    "DEV1-S": _size(2, 2, 0.0088),
    "PLAY2-NANO": _size(2, 8, 0.027),
    "PRO2-M": _size(16, 64, 0.4388),
    "COPARM1-2C-8G": _size(2, 8, 0.0426, arch="arm64"),
    "H100-1-80G": _size(24, 240, 2.73, gpu=1),
    "UNTOLD-1": _size(2, 2, 0.0),
    "START1-S": _size(2, 2, 0.0001, end_of_service=True),
    "OLD-L": _size(2, 2, 0.0001, capabilities={"boot_types": ["local"], "max_file_systems": 0, "block_storage": False}),
    "SHORT-1": _size(2, 2, 0.0001),
}
STOCK: Final[Mapping[str, str]] = {"SHORT-1": "shortage", "PRO2-M": "scarce"}


def _image(name: str, number: str, owner: str, *, kind: str = "sbs_snapshot", arch: str = "x86_64") -> Body:
    return {
        "id": number,
        "name": name,
        "arch": arch,
        "extra_volumes": {},
        "from_server": "",
        "organization": owner,
        "project": owner,
        "public": owner == PROVIDER,
        "state": "available",
        "tags": [],
        "zone": ZONES[0],
        "creation_date": MADE,
        "root_volume": {"id": str(uuid.UUID(int=7)), "name": "", "size": 10 * GB, "volume_type": kind},
    }


NOBLE: Final = "10000000-0000-4000-8000-000000002404"
ARM_IMAGE: Final = "10000000-0000-4000-8000-0000000000a6"
IMAGES: Final = (
    _image("Debian Bookworm", IMAGE, PROVIDER),
    _image("Debian Bookworm", ARM_IMAGE, PROVIDER, arch="arm64"),
    _image("Debian Bookworm", LOCAL_IMAGE, PROVIDER, kind="unified"),
    _image("Ubuntu 24.04 Noble Numbat", NOBLE, PROVIDER),
    {**_image("mine", OWN_IMAGE, PROJECT), "organization": ORGANIZATION},
)
LABELS: Final[Mapping[str, Sequence[str]]] = {
    "debian_bookworm": (IMAGE, ARM_IMAGE, LOCAL_IMAGE),
    "ubuntu_noble": (NOBLE,),
}


class ScalewayService(ContractServer):
    """The service, from `with` to its end. `page_max` is how many it lists at most on a page.

    `lose` holds the beginnings of calls that are carried out and not answered well, once each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.servers: dict[str, Body] = {}
        self.disks: dict[str, Body] = {}
        self.local: dict[str, Body] = {}
        self.ips: dict[str, Body] = {}
        self.scripts: dict[str, bytes] = {}
        self.ran: dict[str, bytes] = {}
        self.images: dict[str, Body] = {one["id"]: dict(one) for one in IMAGES}
        self.groups: dict[str, Body] = {}
        self.page_max = PAGE_MAX
        self.lose: list[str] = []
        self._changes: dict[str, list[Callable[[], None]]] = {}
        self._ids = count(1)
        self.add_group(ZONES[0])

    def binding(self, *, settings: Mapping[str, str | int | bool] | None = None) -> Binding:
        """Return what the adapter needs to open the project here."""
        return Binding(
            target="scaleway",
            container=PROJECT,
            endpoint=self.url,
            region="fr-par",
            hosts=frozenset({self.host}),
            credentials=Credentials(CREDENTIALS),
            settings=dict(settings or {}),
        )

    def refusal(self, status: int, why: str) -> Said:
        """Return an error as the API words it."""
        kinds = {400: "invalid_arguments", 401: "denied_authentication", 403: "permissions_denied"}
        kind = kinds.get(status)
        return Said(status, {"message": why} if kind is None else {"type": kind, "message": why, "details": []})

    def handle(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Said:
        """Answer one request, or lose the answer."""
        said = super().handle(method, target, headers, raw)
        for begin in [begin for begin in self.lose if f"{method} {target}".startswith(begin)]:
            self.lose.remove(begin)
            return Said(504, {"message": "gateway timeout"})
        return said

    def admit(self, asked: Asked, raw: bytes) -> None:
        """Raise RefusalError for a request without its key, or for a zone that nobody knows."""
        del raw
        if asked.headers.get("x-auth-token") != CREDENTIALS["secret_key"]:
            raise self.no(401, "authentication is denied")
        if asked.parts.get("zone", ZONES[0]) not in ZONES:
            raise self.no(400, "no such zone")

    def add_group(self, zone: str) -> None:
        """Make the project's default security group of a zone, as the first machine there does."""
        made = self._id()
        self.groups[made] = {
            "description": "",
            "id": made,
            "name": "Default security group",
            "enable_default_security": True,
            "inbound_default_policy": "accept",
            "outbound_default_policy": "accept",
            "organization": ORGANIZATION,
            "project": PROJECT,
            "tags": [],
            "project_default": True,
            "servers": [],
            "stateful": True,
            "state": "available",
            "zone": zone,
        }

    @route("GET", f"{ZONED}/products/servers", query=PAGED)
    def list_sizes(self, asked: Asked) -> Said:
        """Tell of kinds of machines."""
        return self._paged(asked, "servers", SIZES)

    @route("GET", f"{ZONED}/products/servers/availability", query=PAGED)
    def list_stock(self, asked: Asked) -> Said:
        """Tell how many there are left."""
        return self._paged(asked, "servers", {name: {"availability": STOCK.get(name, "available")} for name in SIZES})

    @route("GET", f"{ZONED}/images", query={**PAGED, "project": str})
    def list_images(self, asked: Asked) -> Said:
        """Tell of the images of a project."""
        project, zone = asked.query["project"], asked.parts["zone"]
        found = {key: one for key, one in self.images.items() if one["project"] == project and one["zone"] == zone}
        return self._paged(asked, "images", found)

    @route("GET", f"{ZONED}/images/{{id}}")
    def tell_image(self, asked: Asked) -> Said:
        """Tell of an image."""
        return Said(200, {"image": self._of(self.images, asked)})

    @route("GET", "/marketplace/v2/images", query={**SIZED, "include_eol": {"false"}})
    def list_labels(self, asked: Asked) -> Said:
        """Tell what the marketplace has."""
        told = {
            label: {
                "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, label)),
                "name": label,
                "description": "",
                "logo": "",
                "categories": ["distribution"],
                "label": label,
                "created_at": MADE,
            }
            for label in LABELS
        }
        return self._paged(asked, "images", told)

    @route(
        "GET",
        "/marketplace/v2/local-images",
        query={**SIZED, "image_label": str, "zone": set(ZONES), "type": {"instance_sbs", "instance_local"}},
    )
    def list_local_images(self, asked: Asked) -> Said:
        """Tell what a label means in a zone."""
        label, kind = asked.query["image_label"], asked.query["type"]
        wanted = "sbs_snapshot" if kind == "instance_sbs" else "unified"
        told = {
            key: {
                "id": key,
                "compatible_commercial_types": list(SIZES),
                "arch": self.images[key]["arch"],
                "zone": asked.query["zone"],
                "label": label,
                "type": kind,
            }
            for key in LABELS.get(label, ())
            if self.images[key]["root_volume"]["volume_type"] == wanted
            and self.images[key]["zone"] == asked.query["zone"]
        }
        return self._paged(asked, "local_images", told)

    @route("GET", f"{ZONED}/dashboard", query={"project": {PROJECT}})
    def tell_dashboard(self, asked: Asked) -> Said:
        """Count."""
        zone = asked.parts["zone"]
        told = dict.fromkeys(
            (
                *("volumes_count", "running_servers_count", "images_count", "snapshots_count", "ips_count"),
                *("security_groups_count", "ips_unused", "volumes_l_ssd_count", "volumes_l_ssd_total_size"),
                *("private_nics_count", "placement_groups_count", "volumes_scratch_count"),
            ),
            0,
        )
        servers = sum(one["zone"] == zone and one["project"] == PROJECT for one in self.servers.values())
        return Said(200, {"dashboard": {**told, "servers_by_types": {}, "servers_count": servers}})

    @route("GET", f"{ZONED}/security_groups", query={**PAGED, "project": {PROJECT}})
    def list_groups(self, asked: Asked) -> Said:
        """Tell of security groups."""
        found = {key: one for key, one in self.groups.items() if one["zone"] == asked.parts["zone"]}
        return self._paged(asked, "security_groups", found)

    @route("GET", f"{ZONED}/servers", query={**PAGED, "project": {PROJECT}})
    def list_servers(self, asked: Asked) -> Said:
        """Tell of machines."""
        here = [key for key, one in self.servers.items() if one["zone"] == asked.parts["zone"]]
        found = {key: self._view(self.servers[key]) for key in here if self.servers[key]["project"] == PROJECT}
        for key in here:
            self._looked(key)
        return self._paged(asked, "servers", found)

    @route(
        "POST",
        f"{ZONED}/servers",
        body={
            "name": str,
            "commercial_type": str,
            "image": str,
            "project": str,
            "tags": [str],
            "dynamic_ip_required": bool,
            "protected": bool,
            "security_group?": str,
        },
    )
    def make_server(self, asked: Asked) -> Said:
        """Make a machine, stopped, with a disk of its image."""
        body, zone = asked.body, asked.parts["zone"]
        size, image = SIZES.get(body["commercial_type"]), self.images.get(body["image"])
        if body["project"] != PROJECT:
            raise self.no(403, "not your project")
        if size is None or size["end_of_service"]:
            raise self.no(400, "commercial_type is invalid")
        if image is None or image["zone"] != zone:
            raise self._missing("image", body["image"])
        if image["arch"] != size["arch"]:
            raise self.no(400, "the image is of another architecture")
        if body.get("security_group") not in {None, *self.groups}:
            raise self._missing("security_group", str(body["security_group"]))
        made, disk = self._id(), self._id()
        block = image["root_volume"]["volume_type"] == "sbs_snapshot"
        root: Body = {"id": disk, "volume_type": "sbs_volume" if block else "l_ssd", "boot": False, "zone": zone}
        if block:
            self.disks[disk] = self._disk(disk, zone, size=10 * GB, name=image["name"], held=made)
        else:
            self.local[disk] = root
        self.servers[made] = {
            "id": made,
            "organization": ORGANIZATION,
            **{
                key: body[key]
                for key in ("name", "project", "tags", "commercial_type", "dynamic_ip_required", "protected")
            },
            "hostname": body["name"],
            "public_ips": [],
            "mac_address": "de:00:00:00:00:01",
            "state": "stopped",
            "boot_type": "local",
            "volumes": {"0": root},
            "maintenances": [],
            "state_detail": "",
            "arch": size["arch"],
            "private_nics": [],
            "zone": zone,
            "filesystems": [],
            "end_of_service": False,
            "creation_date": MADE,
            "image": image,
        }
        if not any(one["zone"] == zone for one in self.groups.values()):
            self.add_group(zone)
        return Said(201, {"server": self._view(self.servers[made])})

    @route("GET", SERVER)
    def tell_server(self, asked: Asked) -> Said:
        """Tell of a machine."""
        told = self._view(self._of(self.servers, asked))
        self._looked(asked.parts["id"])
        return Said(200, {"server": told})

    @route("DELETE", SERVER)
    def delete_server(self, asked: Asked) -> Said:
        """Delete a machine that is stopped; its disks stay."""
        server = self._of(self.servers, asked)
        if server["state"] != "stopped" or server["protected"]:
            raise self._unmet("server should be stopped, and not protected")
        self._gone(server, kept=True)
        return Said(204)

    @route("POST", f"{SERVER}/action", body={"action": {"poweron", "poweroff", "reboot", "terminate"}})
    def act(self, asked: Asked) -> Said:
        """Do something with a machine that does nothing else."""
        server, action = self._of(self.servers, asked), asked.body["action"]
        state = server["state"]
        if state in BUSY and action != "terminate":
            more = {"resource": "instance_server", "resource_id": server["id"], "current_state": state}
            raise RefusalError(Said(400, {"type": "transient_state", "message": "in a transient state", **more}))
        allowed = self._view(server)["allowed_actions"]
        if action not in allowed or (action == "terminate" and server["protected"]):
            raise self._unmet(f"precondition is not respected: {action} of a {state} server")
        if action in {"poweron", "reboot"}:
            self._change(server, "starting", lambda: self._run(server))
        elif action == "poweroff":
            self._change(server, "stopping", lambda: self._stopped(server))
        else:
            self._change(server, "stopping", lambda: self._gone(server, kept=False))
        task = {"description": action, "progress": 0, "status": "pending", "zone": server["zone"]}
        ends = {"href_from": f"/servers/{server['id']}/action", "href_result": f"/servers/{server['id']}"}
        return Said(202, {"task": {"id": self._id(), **task, **ends}})

    @route("GET", f"{SERVER}/user_data")
    def list_scripts(self, asked: Asked) -> Said:
        """Tell what texts a machine has."""
        server = self._of(self.servers, asked)
        return Said(200, {"user_data": ["cloud-init"] if server["id"] in self.scripts else []})

    @route("PATCH", f"{SERVER}/user_data/cloud-init", body=bytes)
    def give_script(self, asked: Asked) -> Said:
        """Give a machine its script."""
        self.scripts[self._of(self.servers, asked)["id"]] = asked.body
        return Said(204)

    @route("POST", f"{SERVER}/attach-volume", body={"volume_id": str, "volume_type": {"sbs_volume"}})
    def attach(self, asked: Asked) -> Said:
        """Attach a volume on Block Storage."""
        server, disk = self._of(self.servers, asked), self._volume(asked)
        if disk["status"] != "available" or server["state"] in BUSY:
            raise self._unmet("the volume is in use, or the server is busy")
        free = next(str(key) for key in count(1) if str(key) not in server["volumes"])
        server["volumes"][free] = {"id": disk["id"], "volume_type": "sbs_volume", "boot": False, "zone": disk["zone"]}
        self._hold(disk, server["id"])
        return Said(200, {"server": self._view(server)})

    @route("POST", f"{SERVER}/detach-volume", body={"volume_id": str})
    def detach(self, asked: Asked) -> Said:
        """Detach a volume."""
        server, disk = self._of(self.servers, asked), self._volume(asked)
        held = [key for key, one in server["volumes"].items() if one["id"] == disk["id"]]
        if not held:
            raise self._unmet("the volume is not attached")
        del server["volumes"][held[0]]
        self._let_go(disk)
        return Said(200, {"server": self._view(server)})

    @route("DELETE", f"{ZONED}/volumes/{{id}}")
    def delete_local(self, asked: Asked) -> Said:
        """Delete a local volume that no machine has."""
        found = self._of(self.local, asked)
        if any(found["id"] == one["id"] for each in self.servers.values() for one in each["volumes"].values()):
            raise self._unmet("the volume is attached")
        del self.local[found["id"]]
        return Said(204)

    @route("GET", VOLUMES, query={**SIZED, "project_id": {PROJECT}, "include_deleted": {"false"}, "tags?": str})
    def list_disks(self, asked: Asked) -> Said:
        """Tell of volumes."""
        wanted = asked.query.get("tags")
        found = {
            key: dict(one)
            for key, one in self.disks.items()
            if one["zone"] == asked.parts["zone"]
            and one["project_id"] == PROJECT
            and (wanted is None or wanted in one["tags"])
        }
        return self._paged(asked, "volumes", found)

    @route("POST", VOLUMES, body={"name": str, "project_id": {PROJECT}, "tags": [str], "from_empty": {"size": int}})
    def make_disk(self, asked: Asked) -> Said:
        """Make a volume."""
        size = asked.body["from_empty"]["size"]
        if size < GB or size % GB:
            raise self.no(400, "size is no whole number of GB")
        made = self._id()
        disk = self._disk(made, asked.parts["zone"], size=size, name=asked.body["name"], tags=asked.body["tags"])
        self.disks[made] = disk
        return Said(200, dict(disk))

    @route("GET", f"{VOLUMES}/{{id}}")
    def tell_disk(self, asked: Asked) -> Said:
        """Tell of a volume."""
        told = dict(self._of(self.disks, asked))
        self._looked(asked.parts["id"])
        return Said(200, told)

    @route("PATCH", f"{VOLUMES}/{{id}}", body={"tags": [str]})
    def tag_disk(self, asked: Asked) -> Said:
        """Tag a volume that is made."""
        disk = self._of(self.disks, asked)
        if disk["status"] not in {"available", "in_use"}:
            raise self._unmet(f"the volume is {disk['status']}")
        disk["tags"] = asked.body["tags"]
        return Said(200, dict(disk))

    @route("DELETE", f"{VOLUMES}/{{id}}")
    def delete_disk(self, asked: Asked) -> Said:
        """Delete a volume that nobody has."""
        disk = self._of(self.disks, asked)
        if disk["status"] != "available" or disk["references"]:
            raise self._unmet(f"the volume is {disk['status']}")
        self._change_disk(disk, "deleting", lambda: self.disks.pop(disk["id"], None))
        return Said(204)

    def _paged(self, asked: Asked, name: str, found: Mapping[str, Body]) -> Said:
        """Tell a page: Instances count in a header, the others in the answer."""
        instances = asked.path.startswith("/instance")
        most, page = int(asked.query["per_page" if instances else "page_size"]), int(asked.query["page"])
        if not 1 <= most <= PAGE_MAX or page < 1:
            raise self.no(400, "no such page")
        most = min(most, self.page_max)
        part = list(found.items())[(page - 1) * most : page * most]
        kinds = "/products/" in asked.path
        told: Body = {name: dict(part) if kinds else [one for _, one in part]}
        if instances:
            return Said(200, told, {"X-Total-Count": str(len(found))})
        return Said(200, {**told, "total_count": len(found)})

    def _of(self, things: Mapping[str, Body], asked: Asked) -> Body:
        found = things.get(asked.parts["id"])
        if found is None or found["zone"] != asked.parts["zone"]:
            raise self._missing("resource", asked.parts["id"], block=asked.path.startswith("/block"))
        return found

    def _volume(self, asked: Asked) -> Body:
        found = self.disks.get(asked.body["volume_id"])
        if found is None or found["zone"] != asked.parts["zone"]:
            raise self._missing("volume", asked.body["volume_id"])
        return found

    def _missing(self, what: str, name: str, *, block: bool = False) -> RefusalError:
        """Return the no of what is not there, of which the API has two forms."""
        if block:
            more = {"resource": what, "resource_id": name}
            return RefusalError(Said(404, {"type": "not_found", "message": "resource is not found", **more}))
        return RefusalError(Said(404, {"type": "unknown_resource", "message": f'{what} "{name}" not found'}))

    def _unmet(self, why: str) -> RefusalError:
        more = {"precondition": "unknown_precondition", "help_message": why}
        return RefusalError(Said(400, {"type": "precondition_failed", "message": why, **more}))

    def _view(self, server: Body) -> Body:
        allowed = {
            "running": ["poweroff", "reboot", "terminate"],
            "stopped in place": ["poweron", "poweroff", "terminate"],
            "stopped": ["poweron"],
        }
        ips = [one for one in self.ips.values() if one["id"] in server["public_ips"]]
        volumes = {key: dict(one) for key, one in server["volumes"].items()}
        told = {"public_ips": ips, "volumes": volumes, "allowed_actions": allowed.get(server["state"], [])}
        return {**server, **told}

    def _disk(
        self, made: str, zone: str, *, size: int, name: str, tags: Sequence[str] = (), held: str | None = None
    ) -> Body:
        disk: Body = {
            "id": made,
            "name": name,
            "type": "sbs_5k",
            "size": size,
            "project_id": PROJECT,
            "zone": zone,
            "references": [],
            "status": "available",
            "tags": list(tags),
        }
        if held is not None:
            self._hold(disk, held)
        self._change_disk(disk, "creating", lambda: None, then=disk["status"])
        return disk

    def _hold(self, disk: Body, server: str) -> None:
        reference = {"product_resource_type": "instance_server", "product_resource_id": server, "type": "exclusive"}
        disk.update(status="in_use", references=[{"id": self._id(), **reference, "status": "attached"}])

    def _let_go(self, disk: Body) -> None:
        self._change_disk(disk, "in_use", lambda: disk.update(status="available", references=[]))

    def _change(self, server: Body, state: str, done: Callable[[], None]) -> None:
        server["state"] = state
        self._changes[server["id"]] = [done]

    def _change_disk(self, disk: Body, state: str, done: Callable[[], object], *, then: str | None = None) -> None:
        def end() -> None:
            disk.update({"status": then} if then is not None else {})
            done()

        disk["status"] = state
        self._changes[disk["id"]] = [end]

    def _looked(self, name: str) -> None:
        """Whatever was looked at is done with what it was doing."""
        for done in self._changes.pop(name, ()):
            done()

    def _run(self, server: Body) -> None:
        server["state"] = "running"
        if server["id"] not in self.ran:
            self.ran[server["id"]] = self.scripts.get(server["id"], b"")
        if server["dynamic_ip_required"] and not server["public_ips"]:
            made = self._id()
            self.ips[made] = {
                "id": made,
                "address": "192.0.2.7",
                "gateway": "192.0.2.1",
                "netmask": "32",
                "family": "inet",
                "dynamic": True,
                "provisioning_mode": "dhcp",
                "tags": [],
                "ipam_id": made,
                "state": "attached",
            }
            server["public_ips"] = [made]

    def _stopped(self, server: Body) -> None:
        server["state"] = "stopped"
        for name in [name for name in server["public_ips"] if self.ips[name]["dynamic"]]:
            server["public_ips"].remove(name)
            del self.ips[name]

    def _gone(self, server: Body, *, kept: bool) -> None:
        self._stopped(server)
        del self.servers[server["id"]]
        for one in server["volumes"].values():
            disk = self.disks.get(one["id"])
            if disk is not None:
                self._let_go(disk)
            elif not kept:
                del self.local[one["id"]]

    def _id(self) -> str:
        return str(uuid.UUID(int=(next(self._ids) << 64) | (4 << 76) | (8 << 60)))
