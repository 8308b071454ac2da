"""One store, used by several threads and by a forked child, and closed."""

# ruff: noqa: S101 - this is a test suite: it asserts, and numbers in assertions are the expectation

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from sovbroker.errors import AlreadyExists, NotSupported, Unavailable
from sovbroker.ports import Feature, Store
from sovbroker.testing.conformance.traits import Traits, load, pattern, usable

__all__ = ["SharingSuite"]

THREADS = 16
CHILD_WITHIN = 60.0


class SharingSuite(Traits):
    """What holds when a store is shared."""

    def test_threads_share_a_store(self, store: Store) -> None:
        """Each sees its own objects, whole."""

        def work(number: int) -> bool:
            key, data = f"thread/{number}", pattern(50_000 + number, seed=number)
            store.put(key, data, size=len(data))
            same = load(store, key) == data and store.head(key).size == len(data)
            store.delete(key)
            return same

        with ThreadPoolExecutor(THREADS) as pool:
            assert all(pool.map(work, range(THREADS * 3)))
        assert list(store.list("thread/")) == []

    def test_one_of_many_writers_wins(self, store: Store) -> None:
        """With `if_absent`, exactly one of those that race."""
        if not usable(store, Feature.CONDITIONAL_PUT):
            with pytest.raises(NotSupported):
                store.put("raced", b"x", size=1, if_absent=True)
            return
        start = threading.Barrier(THREADS)

        def race(number: int) -> int | None:
            body = b"%d" % number * 1000
            start.wait()
            try:
                store.put("raced", body, size=len(body), if_absent=True)
            except AlreadyExists:
                return None
            return number

        with ThreadPoolExecutor(THREADS) as pool:
            winners = [number for number in pool.map(race, range(THREADS)) if number is not None]
        assert len(winners) == 1
        assert load(store, "raced") == b"%d" % winners[0] * 1000

    def test_readers_see_the_old_object_or_the_new_one(self, store: Store) -> None:
        """While it is being replaced. A reader may be told Unavailable; it is never given a mixture."""
        bodies = {letter: letter * length for letter, length in ((b"a", 200_000), (b"b", 70_000))}
        store.put("object", bodies[b"a"], size=len(bodies[b"a"]))
        done = threading.Event()

        def write() -> None:
            try:
                for number in range(20):
                    body = bodies[b"ba"[number % 2 : number % 2 + 1]]
                    store.put("object", body, size=len(body))
            finally:
                done.set()

        writer = threading.Thread(target=write)
        writer.start()
        seen: list[bytes] = []
        while not done.is_set():
            try:
                with store.get("object") as reader:
                    data = reader.read()
                    assert len(data) == reader.info.size
            except Unavailable:
                continue
            seen.append(data)
        writer.join()
        assert set(seen) <= set(bodies.values())
        assert load(store, "object") in bodies.values()

    def test_a_forked_child_uses_it(self, store: Store) -> None:
        """And so does the parent, at the same time and afterwards."""
        data = pattern(100_000)
        store.put("object", data, size=len(data))
        with warnings.catch_warnings():
            # Newer versions of Python warn of what is tested here.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                store.put("child", data, size=len(data))
                code = 0 if load(store, "object") == data == load(store, "child") else 2
            finally:
                os._exit(code)
        for _ in range(10):
            assert load(store, "object") == data
        assert exit_code(child) == 0
        assert load(store, "object") == data

    def test_closes_twice(self, store: Store) -> None:
        """Closing is idempotent, before and after use."""
        store.put("object", b"x", size=1)
        store.close()
        store.close()


def exit_code(child: int) -> int:
    """Wait for a child, and end it when it does not end by itself."""
    deadline = time.monotonic() + CHILD_WITHIN
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
