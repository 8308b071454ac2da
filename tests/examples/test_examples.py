"""Every example runs, prints what it says that it prints, and stays short."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.py"))


def promised(path):
    """What an example's docstring says after `Prints:`, as a pattern in which `…` matches anything on its line."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    _, _, block = docstring.partition("Prints:\n")
    assert block, f"{path.name} does not say what it prints"
    lines = (line.removeprefix("    ") for line in block.splitlines())
    return "".join(".*".join(map(re.escape, line.split("…"))) + "\n" for line in lines)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_example_prints_what_it_promises(path, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SOVBROKER")}
    done = subprocess.run(
        [sys.executable, "-W", "error", path],
        cwd=tmp_path,
        env=environment | {"HOME": str(tmp_path), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(promised(path), done.stdout), done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_example_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60


def test_every_example_and_data_file_is_in_the_readme():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    names = [path.name for path in (*FILES, *(EXAMPLES / "data").iterdir()) if path.is_file()]
    assert len(names) >= 8
    assert [name for name in names if f"`{name}`" not in text and f"({name})" not in text] == []


def test_a_promise_that_is_not_kept_is_found(tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text('"""Wrong.\n\nPrints:\n    one … three\n"""\n')
    assert re.fullmatch(promised(path), "one two three\n")
    assert not re.fullmatch(promised(path), "one two four\n")
    assert not re.fullmatch(promised(path), "one two three\nmore\n")
