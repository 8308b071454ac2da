"""One store, used by several threads and by forked children, and closed."""

# ruff: noqa: S101 - this is a test suite: it asserts, and numbers in assertions are the expectation

from __future__ import annotations

import faulthandler
import json
import os
import random
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from typing import cast

import pytest

from sovbroker.errors import AlreadyExists, NotFound, NotSupported, Unavailable
from sovbroker.ports import Feature, Store
from sovbroker.testing.conformance.traits import Traits, load, pattern, usable

__all__ = ["SharingSuite", "in_child"]

THREADS = 16
CHILDREN = 3
STEPS = 12
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

    def test_threads_agree_with_a_dictionary(self, store: Store) -> None:
        """Whatever 16 threads do at once, each under its own keys, is what one dictionary says in the end."""
        model: dict[str, bytes] = {}

        def work(number: int) -> None:
            chance = random.Random(number)  # noqa: S311 - test data, the same each time
            for _ in range(STEPS):
                key = f"threads/{number}/{chance.randrange(3)}"
                match chance.choice(("put", "put", "get", "delete", "list")):
                    case "put":
                        body = pattern(chance.choice((0, 10, 70_000)), seed=chance.randrange(1 << 30))
                        store.put(key, body, size=len(body))
                        model[key] = body
                    case "get" if key in model:
                        assert load(store, key) == model[key]
                        assert store.head(key).size == len(model[key])
                    case "get":
                        with pytest.raises(NotFound):
                            store.get(key)
                    case "delete":
                        store.delete(key)
                        model.pop(key, None)
                    case _:
                        mine = f"threads/{number}/"
                        found = sorted(info.key for page in store.list(mine) for info in page.objects)
                        assert found == sorted(key for key in [*model] if key.startswith(mine))

        with ThreadPoolExecutor(THREADS) as pool:
            for task in [pool.submit(work, number) for number in range(THREADS)]:
                task.result()
        assert {key: load(store, key) for key in model} == model
        assert {info.key for page in store.list("threads/") for info in page.objects} == set(model)

    def test_a_forked_child_uses_it(self, store: Store) -> None:
        """And so does the parent, at the same time and afterwards."""
        data = pattern(100_000)
        store.put("object", data, size=len(data))

        def use() -> list[int]:
            store.put("child", data, size=len(data))
            return [len(load(store, "object")), int(load(store, "child") == data)]

        with in_child(use) as child:
            for _ in range(10):
                assert load(store, "object") == data
        assert child() == [len(data), 1]
        assert load(store, "object") == data
        if self.shared:
            assert load(store, "child") == data

    def test_children_of_a_busy_parent_use_it(self, store: Store) -> None:
        """Several at once, forked while the parent's threads are in the middle of something."""
        data = pattern(20_000)
        done = threading.Event()

        def keep_busy(number: int) -> int:
            turns = 0
            while not done.is_set():
                store.put(f"busy/{number}", data, size=len(data))
                assert load(store, f"busy/{number}") == data
                turns += 1
            return turns

        def use(number: int) -> list[int]:
            mine = f"child/{number}/"
            for index in range(3):
                store.put(f"{mine}{index}", data, size=len(data))
            store.delete(f"{mine}0")
            listed = [info.key for page in store.list(mine) for info in page.objects]
            assert sorted(listed) == [f"{mine}1", f"{mine}2"]
            return [int(load(store, key) == data) for key in listed]

        with ThreadPoolExecutor(CHILDREN) as pool, ExitStack() as children:
            busy = [pool.submit(keep_busy, number) for number in range(CHILDREN)]
            try:
                found = [children.enter_context(in_child(partial(use, number))) for number in range(CHILDREN)]
                assert [child() for child in found] == [[1, 1]] * CHILDREN
            finally:
                done.set()
            assert all(task.result() for task in busy)
        for number in range(CHILDREN):
            assert load(store, f"busy/{number}") == data
            if self.shared:
                assert load(store, f"child/{number}/2") == data

    def test_one_of_many_processes_wins(self, store: Store) -> None:
        """With `if_absent`, exactly one of the parent and its children, for each key."""
        if not usable(store, Feature.CONDITIONAL_PUT):
            with pytest.raises(NotSupported):
                store.put("raced", b"x", size=1, if_absent=True)
            return
        keys = range(4)

        def race(who: int) -> list[int]:
            won: list[int] = []
            for key in keys:
                with suppress(AlreadyExists):
                    store.put(f"raced/{key}", b"%d" % who * 1000, size=1000, if_absent=True)
                    won.append(key)
            return won

        store.put("before", b"x", size=1)
        with ExitStack() as children:
            found = [children.enter_context(in_child(partial(race, who))) for who in range(1, CHILDREN + 1)]
            won = [race(0), *(child() for child in found)]
        if not self.shared and not self.remembers:
            # Each has a store of its own from the fork on.
            assert won == [list(keys)] * len(won)
            return
        assert sorted(key for one in won for key in one) == list(keys)
        for who, mine in enumerate(won if self.shared else ()):
            for key in mine:
                assert load(store, f"raced/{key}") == b"%d" % who * 1000

    def test_closes_twice(self, store: Store) -> None:
        """Closing is idempotent, before and after use."""
        store.put("object", b"x", size=1)
        store.close()
        store.close()


@contextmanager
def in_child(work: Callable[[], list[int]]) -> Generator[Callable[[], list[int]]]:
    """Fork, and let the child do `work` meanwhile; what is yielded waits for it, and returns what `work` returned.

    AssertionError, with the child's own words, when it failed, or did not end by itself and was ended.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Newer versions of Python warn of what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        said = ""
        # A child that hangs tells where, before it is ended.
        faulthandler.dump_traceback_later(CHILD_WITHIN * 0.95, file=writing)
        try:
            said = json.dumps(work())
        except BaseException:  # noqa: BLE001 - told to the parent, where it fails the test
            said = traceback.format_exc()
        finally:
            faulthandler.cancel_dump_traceback_later()
            os.write(writing, said.encode()[-50_000:])
            os._exit(0)
    os.close(writing)
    # Once it has been waited for, there is no such child any more: what became of it is kept.
    ended = cache(lambda: _end_of(child, reading))

    def wait() -> list[int]:
        code, said = ended()
        assert code == 0, f"the child ended with {code}: {said}"
        assert said.startswith("["), said
        return cast("list[int]", json.loads(said))

    try:
        yield wait
    finally:
        ended()
    wait()


def _end_of(child: int, reading: int) -> tuple[int, str]:
    """Return a child's exit code and what it said."""
    code = exit_code(child)
    with os.fdopen(reading, "rb") as pipe:
        return code, pipe.read().decode()


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
