"""The checkout that the house is judged by."""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CACHES = {"__pycache__", ".venv", ".hypothesis", ".import_linter_cache", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def source_roots() -> dict[str, Path]:
    """Return the folder of each import package, by its name."""
    return {
        "sovbroker": ROOT / "src" / "sovbroker",
        "sovbroker_adapters": ROOT / "adapters" / "sovbroker_adapters",
        "sovbroker_policies": ROOT / "policies" / "sovbroker_policies",
    }


@pytest.fixture(scope="session")
def files_of() -> Callable[[Path], list[Path]]:
    """Return a function that lists the files below a folder which belong to the project.

    In a git checkout: what is tracked or could be (neither ignored nor removed). Elsewhere: all but caches.
    """

    def listed(folder: Path) -> list[Path]:
        if not (ROOT / ".git").exists():
            return sorted(p for p in folder.rglob("*") if p.is_file() and not CACHES & set(p.relative_to(ROOT).parts))
        command: Sequence[str] = [
            "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
            str(folder),
        ]
        # A hook's GIT_DIR would point at another repository.
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        answer = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=True, text=True)
        return sorted({ROOT / name for name in answer.stdout.split("\0") if name and (ROOT / name).is_file()})

    return listed
