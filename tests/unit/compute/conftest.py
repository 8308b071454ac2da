"""A broker's compute half over providers in memory, and objects for it to be near."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from sovbroker import policy as policies
from sovbroker.catalogue.facts import Basis, Confidence, Evidence, Fact, Facts, Target
from sovbroker.compute import Compute, ComputePlace, Journal, Providers, Surroundings
from sovbroker.machines import ImageSource
from sovbroker.placements import CopyRow, Placement, Precondition, SqliteIndex, new_version
from sovbroker.ports import Binding
from sovbroker.testing.machines import FakeCompute

POLICY = """
sovbroker: 1
name: compute
levels: [public, internal, restricted]
default: restricted
zones:
  french: {located: [FR], controlled: [FR]}
  european: {located: [EEA], controlled: [EEA]}
  anywhere: {}
require:
  public: {store: {anywhere: {}}, compute: [anywhere]}
  internal: {store: {european: {}, anywhere: {encrypt: client}}, compute: [european]}
  restricted: {store: {french: {encrypt: client}, anywhere: {encrypt: client, names: encrypt}}, compute: [french]}
classify:
  - {id: web, path: "web/**", label: public}
  - {id: hr, path: "hr/**", label: restricted}
  - {id: press, path: "press/**", label: public}
"""
SOURCE = ImageSource("debian", "debian-*")
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def facts(country):
    sure = Evidence(Basis.VERIFIED, Confidence.HIGH)
    return Facts(Fact(frozenset({country}), sure), Fact(frozenset({country}), sure), Fact(None, sure))


@dataclass
class House:
    """What tests are about."""

    compute: Compute
    fakes: dict
    journal: Journal
    index: SqliteIndex
    around: Surroundings
    now: list = field(default_factory=lambda: [NOW])

    def put(self, key, label, *targets):
        """Make the row of an object whose copies are at targets."""
        version = new_version(NOW)
        copies = tuple(CopyRow(target, f"{key}@{version}", sealed=False) for target in targets)
        row = Placement(key, version, label, 3, NOW, copies)
        self.index.commit(row, condition=Precondition(), now=NOW)

    def later(self, **span):
        self.now[0] += timedelta(**span)


@pytest.fixture
def house(tmp_path):
    countries = {"fr/compute@paris": "FR", "de/compute@berlin": "DE", "us/compute@ohio": "US"}
    fakes = {name: FakeCompute(target=name) for name in countries}
    places = {}
    for name, country in countries.items():
        provider, _, rest = name.partition("/")
        region = rest.partition("@")[2]
        target = Target(name, provider, region, facts(country), offer="compute", site=f"{provider}/{region}")
        places[name] = Held(target, fakes[name])
    now = [NOW]
    policy = policies.loads(POLICY, targets=[place.target for place in places.values()], clock=lambda: now[0])
    index = SqliteIndex(tmp_path / "state.db")
    around = Surroundings(
        governing=lambda: policy,
        index=index,
        sites={"fr/paris": "fr/paris", "de/berlin": "de/berlin", "us/ohio": "us/ohio"},
        providers=Providers(places),
        journal=Journal(tmp_path / "state.db"),
        clock=lambda: now[0],
    )
    yield House(Compute(around), fakes, around.journal, index, around, now)
    index.close()


class Held(ComputePlace):
    """A place whose provider is at hand."""

    def __init__(self, target, provider):
        super().__init__(target, "fake", Binding(target.id, ""), images={"debian-12": SOURCE})
        object.__setattr__(self, "_held", provider)

    def open(self):
        return self._held
