"""A broker whose writes can be halted until the moment of their commit."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import replace
from typing import BinaryIO, cast

from sovbroker.aio.calls import Halt
from sovbroker.broker import Broker
from sovbroker.objects import Stored
from sovbroker.writing import Data, Progress, Request, size_of

__all__ = ["HALT", "HaltingBroker", "watched"]

HALT: ContextVar[Halt | None] = ContextVar("sovbroker-halt", default=None)
"""What the call that runs in this context asks before it goes on."""


class HaltingBroker(Broker):
    """Another face of a broker, with the same state: its writes ask `HALT` on their way.

    They ask before the first byte, at every piece of data, after every part, and last when all bytes have arrived and
    only the commit is left.
    """

    def __init__(self, broker: Broker) -> None:
        # No state of its own, so nothing of the base class is set up: the two faces share what the broker has.
        self.__dict__ = broker.__dict__

    def delete(self, key: str, *, if_version: str | None = None) -> None:
        """See `Broker.delete`. Asked once for each key of `delete_many`."""
        halt = HALT.get()
        if halt is not None:
            halt.check()
        super().delete(key, if_version=if_version)

    def _run(self, request: Request, data: Data) -> Stored:
        halt = HALT.get()
        if halt is None:
            return super()._run(request, data)
        halt.check()
        return super()._run(replace(request, progress=watched(halt, request.progress)), _checked(data, halt))


def watched(halt: Halt, progress: Progress | None) -> Progress:
    """Return a callback of progress that asks `halt`, after `progress` was told."""

    def told(sent: int, size: int | None) -> None:
        if progress is not None:
            progress(sent, size)
        halt.check()

    return told


def _checked(data: Data, halt: Halt) -> Data:
    """Return data that asks `halt` at every piece, where pieces may be long in coming."""
    if size_of(data) is not None or isinstance(cast("object", data), (str, io.TextIOBase)):
        return data  # text is refused further down
    if hasattr(data, "read"):
        return cast("BinaryIO", _CheckedFile(data, halt))
    if isinstance(data, Iterable):
        return _pieces(cast("Iterable[bytes]", data), halt)
    return data


def _pieces(data: Iterable[bytes], halt: Halt) -> Iterator[bytes]:
    for piece in data:
        halt.check()
        yield piece


class _CheckedFile:
    """A file that asks `halt` after every read. All else is the file's own."""

    def __init__(self, file: object, halt: Halt) -> None:
        self._file = file
        self._halt = halt

    def __getattr__(self, name: str) -> object:
        found: object = getattr(self._file, name)
        if name not in {"read", "readinto"} or not callable(found):
            return found

        def checked(*args: object) -> object:
            got: object = found(*args)
            self._halt.check()
            return got

        return checked
