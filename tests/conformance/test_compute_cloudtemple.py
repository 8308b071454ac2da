"""The suite on a service of ours, made after Cloud Temple's Terraform provider."""

import dataclasses
import itertools

import pytest

from sovbroker.machines import ImageSource, Launch
from sovbroker.testing.chaos import ChaosProxy, Stall, Status
from sovbroker.testing.cloudtemple import TEMPLATE, CloudTempleService
from sovbroker.testing.conformance.machines import ComputeFaultSuite, ComputeSuite
from sovbroker_adapters.cloudtemple import build
from sovbroker_adapters.cloudtemple.client import Connection
from sovbroker_adapters.cloudtemple.machines import CloudTempleMachines

numbers = itertools.count()
ABSENT = "ffffffff-ffff-4fff-bfff-ffffffffffff"


@pytest.fixture
def service():
    with CloudTempleService() as running:
        yield running


@pytest.fixture
def compute(service):
    opened = CloudTempleMachines(Connection(service.binding(), sleep=lambda seconds: None))
    yield opened
    opened.close()


@pytest.fixture
def wanted():
    token = f"launch-{next(numbers):04}-00"
    return Launch(token=token, name="one", size="c2m4", image=TEMPLATE, tags={"sovbroker-launch": token})


@pytest.fixture
def source():
    return ImageSource("", "Debian 12*")


class TestCloudTemple(ComputeSuite):
    absent = ABSENT


@pytest.fixture(scope="module")
def proxied():
    with CloudTempleService() as service, ChaosProxy(service.host) as proxy:
        binding = service.binding(settings={"attempts": 1})
        opened = build(dataclasses.replace(binding, endpoint=f"{proxy.url}/api", hosts=frozenset({proxy.host})))
        opened.machines()
        yield proxy, opened
        opened.close()


class TestCloudTempleFaults(ComputeFaultSuite):
    absent = ABSENT
    truncated = b'[{"id": "a'
    lacking = frozenset(
        {
            "reboot",
            "public_keys",
            "import_key",
            "delete_key",
            "volumes",
            "create_volume",
            "attach",
            "detach",
            "destroy_volume",
        }
    )

    @pytest.fixture
    def answered(self, proxied):
        """The log-in is answered well, and again where it was lost to a 401."""
        proxy, opened = proxied

        def make(status, body, *, pause=0.0):
            proxy.always(None)
            opened.machines()
            proxy.always(Stall() if pause else Status(status, body, (("Location", "http://127.0.0.1:9/"),)))
            return opened

        return make
