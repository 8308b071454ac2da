"""The suite on a folder."""

import pytest

from sovbroker.ports import Binding
from sovbroker.testing.conformance import StoreSuite
from sovbroker_adapters.local import build


class TestLocal(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path):
        return build(Binding(target="local", container=str(tmp_path)))
