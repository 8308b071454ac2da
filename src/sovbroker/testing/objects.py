"""A small service that speaks as much of Swift and Keystone as the `swift` adapter does, in this process.

It keeps everything in memory, in one account, and checks passwords, tokens, digests and links. A real Swift is run by
`sovbroker.testing.swift`. Put a `ChaosProxy` in front of it for faults::

    with ObjectService() as service:
        service.server.create_container("box")
        store = build(service.server.binding("box"))

`expire` makes every token invalid, and `catalogue` is what Keystone says of where the storage is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from sovbroker.ports import Binding, Credentials
from sovbroker.testing.swift import SwiftServer

__all__ = ["APPLICATION", "PROJECT", "ObjectService"]

PROJECT: Final = "records"
"""The name of Keystone's project; its user's name and password are those of v1."""

APPLICATION: Final = ("application", "of the tester")
"""An application credential, id and secret."""

ACCOUNT: Final = "/v1/AUTH_test"
META: Final = "x-object-meta-"
LIFE: Final = timedelta(hours=1)
NOTHING: Final[Mapping[str, str]] = {}
SPAN: Final = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass(frozen=True, slots=True)
class Stored:
    """One object; `parts` are the names of its segments, where it has any."""

    body: bytes
    etag: str
    headers: Mapping[str, str]
    parts: tuple[Mapping[str, Any], ...] | None = None
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(slots=True)
class Container:
    """A container: its objects by name, and its own headers."""

    objects: dict[str, Stored] = field(default_factory=dict[str, Stored])
    headers: dict[str, str] = field(default_factory=dict[str, str])


class RefusalError(Exception):
    """The service says no."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request, taken apart; the names of headers are in lower case. `name` is empty where no object is meant."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def container(self) -> str:
        """The container's name."""
        return self.path.removeprefix(ACCOUNT).partition("/")[2].partition("/")[0]

    @property
    def name(self) -> str:
        """The object's name."""
        return self.path.removeprefix(ACCOUNT).partition("/")[2].partition("/")[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: int
    headers: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    body: bytes = b""


class Http(ThreadingHTTPServer):
    """The library's server, with room for many clients that connect at once."""

    daemon_threads = True
    request_queue_size = 128


class ObjectService:
    """The service, from `with` to its end, on a free port of 127.0.0.1. `server` says how to reach it."""

    def __init__(self, *, keeps: bool = True) -> None:
        """Be ready to start. `keeps`: connections stay open after an answer."""
        self.catalogue: list[dict[str, Any]] | None = None
        self._containers: dict[str, Container] = {}
        self._tokens: set[str] = set()
        self._lock = threading.Lock()
        self._http = Http(("127.0.0.1", 0), _handler(self._answer, keeps=keeps))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.server = SwiftServer(f"http://127.0.0.1:{self._http.server_port}", os.getpid(), Path(os.devnull))

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def expire(self) -> None:
        """Make every token that was given invalid."""
        with self._lock:
            self._tokens.clear()

    def names(self, container: str) -> list[str]:
        """Return the names of everything that a container holds."""
        with self._lock:
            return sorted(self._containers[container].objects)

    def keystone_binding(self, container: str, **credentials: str) -> Binding:
        """Return what the `swift` adapter needs to open `container` with a token of Keystone: by default the user's."""
        user = {"username": self.server.user, "password": self.server.key, "project_name": PROJECT}
        return Binding(
            target="test",
            container=container,
            endpoint=self.server.url,
            hosts=frozenset({self.server.host}),
            credentials=Credentials(credentials or user),
            settings={"authority": f"{self.server.url}/v3"},
        )

    def _answer(self, request: Request) -> Answer:
        host = request.headers["host"]
        with self._lock:
            if request.path == "/auth/v1.0":
                return self._of_v1(request, host)
            if request.path == "/v3/auth/tokens":
                return self._of_keystone(request, host)
            if not request.path.startswith(f"{ACCOUNT}/"):
                raise RefusalError(404)
            self._authorize(request)
            if not request.name:
                return self._of_container(request)
            objects = self._held(request.container).objects
            calls = {"PUT": self._put, "GET": self._get, "HEAD": self._get, "DELETE": self._delete, "POST": self._post}
            return calls[request.method](request, objects)

    def _issued(self) -> str:
        token = token_hex(16)
        self._tokens.add(token)
        return token

    def _of_v1(self, request: Request, host: str) -> Answer:
        shown = (request.headers.get("x-auth-user"), request.headers.get("x-auth-key"))
        if shown != (self.server.user, self.server.key):
            raise RefusalError(401)
        headers = {"X-Auth-Token": self._issued(), "X-Storage-Url": f"http://{host}{ACCOUNT}"}
        return Answer(200, headers | {"X-Auth-Token-Expires": str(int(LIFE.total_seconds()))})

    def _of_keystone(self, request: Request, host: str) -> Answer:
        match json.loads(request.body):
            case {
                "auth": {
                    "identity": {"methods": ["password"], "password": {"user": {"name": user, "password": key}}},
                    "scope": {"project": {"name": project}},
                }
            }:
                right = (user, key, project) == (self.server.user, self.server.key, PROJECT)
            case {
                "auth": {
                    "identity": {
                        "methods": ["application_credential"],
                        "application_credential": {"id": one, "secret": other},
                    }
                }
            }:
                right = (one, other) == APPLICATION
            case _:
                right = False
        if not right:
            raise RefusalError(401)
        now = datetime.now(UTC)
        endpoint = {"interface": "public", "region_id": "one", "url": f"http://{host}{ACCOUNT}"}
        catalogue = [{"type": "object-store", "endpoints": [endpoint]}] if self.catalogue is None else self.catalogue
        times = {"issued_at": now.isoformat(), "expires_at": (now + LIFE).isoformat()}
        said = json.dumps({"token": {"catalog": catalogue, **times}}).encode()
        return Answer(201, {"X-Subject-Token": self._issued(), "Content-Type": "application/json"}, said)

    def _authorize(self, request: Request) -> None:
        container = self._containers.get(request.container, Container())
        if request.headers.get("x-auth-token") in self._tokens:
            return
        key, signature = container.headers.get("x-container-meta-temp-url-key"), request.query.get("temp_url_sig", "")
        until = request.query.get("temp_url_expires", "0")
        signed = f"GET\n{until}\n{request.path}".encode()
        right = key is not None and hmac.compare_digest(signature, hmac.new(key.encode(), signed, "sha256").hexdigest())
        linked = request.method == "GET" and right and int(until) > time.time()
        if not linked and ".r:*" not in container.headers.get("x-container-read", ""):
            raise RefusalError(401)

    def _held(self, container: str) -> Container:
        if container not in self._containers:
            raise RefusalError(404)
        return self._containers[container]

    def _of_container(self, request: Request) -> Answer:
        if request.method == "PUT":
            made = self._containers.setdefault(request.container, Container())
            made.headers |= {name: value for name, value in request.headers.items() if name.startswith("x-")}
            return Answer(201)
        container = self._held(request.container)
        if request.method == "HEAD":
            told = {name: value for name, value in container.headers.items() if name != "x-auth-token"}
            return Answer(204, {**told, "X-Container-Object-Count": str(len(container.objects))})
        return Answer(200, {"Content-Type": "application/json"}, _listing(request.query, container.objects))

    def _put(self, request: Request, objects: dict[str, Stored]) -> Answer:
        if request.headers.get("if-none-match") == "*" and request.name in objects:
            raise RefusalError(412)
        headers = _metadata(request)
        body, parts = request.body, None
        if "x-copy-from" in request.headers:
            source = self._source(request)
            body, headers = source.body, {**source.headers, **headers}
        elif request.query.get("multipart-manifest") == "put":
            parts = self._parts(body)
            body = b"".join(self._segment(part).body for part in parts)
        etag = hashlib.md5(body if parts is None else "".join(part["hash"] for part in parts).encode()).hexdigest()  # noqa: S324
        if request.headers.get("etag", etag) != etag:
            raise RefusalError(422)
        objects[request.name] = Stored(body, etag, headers, parts)
        return Answer(201, {"Etag": etag if parts is None else f'"{etag}"'})

    def _post(self, request: Request, objects: dict[str, Stored]) -> Answer:
        found = objects.get(request.name)
        if found is None:
            raise RefusalError(404)
        objects[request.name] = replace(found, headers=_metadata(request), modified=datetime.now(UTC))
        return Answer(202)

    def _source(self, request: Request) -> Stored:
        container, _, name = unquote(request.headers["x-copy-from"]).strip("/").partition("/")
        source = self._held(container).objects.get(name)
        if source is None:
            raise RefusalError(404)
        if request.headers.get("if-match", source.etag).strip('"') != source.etag:
            raise RefusalError(412)
        return source

    def _parts(self, manifest: bytes) -> tuple[Mapping[str, Any], ...]:
        parts: list[Mapping[str, Any]] = []
        for entry in json.loads(manifest):
            part = {"name": entry["path"], "bytes": entry["size_bytes"], "hash": entry["etag"]}
            found = self._segment(part)
            if not found.body or (len(found.body), found.etag) != (part["bytes"], part["hash"]):
                raise RefusalError(400)
            parts.append(part)
        return tuple(parts)

    def _segment(self, part: Mapping[str, Any]) -> Stored:
        container, _, name = str(part["name"]).strip("/").partition("/")
        found = self._held(container).objects.get(name)
        if found is None:
            raise RefusalError(400)
        return found

    def _get(self, request: Request, objects: dict[str, Stored]) -> Answer:
        found = objects.get(request.name)
        if found is None:
            raise RefusalError(404)
        large = found.parts is not None
        if large and request.query.get("multipart-manifest") == "get":
            return Answer(200, {"Content-Type": "application/json"}, json.dumps(found.parts).encode())
        headers = {**found.headers, "Etag": f'"{found.etag}"' if large else found.etag}
        headers["Last-Modified"] = formatdate(found.modified.timestamp(), usegmt=True)
        if large:
            headers["X-Static-Large-Object"] = "True"
        span = SPAN.fullmatch(request.headers.get("range", ""))
        if span is None:
            return Answer(200, headers, found.body)
        first, last = int(span[1]), min(int(span[2]), len(found.body) - 1)
        if first >= len(found.body):
            raise RefusalError(416)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(found.body)}"
        return Answer(206, headers, found.body[first : last + 1])

    def _delete(self, request: Request, objects: dict[str, Stored]) -> Answer:
        found = objects.pop(request.name, None)
        if found is None:
            raise RefusalError(404)
        if request.query.get("multipart-manifest") != "delete":
            return Answer(204)
        for part in found.parts or ():
            container, _, name = str(part["name"]).strip("/").partition("/")
            self._held(container).objects.pop(name, None)
        said: Mapping[str, object] = {
            "Response Status": "200 OK",
            "Errors": [],
            "Number Deleted": 1 + len(found.parts or ()),
        }
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(said).encode())


def _metadata(request: Request) -> dict[str, str]:
    headers = {name: value for name, value in request.headers.items() if name.startswith(META)}
    if any(len(value) > 256 or len(name) - len(META) > 128 for name, value in headers.items()):  # noqa: PLR2004
        raise RefusalError(400)
    return headers


def _listing(query: Mapping[str, str], objects: Mapping[str, Stored]) -> bytes:
    prefix, delimiter, marker = (query.get(name, "") for name in ("prefix", "delimiter", "marker"))
    entries: list[Mapping[str, object]] = []
    # Swift compares bytes, and Python code points: these sort alike.
    for name in sorted(name for name in objects if name.startswith(prefix) and name > marker):
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        folded = name[: cut + len(delimiter)]
        if cut >= 0:
            if folded != marker and {"subdir": folded} not in entries[-1:]:
                entries.append({"subdir": folded})
        else:
            entries.append(_entry(name, objects[name]))
        if len(entries) > int(query["limit"]):
            break
    return json.dumps(entries[: int(query["limit"])]).encode()


def _entry(name: str, stored: Stored) -> Mapping[str, object]:
    moment = stored.modified.replace(tzinfo=None).isoformat()
    entry = {"name": name, "bytes": len(stored.body), "hash": stored.etag, "last_modified": moment}
    return entry if stored.parts is None else {**entry, "hash": "0" * 32, "slo_etag": f'"{stored.etag}"'}


def _handler(answer: Callable[[Request], Answer], *, keeps: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def respond(self) -> None:
            """Answer one request."""
            length = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(length)
            if len(body) < length:
                self.close_connection = True
                return
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            asked = {name.lower(): value for name, value in self.headers.items()}
            try:
                said = answer(Request(self.command, unquote(url.path), query, asked, body))
            except RefusalError as refused:
                said = Answer(refused.status, {"Content-Type": "text/html"}, b"<html><h1>No</h1></html>")
            self.send_response(said.status)
            for name, value in {"Content-Length": str(len(said.body)), **said.headers}.items():
                if said.status != 204 or name != "Content-Length":  # noqa: PLR2004 - it has no body
                    self.send_header(name, value)
            if not keeps:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = respond  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Print nothing."""

    return Handler
