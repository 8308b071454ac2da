"""The suite on a service of ours, in which whatever is asked and answered is of the types of Scaleway's own SDK."""

import dataclasses
import itertools

import pytest

from sovbroker.machines import ImageSource, Launch
from sovbroker.testing.chaos import ChaosProxy, Stall, Status
from sovbroker.testing.conformance.machines import ComputeFaultSuite, ComputeSuite
from sovbroker.testing.scaleway import IMAGE, PROVIDER, ScalewayService
from sovbroker_adapters.scaleway import build
from sovbroker_adapters.scaleway.client import Connection
from sovbroker_adapters.scaleway.machines import ScalewayMachines

numbers = itertools.count()
ABSENT = "fr-par-1/ffffffff-ffff-4fff-bfff-ffffffffffff"


@pytest.fixture
def service():
    with ScalewayService() as running:
        yield running
        assert running.ips == {}
        assert running.local == {}


@pytest.fixture
def compute(service):
    opened = ScalewayMachines(Connection(service.binding(), sleep=lambda seconds: None))
    yield opened
    opened.close()


@pytest.fixture
def wanted():
    token = f"launch-{next(numbers):04}-00"
    script = b"#!/bin/sh\ntrue\n"
    return Launch(token, "one", "DEV1-S", IMAGE, user_data=script, tags={"sovbroker-launch": token})


@pytest.fixture
def source():
    return ImageSource(PROVIDER, "debian_bookworm")


class TestScaleway(ComputeSuite):
    absent = ABSENT


@pytest.fixture(scope="module")
def proxied():
    with ScalewayService() as service, ChaosProxy(service.host) as proxy:
        binding = service.binding(settings={"attempts": 1})
        opened = build(dataclasses.replace(binding, endpoint=proxy.url, hosts=frozenset({proxy.host})))
        yield proxy, opened
        opened.close()


class TestScalewayFaults(ComputeFaultSuite):
    absent = ABSENT
    lacking = frozenset({"public_keys", "import_key", "delete_key"})

    @pytest.fixture
    def answered(self, proxied):
        proxy, opened = proxied

        def make(status, body, *, pause=0.0):
            proxy.always(Stall() if pause else Status(status, body, (("Location", "http://127.0.0.1:9/"),)))
            return opened

        return make
