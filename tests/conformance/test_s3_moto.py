"""The suite on S3, as moto speaks it: with conditional writes."""

import pytest

from sovbroker.testing.conformance import StoreSuite
from sovbroker_adapters.s3 import build


class TestMoto(StoreSuite):
    @pytest.fixture
    def store(self, moto, bucket):
        moto.create_bucket(bucket)
        store = build(moto.binding(bucket))
        yield store
        store.close()
