"""1,000 puts through proxies that break requests by chance: nothing corrupt, nothing lost, nothing left unknown."""

from __future__ import annotations

import dataclasses
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

import sovbroker
from sovbroker.errors import SovbrokerError, Unavailable
from sovbroker.testing import servers
from sovbroker.testing.chaos import (
    Announce,
    ChaosProxy,
    Cut,
    Duplicate,
    Flip,
    Latency,
    Reset,
    Side,
    Stall,
    Status,
    Truncate,
)
from sovbroker.transfer.outgoing import PART, SMALL
from sovbroker_adapters.s3 import build

PUTS = 1000
WORKERS = 16
KEYS = 6
SEED = 20261128
READ_TIMEOUT = 2
LATE_BY = 20.0
BROKEN = 0.12
DOWN, DOWN_FOR = 0.004, 60
FAULTS = [
    Latency(0.02),
    Reset(),
    Reset(on=Side.REQUEST),
    Reset(after=100, on=Side.REQUEST),
    Reset(after=50),
    Truncate(10),
    Stall(),
    Stall(5),
    Status(500),
    Status(503),
    Status(429),
    Flip(40),
    Flip(150, on=Side.ANSWER),
    Duplicate(),
    Cut(50),
    Announce(9),
]
SIZES = [0, 1, 100, 3_000, 70_000, 200_000]
LARGE = SMALL + PART + 77


@pytest.fixture
def chaos(clouds, monkeypatch):
    """A broker over two providers, a process each, and the proxies before them."""
    at = ("ovhcloud/gra", "outscale/eu-west-2")
    with ExitStack() as stack:
        providers = {name: stack.enter_context(servers.moto()) for name in at}
        for server in providers.values():
            server.create_bucket("objects")
        proxies = {name: stack.enter_context(ChaosProxy(server.host)) for name, server in providers.items()}
        clouds.write(targets=())
        path = clouds.folder / "sovbroker.yaml"
        lines = [
            f"  - {{at: {name}, bucket: objects, endpoint: '{proxy.url}', emulated: true, "
            "credentials: {access_key: test, secret_key: testtest}}\n"
            for name, proxy in proxies.items()
        ]
        path.write_text(path.read_text() + "".join(lines))
        monkeypatch.undo()
        monkeypatch.setenv("SOVBROKER_PASSPHRASE", "a passphrase that the tests made up")
        monkeypatch.setattr("sovbroker.transfer.outgoing.FIRST_PAUSE", 0.01)
        clock = [datetime(2026, 11, 24, tzinfo=UTC)]
        broker = stack.enter_context(sovbroker.open(path, clock=lambda: clock[0]))
        for place in broker.places.values():
            settings = {**place.binding.settings, "read-timeout": READ_TIMEOUT}
            object.__setattr__(place, "binding", dataclasses.replace(place.binding, settings=settings))
        yield broker, providers, proxies, clock


def faults(chance, count):
    """Return what happens to so many requests: each kind in turn, among those that go through; and times of nothing."""
    turn = 0
    while count > 0:
        if chance.random() < DOWN:
            count -= DOWN_FOR
            yield from [Status(503)] * DOWN_FOR
        count -= 1
        if chance.random() < BROKEN:
            yield FAULTS[turn % len(FAULTS)]
            turn += 1
        else:
            yield None


def put(broker, key, data, deadline):
    """Put; return what came of it: `stored`, or which way it failed, having left the old version as it was."""
    before = broker.stat(key).version if broker.exists(key) else None
    began = time.monotonic()
    try:
        stored = broker.put(key, data, deadline=deadline)
    except SovbrokerError as error:
        if not isinstance(error, Unavailable):
            # The network breaks, and providers answer with errors that pass: nothing else may be told.
            raise
        assert (broker.stat(key).version if broker.exists(key) else None) == before
        outcome = "failed" if deadline is None else "failed with a deadline"
    else:
        assert stored.size == len(data)
        outcome = "stored"
    assert deadline is None or time.monotonic() - began < deadline + LATE_BY
    return outcome


def work(broker, worker):
    """Make this worker's share of the puts, under keys of its own; return what was stored last, and the outcomes."""
    chance = random.Random(SEED * 1000 + worker)
    done, outcomes = {}, Counter()
    for turn in range(worker, PUTS, WORKERS):
        key = f"{chance.choice(['internal', 'confidential'])}/{worker}/{chance.randrange(KEYS)}"
        data = chance.randbytes(LARGE if turn % 200 == 7 else chance.choice(SIZES))
        outcome = put(broker, key, data, chance.choice([None, None, None, None, 0.05, 1.0, 3.0]))
        outcomes[outcome] += 1
        if outcome == "stored":
            done[key] = data
    return done, outcomes


def test_a_thousand_puts_through_chaos(chaos, request):
    """The seed fixes which request meets what; which put it belongs to is left to the threads."""
    broker, providers, proxies, clock = chaos
    for number, proxy in enumerate(proxies.values()):
        proxy.script(*faults(random.Random(SEED + number), 50_000))
    stored, outcomes, met = {}, Counter(), Counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        for done, counted in pool.map(partial(work, broker), range(WORKERS)):
            stored |= done
            outcomes += counted
    for proxy in proxies.values():
        met += Counter(proxy.met)
        proxy.script()
    # To be read with `--junitxml`.
    request.node.user_properties += [("outcomes", dict(outcomes)), ("faults that were met", dict(met))]

    assert outcomes.total() == PUTS
    assert outcomes["stored"] > PUTS / 2
    assert outcomes["failed"] > 0
    assert outcomes["failed with a deadline"] > 0
    assert set(met) == {type(fault).__name__ for fault in FAULTS}
    assert min(met.values()) > 0

    # Every acknowledged object is there, exactly.
    assert {info.key for info in broker.list()} == set(stored)
    for key, data in stored.items():
        assert broker.read(key) == data

    # And everything at the providers is named by a row, once what is known to be left over is removed.
    rows = {(c.target, c.physical) for key in stored for c in broker._flow.index.current(key).copies}
    known = rows | {(item.target, item.physical) for item in broker.leftovers()}
    assert held(providers) <= known
    for _ in range(3):
        clock[0] += timedelta(days=1)
        broker.sweep()
    assert broker.leftovers() == []
    assert held(providers) == rows
    for server in providers.values():
        store = opened(server)
        # One that was begun twice by the network stays, known to nobody; it holds nothing.
        assert [u for u in store.uploads() if store.multipart(u.key, upload_id=u.id).parts()] == []
        store.close()


def opened(server):
    return build(server.binding("objects"))


def held(providers):
    """Return every object at the providers: the target, and the name."""
    found = set()
    for target, server in providers.items():
        store = opened(server)
        found |= {(target, info.key) for page in store.list() for info in page.objects}
        store.close()
    return found
