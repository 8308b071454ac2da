"""The suite on a small service that speaks Azure's protocol; `tests/live/test_azure.py` has the one on Azurite."""

import pytest

from sovbroker.testing.blobs import BlobService
from sovbroker.testing.conformance import HiddenSuite, SealedSuite, StoreSuite
from sovbroker_adapters.azure import build


@pytest.fixture(scope="module")
def service():
    with BlobService() as running:
        yield running


@pytest.fixture(scope="module")
def locking():
    with BlobService(locks=True) as running:
        yield running


@pytest.fixture
def store(service, bucket):
    service.server.create_container(bucket)
    store = build(service.server.binding(bucket))
    yield store
    store.close()


class TestAzure(StoreSuite):
    def refuses(self, key):
        # Azure removes dots at the end of a segment.
        return key.endswith(".")


class TestAzureWithLocks(TestAzure):
    @pytest.fixture
    def store(self, locking, bucket):
        locking.server.create_container(bucket)
        store = build(locking.server.binding(bucket, settings={"retention": "native"}))
        yield store
        store.close()


class TestAzureSealed(SealedSuite):
    pass


class TestAzureHidden(HiddenSuite):
    pass
