"""Things measured in turns, so that a slow moment of the machine hits all of them alike."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Times", "in_turns", "throughput"]

Call = Callable[[], object]
WARM: Final = 5


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of each round, by name: of the clock, and of this process's processor time."""

    wall: Mapping[str, list[float]]
    processor: Mapping[str, list[float]]

    def ratio(self, name: str, bare: str) -> float:
        """Return how many times as long as `bare` it took: the median of the rounds' own ratios."""
        return statistics.median(mine / its for mine, its in zip(self.wall[name], self.wall[bare], strict=True))

    def work(self, name: str, bare: str) -> float:
        """Return the ratio of the processor time."""
        return statistics.median(self.processor[name]) / statistics.median(self.processor[bare])

    def seconds(self, name: str) -> float:
        """Return the median."""
        return statistics.median(self.wall[name])


def in_turns(calls: Mapping[str, Call], *, rounds: int, burst: int = 1, warm: int = WARM) -> Times:
    """Measure calls in turns: each round begins with another one, so that none always follows the same neighbour.

    `burst` is how often each is called in its turn; the times are of one call.
    """
    for call in calls.values():
        for _ in range(warm):
            call()
    times = Times({name: [] for name in calls}, {name: [] for name in calls})
    names = list(calls)
    for turn in range(rounds):
        start = turn % len(names)
        for name in [*names[start:], *names[:start]]:
            call = calls[name]
            worked, begun = time.process_time(), time.perf_counter()
            for _ in range(burst):
                call()
            times.wall[name].append((time.perf_counter() - begun) / burst)
            times.processor[name].append((time.process_time() - worked) / burst)
    return times


def throughput(call: Call, *, threads: int, calls: int) -> float:
    """Return calls a second of `threads` threads that make `calls` between them."""
    gate = threading.Barrier(threads + 1)
    failures: list[BaseException] = []

    def work() -> None:
        gate.wait()
        try:
            for _ in range(calls // threads):
                call()
        except BaseException as error:  # noqa: BLE001 - raised by the thread that measures
            failures.append(error)

    every = [threading.Thread(target=work) for _ in range(threads)]
    for thread in every:
        thread.start()
    gate.wait()
    begun = time.perf_counter()
    for thread in every:
        thread.join()
    taken = time.perf_counter() - begun
    if failures:
        raise failures[0]
    return calls // threads * threads / taken
