"""An S3 server that keeps nothing: what is measured against it is the client's own cost.

Bodies are read, digested and dropped. Sizes are remembered and ETags are MD5, as on a real server, so that a client
which checks what it sent is told the truth.
Run as `python -m bench.null_s3`; it prints its port on the first line.
"""

from __future__ import annotations

import hashlib
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler
from typing import Final
from urllib.parse import parse_qs, urlsplit

BLOCK: Final = 1 << 20


class Sizes:
    """The sizes of objects, and of the parts of uploads, by path."""

    def __init__(self) -> None:
        self.objects: dict[str, int] = {}
        self.parts: dict[tuple[str, int], tuple[int, str]] = {}
        self.lock = threading.Lock()


SIZES: Final = Sizes()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def _drain(self) -> tuple[int, str]:
        """Read the body; return its length and MD5."""
        digest = hashlib.md5(usedforsecurity=False)
        length = left = int(self.headers.get("Content-Length") or 0)
        buffer = memoryview(bytearray(min(BLOCK, max(1, length))))
        while left:
            got = self.rfile.readinto(buffer[: min(left, len(buffer))])
            if not got:
                break
            digest.update(buffer[:got])
            left -= got
        return length, digest.hexdigest()

    def _answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        """Take an object, a part or a bucket."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        length, digest = self._drain()
        parts = urlsplit(self.path)
        number = parse_qs(parts.query).get("partNumber")
        with SIZES.lock:
            if number:
                SIZES.parts[parts.path, int(number[0])] = length, digest
            else:
                SIZES.objects[parts.path] = length
        self._answer(ETag=f'"{digest}"')

    def do_POST(self) -> None:
        """Begin or end an upload."""
        self._drain()
        parts = urlsplit(self.path)
        if parts.query.startswith("uploads"):
            self._answer(body=b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
            return
        with SIZES.lock:
            mine = [SIZES.parts.pop(key) for key in sorted(SIZES.parts) if key[0] == parts.path]
            SIZES.objects[parts.path] = sum(size for size, _ in mine)
        whole = hashlib.md5(b"".join(bytes.fromhex(digest) for _, digest in mine), usedforsecurity=False).hexdigest()
        etag = f"<ETag>&quot;{whole}-{len(mine)}&quot;</ETag>"
        self._answer(body=f"<CompleteMultipartUploadResult>{etag}</CompleteMultipartUploadResult>".encode())

    def do_HEAD(self) -> None:
        """Tell a size."""
        with SIZES.lock:
            size = SIZES.objects.get(urlsplit(self.path).path)
        if size is None:
            self._answer(404)
        else:
            self._answer(Content_Length=str(size), ETag='"null-1"')

    def do_DELETE(self) -> None:
        """Forget a size."""
        with SIZES.lock:
            SIZES.objects.pop(urlsplit(self.path).path, None)
        self._answer(204)


class Server(socketserver.ThreadingTCPServer):
    """A thread per connection."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()
