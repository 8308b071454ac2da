"""The suite on a service of ours, each of whose requests and answers is held to Outscale's description of its API."""

import contextlib
import dataclasses
import importlib.resources
import itertools

import jsonschema
import pytest
import yaml

from sovbroker.machines import ImageSource, Launch
from sovbroker.testing.chaos import ChaosProxy, Stall, Status
from sovbroker.testing.conformance.machines import ComputeFaultSuite, ComputeSuite
from sovbroker.testing.outscale import IMAGE, OutscaleService, RefusalError
from sovbroker_adapters.outscale import build
from sovbroker_adapters.outscale.client import Connection
from sovbroker_adapters.outscale.machines import OutscaleMachines

numbers = itertools.count()
QUOTA = "TooManyResources (QuotaExceded)"
NO_ROOM = {
    "a quota of cores": ("CreateVms", QUOTA, "10029", "too-many-cores"),
    "a quota of machines": ("CreateVms", QUOTA, "10010", "too-many-instances"),
    "no room to make it": ("CreateVms", "InsufficientCapacity", "10001", "no capacity"),
    "no room to start it": ("StartVms", "InsufficientCapacity", "10001", "no capacity"),
}
"""The table of errors of the provider's SDK has the quotas; `InsufficientCapacity` is only believed."""


@pytest.fixture(scope="module")
def described():
    """A function that raises ValueError for a request or an answer that the API does not describe."""
    text = importlib.resources.files("osc_sdk_python").joinpath("resources", "outscale.yaml").read_text()
    document = yaml.load(text, Loader=yaml.CSafeLoader)

    def check(name, body):
        wanted = name if name.endswith("Response") else f"{name}Request"
        if wanted not in document["components"]["schemas"]:
            raise ValueError(f"no `{wanted}` is described")
        schema = {"$ref": f"#/components/schemas/{wanted}", "components": document["components"]}
        try:
            jsonschema.Draft4Validator(schema).validate(body)
        except jsonschema.ValidationError as error:
            raise ValueError(f"{wanted}: {error.message}") from error

    return check


@pytest.fixture
def service(described):
    with OutscaleService(described) as running:
        yield running


@pytest.fixture
def compute(service):
    opened = OutscaleMachines(Connection(service.binding()), sleep=lambda seconds: None)
    yield opened
    opened.close()


@pytest.fixture
def wanted():
    token = f"launch-{next(numbers):04}-00"
    return Launch(token=token, name="one", size="tinav5.c1r1p2", image=IMAGE, tags={"sovbroker-launch": token})


@pytest.fixture
def source():
    return ImageSource("Outscale", "Debian-12-*")


class TestOutscale(ComputeSuite):
    absent = "i-ffffffff"
    no_room = tuple(NO_ROOM)

    @pytest.fixture
    def full(self, service):
        @contextlib.contextmanager
        def full(how):
            action, *words = NO_ROOM[how]
            service.refuse[action] = RefusalError(*words)
            yield
            assert service.refuse == {}

        return full


@pytest.fixture(scope="module")
def proxied():
    with OutscaleService() as service, ChaosProxy(service.host) as proxy:
        binding = dataclasses.replace(
            service.binding(settings={"attempts": 1, "zone": "eu-west-2a"}),
            endpoint=f"{proxy.url}/api/v1",
            hosts=frozenset({proxy.host}),
        )
        opened = build(binding)
        yield proxy, opened
        opened.close()


class TestOutscaleFaults(ComputeFaultSuite):
    truncated = b'{"ResponseContext": {"RequestId": "a"}, "Vms": [{"VmId": "i-'

    @pytest.fixture
    def answered(self, proxied):
        proxy, opened = proxied

        def make(status, body, *, pause=0.0):
            proxy.always(Stall() if pause else Status(status, body, (("Location", "http://127.0.0.1:9/"),)))
            return opened

        return make


def test_the_description_is_held_to(described):
    described("DeleteVms", {"VmIds": ["i-1"]})
    for name, body in (("DeleteVms", {"VmIds": "i-1"}), ("DeleteVms", {}), ("ReadVms", {"Zone": 1}), ("Nothing", {})):
        with pytest.raises(ValueError, match=name):
            described(name, body)
