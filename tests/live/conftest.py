"""Counts the tests of each server, so that none is left out unseen: not installed, skipped, or renamed away.

With `--every-server`, as `make test-live` says it, the run fails when a server has had fewer tests than are expected of
it, when one was skipped, or when a module of this folder expects nothing.
"""

from collections import Counter
from pathlib import Path

import pytest

# How many tests of each module have to pass: a few less than there are, so that one may be renamed or joined.
EXPECTED = {
    "test_azure.py": 330,
    "test_broker.py": 7,
    "test_ceph.py": 650,
    "test_keystone.py": 5,
    "test_pkcs11.py": 12,
    "test_probe.py": 3,
    "test_sandbox.py": 15,
    "test_secrets.py": 16,
    "test_swift.py": 430,
}


class Counting:
    """What passed and what was skipped, by module."""

    def __init__(self):
        self.passed = Counter()
        self.skipped = Counter()

    def pytest_runtest_logreport(self, report):
        # Not the place of the function: that of an inherited test is the suite.
        module = Path(report.nodeid.partition("::")[0]).name
        if report.skipped:
            self.skipped[module] += 1
        elif report.when == "call" and report.passed:
            self.passed[module] += 1

    def missing(self):
        """Yield what is wrong, a sentence each."""
        for name in sorted({file.name for file in Path(__file__).parent.glob("test_*.py")} | EXPECTED.keys()):
            least, passed = EXPECTED.get(name), self.passed[name]
            if least is None:
                yield f"{name} expects no number of tests; add it to EXPECTED in tests/live/conftest.py"
            elif passed < least:
                yield f"{name}: {passed} tests passed, and {least} are expected"
            if self.skipped[name]:
                yield f"{name}: {self.skipped[name]} tests were skipped"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        if any(self.missing()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        for sentence in self.missing():
            terminalreporter.write_line(f"ERROR {sentence}", red=True)


def pytest_addoption(parser):
    parser.addoption("--every-server", action="store_true", help="fail unless every server was tested")


def pytest_configure(config):
    if config.getoption("--every-server"):
        config.pluginmanager.register(Counting(), "every-server")
