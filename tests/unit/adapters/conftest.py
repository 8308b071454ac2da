"""A bucket behind a proxy that breaks what a test tells it to."""

import dataclasses

import pytest

from sovbroker.testing.chaos import ChaosProxy
from sovbroker_adapters.s3 import build


@pytest.fixture
def proxy(moto):
    with ChaosProxy(moto.host) as proxy:
        yield proxy


@pytest.fixture
def opened(moto, bucket, proxy):
    """A function that opens the test's bucket through the proxy, with settings."""
    moto.create_bucket(bucket)
    stores = []

    def open_bucket(*, container=bucket, **settings):
        made = {
            name.replace("_", "-") if "max" not in name and "min" not in name else name: value
            for name, value in settings.items()
        }
        binding = moto.binding(container, settings={"attempts": 1, "read-timeout": 5} | made)
        binding = dataclasses.replace(binding, endpoint=proxy.url, hosts=frozenset({proxy.host}))
        stores.append(build(binding))
        return stores[-1]

    yield open_bucket
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    return opened()
