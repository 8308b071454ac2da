"""The suite on S3, as moto speaks it, with conditional writes; and on a broker over it."""

import pytest

from sovbroker.testing.conformance import HiddenSuite, SealedSuite, StoreSuite
from sovbroker_adapters.s3 import build


@pytest.fixture
def store(moto, bucket):
    moto.create_bucket(bucket)
    store = build(moto.binding(bucket))
    yield store
    store.close()


class TestMoto(StoreSuite):
    pass


class TestMotoSealed(SealedSuite):
    pass


class TestMotoHidden(HiddenSuite):
    pass


class TestMotoWithVersions(StoreSuite):
    @pytest.fixture
    def store(self, moto, bucket):
        moto.create_bucket(bucket, versioned=True)
        store = build(moto.binding(bucket))
        yield store
        store.close()


class TestMotoWithLocks(StoreSuite):
    @pytest.fixture
    def store(self, moto, bucket):
        moto.create_bucket(bucket, lock=True)
        store = build(moto.binding(bucket, settings={"retention": "native"}))
        yield store
        store.close()
