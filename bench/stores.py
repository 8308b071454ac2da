"""What the broker costs, in ratios of one run: against bare SDKs, each adapter against its own, peers beside them.

On the server that costs next to nothing, so that every difference is the client's; and on Ceph, where it is installed.
A ratio is the median of the rounds' own ratios, as all are measured in turns. Names of peers that are not installed
(`pip install 'sovbroker[peers]'`) and of servers that are not stand in the table too: nothing is left out silently.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from bench._clients import BUCKET, Client, Numbers, broker_at, clients, listing_store, null_server
from bench._clients import peers as peers_at
from bench._turns import Times, in_turns, throughput
from sovbroker.errors import ConfigError
from sovbroker.placements import CopyRow, Durability, Intent, Placement, Precondition, SqliteIndex, new_version

Row = tuple[str, float, str, str]

SMALL: Final = 4 << 10
BIG: Final = 64 << 20
GIB: Final = 1 << 30
THREADS: Final = 16
BURST: Final = 5
LISTED: Final = 10_000
ABSENT: Final = math.nan
GOALS: Final = {
    ("4 KiB put", "broker, clear"): "<= 1.05",
    ("4 KiB put", "broker, sealed"): "<= 1.12",
    ("4 KiB get", "broker, clear"): "<= 1.05",
    ("4 KiB get", "broker, sealed"): "<= 1.12",
    ("4 KiB put", "adapter obstore (fast)"): "<= 0.25",
    ("4 KiB get", "adapter obstore (fast)"): "<= 0.25",
    ("64 MiB put", "broker, sealed"): "<= 1.03",
}
"""Bounds of the time, in times of bare boto3's."""


def compared(what: str, times: Times, *, bare_name: str = "boto3", processor: bool = False) -> Iterator[Row]:
    """Say how long each took, in times of the bare one; then its own time."""
    for name in times.wall:
        if name == bare_name:
            yield (f"{what}: {name}", times.seconds(name) * 1e3, "ms", "")
            continue
        ratio = times.ratio(name, bare_name)
        yield (f"{what}: {name}", ratio, f"x the time of {bare_name}", GOALS.get((what, name), ""))
        if processor:
            yield (f"{what}: {name}, processor", times.work(name, bare_name), f"x the time of {bare_name}", "")


def putting(one: Client, name: Numbers, data: bytes) -> object:
    """Put a body under a name that was not used yet."""
    return one.put(name(), data)


def small(everybody: list[Client], *, rounds: int, where: str = "") -> Iterator[Row]:
    """Put, get and ask for 4 KiB."""
    data, name = os.urandom(SMALL), Numbers()
    puts = {one.name: partial(putting, one, name, data) for one in everybody}
    yield from compared(f"4 KiB put{where}", in_turns(puts, rounds=rounds, burst=BURST), processor=not where)
    for one in everybody:
        one.put("known", data)
    gets = {one.name: partial(one.get, "known") for one in everybody}
    yield from compared(f"4 KiB get{where}", in_turns(gets, rounds=rounds, burst=BURST), processor=not where)
    heads = {one.name: partial(one.head, "known") for one in everybody if one.head is not None}
    yield from compared(f"4 KiB head{where}", in_turns(heads, rounds=rounds, burst=BURST))


def big(url: str, kept: str) -> Iterator[Row]:
    """Put and get 64 MiB: what is put is dropped, what is got was kept."""
    data, name = os.urandom(BIG), Numbers()
    with clients(url) as ours:
        everybody = [*(one for one in ours if "process" not in one.name), *peers_at(url)[0]]
        puts = {one.name: partial(putting, one, name, data) for one in everybody}
        yield from compared("64 MiB put", in_turns(puts, rounds=7, warm=1), processor=True)
    with clients(kept) as ours:
        everybody = [*(one for one in ours if "process" not in one.name), *peers_at(kept)[0]]
        for one in everybody:
            one.put("big", data)
        gets = {one.name: partial(one.get, "big") for one in everybody}
        yield from compared("64 MiB get", in_turns(gets, rounds=7, warm=1), processor=True)


def lists(url: str) -> Iterator[Row]:
    """List 10,000 objects: at the server, or, as the broker does, in its own rows."""
    with clients(url, fast=False) as ours, tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state.db"
        with closing(SqliteIndex(state, durability=Durability.PROCESS)) as index:
            fill(index)
        with broker_at(url, Path(folder)) as broker, closing(listing_store(url)) as store:
            calls: dict[str, Callable[[], object]] = {
                one.name: one.list for one in [*ours, *peers_at(url)[0]] if one.list is not None
            }
            calls["adapter s3"] = lambda: sum(len(page.objects) for page in store.list())
            calls["broker"] = lambda: sum(1 for _ in broker.list())
            for name, call in calls.items():
                if call() != LISTED:
                    raise ValueError(f"{name} does not list {LISTED} objects but {call()}")
            yield from compared(f"list of {LISTED:,}", in_turns(calls, rounds=3, warm=0))


def fill(index: SqliteIndex) -> None:
    """Write the rows of 10,000 objects."""
    now = datetime.now(UTC)
    for number in range(LISTED):
        key, version = f"folder/{number:05}", new_version(now)
        copies = (CopyRow("ovhcloud/gra", f"{key}@{version}", sealed=False),)
        index.begin([Intent(version, key, copies[0].target, copies[0].physical, "bench", now)])
        row = Placement(key, version, "public", SMALL, now, copies, digest="0" * 64, decision={"rules": ["clear"]})
        index.commit(row, condition=Precondition(), now=now)


def crowd(url: str) -> Iterator[Row]:
    """Put 4 KiB from 16 threads."""
    data, name = os.urandom(SMALL), Numbers()
    with clients(url) as ours:
        everybody = [one for one in [*ours, *peers_at(url)[0]] if one.name not in {"s3fs", "smart_open", "libcloud"}]
        found: dict[str, list[float]] = {one.name: [] for one in everybody}
        for _ in range(3):
            for one in everybody:
                call = partial(putting, one, name, data)
                found[one.name].append(throughput(call, threads=THREADS, calls=50 * THREADS))
    reference = found.pop("boto3")
    yield (f"4 KiB puts of {THREADS} threads: boto3", median(reference), "1/s", "")
    for who, speeds in found.items():
        ratio = median(mine / its for mine, its in zip(speeds, reference, strict=True))
        yield (f"4 KiB puts of {THREADS} threads: {who}", ratio, "x the speed of boto3", "")


def flush() -> Row:
    """Measure what a flush takes on the disk that the state is on: one is in each commit."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
        taken: list[float] = []
        for turn in range(100):
            os.pwrite(file.fileno(), bytes(SMALL * 4), turn % 16 * SMALL * 4)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return ("a flush of this disk", median(taken) * 1e3, "ms", "")


def memory(url: str) -> Iterator[Row]:
    """Put 1 GiB by each, in a process of its own."""
    for who in ("broker, sealed", "broker, clear", "boto3", *(one.name for one in peers_at(url)[0])):
        done = subprocess.run(  # noqa: S603 - ours
            [sys.executable, "-m", "bench._memory", url, who, str(GIB)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ChildProcessError(f"{who}: {done.stderr[-2000:]}")
        # Part size x (parts in flight + 1) + 24 MiB.
        yield (f"memory of a 1 GiB put: {who}", float(done.stdout), "MiB", "<= 56" if "sealed" in who else "")


def adapters() -> Iterator[Row]:
    """Compare each adapter with the SDK that it stands on, on a server of its own kind."""
    from bench._adapters import PAIRS  # noqa: PLC0415 - SDKs take their time to be loaded

    data, name = os.urandom(SMALL), Numbers()
    for title, sdk, pair in PAIRS:
        with pair() as (ours, theirs):
            for one in (ours, theirs):
                one.put("known", data)
            for what, calls in (
                ("put", {one.name: partial(putting, one, name, data) for one in (ours, theirs)}),
                ("get", {one.name: partial(one.get, "known") for one in (ours, theirs)}),
                ("head", {one.name: partial(one.head, "known") for one in (ours, theirs) if one.head is not None}),
            ):
                ratio = in_turns(calls, rounds=12, burst=BURST).ratio(ours.name, theirs.name)
                yield (f"4 KiB {what}: adapter {title}", ratio, f"x the time of {sdk}", "")


def ceph() -> Iterator[Row]:
    """Do what a user does on a real server."""
    from sovbroker.testing.ceph import ceph_rgw  # noqa: PLC0415 - starts a server

    try:
        with ceph_rgw() as server:
            server.create_bucket(BUCKET)
            access, secret = server.access_key, server.secret_key
            with clients(server.url, access=access, secret=secret) as ours:
                others, _ = peers_at(server.url, access=access, secret=secret)
                everybody = [*(one for one in ours if "process" not in one.name), *others]
                yield from small(everybody, rounds=12, where=" on Ceph")
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        yield ("4 KiB put on Ceph", ABSENT, "not installed", "")


def rows() -> Iterator[Row]:
    """Yield every measurement."""
    yield flush()
    with null_server() as url, null_server("--keep") as kept:
        others, missing = peers_at(kept)
        with clients(kept) as ours:
            yield from small([*ours, *others], rounds=50)
        yield from lists(kept)
        yield from crowd(url)
        yield from big(url, kept)
        yield from memory(url)
        for name in missing:
            yield (f"4 KiB put: {name}", ABSENT, "not installed", "")
    yield from adapters()
    yield from ceph()
