"""The suite on a real Swift, by its own API and by its S3 face; see `sovbroker.testing.swift` for SWIFT_PYTHON."""

import pytest

from sovbroker.testing.conformance import StoreSuite
from sovbroker.testing.swift import swift
from sovbroker_adapters.s3 import build as build_s3
from sovbroker_adapters.swift import build

LINKS = {"username": "test:tester", "password": "testing", "temp_url_key": "a key of the container"}


@pytest.fixture(scope="module")
def server():
    with swift() as running:
        yield running


class TestSwift(StoreSuite):
    @pytest.fixture
    def store(self, server, bucket):
        server.create_container(bucket, {"X-Container-Meta-Temp-URL-Key": LINKS["temp_url_key"]})
        # One attempt: a call that only works when it is repeated is found out.
        store = build(server.binding(bucket, settings={"attempts": 1}, credentials=LINKS))
        yield store
        store.close()


class TestS3Face(StoreSuite):
    @pytest.fixture
    def store(self, server, bucket):
        server.s3.create_bucket(bucket)
        store = build_s3(server.s3.binding(bucket, settings={"attempts": 1}))
        yield store
        store.close()
