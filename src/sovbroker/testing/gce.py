"""A small service that speaks as much of Google Compute Engine's API as machines need, in this process.

It keeps machines and disks in memory, and takes nothing that it does not know: no path, no query, no field of a
body, no token that `verify` refuses::

    with GceService(verify) as service:
        compute = build(service.binding(key))

`verify` returns what a token claims, or raises ValueError. Operations take a look to be done. What an object may hold
was read off the messages of google-cloud-compute 1.57.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Final, Self, cast
from urllib.parse import parse_qsl, urlsplit

from sovbroker.ports import Binding, Credentials

__all__ = ["IMAGE", "PROJECT", "GceService", "RefusalError"]

PROJECT: Final = "our-project"
REGION: Final = "europe-west9"
ZONES: Final = ("europe-west9-b", "europe-west9-a")
ELSEWHERE: Final = "us-central1-a"
OWNER: Final = "debian-cloud"
IMAGE: Final = f"projects/{OWNER}/global/images/debian-12-bookworm-v20260101"
SCOPE: Final = "https://www.googleapis.com/auth/compute"
SIZES: Final = {"e2-small": (2, 2048, 0), "e2-standard-4": (4, 16384, 0), "g2-standard-4": (4, 16384, 1)}
NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
VALUE: Final = re.compile(r"[a-z0-9_-]{0,63}")
LISTING: Final = frozenset({"maxResults", "pageToken"})
Body = dict[str, Any]

LABELS: Final = "labels"
INSTANCE: Final[Mapping[str, object]] = {
    "name": str,
    "description": str,
    "labels": LABELS,
    "machineType": str,
    "disks": [
        {
            "boot": bool,
            "autoDelete": bool,
            "initializeParams": {"sourceImage": str, "labels": LABELS, "description": str},
        }
    ],
    "networkInterfaces": [{"network?": str, "subnetwork?": str, "accessConfigs?": [{"type": str, "name": str}]}],
    "metadata": {"items": [{"key": str, "value": str}]},
    "confidentialInstanceConfig?": {"confidentialInstanceType": str},
    "scheduling?": {"onHostMaintenance": str},
}
DISK: Final[Mapping[str, object]] = {
    "name": str,
    "sizeGb": str,
    "type": str,
    "description": str,
    "labels": LABELS,
}
ATTACHED: Final[Mapping[str, object]] = {"source": str, "deviceName": str, "autoDelete": bool}


class RefusalError(Exception):
    """The service says no."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        errors = [{"domain": "global", "reason": reason, "message": message}]
        self.body = {"error": {"code": status, "message": message, "errors": errors}}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its path below the version, its query and its body."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Body | None


class GceService:
    """The service, from `with` to its end, on a free port of 127.0.0.1. `asked` counts requests by method and kind.

    `fail` are errors that the next operations end with; what they were to do is not done, save that the disk of a
    machine stays. `refuse` is what the next launch is refused with.
    """

    def __init__(self, verify: Callable[[str], Mapping[str, Any]]) -> None:
        self.asked: Counter[str] = Counter()
        self.fail: list[Body] = []
        self.refuse: RefusalError | None = None
        self.instances: dict[str, Body] = {}
        self.disks: dict[str, Body] = {}
        self.requests: dict[str, Body] = {}
        self.page = 500
        self._operations: dict[str, tuple[Body, Callable[[], None]]] = {}
        self._verify = verify
        self._lock = threading.Lock()
        self._ids = count(1)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.root = f"http://{self.host}/compute/v1"

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def binding(self, key: str, *, settings: Mapping[str, str | int | bool] | None = None) -> Binding:
        """Return what the adapter needs to open the project here; `key` is that of the service account."""
        return Binding(
            target="gcp",
            container=PROJECT,
            endpoint=self.root,
            region=REGION,
            hosts=frozenset({self.host}),
            credentials=Credentials({"service_account": key}),
            settings=settings or {},
        )

    def handle(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Body:
        """Answer one request."""
        parts = urlsplit(target)
        with self._lock:
            self._check_token(headers)
            if not parts.path.startswith("/compute/v1/"):
                raise _missing(parts.path)
            if bool(raw) != (headers.get("content-type") == "application/json"):
                raise _invalid("a body is JSON, and says so")
            body = json.loads(raw) if raw else None
            asked = Asked(method, parts.path.removeprefix("/compute/v1/"), dict(parse_qsl(parts.query)), body)
            answer = self._answer(asked)
            return json.loads(json.dumps(answer))  # type: ignore[no-any-return]

    def _check_token(self, headers: Mapping[str, str]) -> None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        try:
            claims = self._verify(token)
        except ValueError as error:
            raise RefusalError(401, "authError", f"Invalid Credentials: {error}") from error
        if kind != "Bearer" or claims.get("scope") != SCOPE or claims.get("iss") != claims.get("sub"):
            raise RefusalError(401, "authError", "Invalid Credentials")

    def _answer(self, asked: Asked) -> Body:  # noqa: C901, PLR0911, PLR0912 - a table of paths
        match [asked.method, *asked.path.split("/")]:
            case ["GET", "projects", owner, "global", "images"]:
                return self._images(asked, owner)
            case [_, "projects", project, *_] if project != PROJECT:
                raise _missing(f"projects/{project}")
            case ["GET", "projects", _]:
                return self._seen(asked, "project") | {"name": PROJECT}
            case ["GET", "projects", _, "regions", name]:
                if name != REGION:
                    raise _missing(asked.path)
                return self._seen(asked, "region") | {"name": name, "zones": [self._link(f"zones/{z}") for z in ZONES]}
            case ["GET", "projects", _, "aggregated", ("instances" | "disks") as kind]:
                return self._aggregated(asked, kind)
            case [_, "projects", _, "zones", zone, *_] if zone not in {*ZONES, ELSEWHERE}:
                raise _missing(f"projects/{PROJECT}/zones/{zone}")
            case ["GET", "projects", _, "zones", _, "operations", name]:
                return self._operation(asked, name)
            case ["GET", "projects", _, "zones", _, "machineTypes"]:
                return self._page(asked, "machineTypeList", [_size(name) for name in SIZES])
            case ["GET", "projects", _, "zones", zone, "instances"]:
                found = [one for one in self.instances.values() if f"/zones/{zone}/" in one["selfLink"]]
                return self._page(asked, "instanceList", found)
            case ["GET", "projects", _, "zones", _, "instances" | "disks", _]:
                return self._seen(asked, "thing") | self._found(asked.path)
            case [_, "projects", _, "zones", zone, "instances" | "disks", *rest]:
                return self._changed(asked, zone, rest)
            case _:
                raise _missing(asked.path)

    def _changed(self, asked: Asked, zone: str, rest: list[str]) -> Body:
        """Begin an operation, or return the one that the request's id has begun."""
        request = asked.query.get("requestId", "")
        try:
            uuid.UUID(request)
        except ValueError as error:
            raise _invalid("requestId is no UUID") from error
        known = {"requestId", "deviceName"} if asked.path.endswith("/detachDisk") else {"requestId"}
        if set(asked.query) != known:
            raise _invalid(f"unknown or missing: {sorted(set(asked.query) ^ known)}")
        if request in self.requests:
            return self.requests[request]
        begin = getattr(
            self, f"_{asked.method}_{asked.path.split('/')[4]}_{rest[1] if rest[1:] else ''}".rstrip("_"), None
        )
        if begin is None:
            raise _missing(asked.path)
        path, done = begin(asked)
        name = f"operation-{next(self._ids)}"
        operation: Body = {
            "kind": "compute#operation",
            "name": name,
            "status": "RUNNING",
            "zone": self._link(f"zones/{zone}"),
            "targetLink": self._link(path.removeprefix(f"projects/{PROJECT}/")),
        }
        if self.fail:
            operation["error"] = {"errors": [self.fail.pop(0)]}
            done = lambda: None  # noqa: E731 - nothing happens
            self.instances.pop(path, None)
            for disk in self.disks.values():
                disk["users"] = [one for one in disk["users"] if one != self._at(path)]
        self._operations[name] = (operation, done)
        self.requests[request] = operation
        return {name: value for name, value in operation.items() if name != "error"}

    def _operation(self, asked: Asked, name: str) -> Body:
        """Return an operation, which is done with the look after the first one."""
        self._seen(asked, "operation")
        if name not in self._operations:
            raise _missing(asked.path)
        operation, done = self._operations[name]
        shown = dict(operation)
        if operation["status"] == "RUNNING":
            operation["status"] = "DONE"
            done()
            shown.pop("error", None)
        return shown

    def _POST_instances(self, asked: Asked) -> tuple[str, Callable[[], None]]:  # noqa: N802 - a method and a path, here and below
        body, zone = _checked(asked.body, INSTANCE), asked.path.split("/")[3]
        path = f"projects/{PROJECT}/zones/{zone}/instances/{body['name']}"
        size = body["machineType"].removeprefix(f"zones/{zone}/machineTypes/")
        network = body["networkInterfaces"][0]
        if self.refuse is not None:
            raise self.refuse
        if path in self.instances:
            raise RefusalError(409, "alreadyExists", f"The resource '{path}' already exists")
        if size not in SIZES:
            raise _invalid(f"Invalid value for field 'resource.machineType': '{body['machineType']}'.")
        initial = body["disks"][0]["initializeParams"]
        if initial["sourceImage"] != IMAGE:
            raise _missing(initial["sourceImage"])
        if network.get("network") != f"projects/{PROJECT}/global/networks/default" and "subnetwork" not in network:
            raise _invalid("Invalid value for field 'resource.networkInterfaces[0]'.")
        disk = self._disk(f"projects/{PROJECT}/zones/{zone}/disks/{body['name']}", initial, "10")
        disk |= {"sourceImage": self._at(IMAGE), "users": [self._at(path)]}
        source = {"source": disk["selfLink"], "boot": True, "autoDelete": body["disks"][0]["autoDelete"]}
        made = body | {
            "kind": "compute#instance",
            "id": str(next(self._ids)),
            "selfLink": self._at(path),
            "zone": self._link(f"zones/{zone}"),
            "machineType": self._link(f"zones/{zone}/machineTypes/{size}"),
            "status": "PROVISIONING",
            "creationTimestamp": datetime.now(UTC).isoformat(),
            "disks": [source | {"kind": "compute#attachedDisk", "deviceName": "persistent-disk-0"}],
            "networkInterfaces": [network | {"networkIP": "10.0.0.2"}],
        }
        self.instances[path] = made
        return path, lambda: made.update(status="RUNNING")

    def _DELETE_instances(self, asked: Asked) -> tuple[str, Callable[[], None]]:  # noqa: N802
        found = self._found(asked.path)
        if found.get("deletionProtection"):
            raise _invalid(f"Invalid resource usage: 'The resource '{asked.path}' is protected against deletion'.")
        found["status"] = "STOPPING"

        def done() -> None:
            self.instances.pop(asked.path, None)
            for held in found["disks"]:
                disk = self.disks[_path(held["source"])]
                disk["users"] = []
                if held["autoDelete"]:
                    del self.disks[_path(held["source"])]

        return asked.path, done

    def _POST_instances_start(self, asked: Asked) -> tuple[str, Callable[[], None]]:  # noqa: N802
        return self._turned(asked, {"TERMINATED"}, "STAGING", "RUNNING")

    def _POST_instances_resume(self, asked: Asked) -> tuple[str, Callable[[], None]]:  # noqa: N802
        return self._turned(asked, {"SUSPENDED"}, "STAGING", "RUNNING")

    def _POST_instances_stop(self, asked: Asked) -> tuple[str, Callable[[], None]]:  # noqa: N802
        return self._turned(asked, {"RUNNING"}, "STOPPING", "TERMINATED")

    def _POST_instances_reset(self, asked: Asked) -> tuple[str, Callable[[], None]]:  # noqa: N802
        return self._turned(asked, {"RUNNING"}, "RUNNING", "RUNNING")

    def _turned(self, asked: Asked, of: set[str], now: str, then: str) -> tuple[str, Callable[[], None]]:
        if asked.body is not None:
            raise _invalid("a body where none is due")
        path = asked.path.rpartition("/")[0]
        found = self._found(path)
        if found["status"] not in of:
            raise RefusalError(400, "resourceNotReady", f"The resource '{path}' is not ready")
        found["status"] = now
        return path, lambda: found.update(status=then)

    def _POST_instances_attachDisk(self, asked: Asked) -> tuple[str, Callable[[], None]]:  # noqa: N802
        body, path = _checked(asked.body, ATTACHED), asked.path.rpartition("/")[0]
        found, disk = self._found(path), self._found(body["source"])
        if disk["users"]:
            raise RefusalError(400, "resourceInUseByAnotherResource", f"The disk '{body['source']}' is in use")

        def done() -> None:
            found["disks"].append(body | {"source": disk["selfLink"], "boot": False})
            disk["users"] = [found["selfLink"]]

        return path, done

    def _POST_instances_detachDisk(self, asked: Asked) -> tuple[str, Callable[[], None]]:  # noqa: N802
        path = asked.path.rpartition("/")[0]
        found = self._found(path)
        held = [one for one in found["disks"] if one["deviceName"] == asked.query["deviceName"]]
        if not held:
            raise _invalid(f"Invalid value for field 'disk': '{asked.query['deviceName']}'.")

        def done() -> None:
            found["disks"].remove(held[0])
            self.disks[_path(held[0]["source"])]["users"] = []

        return path, done

    def _POST_disks(self, asked: Asked) -> tuple[str, Callable[[], None]]:  # noqa: N802
        body, zone = _checked(asked.body, DISK), asked.path.split("/")[3]
        if not body["type"].startswith(f"projects/{PROJECT}/zones/{zone}/diskTypes/"):
            raise _invalid("Invalid value for field 'resource.type'.")
        path = f"projects/{PROJECT}/zones/{zone}/disks/{body['name']}"
        made = self._disk(path, body, body["sizeGb"])
        return path, lambda: made.update(status="READY")

    def _DELETE_disks(self, asked: Asked) -> tuple[str, Callable[[], None]]:  # noqa: N802
        if self._found(asked.path)["users"]:
            message = f"The disk resource '{asked.path}' is already being used"
            raise RefusalError(400, "resourceInUseByAnotherResource", message)
        return asked.path, lambda: _forget(self.disks, asked.path)

    def _disk(self, path: str, said: Body, size: str) -> Body:
        self.disks[path] = {
            "kind": "compute#disk",
            "selfLink": self._at(path),
            "name": path.rpartition("/")[2],
            "sizeGb": str(int(size)),
            "status": "CREATING",
            "users": [],
            "labels": said["labels"],
            "description": said["description"],
        }
        return self.disks[path]

    def _found(self, path: str) -> Body:
        found = self.instances.get(path) or self.disks.get(path)
        if found is None:
            raise _missing(path)
        return found

    def _aggregated(self, asked: Asked, kind: str) -> Body:
        """Return a page over all zones; those that have none on it say so."""
        held = self.instances if kind == "instances" else self.disks
        page = self._page(asked, f"{kind[:-1]}AggregatedList", list(held.values()))
        items: dict[str, Body] = {}
        for zone in (*ZONES, ELSEWHERE):
            own = [one for one in page.get("items", []) if f"/zones/{zone}/" in one["selfLink"]]
            nothing = {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": f"There are no results for '{zone}'."}}
            items[f"zones/{zone}"] = {kind: own} if own else nothing
        return page | {"items": items}

    def _images(self, asked: Asked, owner: str) -> Body:
        if owner not in {OWNER, PROJECT}:
            raise _missing(f"projects/{owner}")
        names = ("debian-12-bookworm-v20260101", "debian-12-bookworm-v20250101", "debian-12-bookworm-arm64-v20260101")
        images = [
            {
                "kind": "compute#image",
                "name": name,
                "selfLink": self._at(f"projects/{owner}/global/images/{name}"),
                "status": "READY",
                "architecture": "ARM64" if "arm64" in name else "X86_64",
                "creationTimestamp": f"{name[-8:-4]}-01-01T00:00:00.000-08:00",
                **({"deprecated": {"state": "DEPRECATED"}} if "2025" in name else {}),
            }
            for name in names
        ]
        return self._page(asked, "imageList", images)

    def _page(self, asked: Asked, kind: str, found: list[Body]) -> Body:
        """Return a page of a list; one that is empty has no `items`."""
        if not asked.query.keys() <= LISTING:
            raise _invalid(f"unknown: {sorted(asked.query.keys() - LISTING)}")
        self.asked[f"GET {kind}"] += 1
        first, most = int(asked.query.get("pageToken", "0")), min(int(asked.query.get("maxResults", "500")), self.page)
        more = {"nextPageToken": str(first + most)} if first + most < len(found) else {}
        items = {"items": found[first : first + most]} if found[first : first + most] else {}
        return {"kind": f"compute#{kind}", "id": asked.path, **items, **more}

    def _seen(self, asked: Asked, kind: str) -> Body:
        if asked.query or asked.body is not None:
            raise _invalid("a query or a body where none is due")
        self.asked[f"{asked.method} {kind}"] += 1
        return {"kind": f"compute#{kind}"}

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}"

    def _link(self, path: str) -> str:
        return self._at(f"projects/{PROJECT}/{path}")


def _forget(held: dict[str, Body], path: str) -> None:
    held.pop(path, None)


def _size(name: str) -> Body:
    cpus, memory, gpus = SIZES[name]
    cards = {"accelerators": [{"guestAcceleratorType": "nvidia-l4", "guestAcceleratorCount": gpus}]} if gpus else {}
    return {"kind": "compute#machineType", "name": name, "guestCpus": cpus, "memoryMb": memory, **cards}


def _missing(path: str) -> RefusalError:
    return RefusalError(404, "notFound", f"The resource '{path}' was not found")


def _invalid(why: str) -> RefusalError:
    return RefusalError(400, "invalid", why)


def _path(link: str) -> str:
    return f"projects/{link.partition('/projects/')[2]}"


def _checked(body: object, form: Mapping[str, object]) -> Body:
    """Return a body that has just the fields of its form. Raises RefusalError."""
    _check(body, form, "resource")
    found: Body = json.loads(json.dumps(body))
    if "name" in found and NAME.fullmatch(found["name"]) is None:
        raise _invalid("Invalid value for field 'resource.name'.")
    return found


def _are_labels(value: Any) -> bool:  # noqa: ANN401 - JSON
    labels = cast("dict[str, Any]", value) if isinstance(value, dict) else {"": 0}
    return all(LABEL.fullmatch(str(key)) and VALUE.fullmatch(str(held)) for key, held in labels.items())


def _check(value: Any, form: Any, where: str) -> None:  # noqa: ANN401 - JSON, and what it may be
    if isinstance(form, type):
        right = type(value) is form
    elif form == LABELS:
        right = _are_labels(value)
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
        raise _invalid(f"Invalid value for field '{where}'.")


def _handler(service: GceService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            """Answer one request."""
            raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = 200
            try:
                said = service.handle(self.command, self.path, headers, raw)
            except RefusalError as refused:
                status, said = refused.status, refused.body
            body = json.dumps(said).encode()
            self.send_response_only(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            """Answer one request."""
            self.do_GET()

        def do_DELETE(self) -> None:
            """Answer one request."""
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Print nothing."""

    return Handler
