import sys
from types import ModuleType

import pytest

from sovbroker.detect import Scan, known, names, scan
from sovbroker.detect.registry import BUILT_IN
from sovbroker.errors import ConfigError


class Lines:
    """A package's detector: it counts lines."""

    def __init__(self) -> None:
        self.count = 0

    def feed(self, chunk: bytes | memoryview) -> None:
        self.count += bytes(chunk).count(b"\n")

    def finish(self) -> int:
        return self.count


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package that can be imported."""
    module = ModuleType("acme_detectors")
    module.Lines = Lines
    module.number = 7
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_the_brokers_own_are_known(offers):
    assert names() == ("email", "fr.nir", "fr.rpps", "fr.siren", "fr.siret", "iban", "payment-card")
    assert set(known()) == BUILT_IN


def test_a_package_adds_a_detector(offers):
    offers.add("acme.lines", "acme_detectors:Lines")
    assert "acme.lines" in names()
    assert scan(b"a\nb\na@example.org", ["acme.lines", "email"]) == Scan({"acme.lines": 2, "email": 1})


def test_what_is_known_is_found_out_once(offers):
    first = known()
    offers.entries.append(None)
    assert known() is first


def test_what_is_known_cannot_be_changed(offers):
    with pytest.raises(TypeError):
        known()["email"] = Lines


def test_a_name_of_the_brokers_own_cannot_be_taken(offers):
    offers.add("fr.nir", "acme_detectors:Lines")
    assert scan(b"a\nb\n", ["fr.nir"]) == Scan({"fr.nir": 0})
    assert not isinstance(known()["fr.nir"](), Lines)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("acme_nowhere:Lines", ModuleNotFoundError),
        ("acme_detectors:Missing", AttributeError),
        ("acme_detectors:number", TypeError),
    ],
)
def test_a_broken_detector_is_known_and_never_complete(offers, value: str, error: type[Exception]):
    offers.add("acme.lines", value)
    assert "acme.lines" in known()
    with pytest.raises(error):
        known()["acme.lines"]()
    found = scan(b"a@example.org", ["acme.lines", "email"])
    assert found.counts == {"acme.lines": 0, "email": 1}
    assert not found.complete
    assert "`acme.lines`" in found.why
    assert error.__name__ in found.why


def test_a_name_that_two_packages_offer_is_nobodys(offers):
    offers.add("acme.lines", "acme_detectors:Lines")
    offers.add("acme.lines", "other_detectors:Lines")
    with pytest.raises(ConfigError, match=r"`acme_detectors:Lines` and `other_detectors:Lines`; uninstall all but one"):
        known()["acme.lines"]()
    assert not scan(b"", ["acme.lines"]).complete


def test_a_package_that_is_listed_twice_is_one(offers):
    offers.add("acme.lines", "acme_detectors:Lines")
    offers.add("acme.lines", "acme_detectors:Lines")
    assert scan(b"\n", ["acme.lines"]) == Scan({"acme.lines": 1})
