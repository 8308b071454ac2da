"""A file object to write an object with."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from sovbroker.detect import Scan, Scanner
from sovbroker.errors import InvalidArgument
from sovbroker.objects import Stored
from sovbroker.scanning import HELD
from sovbroker.writing import Write

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["Writer"]


class Writer(io.RawIOBase):
    """What `Broker.writer` returns: a file object that commits when it is closed after everything went well.

    Left by an exception, or dropped without `close`, it commits nothing. `stored` tells the outcome after `close`.

    Where the policy has rules about content, up to 8 MiB are held back while detectors look at them; a refusal then
    comes from `write` or `close`, and content that is longer gets the policy's default label.

    It belongs to the process that opened it: in a forked one, `write` and `close` raise InvalidArgument, and nothing
    that is done to it there touches what the parent has begun.
    """

    def __init__(self, begin: Callable[[Scan | None], Write], scanner: Scanner | None = None) -> None:
        super().__init__()
        self._begin = begin
        self._scanner = scanner
        self._held = bytearray()
        self._open = True
        self._pid = os.getpid()
        self._write: Write | None = None
        self.stored: Stored | None = None
        if scanner is None:
            self._write = begin(None)

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Take all of `data`; return its length in bytes."""
        if not self._open:
            raise ValueError("I/O operation on closed file")
        self._check_process()
        view = memoryview(data).cast("B")
        try:
            if self._write is None:
                self._hold(view)
            else:
                self._write.feed(view)
        except BaseException as error:
            self._undo(error)
            raise
        return len(view)

    def _hold(self, view: memoryview) -> None:
        """Keep the beginning back while it is looked at."""
        if self._scanner is not None:
            self._scanner.feed(view)
        self._held += view
        if len(self._held) > HELD:
            self._start(truncated=True).feed(self._held)
            self._held = bytearray()

    def _start(self, *, truncated: bool) -> Write:
        scan = None if self._scanner is None else self._scanner.finish(truncated=truncated)
        self._write = self._begin(scan)
        return self._write

    def close(self) -> None:
        """Commit, once."""
        if self._open:
            self._open = False
            try:
                self._check_process()
                write = self._start(truncated=False) if self._write is None else self._write
                self.stored = write.commit(self._held)
            except BaseException as error:
                super().close()
                self._undo(error)
                raise
        super().close()

    def abort(self) -> None:
        """Give up: nothing is committed."""
        self._undo(None)
        super().close()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise InvalidArgument("a writer cannot be used in a forked process; open another one there")

    def _undo(self, error: BaseException | None) -> None:
        self._open = False
        self._held = bytearray()
        write, self._write = self._write, None
        # In a forked child there is nothing to undo: the upload, and the threads that send it, are the parent's.
        if write is not None and os.getpid() == self._pid:
            write.abort(error)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        """Commit after a clean block, abort after an exception."""
        if exc_type is None:
            self.close()
        else:
            self._undo(exc_val)
            super().close()

    def __del__(self) -> None:
        """Abort: what nobody closed was not meant to be committed."""
        if getattr(self, "_open", False):
            self.abort()
