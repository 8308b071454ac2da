"""What belongs to one process: made when it is first needed, under a lock, and made anew in a child.

Sockets do not survive a fork, and the sessions of most SDKs may not be made by two threads at once. Nor may a process
fork while one is made: OpenSSL has locks of its own, and a child waits for ever for one that a thread of its parent had
(about one child in a hundred, where other threads make TLS contexts without a pause).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

__all__ = ["PerProcess"]

T = TypeVar("T")

# Recursive, so that what is being made may fork.
_making: Final = threading.RLock()
os.register_at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release)


@dataclass(frozen=True, slots=True)
class _Made(Generic[T]):
    """What was made, and the process that it belongs to."""

    value: T
    pid: int


class PerProcess(Generic[T]):
    """What `make` makes, once for each process. Safe for threads and after a fork; not picklable."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: _Made[T] | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: what is behind it holds sockets and secrets."""
        raise TypeError("what belongs to one process cannot be pickled")

    def get(self) -> T:
        """Return this process's own, made now if there is none yet."""
        made = self._made
        if made is None or made.pid != os.getpid():
            with _making:
                made = self._made
                if made is None or made.pid != os.getpid():
                    made = self._made = _Made(self._make(), os.getpid())
        return made.value

    def take(self) -> T | None:
        """Return this process's own, to be closed, and forget it; None when there is none."""
        made, self._made = self._made, None
        return made.value if made is not None and made.pid == os.getpid() else None
