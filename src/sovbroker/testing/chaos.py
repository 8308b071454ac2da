"""A proxy between a client and an HTTP server that breaks what it is told to break.

::

    with ChaosProxy(server.host) as proxy:
        store = build(… endpoint=proxy.url …)
        proxy.script(Status(503), None, Reset(after=100))     # the first, the second and the third request
        proxy.always(Latency(0.01))                           # all others

It holds whole requests and answers in memory, which is enough for tests.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Self, assert_never

from sovbroker.testing.background import Background

__all__ = [
    "Announce",
    "ChaosProxy",
    "Cut",
    "Duplicate",
    "Fault",
    "Flip",
    "Latency",
    "Reset",
    "Seen",
    "Side",
    "Stall",
    "Status",
    "Truncate",
]

END_OF_HEAD = b"\r\n\r\n"
NO_BODY = frozenset({204, 304})


class Side(Enum):
    """Which of the two messages of an exchange is meant."""

    REQUEST = "request"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Latency:
    """Wait `seconds` before the request is passed on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection after `after` bytes of the body; None: before the message's first byte."""

    after: int | None = None
    on: Side = Side.ANSWER


@dataclass(frozen=True, slots=True)
class Truncate:
    """Close the connection in good order after `after` bytes of the answer's body."""

    after: int


@dataclass(frozen=True, slots=True)
class Stall:
    """Send `after` bytes of the answer's body and then nothing, with the connection open; None: nothing at all."""

    after: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this status, body and headers; the server is not asked. To HEAD, the body stays away.

    With a header `Transfer-Encoding`, the body has to hold its frames.
    """

    code: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Flip:
    """Flip the lowest bit of byte `at` of a body."""

    at: int
    on: Side = Side.REQUEST


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Send the request to the server twice, as a network may; the second answer counts."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Pass on only the first `keep` bytes of the request's body, with a `Content-Length` that fits them.

    The server stores a part and says that all is well.
    """

    keep: int


@dataclass(frozen=True, slots=True)
class Announce:
    """Let the answer's head announce `more` bytes than its body has (fewer, when negative), then close in good order.

    An answer that has no body, or tells no length, is left alone.
    """

    more: int


Fault = Announce | Latency | Reset | Truncate | Stall | Status | Flip | Duplicate | Cut


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came: `length` is that of its body, in bytes."""

    method: str
    target: str
    length: int


@dataclass(frozen=True, slots=True)
class _Message:
    """One request or answer, its head with the empty line."""

    head: bytes
    body: bytes

    def first_line(self) -> list[str]:
        """Return the words of the first line."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)


class ChaosProxy:
    """A proxy of one HTTP server. Safe to script from the test's thread while it runs."""

    def __init__(self, upstream: str) -> None:
        """Listen on a free port of 127.0.0.1, in front of `upstream`, `host:port`."""
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self._scripted: deque[Fault | None] = deque()
        self._otherwise: Fault | None = None
        self._seen: list[Seen] = []
        self._met: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._background = Background()
        self.host = f"127.0.0.1:{self._background.listen(self._serve)}"
        self.url = f"http://{self.host}"

    @property
    def seen(self) -> tuple[Seen, ...]:
        """Every request so far."""
        with self._lock:
            return tuple(self._seen)

    @property
    def met(self) -> Mapping[str, int]:
        """How many requests met a fault, by the name of its kind."""
        with self._lock:
            return dict(self._met)

    def script(self, *faults: Fault | None) -> None:
        """Set what happens to the next requests, one each; None leaves one alone."""
        with self._lock:
            self._scripted = deque(faults)

    def always(self, fault: Fault | None) -> None:
        """Set what happens to requests beyond the script."""
        with self._lock:
            self._otherwise = fault

    def close(self) -> None:
        """Stop. May be called twice."""
        self._background.close()

    def __enter__(self) -> Self:
        """Return the proxy."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self.close()

    def _next(self) -> Fault | None:
        with self._lock:
            fault = self._scripted.popleft() if self._scripted else self._otherwise
            if fault is not None:
                self._met[type(fault).__name__] += 1
            return fault

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(END_OF_HEAD)
            fault = self._next()
            if isinstance(fault, Reset) and fault.on is Side.REQUEST:
                await self._break_request(reader, writer, head, fault)
                return
            if b"\r\nexpect: 100-continue\r\n" in head.lower():
                writer.write(b"HTTP/1.1 100 Continue" + END_OF_HEAD)
            request = _Message(head, await _body(reader, head))
            method, target, _ = request.first_line()
            with self._lock:
                self._seen.append(Seen(method, target, len(request.body)))
            if not await self._answer(writer, request, fault):
                return

    async def _answer(self, writer: asyncio.StreamWriter, request: _Message, fault: Fault | None) -> bool:
        """Answer one request; whether the connection goes on."""
        match fault:
            case None | Announce() | Truncate() | Stall() | Reset():
                answer = await self._ask(request)
            case Latency():
                await asyncio.sleep(fault.seconds)
                answer = await self._ask(request)
            case Status():
                answer = _answer_of(fault, whole=request.first_line()[0] != "HEAD")
            case Flip(on=Side.REQUEST):
                answer = await self._ask(_flipped(request, fault.at))
            case Flip():
                answer = _flipped(await self._ask(request), fault.at)
            case Duplicate():
                await self._ask(request)
                answer = await self._ask(request)
            case Cut():
                answer = await self._ask(_cut(request, fault.keep))
            case _:
                assert_never(fault)
        return await _send(writer, answer, fault)

    async def _ask(self, request: _Message) -> _Message:
        reader, writer = await asyncio.open_connection(*self._upstream, limit=1 << 20)
        try:
            writer.write(request.head + request.body)
            await writer.drain()
            head = await reader.readuntil(END_OF_HEAD)
            while head.split(b" ", 2)[1].startswith(b"1"):
                head = await reader.readuntil(END_OF_HEAD)
            status = int(head.split(b" ", 2)[1])
            if status in NO_BODY or request.first_line()[0] == "HEAD":
                return _Message(head, b"")
            return _Message(head, await _body(reader, head, answer=True))
        finally:
            writer.close()

    async def _break_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, fault: Reset
    ) -> None:
        """Pass on a part of a request, and reset both connections."""
        if fault.after is not None:
            some = await reader.readexactly(min(fault.after, _length(head) or 0))
            _, upstream = await asyncio.open_connection(*self._upstream)
            upstream.write(head + some)
            await upstream.drain()
            _reset(upstream)
        _reset(writer)


async def _send(writer: asyncio.StreamWriter, answer: _Message, fault: Fault | None) -> bool:
    """Send an answer, or as much of it as the fault leaves; whether the connection goes on."""
    if isinstance(fault, Announce):
        writer.write((_announcing(answer.head, fault.more) if answer.body else answer.head) + answer.body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        return False
    if not isinstance(fault, Reset | Truncate | Stall):
        writer.write(answer.head + answer.body)
        await writer.drain()
        return b"\r\nconnection: close\r\n" not in answer.head.lower()
    if fault.after is not None:
        writer.write(answer.head + answer.body[: fault.after])
        await writer.drain()
    match fault:
        case Reset():
            # What was sent is to arrive before the reset does.
            await asyncio.sleep(0.05)
            _reset(writer)
        case Truncate():
            writer.close()
            await writer.wait_closed()
        case Stall():
            await asyncio.Event().wait()
        case _:
            assert_never(fault)
    return False


def _length(head: bytes) -> int | None:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return None


async def _body(reader: asyncio.StreamReader, head: bytes, *, answer: bool = False) -> bytes:
    """Read a body as its head frames it, the frames of a chunked one included."""
    length = _length(head)
    if length is not None:
        return await reader.readexactly(length)
    if b"\r\ntransfer-encoding: chunked\r\n" in head.lower():
        whole = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            whole += line + await reader.readexactly(size + 2)
            if not size:
                return whole
    return await reader.read() if answer else b""


def _answer_of(fault: Status, *, whole: bool) -> _Message:
    lines = [f"HTTP/1.1 {fault.code} Scripted", *(f"{name}: {value}" for name, value in fault.headers)]
    if all(name.lower() != "transfer-encoding" for name, _ in fault.headers):
        lines.append(f"Content-Length: {len(fault.body)}")
    return _Message("\r\n".join(lines).encode("latin-1") + END_OF_HEAD, fault.body if whole else b"")


def _announcing(head: bytes, more: int) -> bytes:
    length = _length(head)
    if length is None:
        return head
    return head.replace(b": %d\r\n" % length, b": %d\r\n" % max(0, length + more), 1)


def _flipped(message: _Message, at: int) -> _Message:
    body = bytearray(message.body)
    if at < len(body):
        body[at] ^= 1
    return _Message(message.head, bytes(body))


def _cut(request: _Message, keep: int) -> _Message:
    keep = min(keep, len(request.body))
    lines = [
        f"Content-Length: {keep}".encode() if line.lower().startswith(b"content-length:") else line
        for line in request.head.split(b"\r\n")
    ]
    return _Message(b"\r\n".join(lines), request.body[:keep])


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side sees a reset instead of an end."""
    found: socket.socket | None = writer.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
