"""A file object to write an object with."""

from __future__ import annotations

import io
from types import TracebackType
from typing import TYPE_CHECKING

from sovbroker.objects import Stored
from sovbroker.writing import Write

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["Writer"]


class Writer(io.RawIOBase):
    """What `Broker.writer` returns: a file object that commits when it is closed after everything went well.

    Left by an exception, or dropped without `close`, it commits nothing. `stored` tells the outcome after `close`.
    """

    def __init__(self, write: Write) -> None:
        super().__init__()
        self._write: Write | None = write
        self.stored: Stored | None = None

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Take all of `data`; return its length in bytes."""
        if self._write is None:
            raise ValueError("I/O operation on closed file")
        view = memoryview(data).cast("B")
        try:
            self._write.feed(view)
        except BaseException as error:
            self._undo(error)
            raise
        return len(view)

    def close(self) -> None:
        """Commit, once."""
        write, self._write = self._write, None
        if write is not None:
            try:
                self.stored = write.commit()
            except BaseException as error:
                super().close()
                write.abort(error)
                raise
        super().close()

    def abort(self) -> None:
        """Give up: nothing is committed."""
        self._undo(None)
        super().close()

    def _undo(self, error: BaseException | None) -> None:
        write, self._write = self._write, None
        if write is not None:
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
        if getattr(self, "_write", None) is not None:
            self.abort()
