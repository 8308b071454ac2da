"""The adapters that speak HTTP behind a proxy that breaks their requests, one after the other."""

import dataclasses
from typing import ClassVar

import pytest

from sovbroker.testing.blobs import BlobService
from sovbroker.testing.chaos import ChaosProxy, Status
from sovbroker.testing.conformance import FaultSuite
from sovbroker.testing.gcs import fake_gcs
from sovbroker.testing.objects import ObjectService
from sovbroker.testing.webdav import rclone_webdav
from sovbroker_adapters import attempts, azure, gcs, s3, swift, webdav


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.001)


@pytest.fixture(scope="module")
def blobs():
    with BlobService() as running:
        yield running.server


@pytest.fixture(scope="module")
def google():
    with fake_gcs() as running:
        yield running


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    with rclone_webdav(tmp_path_factory.mktemp("webdav")) as running:
        yield running


@pytest.fixture
def proxy(server):
    with ChaosProxy(server.host) as proxy:
        yield proxy


@pytest.fixture
def opened(request, server, bucket, proxy):
    """A function that opens a new container through the proxy."""
    build = request.cls.build
    getattr(server, request.cls.make)(bucket)
    stores = []

    def open_store(*, attempts, read_timeout):
        given = {"attempts": attempts, "read-timeout": read_timeout, **getattr(request.cls, "settings", {})}
        binding = server.binding(bucket, settings=given)
        stores.append(build(dataclasses.replace(binding, endpoint=proxy.url, hosts=frozenset({proxy.host}))))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


class TestS3(FaultSuite):
    build = staticmethod(s3.build)
    make = "create_bucket"
    # A removal is then one request, which is what is broken here; whether there are versions is another question.
    settings: ClassVar = {"versions": "leave"}
    # Its ETag is the digest of some objects only, and to compute it would cost as much as to open the envelope.
    verifies_reads = False

    @pytest.fixture
    def server(self, moto):
        return moto


class TestAzure(FaultSuite):
    build = staticmethod(azure.build)
    make = "create_container"
    # It tells no digest of a range, and of a whole blob only where the client gave it one.
    verifies_reads = False

    @pytest.fixture
    def server(self, blobs):
        return blobs


class TestGcs(FaultSuite):
    build = staticmethod(gcs.build)
    make = "create_bucket"

    @pytest.fixture
    def server(self, google):
        return google


@pytest.fixture(scope="module")
def objects():
    # Without it, an answer that came whole before its connection was reset would break the next request.
    with ObjectService(keeps=False) as running:
        yield running.server


class TestSwift(FaultSuite):
    @pytest.fixture
    def server(self, objects):
        return objects

    @pytest.fixture
    def opened(self, server, bucket, proxy):
        server.create_container(bucket)
        stores = []

        def open_store(*, attempts, read_timeout):
            made = {"attempts": attempts, "read-timeout": read_timeout, "authority": f"{proxy.url}/auth/v1.0"}
            binding = server.binding(bucket, settings={"conditional-put": "native", **made})
            stores.append(swift.build(dataclasses.replace(binding, endpoint=proxy.url, hosts=frozenset({proxy.host}))))
            return stores[-1]

        yield open_store
        for store in stores:
            store.close()

    def tolerates(self, name, fault):
        # A token that is refused is renewed, and the request made again.
        return isinstance(fault, Status) and fault.code == 401


class TestWebdav(FaultSuite):
    build = staticmethod(webdav.build)
    # httpx hands every answer over, and raises for none.
    statuses_raise = False
    # rclone moves in two steps. A broker never replaces: each version has a name of its own.
    keeps_replaced = False
    make = "create_folder"

    @pytest.fixture
    def server(self, documents):
        return documents

    def tolerates(self, name, fault):
        # "It is there already", of the folder in which bodies wait, and "it is not there", of what is to be removed.
        return isinstance(fault, Status) and fault.code == 405 and name in {"put", "source", "empty", "copy"}
