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
skipped. With a fixture `store` of the module instead, further suites put a whole broker over the same store:
`ClearSuite`, `SealedSuite`, `HiddenSuite` and `AwaitedSuite`. `FaultSuite` breaks what an adapter sends and hears.

`sovbroker.testing` must be imported before this package (it is, by the import system), so that pytest explains the
assertions.
"""

from __future__ import annotations

from sovbroker.testing.conformance.faults import FaultSuite
from sovbroker.testing.conformance.suite import StoreSuite
from sovbroker.testing.conformance.traits import Traits
from sovbroker.testing.conformance.wrappers import AwaitedSuite, ClearSuite, HiddenSuite, SealedSuite

__all__ = ["AwaitedSuite", "ClearSuite", "FaultSuite", "HiddenSuite", "SealedSuite", "StoreSuite", "Traits"]
