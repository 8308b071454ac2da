"""The suite on a small service that speaks Azure's protocol; `tests/live/test_azure.py` has the one on Azurite."""

import pytest

from sovbroker.testing.blobs import BlobService
from sovbroker.testing.conformance import HiddenSuite, SealedSuite, StoreSuite
from sovbroker_adapters.azure import build


@pytest.fixture(scope="module")
def service():
    with BlobService() as running:
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


class TestAzureSealed(SealedSuite):
    pass


class TestAzureHidden(HiddenSuite):
    pass
