"""What a stream holds, looked at within limits. Whatever goes wrong, the answer says that it is not complete."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from sovbroker.detect.registry import BUILT_IN, BuiltIn, Detector, known
from sovbroker.errors import InvalidArgument

__all__ = ["Scan", "Scanner"]

_PIECE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Scan:
    """How many different values each detector found.

    `complete` says that the whole content was seen by all of them; if not, there may be more of everything, and `why`
    says what happened and what to do.
    """

    counts: Mapping[str, int]
    complete: bool = True
    why: str = ""


class Scanner:
    """Shows one stream to detectors, at most `bytes_max` bytes of it and for at most `seconds_max` seconds.

    The time is the one spent in here, not the source's. It is looked at between pieces of 64 KiB: a detector that never
    returns is not interrupted. A detector that raises is not asked again, and counts 0; the others go on. Raises
    InvalidArgument for a limit that is negative or not a number.
    """

    def __init__(
        self,
        names: Iterable[str],
        *,
        bytes_max: int,
        seconds_max: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not bytes_max >= 0 or not seconds_max >= 0:  # also what is not a number
            raise InvalidArgument(f"limits of a scan are not negative; got {bytes_max} bytes and {seconds_max} seconds")
        wanted = frozenset(names)
        self._bytes_max, self._seconds_max = bytes_max, seconds_max
        self._clock = clock
        self._bytes, self._seconds = 0, 0.0
        self._counts = dict.fromkeys(sorted(wanted), 0)
        self._whys: list[str] = []
        self._stopped = False
        self._scan: Scan | None = None
        own = wanted & BUILT_IN
        self._own = BuiltIn(own) if own else None
        self._others: dict[str, Detector] = {}
        for name in sorted(wanted - BUILT_IN):
            self._attend(name, partial(self._add, name))
        self._stopped = bool(self._whys) and self._own is None and not self._others

    @property
    def done(self) -> bool:
        """Whether a limit is passed or no detector is left: more content changes nothing, the scan is incomplete."""
        return self._stopped

    def feed(self, chunk: bytes | memoryview) -> None:
        """Show the next piece of the content. Raises InvalidArgument after `finish`."""
        if self._scan is not None:
            raise InvalidArgument("the scan is finished; make a new Scanner for other content")
        view = memoryview(chunk).cast("B")
        room = self._bytes_max - self._bytes
        self._bytes += len(view)
        for start in range(0, min(len(view), room), _PIECE):
            if self._stopped:
                return
            self._show(bytes(view[start : min(start + _PIECE, room)]))
        if len(view) > room and not self._stopped:
            self._stop(f"only the first {self._bytes_max} bytes were looked at; raise the limit of a scan")

    def finish(self, *, truncated: bool = False) -> Scan:
        """Return what was found. `truncated`: the caller could not show all of the content."""
        if self._scan is None:
            if truncated and not self._stopped:
                self._stop("the content could be read in part only; store it from bytes or from a file")
            if self._own is not None:
                self._attend("", partial(self._count_own, self._own))
            for name, detector in tuple(self._others.items()):
                self._attend(name, partial(self._count, name, detector))
            self._scan = Scan(self._counts, not self._whys, "; ".join(self._whys))
        return self._scan

    def _show(self, piece: bytes) -> None:
        began = self._clock()
        if self._own is not None:
            self._attend("", partial(self._own.feed, piece))
        for name, detector in tuple(self._others.items()):
            self._attend(name, partial(detector.feed, piece))
        self._seconds += self._clock() - began
        if self._seconds > self._seconds_max and not self._stopped:
            self._stop(f"the detectors took more than {self._seconds_max:g} seconds; raise the limit of a scan")

    def _attend(self, name: str, action: Callable[[], object]) -> None:
        """Let a detector (the broker's own: no name) act; if it raises, go on without it."""
        try:
            action()
        except Exception as error:  # noqa: BLE001  # whatever a detector raises, the content must be treated as unseen
            # The message is left out: it may quote the content.
            called = f"the detector `{name}`" if name else "the broker's own detectors"
            self._whys.append(f"{called} failed with {type(error).__name__}; repair it, or take it out of the policy")
            if name:
                self._others.pop(name, None)
            elif self._own is not None:
                self._counts.update(self._own.counts())
                self._own = None
            self._stopped = self._stopped or (self._own is None and not self._others)

    def _add(self, name: str) -> None:
        if name not in known():
            self._whys.append(f"there is no detector `{name}`; install the package that has it")
            return
        self._others[name] = known()[name]()

    def _count_own(self, own: BuiltIn) -> None:
        self._counts.update(own.finish())

    def _count(self, name: str, detector: Detector) -> None:
        count = cast("object", detector.finish())
        if type(count) is not int or count < 0:
            raise TypeError("a detector counts in whole numbers from 0")
        self._counts[name] = count

    def _stop(self, why: str) -> None:
        self._whys.append(why)
        self._stopped = True
