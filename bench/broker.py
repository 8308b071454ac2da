"""The broker against what it stands on: the same client, the same server, with and without it."""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config

import sovbroker

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from sovbroker.broker import Broker

Row = tuple[str, float, str, str]

BIG: Final = 64 << 20
SMALL: Final = 4 << 10
GIB: Final = 1 << 30
ROUNDS: Final = 9
PASSPHRASE: Final = "only for this measurement"  # noqa: S105 - protects nothing

POLICY: Final = """
sovbroker: 1
levels: [public, internal]
zones: {anywhere: {}}
require:
  public: {store: {anywhere: {}}}
  internal: {store: {anywhere: {encrypt: client}}}
classify:
  - {id: clear, path: "clear/**", label: public}
  - {id: sealed, path: "sealed/**", label: internal}
"""

CONFIG: Final = """
sovbroker: 1
policy: policy.yaml
keys:
  main: {{service: file, path: keyring.json, passphrase: {{env: SOVBROKER_PASSPHRASE}}}}
targets:
  - at: ovhcloud/gra
    bucket: bench
    endpoint: "{url}"
    emulated: true
    credentials: {{access_key: bench, secret_key: benchbench}}
"""

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


@contextmanager
def null_server() -> Generator[str]:
    """Run the server that keeps nothing; yield its URL."""
    server = subprocess.Popen([sys.executable, "-m", "bench.null_s3"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None  # noqa: S101 - it was asked for
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.terminate()
        server.communicate()


def broker_at(url: str, folder: Path) -> Broker:
    """Open a broker with one target."""
    os.environ["SOVBROKER_PASSPHRASE"] = PASSPHRASE
    sovbroker.init(folder)
    (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (folder / "sovbroker.yaml").write_text(CONFIG.format(url=url), encoding="utf-8")
    return sovbroker.open(folder)


def interleaved(*calls: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Return the median seconds of each call, measured in turns so that a slow moment hits all alike."""
    for call in calls:
        call()
    times: list[list[float]] = [[] for _ in calls]
    for _, (call, found) in itertools.product(range(rounds), list(zip(calls, times, strict=True))):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return [statistics.median(found) for found in times]


def transfers() -> Iterator[Row]:
    """Compare puts through the broker with puts through the bare client, against a server that keeps nothing."""
    with null_server() as url, tempfile.TemporaryDirectory() as folder, broker_at(url, Path(folder)) as broker:
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="gra",
            aws_access_key_id="bench",
            aws_secret_access_key="benchbench",  # noqa: S106 - an emulator's
            config=config,
        )
        yield from puts(broker, client, os.urandom(BIG), name="64 MiB", goal=">= 0.95", rounds=15)
        yield from puts(broker, client, os.urandom(SMALL), name="4 KiB", goal="", rounds=200)


def puts(broker: Broker, client: S3Client, data: bytes, *, name: str, goal: str, rounds: int) -> Iterator[Row]:
    """Compare one size."""
    numbers = itertools.count()
    store = broker._flow.stores._store("ovhcloud/gra")  # noqa: SLF001 - the same client, below the broker
    bare, adapter, clear, sealed = interleaved(
        lambda: client.put_object(Bucket="bench", Key=f"bare-{next(numbers)}", Body=data),
        lambda: store.put(f"adapter-{next(numbers)}", data, size=len(data)),
        lambda: broker.put(f"clear/{next(numbers)}", data),
        lambda: broker.put(f"sealed/{next(numbers)}", data),
        rounds=rounds,
    )
    yield (f"sealed put of {name}: speed to boto3's put_object", bare / sealed, "x", goal)
    yield (f"sealed put of {name}: speed to the same adapter alone", adapter / sealed, "x", goal)
    yield (f"unsealed put of {name}: speed to the same adapter alone", adapter / clear, "x", "")
    yield (f"sealed put of {name}", sealed * 1e3, "ms", "")


def stored() -> Iterator[Row]:
    """Put and get 1 GiB through a server that keeps it: how much the process grows, and what a range costs."""
    from sovbroker.testing.chaos import ChaosProxy  # noqa: PLC0415 - counts requests
    from sovbroker.testing.servers import rclone_s3  # noqa: PLC0415 - starts a server

    with (
        tempfile.TemporaryDirectory() as objects,
        tempfile.TemporaryDirectory() as folder,
        rclone_s3(Path(objects), access_key="bench", secret_key="benchbench") as server,  # noqa: S106 - an emulator's
    ):
        server.create_bucket("bench")
        broker_at(server.url, Path(folder)).close()
        for what in ("put", "get"):
            done = subprocess.run(  # noqa: S603 - ours
                [sys.executable, "-c", MEMORY, folder, what, str(GIB)], capture_output=True, text=True, check=True
            )
            yield (f"memory of a 1 GiB sealed {what}", float(done.stdout), "MiB", "<= 64")
        with ChaosProxy(server.host) as proxy:
            path = Path(folder) / "sovbroker.yaml"
            path.write_text(CONFIG.format(url=proxy.url), encoding="utf-8")
            with sovbroker.open(folder) as broker:
                broker.read("sealed/big", range=(GIB // 2, GIB // 2 + 99))
            yield ("100 bytes from the middle of 1 GiB, sealed", len(proxy.seen), "requests", "<= 1")


def imports() -> Iterator[Row]:
    """Measure `import sovbroker` in fresh interpreters."""

    def run(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - ours

    bare, ours = interleaved(run("pass"), run("import sovbroker"), rounds=15)
    yield ("import sovbroker", (ours - bare) * 1e3, "ms", "<= 40")


def rows() -> list[Row]:
    """Return every measurement."""
    return [*imports(), *transfers(), *stored()]
