"""How long to wait before a call is made again: a little longer each time, and never all at the same moment."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

__all__ = ["FIRST", "pauses"]

FIRST: Final = 0.1


def pauses(attempts: int, *, again: bool = True) -> Iterator[float | None]:
    """Yield how long to wait after each of `attempts` that fails, in seconds; None after the last.

    Not `again`: the call may be made once only.
    """
    pause = FIRST
    for _ in range(attempts - 1 if again else 0):
        yield pause * (0.5 + random.random())  # noqa: S311 - jitter, not a secret
        pause *= 4
    yield None
