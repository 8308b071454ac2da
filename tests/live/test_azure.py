"""The suite on Azurite, which checks signatures. It needs `azurite-blob`; see `sovbroker.testing.azurite`."""

from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import generate_container_sas

from sovbroker.errors import PermissionDenied
from sovbroker.testing.azurite import azurite
from sovbroker.testing.conformance import HiddenSuite, SealedSuite, StoreSuite
from sovbroker_adapters.azure import build


@pytest.fixture(scope="module")
def server():
    with azurite() as running:
        yield running


@pytest.fixture
def store(server, bucket):
    server.create_container(bucket)
    store = build(server.binding(bucket))
    yield store
    store.close()


class TestAzurite(StoreSuite):
    def refuses(self, key):
        # Azure removes dots at the end of a segment.
        return key.endswith(".")


class TestAzuriteSealed(SealedSuite):
    pass


class TestAzuriteHidden(HiddenSuite):
    pass


@pytest.fixture
def container(server, bucket):
    server.create_container(f"own-{bucket}")
    return f"own-{bucket}"


def test_a_shared_access_signature_does_for_everything_but_links(server, container):
    until = datetime.now(UTC) + timedelta(hours=1)
    sas = generate_container_sas(
        server.account, container, account_key=server.key, permission="rwdlac", expiry=until, protocol="https,http"
    )
    store = build(server.binding(container, credentials={"account": server.account, "sas": sas}))
    store.put("a b+é", b"body", size=4, metadata={"m": "1"}, if_absent=True)
    assert store.copy("a b+é", "copied %").metadata == {"m": "1"}
    upload = store.multipart("joined")
    assert [found.key for found in store.uploads()] == ["joined"]
    upload.commit([upload.part(1, b"part")])
    assert [info.key for page in store.list() for info in page.objects] == ["a b+é", "copied %", "joined"]
    with store.get("copied %", range=(1, 2)) as reader:
        assert reader.read() == b"od"
    assert store.delete_many(["a b+é", "copied %", "joined"]) == {}
    store.close()


def test_a_signature_for_less_is_refused_what_it_does_not_allow(server, container):
    until = datetime.now(UTC) + timedelta(hours=1)
    sas = generate_container_sas(
        server.account, container, account_key=server.key, permission="r", expiry=until, protocol="https,http"
    )
    store = build(server.binding(container, credentials={"account": server.account, "sas": sas}))
    with pytest.raises(PermissionDenied):
        store.put("key", b"x", size=1)
    with pytest.raises(PermissionDenied):
        list(store.list())
    store.close()


def test_a_wrong_key_is_refused(server, container):
    store = build(server.binding(container, credentials={"account": server.account, "access_key": "d3Jvbmc="}))
    for call in (store.head, store.get, store.delete, lambda key: store.put(key, b"x", size=1)):
        with pytest.raises(PermissionDenied):
            call("key")
    store.close()


def test_metadata_that_headers_could_change_come_back(server, container):
    store = build(server.binding(container))
    odd = {"a": "two  spaces", "b": "", "c": "tail,comma"}
    store.put("key", b"x", size=1, metadata=odd)
    assert store.head("key").metadata == odd
    store.close()
