"""The suite on a folder, and on a broker over it."""

import pytest

from sovbroker.ports import Binding
from sovbroker.testing.conformance import AwaitedSuite, ClearSuite, HiddenSuite, SealedSuite, StoreSuite
from sovbroker_adapters.local import build


@pytest.fixture
def store(tmp_path):
    return build(Binding(target="local", container=str(tmp_path)))


class TestLocal(StoreSuite):
    pass


class TestLocalClear(ClearSuite):
    pass


class TestLocalSealed(SealedSuite):
    pass


class TestLocalHidden(HiddenSuite):
    pass


class TestLocalAwaited(AwaitedSuite):
    pass
