"""A small service that speaks as much of OVHcloud's API as the account plane and machines need, in this process.

It keeps users, keys and machines in memory and verifies the signature and the time of every call::

    with OvhService() as service:
        accounts = build(service.binding())
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from sovbroker.ports import Binding, Credentials
from sovbroker.testing.ovhmachines import REGION, Machines, RefusalError

__all__ = ["PROJECT", "OvhService"]

PROJECT: Final = "0123456789abcdef0123456789abcdef"
"""The id of the one project that there is."""

ROOT: Final = "/1.0"
DRIFT: Final = 60
SECRETS: Final[Mapping[str, str]] = {
    "application_key": "appkey",
    "application_secret": "app-secret-of-the-test",
    "consumer_key": "consumer-key-of-the-test",
}
Found = tuple[int, object]


@dataclass(slots=True)
class State:
    """What the service knows. `ahead` is its clock's advance in seconds; `slow` how often a new user is not ready."""

    ahead: int = 0
    slow: int = 1
    expired: bool = False
    users: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    keys: dict[int, dict[str, str]] = field(default_factory=dict[int, dict[str, str]])
    waiting: dict[int, int] = field(default_factory=dict[int, int])
    regions: dict[str, list[str] | None] = field(
        default_factory=lambda: {"GRA": ["patients", "archive"], "SBG5": None, "DE": []}
    )


class OvhService:
    """The service, from `with` to its end, on a free port of 127.0.0.1.

    `answer` replaces what it answers: it is called with method and path, and returns (status, body, headers), or None.
    """

    def __init__(self) -> None:
        self.state = State()
        self.machines = Machines()
        self.calls: list[tuple[str, str]] = []
        self.answer: Callable[[str, str], tuple[int, bytes, Mapping[str, str]] | None] = lambda _method, _path: None
        self._lock = threading.Lock()
        self._ids = count(1001)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.url = f"http://{self.host}{ROOT}"

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def binding(
        self, *, secrets: Mapping[str, str] = SECRETS, settings: Mapping[str, str | int | bool] | None = None
    ) -> Binding:
        """Return what the account plane needs to open the project here."""
        return Binding(
            target="ovhcloud",
            container=PROJECT,
            region=REGION,
            endpoint=self.url,
            hosts=frozenset({self.host}),
            credentials=Credentials(secrets),
            settings=settings or {},
        )

    def add_user(self, description: str) -> tuple[str, str]:
        """Make a user who is ready, with one pair of keys; return the user's id and the access key."""
        with self._lock:
            number = self._make_user(description)
            self.state.users[number]["status"] = "ok"
            return str(number), str(self._make_key(number)["access"])

    def works(self, access_key: str, secret_key: str) -> bool:
        """Whether a pair of keys opens the storage. It is asked over the network, so that a child may ask, too."""
        connection = HTTPConnection(self.host, timeout=DRIFT)
        try:
            connection.request("GET", f"/storage/{access_key}/{secret_key}")
            return connection.getresponse().status == HTTPStatus.OK
        finally:
            connection.close()

    def handle(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Found:
        """Answer one request."""
        path = urlsplit(url).path.removeprefix(ROOT)
        with self._lock:
            if path.startswith("/storage/"):
                _, _, access, secret = path.split("/")
                known = any(pairs.get(access) == secret for pairs in self.state.keys.values())
                return (200 if known else 403), None
            self.calls.append((method, path))
            if path == "/auth/time":
                return 200, int(time.time()) + self.state.ahead
            self._check(method, url, headers, body)
            parts = [unquote(part) for part in path.split("/")[1:]]
            if parts[:2] != ["cloud", "project"] or parts[2:3] != [PROJECT]:
                raise RefusalError(404, "NOT_FOUND", "This service does not exist")
            given = json.loads(body) if body else None
            if self.machines.speaks_of(parts[3:]):
                return 200, self.machines.handle(method, parts[3:], dict(parse_qsl(urlsplit(url).query)), given)
            return self._of_project(method, parts[3:], given)

    def _check(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        if headers.get("x-ovh-application") != SECRETS["application_key"]:
            raise RefusalError(403, "INVALID_KEY", "This application key is invalid")
        if headers.get("x-ovh-consumer") != SECRETS["consumer_key"]:
            raise RefusalError(403, "NOT_CREDENTIAL", "This credential does not exist")
        stamp = headers.get("x-ovh-timestamp", "0")
        asked = f"http://{self.host}{url}"
        signed = "+".join([SECRETS["application_secret"], SECRETS["consumer_key"], method, asked, body.decode(), stamp])
        expected = "$1$" + hashlib.sha1(signed.encode(), usedforsecurity=False).hexdigest()
        if not hmac.compare_digest(expected, headers.get("x-ovh-signature", "")):
            raise RefusalError(400, "INVALID_SIGNATURE", "Invalid signature")
        if abs(int(stamp) - int(time.time()) - self.state.ahead) > DRIFT:
            raise RefusalError(400, "QUERY_TIME_OUT", "Query out of time")
        if self.state.expired:
            raise RefusalError(403, "INVALID_CREDENTIAL", "This credential is not valid")

    def _of_project(self, method: str, parts: list[str], body: Any) -> Found:  # noqa: ANN401 - what JSON holds
        match method, parts:
            case "GET", ["region"]:
                return 200, list(self.state.regions)
            case "GET", ["region", name] if name in self.state.regions:
                s3 = self.state.regions[name] is not None
                services = [{"name": "instance", "status": "UP"}]
                services += [{"name": "storage-s3-standard", "status": "UP"}] if s3 else []
                return 200, {"name": name, "status": "UP", "services": services}
            case "GET", ["region", name, "storage"] if self.state.regions.get(name) is not None:
                return 200, [{"name": each, "region": name} for each in self.state.regions[name] or ()]
            case "GET", ["user"]:
                return 200, list(self.state.users.values())
            case "POST", ["user"]:
                if body["roles"] != ["objectstore_operator"]:
                    raise RefusalError(400, "BAD", "unknown role")
                return 200, self.state.users[self._make_user(body["description"])]
            case _, ["user", number, *rest] if re.fullmatch(r"\d+", number) and int(number) in self.state.users:
                return self._of_user(method, int(number), rest)
            case _:
                raise RefusalError(404, "NOT_FOUND", "Got an invalid (or empty) URL")

    def _of_user(self, method: str, number: int, parts: list[str]) -> Found:
        user, pairs = self.state.users[number], self.state.keys[number]
        match method, parts:
            case "GET", []:
                self.state.waiting[number] -= 1
                if self.state.waiting[number] <= 0 and user["status"] == "creating":
                    user["status"] = "ok"
                return 200, user
            case "GET", ["s3Credentials"]:
                return 200, [{"access": access, "userId": number, "tenantId": "t"} for access in pairs]
            case "POST", ["s3Credentials"] if user["status"] == "ok":
                return 200, self._make_key(number)
            case "DELETE", ["s3Credentials", access] if access in pairs:
                del pairs[access]
                return 200, None
            case _:
                raise RefusalError(404, "NOT_FOUND", "Object not found")

    def _make_user(self, description: str) -> int:
        number = next(self._ids)
        self.state.users[number] = {
            "id": number,
            "username": f"user-{number}",
            "description": description,
            "status": "creating",
            "roles": [{"name": "objectstore_operator"}],
        }
        self.state.keys[number] = {}
        self.state.waiting[number] = self.state.slow
        return number

    def _make_key(self, number: int) -> dict[str, object]:
        made = next(self._ids)
        access, secret = f"{made:032x}", hashlib.md5(b"%d" % made, usedforsecurity=False).hexdigest()
        self.state.keys[number][access] = secret
        return {"access": access, "secret": secret, "userId": str(number), "tenantId": "t"}


def _handler(service: OvhService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def respond(self) -> None:
            """Answer one request."""
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            scripted = service.answer(self.command, urlsplit(self.path).path.removeprefix(ROOT))
            if scripted is not None:
                self.say(*scripted)
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                status, said = service.handle(self.command, self.path, headers, body)
            except RefusalError as refused:
                status, said = refused.status, {"errorCode": refused.code, "message": str(refused)}
            self.say(status, json.dumps(said).encode(), {"Content-Type": "application/json"})

        def say(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            """Send an answer."""
            self.send_response_only(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = respond  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Print nothing."""

    return Handler
