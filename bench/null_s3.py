"""An S3 server that costs next to nothing: what is measured against it is the client's own cost.

Bodies are read, digested and dropped, or kept in memory with `--keep`. Sizes and metadata are remembered and ETags are
MD5, as on a real server, so that a client which checks what it sent is told the truth. No signature is looked at. The
bucket `many` holds 10,000 objects that nobody put there.

Run as `python -m bench.null_s3 [--keep]`; it prints its port on the first line.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote

ROOM: Final = 1 << 18
PAGE: Final = 1000
MANY: Final = [f"folder/{number:05}" for number in range(10_000)]
LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
RANGE: Final = re.compile(rb"\r\nrange: *bytes=(\d+)-(\d*)", re.IGNORECASE)
METADATA: Final = re.compile(rb"\r\n(x-amz-meta-[^\r]*)", re.IGNORECASE)
EXPECTED: Final = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)
MODIFIED: Final = b"\r\nLast-Modified: Wed, 01 Jan 2025 00:00:00 GMT"
SPACE: Final = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
BEGUN: Final = f"<InitiateMultipartUploadResult {SPACE}><UploadId>u</UploadId></InitiateMultipartUploadResult>".encode()
ENTRY: Final = (
    "<Contents><Key>{}</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified>"
    "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>4096</Size>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
)


@dataclass(slots=True)
class Kept:
    """What is known of one object. `body` is empty where bodies are dropped."""

    size: int
    etag: str
    metadata: bytes
    body: bytes


@dataclass(slots=True)
class Server:
    """What the connections share."""

    keep: bool
    objects: dict[str, Kept] = field(default_factory=dict[str, Kept])
    begun: dict[str, bytes] = field(default_factory=dict[str, bytes])
    parts: dict[str, dict[int, Kept]] = field(default_factory=dict[str, dict[int, Kept]])


class Connection(asyncio.BufferedProtocol):
    """One connection: requests one after the other, without a copy of a body that is dropped."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._room = bytearray(ROOM)
        self._filled = 0
        self._head = b""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a socket's
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Offer room behind what is not used yet."""
        del sizehint
        return memoryview(self._room)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Use what came: the head of a request, then its body."""
        self._filled += nbytes
        while self._filled:
            if not self._head and not self._begin():
                return
            taken = min(self._left, self._filled)
            piece = memoryview(self._room)[:taken]
            self._digest.update(piece)
            if self._server.keep:
                self._body += piece
            self._left -= taken
            rest = self._filled - taken
            if taken and rest:
                self._room[:rest] = self._room[taken : self._filled]
            self._filled = rest
            if self._left:
                return
            head, self._head = self._head, b""
            self._answer(head)

    def _begin(self) -> bool:
        """Take the head of a request off the buffer; whether all of it is there."""
        end = self._room.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            return False
        self._head = bytes(self._room[:end])
        rest = self._filled - end - 4
        self._room[:rest] = self._room[end + 4 : self._filled]
        self._filled = rest
        length = LENGTH.search(self._head)
        self._left = self._length = int(length[1]) if length else 0
        self._digest = hashlib.md5(usedforsecurity=False)
        self._body = bytearray()
        if EXPECTED.search(self._head):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._left:
            self._answer_empty()
        return bool(self._head)

    def _answer_empty(self) -> None:
        head, self._head = self._head, b""
        self._answer(head)

    def _send(self, status: str, body: bytes | memoryview = b"", *, headers: bytes = b"", length: int = -1) -> None:
        size = len(body) if length < 0 else length
        head = f"HTTP/1.1 {status}\r\nContent-Length: {size}".encode() + headers + b"\r\n\r\n"
        if len(body) <= ROOM:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    def _answer(self, head: bytes) -> None:
        """Do what a request asks for."""
        method, target = head[: head.index(b"\r\n")].decode().split(" ")[:2]
        path, _, query = target.partition("?")
        path = unquote(path)
        match method:
            case "PUT":
                self._put(head, path, query)
            case "POST":
                self._post(head, path, query)
            case "GET" | "HEAD" if path.count("/") < 2 or path.endswith("/"):  # noqa: PLR2004 - a bucket
                self._list(query) if method == "GET" else self._send("200 OK")
            case "GET" | "HEAD":
                self._get(head, path, whole=method == "GET")
            case _:
                self._server.objects.pop(path, None)
                self._send("204 No Content")

    def _put(self, head: bytes, path: str, query: str) -> None:
        etag = self._digest.hexdigest()
        metadata = b"".join(b"\r\n" + found for found in METADATA.findall(head))
        kept = Kept(self._length, etag, metadata, bytes(self._body))
        number = parse_qs(query).get("partNumber")
        if number:
            self._server.parts.setdefault(path, {})[int(number[0])] = kept
        else:
            self._server.objects[path] = kept
        self._send("200 OK", headers=f'\r\nETag: "{etag}"'.encode())

    def _post(self, head: bytes, path: str, query: str) -> None:
        """Begin or end an upload; or forget several objects."""
        if query.startswith("uploads"):
            self._server.begun[path] = b"".join(b"\r\n" + found for found in METADATA.findall(head))
            self._send("200 OK", BEGUN)
            return
        mine = self._server.parts.pop(path, {})
        ordered = [mine[number] for number in sorted(mine)]
        digests = b"".join(bytes.fromhex(part.etag) for part in ordered)
        etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(ordered)}"
        size = sum(part.size for part in ordered)
        body = b"".join(part.body for part in ordered)
        self._server.objects[path] = Kept(size, etag, self._server.begun.pop(path, b""), body)
        joined = f"<ETag>&quot;{etag}&quot;</ETag>"
        self._send(
            "200 OK", f"<CompleteMultipartUploadResult {SPACE}>{joined}</CompleteMultipartUploadResult>".encode()
        )

    def _get(self, head: bytes, path: str, *, whole: bool) -> None:
        kept = self._server.objects.get(path)
        if kept is None:
            self._send("404 Not Found")
            return
        headers = f'\r\nETag: "{kept.etag}"'.encode() + MODIFIED + kept.metadata
        if not whole:
            self._send("200 OK", headers=headers, length=kept.size)
            return
        asked = RANGE.search(head)
        if asked is None:
            self._send("200 OK", kept.body, headers=headers)
            return
        first = int(asked[1])
        last = min(int(asked[2] or kept.size), kept.size - 1)
        headers += f"\r\nContent-Range: bytes {first}-{last}/{kept.size}".encode()
        self._send("206 Partial Content", memoryview(kept.body)[first : last + 1], headers=headers)

    def _list(self, query: str) -> None:
        asked = parse_qs(query)
        after = asked.get("continuation-token", asked.get("marker", ["0"]))[0]
        start = int(after) if after.isdigit() else MANY.index(after) + 1
        page = MANY[start : start + PAGE]
        cut = start + PAGE < len(MANY)
        following = f"<NextContinuationToken>{start + PAGE}</NextContinuationToken>" if cut else ""
        body = (
            f"<ListBucketResult {SPACE}><Name>many</Name><Prefix></Prefix>"
            f"<KeyCount>{len(page)}</KeyCount><MaxKeys>{PAGE}</MaxKeys><IsTruncated>{str(cut).lower()}</IsTruncated>"
            f"{following}{''.join(map(ENTRY.format, page))}</ListBucketResult>"
        )
        self._send("200 OK", body.encode(), headers=b"\r\nContent-Type: application/xml")


async def serve(options: Sequence[str]) -> None:
    """Answer until the end of the process."""
    shared = Server(keep="--keep" in options)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(shared), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
