"""The suite on Google Cloud Storage, as fake-gcs-server speaks it: as nobody, with a key of S3NS, through a broker."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sovbroker.testing import gcs
from sovbroker.testing.conformance import AwaitedSuite, ClearSuite, HiddenSuite, SealedSuite, StoreSuite
from sovbroker_adapters.gcs import build


@pytest.fixture(scope="module")
def server():
    with gcs.fake_gcs() as server:
        yield server


@pytest.fixture(scope="module")
def service_account():
    """A key that was made just now, of the universe of S3NS."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()
    return json.dumps(
        {
            "type": "service_account",
            "client_email": "tester@project.s3ns-system.iam.gserviceaccount.com",
            "private_key": pem,
            "private_key_id": "1",
            "universe_domain": "s3nsapis.fr",
        }
    )


@pytest.fixture
def store(server, bucket):
    server.create_bucket(bucket)
    # One attempt: a call that only works when it is repeated is found out.
    store = build(server.binding(bucket, settings={"attempts": 1}))
    yield store
    store.close()


class TestNobody(StoreSuite):
    # The server takes "no metadata of this name" for an empty one.
    drops_metadata = False


class TestNobodySealed(SealedSuite):
    pass


class TestNobodyHidden(HiddenSuite):
    pass


class TestNobodyClear(ClearSuite):
    pass


class TestNobodyAwaited(AwaitedSuite):
    pass


class TestServiceAccount(StoreSuite):
    drops_metadata = False

    @pytest.fixture
    def store(self, server, bucket, service_account):
        server.create_bucket(bucket)
        settings = {"universe-domain": "s3nsapis.fr"}
        store = build(server.binding(bucket, service_account=service_account, settings=settings))
        yield store
        store.close()
