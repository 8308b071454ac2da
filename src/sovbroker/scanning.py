"""What is looked for in content before it is placed, when the policy has rules about content.

Content is labelled by what detectors find in it, so it has to be seen before it may go anywhere. Bytes, paths and files
that can seek are read twice. Of what can be read once only, the first `HELD` bytes are kept while they are looked at;
if there is more, the scan is incomplete, and the policy's default is joined.
"""

from __future__ import annotations

import io
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from sovbroker.detect import Scan, Scanner
from sovbroker.errors import Conflict, InvalidArgument
from sovbroker.policy import Policy
from sovbroker.writing import Data, Request

__all__ = ["HELD", "Seen", "scanner_of", "seen"]

HELD: Final = 8 << 20
PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found, and the data, which can still be read from where it began. `scan` None: nobody asked."""

    scan: Scan | None
    data: Data
    file: BinaryIO | None = None
    state: tuple[int, ...] = ()

    def unchanged(self, key: str) -> None:
        """Raise Conflict when the file is not the one that was looked at any more."""
        if self.file is not None and _state(self.file) != self.state:
            raise Conflict(f"the file to store under `{key}` changed while it was being read; store it again", key=key)


def scanner_of(policy: Policy, request: Request) -> Scanner | None:
    """Return what the content of a request has to be shown to, None where no rule could match."""
    names = policy.detectors(request.key, request.metadata)
    limits = policy.book.limits
    return Scanner(names, bytes_max=limits.scan_mib << 20, seconds_max=limits.scan_seconds) if names else None


@contextmanager
def seen(policy: Policy, request: Request, data: Data) -> Generator[Seen]:
    """Show data to the detectors that the policy asks for. Data of a wrong type passes: the write refuses it."""
    scanner = scanner_of(policy, request)
    if scanner is None:
        yield Seen(None, data)
    elif isinstance(data, (bytes, bytearray, memoryview)):
        view = memoryview(cast("bytes", data)).cast("B")
        for start in range(0, len(view), PIECE):
            if not scanner.done:
                scanner.feed(view[start : start + PIECE])
        yield Seen(scanner.finish(), data)
    elif isinstance(data, Path):
        with data.open("rb") as file:
            yield _twice(scanner, file)
    elif _seekable(data):
        yield _twice(scanner, cast("BinaryIO", data))
    elif hasattr(data, "read"):
        yield _once(scanner, cast("BinaryIO", data))
    elif not _gives_bytes(data):
        yield Seen(scanner.finish(truncated=True), data)
    else:
        yield _once(scanner, cast("BinaryIO", _Pieces(data)))


def _gives_bytes(data: object) -> bool:
    """Whether it can be iterated for bytes, as far as can be told beforehand."""
    return hasattr(data, "__iter__") and not isinstance(data, str)


def _seekable(data: object) -> bool:
    """Whether it is a binary file that can be read twice."""
    asked = getattr(data, "seekable", None)
    return hasattr(data, "read") and not isinstance(data, io.TextIOBase) and callable(asked) and bool(asked())


def _show(scanner: Scanner, file: BinaryIO) -> None:
    while not scanner.done and (piece := _read(file, PIECE)):
        scanner.feed(piece)


def _read(file: BinaryIO, size: int) -> bytes:
    piece = cast("bytes | None", file.read(size))
    if piece is None:
        raise InvalidArgument("the source is in non-blocking mode and has no data yet; set it to block")
    if not isinstance(piece, (bytes, bytearray, memoryview)):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without a type checker
        raise InvalidArgument("data is text; encode it, open the file with mode `rb`, or give a Path")
    return piece


def _twice(scanner: Scanner, file: BinaryIO) -> Seen:
    start = file.tell()
    state = _state(file)
    _show(scanner, file)
    file.seek(start)
    return Seen(scanner.finish(), file, file if state else None, state)


def _state(file: BinaryIO) -> tuple[int, ...]:
    """Return what changes when a file does; () for what is no file of the system."""
    try:
        found = os.fstat(file.fileno())
    except (OSError, AttributeError):
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _once(scanner: Scanner, file: BinaryIO) -> Seen:
    held: list[bytes] = []
    room, ended = HELD, False
    while room > 0 and not scanner.done:
        piece = bytes(_read(file, min(PIECE, room)))
        if not piece:
            ended = True
            break
        scanner.feed(piece)
        held.append(piece)
        room -= len(piece)
    return Seen(scanner.finish(truncated=not ended), cast("BinaryIO", _Rejoined(held, file)))


class _Pieces:
    """An iterable of bytes as a file; what it gives may be longer than what is asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, _size: int = -1, /) -> bytes:
        return next((piece for piece in self._pieces if len(piece)), b"")


class _Rejoined:
    """What was held, then the rest of the file."""

    def __init__(self, held: list[bytes], rest: BinaryIO) -> None:
        self._held = held[::-1]
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes | None:
        return self._held.pop() if self._held else self._rest.read(size)
