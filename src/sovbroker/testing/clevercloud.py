"""A small service that speaks as much of Clever Cloud's API as applications need, in this process.

::

    with CleverCloudService() as service:
        compute = build(service.binding())

It is made after the provider's own clients, takes no other names or types, and verifies the signature of every request:
its time, and that its nonce is new. An application that is deployed takes a look to be up.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from sovbroker.ports import Binding, Credentials
from sovbroker.testing.contracts import Asked, ContractServer, RefusalError, Said, route

__all__ = ["IMAGE", "OWNER", "CleverCloudService"]

OWNER: Final = "orga_0a1b2c3d-0000-4000-8000-000000000001"
ZONE: Final = "par"
VARIANT: Final = "6c0d2b1e-0000-4000-8000-0000000000d0"
IMAGE: Final = f"docker:20240101:{VARIANT}"
SECRETS: Final[Mapping[str, str]] = {
    "consumer_key": "a-consumer",
    "consumer_secret": "not-a-secret",
    "token": "a-token",
    "token_secret": "no-secret-either",
}
DRIFT: Final = 300
ROOT: Final = "/v2"
APPS: Final = f"{ROOT}/organisations/{OWNER}/applications"
PAIR: Final = re.compile(r'(\w+)="([^"]*)"')
FLAVORS: Final = ("XS", "S", "M")
Body = dict[str, Any]


class CleverCloudService(ContractServer):
    """The service, from `with` to its end."""

    def __init__(self) -> None:
        super().__init__()
        self.applications: dict[str, Body] = {}
        self.env: dict[str, dict[str, str]] = {}
        self._nonces: set[str] = set()

    def binding(self, *, settings: Mapping[str, str | int | bool] | None = None) -> Binding:
        """Return what the adapter needs to open the organisation here."""
        return Binding(
            target="clever-cloud",
            container=OWNER,
            endpoint=f"{self.url}{ROOT}",
            region=ZONE,
            hosts=frozenset({self.host}),
            credentials=Credentials(SECRETS),
            settings={"repository": "https://git.example/app.git", **(settings or {})},
        )

    def refusal(self, status: int, why: str) -> Said:
        """Return an error as the API words it."""
        return Said(status, {"id": 4000, "message": why, "type": "error"})

    def admit(self, asked: Asked, raw: bytes) -> None:
        """Raise RefusalError for a request that is not signed, or was sent before."""
        del raw
        told = asked.headers.get("authorization", "")
        found = PAIR.finditer(told) if told.startswith("OAuth ") else ()
        given = {one[1]: unquote(one[2]) for one in found}
        signature = given.pop("oauth_signature", "")
        parts = urlsplit(asked.path)
        pairs = sorted(
            (quote(name, safe="~"), quote(value, safe="~"))
            for name, value in [*parse_qsl(parts.query, keep_blank_values=True), *given.items()]
        )
        listed = "&".join(f"{name}={value}" for name, value in pairs)
        base = f"http://{asked.headers.get('host', '')}{parts.path}"
        text = f"{asked.method}&{quote(base, safe='~')}&{quote(listed, safe='~')}"
        key = f"{SECRETS['consumer_secret']}&{SECRETS['token_secret']}"
        expected = base64.b64encode(hmac.new(key.encode(), text.encode(), "sha512").digest()).decode()
        known = given.get("oauth_consumer_key"), given.get("oauth_token"), given.get("oauth_signature_method")
        fresh = abs(time.time() - int(given.get("oauth_timestamp", "0"))) < DRIFT
        nonce = given.get("oauth_nonce", "")
        right = hmac.compare_digest(expected, signature) and known == ("a-consumer", "a-token", "HMAC-SHA512")
        if not (right and fresh and nonce) or nonce in self._nonces:
            raise self.no(401, "the signature is wrong")
        self._nonces.add(nonce)

    @route("GET", f"{ROOT}/organisations/{OWNER}")
    def tell_owner(self, asked: Asked) -> Said:
        """Tell of the organisation."""
        del asked
        return Said(200, {"id": OWNER, "name": "Test"})

    @route("GET", f"{ROOT}/products/instances", query={"for": {OWNER}})
    def list_products(self, asked: Asked) -> Said:
        """Tell of runtimes."""
        del asked
        flavors = [
            {"name": name, "mem": 1024 << at, "cpus": 1 << at, "gpus": 0, "price": 0.1, "available": True}
            for at, name in enumerate(FLAVORS)
        ]
        gone = {"name": "old", "mem": 256, "cpus": 1, "gpus": 0, "price": 0.1, "available": False}
        variant = {"id": VARIANT, "slug": "docker", "name": "Docker", "deployType": "docker"}
        docker: Body = {"type": "docker", "version": "20240101", "name": "Docker", "variant": variant}
        old: Body = {"type": "docker", "version": "20150101", "name": "Docker", "variant": variant}
        docker |= {"enabled": True, "flavors": [*flavors, gone]}
        old |= {"enabled": False, "flavors": []}
        return Said(200, [docker, old])

    @route("GET", APPS)
    def list_applications(self, asked: Asked) -> Said:
        """Tell of applications; after it, what is being deployed is up."""
        del asked
        told = Said(200, json.loads(json.dumps(list(self.applications.values()))))
        for one in self.applications.values():
            one["state"] = "SHOULD_BE_UP" if one["state"] == "WANTS_TO_BE_UP" else one["state"]
        return told

    @route(
        "POST",
        APPS,
        body={
            "name": str,
            "deploy": {"git", "ftp"},
            "branch?": str,
            "publicGitRepositoryUrl?": str,
            "minFlavor": str,
            "maxFlavor": str,
            "minInstances": int,
            "maxInstances": int,
            "instanceType": str,
            "instanceVersion": str,
            "instanceVariant": str,
            "zone": str,
            "description?": str,
            "env?": {"*": str},
        },
    )
    def make_application(self, asked: Asked) -> Said:
        """Make an application, which is not deployed."""
        wanted = asked.body
        runtime = ":".join(wanted[name] for name in ("instanceType", "instanceVersion", "instanceVariant"))
        if runtime != IMAGE or not {wanted["minFlavor"], wanted["maxFlavor"]} <= set(FLAVORS) or wanted["zone"] != ZONE:
            raise self.no(400, "no such runtime, flavor or zone")
        made = f"app_{uuid.uuid4()}"
        self.env[made] = wanted.get("env", {})
        self.applications[made] = {
            "id": made,
            "name": wanted["name"],
            "zone": wanted["zone"],
            "ownerId": OWNER,
            "state": "SHOULD_BE_DOWN",
            "creationDate": 1700000000000,
            "vhosts": [{"fqdn": f"{made}.cleverapps.example/"}],
            "instance": {
                "type": wanted["instanceType"],
                "version": wanted["instanceVersion"],
                "variant": {"id": wanted["instanceVariant"], "slug": "docker"},
                "minFlavor": {"name": wanted["minFlavor"]},
                "maxFlavor": {"name": wanted["maxFlavor"]},
            },
        }
        return Said(201, self.applications[made])

    @route("DELETE", f"{APPS}/{{application}}")
    def delete_application(self, asked: Asked) -> Said:
        """Delete an application."""
        del self.applications[self._found(asked)["id"]]
        return Said(200, {"id": 1, "message": "the application is deleted", "type": "success"})

    @route("POST", f"{APPS}/{{application}}/instances")
    def deploy(self, asked: Asked) -> Said:
        """Deploy an application."""
        self._found(asked)["state"] = "WANTS_TO_BE_UP"
        return Said(200, {"id": 1, "message": "it is being deployed", "type": "success", "deploymentId": "d"})

    @route("GET", f"{APPS}/{{application}}/env")
    def list_env(self, asked: Asked) -> Said:
        """Tell the variables of an application."""
        own = self.env[self._found(asked)["id"]]
        return Said(200, [{"name": name, "value": value} for name, value in own.items()])

    def _found(self, asked: Asked) -> Body:
        found = self.applications.get(asked.parts["application"])
        if found is None:
            raise RefusalError(self.refusal(404, "no such application"))
        return found
