"""A proxy that keeps every byte that passes, to prove that a secret never did.

::

    with Recorder() as recorder:
        url = recorder.in_front_of("aws", "127.0.0.1:5001")
        …                                                     # a broker that talks to `url` instead
        assert recorder.saw(b"the patient's name") == []

It keeps what passes in memory. What is encrypted by TLS it cannot read, so put it in front of plain HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote_to_bytes

from sovbroker.errors import InvalidArgument
from sovbroker.testing.background import Background

__all__ = ["Recorder", "Tape", "traces"]

LEAST: Final = 4
PIECE: Final = 1 << 16
INFLATED_MAX: Final = 64 << 20
COMPRESSED: Final = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")


def traces(secret: bytes, data: bytes) -> list[str]:
    """Return the forms in which `secret` stands in `data`; [] when it does not.

    The forms are `raw`, `hex` (either case), `base64` (standard and URL-safe, at any alignment, also across lines),
    each as it is, URL-encoded, or within a gzip or zlib stream anywhere in the data. Raises InvalidArgument for a
    secret of fewer than four bytes, which would be found anywhere.
    """
    if len(secret) < LEAST:
        raise InvalidArgument(f"a secret of {len(secret)} bytes occurs by chance; look for at least {LEAST}")
    found = _plain(secret, data)
    for decoded in {unquote_to_bytes(data), unquote_to_bytes(data.replace(b"+", b" "))} - {data}:
        found += [f"url-encoded {form}" for form in _plain(secret, decoded) if form not in found]
    for kind, inflated in _inflated(data):
        found += [f"{form} in {kind}" for form in _plain(secret, inflated)]
    return sorted(set(found))


def _plain(secret: bytes, data: bytes) -> list[str]:
    found: list[str] = []
    if secret in data:
        found.append("raw")
    if binascii.hexlify(secret) in data.lower():
        found.append("hex")
    joined = data.translate(None, b"\r\n")
    if any(form in joined or form in data for form in _base64_forms(secret)):
        found.append("base64")
    return found


def _base64_forms(secret: bytes) -> Iterator[bytes]:
    """Yield what every base64 text that holds `secret` holds: the characters made of its bytes alone."""
    for shift, skip in ((0, 0), (1, 2), (2, 3)):
        padded = bytes(shift) + secret
        stop = len(padded) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(padded)[skip:stop]


def _inflated(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what inflates, from every place where a compressed stream could begin."""
    view = memoryview(data)
    for match in COMPRESSED.finditer(data):
        gzip = match[0].startswith(b"\x1f")
        stream = zlib.decompressobj(31 if gzip else 15)
        pieces: list[bytes] = []
        length = 0
        try:
            for start in range(match.start(), len(data), PIECE):
                pieces.append(stream.decompress(view[start : start + PIECE]))
                length += len(pieces[-1])
                if stream.eof or length > INFLATED_MAX:
                    break
        except zlib.error:
            # No such stream, or a damaged one: what came out before may still tell.
            pass
        if length:
            yield "gzip" if gzip else "zlib", b"".join(pieces)


@dataclass(frozen=True, slots=True)
class Tape:
    """One direction of one connection: `direction` is `sent` or `received`, as the client sees it."""

    target: str
    direction: str
    data: bytearray = field(default_factory=bytearray, repr=False)


class Recorder:
    """Proxies in front of any number of servers, with all that passed."""

    def __init__(self) -> None:
        self._background = Background()
        self._tapes: list[Tape] = []
        self._lock = threading.Lock()

    def in_front_of(self, target: str, upstream: str) -> str:
        """Listen in front of the server `upstream`, `host:port`; return the URL to use in its place."""
        host, _, port = upstream.rpartition(":")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            onward_reader, onward = await asyncio.open_connection(host, int(port))
            try:
                await asyncio.gather(
                    self._pump(reader, onward, self._tape(target, "sent")),
                    self._pump(onward_reader, writer, self._tape(target, "received")),
                )
            finally:
                onward.transport.abort()

        return f"http://127.0.0.1:{self._background.listen(serve)}"

    def tapes(self, target: str | None = None, *, direction: str | None = None) -> tuple[Tape, ...]:
        """Return what passed, connection by connection: of one target or all, in one direction or both."""
        with self._lock:
            return tuple(
                Tape(tape.target, tape.direction, bytearray(tape.data))
                for tape in self._tapes
                if target in {None, tape.target} and direction in {None, tape.direction}
            )

    def saw(self, secret: bytes, *, target: str | None = None) -> list[str]:
        """Return where and in which form `secret` passed, such as `aws sent: base64`; [] when it never did."""
        found = {
            f"{tape.target} {tape.direction}: {form}"
            for tape in self.tapes(target)
            for form in traces(secret, bytes(tape.data))
        }
        return sorted(found)

    def close(self) -> None:
        """Stop; what was recorded stays. May be called twice."""
        self._background.close()

    def __enter__(self) -> Self:
        """Return the recorder."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self.close()

    def _tape(self, target: str, direction: str) -> Tape:
        tape = Tape(target, direction)
        with self._lock:
            self._tapes.append(tape)
        return tape

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tape: Tape) -> None:
        while data := await reader.read(PIECE):
            # Recorded before it is passed on: when the answer is there, so is the record of the question.
            with self._lock:
                tape.data.extend(data)
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
