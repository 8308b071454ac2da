"""A small service that speaks as much of Azure Resource Manager as machines need, and gives tokens, in this process.

It keeps machines, disks and keys in memory, and takes nothing that it does not know: no path, no query, no version, no
field of a body, no token but its own. Operations take a look to be done::

    with ArmService() as service:
        compute = build(service.binding())

What a body may hold was read off the models of azure-mgmt-compute 39. As the real one, it changes the case of ids.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Final, Self, cast
from urllib.parse import parse_qsl, urlsplit

from sovbroker.ports import Binding, Credentials

__all__ = ["IMAGE", "SECRETS", "ArmService", "RefusalError"]

SUBSCRIPTION: Final = "11111111-2222-3333-4444-555555555555"
GROUP: Final = "Machines"
REGION: Final = "francecentral"
ROOT: Final = f"/subscriptions/{SUBSCRIPTION}"
SUBNET: Final = f"{ROOT}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
IMAGE: Final = "Debian:debian-12:12-gen2:0.20260102.10"
SECRETS: Final[Mapping[str, str]] = {"tenant": "our-tenant", "client_id": "our-client", "client_secret": "not~a+secret"}
TOKEN: Final = "token-of-the-test"  # noqa: S105 - as it says
VERSIONS: Final[Mapping[str, str]] = {"disks": "2024-03-02", "skus": "2021-07-01", "networkInterfaces": "2022-11-01"}
SIZES: Final[Mapping[str, Mapping[str, str]]] = {
    "Standard_B2s": {"vCPUs": "2", "MemoryGB": "4", "MaxResourceVolumeMB": "8192"},
    "Standard_DC2as_v5": {"vCPUs": "2", "MemoryGB": "8", "ConfidentialComputingType": "SNP"},
}
VM: Final[Mapping[str, object]] = {
    "location": str,
    "tags": dict,
    "properties": {
        "hardwareProfile": {"vmSize": str},
        "storageProfile": {
            "imageReference": {"publisher": str, "offer": str, "sku": str, "version": str},
            "osDisk": {
                "name": str,
                "createOption": str,
                "deleteOption": str,
                "managedDisk": {"storageAccountType": str, "securityProfile?": {"securityEncryptionType": str}},
            },
        },
        "osProfile": {
            "computerName": str,
            "adminUsername": str,
            "customData?": str,
            "linuxConfiguration": {
                "disablePasswordAuthentication": bool,
                "ssh": {"publicKeys": [{"path": str, "keyData": str}]},
            },
        },
        "networkProfile": {
            "networkApiVersion": str,
            "networkInterfaceConfigurations": [
                {
                    "name": str,
                    "properties": {
                        "primary": bool,
                        "deleteOption": str,
                        "ipConfigurations": [
                            {"name": str, "properties": {"primary": bool, "subnet": {"id": str}}},
                        ],
                    },
                }
            ],
        },
        "securityProfile?": {"securityType": str, "uefiSettings": {"secureBootEnabled": bool, "vTpmEnabled": bool}},
    },
}
DISK: Final[Mapping[str, object]] = {
    "location": str,
    "tags": dict,
    "sku": {"name": str},
    "properties": {"creationData": {"createOption": str}, "diskSizeGB": int},
}
KEY: Final[Mapping[str, object]] = {"location": str, "properties": {"publicKey": str}}
ATTACHED: Final[Mapping[str, object]] = {
    "dataDisksToAttach?": [{"diskId": str}],
    "dataDisksToDetach?": [{"diskId": str}],
}
Body = dict[str, Any]
Answer = tuple[int, dict[str, str], object]


class RefusalError(Exception):
    """The service says no."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message}}


class ArmService:
    """The service, from `with` to its end, on a free port of 127.0.0.1. `asked` counts requests by method and path.

    `fail` are errors that the next operations end with: a machine that was to be made stays, as one that has failed.
    `refuse` is what the next launches are refused with.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.fail: list[Body] = []
        self.refuse: RefusalError | None = None
        self.held: dict[str, Body] = {}
        self.page = 100
        self._operations: dict[str, tuple[Body | None, Callable[[], None]]] = {}
        self._lock = threading.Lock()
        self._ids = count(1)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.url = self._near = f"http://{self.host}"

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def binding(self, *, settings: Mapping[str, str | int | bool] | None = None) -> Binding:
        """Return what the adapter needs to open the resource group here."""
        return Binding(
            target="azure",
            container=f"{SUBSCRIPTION}/{GROUP}",
            endpoint=self.url,
            region=REGION,
            hosts=frozenset({self.host}),
            credentials=Credentials(SECRETS),
            settings={
                "authority": self.url,
                "audience": "https://management.example",
                "subnet": SUBNET,
                **(settings or {}),
            },
        )

    def of(self, kind: str) -> list[Body]:
        """Return what is there of a kind."""
        return [one for path, one in self.held.items() if f"/{kind.lower()}/" in path]

    def handle(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Answer:
        """Answer one request."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        with self._lock:
            # Links lead to where the request came to, as a proxy stands there.
            self._near = f"http://{headers.get('host', self.host)}"
            self.asked[f"{method} {parts.path}"] += 1
            if parts.path == f"/{SECRETS['tenant']}/oauth2/v2.0/token":
                return self._grant(method, headers, raw)
            if headers.get("authorization") != f"Bearer {TOKEN}":
                raise RefusalError(401, "AuthenticationFailed", "Authentication failed.")
            if bool(raw) != (headers.get("content-type") == "application/json"):
                raise _wrong("a body is JSON, and says so")
            if parts.path.startswith("/operations/"):
                return self._operation(parts.path.rpartition("/")[2])
            answer = self._answer(method, parts.path, query, headers, json.loads(raw) if raw else None)
            return cast("Answer", json.loads(json.dumps(answer)))

    def _grant(self, method: str, headers: Mapping[str, str], raw: bytes) -> Answer:
        form = dict(parse_qsl(raw.decode()))
        wanted = {
            "grant_type": "client_credentials",
            "client_id": SECRETS["client_id"],
            "client_secret": SECRETS["client_secret"],
            "scope": "https://management.example/.default",
        }
        if method != "POST" or headers.get("content-type") != "application/x-www-form-urlencoded" or form != wanted:
            return 401, {}, {"error": "invalid_client", "error_description": f"wrong: {raw.decode()}"}
        return 200, {}, {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": TOKEN}

    def _answer(  # noqa: C901, PLR0911 - a table of paths
        self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: Body | None
    ) -> Answer:
        parts = path.strip("/").split("/")
        if parts[:2] != ["subscriptions", SUBSCRIPTION]:
            raise RefusalError(404, "SubscriptionNotFound", "The subscription could not be found.")
        group = parts[3].lower() if parts[2] == "resourceGroups" else ""
        if group not in {"", GROUP.lower(), "other"}:
            raise RefusalError(404, "ResourceGroupNotFound", f"Resource group '{parts[3]}' could not be found.")
        if method == "GET" and parts[2:3] == ["resourceGroups"] and len(parts) == 4:  # noqa: PLR2004 - with its name
            _check_query(query, "2021-04-01")
            return 200, {}, {"id": path.replace("resourceGroups", "resourcegroups"), "name": parts[3]}
        kind = parts[6] if group else parts[4]
        version = VERSIONS.get(kind, "2024-07-01")
        match [method, *parts[7 if group else 5 :]]:
            case ["GET"]:
                return self._list(path, kind, query, version)
            case ["GET", _, "virtualMachines"] if kind == "locations":
                _check_query(query, version)
                return 200, {}, {"value": self.of("virtualMachines")}
            case ["GET", _, "publishers", publisher, *rest] if kind == "locations":
                _check_query(query, version)
                return 200, {}, _image(path, publisher, rest[2:])
            case ["GET", _]:
                _check_query(query, version, "$expand")
                return 200, {}, self._found(path)
            case ["PUT", name] if body is not None:
                _check_query(query, version)
                return self._put(path, kind, name, body, headers)
            case ["DELETE", _]:
                _check_query(query, version)
                return self._delete(path)
            case ["POST", _, action]:
                _check_query(query, version)
                return self._act(path.rpartition("/")[0], action, body)
            case _:
                raise _wrong(f"there is no {method} {path}")

    def _list(self, path: str, kind: str, query: dict[str, str], version: str) -> Answer:
        _check_query(query, version, "$filter", "statusOnly", "$skiptoken")
        if kind == "skus":
            if query.get("$filter") != f"location eq '{REGION}'":
                raise _wrong("$filter")
            found = [_sku(name) for name in SIZES]
        elif query.get("statusOnly") == "true":
            found = [
                {
                    "id": one["id"].upper().replace("/SUBSCRIPTIONS/", "/subscriptions/"),
                    "properties": {"instanceView": v},
                }
                for one in self.of(kind)
                for v in [one["properties"]["instanceView"]]
            ]
        else:
            found = [_without_view(one) for one in self.of(kind)]
        first = int(query.get("$skiptoken", "0"))
        more = "&".join(f"{key}={value}" for key, value in query.items() if key != "$skiptoken").replace(" ", "%20")
        following = {"nextLink": f"{self._near}{path}?{more}&$skiptoken={first + self.page}"}
        return (
            200,
            {},
            {"value": found[first : first + self.page], **(following if first + self.page < len(found) else {})},
        )

    def _put(self, path: str, kind: str, name: str, body: Body, headers: Mapping[str, str]) -> Answer:
        forms = {"virtualMachines": VM, "disks": DISK, "sshPublicKeys": KEY}
        if kind not in forms:
            raise _wrong(f"there are no {kind}")
        _check(body, forms[kind], "body")
        if kind == "virtualMachines":
            if headers.get("if-none-match") != "*":
                raise _wrong("a machine would be changed that is there")
            if path.lower() in self.held:
                raise RefusalError(412, "PreconditionFailed", "it is there already")
            return self._make_vm(path, name, body)
        if kind == "sshPublicKeys" and path.lower() in self.held:
            raise RefusalError(409, "Conflict", "Changing property 'publicKey' is not allowed.")
        body["properties"]["provisioningState"] = "Succeeded"
        self.held[path.lower()] = body | {"id": path, "name": name}
        return (
            (201, {}, self.held[path.lower()])
            if kind == "sshPublicKeys"
            else self._begun(lambda: None, self.held[path.lower()])
        )

    def _make_vm(self, path: str, name: str, body: Body) -> Answer:
        properties = body["properties"]
        if self.refuse is not None:
            raise self.refuse
        if properties["hardwareProfile"]["vmSize"] not in SIZES:
            raise RefusalError(400, "InvalidParameter", "The value of parameter vmSize is invalid.")
        if ":".join(properties["storageProfile"]["imageReference"].values()) != IMAGE:
            raise RefusalError(404, "PlatformImageNotFound", "The platform image is not available.")
        interface = properties["networkProfile"].pop("networkInterfaceConfigurations")[0]
        if interface["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"] != SUBNET:
            raise RefusalError(400, "InvalidRequestFormat", "the subnet is another one")
        disk = properties["storageProfile"]["osDisk"]
        group = path.partition("/providers/")[0]
        nic = f"{group}/providers/Microsoft.Network/networkInterfaces/{interface['name']}"
        made = body | {"id": path.replace("/resourceGroups/machines/", "/resourceGroups/MACHINES/"), "name": name}
        ips = [{"properties": {"privateIPAddress": "10.0.0.4"}}]
        self.held[nic.lower()] = {"id": nic, "owner": path.lower(), "properties": {"ipConfigurations": ips}}
        disks = f"{group}/providers/Microsoft.Compute/disks/{disk['name']}"
        self.held[disks.lower()] = {
            "id": disks,
            "name": disk["name"],
            "location": REGION,
            "managedBy": path,
            "owner": path.lower()
            if disk["deleteOption"] == interface["properties"]["deleteOption"] == "Delete"
            else "",
            "properties": {"diskSizeGB": 30, "provisioningState": "Succeeded"},
        }
        properties["networkProfile"]["networkInterfaces"] = [{"id": nic}]
        properties["provisioningState"] = "Creating"
        properties["timeCreated"] = "2026-11-28T20:00:00+00:00"
        properties["instanceView"] = {"statuses": [{"code": "ProvisioningState/creating"}]}
        self.held[path.lower()] = made
        failing = bool(self.fail)

        def done() -> None:
            properties["provisioningState"] = "Failed" if failing else "Succeeded"
            power = [] if failing else [{"code": "PowerState/running"}]
            properties["instanceView"] = {"statuses": [{"code": "ProvisioningState/succeeded"}, *power]}

        return self._begun(done, _without_view(made), always=True)

    def _delete(self, path: str) -> Answer:
        found = self.held.get(path.lower())
        if found is None:
            return 204, {}, None
        if found.get("managedBy"):
            raise RefusalError(409, "OperationNotAllowed", f"Disk {path} is attached to VM {found['managedBy']}.")
        if "publicKey" in found["properties"]:
            del self.held[path.lower()]
            return 200, {}, None

        def done() -> None:
            self.held.pop(path.lower(), None)
            for name, one in list(self.held.items()):
                if one.get("owner") == path.lower():
                    del self.held[name]
                elif str(one.get("managedBy", "")).lower() == path.lower():
                    del one["managedBy"]

        return self._begun(done)

    def _act(self, path: str, action: str, body: Body | None) -> Answer:
        found = self._found(path)
        powers = {"start": "running", "deallocate": "deallocated", "restart": "running"}
        if action in powers and body is None:
            view = found["properties"]["instanceView"]
            if action == "restart" and {"code": "PowerState/running"} not in view["statuses"]:
                raise RefusalError(409, "OperationNotAllowed", "the machine does not run")
            return self._begun(lambda: view.update(statuses=[{"code": f"PowerState/{powers[action]}"}]))
        if action != "attachDetachDataDisks":
            raise _wrong(f"there is no {action}")
        _check(body, ATTACHED, "body")
        given = cast("Body", body)
        for one in given.get("dataDisksToAttach", []):
            disk = self._found(one["diskId"])
            if disk.get("managedBy"):
                raise RefusalError(409, "AttachDiskWhileBeingDetached", "the disk is attached elsewhere")
            disk["managedBy"] = found["id"]
        for one in given.get("dataDisksToDetach", []):
            del self._found(one["diskId"])["managedBy"]
        return self._begun(lambda: None)

    def _begun(self, done: Callable[[], None], body: Body | None = None, *, always: bool = False) -> Answer:
        error = self.fail.pop(0) if self.fail else None
        name = f"o-{next(self._ids)}"
        self._operations[name] = (error, done if always or error is None else lambda: None)
        header = "Azure-AsyncOperation" if body is not None else "Location"
        headers = {header: f"{self._near}/operations/{name}", "Retry-After": "1"}
        if body is None and error is not None:
            headers = {"Azure-AsyncOperation": headers["Location"]}
        return (201 if body is not None else 202), headers, body

    def _operation(self, name: str) -> Answer:
        """Return an operation, which is done with the look after the first one."""
        if name not in self._operations:
            raise _wrong("there is no such operation")
        error, done = self._operations[name]
        seen = self.asked[f"GET /operations/{name}"] > 1
        if not seen:
            return 202, {}, {"status": "InProgress"}
        done()
        if error is not None:
            return 200, {}, {"status": "Failed", "error": error}
        return 200, {}, {"status": "Succeeded"}

    def _found(self, path: str) -> Body:
        if path.lower() not in self.held:
            raise RefusalError(404, "ResourceNotFound", f"The Resource '{path}' was not found.")
        return self.held[path.lower()]


def _without_view(one: Body) -> Body:
    return one | {"properties": {key: value for key, value in one["properties"].items() if key != "instanceView"}}


def _sku(name: str) -> Body:
    held = [{"name": key, "value": value} for key, value in SIZES[name].items()]
    return {
        "resourceType": "virtualMachines",
        "name": name,
        "locations": [REGION],
        "capabilities": held,
        "restrictions": [],
    }


def _image(path: str, publisher: str, rest: list[str]) -> object:
    """Return a list of images' parts, or one version."""
    _, offer, sku, version = IMAGE.split(":")
    match rest if publisher == "Debian" else ["nobody"]:
        case ["offers"]:
            return [{"name": offer}, {"name": "debian-13"}]
        case ["offers", given, "skus"] if given == offer:
            return [{"name": "12"}, {"name": sku}]
        case ["offers", given, "skus", _, "versions"] if given == offer:
            return [{"name": "0.20260102.9"}, {"name": version}, {"name": "0.20250101.100"}]
        case ["offers", given, "skus", _, "versions", last] if (given, last) == (offer, version):
            return {"id": path.title(), "properties": {"architecture": "x64"}}
        case _:
            raise RefusalError(404, "NotFound", "Artifact was not found.")


def _wrong(why: str) -> RefusalError:
    return RefusalError(400, "InvalidRequest", why)


def _check_query(query: dict[str, str], version: str, *known: str) -> None:
    if query.get("api-version") != version or not set(query) <= {"api-version", *known}:
        raise RefusalError(400, "InvalidApiVersionParameter", f"{sorted(query.items())}")


def _check(value: Any, form: Any, where: str) -> None:  # noqa: ANN401 - JSON, and what it may be
    if isinstance(form, type):
        right = type(value) is form
    elif isinstance(form, list):
        right = isinstance(value, list) and value != []
        for at, one in enumerate(cast("list[Any]", value) if right else ()):
            _check(one, form[0], f"{where}[{at}]")
    else:
        known = {name.rstrip("?"): kind for name, kind in form.items()}
        right = isinstance(value, dict) and {name for name in form if name[-1] != "?"} <= value.keys() <= known.keys()
        for name, one in cast("Body", value).items() if right else ():
            _check(one, known[name], f"{where}.{name}")
    if not right:
        raise _wrong(f"the value of `{where}` is wrong")


def _handler(service: ArmService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            """Answer one request."""
            raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            given = {name.lower(): value for name, value in self.headers.items()}
            headers: dict[str, str] = {}
            try:
                status, headers, said = service.handle(self.command, self.path, given, raw)
            except RefusalError as refused:
                status, said = refused.status, refused.body
            body = b"" if said is None else json.dumps(said).encode()
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:  # noqa: PLR2004 - it has no body
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            """Answer one request."""
            self.do_GET()

        def do_PUT(self) -> None:
            """Answer one request."""
            self.do_GET()

        def do_DELETE(self) -> None:
            """Answer one request."""
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Print nothing."""

    return Handler
