"""Everything that is asked of a store."""

from __future__ import annotations

from sovbroker.testing.conformance.bodies import BodySuite
from sovbroker.testing.conformance.listings import ListingSuite
from sovbroker.testing.conformance.model import ModelSuite
from sovbroker.testing.conformance.sharing import SharingSuite
from sovbroker.testing.conformance.uploads import UploadSuite

__all__ = ["StoreSuite"]


class StoreSuite(BodySuite, ListingSuite, UploadSuite, SharingSuite, ModelSuite):
    """Every promise of `Store`. Needs a fixture `store`: an open store with an empty container."""
