"""What AWS EC2 does and moto does not, in front of moto, in this process: it knows a launch again by its token.

::

    with moto() as server, Ec2Gateway(server.host) as gateway:
        compute = build(gateway.binding())

It also looks at how each launch is asked for: a token, one machine, and a metadata service that wants a session. And it
says that there is no room, as moto never does: with the status, the code and the words of `refuse`.
"""

from __future__ import annotations

import threading
from collections import Counter
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self
from urllib.parse import parse_qs

from sovbroker.ports import Binding, Credentials

__all__ = ["Ec2Gateway"]

WITHIN: Final = 60
REGION: Final = "eu-west-3"
NEEDED: Final = {"MinCount": "1", "MaxCount": "1", "MetadataOptions.HttpTokens": "required"}
ERROR: Final = (
    "<Response><Errors><Error><Code>{}</Code><Message>{}</Message></Error></Errors><RequestID>r</RequestID></Response>"
)
Answer = tuple[int, bytes]


class Ec2Gateway:
    """The gateway, from `with` to its end, on a free port of 127.0.0.1. `asked` counts calls by their action."""

    def __init__(self, upstream: str) -> None:
        self.asked: Counter[str] = Counter()
        self.refuse: tuple[int, str, str] | None = None
        self._upstream = upstream
        self._launches: dict[str, tuple[bytes, Answer]] = {}
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def binding(self, *, settings: dict[str, str | int | bool] | None = None) -> Binding:
        """Return what the adapter needs to open an account here."""
        return Binding(
            target="ec2",
            container="",
            endpoint=self.url,
            region=REGION,
            hosts=frozenset({self.host}),
            credentials=Credentials({"access_key": "AKIAEXAMPLE", "secret_key": "not-a-secret"}),
            settings=settings or {},
        )

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Answer one request."""
        given = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        with self._lock:
            self.asked[given["Action"]] += 1
            if given["Action"] != "RunInstances":
                return self._forward(path, headers, body)
            token = given.get("ClientToken", "")
            if not token or any(given.get(name) != value for name, value in NEEDED.items()):
                return 400, ERROR.format("MissingParameter", "as the service says").encode()
            if token not in self._launches:
                if self.refuse is not None:
                    status, code, words = self.refuse
                    return status, ERROR.format(code, words).encode()
                made = self._forward(path, headers, body)
                if made[0] != 200:  # noqa: PLR2004 - not made
                    return made
                self._launches[token] = (body, made)
            as_asked, made = self._launches[token]
            return (
                made
                if as_asked == body
                else (400, ERROR.format("IdempotentParameterMismatch", "it was another launch").encode())
            )

    def _forward(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = HTTPConnection(self._upstream, timeout=WITHIN)
        try:
            connection.request("POST", path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _handler(gateway: Ec2Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            """Answer one request."""
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, said = gateway.answer(self.path, dict(self.headers.items()), body)
            self.send_response_only(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Print nothing."""

    return Handler
