"""The awaited broker: the same as the other one, and at every moment that a call can be cancelled, all or nothing."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import os
import threading
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sovbroker.aio
from sovbroker.aio import AsyncBroker
from sovbroker.aio.halting import HaltingBroker
from sovbroker.broker import Broker
from sovbroker.errors import (
    AlreadyExists,
    ConfigError,
    Conflict,
    InvalidArgument,
    NotFound,
    Refused,
    SovbrokerError,
    Unavailable,
)
from sovbroker.keyrings import Keyrings
from sovbroker.objects import Folder
from sovbroker.placements import SqliteIndex
from sovbroker.router import Targets
from sovbroker.transfer import outgoing

KEY = "confidential/a"
OLD = b"the old version"
CHUNK = 16 << 10
SECRET = "SOVBROKER_TEST_SECRET"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Cut at sizes that a test can afford: one request up to 4 chunks, parts of 2."""
    monkeypatch.setattr(outgoing, "PART", 2 * CHUNK)
    monkeypatch.setattr(outgoing, "SMALL", 4 * CHUNK)
    monkeypatch.setattr("sovbroker.aio.sources.PIECE", CHUNK)


def run(clouds, main, **options):
    """Run `main(broker)`, with an open broker, in a loop of its own."""

    async def whole():
        async with AsyncBroker(clouds.open(), **options) as broker:
            return await main(broker)

    return asyncio.run(whole())


async def pieces(count, *, size=CHUNK, fail_after=None):
    for n in range(count):
        if n == fail_after:
            raise RuntimeError("the source broke")
        await asyncio.sleep(0)
        yield bytes([n % 256]) * size


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)


# --- the same API


def faces():
    """Return every public name of the broker, and whether it is a method."""
    return [(name, inspect.isfunction(value)) for name, value in vars(Broker).items() if not name.startswith("_")]


def test_there_is_everything_that_the_broker_has():
    assert len(faces()) > 20
    assert not [name for name, _ in faces() if not hasattr(AsyncBroker, name)]


@pytest.mark.parametrize("name", [name for name, method in faces() if method])
def test_a_method_takes_what_the_brokers_takes(name):
    theirs = inspect.signature(getattr(Broker, name)).parameters
    ours = inspect.signature(getattr(AsyncBroker, name)).parameters
    assert [*ours] == [*theirs]
    for each in theirs:
        assert ours[each].kind == theirs[each].kind
        assert ours[each].default == theirs[each].default
        if each != "data":
            assert ours[each].annotation == theirs[each].annotation


@pytest.mark.parametrize("name", [name for name, method in faces() if method])
def test_a_method_is_awaited(name):
    method = getattr(AsyncBroker, name)
    inner = inspect.unwrap(method)
    if name in {"get", "writer"}:
        assert inspect.isasyncgenfunction(inner)
        assert not inspect.isasyncgenfunction(method)
    elif name == "list":
        assert inspect.isasyncgenfunction(method)
    else:
        assert inspect.iscoroutinefunction(method)


def test_opening_takes_what_open_takes():
    theirs = inspect.signature(sovbroker.open).parameters
    ours = inspect.signature(sovbroker.aio.open).parameters
    assert [*ours] == [*theirs, "threads"]
    assert all(ours[name].default == theirs[name].default for name in theirs)


def test_whatever_blocks_on_the_way_is_awaited():
    """A new method of these would have to be awaited too: keys are opened, and targets are not asked anything."""
    assert {name for name, value in vars(Targets).items() if inspect.isfunction(value) and name[0] != "_"} == {
        "list",
        "probe",
    }
    public = {name for name in vars(Keyrings) if not name.startswith("_")}
    assert public == {"domain", "by_kid", "epochs", "owner", "keyring", "status", "close"}


def test_an_awaited_broker_shares_the_state_of_the_broker_that_it_is_put_over(broker):
    face = HaltingBroker(broker)
    face.put(KEY, OLD)
    assert broker.read(KEY) == OLD
    assert face._flow is broker._flow
    assert face._flow.pool() is broker._executor()


def test_every_call_does_what_the_brokers_does(clouds):
    async def main(broker):
        stored = await broker.put("public/a/1", b"one", metadata={"k": "v"}, content_type="text/plain")
        assert (stored.key, stored.size) == ("public/a/1", 3)
        assert await broker.read("public/a/1") == b"one"
        assert await broker.read("public/a/1", range=(1, 9)) == b"ne"
        info = await broker.stat("public/a/1")
        assert (info.content_type, info.metadata) == ("text/plain", {"k": "v"})
        assert [each.version for each in await broker.versions("public/a/1")] == [stored.version]
        assert await broker.exists("public/a/1")
        await broker.copy("public/a/1", "public/b/1")
        await broker.move("public/b/1", "public/b/2")
        assert not await broker.exists("public/b/1")
        assert (await broker.relabel("public/b/2", "internal")).label == "internal"
        assert (await broker.explain("public/b/2", operation="copy")).allowed
        assert (await broker.exit_ticket("public/b/2", reveal_key=True)).dek
        names = [each.key async for each in broker.list("public/")]
        assert names == ["public/a/1", "public/b/2"]
        assert [each async for each in broker.list("public/", delimiter="/")] == [
            Folder("public/a/"),
            Folder("public/b/"),
        ]
        assert not (await broker.reload()).taken
        assert broker.reloaded is not None
        assert set(await broker.keys.status()) == {"main"}
        assert {place.target.id for place in broker.targets.list()} == set(broker.places)
        assert broker.policy.digest
        failures = await broker.delete_many(["public/a/1", "public/none"])
        assert [*failures] == ["public/none"]
        await broker.delete("public/b/2")
        assert await broker.leftovers() == []
        assert await broker.sweep() == 0
        assert clouds.held() == {}

    run(clouds, main)


def test_errors_are_those_of_the_broker(clouds):
    async def main(broker):
        await broker.put(KEY, OLD)
        for wrong, call in [
            (NotFound, broker.read("none")),
            (NotFound, broker.stat("none")),
            (NotFound, broker.delete("none")),
            (InvalidArgument, broker.put("../up", b"")),
            (InvalidArgument, broker.put(KEY, "text")),
            (InvalidArgument, broker.put(KEY, io.StringIO("text"))),
            (InvalidArgument, broker.put(KEY, 3)),
            (InvalidArgument, broker.exit_ticket(KEY)),
            (AlreadyExists, broker.put(KEY, b"", if_absent=True)),
            (AlreadyExists, broker.put(KEY, pieces(1), if_absent=True)),
            (Conflict, broker.put(KEY, pieces(1), if_version="another")),
            (Conflict, broker.delete(KEY, if_version="another")),
        ]:
            with pytest.raises(wrong):
                await call
        with pytest.raises(NotFound):
            async with broker.get("none"):
                pytest.fail("there is nothing to open")
        with pytest.raises(AlreadyExists):
            async with broker.writer(KEY, if_absent=True):
                pytest.fail("there is nothing to write")
        assert await broker.read(KEY) == OLD

    run(clouds, main)


def test_a_refusal_asks_nothing_of_the_source(clouds):
    clouds.write(targets=["aws/eu-west-3"])

    async def source():
        pytest.fail("the source was asked")
        yield b""

    async def main(broker):
        for data in (b"x", source()):
            with pytest.raises(Refused):
                await broker.put("restricted/a", data)

    run(clouds, main)
    assert clouds.held() == {}


# --- opening and closing


def test_open_is_awaited_or_entered(clouds):
    clouds.write()

    async def main():
        path = clouds.folder / "sovbroker.yaml"
        async with sovbroker.aio.open(path, clock=lambda: clouds.now) as broker:
            await broker.put(KEY, OLD)
        again = await sovbroker.aio.open(path, threads=1)
        assert await again.read(KEY) == OLD
        await again.close()
        await again.close()
        with pytest.raises(InvalidArgument, match="closed"):
            await again.read(KEY)

    asyncio.run(main())


def test_what_cannot_be_opened_leaves_no_thread(tmp_path):
    async def main():
        with pytest.raises(ConfigError):
            await sovbroker.aio.open(tmp_path / "none.yaml")
        with pytest.raises(InvalidArgument):
            await sovbroker.aio.open(tmp_path / "none.yaml", threads=0)

    before = set(threading.enumerate())
    asyncio.run(main())
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive()


def test_closing_waits_for_calls_and_aborts_writers(clouds):
    step = Steps(clouds)

    async def main():
        broker = AsyncBroker(clouds.open())
        writer = broker.writer("confidential/b")
        inner = await writer.__aenter__()
        await inner.write(bytes(9 * CHUNK))
        step.hold_at(1, operation="put")
        put = asyncio.create_task(broker.put(KEY, OLD))
        await step.reached()
        closing = asyncio.create_task(broker.close())
        await turns()
        assert not closing.done()
        step.let_go()
        await closing
        assert (await put).key == KEY
        with pytest.raises(InvalidArgument, match="closed"):
            await inner.write(b"more")
        await writer.__aexit__(None, None, None)
        assert inner.stored is None

    asyncio.run(main())
    broker = clouds.open()
    assert [info.key for info in broker.list()] == [KEY]
    assert broker.leftovers() == []
    assert clouds.unfinished() == []
    assert len(clouds.held()) == 2


def test_a_put_from_a_source_that_outlives_the_broker_commits_nothing(clouds):
    async def main():
        broker = AsyncBroker(clouds.open())

        async def source():
            yield bytes(9 * CHUNK)
            await broker.close()

        with pytest.raises(InvalidArgument, match="closed"):
            await broker.put(KEY, source())

    asyncio.run(main())
    broker = clouds.open()
    assert not broker.exists(KEY)
    assert broker.leftovers() == []
    assert clouds.held() == {}


def test_threads_and_loops_share_a_broker(clouds):
    inner = clouds.open()
    broker = AsyncBroker(inner, threads=3)
    wrong = []

    def loop(number):
        async def main():
            keys = [f"public/{number}/{n}" for n in range(10)]
            await asyncio.gather(*(broker.put(key, key.encode()) for key in keys))
            return await asyncio.gather(*(broker.read(key) for key in keys))

        if asyncio.run(main()) != [f"public/{number}/{n}".encode() for n in range(10)]:
            wrong.append(number)

    threads = [threading.Thread(target=loop, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len([*inner.list("public/")]) == 40
    asyncio.run(broker.close())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_broker_used_before_a_fork_works_in_the_child(clouds):
    broker = AsyncBroker(clouds.open())
    asyncio.run(broker.put(KEY, OLD))
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = 0 if asyncio.run(broker.read(KEY)) == OLD else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert asyncio.run(broker.read(KEY)) == OLD
    asyncio.run(broker.close())


# --- data that is awaited, and files


class Upload:
    """An async file, as web frameworks give them."""

    def __init__(self, data):
        self._file = io.BytesIO(data)

    async def read(self, size=-1):
        await asyncio.sleep(0)
        return self._file.read(size)


@pytest.mark.parametrize("size", [0, 1, 4 * CHUNK, 4 * CHUNK + 1, 11 * CHUNK + 5])
@pytest.mark.parametrize(
    "kind",
    ["bytes", "bytearray", "file", "path", "iterable", "async iterable", "async file"],
)
def test_data_of_every_kind_arrives(clouds, tmp_path, kind, size):
    noise = os.urandom(size)
    cut = [noise[start : start + 1000] for start in range(0, size, 1000)]
    path = tmp_path / "data"
    path.write_bytes(noise)

    async def awaited():
        for piece in cut:
            yield piece

    async def main(broker):
        with path.open("rb") as file:
            data = {
                "bytes": noise,
                "bytearray": bytearray(noise),
                "file": file,
                "path": path,
                "iterable": iter(cut),
                "async iterable": awaited(),
                "async file": Upload(noise),
            }[kind]
            stored = await broker.put(KEY, data)
        assert stored.size == size
        assert await broker.read(KEY) == noise
        async with broker.get(KEY) as opened:
            assert b"".join([piece async for piece in opened]) == noise
        async with broker.writer("confidential/b") as writer:
            for piece in cut:
                assert await writer.write(piece) == len(piece)
        assert writer.stored.size == size
        assert await broker.read("confidential/b") == noise

    run(clouds, main)


@pytest.mark.parametrize("after", [0, 1, 5, 9])
def test_a_source_that_fails_commits_nothing(clouds, after):
    async def main(broker):
        await broker.put(KEY, OLD)
        with pytest.raises(RuntimeError, match="the source broke"):
            await broker.put(KEY, pieces(12, fail_after=after))
        assert await broker.read(KEY) == OLD
        assert await broker.leftovers() == []

    run(clouds, main)
    assert len(clouds.held()) == 2
    assert clouds.unfinished() == []


def test_a_writer_that_is_left_by_an_error_commits_nothing(clouds):
    async def fill(broker):
        async with broker.writer(KEY) as writer:
            await writer.write(bytes(9 * CHUNK))
            raise RuntimeError("the caller broke")

    async def main(broker):
        await broker.put(KEY, OLD)
        with pytest.raises(RuntimeError, match="the caller broke"):
            await fill(broker)
        async with broker.writer(KEY) as writer:
            await writer.write(b"x")
            await writer.abort()
            with pytest.raises(InvalidArgument):
                await writer.write(b"y")
        assert writer.stored is None
        assert await broker.read(KEY) == OLD
        assert await broker.leftovers() == []

    run(clouds, main)


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("size", [1, 9 * CHUNK])
def test_a_writer_whose_write_was_cancelled_commits_nothing(clouds, begun, size):
    """Even where the block goes on as if nothing had happened, and where no thread had begun to write."""

    async def main(broker):
        await broker.put(KEY, OLD)
        steps = Steps(clouds)
        context = broker.writer(KEY)
        writer = await context.__aenter__()
        held, go = threading.Event(), threading.Event()
        write = writer._writer.write

        def slow(data):
            held.set()
            assert go.wait(30)
            return write(data)

        if begun:
            writer._writer.write = slow
        else:
            steps.hold_at(1)
            other = asyncio.create_task(broker.read(KEY))
            await steps.reached(other)
        task = asyncio.create_task(writer.write(noise(size)))
        await turns()
        if begun:
            assert await asyncio.to_thread(held.wait, 30)
        task.cancel()
        await turns()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        steps.let_go()
        with pytest.raises(InvalidArgument, match="cancelled"):
            await writer.write(b"more")
        with pytest.raises(InvalidArgument, match="data is missing"):
            await context.__aexit__(None, None, None)
        if not begun:
            assert await other == OLD
        assert writer.stored is None
        assert await broker.read(KEY) == OLD
        assert await broker.leftovers() == []

    run(clouds, main, threads=1)


def test_copies_from_one_key_to_another_need_no_second_thread(clouds):
    """A put that held its thread while it waits for a read would wait for ever."""

    async def relay(broker, n):
        async with broker.get(KEY) as file:
            await broker.put(f"confidential/{n}", file)

    async def main(broker):
        data = os.urandom(9 * CHUNK)
        await broker.put(KEY, data)
        await asyncio.gather(*(relay(broker, n) for n in range(5)))
        assert [await broker.read(f"confidential/{n}") for n in range(5)] == [data] * 5

    run(clouds, main, threads=1)


def test_a_file_can_be_positioned(clouds):
    async def main(broker):
        await broker.put(KEY, b"0123456789")
        async with broker.get(KEY) as file:
            assert file.info.size == 10
            assert await file.read(3) == b"012"
            assert await file.tell() == 3
            assert await file.seek(-2, io.SEEK_END) == 8
            assert await file.read() == b"89"
            assert await file.read() == b""
            with pytest.raises(InvalidArgument):
                await file.seek(-1)
            await file.close()
            with pytest.raises(ValueError, match="closed"):
                await file.read()

    run(clouds, main)


def test_a_file_is_for_one_task_at_a_time(clouds):
    async def main(broker):
        await broker.put(KEY, b"0123456789")
        async with broker.get(KEY) as file:
            first = asyncio.create_task(file.read(1))
            await asyncio.sleep(0)
            with pytest.raises(InvalidArgument, match="another task"):
                await file.read(1)
            assert await first == b"0"
        async with broker.writer("confidential/b") as writer:
            first = asyncio.create_task(writer.write(b"a"))
            await asyncio.sleep(0)
            with pytest.raises(InvalidArgument, match="another task"):
                await writer.write(b"b")
            await first
        assert await broker.read("confidential/b") == b"a"

    run(clouds, main)


def test_progress_is_told_in_the_loop(clouds):
    told = []

    async def main(broker):
        def progress(sent, size):
            told.append((asyncio.get_running_loop(), threading.current_thread(), sent, size))

        for data in (bytes(9 * CHUNK), pieces(9)):
            told.clear()
            await broker.put(KEY, data, progress=progress)
            assert {(loop, thread) for loop, thread, *_ in told} == {
                (asyncio.get_running_loop(), threading.main_thread())
            }
            assert told[-1][2] == 9 * CHUNK
            assert len(told) > 2

    run(clouds, main)


def test_what_progress_raises_goes_to_the_loop_and_stops_nothing(clouds):
    heard = []

    async def main(broker):
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context["exception"]))
        await broker.put(KEY, OLD, progress=lambda *_: 1 // 0)
        assert await broker.read(KEY) == OLD

    run(clouds, main)
    assert {type(error) for error in heard} == {ZeroDivisionError}


def test_a_listing_is_read_at_most_a_page_ahead(clouds, monkeypatch):
    monkeypatch.setattr("sovbroker.aio.broker.PAGE", 3)
    given_out = [0]
    keys = [f"public/{n:02}" for n in range(20)]

    async def main(broker):
        for key in keys:
            await broker.put(key, b"")
        scan = SqliteIndex.scan

        def counted(self, prefix="", *, after=""):
            for row in scan(self, prefix, after=after):
                given_out[0] += 1
                yield row

        monkeypatch.setattr(SqliteIndex, "scan", counted)
        used = 0
        async for info in broker.list("public/"):
            assert info.key == keys[used]
            used += 1
            await turns()
            assert given_out[0] <= -(-used // 3) * 3 + 3
        assert used == 20
        given_out[0] = 0
        async for _ in broker.list("public/"):
            break
        await asyncio.sleep(0)
        assert given_out[0] <= 6

    run(clouds, main)


# --- nothing blocks the loop


class Steps:
    """Every call that the broker makes of its stores, in order; a test may hold it at one of them.

    Held, a thread waits for the event loop: a loop that was blocked by the call would never let it go.
    """

    def __init__(self, clouds):
        self._clouds = clouds
        self._lock = threading.Lock()
        self.restart()
        clouds.before = self._before

    def restart(self):
        self.seen = []
        self._at, self._operation = 0, None
        self._held, self._go = threading.Event(), threading.Event()

    def hold_at(self, number, *, operation=None):
        """Hold at the n-th call from now, of one operation or of any."""
        self.restart()
        self._at, self._operation = number, operation

    def _before(self, target, operation, key):
        with self._lock:
            self.seen.append(operation)
            count = len([each for each in self.seen if self._operation in {None, each}])
            hold = count == self._at and self._operation in {None, operation}
        if hold:
            self._held.set()
            assert self._go.wait(30), "the loop was blocked"

    async def reached(self, task=None):
        """Wait until a call is held, or `task` is done; tell which."""
        while not self._held.is_set() and not (task is not None and task.done()):  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0.0005)
        return self._held.is_set()

    def let_go(self):
        self._go.set()


BLOCKING = {
    "put": lambda broker: broker.put("confidential/b", bytes(9 * CHUNK)),
    "put from a source": lambda broker: broker.put("confidential/b", pieces(9)),
    "read": lambda broker: broker.read(KEY),
    "read a range": lambda broker: broker.read(KEY, range=(0, 1)),
    "copy": lambda broker: broker.copy(KEY, "confidential/b"),
    "move": lambda broker: broker.move(KEY, "confidential/b"),
    "relabel": lambda broker: broker.relabel(KEY, "restricted"),
    "delete": lambda broker: broker.delete(KEY),
    "delete many": lambda broker: broker.delete_many([KEY]),
}


@pytest.mark.parametrize("name", BLOCKING)
def test_the_loop_goes_round_while_a_store_does_not_answer(clouds, name):
    async def main(broker):
        await broker.put(KEY, OLD)
        steps = Steps(clouds)
        steps.hold_at(1)
        call = asyncio.create_task(BLOCKING[name](broker))
        assert await steps.reached(call)
        await turns(200)
        assert not call.done()
        steps.let_go()
        await call

    run(clouds, main)


def test_the_loop_goes_round_while_the_state_is_locked(clouds):
    async def main(broker):
        await broker.put(KEY, OLD)
        index = broker._broker._flow.index
        calls = [
            broker.stat(KEY),
            broker.exists(KEY),
            broker.versions(KEY),
            broker.explain(KEY),
            broker.leftovers(),
            broker.sweep(),
            broker.exit_ticket(KEY, reveal_key=True),
            anext(broker.list()),
        ]
        release, locked = threading.Event(), threading.Event()

        def lock():
            with index._looking, index._lock:
                locked.set()
                release.wait(30)

        holder = threading.Thread(target=lock)
        holder.start()
        locked.wait(30)
        tasks = [asyncio.create_task(asyncio.wait_for(call, None)) for call in calls]
        await turns(200)
        assert not any(task.done() for task in tasks)
        release.set()
        await asyncio.gather(*tasks)
        holder.join()

    run(clouds, main)


# --- cancelled at every moment


def state(broker, clouds):
    """Return what is committed, and check that whatever else lies at a provider is known."""
    rows = {info.key: (info.version, broker.read(info.key)) for info in broker.list()}
    named = {(c.target, c.physical) for key in rows for v in broker._flow.index.versions(key) for c in v.copies}
    known = {(item.target, item.physical) for item in broker.leftovers()}
    assert set(clouds.held()) <= named | known
    assert {upload.key for upload in clouds.unfinished()} <= {physical for _, physical in known}
    return rows


def noise(size):
    return bytes(n * 7 % 256 for n in range(size))


SMALL = noise(CHUNK)
LARGE = noise(9 * CHUNK)


async def write_large(broker):
    async with broker.writer(KEY) as writer:
        for start in range(0, len(LARGE), CHUNK):
            await writer.write(LARGE[start : start + CHUNK])
    return writer.stored


async def large_pieces():
    for start in range(0, len(LARGE), CHUNK):
        await asyncio.sleep(0)
        yield LARGE[start : start + CHUNK]


# What is called, and what there is afterwards when it was done; `confidential/src` is LARGE beforehand.
CHANGES = {
    "put": (lambda broker: broker.put(KEY, SMALL), {KEY: SMALL}),
    "put in parts": (lambda broker: broker.put(KEY, LARGE), {KEY: LARGE}),
    "put of a file": (lambda broker: broker.put(KEY, io.BytesIO(LARGE)), {KEY: LARGE}),
    "put of an iterable": (lambda broker: broker.put(KEY, iter([LARGE[:CHUNK], LARGE[CHUNK:]])), {KEY: LARGE}),
    "put of a source": (lambda broker: broker.put(KEY, large_pieces()), {KEY: LARGE}),
    "put of an upload": (lambda broker: broker.put(KEY, Upload(LARGE)), {KEY: LARGE}),
    "writer": (write_large, {KEY: LARGE}),
    "copy": (lambda broker: broker.copy("confidential/src", KEY), {KEY: LARGE}),
    "move": (lambda broker: broker.move("confidential/src", KEY), {KEY: LARGE, "confidential/src": None}),
    "relabel": (lambda broker: broker.relabel("confidential/src", "restricted"), {"confidential/src": LARGE}),
    "delete": (lambda broker: broker.delete(KEY), {KEY: None}),
}


def check(broker, clouds, before, task, done):
    """Check that all was done and told, or nothing; return whether it was."""
    after = state(broker, clouds)
    if task.cancelled():
        assert after == before
        return False
    result = task.result()
    expected = {key: body for key, (_, body) in before.items()} | done
    assert {key: body for key, (_, body) in after.items()} == {k: b for k, b in expected.items() if b is not None}
    if result is not None:
        assert after[result.key][0] == result.version != before.get(result.key, ("",))[0]
    return True


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_cancelled_at_any_call_of_a_store_is_done_or_not(clouds, name):
    """Held at the n-th call, cancelled, and let go; for every n until the change needs no n calls."""
    change, done = CHANGES[name]
    inner = clouds.open()
    steps = Steps(clouds)
    outcomes = []

    async def cancelled_at(number):
        inner.put(KEY, OLD)
        inner.put("confidential/src", LARGE)
        steps.restart()
        before = state(inner, clouds)
        steps.hold_at(number)
        task = asyncio.create_task(change(broker))
        held = await steps.reached(task)
        if held:
            task.cancel()
            await turns(5)
            assert not task.done(), "it went on before its thread had stopped"
            steps.let_go()
            await asyncio.wait([task])
            operation = steps.seen[number - 1]
            steps.restart()
            outcomes.append((operation, check(inner, clouds, before, task, done)))
        else:
            await task
        return held

    async def main():
        number = 1
        while await cancelled_at(number):
            number += 1
            inner.delete_many([info.key for info in inner.list()])

    broker = AsyncBroker(inner)
    asyncio.run(main())
    asyncio.run(broker.close())
    # Up to the commit nothing is done, and after it everything: what replaces is cleaned up last.
    order = [committed for _, committed in outcomes]
    assert order == sorted(order)
    if name == "delete":
        assert all(order)
    else:
        assert not any(committed for operation, committed in outcomes if operation in {"put", "part", "multipart"})
        assert order[0] is False
        # A copy replaces nothing elsewhere; all the others have an old version to remove after their commit.
        assert order[-1] is True


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "delete"])
def test_a_change_cancelled_during_its_commit_returns_its_result(clouds, monkeypatch, name):
    change, done = CHANGES[name]
    inner = clouds.open()
    inner.put(KEY, OLD)
    inner.put("confidential/src", LARGE)
    before = state(inner, clouds)
    held, go = threading.Event(), threading.Event()
    commit = SqliteIndex.commit

    def slow(self, *args, **options):
        held.set()
        assert go.wait(30)
        return commit(self, *args, **options)

    monkeypatch.setattr(SqliteIndex, "commit", slow)
    log = []

    async def body(broker):
        log.append(await change(broker))
        await asyncio.sleep(30)
        log.append("went on")

    async def main():
        async with AsyncBroker(inner) as broker:
            task = asyncio.create_task(body(broker))
            assert await asyncio.to_thread(held.wait, 30)
            task.cancel()
            await turns()
            go.set()
            await asyncio.wait([task])
            assert task.cancelled()
            assert len(log) == 1
            after = state(inner, clouds)
            assert after[log[0].key][0] == log[0].version
            expected = {key: text for key, (_, text) in before.items()} | done
            assert {key: text for key, (_, text) in after.items()} == {k: b for k, b in expected.items() if b}

    asyncio.run(main())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([*CHANGES]),
    rounds=st.integers(0, 120),
    cancels=st.integers(1, 3),
    threads=st.integers(1, 3),
)
def test_a_change_cancelled_at_any_round_of_the_loop_is_done_or_not(clouds, name, rounds, cancels, threads):
    change, done = CHANGES[name]
    inner = clouds.open()
    inner.put(KEY, OLD)
    inner.put("confidential/src", LARGE)
    before = state(inner, clouds)

    async def main():
        broker = AsyncBroker(inner, threads=threads)
        task = asyncio.create_task(change(broker))
        for _ in range(rounds):
            # Threads make progress between two rounds, as much as the machine lets them.
            await asyncio.sleep(0.0001)
            if task.done():
                break
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        # No thread of the call works any more: what holds now holds.
        check(inner, clouds, before, task, done)
        await broker.close()

    asyncio.run(main())


@pytest.mark.parametrize("name", ["put in parts", "put of a source", "writer", "copy"])
def test_a_timeout_stops_a_change(clouds, name):
    change, _ = CHANGES[name]
    inner = clouds.open()
    inner.put(KEY, OLD)
    inner.put("confidential/src", LARGE)
    before = state(inner, clouds)
    steps = Steps(clouds)

    async def limited(broker, deadline):
        async with deadline:
            await change(broker)

    async def main():
        async with AsyncBroker(inner) as broker:
            steps.hold_at(2, operation="part")
            deadline = asyncio.timeout(None)
            task = asyncio.create_task(limited(broker, deadline))
            await steps.reached()
            deadline.reschedule(asyncio.get_running_loop().time())
            while not task.cancelling():  # noqa: ASYNC110 - by the clock of the loop
                await asyncio.sleep(0)
            for _ in range(5):
                # The loop hands the cancellation to the call, which tells its thread.
                await asyncio.sleep(0)
            steps.let_go()
            with pytest.raises(TimeoutError):
                await task
            steps.restart()
            assert state(inner, clouds) == before

    asyncio.run(main())


def test_a_cancelled_source_that_waits_for_data_is_undone(clouds):
    async def endless():
        yield bytes(9 * CHUNK)
        await asyncio.sleep(3600)

    async def main(broker):
        await broker.put(KEY, OLD)
        task = asyncio.create_task(broker.put(KEY, endless()))
        while not clouds.unfinished():  # noqa: ASYNC110 - begun by a thread
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await broker.read(KEY) == OLD
        assert await broker.leftovers() == []

    run(clouds, main)
    assert clouds.unfinished() == []
    assert len(clouds.held()) == 2


@pytest.mark.parametrize("kind", ["iterable", "file", "pipe"])
def test_data_that_is_long_in_coming_is_stopped_at_its_next_piece(clouds, kind):
    """The thread reads on as long as somebody wants it: one piece after the cancellation, and no more."""
    given_out = []
    reading, writing = os.pipe()
    waiting, go = threading.Event(), threading.Event()

    def source():
        while len(given_out) < 1000:
            given_out.append(1)
            if len(given_out) == 3:
                waiting.set()
                assert go.wait(30)
            yield b"piece"

    class File:
        def __init__(self):
            self._pieces = source()

        def read(self, size=-1):
            return next(self._pieces, b"")

    async def main(broker):
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            data = {"iterable": source(), "file": File(), "pipe": pipe}[kind]
            task = asyncio.create_task(broker.put(KEY, data))
            if kind == "pipe":
                os.write(writing, b"first")
                await asyncio.sleep(0.01)
            else:
                assert await asyncio.to_thread(waiting.wait, 30)
            task.cancel()
            await turns()
            os.write(writing, b"next")
            go.set()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not await broker.exists(KEY)
        assert await broker.leftovers() == []

    run(clouds, main)
    os.close(writing)
    assert len(given_out) <= 3


def test_a_cancelled_read_goes_on_at_once_and_its_file_is_closed_later(clouds):
    steps = Steps(clouds)
    opened = []

    async def main(broker):
        await broker.put(KEY, OLD)
        get = Broker.get

        def noted(self, key, **options):
            opened.append(get(self, key, **options))
            return opened[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Broker, "get", noted)
            for call in (broker.read(KEY), broker.get(KEY).__aenter__()):
                steps.hold_at(1, operation="get")
                task = asyncio.ensure_future(call)
                await steps.reached()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                steps.let_go()
            await broker.close()
        assert len(opened) == 2
        assert all(file.closed for file in opened)

    run(clouds, main)


def test_a_file_whose_read_was_cancelled_is_of_no_more_use(clouds):
    async def main(broker):
        await broker.put(KEY, noise(300 * CHUNK))
        async with broker.get(KEY) as file:
            raw = file._file.raw
            held, go = threading.Event(), threading.Event()
            readinto = raw.readinto

            def slow(buffer):
                held.set()
                assert go.wait(30)
                return readinto(buffer)

            raw.readinto = slow
            task = asyncio.create_task(file.read(10 * CHUNK))
            assert await asyncio.to_thread(held.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(InvalidArgument, match="open the object again"):
                await file.read(1)
        assert not raw.closed
        go.set()
        await broker.close()
        assert raw.closed

    run(clouds, main)


def test_a_listing_that_is_cancelled_or_left_leaves_the_broker_usable(clouds, monkeypatch):
    monkeypatch.setattr("sovbroker.aio.broker.PAGE", 2)

    async def walk(broker):
        async for _ in broker.list():
            await asyncio.sleep(0.001)

    async def main(broker):
        for n in range(9):
            await broker.put(f"public/{n}", b"")
        for rounds in range(12):
            task = asyncio.create_task(walk(broker))
            await turns(rounds)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert len([info async for info in broker.list()]) == 9

    run(clouds, main, threads=1)


def test_deletions_stop_between_two_keys(clouds):
    steps = Steps(clouds)
    keys = [f"public/{n}" for n in range(6)]

    async def main(broker):
        for key in keys:
            await broker.put(key, b"")
        steps.hold_at(3, operation="delete")
        task = asyncio.create_task(broker.delete_many(keys))
        await steps.reached()
        gone = steps.seen.count("delete")
        task.cancel()
        await turns()
        steps.let_go()
        with pytest.raises(asyncio.CancelledError):
            await task
        left = [info.key async for info in broker.list()]
        assert 0 < len(left) < len(keys)
        assert left == keys[-len(left) :]
        assert gone == 3

    run(clouds, main)
    broker = clouds.open()
    state(broker, clouds)


def test_what_cannot_be_removed_after_a_cancellation_stays_known(clouds):
    """The provider fails at the very moment when the cancelled write is cleaned up."""

    async def main(broker):
        await broker.put(KEY, OLD)
        steps = Steps(clouds)
        steps.hold_at(2, operation="part")
        task = asyncio.create_task(broker.put(KEY, LARGE))
        await steps.reached()
        task.cancel()
        await turns()
        hold = clouds.before

        def broken(target, operation, key):
            if operation in {"abort", "delete"}:
                raise Unavailable("gone")
            hold(target, operation, key)

        clouds.before = broken
        steps.let_go()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await broker.leftovers()
        clouds.before = lambda *_: None
        inner = clouds.open()
        assert state(inner, clouds)[KEY][1] == OLD
        clouds.pass_time(timedelta(days=1))
        await broker.sweep()
        assert await broker.leftovers() == []

    run(clouds, main)
    assert clouds.unfinished() == []
    assert len(clouds.held()) == 2


def test_calls_one_after_another_end_when_they_are_cancelled(clouds):
    async def worker(broker):
        number = 0
        while True:
            await broker.put(f"public/{number}", b"")
            with contextlib.suppress(SovbrokerError):
                await broker.delete(f"public/{number}")
            number += 1

    async def main(broker):
        for rounds in range(0, 60, 4):
            task = asyncio.create_task(worker(broker))
            for _ in range(rounds):
                await asyncio.sleep(0.0002)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    run(clouds, main)


def test_keys_are_wrapped_anew_in_batches_and_a_cancelled_run_goes_on(clouds, monkeypatch):
    monkeypatch.setattr("sovbroker.rewrapping.BATCH", 2)

    async def main(broker):
        for number in range(6):
            await broker.put(f"internal/{number}", b"x")
        broker._broker.keys.keyring("main").rotate("main")
        told = []

        def first(done, total):
            told.append((done, total))
            task.cancel()

        task = asyncio.create_task(broker.rewrap("main", progress=first))
        with contextlib.suppress(asyncio.CancelledError):
            await task
        # At the latest with the end of the batch after the one that was told of.
        assert told[0] == (2, 6)
        done = 6 if not task.cancelled() else None
        rest = await broker.rewrap()
        assert rest.whole
        assert rest.done <= 4
        assert done is None or rest.done == 0
        assert (await broker.rewrap()).done == 0
        return await broker.read("internal/5")

    assert run(clouds, main) == b"x"
