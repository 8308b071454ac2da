"""Retaining objects: what a service accepts and does not hold is found out, and so is what it does to the object."""

from datetime import UTC, datetime, timedelta

import pytest

from sovbroker.errors import NotFound, NotSupported, PermissionDenied, StoreError, Unavailable
from sovbroker.testing.chaos import Status
from sovbroker_adapters.s3 import build

XML = (("Content-Type", "application/xml"),)
UNTIL = datetime(2099, 1, 1, 12, tzinfo=UTC)


def head(etag="e", size=4, version="v1", **lock):
    headers = {"ETag": f'"{etag}"', "Content-Length": str(size), "x-amz-version-id": version}
    headers |= {f"x-amz-object-lock-{name.replace('_', '-')}": value for name, value in lock.items()}
    # An answer to HEAD has no body, and its length is that of the object.
    return Status(200, b"", (*headers.items(), ("Transfer-Encoding", "identity")))


def held(until="2099-01-01T12:00:00Z", mode="COMPLIANCE"):
    return Status(
        200, f"<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>".encode(), XML
    )


def said(code):
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


@pytest.fixture
def locking(opened):
    """A store that declares retention, behind the proxy."""
    return opened(retention="native")


@pytest.fixture
def locked(moto, bucket):
    """A store in a bucket that locks objects."""
    moto.create_bucket(f"locked-{bucket}", lock=True)
    store = build(moto.binding(f"locked-{bucket}", settings={"retention": "native"}))
    yield store
    store.close()


def test_the_version_that_was_looked_at_is_retained_and_looked_at_again(locking, proxy):
    proxy.script(head(), Status(200), head(), held())
    locking.retain("key", until=UNTIL)
    look, put, again, check = proxy.seen
    assert (look.method, look.target.partition("?")[2]) == ("HEAD", "")
    assert put.method == "PUT"
    assert "retention" in put.target
    for seen in (put, again, check):
        assert "versionId=v1" in seen.target


def test_the_end_is_a_whole_second_and_never_earlier(locking, proxy):
    proxy.script(head(), Status(200), head(), held("2099-01-01T12:00:00Z"))
    with pytest.raises(NotSupported, match=r"told 2099-01-01T12:00:01\+00:00 and holds 2099-01-01T12:00:00\+00:00"):
        locking.retain("key", until=UNTIL + timedelta(microseconds=1))
    proxy.script(head(), Status(200), head(), held("2099-01-01T12:00:01.000Z"))
    locking.retain("key", until=UNTIL + timedelta(microseconds=1))


@pytest.mark.parametrize(
    "after",
    [head(size=156), head(etag="other"), head(version="v2"), head(size=156, etag="other")],
)
def test_a_service_that_takes_the_retention_for_a_body_is_found_out(locking, proxy, after):
    proxy.script(head(), Status(200), after)
    with pytest.raises(NotSupported, match=r"the object is another one since.*`retention: unsafe`"):
        locking.retain("key", until=UNTIL)


def test_rclone_takes_it_for_a_body(rclone, bucket):
    """So the XML is the object now; nobody is told that all is well."""
    rclone.create_bucket(bucket)
    store = build(rclone.binding(bucket, settings={"retention": "native"}))
    store.put("key", b"body", size=4)
    with pytest.raises(NotSupported, match="`retention: unsafe`") as caught:
        store.retain("key", until=UNTIL)
    assert (caught.value.target, caught.value.key) == ("test", "key")
    store.close()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (held("2098-12-31T12:00:00Z"), NotSupported),
        (held(mode="GOVERNANCE"), NotSupported),
        (held(mode=""), NotSupported),
        (Status(200, b"<Retention></Retention>", XML), NotSupported),
        (Status(200, b"", XML), NotSupported),
        (Status(200, b"<ListBucketResult/>", XML), NotSupported),
        (Status(404, said("NoSuchObjectLockConfiguration")), NotFound),
        (Status(403, said("AccessDenied")), PermissionDenied),
        (Status(501, said("NotImplemented")), NotSupported),
        (Status(400, said("InvalidRequest")), StoreError),
        (Status(200, b"body", XML), Unavailable),
        (Status(503), Unavailable),
    ],
)
def test_a_retention_that_cannot_be_seen_is_an_error(locking, proxy, answer, expected):
    proxy.script(head(), Status(200), head(), answer)
    with pytest.raises(expected) as caught:
        locking.retain("key", until=UNTIL)
    assert (caught.value.target, caught.value.key) == ("test", "key")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Status(400, said("InvalidRequest")), StoreError),
        (Status(400, said("MalformedXML")), StoreError),
        (Status(403, said("AccessDenied")), PermissionDenied),
        (Status(404, said("NoSuchKey")), NotFound),
        (Status(404, said("ObjectLockConfigurationNotFoundError")), NotFound),
        (Status(405), NotSupported),
        (Status(501, said("NotImplemented")), NotSupported),
        (Status(503), Unavailable),
    ],
)
def test_a_retention_that_is_refused(locking, proxy, answer, expected):
    proxy.script(head(), answer)
    with pytest.raises(expected):
        locking.retain("key", until=UNTIL)
    assert len(proxy.seen) == 2


def test_what_the_store_tells_with_the_object_is_not_asked_for(locking, proxy):
    proxy.script(head(), Status(200), head(mode="COMPLIANCE", retain_until_date="2099-01-01T12:00:00Z"))
    locking.retain("key", until=UNTIL)
    proxy.script(head(), Status(200), head(mode="GOVERNANCE", retain_until_date="2099-01-01T12:00:00Z"))
    with pytest.raises(NotSupported, match="told COMPLIANCE and holds GOVERNANCE"):
        locking.retain("key", until=UNTIL)
    assert len(proxy.seen) == 6


def test_a_stronger_mode_will_do(opened, proxy):
    proxy.script(head(), Status(200), head(), held(mode="COMPLIANCE"))
    opened(retention="native", retention_mode="governance").retain("key", until=UNTIL)


def test_a_longer_retention_is_not_shortened(locking, proxy):
    """Nothing is asked for where the service tells of a longer one: some would take the shorter."""
    proxy.script(head(mode="GOVERNANCE", retain_until_date="2099-01-01T12:00:01Z"))
    with pytest.raises(PermissionDenied, match=r"until 2099-01-01T12:00:01\+00:00"):
        locking.retain("key", until=UNTIL)
    assert len(proxy.seen) == 1


def test_moto_holds_it(locked):
    locked.put("key", b"body", size=4)
    soon = datetime.now(UTC) + timedelta(hours=1)
    locked.retain("key", until=soon)
    locked.retain("key", until=soon + timedelta(hours=1))
    with pytest.raises(PermissionDenied):
        locked.retain("key", until=soon)
    with pytest.raises(PermissionDenied, match="AccessDenied"):
        locked.delete("key")
    assert isinstance(locked.delete_many(["key", "other"])["key"], PermissionDenied)
    assert locked.head("key").size == 4


def test_a_bucket_without_locks_says_so(moto, bucket):
    moto.create_bucket(bucket)
    store = build(moto.binding(bucket, settings={"retention": "native"}))
    store.put("key", b"body", size=4)
    with pytest.raises(StoreError, match="InvalidRequest"):
        store.retain("key", until=UNTIL)
    store.close()
