"""Where the command line prints: data on stdout, everything else on stderr, each for people or as JSON."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Advance", "Screen", "aligned", "counts_text", "size_text", "time_text", "visible"]

Advance = Callable[[int, int | None], None]
"""Told of a transfer's progress: bytes so far, and all of them where that is known."""

WORTH_A_BAR: Final = 1 << 20
UNBOUNDED: Final = 10_000
UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
KIBI: Final = 1024
UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def to_stderr(text: str) -> None:
    """Write to stderr, behind what was written to stdout before: whoever reads both sees the order of events."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()  # a pipe that is gone is found out, and answered, at the end
    sys.stderr.write(text)


class Screen:
    """One command's output. With `as_json`, stdout holds one JSON document and stderr one JSON object a line."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def data(self, value: object) -> None:
        """Print a JSON document."""
        self.line(encode(value, indent=2))

    def stream(self, values: Iterable[object]) -> None:
        """Print a JSON array, item by item, so that a long one needs no memory."""
        opened = False
        for value in values:
            sys.stdout.write((",\n" if opened else "[\n") + encode(value))
            opened = True
        self.line("\n]" if opened else "[]")

    def line(self, text: str) -> None:
        """Print data as it is."""
        sys.stdout.write(text + "\n")

    def say(self, text: str) -> None:
        """Tell people, on stdout, what was done. Says nothing in JSON."""
        if not self.as_json:
            self.line(visible(text))

    def note(self, text: str) -> None:
        """Tell people, on stderr, what they should know beside the data."""
        if not self.as_json:
            to_stderr(visible(text) + "\n")

    def key(self, text: str) -> None:
        """Print a key: as it is to a file or pipe, with nothing that could fool a terminal."""
        self.line(visible(text) if sys.stdout.isatty() else text)

    def warn(self, text: str) -> None:
        """Warn on stderr."""
        if self.as_json:
            to_stderr(encode({"warning": text}) + "\n")
        else:
            self._marked("warning", text, style="yellow")

    def fail(self, text: str, facts: dict[str, object]) -> None:
        """Tell on stderr why the command ends."""
        if self.as_json:
            to_stderr(encode(facts) + "\n")
        else:
            self._marked("error", text, style="bold red")

    def _marked(self, mark: str, text: str, *, style: str) -> None:
        # Diagnostics bring their own mark, with a code.
        shown = visible(text)
        prefix = "" if shown.startswith(("error[", "warning[")) else f"{mark}: "
        if prefix and sys.stderr.isatty():
            to_stderr("")
            console(sys.stderr).print(prefix, end="", style=style, markup=False, highlight=False)
            prefix = ""
        to_stderr(f"{prefix}{shown}\n")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, header: bool = True) -> None:
        """Print a table: folded to the width of a terminal, and to a file or pipe one line a row."""
        from rich.table import Table  # noqa: PLC0415  # a tenth of a second, for those who print tables
        from rich.text import Text  # noqa: PLC0415  # as above

        table = Table(box=None, pad_edge=False, header_style="bold", show_header=header)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(visible(cell)) for cell in row))
        out = console(sys.stdout)
        with out.capture() as capture:
            out.print(table)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))

    @contextmanager
    def transfer(self, text: str, size: int | None) -> Generator[Advance | None]:
        """Show a progress bar on stderr while the block runs; nothing for small things, JSON, or without a terminal."""
        if self.as_json or not sys.stderr.isatty() or (size is not None and size < WORTH_A_BAR):
            yield None
            return
        from rich import progress  # noqa: PLC0415  # as above

        columns = (
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.DownloadColumn(binary_units=True),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns, console=console(sys.stderr), transient=True) as bars:
            task = bars.add_task(visible(text), total=size)
            yield lambda sent, total: bars.update(task, completed=sent, total=total)

    @contextmanager
    def counted(self, text: str) -> Generator[Advance | None]:
        """Show on stderr how many are done, while the block runs; nothing for JSON or without a terminal."""
        if self.as_json or not sys.stderr.isatty():
            yield None
            return
        from rich import progress  # noqa: PLC0415  # as above

        columns = (
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns, console=console(sys.stderr), transient=True) as bars:
            task = bars.add_task(visible(text), total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)


def console(stream: TextIO) -> Console:
    """Return rich's console on a stream; rich itself looks at NO_COLOR and at the terminal."""
    from rich.console import Console  # noqa: PLC0415  # as above

    width = None if stream.isatty() else UNBOUNDED
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def encode(value: object, *, indent: int | None = None) -> str:
    """Write JSON that survives the encoding of stdout."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(value, indent=indent, ensure_ascii=not unicode)


def visible(text: str) -> str:
    """Write control and formatting characters as escapes, so that what was stored cannot speak to the terminal."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(
        ascii(character)[1:-1] if character != "\n" and unicodedata.category(character) in UNSEEN else character
        for character in text
    )


def aligned(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> Iterator[str]:
    """Yield rows of the same length as lines with aligned columns; those in `right` end where the column ends."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def size_text(size: int) -> str:
    """Tell a size in bytes as people read it: 512 B, 1.5 KiB, 3.0 GiB."""
    if size < KIBI:
        return f"{size} B"
    power = min((size.bit_length() - 1) // 10, len(UNITS))
    return f"{size / KIBI**power:.1f} {UNITS[power - 1]}"


def time_text(time: datetime) -> str:
    """Tell a time in UTC, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def counts_text(errors: int, warnings: int) -> str:
    """Tell how many errors and warnings there are."""
    return f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
