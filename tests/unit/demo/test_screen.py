"""What the demo prints fits, with rich and without, and takes nothing for markup."""

import builtins
import io
import sys

import pytest
from rich.console import Console

from sovbroker.demo.screen import Plain, Rich, open_screen

COLUMNS = ["object", "why"]
ROWS = [["patients/[red]42[/red].json", "word " * 40], ["x" * 150, "two\nlines"]]


def plain(encoding="utf-8"):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def printed(out):
    out.flush()
    return out.buffer.getvalue().decode(out.encoding)


def rich(width=100, encoding="utf-8"):
    out = plain(encoding)
    return out, Rich(Console(file=out, width=width))


def screen_of(kind, encoding="utf-8"):
    if kind == "rich":
        return rich(encoding=encoding)
    out = plain(encoding)
    return out, Plain(out)


@pytest.mark.parametrize("kind", ["plain", "rich"])
def test_a_table_fits_and_holds_everything(kind):
    out, screen = screen_of(kind)
    screen.table(COLUMNS, ROWS)
    text = printed(out)
    assert max(map(len, text.splitlines())) <= 110
    assert text.count("word") == 40
    assert text.count("x") == 150
    for piece in ("[red]42[/red]", "two", "lines", "object", "why"):
        assert piece in text.replace("\n", "")


@pytest.mark.parametrize("width", [40, 60, 200])
def test_rich_tables_fit_any_width(width):
    out, screen = rich(width)
    screen.table(COLUMNS, ROWS)
    assert max(map(len, printed(out).splitlines())) <= width


@pytest.mark.parametrize("kind", ["plain", "rich"])
@pytest.mark.parametrize(("encoding", "marks"), [("utf-8", "✓✗"), ("ascii", None)])
def test_marks_fit_the_encoding(kind, encoding, marks):
    out, screen = screen_of(kind, encoding=encoding)
    screen.checked("good [bold]")
    screen.failed("bad")
    text = printed(out)
    assert "good [bold]" in text
    assert (marks[0] in text and marks[1] in text) if marks else ("[ok]" in text and "[FAILED]" in text)


@pytest.mark.parametrize("kind", ["plain", "rich"])
def test_progress_is_quiet_without_a_terminal(kind):
    out, screen = screen_of(kind)
    with screen.progress("sending", 3 << 20) as advance:
        advance(1 << 20, 3 << 20)
        advance(3 << 20, None)
    assert printed(out) == "sending (3 MiB)\n"


def test_progress_is_shown_on_a_terminal():
    out = plain()
    with Rich(Console(file=out, width=100, force_terminal=True)).progress("sending", 3 << 20) as advance:
        advance(3 << 20, 3 << 20)
    assert "3.0/3.0 MiB" in printed(out)


def test_without_rich_the_plain_screen_serves(monkeypatch, capsys):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("rich"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    screen = open_screen()
    assert isinstance(screen, Plain)
    screen.title("a title")
    assert capsys.readouterr().out == "\na title\n=======\n"


def test_a_terminal_without_accents_does_not_stop_the_demo(monkeypatch):
    out = plain("ascii")
    monkeypatch.setattr(sys, "stdout", out)
    open_screen().say("règle R9")
    assert "r?gle R9" in printed(out)
