"""A small service that speaks as much of Outscale's API as machines need, in this process.

It keeps machines, volumes and keys in memory and verifies the signature of every call::

    with OutscaleService() as service:
        compute = build(service.binding())

What is new takes a few looks to be ready. `check` is called with action and body of each request, and with those of
each answer (`Response` after the action): what it raises is refused. Tests hold both to the provider's own description.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Final, Self

from sovbroker.ports import Binding, Credentials

__all__ = ["ACCOUNT", "IMAGE", "OutscaleService"]

ACCOUNT: Final = "123456789012"
IMAGE: Final = "ami-0000debc"
REGION: Final = "eu-west-2"
ZONE: Final = "eu-west-2a"
ROOT: Final = "/api/v1/"
SECRETS: Final[Mapping[str, str]] = {"access_key": "OSCEXAMPLE", "secret_key": "not-a-secret"}
DRIFT: Final = timedelta(minutes=5)
SIZES: Final = ("tinav5.c1r1p2", "tinav5.c2r4p1", "tinav5.c8r16p1")
MACHINES: Final = {"Service": "TinaOS-FCU", "Operation": "RunInstances-OD"}
PRICES: Final = {"CustomCore:v5-p1": 0.04, "CustomCore:v5-p2": 0.03, "CustomRam": 0.005}
"""What an hour costs here: made up, in the form of the API's examples."""

Body = dict[str, Any]


class RefusalError(Exception):
    """The service says no."""

    def __init__(self, kind: str, code: str, details: str, *, status: int = 400) -> None:
        super().__init__(details)
        self.status = status
        self.body = {
            "Errors": [{"Type": kind, "Code": code, "Details": details}],
            "ResponseContext": {"RequestId": "request-of-the-test"},
        }


class OutscaleService:
    """The service, from `with` to its end, on a free port of 127.0.0.1. `asked` counts calls by their action.

    `refuse` holds, by action, what is answered instead of the next call of it; `prices` are by type, in `currency`.
    """

    def __init__(self, check: Callable[[str, object], None] = lambda _name, _body: None) -> None:
        self.asked: Counter[str] = Counter()
        self.refuse: dict[str, RefusalError] = {}
        self.vms: dict[str, Body] = {}
        self.volumes: dict[str, Body] = {}
        self.keys: dict[str, Body] = {}
        self.currency = "EUR"
        self.prices: dict[str, float] = dict(PRICES)
        self._check = check
        self._lock = threading.Lock()
        self._ids = count(1)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.url = f"http://{self.host}/api/v1"

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
        """Return what the adapter needs to open the account here."""
        return Binding(
            target="outscale",
            container=ACCOUNT,
            endpoint=self.url,
            region=REGION,
            hosts=frozenset({self.host}),
            credentials=Credentials(SECRETS),
            settings=settings or {},
        )

    def handle(self, path: str, headers: Mapping[str, str], raw: bytes) -> Body:
        """Answer one request."""
        action = path.removeprefix(ROOT)
        with self._lock:
            self.asked[action] += 1
            self._verify(path, headers, raw)
            body: Body = json.loads(raw)
            try:
                self._check(action, body)
            except ValueError as error:
                raise RefusalError("InvalidParameterValue", "4045", str(error)) from error
            if action in self.refuse:
                raise self.refuse.pop(action)
            act = getattr(self, f"_{action}", None)
            if act is None:
                raise RefusalError("InvalidResource", "5011", "no-such-call")
            answer = act(body) | {"ResponseContext": {"RequestId": "request-of-the-test"}}
            self._check(f"{action}Response", answer)
            return json.loads(json.dumps(answer))  # type: ignore[no-any-return]

    def _verify(self, path: str, headers: Mapping[str, str], raw: bytes) -> None:
        stamp = headers.get("x-osc-date", "")
        scope = f"{stamp[:8]}/{REGION}/api/osc4_request"
        names = "content-type;host;x-osc-date"
        lines = "".join(f"{name}:{headers.get(name, '')}\n" for name in names.split(";"))
        canonical = f"POST\n{path}\n\n{lines}\n{names}\n{hashlib.sha256(raw).hexdigest()}"
        wanted = f"OSC4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = b"OSC4" + SECRETS["secret_key"].encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), "sha256").digest()
        told = f"OSC4-HMAC-SHA256 Credential={SECRETS['access_key']}/{scope}, SignedHeaders={names}, Signature="
        expected = told + hmac.new(key, wanted.encode(), "sha256").hexdigest()
        if not hmac.compare_digest(expected, headers.get("authorization", "")):
            raise RefusalError("AccessDenied", "1", "the signature is wrong", status=401)
        sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(sent - datetime.now(UTC)) > DRIFT:
            raise RefusalError("AccessDenied", "1", "the request is too old", status=401)

    def _page(self, body: Body, name: str, found: list[Body]) -> Body:
        """Return a page of a list, and where the next one begins."""
        first, most = int(body.get("NextPageToken", "0")), body.get("ResultsPerPage", 1000)
        more = {"NextPageToken": str(first + most)} if first + most < len(found) else {}
        return {name: found[first : first + most], **more}

    def _ReadSubregions(self, body: Body) -> Body:  # noqa: N802 - the API's names, here and below
        zones = [{"SubregionName": f"{REGION}{letter}", "RegionName": REGION, "State": "available"} for letter in "ba"]
        return self._page(body, "Subregions", zones)

    def _ReadVmTypes(self, body: Body) -> Body:  # noqa: N802
        made = [
            {"VmTypeName": name, "VcoreCount": 2**at, "MemorySize": 4.0 * 2**at, "Gpu": 0, "VolumeCount": 0}
            for at, name in enumerate(SIZES)
        ]
        return self._page(body, "VmTypes", made)

    def _ReadCatalog(self, body: Body) -> Body:  # noqa: N802
        """Tell prices: of what is asked for by the hour, a month's, and what is for another region's machines."""
        del body
        shared = {"SubregionName": REGION, "Category": "compute", "Title": "…", **MACHINES}
        made = [{"Type": name, "UnitPrice": price, **shared} for name, price in self.prices.items()]
        month = {**shared, "Type": "CustomRam", "UnitPrice": 3.5, "Flags": "PER_MONTH"}
        dedicated = {**shared, "Type": "CustomRam", "UnitPrice": 10.0, "Operation": "RunInstances"}
        return {"Catalog": {"Entries": [*made, month, dedicated]}}

    def _ReadUnitPrice(self, body: Body) -> Body:  # noqa: N802
        if body["Type"] not in self.prices or any(body[name] != value for name, value in MACHINES.items()):
            raise RefusalError("InvalidResource", "5999", "there is no such entry")
        told = {"UnitPrice": self.prices[body["Type"]], "Unit": "PER_HOUR", "Currency": self.currency}
        return {"UnitPriceEntry": {**told, **{name: body[name] for name in ("Operation", "Service", "Type")}}}

    def _ReadImages(self, body: Body) -> Body:  # noqa: N802
        filters = body.get("Filters", {})
        images = [
            {
                "ImageId": IMAGE if alias else "ami-00005a11",
                "ImageName": "Debian-12-2026.01.01-0",
                "AccountId": "000000000001" if alias else "000000000002",
                "AccountAlias": alias,
                "Architecture": "x86_64",
                "State": "available",
                "CreationDate": "2026-01-01T00:00:00.000Z",
                "BlockDeviceMappings": [
                    {"DeviceName": "/dev/sda1", "Bsu": {"SnapshotId": "snap-1", "DeleteOnVmDeletion": False}}
                ],
            }
            for alias in ("Outscale", "")
        ]
        keys = {"ImageIds": "ImageId", "AccountIds": "AccountId", "AccountAliases": "AccountAlias", "States": "State"}
        found = [one for one in images if all(one[keys[name]] in wanted for name, wanted in filters.items())]
        return self._page(body, "Images", found)

    def _CreateVms(self, body: Body) -> Body:  # noqa: N802
        for vm in self.vms.values():
            if body.get("ClientToken") and vm["ClientToken"] == body["ClientToken"]:
                return {"Vms": [vm]}
        if body["ImageId"] != IMAGE:
            raise RefusalError("InvalidResource", "5023", "no-such-image")
        if body.get("VmType", SIZES[0]) not in SIZES:
            raise RefusalError("InvalidParameterValue", "4050", "invalid-vm-type")
        if body.get("KeypairName", next(iter(self.keys), "")) not in {"", *self.keys}:
            raise RefusalError("InvalidResource", "5027", "no-such-key")
        name = f"i-{next(self._ids):08x}"
        disk = self._volume(10)
        given = body["BlockDeviceMappings"][0]["Bsu"]
        link = {"DeviceName": "/dev/sda1", "State": "attached", "VmId": name, "VolumeId": disk["VolumeId"]}
        disk |= {"LinkedVolumes": [link | {"DeleteOnVmDeletion": given["DeleteOnVmDeletion"]}], "State": "in-use"}
        bsu = {"VolumeId": disk["VolumeId"], "DeleteOnVmDeletion": given["DeleteOnVmDeletion"], "State": "attached"}
        vm = {
            "VmId": name,
            "State": "pending" if body.get("BootOnCreation", True) else "stopped",
            "VmType": body.get("VmType", SIZES[0]),
            "ImageId": body["ImageId"],
            "ClientToken": body.get("ClientToken", ""),
            "UserData": body.get("UserData", ""),
            "KeypairName": body.get("KeypairName", ""),
            "DeletionProtection": body.get("DeletionProtection", False),
            "CreationDate": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "PrivateIp": "10.0.0.1",
            "Tags": [],
            "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Bsu": bsu}],
        }
        self.vms[name] = vm
        return {"Vms": [vm]}

    def _ReadVms(self, body: Body) -> Body:  # noqa: N802
        filters = body.get("Filters", {})
        keys = {"VmIds": "VmId", "ClientTokens": "ClientToken"}
        found = [vm for vm in self.vms.values() if all(vm[keys[name]] in wanted for name, wanted in filters.items())]
        answer = json.loads(json.dumps(self._page(body, "Vms", found)))
        for vm in found:
            vm["State"] = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}.get(
                vm["State"], vm["State"]
            )
        return dict(answer)

    def _UpdateVm(self, body: Body) -> Body:  # noqa: N802
        found = self.vms[body["VmId"]]
        if found["State"] != "stopped":
            raise RefusalError("InvalidState", "6006", "invalid-vm-state")
        found["UserData"] = body["UserData"]
        return {"Vm": found}

    def _ReadVmsState(self, body: Body) -> Body:  # noqa: N802
        told = [{"VmId": name, "VmState": vm["State"]} for name, vm in self.vms.items()]
        running = [one for one in told if body.get("AllVms") or one["VmState"] == "running"]
        return self._page(body, "VmStates", running)

    def _change(self, body: Body, states: Mapping[str, str]) -> Body:
        """Change the state of all machines, or of none."""
        changed: list[Body] = []
        for name in body["VmIds"]:
            if self.vms.get(name, {"State": "terminated"})["State"] == "terminated":
                raise RefusalError("InvalidResource", "5063", "no-such-vm")
            if self.vms[name]["State"] not in states:
                raise RefusalError("InvalidState", "6006", "invalid-vm-state")
        for name in body["VmIds"]:
            before, after = self.vms[name]["State"], states[self.vms[name]["State"]]
            self.vms[name]["State"] = after
            changed.append({"VmId": name, "PreviousState": before, "CurrentState": after})
        return {"Vms": changed}

    def _StartVms(self, body: Body) -> Body:  # noqa: N802
        return self._change(body, {"stopped": "pending", "running": "running", "pending": "pending"})

    def _StopVms(self, body: Body) -> Body:  # noqa: N802
        return self._change(body, {"running": "stopping", "stopped": "stopped", "stopping": "stopping"})

    def _RebootVms(self, body: Body) -> Body:  # noqa: N802
        self._change(body, {"running": "running"})
        return {}

    def _DeleteVms(self, body: Body) -> Body:  # noqa: N802
        if any(self.vms[name]["DeletionProtection"] for name in body["VmIds"] if name in self.vms):
            raise RefusalError("OperationNotSupported", "8018", "the machine is protected against deletion")
        living = ("pending", "running", "stopping", "stopped", "shutting-down")
        answer = self._change(body, dict.fromkeys(living, "shutting-down"))
        for name in body["VmIds"]:
            for volume in list(self.volumes.values()):
                links = [link for link in volume["LinkedVolumes"] if link["VmId"] == name]
                if any(link["DeleteOnVmDeletion"] for link in links):
                    del self.volumes[volume["VolumeId"]]
                elif links:
                    volume |= {"LinkedVolumes": [], "State": "available"}
        return answer

    def _CreateTags(self, body: Body) -> Body:  # noqa: N802
        for name in body["ResourceIds"]:
            found = self.vms.get(name) or self.volumes.get(name)
            if found is None:
                raise RefusalError("InvalidResource", "5057", "no-such-resource")
            new = {tag["Key"] for tag in body["Tags"]}
            found["Tags"] = [tag for tag in found["Tags"] if tag["Key"] not in new] + body["Tags"]
        return {}

    def _volume(self, size: int) -> Body:
        name = f"vol-{next(self._ids):08x}"
        self.volumes[name] = {
            "VolumeId": name,
            "Size": size,
            "State": "creating",
            "SubregionName": ZONE,
            "LinkedVolumes": [],
            "Tags": [],
        }
        return self.volumes[name]

    def _CreateVolume(self, body: Body) -> Body:  # noqa: N802
        if body["SubregionName"] != ZONE:
            raise RefusalError("InvalidResource", "5009", "no-such-az")
        return {"Volume": self._volume(body["Size"])}

    def _ReadVolumes(self, body: Body) -> Body:  # noqa: N802
        wanted = body.get("Filters", {}).get("VolumeIds")
        found = [one for name, one in self.volumes.items() if wanted is None or name in wanted]
        answer = json.loads(json.dumps(self._page(body, "Volumes", found)))
        for one in found:
            one["State"] = "available" if one["State"] == "creating" else one["State"]
            for link in one["LinkedVolumes"]:
                link["State"] = "attached"
        return dict(answer)

    def _found(self, name: str) -> Body:
        if name not in self.volumes:
            raise RefusalError("InvalidResource", "5064", "no-such-volume")
        return self.volumes[name]

    def _LinkVolume(self, body: Body) -> Body:  # noqa: N802
        volume = self._found(body["VolumeId"])
        if body["VmId"] not in self.vms:
            raise RefusalError("InvalidResource", "5063", "no-such-vm")
        if volume["State"] != "available":
            raise RefusalError("InvalidState", "6007", "invalid-volume-state")
        link = {name: body[name] for name in ("VolumeId", "VmId", "DeviceName")}
        volume |= {"LinkedVolumes": [link | {"State": "attaching", "DeleteOnVmDeletion": False}], "State": "in-use"}
        return {}

    def _UnlinkVolume(self, body: Body) -> Body:  # noqa: N802
        volume = self._found(body["VolumeId"])
        if not volume["LinkedVolumes"]:
            raise RefusalError("ResourceConflict", "9063", "volume-not-in-use")
        volume |= {"LinkedVolumes": [], "State": "available"}
        return {}

    def _DeleteVolume(self, body: Body) -> Body:  # noqa: N802
        if self._found(body["VolumeId"])["LinkedVolumes"]:
            raise RefusalError("InvalidState", "6007", "invalid-volume-state")
        del self.volumes[body["VolumeId"]]
        return {}

    def _CreateKeypair(self, body: Body) -> Body:  # noqa: N802
        if body["KeypairName"] in self.keys:
            raise RefusalError("ResourceConflict", "9011", "key-exists")
        made = {"KeypairName": body["KeypairName"], "KeypairId": f"key-{next(self._ids):08x}"}
        self.keys[body["KeypairName"]] = made
        return {"Keypair": made if body.get("PublicKey") else made | {"PrivateKey": "made here"}}

    def _ReadKeypairs(self, body: Body) -> Body:  # noqa: N802
        return self._page(body, "Keypairs", list(self.keys.values()))

    def _DeleteKeypair(self, body: Body) -> Body:  # noqa: N802
        if self.keys.pop(body["KeypairName"], None) is None:
            raise RefusalError("InvalidResource", "5027", "no-such-key")
        return {}

    def _ReadSecurityGroups(self, body: Body) -> Body:  # noqa: N802
        group = {"SecurityGroupId": "sg-00000001", "SecurityGroupName": "default", "AccountId": ACCOUNT}
        wanted = body.get("Filters", {}).get("SecurityGroupNames", ["default"])
        return self._page(body, "SecurityGroups", [group] if "default" in wanted else [])


def _handler(service: OutscaleService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            """Answer one request."""
            raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, said = 200, {}
            try:
                said = service.handle(self.path, headers, raw)
            except RefusalError as refused:
                status, said = refused.status, refused.body
            body = json.dumps(said).encode()
            self.send_response_only(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Print nothing."""

    return Handler
