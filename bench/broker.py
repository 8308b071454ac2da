"""What opening the package costs, and what a large object costs in memory and in requests."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bench._clients import ACCESS, BUCKET, SECRET, broker_at
from bench._turns import in_turns

Row = tuple[str, float, str, str]

GIB: Final = 1 << 30

MEMORY: Final = """
import sys
import sovbroker
from bench.peak import Peak
folder, what, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
def source():
    block = bytes(1 << 20)
    for _ in range(size >> 20):
        yield block
with sovbroker.open(folder) as broker:
    broker.put("sealed/small", b"x" * 100_000)
    broker.read("sealed/small")
    peak = Peak()
    if what == "put":
        broker.put("sealed/big", source())
    else:
        buffer = bytearray(1 << 20)
        with broker.get("sealed/big") as file:
            while file.readinto(buffer):
                pass
    print(peak.grown())
"""


def stored() -> Iterator[Row]:
    """Put and get 1 GiB through a server that keeps it: how much the process grows, and what a range costs."""
    from sovbroker.testing.chaos import ChaosProxy  # noqa: PLC0415 - counts requests
    from sovbroker.testing.servers import rclone_s3  # noqa: PLC0415 - starts a server

    with (
        tempfile.TemporaryDirectory() as objects,
        tempfile.TemporaryDirectory() as folder,
        rclone_s3(Path(objects), access_key=ACCESS, secret_key=SECRET) as server,
    ):
        server.create_bucket(BUCKET)
        broker_at(server.url, Path(folder)).close()
        for what in ("put", "get"):
            done = subprocess.run(  # noqa: S603 - ours
                [sys.executable, "-c", MEMORY, folder, what, str(GIB)], capture_output=True, text=True, check=True
            )
            # Part size x (parts in flight + 1) + 24 MiB.
            yield (f"memory of a 1 GiB sealed {what}", float(done.stdout), "MiB", "<= 56")
        with ChaosProxy(server.host) as proxy, broker_at(proxy.url, Path(folder)) as broker:
            broker.read("sealed/big", range=(GIB // 2, GIB // 2 + 99))
            yield ("100 bytes from the middle of 1 GiB, sealed", len(proxy.seen), "requests", "<= 1")


def imports() -> Iterator[Row]:
    """Measure `import sovbroker` in fresh interpreters."""

    def run(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - ours

    times = in_turns({"bare": run("pass"), "ours": run("import sovbroker")}, rounds=15, warm=1)
    yield ("import sovbroker", (times.seconds("ours") - times.seconds("bare")) * 1e3, "ms", "<= 40")


def rows() -> list[Row]:
    """Return every measurement."""
    return [*imports(), *stored()]
