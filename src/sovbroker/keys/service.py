"""What a keyring needs of a key service, and a lock that survives a fork."""

from __future__ import annotations

import os
import threading
from typing import Protocol, final

__all__ = ["ForkLock", "Service"]


class Service(Protocol):
    """Something that wraps keys under a key of its own: `sovbroker.ports.KeyService` tells what it promises."""

    @property
    def name(self) -> str:
        """The name under which a keyring knows this recipient."""
        ...

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """Return `secret` wrapped, bound to `context`."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return what was wrapped for `context`."""
        ...


@final
class ForkLock:
    """A lock that is free in a forked process, even if a thread of the parent held it at the fork."""

    __slots__ = ("_lock", "_pid")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def __enter__(self) -> None:
        """Take the lock."""
        if os.getpid() != self._pid:
            # Only the forking thread lives on in the child, so nobody else is here.
            self._lock, self._pid = threading.Lock(), os.getpid()
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        """Give it back."""
        self._lock.release()
