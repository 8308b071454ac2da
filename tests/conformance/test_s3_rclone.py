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

    def test_readers_see_the_old_object_or_the_new_one(self, store):
        """In the end. Seen twice, under load: rclone told the new length and gave the old bytes.

        A plain answer of S3 has no digest to find that by. A broker never replaces an object (decision 2).
        """
        for number in range(20):
            store.put("object", b"ab"[number % 2 :][:1] * 70_000, size=70_000)
        with store.get("object") as reader:
            assert reader.read() == b"b" * 70_000


class TestRcloneSealed(SealedSuite):
    pass


class TestRcloneHidden(HiddenSuite):
    pass
