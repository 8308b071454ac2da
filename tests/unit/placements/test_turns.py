"""Writers that share a transaction: one flush for all, and each stands or falls by itself."""

from __future__ import annotations

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import psutil
import pytest

from sovbroker.errors import StateError
from sovbroker.placements import CopyRow, Durability, Placement, Precondition, SqliteIndex, new_version
from sovbroker.placements.turns import MOST, Turn


@pytest.fixture
def index(tmp_path):
    index = SqliteIndex(tmp_path / "state.db")
    index._write(lambda db: db.execute("CREATE TABLE note (text TEXT NOT NULL, CHECK (text != 'never'))"), flush=False)
    yield index
    index.close()


def notes(index):
    with index._read() as db:
        return [text for (text,) in db.execute("SELECT text FROM note ORDER BY rowid")]


def note(index, text, *, flush=True):
    return index._write(lambda db: db.execute("INSERT INTO note VALUES (?)", (text,)).rowcount, flush=flush)


def said(index):
    """The statements that change transactions, from now on."""
    heard = []
    words = ("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA synchronous")
    index._connection().set_trace_callback(lambda text: heard.append(text) if text.startswith(words) else None)
    return heard


@contextmanager
def busy(index):
    """The connection is taken, as it is while a flush is under way; whoever comes now has to wait."""
    release, taken = threading.Event(), threading.Event()

    def hold():
        with index._lock:
            taken.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait(30)
    try:
        yield
    finally:
        release.set()
        holder.join()


@contextmanager
def together(index, *works):
    """The outcomes of works that all wait when the connection becomes free."""
    with ThreadPoolExecutor(len(works)) as pool:
        with busy(index):
            done = []
            for count, work in enumerate(works, 1):
                done.append(pool.submit(work))
                while len(index._turns._waiting) < count:
                    threading.Event().wait(0.001)
        yield done


def test_whoever_waits_shares_the_next_flush(index):
    heard = said(index)
    works = [lambda text=str(number): note(index, text) for number in range(9)]
    with together(index, *works) as done:
        assert [outcome.result() for outcome in done] == [1] * 9
    assert heard == ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE", "COMMIT"]
    assert notes(index) == [str(number) for number in range(9)]


def test_one_who_is_refused_undoes_nobody_elses_work(index):
    def refused(db):
        db.execute("INSERT INTO note VALUES ('undone')")
        raise KeyError("no")

    with together(
        index, lambda: note(index, "a"), lambda: index._write(refused, flush=True), lambda: note(index, "b")
    ) as (first, second, third):
        assert (first.result(), third.result()) == (1, 1)
        with pytest.raises(KeyError, match="no"):
            second.result()
    assert notes(index) == ["a", "b"]


def test_what_the_database_minds_of_one_is_not_the_others_failure(index):
    with together(index, lambda: note(index, "a"), lambda: note(index, "never"), lambda: note(index, "b")) as (
        first,
        second,
        third,
    ):
        assert (first.result(), third.result()) == (1, 1)
        with pytest.raises(StateError, match="nothing was committed"):
            second.result()
    assert notes(index) == ["a", "b"]
    assert note(index, "c") == 1


def test_a_commit_that_fails_is_nobodys_success(index):
    limit = index._connection().execute("PRAGMA page_count").fetchone()[0]
    index._connection().execute(f"PRAGMA max_page_count = {limit}")
    with together(index, *[lambda: note(index, "x" * 100_000) for _ in range(3)]) as done:
        for outcome in done:
            with pytest.raises(StateError, match="full"):
                outcome.result()
    assert notes(index) == []


def test_who_gives_up_waiting_is_not_committed(index, monkeypatch):
    class Interrupted:
        def __enter__(self):
            raise KeyboardInterrupt

        def __exit__(self, *exc):
            raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(index, "_lock", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            note(index, "given up")
    assert note(index, "a") == 1
    assert notes(index) == ["a"]


def test_an_interrupt_of_the_one_who_works_for_all_is_not_the_others(index):
    def interrupted(_db):
        raise KeyboardInterrupt

    with together(
        index, lambda: note(index, "a"), lambda: index._write(interrupted, flush=True), lambda: note(index, "b")
    ) as (first, second, third):
        outcomes = {"a": first.exception(), "": second.exception(), "b": third.exception()}
    # It strikes whoever holds the connection, in the end the one whose work it is; who was struck has written nothing.
    assert isinstance(outcomes[""], KeyboardInterrupt)
    assert all(error is None or isinstance(error, KeyboardInterrupt) for error in outcomes.values())
    assert notes(index) == [text for text, error in outcomes.items() if error is None]
    assert note(index, "c") == 1


def test_an_interrupt_after_the_commit_leaves_it_standing(index):
    class Late:
        """A connection that is interrupted just after the end of a transaction."""

        def __init__(self, inner):
            self.inner = inner

        in_transaction = property(lambda self: self.inner.in_transaction)

        def execute(self, statement, *values):
            done = self.inner.execute(statement, *values)
            if statement == "COMMIT":
                raise KeyboardInterrupt
            return done

    turn = Turn(lambda db: db.execute("INSERT INTO note VALUES ('a')").rowcount, flush=True)
    index._turns.join(turn)
    with pytest.raises(KeyboardInterrupt):
        index._turns.take(lambda flush: Late(index._begin(flush)))
    assert (turn.done, turn.result, turn.error) == (True, 1, None)
    assert notes(index) == ["a"]


def test_a_child_leaves_its_parents_waiting_writers_alone(index):
    turn = Turn(lambda db: db.execute("INSERT INTO note VALUES ('the parent')").rowcount, flush=True)
    index._turns.join(turn)
    child = os.fork()
    if child == 0:
        try:
            note(index, "the child")
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert notes(index) == ["the child"]
    note(index, "b")
    assert notes(index) == ["the child", "the parent", "b"]


def test_nobody_waits_for_ever_behind_those_who_come(index):
    turns = [Turn(lambda db: db.execute("INSERT INTO note VALUES ('x')"), flush=False) for _ in range(MOST + 1)]
    for turn in turns:
        index._turns.join(turn)
    index._turns.take(index._begin)
    assert [turn.done for turn in turns] == [True] * MOST + [False]


def test_who_reads_does_not_wait_for_a_writer(index):
    note(index, "a")
    with busy(index), ThreadPoolExecutor(1) as pool:
        assert pool.submit(notes, index).result(timeout=20) == ["a"]


@pytest.mark.parametrize(
    ("durability", "flush", "level"),
    [(Durability.POWER, True, 2), (Durability.POWER, False, 1), (Durability.PROCESS, True, 1)],
)
def test_what_is_flushed(tmp_path, durability, flush, level):
    index = SqliteIndex(tmp_path / "state.db", durability=durability)
    found = index._write(lambda db: db.execute("PRAGMA synchronous").fetchone()[0], flush=flush)
    index.close()
    assert found == level


@pytest.mark.parametrize("durability", Durability)
def test_nothing_is_told_to_be_doomed_before_that_is_on_the_disk(tmp_path, durability):
    """Whoever is told removes the copies; the old row must not come back after a power failure."""
    now = datetime(2026, 11, 24, tzinfo=UTC)

    def row():
        version = new_version(now)
        return Placement("a", version, "internal", 3, now, (CopyRow("t1", f"a@{version}", sealed=True),))

    index = SqliteIndex(tmp_path / "state.db", durability=durability)
    assert index.commit(row(), condition=Precondition(), now=now) == []
    assert index._flushing is (durability is Durability.POWER)
    for doom in (
        lambda: index.commit(row(), condition=Precondition(), now=now),
        lambda: index.remove("a", condition=Precondition(), now=now),
        index.leftovers,
    ):
        heard = said(index)
        assert doom()
        # The last transaction, and with it all before it, was flushed.
        assert index._flushing
        if durability is Durability.PROCESS:
            assert heard[-1] == "COMMIT"
            index._write(lambda db: db.execute("SELECT 1").fetchone(), flush=False)
    index.close()


def test_a_writer_in_the_way_is_waited_for(index):
    other = sqlite3.connect(index.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(note, index, "a")
        other.execute("COMMIT")
        assert waiting.result(timeout=30) == 1
    other.close()


def test_no_result_keeps_a_closed_connection_open(index):
    """A cursor would, and so into a forked child, which would then trust in locks that only its parent has."""
    kept = index._write(lambda db: db.executemany("INSERT INTO note VALUES (?)", [("a",)]), flush=False)
    index.close()
    assert [file.path for file in psutil.Process().open_files() if file.path.startswith(str(index.path))] == []
    assert kept is None
