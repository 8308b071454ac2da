"""The demo: a French hospital stores five files at five providers, and every claim is checked before it is printed.

Five S3 server processes on this machine play AWS, OVHcloud, Clever Cloud, Outscale and Cloud Temple. They are real
servers, spoken to over HTTP, and they know nothing of sovbroker; what the catalogue says of each provider holds for
them as `emulated` targets. No network is needed, and nothing is left behind.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["run"]

INTERRUPTED = 130


def run(console: Console | None = None) -> int:
    """Run the demo on `console`, or on standard output; return the exit code.

    0: everything that was shown has been checked. 1: something is not so, and the last line says what. 130: stopped by
    Ctrl-C or SIGTERM. In each case the servers are stopped and the temporary folder is removed. Takes less than
    a minute on two cores, and about 1 GiB of disk and memory together while it runs.
    """
    try:
        with _terminable():
            return _run(console)
    except KeyboardInterrupt:
        from sovbroker.demo.screen import open_screen  # noqa: PLC0415  # the demo must not slow the import of the package

        open_screen(console).failed("interrupted; the servers are stopped and the temporary folder is removed")
        return INTERRUPTED


def _run(console: Console | None) -> int:
    from sovbroker.demo.checks import Wrong  # noqa: PLC0415  # as above
    from sovbroker.demo.screen import open_screen  # noqa: PLC0415  # as above
    from sovbroker.demo.story import tell  # noqa: PLC0415  # as above
    from sovbroker.errors import SovbrokerError  # noqa: PLC0415  # as above

    screen = open_screen(console)
    try:
        tell(screen)
    except (Wrong, SovbrokerError) as error:
        screen.failed(str(error))
        return 1
    return 0


@contextmanager
def _terminable() -> Generator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that it cleans up too. Only the main thread may ask for that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main() -> None:
    """Run the demo and exit with its code."""
    sys.exit(run())
