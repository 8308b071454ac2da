"""A small OpenStack: as much of Keystone, Nova, Cinder and Glance as machines need, in this process.

::

    with OpenStackService() as service:
        compute = build(service.binding())

Nova speaks version 2.1 alone, and takes bodies as its own schemas of that version do: no other names, no other types.
What is new takes a look or two to be ready. Lists have pages of `page` entries. `public` is the URL that the catalogue
names. `quota` is how many servers there may be; without `hosts`, none finds one: it is made, and fails a look later.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from collections.abc import Mapping
from itertools import count
from typing import Any, Final
from urllib.parse import urlencode

from sovbroker.ports import Binding, Credentials
from sovbroker.testing.contracts import Asked, ContractServer, RefusalError, Said, route

__all__ = ["IMAGE", "OWNER", "PROJECT", "OpenStackService"]

PROJECT: Final = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
OWNER: Final = "11112222333344445555666677778888"
"""The project that owns the public image."""

IMAGE: Final = "6fd3ba5c-9b9c-4a52-9e0c-1b2a3c4d5e6f"
REGION: Final = "one"
SECRETS: Final[Mapping[str, str]] = {
    "application_credential_id": "a-credential",
    "application_credential_secret": "not-a-secret",
}
FLAVORS: Final = ("a1-ram2", "a2-ram4", "a4-ram8-sev", "a4-ram8-snp")
SPECS: Final[Mapping[str, Mapping[str, str]]] = {
    "a4-ram8-sev": {"hw:mem_encryption": "True"},
    "a4-ram8-snp": {"hw:mem_encryption": "True", "hw:mem_encryption_model": "amd-sev-snp"},
}
NAMES: Final = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    409: "conflictingRequest",
}
METADATA: Final = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")
MANY: Final = 255
SCRIPT_MAX: Final = 65535
PAGED: Final = {"limit?": str, "marker?": str}
NO_HOST: Final = "No valid host was found. There are not enough hosts available."
NOVA: Final = "/compute/v2.1"
CINDER: Final = f"/volume/v3/{PROJECT}"
SERVER: Final = {
    "name": str,
    "imageRef": str,
    "flavorRef": str,
    "metadata?": {"*": str},
    "min_count?": int,
    "max_count?": int,
    "user_data?": str,
    "key_name?": str,
    "networks?": [{"uuid": str}],
    "security_groups?": [{"name": str}],
    "availability_zone?": str,
}
Body = dict[str, Any]


class OpenStackService(ContractServer):
    """The services, from `with` to their end, at one host by their paths."""

    def __init__(self) -> None:
        super().__init__()
        self.page = 1000
        self.public = self.url
        self.servers: dict[str, Body] = {}
        self.volumes: dict[str, Body] = {}
        self.keys: dict[str, Body] = {}
        self.tokens: set[str] = set()
        self.soft = False
        self.quota = 50
        self.hosts = True
        self._ids = count(1)

    def binding(self, *, settings: Mapping[str, str | int | bool] | None = None) -> Binding:
        """Return what the adapter needs to open the project here."""
        return Binding(
            target="openstack",
            container=PROJECT,
            endpoint=f"{self.url}/identity/v3",
            region=REGION,
            hosts=frozenset({self.host}),
            credentials=Credentials(SECRETS),
            settings=settings or {},
        )

    def refusal(self, status: int, why: str) -> Said:
        """Return an error as Nova words it."""
        return Said(status, {NAMES.get(status, "computeFault"): {"code": status, "message": why}})

    def admit(self, asked: Asked, raw: bytes) -> None:
        """Raise RefusalError for a request without a token, or of another version of Nova."""
        del raw
        if asked.path.startswith("/identity/"):
            return
        if asked.headers.get("x-auth-token") not in self.tokens:
            raise RefusalError(Said(401, {"error": {"code": 401, "message": "The request you have made requires"}}))
        versions = (asked.headers.get("openstack-api-version"), asked.headers.get("x-openstack-nova-api-version"))
        if asked.path.startswith(NOVA) and versions != ("compute 2.1", "2.1"):
            raise self.no(406, f"the versions {versions}")

    @route(
        "POST",
        "/identity/v3/auth/tokens",
        body={
            "auth": {
                "identity": {
                    "methods": [{"application_credential"}],
                    "application_credential": {"id": str, "secret": str},
                }
            }
        },
    )
    def log_in(self, asked: Asked) -> Said:
        """Give a token."""
        shown = asked.body["auth"]["identity"]["application_credential"]
        if tuple(shown.values()) != tuple(SECRETS.values()):
            raise RefusalError(Said(401, {"error": {"code": 401, "message": "no such credential", "title": "no"}}))
        token = f"token-{uuid.uuid4().hex}"
        self.tokens.add(token)
        urls = {"compute": NOVA, "volumev3": CINDER, "image": "/image"}
        catalog = [
            {
                "type": kind,
                "name": kind,
                "endpoints": [
                    {"interface": "public", "region_id": REGION, "url": f"{self.public}{path}"},
                    {"interface": "public", "region_id": "two", "url": f"https://two.example{path}"},
                    {"interface": "admin", "region_id": REGION, "url": f"https://admin.example{path}"},
                ],
            }
            for kind, path in urls.items()
        ]
        found = {
            "project": {"id": PROJECT, "name": "test"},
            "issued_at": "2026-11-28T20:00:00.000000Z",
            "expires_at": "2026-11-28T21:00:00.000000Z",
            "catalog": catalog,
        }
        return Said(201, {"token": found}, {"X-Subject-Token": token})

    @route("GET", f"{NOVA}/flavors/detail", query=PAGED)
    def list_flavors(self, asked: Asked) -> Said:
        """Tell of flavors."""
        made = [
            {"id": name, "name": name, "vcpus": 2**at, "ram": 2048 << at, "disk": 20} for at, name in enumerate(FLAVORS)
        ]
        return self._paged(asked, "flavors", made)

    @route("GET", f"{NOVA}/flavors/{{flavor}}/os-extra_specs")
    def tell_specs(self, asked: Asked) -> Said:
        """Tell the extra specs of a flavor."""
        if asked.parts["flavor"] not in FLAVORS:
            raise self.no(404, f"Flavor {asked.parts['flavor']} could not be found.")
        return Said(200, {"extra_specs": dict(SPECS.get(asked.parts["flavor"], {}))})

    @route("GET", "/image/v2/images", query={**PAGED, "owner?": str, "status?": str})
    def list_images(self, asked: Asked) -> Said:
        """Tell of images; what follows is told by `next`, as Glance does."""
        images = [
            {
                "id": IMAGE if owner == OWNER else str(uuid.UUID(int=7)),
                "name": "Debian 12 bookworm",
                "owner": owner,
                "status": "active",
                "visibility": "public",
                "created_at": "2026-01-01T00:00:00Z",
                "architecture": "x86_64",
            }
            for owner in (OWNER, "99990000999900009999000099990000")
        ]
        wanted = {name: asked.query[name] for name in ("owner", "status") if name in asked.query}
        found = [one for one in images if all(one[name] == value for name, value in wanted.items())]
        shown, more = self._cut(asked, found)
        following = {"next": f"/v2/images?{urlencode({**asked.query, 'marker': shown[-1]['id']})}"} if more else {}
        return Said(200, {"images": shown, "first": "/v2/images", "schema": "/v2/schemas/images", **following})

    @route("POST", f"{NOVA}/servers", body={"server": SERVER})
    def make_server(self, asked: Asked) -> Said:
        """Make a server."""
        wanted = asked.body["server"]
        if not wanted["name"] or len(wanted["name"]) > MANY or wanted["name"] != wanted["name"].strip():
            raise self.no(400, "Invalid input for field/attribute name.")
        if wanted["flavorRef"] not in FLAVORS:
            raise self.no(400, f"Flavor {wanted['flavorRef']} could not be found.")
        if wanted["imageRef"] != IMAGE:
            raise self.no(400, f"Can not find requested image {wanted['imageRef']}")
        if wanted.get("key_name", next(iter(self.keys), "")) not in {"", *self.keys}:
            raise self.no(400, "Invalid key_name provided.")
        for name, value in wanted.get("metadata", {}).items():
            if METADATA.fullmatch(name) is None or len(value) > MANY:
                raise self.no(400, f"Invalid input for field/attribute {name}.")
        self._check_script(wanted.get("user_data", ""))
        if len(self.servers) >= self.quota:
            used = f"Requested 1, but already used {len(self.servers)} of {self.quota} instances"
            raise self.no(403, f"Quota exceeded for instances: {used}")
        made = str(uuid.UUID(int=next(self._ids) << 64))
        self.servers[made] = {
            "id": made,
            "name": wanted["name"],
            "status": "BUILD",
            "OS-EXT-STS:task_state": "spawning" if self.hosts else "scheduling",
            "metadata": wanted.get("metadata", {}),
            "flavor": {"id": wanted["flavorRef"], "links": []},
            "image": {"id": wanted["imageRef"], "links": []},
            "created": "2026-11-28T20:00:00Z",
            "addresses": {"net": [{"addr": "192.0.2.1", "version": 4}]},
            "tenant_id": PROJECT,
            "user_data": wanted.get("user_data"),
        }
        return Said(
            202, {"server": {"id": made, "links": [], "adminPass": "made-by-nova", "OS-DCF:diskConfig": "MANUAL"}}
        )

    def _check_script(self, given: str) -> None:
        try:
            base64.b64decode(given, validate=True)
        except binascii.Error as error:
            raise self.no(400, "Invalid input for field/attribute user_data.") from error
        if len(given) > SCRIPT_MAX:
            raise self.no(400, "Invalid input for field/attribute user_data.")

    @route("GET", f"{NOVA}/servers/detail", query=PAGED)
    def list_servers(self, asked: Asked) -> Said:
        """Tell of servers."""
        return self._moved(self._paged(asked, "servers", [one for one in self.servers.values() if not self._soft(one)]))

    @route("GET", f"{NOVA}/servers/{{server}}")
    def tell_server(self, asked: Asked) -> Said:
        """Tell of a server."""
        return self._moved(Said(200, {"server": dict(self._server(asked))}))

    def _moved(self, said: Said) -> Said:
        """Let time pass after a look: what was being done is done."""
        told = Said(said.status, json.loads(json.dumps(said.body)))
        for name, one in list(self.servers.items()):
            if one["OS-EXT-STS:task_state"] == "deleting":
                del self.servers[name]
            if one["OS-EXT-STS:task_state"] == "scheduling":
                one["fault"] = {"code": 500, "created": one["created"], "message": NO_HOST}
            after = {
                "scheduling": "ERROR",
                "spawning": "ACTIVE",
                "powering-on": "ACTIVE",
                "powering-off": "SHUTOFF",
                "rebooting": "ACTIVE",
            }
            one["status"] = after.get(one["OS-EXT-STS:task_state"], one["status"])
            one["OS-EXT-STS:task_state"] = None
        return told

    @route("DELETE", f"{NOVA}/servers/{{server}}")
    def delete_server(self, asked: Asked) -> Said:
        """Delete a server, or keep it for a while where `soft`."""
        found = self._server(asked)
        if found.get("locked"):
            raise self.no(409, f"Instance {found['id']} is locked")
        if self.soft:
            found |= {"status": "SOFT_DELETED", "OS-EXT-STS:task_state": None}
        else:
            self._delete(found)
        return Said(204)

    def _delete(self, found: Body) -> None:
        found["OS-EXT-STS:task_state"] = "deleting"
        for volume in self.volumes.values():
            if [one["server_id"] for one in volume["attachments"]] == [found["id"]]:
                volume |= {"attachments": [], "status": "available"}

    @route(
        "POST",
        f"{NOVA}/servers/{{server}}/action",
        body={"os-start?": None, "os-stop?": None, "forceDelete?": None, "reboot?": {"type": {"SOFT", "HARD"}}},
    )
    def act(self, asked: Asked) -> Said:
        """Do one thing with a server."""
        found = self._server(asked)
        if len(asked.body) != 1:
            raise self.no(400, "There should be exactly one action")
        action = next(iter(asked.body))
        needs = {"os-start": "SHUTOFF", "os-stop": "ACTIVE", "reboot": "ACTIVE", "forceDelete": found["status"]}
        if found["status"] != needs[action] or found["OS-EXT-STS:task_state"] not in {None, "deleting"}:
            raise self.no(409, f"Cannot '{action}' instance {found['id']} while it is in vm_state {found['status']}")
        if action == "forceDelete":
            self._delete(found)
        else:
            tasks = {"os-start": "powering-on", "os-stop": "powering-off", "reboot": "rebooting"}
            found["OS-EXT-STS:task_state"] = tasks[action]
            found["status"] = "REBOOT" if action == "reboot" else found["status"]
        return Said(202)

    @route("GET", f"{NOVA}/limits")
    def tell_limits(self, asked: Asked) -> Said:
        """Tell how much of the quota is used."""
        del asked
        return Said(
            200,
            {
                "limits": {
                    "rate": [],
                    "absolute": {"maxTotalInstances": self.quota, "totalInstancesUsed": len(self.servers)},
                }
            },
        )

    @route("GET", f"{NOVA}/os-security-groups")
    def list_groups(self, asked: Asked) -> Said:
        """Tell of security groups."""
        del asked
        group: Body = {"id": "5ec0", "name": "default", "tenant_id": PROJECT, "description": "Default", "rules": []}
        return Said(200, {"security_groups": [group]})

    @route("GET", f"{NOVA}/os-keypairs")
    def list_keys(self, asked: Asked) -> Said:
        """Tell of keys."""
        del asked
        return Said(200, {"keypairs": [{"keypair": one} for one in self.keys.values()]})

    @route("POST", f"{NOVA}/os-keypairs", body={"keypair": {"name": str, "public_key": str}})
    def make_key(self, asked: Asked) -> Said:
        """Import a key."""
        wanted = asked.body["keypair"]
        if wanted["name"] in self.keys:
            raise self.no(409, f"Key pair '{wanted['name']}' already exists.")
        self.keys[wanted["name"]] = wanted | {"fingerprint": "00"}
        return Said(200, {"keypair": {**self.keys[wanted["name"]], "user_id": "somebody"}})

    @route("DELETE", f"{NOVA}/os-keypairs/{{key}}")
    def delete_key(self, asked: Asked) -> Said:
        """Remove a key."""
        if self.keys.pop(asked.parts["key"], None) is None:
            raise self.no(404, f"Keypair {asked.parts['key']} not found")
        return Said(202)

    @route(
        "POST",
        f"{NOVA}/servers/{{server}}/os-volume_attachments",
        body={"volumeAttachment": {"volumeId": str, "device?": str}},
    )
    def attach(self, asked: Asked) -> Said:
        """Attach a volume."""
        server = self._server(asked)["id"]
        volume = self._volume(asked.body["volumeAttachment"]["volumeId"])
        if volume["status"] != "available":
            raise self.no(400, f"Invalid volume: volume '{volume['id']}' status must be 'available'")
        volume |= {
            "status": "attaching",
            "attachments": [{"server_id": server, "volume_id": volume["id"], "device": "/dev/vdb"}],
        }
        return Said(200, {"volumeAttachment": {"id": volume["id"], "volumeId": volume["id"], "serverId": server}})

    @route("DELETE", f"{NOVA}/servers/{{server}}/os-volume_attachments/{{volume}}")
    def detach(self, asked: Asked) -> Said:
        """Detach a volume."""
        volume = self._volume(asked.parts["volume"])
        if [one["server_id"] for one in volume["attachments"]] != [self._server(asked)["id"]]:
            raise self.no(404, "volume_id not found")
        volume["status"] = "detaching"
        return Said(202)

    @route(
        "POST",
        f"{CINDER}/volumes",
        body={
            "volume": {
                "size": int,
                "name": str,
                "metadata?": {"*": str},
                "volume_type?": str,
                "availability_zone?": str,
            }
        },
    )
    def make_volume(self, asked: Asked) -> Said:
        """Make a volume."""
        made = str(uuid.UUID(int=next(self._ids)))
        self.volumes[made] = {
            "metadata": {},
            **asked.body["volume"],
            "id": made,
            "status": "creating",
            "attachments": [],
        }
        return Said(202, {"volume": dict(self.volumes[made])})

    @route("GET", f"{CINDER}/volumes/detail", query=PAGED)
    def list_volumes(self, asked: Asked) -> Said:
        """Tell of volumes."""
        return self._paged(asked, "volumes", list(self.volumes.values()))

    @route("GET", f"{CINDER}/volumes/{{volume}}")
    def tell_volume(self, asked: Asked) -> Said:
        """Tell of a volume; after it, what was being done is done."""
        found = self._volume(asked.parts["volume"])
        told = Said(200, {"volume": dict(found)})
        if found["status"] == "deleting":
            del self.volumes[found["id"]]
        if found["status"] == "detaching":
            found["attachments"] = []
        after = {"creating": "available", "attaching": "in-use", "detaching": "available"}
        found["status"] = after.get(found["status"], found["status"])
        return told

    @route("DELETE", f"{CINDER}/volumes/{{volume}}")
    def delete_volume(self, asked: Asked) -> Said:
        """Delete a volume."""
        found = self._volume(asked.parts["volume"])
        if found["status"] not in {"available", "error"}:
            raise self.no(400, "Invalid volume: Volume status must be available or error")
        found["status"] = "deleting"
        return Said(202)

    def _server(self, asked: Asked) -> Body:
        found = self.servers.get(asked.parts["server"])
        if found is None:
            raise self.no(404, f"Instance {asked.parts['server']} could not be found.")
        return found

    @staticmethod
    def _soft(found: Body) -> bool:
        return bool(found["status"] == "SOFT_DELETED")

    def _volume(self, name: str) -> Body:
        if name not in self.volumes:
            raise self.no(404, f"Volume {name} could not be found.")
        return self.volumes[name]

    def _cut(self, asked: Asked, found: list[Body]) -> tuple[list[Body], bool]:
        """Return a page of a list, and whether more follows."""
        most = min(int(asked.query.get("limit", self.page)), self.page)
        ids = [one["id"] for one in found]
        if "marker" in asked.query and asked.query["marker"] not in ids:
            raise self.no(400, f"marker [{asked.query['marker']}] not found")
        first = ids.index(asked.query["marker"]) + 1 if "marker" in asked.query else 0
        # A full page says that more may follow, even where nothing does.
        return found[first : first + most], len(found) - first >= most

    def _paged(self, asked: Asked, name: str, found: list[Body]) -> Said:
        shown, more = self._cut(asked, found)
        # Behind a gateway that ends TLS, these links name a place that is not there.
        links = {f"{name}_links": [{"rel": "next", "href": f"http://elsewhere.example{asked.path}"}]} if more else {}
        return Said(200, {name: [dict(one) for one in shown], **links})
