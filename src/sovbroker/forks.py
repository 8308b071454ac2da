"""Locks and forks: what a thread of the parent holds at the fork, nobody in the child can give back."""

from __future__ import annotations

import os
import threading
from typing import Final, final
from weakref import WeakSet

__all__ = ["ForkLock"]


@final
class ForkLock:
    """A lock that is free in a forked process, even if a thread of the parent held it at the fork."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _alive.add(self)

    def __enter__(self) -> None:
        """Take the lock."""
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        """Give it back."""
        self._lock.release()

    def renew(self) -> None:
        """Be free: no other thread of this process can have it."""
        self._lock = threading.Lock()


_alive: Final[WeakSet[ForkLock]] = WeakSet()


def _renew() -> None:
    # At once, by the one thread that a child begins with: those that it starts later must all find the same lock.
    for lock in list(_alive):
        lock.renew()


os.register_at_fork(after_in_child=_renew)
