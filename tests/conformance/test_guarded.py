"""The suite on the guard: what it lets through it leaves as it is."""

import pytest

from sovbroker.guard import Guarded, Permit
from sovbroker.ports import Binding
from sovbroker.testing.conformance import StoreSuite
from sovbroker_adapters.memory import build


class TestGuarded(StoreSuite):
    shared = False

    @pytest.fixture
    def store(self):
        return Guarded(build(Binding(target="memory", container="")), Permit.CLEAR)
