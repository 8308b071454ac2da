"""Policies to prove, on one frozen day, and the drawn ones of the reference test."""

import importlib.util
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from sovbroker import policy as policies
from sovbroker.policy.prove import prove

AT = date(2026, 11, 24)
NOW = datetime(2026, 11, 24, tzinfo=UTC)

BASE = """
sovbroker: 1
levels: [public, internal, restricted]
zones:
  french: {located: [FR], controlled: [EEA]}
  european: {located: [EEA], controlled: [EEA]}
  anywhere: {}
"""


@pytest.fixture(scope="session")
def drawn():
    """The strategies that draw policies and worlds, from the test that compares them with the reference."""
    path = Path(__file__).parents[1] / "test_reference.py"
    spec = importlib.util.spec_from_file_location("drawn_policies", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def load(world):
    """Load a policy, by default over one French and one American target and one French key service."""

    def load(text, targets=None, keys=None):
        given = [world.target("p/fr"), world.target("q/us", "US", "US")] if targets is None else targets
        holders = [world.keys("main")] if keys is None else keys
        return policies.loads(text, targets=given, keys=holders, at=NOW, clock=lambda: NOW)

    return load


@pytest.fixture(scope="session")
def proof_of(load):
    """Prove a policy: a text that is added to the levels and zones above."""

    def proof_of(text, *, base=BASE, targets=None, keys=None, **options):
        return prove(load(base + text, targets, keys), at=AT, **options)

    return proof_of


@pytest.fixture(scope="session")
def found():
    """Return the findings of one code: their messages, by the text of the line that they point at."""

    def found(proof, code):
        return [(d.text[d.column - 1 : d.column - 1 + d.width], d.message) for d in proof.diagnostics if d.code == code]

    return found
