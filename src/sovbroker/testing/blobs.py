"""A small service that speaks as much of Azure's blob protocol as the `azure` adapter does, in this process.

It keeps everything in memory, asks for credentials and does not check them; Azurite does (`sovbroker.testing.azurite`).
Put a `ChaosProxy` in front of it for faults::

    with BlobService() as service:
        service.server.create_container("box")
        store = build(service.server.binding("box"))
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Final, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from sovbroker.testing.azurite import BlobServer

__all__ = ["BlobService"]

LISTED: Final = re.compile(r"<Latest>([^<]*)</Latest>")
META: Final = "x-ms-meta-"
UNTIL: Final = "x-ms-immutability-policy-until-date"
MODE: Final = "x-ms-immutability-policy-mode"
NOTHING: Final[Mapping[str, str]] = {}
FORBIDDEN, MISSING, CONFLICT, FAILED, RANGE = 403, 404, 409, 412, 416
_versions = count(1)


@dataclass(slots=True)
class Blob:
    """What one name holds: a body once there is one, and blocks that are not joined yet."""

    body: bytes | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    etag: str = ""
    joined: dict[str, bytes] = field(default_factory=dict[str, bytes])
    loose: dict[str, bytes] = field(default_factory=dict[str, bytes])
    until: str = ""

    @property
    def held(self) -> bool:
        """Whether its immutability policy is in force."""
        return bool(self.until) and parsedate_to_datetime(self.until) > datetime.now(UTC)

    def write(self, body: bytes, metadata: Mapping[str, str], joined: dict[str, bytes] | None = None) -> None:
        """Replace the body; blocks that are not part of it are gone."""
        self.body, self.metadata, self.etag = body, metadata, f'"0x{next(_versions):X}"'
        self.joined, self.loose = joined or {}, {}


class RefusalError(Exception):
    """The service says no."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    """One request, taken apart; the names of headers are in lower case."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def container(self) -> str:
        """The container's name."""
        return unquote(self.path.split("/", 3)[2])

    @property
    def name(self) -> str:
        """The blob's name; "" when the container is meant."""
        return unquote(([*self.path.split("/", 3), ""])[3])

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the headers say."""
        return {name.removeprefix(META): value for name, value in self.headers.items() if name.startswith(META)}


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


class BlobService:
    """The service, from `with` to its end, on a free port of 127.0.0.1. `server` says how to reach it.

    With `locks`, its containers have version-level immutability; versions are not kept.
    """

    def __init__(self, *, locks: bool = False) -> None:
        self._locks = locks
        self._containers: dict[str, dict[str, Blob]] = {}
        self._lock = threading.Lock()
        self._http = Http(("127.0.0.1", 0), _handler(self._answer))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.server = BlobServer(f"http://127.0.0.1:{self._http.server_port}", os.getpid())

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _answer(self, method: str, request: Request) -> Answer:
        if "authorization" not in request.headers and "sig" not in request.query:
            raise RefusalError(FORBIDDEN, "NoAuthenticationInformation")
        with self._lock:
            if not request.name:
                return self._of_container(method, request)
            blobs = self._blobs(request)
            call = {"PUT": self._put, "GET": self._get, "HEAD": self._get, "DELETE": self._delete}[method]
            return call(request, blobs)

    def _blobs(self, request: Request) -> dict[str, Blob]:
        if request.container not in self._containers:
            raise RefusalError(MISSING, "ContainerNotFound")
        return self._containers[request.container]

    def _of_container(self, method: str, request: Request) -> Answer:
        if method == "PUT":
            if request.container in self._containers:
                raise RefusalError(CONFLICT, "ContainerAlreadyExists")
            self._containers[request.container] = {}
            return Answer(201, {"ETag": '"0x1"'})
        blobs = self._blobs(request)
        if request.query.get("comp") == "list":
            return Answer(200, {"Content-Type": "application/xml"}, _listing(request, blobs))
        told = {"x-ms-immutable-storage-with-versioning-enabled": str(self._locks).lower()}
        return Answer(200, {"ETag": '"0x1"', "Last-Modified": formatdate(usegmt=True), **told})

    def _put(self, request: Request, blobs: dict[str, Blob]) -> Answer:
        kind, body = request.query.get("comp"), request.body
        if kind == "immutabilityPolicies":
            return self._hold(request, blobs)
        if kind == "metadata":
            return self._set_metadata(request, blobs)
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        if request.headers.get("content-md5", digest) != digest:
            raise RefusalError(400, "Md5Mismatch")
        blob = blobs.get(request.name)
        if request.headers.get("if-none-match") == "*" and blob is not None and blob.body is not None:
            raise RefusalError(CONFLICT, "BlobAlreadyExists")
        metadata = request.metadata
        copied = "x-ms-copy-source" in request.headers
        if copied:
            source, body = self._source(request)
            metadata = metadata or source.metadata
        if kind == "blocklist":
            return self._join(request, blobs)
        blob = blobs.setdefault(request.name, Blob())
        if kind == "block":
            if not body:
                raise RefusalError(400, "InvalidHeaderValue")
            blob.loose[request.query["blockid"]] = body
            return Answer(201, {"Content-MD5": digest})
        blob.write(body, metadata)
        if copied:
            return Answer(202, {"ETag": blob.etag, "x-ms-copy-status": "success", "x-ms-copy-id": "1"})
        return Answer(201, {"ETag": blob.etag, "Content-MD5": digest})

    def _set_metadata(self, request: Request, blobs: dict[str, Blob]) -> Answer:
        blob = blobs.get(request.name)
        if blob is None or blob.body is None:
            raise RefusalError(MISSING, "BlobNotFound")
        if blob.held:
            raise RefusalError(CONFLICT, "BlobImmutableDueToPolicy")
        if request.headers.get("if-match", blob.etag) != blob.etag:
            raise RefusalError(FAILED, "ConditionNotMet")
        blob.metadata, blob.etag = request.metadata, f'"0x{next(_versions):X}"'
        return Answer(200, {"ETag": blob.etag, "Last-Modified": formatdate(usegmt=True)})

    def _hold(self, request: Request, blobs: dict[str, Blob]) -> Answer:
        blob = blobs.get(request.name)
        if blob is None or blob.body is None:
            raise RefusalError(MISSING, "BlobNotFound")
        if not self._locks:
            raise RefusalError(CONFLICT, "FeatureNotSupportedForAccount")
        until = request.headers[UNTIL]
        if blob.held and parsedate_to_datetime(until) < parsedate_to_datetime(blob.until):
            raise RefusalError(CONFLICT, "BlobImmutableDueToPolicy")
        blob.until = until
        return Answer(200, {UNTIL: until, MODE: request.headers[MODE].lower()})

    def _source(self, request: Request) -> tuple[Blob, bytes]:
        url = urlsplit(request.headers["x-ms-copy-source"])
        source = Request(url.path, NOTHING, NOTHING, b"")
        blob = self._blobs(source).get(source.name)
        if blob is None or blob.body is None or "sig=" not in url.query:
            raise RefusalError(MISSING, "CannotVerifyCopySource")
        if request.headers.get("x-ms-source-if-match", blob.etag) != blob.etag:
            raise RefusalError(FAILED, "SourceConditionNotMet")
        first, last = _span(request.headers.get("x-ms-source-range"), len(blob.body))
        return blob, blob.body[first : last + 1]

    def _join(self, request: Request, blobs: dict[str, Blob]) -> Answer:
        named = LISTED.findall(request.body.decode())
        blob = blobs.get(request.name, Blob())
        held = blob.joined | blob.loose
        if any(name not in held for name in named):
            raise RefusalError(400, "InvalidBlockList")
        joined = {name: held[name] for name in named}
        blob.write(b"".join(joined.values()), request.metadata, joined)
        blobs[request.name] = blob
        return Answer(201, {"ETag": blob.etag})

    def _get(self, request: Request, blobs: dict[str, Blob]) -> Answer:
        blob = blobs.get(request.name)
        if blob is not None and request.query.get("comp") == "blocklist":
            return Answer(200, {"Content-Type": "application/xml"}, _block_list(request, blob))
        if blob is None or blob.body is None:
            raise RefusalError(MISSING, "BlobNotFound")
        headers = {META + name: value for name, value in blob.metadata.items()}
        headers |= {"ETag": blob.etag, "Last-Modified": formatdate(usegmt=True), "x-ms-blob-type": "BlockBlob"}
        headers |= {UNTIL: blob.until, MODE: "locked"} if blob.until else {}
        asked = request.headers.get("x-ms-range", request.headers.get("range"))
        if asked is None:
            return Answer(200, headers, blob.body)
        first, last = _span(asked, len(blob.body))
        headers["Content-Range"] = f"bytes {first}-{last}/{len(blob.body)}"
        return Answer(206, headers, blob.body[first : last + 1])

    def _delete(self, request: Request, blobs: dict[str, Blob]) -> Answer:
        blob = blobs.get(request.name)
        if blob is None or blob.body is None:
            raise RefusalError(MISSING, "BlobNotFound")
        if blob.held:
            raise RefusalError(CONFLICT, "BlobImmutableDueToPolicy")
        del blobs[request.name]
        return Answer(202)


def _span(asked: str | None, size: int) -> tuple[int, int]:
    if asked is None:
        return 0, size - 1
    first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
    if first >= size:
        raise RefusalError(RANGE, "InvalidRange")
    return first, min(last, size - 1)


def _listing(request: Request, blobs: Mapping[str, Blob]) -> bytes:
    query = request.query
    prefix, delimiter, most = query.get("prefix", ""), query.get("delimiter", ""), int(query.get("maxresults", "5000"))
    names: dict[str, str] = {}
    for name in sorted(name for name, blob in blobs.items() if blob.body is not None and name.startswith(prefix)):
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            names[name] = _entry(name, blobs[name])
        else:
            folded = name[: cut + len(delimiter)]
            names[folded] = f"<BlobPrefix><Name>{escape(folded)}</Name></BlobPrefix>"
    left = [name for name in names if name > query.get("marker", "")]
    marker = left[most - 1] if len(left) > most else ""
    listed = "".join(names[name] for name in left[:most])
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://127.0.0.1/" '
        f'ContainerName="{request.container}"><Prefix>{escape(prefix)}</Prefix><MaxResults>{most}</MaxResults>'
        f"<Blobs>{listed}</Blobs><NextMarker>{escape(marker)}</NextMarker></EnumerationResults>"
    )
    return text.encode()


def _entry(name: str, blob: Blob) -> str:
    metadata = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in blob.metadata.items())
    return (
        f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>{formatdate(usegmt=True)}</Last-Modified>"
        f"<Etag>{blob.etag}</Etag><Content-Length>{len(blob.body or b'')}</Content-Length>"
        f"<BlobType>BlockBlob</BlobType></Properties><Metadata>{metadata}</Metadata></Blob>"
    )


def _block_list(request: Request, blob: Blob) -> bytes:
    def listed(blocks: Mapping[str, bytes]) -> str:
        named = (f"<Block><Name>{name}</Name><Size>{len(body)}</Size></Block>" for name, body in blocks.items())
        return "".join(named)

    joined = "" if request.query.get("blocklisttype") == "uncommitted" else listed(blob.joined)
    text = (
        f"<BlockList><CommittedBlocks>{joined}</CommittedBlocks>"
        f"<UncommittedBlocks>{listed(blob.loose)}</UncommittedBlocks></BlockList>"
    )
    return f'<?xml version="1.0" encoding="utf-8"?>{text}'.encode()


def _handler(answer: Callable[[str, Request], Answer]) -> type[BaseHTTPRequestHandler]:
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
                said = answer(self.command, Request(url.path, query, asked, body))
            except RefusalError as refused:
                xml = f"<Error><Code>{refused.code}</Code><Message>no</Message></Error>"
                headers = {"x-ms-error-code": refused.code, "Content-Type": "application/xml"}
                said = Answer(refused.status, headers, xml.encode())
            self.send_response(said.status)
            always = {"Content-Length": str(len(said.body)), "x-ms-version": asked.get("x-ms-version", "2021-12-02")}
            for name, value in {**always, **said.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body)

        do_GET = do_PUT = do_HEAD = do_DELETE = respond  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Print nothing."""

    return Handler
