"""The suite on a small service that speaks Swift and Keystone; `tests/live/test_swift.py` has a real one."""

import dataclasses

import pytest

from sovbroker.ports import Credentials
from sovbroker.testing.conformance import HiddenSuite, SealedSuite, StoreSuite
from sovbroker.testing.objects import APPLICATION, ObjectService
from sovbroker_adapters.swift import build

KEY = "a key of the container"


@pytest.fixture(scope="module")
def service():
    with ObjectService() as running:
        yield running


@pytest.fixture
def store(service, bucket):
    service.server.create_container(bucket, {"X-Container-Meta-Temp-URL-Key": KEY})
    given = {"username": service.server.user, "password": service.server.key, "temp_url_key": KEY}
    # One attempt: a call that only works when it is repeated is found out.
    store = build(service.server.binding(bucket, settings={"attempts": 1}, credentials=given))
    yield store
    store.close()


class TestPasswordOfV1(StoreSuite):
    pass


class TestPasswordOfV1Sealed(SealedSuite):
    pass


class TestPasswordOfV1Hidden(HiddenSuite):
    pass


class TestApplicationOfKeystone(StoreSuite):
    @pytest.fixture
    def store(self, service, bucket):
        service.server.create_container(bucket)
        shown = dict(zip(("application_credential_id", "application_credential_secret"), APPLICATION, strict=True))
        binding = service.keystone_binding(bucket, **shown)
        # A single writer at a time is all that `native` promises here.
        settings = {**binding.settings, "conditional-put": "native", "ordered-list": "emulated"}
        store = build(dataclasses.replace(binding, settings=settings, credentials=Credentials(shown)))
        yield store
        store.close()
