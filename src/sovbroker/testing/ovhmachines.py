"""The machines of the small service that speaks OVHcloud's API: instances, flavors, images, keys and volumes.

What is new, and what changes, takes a look to be ready, as it does there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final
from uuid import UUID

__all__ = ["FLAVOR", "IMAGE", "REGION", "Machines", "RefusalError"]

REGION: Final = "GRA11"
FLAVOR: Final = "flavor-d2-2"
IMAGE: Final = "image-debian-12"
Body = dict[str, Any]
NEXT: Final[Mapping[str, str]] = {
    "BUILD": "ACTIVE",
    "REBOOT": "ACTIVE",
    "creating": "available",
    "attaching": "in-use",
    "detaching": "available",
}


class RefusalError(Exception):
    """The service says no."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(slots=True)
class Machines:
    """The machines of the project in `REGION`. What a test puts in by itself needs the fields that are made here.

    `quota` is how many there may be. What the API calls a refusal for that reason is not told anywhere.
    """

    instances: dict[str, Body] = field(default_factory=dict[str, Body])
    volumes: dict[str, Body] = field(default_factory=dict[str, Body])
    keys: dict[str, Body] = field(default_factory=dict[str, Body])
    quota: int = 20
    _ids: count[int] = field(default_factory=lambda: count(1))

    def speaks_of(self, parts: list[str]) -> bool:
        """Whether a path below the project is of machines."""
        quota = parts[:1] == ["region"] and parts[2:] == ["quota"]
        return quota or parts[:1] in (["instance"], ["flavor"], ["image"], ["sshkey"], ["volume"])

    def handle(self, method: str, parts: list[str], query: Mapping[str, str], body: Body | None) -> object:
        """Return the answer of a call. Raises RefusalError."""
        match parts:
            case ["region", name, "quota"] if method == "GET" and name == REGION:
                used = sum(one["status"] not in {"DELETING", "DELETED"} for one in self.instances.values())
                return {"region": REGION, "instance": {"usedInstances": used, "maxInstances": self.quota}}
            case ["flavor"]:
                flavor = {"id": FLAVOR, "name": "d2-2", "vcpus": 1, "ram": 2000, "disk": 25, "available": True}
                windows = flavor | {"id": "flavor-windows", "name": "win-d2-2", "available": False}
                return [one | {"region": REGION} for one in (flavor, windows)] if self._here(query) else []
            case ["image"]:
                image = {"id": IMAGE, "name": "Debian 12", "region": REGION, "visibility": "public"}
                image |= {"status": "active", "creationDate": "2026-01-01T00:00:00Z"}
                return [image] if self._here(query) else []
            case ["instance", *rest]:
                return self._instance(method, rest, query, body)
            case ["sshkey", *rest]:
                return self._key(method, rest, query, body)
            case ["volume", *rest]:
                return self._volume(method, rest, query, body)
            case _:
                raise RefusalError(404, "NOT_FOUND", "Got an invalid (or empty) URL")

    @staticmethod
    def _here(query: Mapping[str, str]) -> bool:
        return query.get("region", REGION) == REGION

    def _new(self) -> str:
        return str(UUID(int=next(self._ids)))

    def _told(self, held: dict[str, Body], query: Mapping[str, str]) -> list[Body]:
        """Return what is listed now, and let what changes be ready the next time."""
        return [self._look(held, name) for name in list(held) if self._here(query)]

    @staticmethod
    def _look(held: dict[str, Body], name: str) -> Body:
        if name not in held:
            raise RefusalError(404, "Client::NotFound", "Object not found")
        one = held[name]
        told: Body = json.loads(json.dumps(one))
        if one["status"] in {"DELETING", "deleting"}:
            del held[name]
        elif one["status"] == "detaching":
            one |= {"status": "available", "attachedTo": []}
        else:
            one["status"] = NEXT.get(one["status"], one["status"])
        return told

    def _instance(self, method: str, parts: list[str], query: Mapping[str, str], body: Body | None) -> object:
        match method, parts:
            case "GET", []:
                told = self._told(self.instances, query)
                names = ("flavor", "image")
                return [
                    {key: value for key, value in one.items() if key not in names}
                    | {f"{name}Id": one[name]["id"] for name in names}
                    for one in told
                ]
            case "POST", []:
                return self._make(body or {})
            case "GET", [name]:
                return self._look(self.instances, name)
            case "DELETE", [name]:
                self._look(self.instances, name)
                self.instances[name]["status"] = "DELETING"
                return None
            case "POST", [name, ("start" | "stop" | "reboot") as act]:
                status = self._look(self.instances, name)["status"]
                before, after = {
                    "start": ("SHUTOFF", "ACTIVE"),
                    "stop": ("ACTIVE", "SHUTOFF"),
                    "reboot": ("ACTIVE", "REBOOT"),
                }[act]
                if status != before or (act == "reboot" and (body or {}).get("type") not in {"soft", "hard"}):
                    raise RefusalError(409, "Client::Conflict", f"cannot {act} an instance that is {status}")
                self.instances[name]["status"] = after
                return None
            case _:
                raise RefusalError(404, "NOT_FOUND", "Got an invalid (or empty) URL")

    def _make(self, body: Body) -> Body:
        known = {"flavorId", "imageId", "name", "region", "sshKeyId", "userData", "monthlyBilling"}
        if unknown := body.keys() - known:
            raise RefusalError(400, "Client::BadRequest", f"unknown: {sorted(unknown)}")
        if body["region"] != REGION or body["flavorId"] != FLAVOR or body["imageId"] != IMAGE:
            raise RefusalError(400, "Client::BadRequest", "no such region, flavor or image")
        if body.get("sshKeyId") not in {None, *self.keys}:
            raise RefusalError(400, "Client::BadRequest", "no such key")
        if len(self.instances) >= self.quota:
            raise RefusalError(403, "Client::Forbidden", "no more instances for this project")
        name = self._new()
        self.instances[name] = {
            "id": name,
            "name": body["name"],
            "status": "BUILD",
            "region": REGION,
            "created": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "flavor": {"id": body["flavorId"], "name": "d2-2"},
            "image": {"id": body["imageId"], "name": "Debian 12"},
            "ipAddresses": [{"ip": "192.0.2.1", "type": "public", "version": 4}],
            "userData": body.get("userData"),
        }
        told = json.loads(json.dumps(self.instances[name]))
        return {key: value for key, value in told.items() if key != "userData"}

    def _key(self, method: str, parts: list[str], query: Mapping[str, str], body: Body | None) -> object:
        match method, parts:
            case "GET", []:
                return [one for one in self.keys.values() if self._here(query)]
            case "POST", [] if body is not None:
                if any(one["name"] == body["name"] for one in self.keys.values()):
                    raise RefusalError(409, "Client::Conflict", "there is a key of that name")
                made: Body = {
                    "id": self._new(),
                    "name": body["name"],
                    "publicKey": body["publicKey"],
                    "regions": [REGION],
                }
                self.keys[made["id"]] = made
                return made
            case "DELETE", [name]:
                if self.keys.pop(name, None) is None:
                    raise RefusalError(404, "Client::NotFound", "Object not found")
                return None
            case _:
                raise RefusalError(404, "NOT_FOUND", "Got an invalid (or empty) URL")

    def _volume(self, method: str, parts: list[str], query: Mapping[str, str], body: Body | None) -> object:
        match method, parts:
            case "GET", []:
                return self._told(self.volumes, query)
            case "POST", [] if body is not None:
                if body["region"] != REGION or body["type"] not in {"classic", "high-speed"} or body["size"] < 1:
                    raise RefusalError(400, "Client::BadRequest", "no such region, type or size")
                made: Body = {"id": self._new(), "status": "creating", "attachedTo": list[str](), **body}
                self.volumes[made["id"]] = made
                return made
            case "GET", [name]:
                return self._look(self.volumes, name)
            case "DELETE", [name]:
                if self._look(self.volumes, name)["status"] != "available":
                    raise RefusalError(400, "Client::BadRequest", "the volume is in use")
                self.volumes[name]["status"] = "deleting"
                return None
            case "POST", [name, ("attach" | "detach") as act] if body is not None:
                volume, instance = self._look(self.volumes, name), body["instanceId"]
                self._look(self.instances, instance)
                if act == "attach" and volume["status"] == "available":
                    self.volumes[name] |= {"status": "attaching", "attachedTo": [instance]}
                elif act == "detach" and volume["attachedTo"] == [instance]:
                    self.volumes[name] |= {"status": "detaching"}
                else:
                    raise RefusalError(409, "Client::Conflict", f"cannot {act} a volume that is {volume['status']}")
                return volume
            case _:
                raise RefusalError(404, "NOT_FOUND", "Got an invalid (or empty) URL")
