"""The suite on a small service that speaks Azure's protocol; `tests/live/test_azure.py` has the one on Azurite."""

import pytest

from sovbroker.errors import InvalidArgument
from sovbroker.testing.blobs import BlobService
from sovbroker.testing.conformance import StoreSuite
from sovbroker.testing.conformance.traits import MUST_HOLD
from sovbroker_adapters.azure import build


@pytest.fixture(scope="module")
def service():
    with BlobService() as running:
        yield running


@pytest.fixture(scope="module")
def locking():
    with BlobService(locks=True) as running:
        yield running


class Azure(StoreSuite):
    @pytest.mark.parametrize("key", MUST_HOLD, ids=ascii)
    def test_holds_every_reasonable_key(self, store, key):
        if not key.endswith("."):
            self._holds_exactly(store, key)
            return
        # Azure removes dots at the end of a segment.
        with pytest.raises(InvalidArgument):
            store.put(key, b"x", size=1)


class TestAzureWithLocks(Azure):
    @pytest.fixture
    def store(self, locking, bucket):
        locking.server.create_container(bucket)
        store = build(locking.server.binding(bucket, settings={"retention": "native"}))
        yield store
        store.close()


class TestAzure(Azure):
    @pytest.fixture
    def store(self, service, bucket):
        service.server.create_container(bucket)
        store = build(service.server.binding(bucket))
        yield store
        store.close()
