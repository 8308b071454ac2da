"""The suite on a service of ours that verifies signatures, as OVHcloud does."""

import contextlib
import time

import pytest

from sovbroker.machines import ImageSource, Launch
from sovbroker.testing.conformance.machines import ComputeFaultSuite, ComputeSuite
from sovbroker.testing.ovh import OvhService
from sovbroker.testing.ovhmachines import FLAVOR, IMAGE
from sovbroker_adapters.ovh import build_machines
from sovbroker_adapters.ovh.client import Connection
from sovbroker_adapters.ovh.machines import OvhMachines


@pytest.fixture
def service():
    with OvhService() as running:
        yield running


@pytest.fixture
def compute(service):
    opened = OvhMachines(Connection(service.binding()), sleep=lambda seconds: None)
    yield opened
    opened.close()


@pytest.fixture
def wanted():
    return Launch(token="launch-01", name="one", size=FLAVOR, image=IMAGE)


@pytest.fixture
def source():
    return ImageSource("", "Debian 12")


class TestOvh(ComputeSuite):
    absent = "ffffffff-0000-0000-0000-000000000000"
    no_room = ("a quota",)

    @pytest.fixture
    def full(self, service):
        @contextlib.contextmanager
        def full(how):
            before, service.machines.quota = service.machines.quota, 0
            yield
            service.machines.quota = before

        return full


class TestOvhFaults(ComputeFaultSuite):
    truncated = b'[{"id": "a", "status": "ACT'

    @pytest.fixture
    def answered(self, service):
        opened = build_machines(service.binding(settings={"within": 1}))

        def make(status, body, *, pause=0.0):
            def answer(method, path):
                if path == "/auth/time":
                    return None
                time.sleep(pause)
                return status, body, {"Location": "http://127.0.0.1:9/"}

            service.answer = answer
            return opened

        yield make
        opened.close()
