"""Clients of OpenStack Swift, each in a process of its own, against a server that keeps nothing.

Not part of `make bench`: most of these are no dependencies. Install openstacksdk, python-swiftclient, apache-libcloud
and httpx into an environment, and run `python bench/swift_clients.py [URL]` with its interpreter. With the URL of a
Swift whose password is `testing` for `test:tester` (`sovbroker.testing.swift` runs one), it is measured there as well.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SMALL, LARGE = 4 * KIB, 64 * MIB
BLOCK: Final = 1 << 20
SECONDS: Final = 2.0
INFO: Final = b'{"swift": {"max_file_size": 5368709122}, "slo": {"min_segment_size": 1}}'
CLIENTS: Final = ("libcloud", "openstacksdk", "swiftclient", "keystoneauth1", "httpx")

Put = Callable[[str, int], None]
Get = Callable[[str], int]


class Zeros:
    """A body of `size` bytes, made as it is read."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        """Return up to a block."""
        count = min(self.left, BLOCK if size < 0 else size)
        self.left -= count
        return bytes(count)

    def __len__(self) -> int:
        """Return the length; without it, requests would send chunks."""
        return self.left

    def __iter__(self) -> Iterator[bytes]:
        """Yield blocks."""
        while block := self.read(BLOCK):
            yield block


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    """Takes bodies and drops them; `…/object-4096` has 4096 bytes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    body = bytes(LARGE)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def answer(self, status: int, size: int = 0, *, text: bytes = b"", **headers: str) -> None:
        """Answer with a body of zeros, or a text."""
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(size or len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(memoryview(self.body)[:size] if size else text)

    def do_PUT(self) -> None:
        """Take a body, in chunks too, and tell its MD5."""
        digest = hashlib.md5(usedforsecurity=False)
        if self.headers.get("Expect"):
            self.send_response_only(100)
            self.end_headers()
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                digest.update(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            data = self.rfile.read(min(left, BLOCK))
            digest.update(data)
            left -= len(data)
        self.answer(201, ETag=digest.hexdigest())

    def do_GET(self) -> None:
        """Give a token, or a body."""
        if self.path.startswith("/auth"):
            host = self.headers["Host"]
            url = f"http://{host}/v1/a"
            self.answer(200, X_Auth_Token="t", X_Storage_Token="t", X_Storage_Url=url)  # noqa: S106 - it opens nothing
            return
        if self.path == "/info":
            self.answer(200, text=INFO, Content_Type="application/json")
            return
        size = urlsplit(self.path).path.rpartition("-")[2]
        if not size.isdecimal():
            self.answer(204, X_Container_Object_Count="1", X_Container_Bytes_Used="1")
            return
        self.answer(200, int(size), ETag="0" * 32, Content_Type="x/y", Last_Modified="Sat, 28 Nov 2026 10:00:00 GMT")

    do_HEAD = do_GET  # noqa: N815 - the base class's name


def token(url: str) -> tuple[str, str]:
    """Return a token, and the account's URL."""
    connection = HTTPConnection(urlsplit(url).netloc)
    connection.request("GET", "/auth/v1.0", headers={"X-Auth-User": "test:tester", "X-Auth-Key": "testing"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.headers["X-Auth-Token"], answer.headers["X-Storage-Url"]


def libcloud(url: str) -> tuple[Put, Get]:
    """Its driver of Swift, which asks for a password by version 1 or a token by hand."""
    found, account = token(url)
    types = import_module("libcloud.storage.types")
    driver_of = import_module("libcloud.storage.providers").get_driver
    driver = driver_of(types.Provider.OPENSTACK_SWIFT)(
        "test:tester",
        "testing",
        ex_force_auth_version="1.0",
        ex_force_auth_url=url,
        ex_force_auth_token=found,
        ex_force_base_url=account,
    )
    container = driver.get_container("box")
    extra = {"content_type": "application/octet-stream"}
    objects: dict[str, Any] = {}

    def put(name: str, size: int) -> None:
        # Its `upload_object_via_stream` compares with the MD5 of what is left of the stream: of nothing.
        driver._put_object(container, name, extra=extra, stream=iter(Zeros(size)), verify_hash=False)  # noqa: SLF001

    def get(name: str) -> int:
        if name not in objects:
            objects[name] = driver.get_object("box", name)
        return sum(len(piece) for piece in driver.download_object_as_stream(objects[name], chunk_size=BLOCK))

    return put, get


def over_keystoneauth(url: str) -> Any:  # noqa: ANN401 - somebody else's
    """Return keystoneauth1's session, and an adapter for the account."""
    found, account = token(url)
    return import_module("keystoneauth1.session").Session(
        auth=import_module("keystoneauth1.token_endpoint").Token(account, found)
    )


def keystoneauth1(url: str) -> tuple[Put, Get]:
    """Use its session over requests, without an SDK above it."""
    client = import_module("keystoneauth1.adapter").Adapter(over_keystoneauth(url), "object-store")

    def put(name: str, size: int) -> None:
        client.put(f"/box/{name}", data=Zeros(size), headers={"Content-Length": str(size)})

    def get(name: str) -> int:
        answer = client.get(f"/box/{name}", stream=True)
        return sum(len(piece) for piece in answer.iter_content(BLOCK))

    return put, get


def openstacksdk(url: str) -> tuple[Put, Get]:
    """Its object store: a body is bytes or the name of a file, so that a stream is not offered."""
    connection = import_module("openstack.connection").Connection(session=over_keystoneauth(url))
    folder = Path(sys.argv[0]).parent.parent / "build"
    folder.mkdir(exist_ok=True)

    def put(name: str, size: int) -> None:
        if size <= SMALL:
            connection.object_store.create_object("box", name, data=bytes(size), generate_checksums=False)
            return
        path = folder / f"body-{size}"
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(size)
        connection.object_store.create_object("box", name, filename=str(path), generate_checksums=False)

    def get(name: str) -> int:
        return sum(len(piece) for piece in connection.object_store.stream_object(name, "box", chunk_size=BLOCK))

    return put, get


def swiftclient(url: str) -> tuple[Put, Get]:
    """Use the client of Swift's own project."""
    found, account = token(url)
    client = import_module("swiftclient.client").Connection(preauthtoken=found, preauthurl=account, retries=0)

    def put(name: str, size: int) -> None:
        client.put_object("box", name, contents=Zeros(size), content_length=size, chunk_size=BLOCK)

    def get(name: str) -> int:
        return sum(len(piece) for piece in client.get_object("box", name, resp_chunk_size=BLOCK)[1])

    return put, get


def httpx(url: str) -> tuple[Put, Get]:
    """No SDK: an HTTP client, as the `webdav` adapter uses it."""
    found, account = token(url)
    client = import_module("httpx").Client(headers={"X-Auth-Token": found}, trust_env=False, timeout=60)

    def put(name: str, size: int) -> None:
        answer = client.put(f"{account}/box/{name}", content=iter(Zeros(size)), headers={"Content-Length": str(size)})
        answer.raise_for_status()

    def get(name: str) -> int:
        with client.stream("GET", f"{account}/box/{name}") as answer:
            return sum(len(piece) for piece in answer.iter_raw())

    return put, get


def cost(call: Callable[[], object], seconds: float = SECONDS) -> tuple[float, float]:
    """Return what a call takes in milliseconds: of the processor, and by the clock, which other work changes."""
    call()
    count, start, used = 0, time.perf_counter(), time.process_time()
    while (took := time.perf_counter() - start) < seconds:
        call()
        count += 1
    return (time.process_time() - used) * 1000 / count, took * 1000 / count


def peak() -> float:
    """Return the largest resident set since the last reset, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / KIB for line in lines if line.startswith("VmHWM"))


def measure(name: str, url: str, *, real: bool) -> dict[str, float]:
    """Measure one client, in this process."""
    start = time.perf_counter()
    put, get = globals()[name](url)
    ready = time.perf_counter() - start
    small, large = f"object-{SMALL}", f"object-{LARGE}"
    found = {"import and client": ready * 1000}
    with ThreadPoolExecutor(8) as pool:

        def eight() -> None:
            list(pool.map(lambda _: put(small, SMALL), range(64)))

        calls: dict[str, tuple[Callable[[], object], int]] = {
            "4 KiB put": (lambda: put(small, SMALL), 1),
            "4 KiB get": (lambda: get(small), 1),
            "4 KiB put, 8 threads": (eight, 64),
            "64 MiB put": (lambda: put(large, LARGE), 1),
            "64 MiB get": (lambda: get(large), 1),
        }
        for what, (call, times) in calls.items():
            cpu, clock = cost(call, SECONDS if "KiB" in what else 2 * SECONDS)
            found[f"{what}, CPU"], found[f"{what}, clock"] = cpu / times, clock / times
    if get(large) != LARGE:
        raise AssertionError(name)
    if not real:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = peak()
        put("huge", GIB)
        found["1 GiB put, MiB of RSS"] = peak() - before
    return found


def main() -> None:
    """Measure all, each in a process of its own, and print a table."""
    if sys.argv[1:2] == ["measure"]:
        _, _, name, url, place = sys.argv
        sys.stdout.write(json.dumps(measure(name, url, real=place == "real")))
        return
    if sys.argv[1:] == ["serve"]:
        server = Server(("127.0.0.1", 0), Handler)
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()
    mine = [sys.executable, __file__]
    null = subprocess.Popen([*mine, "serve"], stdout=subprocess.PIPE, text=True)  # noqa: S603 - this very script
    if null.stdout is None:
        raise AssertionError
    places = [("null", f"http://127.0.0.1:{int(null.stdout.readline())}")]
    places += [("real", url) for url in sys.argv[1:]]
    try:
        for place, url in places:
            results: dict[str, dict[str, float]] = {}
            for name in CLIENTS:
                words = [*mine, "measure", name, url, place]
                done = subprocess.run(words, check=False, capture_output=True, text=True)  # noqa: S603 - as above
                if done.returncode:
                    sys.stdout.write(f"{name} failed:\n{done.stderr[-1500:]}\n")
                    continue
                results[name] = json.loads(done.stdout)
            sys.stdout.write(f"\n{place} server, ms\n{'':26}" + "".join(f"{name:>15}" for name in results) + "\n")
            for line in next(iter(results.values())):
                sys.stdout.write(f"{line:26}" + "".join(f"{results[name][line]:15.2f}" for name in results) + "\n")
    finally:
        null.terminate()
        null.wait()


if __name__ == "__main__":
    main()
