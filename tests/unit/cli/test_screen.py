"""What is printed is whole, and cannot speak to the terminal."""

import contextlib
import io
import json
import re
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.cli.screen import Screen, aligned, size_text, visible


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_nothing_unseen_is_left(text):
    shown = visible(text)
    assert not [c for c in shown if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    if all(unicodedata.category(c)[0] in "LN" for c in text):
        assert shown == text


def test_visible():
    assert visible("é\n\x1b[2J\u202e") == "é\n\\x1b[2J\\u202e"


def test_sizes():
    assert [size_text(n) for n in (0, 1023, 1024, 1536, 5 << 30, 1 << 70)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 KiB",
        "5.0 GiB",
        "1024.0 EiB",
    ]


def test_aligned():
    assert list(aligned([("a", "1", "x"), ("bbb", "22", "")], right=frozenset({1}))) == ["a     1  x", "bbb  22"]


def test_a_table_keeps_every_word_when_nobody_looks(capsys):
    long = "word " * 100
    Screen(as_json=False).table(("one", "two"), [("[red]a[/red]", long), ("b\x1b", "c")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "[red]a[/red]" in lines[1]
    assert long.strip() in lines[1]
    assert "b\\x1b" in lines[2]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(st.text(), st.text())))
def test_a_stream_is_json(values):
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    with contextlib.redirect_stdout(out):
        Screen(as_json=True).stream(iter(values))
    out.flush()
    assert json.loads(out.buffer.getvalue().decode().encode("utf-8", "surrogatepass")) == values or has_surrogates(
        values
    )


def has_surrogates(values):
    return re.search("[\ud800-\udfff]", "".join(k + v for value in values for k, v in value.items())) is not None
