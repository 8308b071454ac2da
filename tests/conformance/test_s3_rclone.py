"""The suite on S3, as rclone speaks it: it checks signatures, keeps files, and ignores conditions.

A broker over it has conditional writes, and holds `a` beside `a/b`: its names are its own.
"""

import pytest

from sovbroker.testing.conformance import HiddenSuite, SealedSuite, StoreSuite
from sovbroker_adapters.s3 import build


@pytest.fixture
def store(rclone, bucket):
    rclone.create_bucket(bucket)
    store = build(rclone.binding(bucket))
    yield store
    store.close()


class TestRclone(StoreSuite):
    nested = False
    replaces_parts = False


class TestRcloneSealed(SealedSuite):
    pass


class TestRcloneHidden(HiddenSuite):
    pass
