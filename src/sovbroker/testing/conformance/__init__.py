"""The suites that prove that an adapter keeps the promises of `sovbroker.ports`.

Subclass `StoreSuite` in a test module, and give it a store with an empty container::

    from sovbroker.testing.conformance import StoreSuite

    class TestMine(StoreSuite):
        @pytest.fixture
        def store(self, tmp_path):
            store = build(Binding(target="mine", container=str(tmp_path)))
            yield store
            store.close()

A feature that the store declares is tested by its behaviour, one that it does not declare by `NotSupported`; nothing is
skipped. `sovbroker.testing` must be imported before this package (it is, by the import system), so that pytest explains
the assertions.
"""

from __future__ import annotations

from sovbroker.testing.conformance.bodies import BodySuite
from sovbroker.testing.conformance.listings import ListingSuite
from sovbroker.testing.conformance.model import ModelSuite
from sovbroker.testing.conformance.sharing import SharingSuite
from sovbroker.testing.conformance.traits import Traits
from sovbroker.testing.conformance.uploads import UploadSuite

__all__ = ["StoreSuite", "Traits"]


class StoreSuite(BodySuite, ListingSuite, UploadSuite, SharingSuite, ModelSuite):
    """Every promise of `Store`. Needs a fixture `store`: an open store with an empty container."""
