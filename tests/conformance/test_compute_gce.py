"""The suite on a service of ours that takes nothing it does not know, and whose tokens Google's own library checks."""

import contextlib
import dataclasses
import itertools
import json

import google.auth.jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from sovbroker.machines import ImageSource, Launch
from sovbroker.testing.chaos import ChaosProxy, Stall, Status
from sovbroker.testing.conformance.machines import ComputeFaultSuite, ComputeSuite
from sovbroker.testing.gce import IMAGE, GceService, RefusalError
from sovbroker_adapters.gce import build
from sovbroker_adapters.gce.client import Connection
from sovbroker_adapters.gce.machines import GceMachines
from sovbroker_adapters.gce.signing import ServiceAccount

numbers = itertools.count()
NO_ROOM = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": 0,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": 0,
    "QUOTA_EXCEEDED": 0,
    "quotaExceeded": 403,
    "insufficientCapacity": 503,
}
"""By the status of the refusal; 0 where it is an operation that ends so."""

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
KEY = json.dumps(
    {
        "type": "service_account",
        "client_email": "machines@our-project.iam.gserviceaccount.com",
        "private_key_id": "0123",
        "private_key": PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "token_uri": "http://169.254.169.254/token",
    }
)


def verify(token):
    return google.auth.jwt.decode(token, certs=PUBLIC)


@pytest.fixture
def service():
    with GceService(verify) as running:
        yield running


@pytest.fixture
def compute(service):
    binding = service.binding(KEY)
    opened = GceMachines(Connection(binding, ServiceAccount.of(binding), sleep=lambda seconds: None))
    yield opened
    opened.close()


@pytest.fixture
def wanted():
    token = f"Launch-{next(numbers):04}-00"
    tags = {"sovbroker-launch": token, "sovbroker-owner": "ops@example.org", "team": "blue"}
    return Launch(token=token, name="web/Front", size="e2-small", image=IMAGE, tags=tags)


@pytest.fixture
def source():
    return ImageSource("debian-cloud", "debian-12-*")


class TestGce(ComputeSuite):
    absent = "europe-west9-a/m-ffffffff"
    no_room = tuple(NO_ROOM)

    @pytest.fixture
    def full(self, service):
        @contextlib.contextmanager
        def full(how):
            status, words = NO_ROOM[how], f"there is no room: {how}"
            if status:
                service.refuse = RefusalError(status, how, words)
            else:
                service.fail = [{"code": how, "message": words}]
            yield
            assert service.fail == []
            service.refuse = None

        return full


@pytest.fixture(scope="module")
def proxied():
    with GceService(verify) as service, ChaosProxy(service.host) as proxy:
        binding = dataclasses.replace(
            service.binding(KEY, settings={"attempts": 1, "zone": "europe-west9-a"}),
            endpoint=f"{proxy.url}/compute/v1",
            hosts=frozenset({proxy.host}),
        )
        opened = build(binding)
        yield proxy, opened
        opened.close()


class TestGceFaults(ComputeFaultSuite):
    truncated = b'{"kind": "compute#instanceAggregatedList", "items": {"zones/europe-west9-a": {"instances": [{"na'
    absent = "europe-west9-a/m-ffffffff"
    lacking = frozenset({"public_keys", "import_key", "delete_key"})

    @pytest.fixture
    def answered(self, proxied):
        proxy, opened = proxied

        def make(status, body, *, pause=0.0):
            proxy.always(Stall() if pause else Status(status, body, (("Location", "http://127.0.0.1:9/"),)))
            return opened

        return make
