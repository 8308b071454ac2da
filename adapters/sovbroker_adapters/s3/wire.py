"""HTTP to one host over connections that are kept: what the SDK's own transport does for these few requests, and less.

No redirect is followed, no proxy asked, nothing is decoded, and nothing is sent again.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterable, Mapping
from http.client import HTTPResponse
from typing import Final, Self
from urllib.parse import urlsplit

from sovbroker.errors import InvalidArgument
from sovbroker.ports import patience
from sovbroker_adapters.peers import check_peer
from sovbroker_adapters.tls import trust

__all__ = ["Body", "Wire"]

PORTS: Final = {"https": 443, "http": 80}
TOGETHER: Final = 64 << 10
"""Bodies of up to this length travel with their head: one packet less, and one call of the system."""

EVERY: Final = "accept-encoding: identity\r\nuser-agent: sovbroker\r\n"


class Body:
    """The body of an answer. Its connection is kept when all of it was read, and closed otherwise."""

    def __init__(self, wire: Wire, connection: socket.socket, answer: HTTPResponse) -> None:
        self._wire = wire
        self._connection: socket.socket | None = connection
        self._answer = answer
        if answer.length == 0:
            self.read(0)

    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes; fewer, or none, at the end or where the answer breaks off."""
        data = self._answer.read(size)
        if self._connection is not None and self._answer.isclosed():
            whole = not self._answer.length and not self._answer.will_close
            connection, self._connection = self._connection, None
            self._wire.keep(connection, reusable=whole)
        return data

    def close(self) -> None:
        """Close the answer. May be called twice."""
        connection, self._connection = self._connection, None
        self._answer.close()
        if connection is not None:
            connection.close()


class Wire:
    """The connections to one host, at most `most` of them kept. Safe for threads; belongs to one process.

    `host` is its name as a request says it. Timeouts are in seconds. Who answers is looked at before anything is sent.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float,
        read_timeout: float,
        certificates: str | None,
        most: int,
        target: str,
    ) -> None:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        named = f"[{host}]" if ":" in host else host
        self.host = named if port == PORTS[parts.scheme] else f"{named}:{port}"
        self._address = (host, port)
        self._timeouts = (connect_timeout, read_timeout)
        self._most = most
        self._target = target
        self._kept: list[socket.socket] = []
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._context = trust(certificates, target=target)
            self._context.set_alpn_protocols(["http/1.1"])

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: sockets do not travel."""
        raise TypeError("connections cannot be pickled")

    def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: Iterable[bytes | memoryview], *, size: int
    ) -> tuple[HTTPResponse, Body]:
        """Send a request and return the head of its answer, with the body still to be read.

        Raises OSError or HTTPException when there is no answer, PermissionDenied where nobody is that may be asked,
        InvalidArgument for what cannot stand in a head, and what `body` raises.
        """
        head = _head(method, target, headers)
        connection = self._connection()
        answer: HTTPResponse | None = None
        try:
            # A kept connection has the time limit of whoever had it before.
            connection.settimeout(patience().left(self._timeouts[1]))
            heard = self._send(connection, head, body, size=size)
            answer = HTTPResponse(connection, method=method)
            answer.begin()
            if not heard:
                # The server has answered before it heard all of it: what is left of the request is not sent any more.
                answer.will_close = True
            return answer, Body(self, connection, answer)
        except BaseException:
            if answer is not None:
                answer.close()
            connection.close()
            raise

    def _send(self, connection: socket.socket, head: bytes, body: Iterable[bytes | memoryview], *, size: int) -> bool:
        """Send a request; whether the server took all of it."""
        if size <= TOGETHER:
            head, body = b"".join((head, *body)), ()
        try:
            connection.sendall(head)
            for block in body:
                connection.sendall(block)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _connection(self) -> socket.socket:
        """Return a connection that the server has not closed, as far as is known here."""
        while True:
            with self._lock:
                kept = self._kept.pop() if self._kept else None
            if kept is None:
                return self._connected()
            if not _stirs(kept):
                return kept
            kept.close()

    def _connected(self) -> socket.socket:
        connection = socket.create_connection(self._address, timeout=patience().left(self._timeouts[0]))
        try:
            check_peer(connection.getpeername()[0], self._address[0], target=self._target)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_hostname=self._address[0])
        except BaseException:
            connection.close()
            raise
        return connection

    def keep(self, connection: socket.socket, *, reusable: bool) -> None:
        """Take a connection back."""
        with self._lock:
            if reusable and len(self._kept) < self._most:
                self._kept.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what is kept."""
        with self._lock:
            kept, self._kept = self._kept, []
        for connection in kept:
            connection.close()

    def __enter__(self) -> Self:
        """Return the wire itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items()), EVERY]
    text = "".join(lines)
    # A value that holds an end of line would be a header of its own.
    if text.count("\n") != len(lines) + EVERY.count("\n") - 1 or text.count("\r") != text.count("\n"):
        raise InvalidArgument("a header holds an end of line; look at the credentials and metadata")
    return f"{text}\r\n".encode("latin-1")


def _stirs(connection: socket.socket) -> bool:
    """Whether an idle connection has something to say: it was closed, or is out of step."""
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    return bool(waiting.poll(0))
