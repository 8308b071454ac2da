"""The suite on the reference model."""

import pytest

from sovbroker.testing.conformance import StoreSuite
from sovbroker_adapters.memory import MemoryStore


class TestMemory(StoreSuite):
    @pytest.fixture
    def store(self):
        return MemoryStore("memory")
