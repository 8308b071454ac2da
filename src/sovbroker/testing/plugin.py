"""The pytest plugin: fixtures that give an application's tests its real configuration with every cloud of it faked.

::

    def test_letters_stay_in_europe(sov_clouds, sov_broker):
        save_letter(sov_broker, patient="42", text="Dear Camille Moreau, …")
        sov_clouds.assert_only_in("EEA", "patients/**")

The configuration is the one that `sovbroker_config` names in pytest's own configuration, relative to that file; else
`sovbroker.yaml` in pytest's root folder, or in `tests` below it. A test that needs another one says so, relative to the
same folder: `@pytest.mark.sovbroker(config="tests/other.yaml")`. Nothing of the broker is imported before a fixture is
used.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import pytest

if TYPE_CHECKING:
    from sovbroker.broker import Broker
    from sovbroker.testing.fakes import FakeClouds

__all__ = ["sov_broker", "sov_clouds"]

OPTION: Final = "sovbroker_config"
MARKER: Final = "sovbroker(config): fake the clouds of this configuration for `sov_clouds` and `sov_broker`"
DEFAULTS: Final = ("sovbroker.yaml", "tests/sovbroker.yaml")
TITLE: Final = "What the faked clouds saw"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option."""
    parser.addini(OPTION, "the sovbroker configuration whose clouds `sov_clouds` fakes", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def sov_clouds(request: pytest.FixtureRequest) -> Generator[FakeClouds]:
    """Every target of the configuration, faked; `sovbroker.open` of it gives a broker over them."""
    from sovbroker.testing.fakes import fake_clouds  # noqa: PLC0415  # a session without such a test does without

    with fake_clouds(_configuration(request)) as clouds:
        yield clouds


@pytest.fixture
def sov_broker(sov_clouds: FakeClouds) -> Generator[Broker]:
    """Return an open broker over the faked clouds."""
    with sov_clouds.open() as broker:
        yield broker


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failed test what each faked cloud saw."""
    report = yield
    arguments = cast("dict[str, object]", getattr(item, "funcargs", {}))
    if call.when == "call" and report.failed and "sov_clouds" in arguments:
        report.sections.append((TITLE, str(arguments["sov_clouds"])))
    return report


def _configuration(request: pytest.FixtureRequest) -> Path:
    """Return the configuration that a test is to have. Fails the test, and says what to write, when there is none."""
    home = request.config.rootpath if request.config.inipath is None else request.config.inipath.parent
    node = cast("pytest.Item", request.node)  # pyright: ignore[reportUnknownMemberType]  # pytest leaves it open
    marker = node.get_closest_marker("sovbroker")
    if marker is not None:
        try:
            named = _marked(*marker.args, **marker.kwargs)
        except TypeError:
            pytest.fail('the marker takes one path: `@pytest.mark.sovbroker(config="tests/other.yaml")`', pytrace=False)
    else:
        named = str(request.config.getini(OPTION))
    if named:
        return home / named
    found = next((home / name for name in DEFAULTS if (home / name).is_file()), None)
    if found is None:
        pytest.fail(
            f"there is no configuration to fake: neither `sovbroker.yaml` nor `tests/sovbroker.yaml` in `{home}`; name "
            f"one with `{OPTION}` in pytest's configuration, or mark the test `@pytest.mark.sovbroker(config=…)`",
            pytrace=False,
        )
    return found


def _marked(config: str) -> str:
    return config
