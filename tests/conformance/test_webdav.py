"""The suite on WebDAV, as rclone speaks it: files in folders, moved in two steps."""

import pytest

from sovbroker.testing.conformance import HiddenSuite, SealedSuite, StoreSuite
from sovbroker.testing.webdav import rclone_webdav
from sovbroker_adapters.webdav import build


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with rclone_webdav(tmp_path_factory.mktemp("webdav")) as server:
        yield server


@pytest.fixture
def store(server, bucket):
    server.create_folder(bucket)
    store = build(server.binding(bucket))
    yield store
    store.close()


class TestWebdav(StoreSuite):
    pass


class TestWebdavSealed(SealedSuite):
    pass


class TestWebdavHidden(HiddenSuite):
    pass


class TestWebdavWithTheLettersAsTheyAre(StoreSuite):
    @pytest.fixture
    def store(self, server, bucket):
        server.create_folder(bucket)
        store = build(server.binding(bucket, settings={"letters": "any"}))
        yield store
        store.close()
