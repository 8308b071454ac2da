"""Replacing metadata: a copy onto itself, which keeps what the service would drop, and leaves nothing behind."""

from datetime import UTC, datetime, timedelta

import boto3
import pytest

from sovbroker.errors import ConfigError, NotSupported, PermissionDenied, StoreError, Unavailable
from sovbroker.testing.chaos import Status
from sovbroker_adapters.s3 import build

MIB = 1 << 20
BODY = bytes(range(256)) * 100


@pytest.fixture
def client(moto):
    return boto3.client(
        "s3", endpoint_url=moto.url, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1"
    )


def load(store, key):
    with store.get(key) as reader:
        return reader.read()


def opened_at(moto, bucket, **settings):
    return build(moto.binding(bucket, settings=settings))


def test_no_byte_of_the_body_travels(opened, proxy):
    store = opened()
    store.put("key", BODY, size=len(BODY), metadata={"a": "1"})
    before = len(proxy.seen)
    store.set_metadata("key", metadata={"b": "2"})
    asked = proxy.seen[before:]
    assert [seen.method for seen in asked] == ["HEAD", "PUT", "HEAD", "GET"]
    assert sum(seen.length for seen in asked) == 0
    assert load(store, "key") == BODY


def test_what_came_with_the_object_stays_with_it(moto, bucket, client):
    moto.create_bucket(bucket)
    client.put_object(
        Bucket=bucket,
        Key="key",
        Body=BODY,
        ContentType="text/plain",
        CacheControl="no-store",
        ContentLanguage="fr",
        StorageClass="STANDARD_IA",
        Metadata={"a": "1"},
    )
    store = opened_at(moto, bucket)
    store.set_metadata("key", metadata={"b": "2"})
    found = client.head_object(Bucket=bucket, Key="key")
    assert (found["ContentType"], found["CacheControl"], found["ContentLanguage"]) == ("text/plain", "no-store", "fr")
    assert (found["StorageClass"], found["Metadata"]) == ("STANDARD_IA", {"b": "2"})
    store.close()


def test_the_version_before_is_gone_unless_versions_are_left(moto, bucket, client):
    moto.create_bucket(bucket, versioned=True)
    for versions, left in (("purge", 1), ("leave", 3)):
        store = opened_at(moto, bucket, versions=versions)
        store.put("key", BODY, size=len(BODY), metadata={"a": "1"})
        store.put("key~", b"beside", size=6)
        if versions == "purge":
            store.set_metadata("key", metadata={"b": "2"})
        else:
            store.set_metadata("key", metadata={"b": "3"})
        held = client.list_object_versions(Bucket=bucket, Prefix="key").get("Versions", [])
        assert len([each for each in held if each["Key"] == "key"]) == left
        assert load(store, "key") == BODY
        assert load(store, "key~") == b"beside"
        store.close()


def test_what_is_retained_is_left_as_it_is(moto, bucket, client):
    moto.create_bucket(bucket, lock=True)
    store = opened_at(moto, bucket, retention="native")
    store.put("key", BODY, size=len(BODY), metadata={"a": "1"})
    store.retain("key", until=datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(PermissionDenied, match="`key` is retained until"):
        store.set_metadata("key", metadata={"b": "2"})
    store.put("held", BODY, size=len(BODY), metadata={"a": "1"})
    client.put_object_legal_hold(Bucket=bucket, Key="held", LegalHold={"Status": "ON"})
    with pytest.raises(PermissionDenied, match="legal hold"):
        store.set_metadata("held", metadata={"b": "2"})
    for key in ("key", "held"):
        assert store.head(key).metadata == {"a": "1"}
        assert len(client.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]) == 1
    store.close()


def test_what_is_longer_than_one_request_copies_is_copied_in_parts(moto, bucket):
    moto.create_bucket(bucket)
    store = opened_at(moto, bucket, put_max=5 * MIB)
    body = bytes(range(256)) * (4 * 11 * 1024)
    upload = store.multipart("key", metadata={"a": "1"})
    upload.commit([upload.part(1, body[: 6 * MIB]), upload.part(2, body[6 * MIB :])])
    assert store.set_metadata("key", metadata={"b": "2"}).size == len(body)
    assert store.head("key").metadata == {"b": "2"}
    assert load(store, "key") == body
    assert list(store.uploads()) == []
    store.close()


def test_a_service_that_lies_is_found_out(opened, proxy):
    store = opened()
    store.put("key", BODY, size=len(BODY), metadata={"a": "1"})
    copied = Status(200, b"<CopyObjectResult><ETag>&quot;e&quot;</ETag></CopyObjectResult>")
    proxy.script(None, copied)
    with pytest.raises(Unavailable, match="does not show the metadata"):
        store.set_metadata("key", metadata={"b": "2"})
    proxy.script(None, Status(412, b"<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>"))
    with pytest.raises(StoreError, match="PreconditionFailed"):
        store.set_metadata("key", metadata={"b": "2"})
    assert store.head("key").metadata == {"a": "1"}


def test_without_copies_there_is_none(moto, bucket):
    moto.create_bucket(bucket)
    store = opened_at(moto, bucket, copy="unsafe")
    store.put("key", BODY, size=len(BODY))
    with pytest.raises(NotSupported, match="`set-metadata` is unsafe"):
        store.set_metadata("key", metadata={"b": "2"})
    store.close()
    with pytest.raises(ConfigError):
        opened_at(moto, bucket, **{"set-metadata": "perhaps"})
