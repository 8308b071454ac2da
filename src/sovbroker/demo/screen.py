"""Where the demo prints: with rich where it is installed, in plain aligned text where it is not."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Advance", "Screen", "open_screen"]

Advance = Callable[[int, int | None], None]
"""Told of a transfer's progress: bytes so far, and all of them where that is known."""

WIDTH = 110


class Screen(Protocol):
    """What the demo needs of a terminal. Text is printed as it is: nothing in it is markup."""

    def title(self, text: str) -> None:
        """Begin a section."""
        ...

    def say(self, text: str) -> None:
        """Print a line or a few."""
        ...

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table, folded to the width there is."""
        ...

    def checked(self, text: str) -> None:
        """Print what has just been checked, with a check mark."""
        ...

    def failed(self, text: str) -> None:
        """Print what is not so."""
        ...

    def progress(self, text: str, total: int) -> AbstractContextManager[Advance]:
        """Show a transfer of `total` bytes while the block runs; shows nothing where there is no terminal."""
        ...


def open_screen(console: Console | None = None) -> Screen:
    """Return a screen on `console`, or on standard output."""
    if console is not None:
        return Rich(console)
    # A terminal that cannot show an accent shows `?`; the demo does not fail for that.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    try:
        from rich.console import Console  # noqa: PLC0415  # an extra: the demo works without it
    except ImportError:
        return Plain(sys.stdout)
    return Rich(Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH))


def _marks(encoding: str | None) -> tuple[str, str]:
    try:
        "✓✗".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "[ok]", "[FAILED]"
    return "✓", "✗"


class Plain:
    """A screen that needs nothing but the standard library."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._mark, self._cross = _marks(out.encoding)

    def title(self, text: str) -> None:
        """See `Screen.title`."""
        self.say(f"\n{text}\n{'=' * len(text)}")

    def say(self, text: str) -> None:
        """See `Screen.say`."""
        self._out.write(text + "\n")
        self._out.flush()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """See `Screen.table`."""
        widths = _widths([columns, *rows], WIDTH - 2 * (len(columns) - 1))
        for row in ([*columns], ["-" * width for width in widths], *rows):
            cells = [_fold(cell, width) for cell, width in zip(row, widths, strict=True)]
            for line in range(max(len(cell) for cell in cells)):
                texts = [cell[line] if line < len(cell) else "" for cell in cells]
                padded = (text.ljust(width) for text, width in zip(texts, widths, strict=True))
                self.say("  ".join(padded).rstrip())

    def checked(self, text: str) -> None:
        """See `Screen.checked`."""
        self.say(f"{self._mark} {text}")

    def failed(self, text: str) -> None:
        """See `Screen.failed`."""
        self.say(f"{self._cross} {text}")

    @contextmanager
    def progress(self, text: str, total: int) -> Generator[Advance]:
        """See `Screen.progress`."""
        self.say(f"{text} ({total >> 20} MiB)")
        yield lambda _sent, _size: None


def _fold(text: str, width: int) -> list[str]:
    return [piece for line in text.split("\n") for piece in textwrap.wrap(line, width) or [""]]


def _widths(rows: Sequence[Sequence[str]], total: int) -> list[int]:
    """Return the columns' widths: as wide as their text, the widest ones cut until all fit."""
    widths = [max(max(len(line) for line in cell.split("\n")) for cell in column) for column in zip(*rows, strict=True)]
    while sum(widths) > total:
        widths[widths.index(max(widths))] -= 1
    return widths


class Rich:
    """A screen with rich's tables and progress bars."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._mark, self._cross = _marks(console.encoding)

    def title(self, text: str) -> None:
        """See `Screen.title`."""
        self._console.print()
        self._console.print(text, style="bold cyan", markup=False)

    def say(self, text: str) -> None:
        """See `Screen.say`."""
        self._console.print(text, markup=False, highlight=False)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """See `Screen.table`."""
        from rich.table import Table  # noqa: PLC0415  # an extra: this class is made only where it is installed
        from rich.text import Text  # noqa: PLC0415  # as above

        table = Table(show_lines=True)
        for column in columns:
            table.add_column(Text(column))
        for row in rows:
            table.add_row(*(Text(cell, overflow="fold") for cell in row))
        self._console.print(table)

    def checked(self, text: str) -> None:
        """See `Screen.checked`."""
        self._console.print(f"{self._mark} {text}", style="green", markup=False, highlight=False)

    def failed(self, text: str) -> None:
        """See `Screen.failed`."""
        self._console.print(f"{self._cross} {text}", style="bold red", markup=False, highlight=False)

    @contextmanager
    def progress(self, text: str, total: int) -> Generator[Advance]:
        """See `Screen.progress`."""
        if not self._console.is_terminal:
            self.say(f"{text} ({total >> 20} MiB)")
            yield lambda _sent, _size: None
            return
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn  # noqa: PLC0415  # as above
        from rich.progress import TransferSpeedColumn as Speed  # noqa: PLC0415  # as above

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), Speed())
        with Progress(*columns, console=self._console) as bars:
            task = bars.add_task(text, total=total)
            yield lambda sent, _size: bars.update(task, completed=sent)
