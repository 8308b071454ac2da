"""The suite on a service of ours that takes nothing it does not know."""

import contextlib
import dataclasses
import itertools

import pytest

from sovbroker.machines import ImageSource, Launch
from sovbroker.testing.arm import IMAGE, ArmService, RefusalError
from sovbroker.testing.chaos import ChaosProxy, Stall, Status
from sovbroker.testing.conformance.machines import ComputeFaultSuite, ComputeSuite
from sovbroker_adapters.azure_arm import build
from sovbroker_adapters.azure_arm.client import Connection
from sovbroker_adapters.azure_arm.machines import ArmMachines

numbers = itertools.count()
QUOTA = "Operation could not be completed as it results in exceeding approved Total Regional Cores quota."
NO_ROOM = {
    "a size that is not to be had": (409, "SkuNotAvailable", "The requested VM size is currently not available."),
    "a quota": (409, "OperationNotAllowed", QUOTA),
    "a quota by its code": (409, "QuotaExceeded", "no more cores"),
    "no room at once": (409, "AllocationFailed", "We do not have sufficient capacity for the requested VM size."),
    **{
        f"{code} of an operation": (0, code, "We do not have sufficient capacity for the requested VM size.")
        for code in (
            "AllocationFailed",
            "OverconstrainedAllocationRequest",
            "OverconstrainedZonalAllocationRequest",
            "SkuNotAvailable",
            "ZonalAllocationFailed",
        )
    },
}
"""By the status of the refusal; 0 where it is an operation that ends so."""


@pytest.fixture
def service():
    with ArmService() as running:
        yield running


@pytest.fixture
def compute(service):
    opened = ArmMachines(Connection(service.binding(), authority=service.url, sleep=lambda seconds: None))
    yield opened
    opened.close()


@pytest.fixture
def wanted():
    token = f"Launch-{next(numbers):04}-00"
    tags = {"sovbroker-launch": token, "Owner": "ops@example.org"}
    return Launch(token=token, name="web/Front", size="Standard_B2s", image=IMAGE, tags=tags)


@pytest.fixture
def source():
    return ImageSource("Debian", "debian-12:12-gen2")


class TestAzureArm(ComputeSuite):
    absent = "machines/m-ffffffff"
    no_room = tuple(NO_ROOM)

    @pytest.fixture
    def full(self, service):
        @contextlib.contextmanager
        def full(how):
            status, code, words = NO_ROOM[how]
            if status:
                service.refuse = RefusalError(status, code, words)
            else:
                service.fail = [{"code": code, "message": words}]
            yield
            assert service.fail == []
            service.refuse = None

        return full


@pytest.fixture(scope="module")
def proxied():
    with ArmService() as service, ChaosProxy(service.host) as proxy:
        binding = dataclasses.replace(
            service.binding(settings={"attempts": 1}), endpoint=proxy.url, hosts=frozenset({proxy.host, service.host})
        )
        opened = build(binding)
        yield proxy, opened
        opened.close()


class TestAzureArmFaults(ComputeFaultSuite):
    truncated = b'{"value": [{"id": "/subscriptions/11111111'
    absent = "machines/m-ffffffff"

    @pytest.fixture
    def answered(self, proxied):
        proxy, opened = proxied

        def make(status, body, *, pause=0.0):
            proxy.always(Stall() if pause else Status(status, body, (("Location", "http://127.0.0.1:9/"),)))
            return opened

        return make
