"""A service on this machine that speaks the part of OVHcloud's KMS interface that is used here, for tests.

It checks client certificates, keeps keys with their states, and binds each ciphertext to its key and context. What it
proves is what is sent, by whom, and what comes of each answer; not that OVHcloud's own service behaves so.
"""

from __future__ import annotations

import json
import re
import secrets
import ssl
import threading
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, cast

__all__ = ["OkmsServer", "fake_okms"]

PATH: Final = re.compile(r"/api/([^/]+)/v1/servicekey/([^/]+)/(encrypt|decrypt)")
Answer = tuple[int, dict[str, str]]


@dataclass(slots=True)
class OkmsServer:
    """The running service: `url` is its root, `domain` its id; `silent` lets it take requests and not answer.

    `gone` lets it hang up on every request, and `pause` is how many seconds it takes for each.
    """

    url: str
    domain: str
    states: dict[str, str] = field(default_factory=dict[str, str])
    silent: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
    pause: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)
    _held: dict[str, tuple[str, str, str]] = field(default_factory=dict[str, tuple[str, str, str]], repr=False)

    @property
    def host(self) -> str:
        """`host:port`, as `KeyBinding.hosts` takes it."""
        return self.url.removeprefix("https://")

    def make_key(self) -> str:
        """Make a service key, and return it as a binding names it."""
        key = str(uuid.uuid4())
        self.states[key] = "active"
        return f"{self.domain}/{key}"

    def become(self, key: str, state: str) -> None:
        """Give a key the state `active`, `deactivated` or `destroyed`."""
        self.states[key.split("/")[1]] = state

    def answer(self, path: str, body: dict[str, object]) -> Answer:
        """Answer a request."""
        found = PATH.fullmatch(path)
        if found is None or found[1] != self.domain or self.states.get(found[2], "destroyed") == "destroyed":
            return 404, {"error_code": "NOT_FOUND", "error_msg": "no such service key"}
        if self.states[found[2]] != "active":
            return 400, {"error_code": "BAD_STATE", "error_msg": "the key's state does not allow this"}
        context = str(body.get("context", ""))
        if found[3] == "encrypt":
            name = secrets.token_urlsafe(48)
            self._held[name] = (found[2], context, str(body["plaintext"]))
            return 200, {"ciphertext": name}
        key, bound, plain = self._held.get(str(body.get("ciphertext")), ("", "", ""))
        if (key, bound) != (found[2], context):
            return 400, {"error_code": "DECRYPT", "error_msg": "invalid ciphertext"}
        return 200, {"plaintext": plain}


@contextmanager
def fake_okms(*, certificate: Path, key: Path, clients: Path) -> Generator[OkmsServer]:
    """Run the service with its own certificate; only clients whose certificate `clients` has issued may speak to it."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(certificate, key)
    trust.load_verify_locations(clients)
    trust.verify_mode = ssl.CERT_REQUIRED
    listener = WithServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    listener.socket = trust.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    server = OkmsServer(f"https://127.0.0.1:{listener.server_port}", str(uuid.uuid4()))
    listener.okms = server
    thread = threading.Thread(target=listener.serve_forever, name="sovbroker-okms", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


class WithServer(ThreadingHTTPServer):
    """A listener that knows its service."""

    okms: OkmsServer
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer."""
        server = cast("WithServer", self.server).okms
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
        if server.silent.is_set():
            server.over.wait(60)
            return
        if server.gone.is_set():
            self.close_connection = True
            return
        server.over.wait(server.pause)
        status, told = server.answer(self.path, body)
        data = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own word
        """Say nothing: a test looks at its own answers."""
