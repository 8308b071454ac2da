"""The suite on S3, as rclone speaks it: it checks signatures, keeps files, and ignores conditions."""

import pytest

from sovbroker.testing.conformance import StoreSuite
from sovbroker_adapters.s3 import build


class TestRclone(StoreSuite):
    nested = False
    replaces_parts = False

    @pytest.fixture
    def store(self, rclone, bucket):
        rclone.create_bucket(bucket)
        store = build(rclone.binding(bucket))
        yield store
        store.close()
