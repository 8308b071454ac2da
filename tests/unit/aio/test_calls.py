"""Calls in threads: who waits for what when a task is cancelled, and that no cancellation is lost on the way."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time

import pytest

from sovbroker.aio.calls import Closed, Halt, Halted, Threads
from sovbroker.errors import InvalidArgument


@pytest.fixture
def threads():
    made = []

    def make(limit=2):
        made.append(Threads(limit))
        return made[-1]

    yield make
    for each in made:
        asyncio.run(each.close(lambda: None))


async def turns(count=20):
    """Let everything else of the loop run, `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)


class Step:
    """Work in a thread that a test holds until it lets go."""

    def __init__(self, result="done", *, error=None, halt=None):
        self.begun = threading.Event()
        self.go = threading.Event()
        self.result, self.error, self.halt = result, error, halt
        self.ended = False

    def __call__(self, _=None):
        self.begun.set()
        assert self.go.wait(30)
        self.ended = True
        if self.halt is not None:
            self.halt.check()
        if self.error is not None:
            raise self.error
        return self.result

    async def reached(self):
        assert await asyncio.to_thread(self.begun.wait, 30)


@pytest.mark.parametrize("kind", ["read", "settle"])
def test_a_call_returns_and_raises_what_its_work_does(threads, kind):
    async def main():
        call = getattr(threads(), kind)
        assert await call(lambda *_: 42) == 42
        with pytest.raises(ZeroDivisionError):
            await call(lambda *_: 1 // 0)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["read", "settle"])
def test_work_that_raises_stop_iteration_does_not_wait_for_ever(threads, kind):
    def work(*_):
        raise StopIteration

    async def main():
        with pytest.raises(RuntimeError, match="StopIteration"):
            await getattr(threads(), kind)(work)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["read", "settle"])
def test_the_loop_goes_on_while_work_blocks(threads, kind):
    """The work ends when the loop has gone round a hundred times, so a blocked loop would never end it."""
    step = Step()

    async def main():
        call = asyncio.create_task(getattr(threads(), kind)(step))
        await step.reached()
        await turns(100)
        step.go.set()
        assert await call == "done"

    asyncio.run(main())


def test_a_cancelled_read_lets_its_task_go_at_once(threads):
    step = Step()
    ended = []

    async def main():
        pool = threads()
        task = asyncio.create_task(pool.read(step, abandoned=ended.append))
        await step.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not step.ended
        assert not ended
        step.go.set()
        await pool.close(lambda: None)
        assert [future.result() for future in ended] == ["done"]

    asyncio.run(main())


def test_a_cancelled_read_is_told_so(threads):
    seen = threading.Event()
    told = threading.Event()

    def work(halt):
        seen.set()
        while True:
            time.sleep(0.001)
            try:
                halt.check()
            except Halted:
                told.set()
                raise

    async def main():
        pool = threads()
        task = asyncio.create_task(pool.read(work))
        await asyncio.to_thread(seen.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await pool.close(lambda: None)
        assert told.is_set()

    asyncio.run(main())


def test_what_cleans_up_is_done_although_cancelled_in_the_queue(threads):
    step, cleaned = Step(), []

    async def main():
        pool = threads(1)
        first = asyncio.create_task(pool.settle(step))
        await step.reached()
        second = asyncio.create_task(pool.settle(lambda: cleaned.append("up")))
        await turns()
        second.cancel()
        await turns()
        assert not second.done()
        step.go.set()
        await asyncio.gather(first, second)
        assert cleaned == ["up"]

    asyncio.run(main())


def test_a_call_that_waits_for_a_thread_is_cancelled_without_having_begun(threads):
    step, late = Step(), Step()

    async def main():
        pool = threads(1)
        first = asyncio.create_task(pool.settle(step))
        await step.reached()
        second = asyncio.create_task(pool.settle(late, halt=Halt()))
        await turns()
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        step.go.set()
        assert await first == "done"
        assert not late.begun.is_set()

    asyncio.run(main())


@pytest.mark.parametrize("cancels", [1, 2, 5])
def test_a_cancelled_change_is_over_when_its_task_is(threads, cancels):
    halt = Halt()
    step = Step(halt=halt)

    async def main():
        task = asyncio.create_task(threads().settle(step, halt=halt))
        await step.reached()
        for _ in range(cancels):
            task.cancel()
            await turns()
            assert not task.done()
        step.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert step.ended

    asyncio.run(main())


def test_a_change_that_fails_while_it_is_cancelled_is_cancelled_and_tells_why(threads):
    step = Step(error=OSError("the disk is full"))

    async def main():
        task = asyncio.create_task(threads().settle(step))
        await step.reached()
        task.cancel()
        await turns()
        step.go.set()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert isinstance(caught.value.__cause__, OSError)

    asyncio.run(main())


def test_a_change_that_was_done_gives_its_result_to_a_cancelled_task(threads):
    step = Step("committed")

    async def main():
        task = asyncio.create_task(threads().settle(step))
        await step.reached()
        task.cancel()
        await turns()
        step.go.set()
        assert await task == "committed"

    asyncio.run(main())


def test_a_change_that_was_done_is_undone_where_its_result_is_of_no_use(threads):
    step, undone = Step("an open file"), []

    async def main():
        task = asyncio.create_task(threads().settle(step, undo=undone.append))
        await step.reached()
        task.cancel()
        await turns()
        step.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert undone == ["an open file"]

    asyncio.run(main())


async def late(pool, step, log):
    """Take a result although cancelled, and go on: the next await must be struck, and only that one."""
    log.append(await pool.settle(step))
    try:
        await asyncio.sleep(30)
        log.append("slept")
    except asyncio.CancelledError as error:
        log.append(f"struck {' '.join(error.args)}".strip())
        await turns()
        log.append("cleaned up")
        raise


@pytest.mark.parametrize("cancels", [1, 3])
def test_the_cancellation_strikes_at_the_next_await(threads, cancels):
    step, log = Step("stored"), []

    async def main():
        task = asyncio.create_task(late(threads(), step, log))
        await step.reached()
        for _ in range(cancels):
            task.cancel("enough")
            await turns()
        step.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelling() == cancels
        assert log == ["stored", "struck enough", "cleaned up"]

    asyncio.run(main())


def test_a_loop_over_short_calls_ends_when_it_is_cancelled(threads):
    """Each call is done before it could be stopped; the cancellation must not be put off from one to the next."""
    step, done = Step(), []

    async def worker(pool):
        done.append(await pool.settle(step, halt=Halt()))
        while True:
            done.append(await pool.settle(lambda: "one more", halt=Halt()))

    async def main():
        task = asyncio.create_task(worker(threads()))
        await step.reached()
        task.cancel()
        await turns()
        step.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done == ["done"]

    asyncio.run(main())


def test_a_timeout_whose_block_ends_with_a_late_result_is_over(threads):
    """The result is kept, no TimeoutError hides it, and nothing strikes after the block."""
    step = Step("stored")

    async def main():
        pool = threads()
        async with asyncio.timeout(None) as deadline:
            loop = asyncio.get_running_loop()

            async def expire():
                await step.reached()
                deadline.reschedule(loop.time() - 1)
                await turns()
                step.go.set()

            expiry = asyncio.create_task(expire())
            stored = await pool.settle(step)
        assert stored == "stored"
        assert deadline.expired()
        await turns()
        await expiry
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    asyncio.run(main())


def test_a_timeout_whose_block_goes_on_strikes_in_it(threads):
    step = Step("stored")

    async def main():
        pool, log, loop = threads(), [], asyncio.get_running_loop()

        async def expire(deadline):
            await step.reached()
            deadline.reschedule(loop.time() - 1)
            await turns()
            step.go.set()

        async def limited():
            async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as group:
                group.create_task(expire(deadline))
                await late(pool, step, log)

        with pytest.raises(TimeoutError):
            await limited()
        assert log == ["stored", "struck", "cleaned up"]

    asyncio.run(main())


def test_a_group_that_gives_up_keeps_the_result_of_its_own_body(threads):
    step, log = Step("stored"), []

    async def main():
        pool = threads()

        async def fail():
            await step.reached()
            raise ValueError("a sibling failed")

        async def let_go():
            await step.reached()
            await turns()
            step.go.set()

        async def body():
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                log.append(await pool.settle(step))

        other = asyncio.create_task(let_go())
        with pytest.raises(ExceptionGroup) as caught:
            await body()
        assert caught.group_contains(ValueError)
        assert log == ["stored"]
        await other
        await turns()

    asyncio.run(main())


def test_no_more_calls_run_than_there_are_threads(threads):
    lock, running, most = threading.Lock(), [0], [0]

    def work():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.002)
        with lock:
            running[0] -= 1

    async def main():
        pool = threads(3)
        await asyncio.gather(*(pool.settle(work) for _ in range(40)))

    asyncio.run(main())
    assert most[0] <= 3


def test_there_is_at_least_one_thread():
    with pytest.raises(InvalidArgument, match="at least 1"):
        Threads(0)


def test_closing_waits_for_the_calls_that_were_made(threads):
    steps, order = [Step(), Step()], []

    async def main():
        pool = threads(1)
        calls = [asyncio.create_task(pool.settle(step)) for step in steps]
        await steps[0].reached()
        closing = asyncio.create_task(pool.close(lambda: order.append([step.ended for step in steps])))
        await turns()
        assert not closing.done()
        with pytest.raises(Closed):
            await pool.settle(lambda: None)
        for step in steps:
            step.go.set()
        await closing
        assert order == [[True, True]]
        assert await asyncio.gather(*calls) == ["done", "done"]
        await pool.close(lambda: order.append("again"))
        assert order[1:] == ["again"]

    asyncio.run(main())


def test_what_nobody_waits_for_runs_without_threads_too(threads):
    ran = []

    async def main():
        pool = threads()
        await pool.close(lambda: None)
        pool.soon(lambda: ran.append(threading.current_thread()))

    asyncio.run(main())
    assert ran == [threading.current_thread()]


def test_several_loops_share_the_threads(threads):
    pool, results = threads(2), []

    def loop(number):
        async def main():
            return await asyncio.gather(*(pool.settle(lambda n=n: (number, n)) for n in range(20)))

        results.append(asyncio.run(main()))

    others = [threading.Thread(target=loop, args=(number,)) for number in range(4)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert sorted(result[0][0] for result in results) == [0, 1, 2, 3]
    assert all([n for _, n in result] == list(range(20)) for result in results)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(threads):
    pool = threads()
    assert asyncio.run(pool.settle(os.getpid)) == os.getpid()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = 0 if asyncio.run(pool.settle(os.getpid)) == os.getpid() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert asyncio.run(pool.settle(os.getpid)) == os.getpid()


def test_a_call_sees_the_context_of_its_task(threads):
    from contextvars import ContextVar  # noqa: PLC0415 - of this test alone

    word = ContextVar("word", default="nothing")

    async def main():
        word.set("said")
        return await threads().read(lambda _: word.get())

    assert asyncio.run(main()) == "said"


def test_an_abandoned_failure_is_nobodys_warning(threads):
    """asyncio complains of exceptions that nobody looked at; here nobody is meant to."""
    complaints = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        pool = threads()
        for kind in (pool.read, pool.settle):
            # A step of its own: one that has been let go already may end before the cancellation comes.
            step = Step(error=OSError("too late"))
            task = asyncio.create_task(kind(step))
            await step.reached()
            task.cancel()
            await turns()
            step.go.set()
            with pytest.raises(asyncio.CancelledError):
                await task
        await pool.close(lambda: None)
        gc.collect()
        await turns()

    asyncio.run(main())
    assert not complaints
