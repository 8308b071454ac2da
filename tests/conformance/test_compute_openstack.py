"""The suite on a small OpenStack of ours, which takes only what Nova, Cinder, Glance and Keystone take."""

import contextlib
import dataclasses
import itertools

import pytest

from sovbroker.machines import ImageSource, Launch
from sovbroker.testing.chaos import ChaosProxy, Stall, Status
from sovbroker.testing.conformance.machines import ComputeFaultSuite, ComputeSuite
from sovbroker.testing.openstack import IMAGE, OWNER, OpenStackService
from sovbroker_adapters.openstack import build
from sovbroker_adapters.openstack.client import Connection
from sovbroker_adapters.openstack.machines import OpenStackMachines

numbers = itertools.count()
ABSENT = "ffffffff-ffff-4fff-bfff-ffffffffffff"


@pytest.fixture
def service():
    with OpenStackService() as running:
        yield running


@pytest.fixture
def compute(service):
    opened = OpenStackMachines(Connection(service.binding()), sleep=lambda seconds: None)
    yield opened
    opened.close()


@pytest.fixture
def wanted():
    token = f"launch-{next(numbers):04}-00"
    return Launch(token=token, name="one", size="a1-ram2", image=IMAGE, tags={"sovbroker-launch": token})


@pytest.fixture
def source():
    return ImageSource(OWNER, "Debian 12*")


class TestOpenStack(ComputeSuite):
    absent = ABSENT
    no_room = ("quota", "hosts")

    @pytest.fixture
    def full(self, service):
        @contextlib.contextmanager
        def full(how):
            before = getattr(service, how)
            setattr(service, how, 0)
            yield
            setattr(service, how, before)

        return full


@pytest.fixture(scope="module")
def proxied():
    """Keystone answers well; every other service is behind the proxy."""
    with OpenStackService() as service, ChaosProxy(service.host) as proxy:
        service.public = proxy.url
        binding = dataclasses.replace(
            service.binding(settings={"attempts": 1}), hosts=frozenset({service.host, proxy.host})
        )
        opened = build(binding)
        yield proxy, opened
        opened.close()


class TestOpenStackFaults(ComputeFaultSuite):
    absent = ABSENT

    @pytest.fixture
    def answered(self, proxied):
        proxy, opened = proxied

        def make(status, body, *, pause=0.0):
            proxy.always(Stall() if pause else Status(status, body, (("Location", "http://127.0.0.1:9/"),)))
            return opened

        return make
