"""What every test may ask for."""

from __future__ import annotations

import itertools

import pytest

from sovbroker.testing import servers

_numbers = itertools.count()


@pytest.fixture(scope="session")
def moto():
    """One process of moto for this worker."""
    with servers.moto() as server:
        yield server


@pytest.fixture(scope="session")
def rclone(tmp_path_factory):
    """One `rclone serve s3` for this worker."""
    with servers.rclone_s3(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture
def free_port():
    """A port of 127.0.0.1 on which nobody listens."""
    return servers.free_port()


@pytest.fixture
def bucket():
    """The name of a bucket that no other test uses."""
    return f"bucket-{next(_numbers)}"


@pytest.fixture(scope="session")
def kms_keys(moto):
    """What an administrator of moto's KMS does to keys."""
    import boto3  # noqa: PLC0415 - most tests need none of it

    client = boto3.client(
        "kms",
        endpoint_url=moto.url,
        region_name="eu-west-3",
        aws_access_key_id=moto.access_key,
        aws_secret_access_key=moto.secret_key,
    )
    yield client
    client.close()
