"""What a stranger meets first: `make` without words, and a machine that lacks something."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TARGETS = ["help", "demo", "test", "test-live", "check", "docs", "bench", "mutants", "clean"]
TOO_OLD = """#!/bin/sh
case "$1" in -V) echo "Python 3.9.2" ;; *) exit 1 ;; esac
"""
NO_VENV = """#!/bin/sh
case "$*" in *venv*) mkdir -p .venv/bin; echo "ensurepip is not available"; exit 1 ;; *) exit 0 ;; esac
"""
NO_NETWORK = """#!/bin/sh
case "$*" in
  *venv*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  *"pip install"*) echo "no route to host"; exit 1 ;;
  *"pip --version"*) test -x .venv/bin/python ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path, root: Path) -> Path:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(root / name, tmp_path)
    return tmp_path


def make(folder: Path, *words: str) -> tuple[int, str]:
    # What an outer make hands down (flags, the job server) is none of the inner one's business.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    env.pop("PYTHON", None)
    done = subprocess.run(["make", *words], cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def python(folder: Path, script: str) -> str:
    file = folder / "fake-python"
    file.write_text(script, encoding="utf-8")
    file.chmod(0o755)
    return f"PYTHON={file}"


def test_make_alone_tells_what_there_is(folder: Path):
    code, printed = make(folder)
    assert code == 0
    assert [line.split()[1] for line in printed.splitlines()] == TARGETS
    assert not (folder / ".venv").exists()


def test_an_old_python_is_named_and_nothing_is_made(folder: Path):
    code, printed = make(folder, "test", python(folder, TOO_OLD))
    assert code != 0
    assert "is Python 3.9.2, and sovbroker needs 3.11 or newer" in printed
    assert not (folder / ".venv").exists()


def test_a_missing_python_is_named(folder: Path):
    code, printed = make(folder, "demo", "PYTHON=no-such-python")
    assert code != 0
    assert "`no-such-python` was not found" in printed


def test_a_machine_without_venv_is_told_what_to_install(folder: Path):
    code, printed = make(folder, "test", python(folder, NO_VENV))
    assert code != 0
    assert "apt-get install python3-venv" in printed
    assert not (folder / ".venv").exists()


def test_an_interrupted_set_up_is_made_anew(folder: Path):
    """The stamp is written last: what failed half-way is tried again by the next call."""
    words = ("test", python(folder, NO_NETWORK))
    for _ in range(2):
        code, printed = make(folder, *words)
        assert code != 0
        assert "no route to host" in printed
        assert not (folder / ".venv" / ".ready").exists()


def test_a_set_up_that_is_there_is_not_made_again(folder: Path):
    bin_ = folder / ".venv" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "python").write_text('#!/bin/sh\necho "ran $*"\n', encoding="utf-8")
    (bin_ / "python").chmod(0o755)
    (folder / ".venv" / ".ready").touch()
    assert make(folder, "test", "PYTHON=no-such-python") == (
        0,
        ".venv/bin/python -m pytest -n auto\nran -m pytest -n auto\n",
    )


def test_continuous_integration_runs_the_gates_and_the_tests(root: Path):
    """It is tried with a make that only tells what it was asked, from another folder, without input."""
    script = root / ".ci" / "run"
    assert os.access(script, os.X_OK)
    shim = 'make() { echo "make $*"; }; export -f make; exec bash "$0"'
    done = subprocess.run(
        ["bash", "-c", shim, str(script)], cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["make check", "make test", "make test-live"]


def test_continuous_integration_stops_at_the_first_failure(root: Path):
    shim = 'make() { echo "make $*"; return 7; }; export -f make; exec bash "$0"'
    done = subprocess.run(["bash", "-c", shim, str(root / ".ci" / "run")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "make check\n")
