"""How often an adapter makes a request, and how long it waits in between, as far as its caller's patience goes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from sovbroker.errors import NoCapacity, Unavailable
from sovbroker.ports import patience

__all__ = ["FIRST_PAUSE", "pauses", "repeated", "unsure"]

T = TypeVar("T")

FIRST_PAUSE: Final = 0.1


def pauses(attempts: int, *, again: bool) -> Iterator[float | None]:
    """Yield how long to wait after each of `attempts` that fails, in seconds; None after the last.

    There is one where the call may not be made `again`, where the caller repeats it by itself, and where the pause
    would reach the caller's deadline.
    """
    caller = patience()
    pause = FIRST_PAUSE
    for _ in range(attempts - 1 if again and not caller.repeats else 0):
        jittered = pause * (0.5 + random.random())  # noqa: S311 - jitter, not a secret
        if caller.deadline is not None and time.monotonic() + jittered >= caller.deadline:
            break
        yield jittered
        pause *= 4
    yield None


def unsure(error: NoCapacity, why: str) -> Unavailable:
    """Return the error of a provider that has no room, and of which it is not sure that it has made nothing."""
    return Unavailable(f"{str(error).removeprefix(f'{error.target}: ')}; {why}", target=error.target)


def repeated(act: Callable[[], T], *, attempts: int, again: bool, sleep: Callable[[float], None] = time.sleep) -> T:
    """Return what `act` returns, tried several times while it raises Unavailable, where it may be done `again`.

    NoCapacity after an attempt that had no answer is Unavailable: the first may have been carried out.
    """
    unanswered = False
    for pause in pauses(attempts, again=again):
        try:
            return act()
        except Unavailable:
            if pause is None:
                raise
        except NoCapacity as error:
            if unanswered:
                raise unsure(error, "an attempt before had no answer, and may have been carried out") from error
            raise
        unanswered = True
        sleep(pause)
    raise AssertionError  # the last pause is None
