"""A run against real servers cannot leave one out without failing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Spelled in two, because no test of ours does it.
SKIP = "pytest" + ".skip"
LESS = """
import pytest

@pytest.mark.parametrize("number", range({}))
def test_one(number):
    {}
"""
SUITE = """
import pytest

class Suite:
    @pytest.mark.parametrize("number", range(1000))
    def test_one(self, number):
        pass
"""


@pytest.fixture
def folder(root: Path, tmp_path: Path) -> Path:
    """A copy of the counting, and a module for each server that passes often enough."""
    shutil.copy(root / "tests" / "live" / "conftest.py", tmp_path)
    for file in (root / "tests" / "live").glob("test_*.py"):
        (tmp_path / file.name).write_text(LESS.format(1000, "pass"))
    return tmp_path


def run(folder: Path, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(folder), *words]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_run_of_all_is_fine(folder: Path):
    code, printed = run(folder, "--every-server")
    assert (code, "ERROR" in printed) == (0, False), printed


def test_what_a_module_inherits_counts_as_its_own(folder: Path):
    """Most tests of a server are those of a suite, which lies elsewhere."""
    (folder / "given.py").write_text(SUITE)
    path = f"import sys\n\nsys.path.insert(0, {str(folder)!r})\n\n"
    (folder / "test_ceph.py").write_text(f"{path}from given import Suite\n\nclass TestCeph(Suite):\n    pass\n")
    code, printed = run(folder, "--every-server")
    assert (code, "ERROR" in printed) == (0, False), printed


def test_a_server_that_is_left_out_fails_the_run(folder: Path):
    (folder / "test_ceph.py").unlink()
    code, printed = run(folder, "--every-server")
    assert code == 1
    assert "ERROR test_ceph.py: 0 tests passed, and" in printed


def test_a_server_that_is_hardly_tested_fails_the_run(folder: Path):
    (folder / "test_ceph.py").write_text(LESS.format(3, "pass"))
    code, printed = run(folder, "--every-server")
    assert code == 1
    assert "ERROR test_ceph.py: 3 tests passed, and" in printed


@pytest.mark.parametrize("skipping", [f"{SKIP}('not installed')", f"number > 9 or {SKIP}('not here')"])
def test_a_test_that_is_skipped_fails_the_run(folder: Path, skipping: str):
    (folder / "test_ceph.py").write_text(LESS.format(500, skipping))
    code, printed = run(folder, "--every-server")
    assert code == 1
    assert "tests were skipped" in printed


def test_a_server_of_which_nothing_is_expected_fails_the_run(folder: Path):
    (folder / "test_another.py").write_text(LESS.format(1, "pass"))
    code, printed = run(folder, "--every-server")
    assert code == 1
    assert "test_another.py expects no number of tests" in printed


def test_part_of_them_can_be_run_by_hand(folder: Path):
    (folder / "test_ceph.py").write_text(LESS.format(3, "pass"))
    code, printed = run(folder / "test_ceph.py")
    assert code == 0, printed


INSTALLING = """
apt-get() {{ echo "apt-get $*"; return 1; }}; id() {{ echo {uid}; }}; sudo() {{ return 1; }}
command() {{ case "$2" in apt-get) {apt} ;; *) return 1 ;; esac; }}
export -f apt-get id sudo command; exec bash {script}
"""


@pytest.mark.parametrize(
    ("uid", "apt", "said"),
    [
        (1000, "return 0", "there is no `radosgw`; run as root, once: apt-get install --no-install-recommends radosgw"),
        (0, "return 1", "there is no `radosgw`, and no apt-get to install it; on Debian and Ubuntu it is: apt-get"),
        (0, "return 0", "apt-get update"),
    ],
)
def test_a_machine_that_cannot_install_is_told_what_is_missing(root: Path, uid: int, apt: str, said: str):
    script = INSTALLING.format(uid=uid, apt=apt, script=root / "tests" / "live" / "install")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
