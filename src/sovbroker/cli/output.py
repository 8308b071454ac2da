"""Where `get` writes: a file that appears when it is whole, or a stream."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from sovbroker.errors import InvalidArgument

__all__ = ["STANDARD_OUTPUT", "Sink", "file_sink", "private_file", "sink_of"]

STANDARD_OUTPUT: Final = "-"
SUFFIX: Final = ".part"


class Sink(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take all of `data`."""
        ...


class Terminal:
    """Standard output when it is a terminal: binary data would upset it."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, data: bytes | memoryview, /) -> None:
        """Pass text on. Raises InvalidArgument for what is not text."""
        if 0 in bytes(data):
            raise InvalidArgument("this is binary, and would upset the terminal; write it to a file with `-o FILE`")
        self._out.write(data)
        self._out.flush()


@contextlib.contextmanager
def sink_of(output: str | None, *, name: str) -> Generator[Sink]:
    """Open what `get -o OUTPUT` names: None or `-` is standard output; in a folder, a file called `name`.

    A regular file keeps its old content, or stays absent, until the block has ended well.
    """
    if output is None and sys.stdout.isatty():
        yield Terminal(sys.stdout.buffer)
    elif output is None or output == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        path = Path(output)
        path = path / name if path.is_dir() else path
        if path.exists() and not path.is_file():
            # A device or a pipe cannot be replaced, and need not be.
            with path.open("wb") as file:
                yield file
        else:
            with file_sink(path) as file:
                yield file


@contextlib.contextmanager
def file_sink(path: Path) -> Generator[BinaryIO]:
    """Write a file that appears under its name when the block has ended well, and not at all when it has not.

    It has the mode of the file that it replaces; a new one has the mode that the umask gives.
    """
    # Through a symbolic link, the file that it leads to is written.
    real = path.resolve()
    try:
        handle, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name[:64]}.", suffix=SUFFIX)
    except OSError as error:
        raise InvalidArgument(f"cannot write `{path}`: {error.strerror}; name a file in a folder of yours") from error
    temporary = Path(name)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123  # mkstemp gives a handle, which pathlib cannot open
            yield file
            file.flush()
            os.fchmod(handle, _mode_for(real))
        temporary.replace(real)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def private_file(path: Path, text: str) -> None:
    """Write a new file that only its owner can read. Raises InvalidArgument when there is a file."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidArgument(f"cannot write `{path}`: {error.strerror}; name a file that is not there yet") from error
    try:
        with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123  # as above
            file.write(text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _mode_for(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
