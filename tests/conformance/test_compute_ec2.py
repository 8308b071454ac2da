"""The suite on moto's EC2, behind a gateway that knows a launch by its token, as moto does not."""

import contextlib
import dataclasses
import itertools

import pytest

from sovbroker.machines import ImageSource, Launch
from sovbroker.testing.chaos import ChaosProxy, Stall, Status
from sovbroker.testing.conformance.machines import ComputeFaultSuite, ComputeSuite
from sovbroker.testing.ec2 import Ec2Gateway
from sovbroker_adapters.ec2 import build

numbers = itertools.count()
UBUNTU = "ami-1e749f67"
OWNER = "099720109477"
NO_ROOM = {
    code: (status, code, words)
    for code, status, words in (
        ("InsufficientInstanceCapacity", 500, "We currently do not have sufficient t3.micro capacity in this zone."),
        ("InstanceLimitExceeded", 400, "You have requested more instances than your current instance limit allows."),
        ("VcpuLimitExceeded", 400, "You have requested more vCPU capacity than your current vCPU limit allows."),
        ("Unsupported", 400, "t3.micro is not supported in your requested Availability Zone (eu-west-3a)."),
    )
}


@pytest.fixture(scope="module")
def gateway(moto):
    with Ec2Gateway(moto.host) as running:
        yield running


@pytest.fixture
def compute(gateway):
    opened = build(gateway.binding())
    yield opened
    for machine in opened.machines():
        opened.destroy(machine.id)
    opened.close()


@pytest.fixture
def wanted():
    token = f"launch-{next(numbers):04}-00"
    return Launch(token=token, name="one", size="t3.micro", image=UBUNTU, tags={"sovbroker-launch": token})


@pytest.fixture
def source():
    return ImageSource(OWNER, "ubuntu/images/*trusty-14.04*")


@pytest.fixture(scope="module")
def proxied(gateway):
    with ChaosProxy(gateway.host) as proxy:
        binding = dataclasses.replace(
            gateway.binding(settings={"attempts": 1, "zone": "eu-west-3a"}),
            endpoint=proxy.url,
            hosts=frozenset({proxy.host}),
        )
        opened = build(binding)
        yield proxy, opened
        opened.close()


class TestEc2(ComputeSuite):
    absent = "i-0123456789abcdef0"
    no_room = tuple(NO_ROOM)

    @pytest.fixture
    def full(self, gateway):
        @contextlib.contextmanager
        def full(how):
            gateway.refuse = NO_ROOM[how]
            try:
                yield
            finally:
                gateway.refuse = None

        return full


class TestEc2Faults(ComputeFaultSuite):
    truncated = b'<?xml version="1.0"?><DescribeInstancesResponse><reservationSet><item><instancesSet><item>'

    @pytest.fixture
    def answered(self, proxied):
        proxy, opened = proxied

        def make(status, body, *, pause=0.0):
            proxy.always(Stall() if pause else Status(status, body, (("Location", "http://127.0.0.1:9/"),)))
            return opened

        return make
