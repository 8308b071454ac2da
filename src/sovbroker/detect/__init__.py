"""Content detectors: what an object's bytes hold, so that a rule of a policy can label it by that.

A scan can only add to what is known of an object. Whatever a detector cannot see, and whatever goes wrong while it
looks, leaves the object with the label that it would have had, or with a stricter one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from sovbroker.detect.registry import Detector, known, names
from sovbroker.detect.scanner import Scan, Scanner

__all__ = ["Detector", "Scan", "Scanner", "known", "names", "scan"]


def scan(
    data: bytes,
    names: Iterable[str],
    *,
    bytes_max: int | None = None,
    seconds_max: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
) -> Scan:
    """Show all of `data` to the detectors `names`, within limits (`bytes_max`: None for all of it). It never raises."""
    scanner = Scanner(
        names, bytes_max=len(data) if bytes_max is None else bytes_max, seconds_max=seconds_max, clock=clock
    )
    scanner.feed(data)
    return scanner.finish()
