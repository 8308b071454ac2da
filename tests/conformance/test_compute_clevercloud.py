"""The suite on a service of ours, made after Clever Cloud's own clients."""

import dataclasses
import itertools

import pytest

from sovbroker.machines import ImageSource, Launch
from sovbroker.testing.chaos import ChaosProxy, Stall, Status
from sovbroker.testing.clevercloud import IMAGE, CleverCloudService
from sovbroker.testing.conformance.machines import ComputeFaultSuite, ComputeSuite
from sovbroker_adapters.clevercloud import build
from sovbroker_adapters.clevercloud.applications import Applications
from sovbroker_adapters.clevercloud.client import Connection

numbers = itertools.count()
ABSENT = "app_ffffffff-ffff-4fff-bfff-ffffffffffff"


@pytest.fixture
def service():
    with CleverCloudService() as running:
        yield running


@pytest.fixture
def compute(service):
    opened = Applications(Connection(service.binding()))
    yield opened
    opened.close()


@pytest.fixture
def wanted():
    token = f"launch-{next(numbers):04}-00"
    return Launch(token=token, name="one", size="XS", image=IMAGE, tags={"sovbroker-launch": token})


@pytest.fixture
def source():
    return ImageSource("", "docker*")


class TestCleverCloud(ComputeSuite):
    absent = ABSENT


@pytest.fixture(scope="module")
def proxied():
    with CleverCloudService() as service, ChaosProxy(service.host) as proxy:
        binding = service.binding(settings={"attempts": 1})
        opened = build(dataclasses.replace(binding, endpoint=f"{proxy.url}/v2", hosts=frozenset({proxy.host})))
        opened.machines()
        yield proxy, opened
        opened.close()


class TestCleverCloudFaults(ComputeFaultSuite):
    absent = ABSENT
    truncated = b'[{"id": "a'
    lacking = frozenset(
        {
            "start",
            "stop",
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
