"""The same with many things, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

__all__ = ["each"]

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE: Final = 16


def each(work: Callable[[T], R], items: Collection[T]) -> list[R]:
    """Do it with every item; the first error ends it. How the caller waits holds for all of them."""
    if len(items) < 2:  # noqa: PLR2004 - one needs no threads
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
        # A context can be entered once at a time.
        tasks = [pool.submit(copy_context().run, work, item) for item in items]
        return [task.result() for task in tasks]
