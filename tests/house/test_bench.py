"""The table of `make bench`: what it says of a goal, and that a broken measurement does not hide the others."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def table(root: Path) -> ModuleType:
    sys.path.insert(0, str(root))
    try:
        spec = importlib.util.find_spec("bench.__main__")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(root))
    return module


@pytest.mark.parametrize(
    ("value", "goal", "said"),
    [
        (0.95, ">= 0.95", "yes"),
        (0.949, ">= 0.95", "NO"),
        (40.0, "<= 40", "yes"),
        (40.1, "<= 40", "NO"),
        (1.0, "<1", "NO"),
        (800_001.0, "> 800,000", "yes"),
        (1.0, "", ""),
        (1.0, "as fast as it can be", "?"),
        (1.0, ">= 800 k", "?"),
    ],
)
def test_a_goal_is_met_or_not(table: ModuleType, value: float, goal: str, said: str):
    assert table.met(value, goal) == said


def test_numbers_have_the_digits_they_deserve(table: ModuleType):
    assert [table.spoken(value) for value in (836_123.4, 123.45, 1.2345, 0.012345, 0.0, float("nan"))] == [
        "836,123", "123.5", "1.23", "0.0123", "0", "-",
    ]  # fmt: skip


def test_a_broken_measurement_is_a_line_of_the_table(root: Path, tmp_path: Path):
    folder = tmp_path / "bench"
    folder.mkdir()
    for name in ("__init__.py", "__main__.py"):
        shutil.copy(root / "bench" / name, folder)
    (folder / "broken.py").write_text("def rows():\n    raise RuntimeError('no disk')\n", encoding="utf-8")
    (folder / "plain.py").write_text("VALUE = 1\n", encoding="utf-8")
    (folder / "sound.py").write_text("def rows():\n    return [('speed', 3.0, 'MB/s', '>= 4')]\n", encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "bench"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert rows == [
        ["broken", "failed", "RuntimeError:", "no", "disk"],
        ["sound:", "speed", "3.00", "MB/s", ">=", "4", "NO"],
    ]
