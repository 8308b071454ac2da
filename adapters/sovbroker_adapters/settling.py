"""Changes that a provider confirms before they are done: asked for again until they are, within a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from sovbroker.errors import NotFound, Unavailable
from sovbroker.ports import patience

__all__ = ["PAUSE", "gone", "settled"]

T = TypeVar("T")

PAUSE: Final = 1.0


def settled(
    look: Callable[[], T],
    done: Callable[[T], bool],
    *,
    within: float,
    what: str,
    target: str,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Return what `look` finds once it is `done`. Raises Unavailable where that takes longer than `within` seconds."""
    caller = patience()
    end = time.monotonic() + within
    while not done(found := look()):
        left = min(end - time.monotonic(), caller.left(within))
        if left <= 0:
            raise Unavailable(f"{what} was confirmed, and is not done after {within:g} s", target=target)
        sleep(min(PAUSE, left))
    return found


def gone(
    look: Callable[[], object],
    *,
    within: float,
    what: str,
    target: str,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once `look` raises NotFound. Raises Unavailable where that takes longer than `within` seconds."""

    def missing() -> bool:
        try:
            look()
        except NotFound:
            return True
        return False

    settled(missing, bool, within=within, what=f"the end of {what}", target=target, sleep=sleep)
