"""Writers of one process, taken together: whoever comes while a transaction is on its way to the disk joins the next.

One flush acknowledges everybody in it (group commit). Each writer's work stands or falls by itself.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

__all__ = ["MOST", "Turn", "Turns"]

MOST: Final = 64
"""How many writers share a transaction at most, so that nobody waits for ever behind those who come."""

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Turn(Generic[T]):
    """One writer's work, and what came of it: None of a cursor. `work` may be done again after it was undone."""

    work: Callable[[sqlite3.Connection], T]
    flush: bool
    pid: int = field(default_factory=os.getpid)
    done: bool = False
    withdrawn: bool = False
    result: T | None = None
    error: Exception | None = None


class Turns:
    """The queue of writers. `take` is called by whoever holds the connection, on behalf of all who wait."""

    def __init__(self) -> None:
        self._waiting: deque[Turn[object]] = deque()

    def join(self, turn: Turn[T]) -> None:
        """Wait for somebody to take this turn; who joins then asks for the connection, and takes it if nobody has."""
        self._waiting.append(turn)  # type: ignore[arg-type]  # what a turn results in is between it and who waits

    def take(self, begin: Callable[[bool], sqlite3.Connection]) -> None:
        """Do the work of those who wait, in one transaction. `begin` starts it, flushed to the disk if that is asked.

        What goes wrong with one is its own error. What goes wrong with the database undoes everybody's work, and each
        is done again alone.
        """
        turns: list[Turn[object]] = []
        while self._waiting and len(turns) < MOST:
            turn = self._waiting.popleft()
            # A child has the queue of its parent, whose turns are not its own to take.
            if not turn.withdrawn and turn.pid == os.getpid():
                turns.append(turn)
        try:
            if len(turns) > 1:
                with suppress(sqlite3.Error):
                    _together(turns, begin)
            for turn in turns:
                if not turn.done:
                    _alone(turn, begin)
        except BaseException:
            # Whoever took them was interrupted; those who wait do it themselves.
            self._waiting.extendleft(turn for turn in reversed(turns) if not turn.done)
            raise


def _alone(turn: Turn[object], begin: Callable[[bool], sqlite3.Connection]) -> None:
    try:
        _together([turn], begin)
    except sqlite3.Error as error:
        turn.error, turn.done = error, True


def _together(turns: Sequence[Turn[object]], begin: Callable[[bool], sqlite3.Connection]) -> None:
    """Do several turns in one transaction. Raises sqlite3.Error when nothing of it was done."""
    db = begin(any(turn.flush for turn in turns))
    outcomes: list[tuple[object, Exception | None]] = []
    try:
        outcomes += [_one(db, turn, shared=len(turns) > 1) for turn in turns]
        if db.in_transaction:
            db.execute("COMMIT")
    except BaseException as error:
        # An interrupt may come when the transaction has ended well; then it stands.
        if isinstance(error, sqlite3.Error) or db.in_transaction or not outcomes:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        _tell(turns, outcomes)
        raise
    _tell(turns, outcomes)


def _one(db: sqlite3.Connection, turn: Turn[object], *, shared: bool) -> tuple[object, Exception | None]:
    """Do one turn; an error of its own undoes it alone, which ends the transaction where nobody shares it.

    Raises sqlite3.Error.
    """
    if shared:
        db.execute("SAVEPOINT turn")
    result: object = None
    failed: Exception | None = None
    try:
        result = turn.work(db)
        if isinstance(result, sqlite3.Cursor):
            # Whoever waits for it would keep the connection open behind a `close`, and so into a forked child.
            result.close()
            result = None
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - raised where the turn is waited for
        failed = error
        db.execute("ROLLBACK TO turn" if shared else "ROLLBACK")
    if shared:
        db.execute("RELEASE turn")
    return result, failed


def _tell(turns: Sequence[Turn[object]], outcomes: Sequence[tuple[object, Exception | None]]) -> None:
    for turn, (result, error) in zip(turns, outcomes, strict=True):
        turn.result, turn.error, turn.done = result, error, True
