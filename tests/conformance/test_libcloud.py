"""The suite on libcloud's drivers, against S3 as moto and rclone speak it."""

import pytest

from sovbroker.testing.conformance import StoreSuite
from sovbroker_adapters.libcloud import build
from sovbroker_adapters.libcloud.settings import DRIVERS


class TestMinio(StoreSuite):
    @pytest.fixture
    def store(self, moto, bucket):
        moto.create_bucket(bucket)
        store = build(bound(moto, bucket, "minio", attempts=1))
        yield store
        store.close()


class TestMinioOnRclone(StoreSuite):
    """It checks signatures."""

    nested = False

    @pytest.fixture
    def store(self, rclone, bucket):
        rclone.create_bucket(bucket)
        store = build(bound(rclone, bucket, "minio", keys="files", metadata_max=1400))
        yield store
        store.close()


def bound(server, bucket, driver, **settings):
    """A binding with the settings of this adapter, instead of those of `s3`."""
    binding = server.binding(bucket)
    return type(binding)(
        target=binding.target,
        container=binding.container,
        endpoint=binding.endpoint,
        region=binding.region,
        hosts=binding.hosts,
        credentials=binding.credentials,
        settings={"driver": driver, **settings},
    )


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_driver_speaks_to_the_bindings_host_in_its_region(rclone, bucket, driver):
    rclone.create_bucket(bucket)
    store = build(bound(rclone, bucket, driver, keys="files"))
    store.put("folder/object", b"whole", size=5, metadata={"m": "1"})
    with store.get("folder/object", range=(1, 3)) as reader:
        assert (reader.read(), reader.info.size, reader.info.metadata["m"]) == (b"hol", 5, "1")
    assert [info.key for page in store.list("folder/") for info in page.objects] == ["folder/object"]
    store.delete("folder/object")
    assert list(store.list()) == []
    store.close()
