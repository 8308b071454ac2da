"""Removing objects from buckets that keep versions: nothing stays behind unseen, and nothing that must stay goes."""

import dataclasses

import pytest

from sovbroker.errors import ConfigError, NotFound, NotSupported, PermissionDenied, Unavailable
from sovbroker.testing.chaos import Status
from sovbroker_adapters.s3 import build

XML = (("Content-Type", "application/xml"),)
SUSPENDED = b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"


def said(code):
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


def versions(*entries, rest=""):
    shown = "".join(
        f"<{kind}><Key>{key}</Key><VersionId>{id_}</VersionId><IsLatest>{latest}</IsLatest></{kind}>"
        for kind, key, id_, latest in entries
    )
    truncated = "true" if rest else "false"
    return f"<ListVersionsResult><IsTruncated>{truncated}</IsTruncated>{rest}{shown}</ListVersionsResult>".encode()


@pytest.fixture
def versioned(moto, opened, bucket):
    """A store in a bucket that keeps versions."""
    status, _ = moto.send(
        "PUT", f"/{bucket}?versioning", b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    )
    assert status == 200
    return opened()


@pytest.fixture
def kept(moto, bucket):
    """A function that tells how many versions and markers the bucket holds."""

    def count():
        _, listing = moto.send("GET", f"/{bucket}?versions")
        return listing.count(b"<Version>"), listing.count(b"<DeleteMarker>")

    return count


@pytest.fixture
def keeping(opened):
    """A function that opens a store that knows already that its bucket keeps versions."""

    def open_bucket(**settings):
        store = opened(**settings)
        store._removal._kept = True
        return store

    return open_bucket


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("many", [True, False])
def test_every_version_goes(versioned, opened, kept, bulk, many):
    store = opened(bulk_delete=bulk)
    for body in (b"1", b"22", b"333"):
        for key in ("key", "key.other", "key/below", "other"):
            store.put(key, body, size=len(body))
    if many:
        assert store.delete_many(["key", "other", "key", "missing"]) == {}
        assert kept() == (6, 0)
    else:
        store.delete("key")
        store.delete("missing")
        assert kept() == (9, 0)
    with pytest.raises(NotFound):
        store.head("key")
    assert store.head("key.other").size == 3


def test_an_object_that_another_tool_only_hid_goes_too(versioned, moto, bucket, kept):
    versioned.put("key", b"x", size=1)
    moto.send("DELETE", f"/{bucket}/key")
    assert kept() == (1, 1)
    versioned.delete("key")
    assert kept() == (0, 0)


def test_versions_are_left_on_request_only(versioned, opened, kept):
    opened(versions="leave").put("key", b"x", size=1)
    opened(versions="leave").delete("key")
    assert kept() == (1, 1)
    opened(versions="leave").delete_many(["key", "other"])
    assert kept()[0] == 1


def test_a_bucket_is_asked_once(store, proxy):
    for key in ("a", "b"):
        store.delete(key)
    store.delete_many(["a", "b"])
    assert [seen.method for seen in proxy.seen] == ["GET", "DELETE", "DELETE", "POST"]
    assert proxy.seen[0].target.endswith("?versioning")


def test_a_bucket_whose_versions_are_suspended_still_has_old_ones(opened, proxy):
    store = opened()
    store.put("key", b"x", size=1)
    proxy.script(Status(200, SUSPENDED, XML))
    store.delete("key")
    assert [seen.method for seen in proxy.seen] == ["PUT", "GET", "GET", "DELETE"]
    assert "versionId=null" in proxy.seen[-1].target


@pytest.mark.parametrize(
    "answer",
    [Status(403, said("AccessDenied")), Status(501, said("NotImplemented")), Status(404), Status(200, b"<a/>", XML)],
)
@pytest.mark.parametrize("many", [True, False])
def test_a_bucket_that_does_not_tell_is_seen_by_what_a_deletion_does(versioned, proxy, kept, answer, many):
    for body in (b"1", b"22"):
        for key in ("key", "other"):
            versioned.put(key, body, size=len(body))
    proxy.script(answer)
    if many:
        assert versioned.delete_many(["key", "other"]) == {}
        assert kept() == (0, 0)
    else:
        versioned.delete("key")
        assert kept() == (2, 0)
    # From then on it is known.
    before = len(proxy.seen)
    versioned.delete("other")
    assert "versions" in proxy.seen[before].target


def test_a_bucket_that_retains_objects_keeps_versions_also_when_it_does_not_tell(versioned, opened, proxy, kept):
    """So that what is retained is not hidden for a moment either."""
    store = opened(retention="native")
    store.put("key", b"x", size=1)
    proxy.script(Status(403, said("AccessDenied")), None, Status(403, said("AccessDenied")))
    with pytest.raises(PermissionDenied):
        store.delete("key")
    assert kept() == (1, 0)
    assert [seen.method for seen in proxy.seen] == ["PUT", "GET", "GET", "DELETE"]


@pytest.mark.parametrize("answer", [Status(503), Status(500, said("InternalError"))])
def test_a_bucket_that_cannot_tell_now_is_asked_again(store, proxy, answer):
    proxy.script(answer)
    with pytest.raises(Unavailable):
        store.delete("key")
    store.delete("key")
    assert [seen.method for seen in proxy.seen] == ["GET", "GET", "DELETE"]


def deleted(*ids):
    entries = "".join(f"<Deleted><Key>{key}</Key><VersionId>{id_}</VersionId></Deleted>" for key, id_ in ids)
    return Status(200, f"<DeleteResult>{entries}</DeleteResult>".encode(), XML)


def test_many_keys_are_looked_for_at_once(versioned, proxy, kept):
    keys = [f"folder/{number:02}" for number in range(20)]
    for body in (b"1", b"22"):
        for key in (*keys, "folder/05.other", "folder/~", "foldes"):
            versioned.put(key, body, size=len(body))
    before = len(proxy.seen)
    assert versioned.delete_many([*keys, "folder/missing"]) == {}
    # Whether versions are kept, what there is, the older ones, the current ones.
    assert [seen.method for seen in proxy.seen[before:]] == ["GET", "GET", "POST", "POST"]
    assert "prefix=folder%2F" in proxy.seen[before + 1].target
    assert kept() == (6, 0)


def test_keys_that_lie_far_apart_are_looked_for_one_by_one(keeping, proxy):
    """After as many pages as would have cost more. What the last page may have cut is asked for again."""
    keys = [f"k{number}" for number in range(8)]
    rest = "<NextKeyMarker>{}</NextKeyMarker>"
    pages = [
        versions(("Version", "k0", "a", "true"), ("Version", "k0~", "x", "true"), rest=rest.format("k0~")),
        versions(("Version", "k1", "b", "true"), ("Version", "k2", "c", "true"), rest=rest.format("k2")),
        *(versions(("Version", key, f"id-{key}", "true"), ("Version", f"{key}~", "x", "true")) for key in keys[2:]),
    ]
    removed = [("k0", "a"), ("k1", "b"), *((key, f"id-{key}") for key in keys[2:])]
    proxy.script(*(Status(200, page, XML) for page in pages), deleted(*removed))
    assert keeping().delete_many(keys) == {}
    assert [seen.method for seen in proxy.seen] == ["GET"] * 8 + ["POST"]


def test_keys_that_are_listed_to_the_end(keeping, proxy):
    keys = [f"k{number}" for number in range(4)]
    page = versions(("Version", "k1", "b", "true"), ("DeleteMarker", "k9", "c", "true"))
    proxy.script(Status(200, page, XML), Status(204))
    assert keeping().delete_many(keys) == {}
    assert "k1?versionId=b" in proxy.seen[1].target


def test_many_versions_that_cannot_be_listed(keeping, proxy):
    proxy.always(Status(403, said("AccessDenied")))
    failures = keeping().delete_many(["a", "b", "c", "d"])
    assert sorted(failures) == ["a", "b", "c", "d"]
    assert all("s3:ListBucketVersions" in str(failure) for failure in failures.values())


@pytest.mark.parametrize("answer", [Status(403, said("AccessDenied")), Status(501, said("NotImplemented"))])
def test_versions_that_cannot_be_listed_are_not_left_in_silence(versioned, proxy, kept, answer):
    versioned.put("key", b"x", size=1)
    proxy.script(None, answer)
    with pytest.raises((PermissionDenied, NotSupported), match=r"s3:ListBucketVersions.*`versions: leave`") as caught:
        versioned.delete("key")
    assert caught.value.key == "key"
    assert caught.value.__cause__ is not None
    assert versioned.head("key").size == 1
    assert kept() == (1, 0)


def test_what_may_not_be_removed_is_not_hidden_either(versioned, proxy, kept):
    """Also where the bucket did not tell that it keeps versions: the marker goes again."""
    versioned.put("key", b"x", size=1)
    proxy.script(Status(403), None, None, Status(403, said("AccessDenied")))
    with pytest.raises(PermissionDenied) as caught:
        versioned.delete("key")
    assert (caught.value.target, caught.value.key) == ("test", "key")
    assert versioned.head("key").size == 1
    assert kept() == (1, 0)


def test_the_current_version_goes_last(versioned, proxy, kept):
    """So that an older one that may not be removed does not become the object again."""
    for body in (b"1", b"22"):
        versioned.put("key", body, size=len(body))
    proxy.script(None, None, Status(403, said("AccessDenied")))
    with pytest.raises(PermissionDenied):
        versioned.delete("key")
    assert versioned.head("key").size == 2
    assert kept() == (2, 0)


def test_many_keys_of_which_one_may_not_be_removed(keeping, proxy):
    store = keeping()
    listed = [versions(("Version", key, f"v-{key}", "true")) for key in "abc"]
    answer = (
        "<DeleteResult><Deleted><Key>a</Key><VersionId>v-a</VersionId></Deleted>"
        "<Error><Key>b</Key><VersionId>v-b</VersionId><Code>AccessDenied</Code><Message>locked</Message></Error>"
        "<Error><Key>c</Key><VersionId>v-c</VersionId><Code>NoSuchVersion</Code></Error></DeleteResult>"
    )
    proxy.script(*(Status(200, page, XML) for page in listed), Status(200, answer.encode(), XML))
    failures = store.delete_many(["a", "b", "c"])
    assert list(failures) == ["b"]
    assert isinstance(failures["b"], PermissionDenied)
    assert "AccessDenied locked" in str(failures["b"])


def test_a_version_that_the_store_does_not_confirm_is_not_removed(keeping, proxy):
    store = keeping()
    listed = [versions(("Version", key, f"v-{key}", "true")) for key in "ab"]
    answer = (
        b"<DeleteResult><Deleted><Key>a</Key></Deleted>"
        b"<Deleted><Key>b</Key><VersionId>another</VersionId></Deleted></DeleteResult>"
    )
    proxy.script(*(Status(200, page, XML) for page in listed), Status(200, answer, XML))
    assert list(store.delete_many(["a", "b"])) == ["b"]


def test_many_versions_are_found_in_full(keeping, proxy):
    store = keeping(bulk_delete=False)
    rest = "<NextKeyMarker>k+y</NextKeyMarker><NextVersionIdMarker>2</NextVersionIdMarker>"
    proxy.script(
        Status(200, versions(("Version", "k+y", "3", "true"), ("DeleteMarker", "k+y", "2", "false"), rest=rest), XML),
        Status(200, versions(("Version", "k+y", "1", "false"), ("Version", "k+y.more", "9", "true")), XML),
        Status(204),
        Status(204),
        Status(204),
    )
    store.delete("k+y")
    assert "key-marker=k%2By" in proxy.seen[1].target
    assert "version-id-marker=2" in proxy.seen[1].target
    assert [seen.target.partition("versionId=")[2] for seen in proxy.seen[2:]] == ["2", "1", "3"]


def test_other_keys_that_begin_alike_are_not_read_through(keeping, proxy):
    rest = "<NextKeyMarker>key.more</NextKeyMarker>"
    page = versions(("Version", "key", "1", "true"), ("Version", "key.more", "9", "true"), rest=rest)
    proxy.script(Status(200, page, XML), Status(204))
    keeping().delete("key")
    assert [seen.method for seen in proxy.seen] == ["GET", "DELETE"]
    # Unless the listing has no order.
    last = versions(("Version", "key", "0", "false"))
    proxy.script(Status(200, page, XML), Status(200, last, XML), Status(204), Status(204))
    keeping(ordered_list="emulated", bulk_delete=False).delete("key")
    assert [seen.method for seen in proxy.seen[2:]] == ["GET", "GET", "DELETE", "DELETE"]


@pytest.mark.parametrize(
    "page",
    [
        versions(rest="<NextKeyMarker></NextKeyMarker>"),
        b"<ListVersionsResult></ListVersionsResult>",
        b"{}",
        b"<ListVersionsResult><IsTruncated>false</IsTruncated><Version><Key>key</Key></Version></ListVersionsResult>",
    ],
)
def test_what_is_no_list_of_versions_removes_nothing(keeping, proxy, page):
    proxy.script(Status(200, page, XML))
    with pytest.raises(Unavailable):
        keeping().delete("key")
    assert len(proxy.seen) == 1


@pytest.mark.parametrize("body", [b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>", b""])
def test_a_listing_is_no_list_of_versions(keeping, proxy, body):
    proxy.script(Status(200, body, XML))
    with pytest.raises(NotSupported, match="`versions: leave`"):
        keeping().delete("key")
    assert len(proxy.seen) == 1


def test_a_list_of_versions_that_does_not_end(keeping, proxy):
    proxy.always(Status(200, versions(rest="<NextKeyMarker>key</NextKeyMarker>"), XML))
    with pytest.raises(Unavailable, match="does not end"):
        keeping().delete("key")


@pytest.mark.parametrize("settings", [{}, {"retention": "native"}, {"versions": "leave"}])
@pytest.mark.parametrize("keys", [["key"], ["a", "b"]])
def test_a_missing_bucket_is_named(opened, proxy, settings, keys):
    proxy.always(Status(404, said("NoSuchBucket")))
    with pytest.raises(NotFound, match="no bucket `never-made`") as caught:
        opened(container="never-made", **settings).delete_many(keys)
    assert caught.value.key is None


def test_a_bucket_that_retains_objects_cannot_leave_versions(moto, bucket):
    binding = moto.binding(bucket, settings={"retention": "native", "versions": "leave"})
    with pytest.raises(ConfigError, match=r"`versions`: .* would hide what is retained"):
        build(binding)
    build(dataclasses.replace(binding, settings={"retention": "unsafe", "versions": "leave"}))
