"""A small service that speaks as much of Cloud Temple's API (OpenIaaS) as machines need, in this process.

::

    with CloudTempleService() as service:
        compute = build(service.binding())

It is made after the provider's Terraform provider, and takes no other names, types or paths. Changes are activities,
which take a look to be done. A machine is started only with its backup policy, and deleted only when it is off.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final

from sovbroker.ports import Binding, Credentials
from sovbroker.testing.contracts import Asked, ContractServer, RefusalError, Said, route

__all__ = ["POLICY", "TEMPLATE", "TENANT", "ZONE", "CloudTempleService"]

TENANT: Final = "e225dbf8-e7c5-4664-a595-08edf3526080"
ZONE: Final = "7b8d8c00-0000-4000-8000-00000000aa05"
TEMPLATE: Final = "3f1c9e52-0000-4000-8000-0000000000de"
POLICY: Final = "5a5b5c5d-0000-4000-8000-000000000b0b"
SECRETS: Final[Mapping[str, str]] = {"client_id": "a-token-id", "secret_id": "not-a-secret"}
ROOT: Final = "/api"
MACHINES: Final = f"{ROOT}/compute/v1/open_iaas/virtual_machines"
Body = dict[str, Any]


class CloudTempleService(ContractServer):
    """The service, from `with` to its end. `fail` holds, by the beginning of a call, why its activity fails."""

    def __init__(self) -> None:
        super().__init__()
        self.machines: dict[str, Body] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.policies: dict[str, list[str]] = {}
        self.zones = [ZONE]
        self.tokens: set[str] = set()
        self.fail: dict[str, str] = {}
        self._activities: dict[str, list[Callable[[], str] | str]] = {}
        self._ids = count(1)

    def binding(self, *, settings: Mapping[str, str | int | bool] | None = None) -> Binding:
        """Return what the adapter needs to open the tenant here."""
        return Binding(
            target="cloud-temple",
            container=TENANT,
            endpoint=f"{self.url}{ROOT}",
            region="fr1",
            hosts=frozenset({self.host}),
            credentials=Credentials(SECRETS),
            settings={"backup-policy": POLICY, **(settings or {})},
        )

    def admit(self, asked: Asked, raw: bytes) -> None:
        """Raise RefusalError for a request without a token."""
        del raw
        if asked.path == f"{ROOT}/iam/v2/auth/personal_access_token":
            return
        if asked.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            raise self.no(401, "no token")

    @route("POST", f"{ROOT}/iam/v2/auth/personal_access_token", body={"id": str, "secret": str})
    def log_in(self, asked: Asked) -> Said:
        """Give a token."""
        if tuple(asked.body.values()) != tuple(SECRETS.values()):
            raise self.no(401, "no such token")
        claims = {"exp": int(time.time()) + 3600, "scope": {"id": TENANT}, "userId": "u", "n": next(self._ids)}
        parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in ({"alg": "RS256"}, claims)]
        token = b".".join([*parts, b"c2lnbmVk"]).decode()
        self.tokens.add(token)
        return Said(200, token)

    @route("GET", f"{ROOT}/compute/v1/open_iaas")
    def list_zones(self, asked: Asked) -> Said:
        """Tell of availability zones."""
        del asked
        return Said(200, [{"id": zone, "name": "AZ05", "osName": "XCP-ng", "osVersion": "8.3"} for zone in self.zones])

    @route("GET", f"{ROOT}/compute/v1/open_iaas/templates", query={"machineManagerId": str})
    def list_templates(self, asked: Asked) -> Said:
        """Tell of templates."""
        found = [{"id": TEMPLATE, "name": "Debian 12", "cpu": 1, "memory": 1 << 30, "powerState": "Halted"}]
        return Said(200, found if asked.query["machineManagerId"] == ZONE else [])

    @route("GET", MACHINES, query={"machineManagerId": str})
    def list_machines(self, asked: Asked) -> Said:
        """Tell of machines."""
        return Said(200, list(self.machines.values()) if asked.query["machineManagerId"] == ZONE else [])

    @route(
        "POST",
        MACHINES,
        body={
            "name": str,
            "templateId": str,
            "cpu": int,
            "memory": int,
            "cloudInit?": {"cloudConfig?": str, "networkConfig?": str},
            "networkAdapters?": [{"networkId": str, "mac?": str, "ipAddress?": str}],
        },
    )
    def make_machine(self, asked: Asked) -> Said:
        """Make a machine, halted."""
        if asked.body["templateId"] != TEMPLATE:
            raise self.no(400, "no such template")
        made = str(uuid.UUID(int=next(self._ids) << 64))

        def done() -> str:
            told = {name: asked.body[name] for name in ("name", "cpu", "memory")}
            more = {"addresses": {"ipv4": "192.0.2.1", "ipv6": ""}, "machineManager": {"id": ZONE, "name": "AZ05"}}
            self.machines[made] = {"id": made, "powerState": "Halted", **told, **more}
            return made

        return self._begin(asked, done)

    @route("DELETE", f"{MACHINES}/{{machine}}")
    def delete_machine(self, asked: Asked) -> Said:
        """Delete a machine that is off."""
        found = self._found(asked)
        if found["powerState"] != "Halted":
            raise self.no(409, "the machine is running")
        return self._begin(asked, lambda: str(self.machines.pop(found["id"])["id"]))

    @route("PATCH", f"{MACHINES}/{{machine}}/power", body={"powerState": {"on", "off"}, "force?": bool})
    def power(self, asked: Asked) -> Said:
        """Switch a machine."""
        found, on = self._found(asked), asked.body["powerState"] == "on"
        if on and not self.policies.get(found["id"]):
            raise self.no(400, "the machine has no backup policy")

        def done() -> str:
            found["powerState"] = "Running" if on else "Halted"
            return ""

        return self._begin(asked, done)

    @route(
        "POST",
        f"{ROOT}/backup/v1/open_iaas/policies/assign",
        body={"virtualMachineId": str, "policyIds": [str]},
    )
    def assign(self, asked: Asked) -> Said:
        """Give a machine its backup policies."""
        if asked.body["virtualMachineId"] not in self.machines or asked.body["policyIds"] != [POLICY]:
            raise self.no(400, "no such machine or policy")

        def done() -> str:
            self.policies[asked.body["virtualMachineId"]] = asked.body["policyIds"]
            return ""

        return self._begin(asked, done)

    @route(
        "POST",
        f"{ROOT}/tag/v1/tags",
        body={
            "key": str,
            "value": str,
            "resources": [{"uuid": str, "type": {"iaas_opensource_virtual_machine"}, "source": {"iaas_opensource"}}],
        },
    )
    def tag(self, asked: Asked) -> Said:
        """Tag machines."""
        for one in asked.body["resources"]:
            self.tags.setdefault(one["uuid"], {})[asked.body["key"]] = asked.body["value"]
        return Said(201, {})

    @route("GET", f"{ROOT}/tag/v1/tags/resources/{{machine}}")
    def list_tags(self, asked: Asked) -> Said:
        """Tell the tags of a machine."""
        own = self.tags.get(asked.parts["machine"], {})
        more = {"tenant": TENANT, "resource": asked.parts["machine"]}
        return Said(200, [{"key": key, "value": value, **more} for key, value in own.items()])

    @route("GET", f"{ROOT}/activity/v1/activities/{{activity}}")
    def tell_activity(self, asked: Asked) -> Said:
        """Tell how far an activity is; the second look finds it done."""
        steps = self._activities.get(asked.parts["activity"])
        if steps is None:
            raise self.no(404, "no such activity")
        if len(steps) > 1:
            steps.pop()
            state: Body = {"running": {"progression": 50}}
        elif isinstance(steps[0], str):
            state = {"failed": {"reason": steps[0]}}
        else:
            state = {"completed": {"result": steps[0]()}}
        return Said(200, {"id": asked.parts["activity"], "tenantId": TENANT, "state": state, "concernedItems": []})

    def _begin(self, asked: Asked, done: Callable[[], str]) -> Said:
        call = f"{asked.method} {asked.path}"
        why = next((self.fail.pop(begin) for begin in list(self.fail) if call.startswith(begin)), None)
        name = f"act-{next(self._ids)}"
        self._activities[name] = [why or done, "running"]
        return Said(201, None, {"Location": f"/activity/v1/activities/{name}"})

    def _found(self, asked: Asked) -> Body:
        if asked.parts["machine"] not in self.machines:
            raise RefusalError(Said(403, {"error": "forbidden"}))
        return self.machines[asked.parts["machine"]]
