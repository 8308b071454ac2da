"""The matrices of servers that are no wheels: Ceph's gateway, which is a real S3, and Azurite."""

import dataclasses

import boto3
import pytest
from botocore.config import Config

from sovbroker.confine import Confined
from sovbroker.ports import Feature, Support
from sovbroker.probing import Aspect, find_out
from sovbroker.testing.azurite import azurite
from sovbroker.testing.ceph import ceph_rgw
from sovbroker_adapters import azure, s3

NATIVE, EMULATED, ABSENT, UNSAFE = Support


@pytest.fixture(scope="module")
def ceph():
    with ceph_rgw() as running:
        yield running


@pytest.fixture(scope="module")
def server():
    with azurite() as running:
        yield running


def matrix(build, binding):
    """Probe a real store; return what was found of each line that is not simply there, and look that nothing stays."""

    def open_with(settings):
        return Confined(build(dataclasses.replace(binding, settings={**binding.settings, **settings})))

    found = find_out(open_with, installation="0123456789abcdef")
    store = build(binding)
    assert [info.key for page in store.list() for info in page.objects] == []
    assert list(store.uploads()) == []
    store.close()
    assert found.left == ()
    return {line.name: line.support for line in found.lines if line.support is not NATIVE}, found.lines


def test_ceph_does_what_it_says(ceph, bucket):
    ceph.create_bucket(bucket)
    found, lines = matrix(s3.build, ceph.binding(bucket))
    assert found == {
        Feature.RETENTION: ABSENT,
        Aspect.VERSIONS: ABSENT,
        "PutObjectRetention": ABSENT,
        "x-amz-checksum-sha256": ABSENT,
    }
    assert not [line for line in lines if line.wrong]


def test_azurite(server, bucket):
    server.create_container(bucket)
    found, lines = matrix(azure.build, server.binding(bucket))
    assert found == {
        Feature.MULTIPART: EMULATED,
        Feature.RETENTION: ABSENT,
        # It sorts by UTF-16, as its language does.
        Feature.ORDERED_LIST: EMULATED,
        Aspect.KEYS: ABSENT,
        Aspect.VERSIONS: None,
    }
    assert not [line for line in lines if line.wrong]


def test_what_one_container_honours_another_of_the_same_service_may_not(ceph, bucket):
    name = f"locked-{bucket}"
    client = boto3.client(
        "s3",
        endpoint_url=ceph.url,
        aws_access_key_id=ceph.access_key,
        aws_secret_access_key=ceph.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    found, lines = matrix(s3.build, ceph.binding(name))
    # A bucket with locks keeps versions; there this version of Ceph looks at no condition.
    assert found == {Feature.CONDITIONAL_PUT: UNSAFE, "x-amz-checksum-sha256": ABSENT}
    assert [line.name for line in lines if line.wrong] == [Feature.CONDITIONAL_PUT]
    assert [line.name for line in lines if line.better] == [Feature.RETENTION]
    # Nothing of the probe stays as an older version either.
    held = client.list_object_versions(Bucket=name)
    client.close()
    assert held.get("Versions", []) + held.get("DeleteMarkers", []) == []
