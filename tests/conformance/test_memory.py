"""The suite on the reference model, and on a broker over it."""

import pytest

from sovbroker.testing.conformance import AwaitedSuite, ClearSuite, HiddenSuite, SealedSuite, StoreSuite
from sovbroker_adapters.memory import MemoryStore


@pytest.fixture
def store():
    return MemoryStore("memory")


class TestMemory(StoreSuite):
    shared = False


class TestMemoryClear(ClearSuite):
    shared = False
    many = 1100


class TestMemorySealed(SealedSuite):
    shared = False
    examples = 20


class TestMemoryHidden(HiddenSuite):
    shared = False


class TestMemoryAwaited(AwaitedSuite):
    shared = False
