"""What servers and networks do to S3 requests, and what becomes of it: an error of ours, and never a wrong object."""

import hashlib
import io
import itertools
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sovbroker.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    NotSupported,
    PermissionDenied,
    StoreError,
    Unavailable,
)
from sovbroker.ports import Part
from sovbroker.testing.chaos import Cut, Duplicate, Flip, Latency, Reset, Side, Stall, Status, Truncate
from sovbroker_adapters import pauses
from sovbroker_adapters.s3 import build

BODY = bytes(range(256)) * 1000
DIGEST = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
XML = (("Content-Type", "application/xml"),)


def said(code, message="no"):
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def load(store, key):
    with store.get(key) as reader:
        return reader.read()


def read_all(reader):
    with reader:
        return reader.read()


CALLS = {
    "head": lambda store: store.head("object"),
    "get": lambda store: store.get("object").close(),
    "range": lambda store: store.get("object", range=(0, 1)).close(),
    "put": lambda store: store.put("object", b"new", size=3),
    "source": lambda store: store.put("object", io.BytesIO(b"new"), size=3),
    "empty": lambda store: store.put("object", b"", size=0),
    "delete": lambda store: store.delete("object"),
    "delete_many": lambda store: store.delete_many(["object", "other"]),
    "list": lambda store: list(store.list()),
    "copy": lambda store: store.copy("object", "copied"),
    "multipart": lambda store: store.multipart("object"),
    "part": lambda store: store.multipart("object", upload_id="x").part(1, b"part"),
    "parts": lambda store: store.multipart("object", upload_id="x").parts(),
    "commit": lambda store: store.multipart("object", upload_id="x").commit([Part(1, 3, "0" * 32)]),
    "abort": lambda store: store.multipart("object", upload_id="x").abort(),
    "uploads": lambda store: list(store.uploads()),
}
ANSWERS = [
    (Status(400, said("WhateverThisIs")), StoreError),
    (Status(400, said("RequestTimeout")), Unavailable),
    (Status(400, said("BadDigest")), Unavailable),
    (Status(400, said("IncompleteBody")), Unavailable),
    (Status(400, said("ExpiredToken")), PermissionDenied),
    (Status(400, said("AuthorizationHeaderMalformed")), PermissionDenied),
    (Status(400, said("KeyTooLongError")), InvalidArgument),
    (Status(400, said("EntityTooLarge")), InvalidArgument),
    (Status(401), PermissionDenied),
    (Status(403), PermissionDenied),
    (Status(403, said("AccessDenied")), PermissionDenied),
    (Status(403, said("InvalidAccessKeyId")), PermissionDenied),
    (Status(403, said("SignatureDoesNotMatch")), PermissionDenied),
    (Status(403, said("RequestTimeTooSkewed")), PermissionDenied),
    (Status(404, said("NoSuchBucket")), NotFound),
    (Status(405), NotSupported),
    (Status(408), Unavailable),
    (Status(409, said("OperationAborted")), Unavailable),
    (Status(409, said("InvalidBucketState")), StoreError),
    (Status(412, said("PreconditionFailed")), StoreError),
    (Status(429), Unavailable),
    (Status(500, said("InternalError")), Unavailable),
    (Status(501, said("NotImplemented")), NotSupported),
    (Status(502, b"<html>Bad Gateway</html>"), Unavailable),
    (Status(503, said("SlowDown")), Unavailable),
    (Status(503), Unavailable),
    (Status(507), Unavailable),
    (Status(599, b"\x00\xff\xfe garbage"), Unavailable),
    (Status(301, said("PermanentRedirect")), StoreError),
    (Status(307, b"", (("Location", "http://127.0.0.1:1/elsewhere"),)), StoreError),
    (Reset(), Unavailable),
    (Reset(on=Side.REQUEST), Unavailable),
]
# HEAD has no body, so it tells no code.
WITHOUT_CODES = {"head", "copy"}


@pytest.mark.parametrize("call", CALLS)
def test_every_failure_of_every_call_is_one_of_ours(store, proxy, call):
    for fault, expected in ANSWERS:
        if call in WITHOUT_CODES and isinstance(fault, Status) and fault.body and fault.code < 500:
            continue
        if isinstance(fault, Status) and call == "source" and fault.code == 307:
            continue
        proxy.always(fault)
        with pytest.raises(expected) as caught:
            CALLS[call](store)
        if expected is StoreError:
            assert type(caught.value) is StoreError, fault
        if expected is not InvalidArgument:
            assert caught.value.target == "test"
            assert "test-secret" not in str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize("call", sorted(set(CALLS) - {"multipart", "delete_many"}))
def test_a_missing_bucket_is_named(opened, call):
    store = opened(container="never-made")
    with pytest.raises(NotFound, match=r"no bucket `never-made`") as caught:
        CALLS[call](store)
    assert caught.value.key is None


@pytest.mark.parametrize("call", ["multipart", "delete_many"])
def test_a_missing_bucket_is_named_also_here(opened, call):
    with pytest.raises(NotFound, match=r"no bucket `never-made`"):
        CALLS[call](opened(container="never-made"))


@pytest.mark.parametrize("call", CALLS)
def test_a_stalled_answer_ends_in_time(opened, proxy, call):
    store = opened(read_timeout=1)
    proxy.always(Stall())
    with pytest.raises(Unavailable):
        CALLS[call](store)


@pytest.mark.parametrize("call", sorted(set(CALLS) - {"get", "range"}))
@given(
    code=st.sampled_from([200, 204, 206, 400, 404, 500]),
    body=st.binary(max_size=60)
    | st.sampled_from(
        [
            b"",
            b"<",
            b"<a/>",
            b"<html><body>portal</body></html>",
            b"<ListBucketResult></ListBucketResult>",
            b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
            b"<ListBucketResult><IsTruncated>perhaps</IsTruncated><Contents><Size>x</Size></Contents></ListBucketResult>",
            b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Size>9</Size></Contents></ListBucketResult>",
            b"<InitiateMultipartUploadResult/>",
            b"<CopyObjectResult><LastModified>?</LastModified></CopyObjectResult>",
            b"<ListPartsResult><IsTruncated>true</IsTruncated></ListPartsResult>",
            b"<ListPartsResult><Part><PartNumber>x</PartNumber></Part></ListPartsResult>",
            b"<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>",
            b"<DeleteResult/>",
            b"<Error/>",
            b"<Error><Code/></Error>",
        ]
    ),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
def test_garbage_is_an_error_of_ours_or_harmless(store, proxy, call, code, body):
    proxy.always(Status(code, body, (("Content-Type", "application/xml"),)))
    try:
        CALLS[call](store)
    except (StoreError, InvalidArgument):
        return
    # What may succeed on an answer that says nothing: to remove, and to count what is not there.
    assert call in {
        "delete",
        "abort",
        "list",
        "uploads",
        "parts",
        "delete_many",
        "put",
        "empty",
        "source",
        "copy",
        "head",
        "part",
        "multipart",
        "commit",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>log in here</body></html>",
        b"<ListBucketResult></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents></ListBucketResult>",
        b"not xml",
        b"",
    ],
)
def test_what_is_no_listing_is_not_an_empty_one(store, proxy, body):
    proxy.always(Status(200, body, XML))
    with pytest.raises(Unavailable):
        list(store.list())


def test_a_listing_that_does_not_end(store, proxy):
    page = b"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    proxy.always(Status(200, page + b"</ListBucketResult>", XML))
    with pytest.raises(Unavailable, match="does not end"):
        list(store.list())


def listing(*keys):
    entries = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()


def test_a_listing_in_another_order_is_refused_or_sorted(opened, proxy):
    proxy.always(Status(200, listing("b", "a", "c"), XML))
    with pytest.raises(Unavailable, match="ordered-list: emulated"):
        list(opened().list())
    found = [info.key for page in opened(ordered_list="emulated").list(start_after="a") for info in page.objects]
    assert found == ["b", "c"]
    any_order = opened(ordered_list="absent")
    assert [info.key for page in any_order.list() for info in page.objects] == ["b", "a", "c"]
    with pytest.raises(NotSupported):
        any_order.list(start_after="a")


def test_what_the_store_does_not_confirm_is_not_deleted(store, proxy):
    answer = "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</Code></Error>"
    proxy.always(Status(200, f"{answer}</DeleteResult>".encode(), XML))
    failures = store.delete_many(["a", "b", "c"])
    assert sorted(failures) == ["b", "c"]
    assert "AccessDenied" in str(failures["b"])
    assert failures["b"].key == "b"


def test_deletes_one_by_one_where_the_service_knows_no_other_way(opened, proxy):
    store = opened(bulk_delete=False)
    for key in ("a", "b"):
        store.put(key, b"x", size=1)
    proxy.script(None, Status(403, said("AccessDenied")))
    failures = store.delete_many(["a", "b", "c"])
    assert list(failures) == ["b"]
    assert isinstance(failures["b"], PermissionDenied)
    with pytest.raises(NotFound):
        opened(container="never-made", bulk_delete=False).delete_many(["a"])


def test_deleting_what_is_not_there_succeeds_also_where_the_service_minds(store, proxy):
    proxy.script(Status(404, said("NoSuchKey")))
    store.delete("missing")
    proxy.script(Status(404))
    store.delete("missing")


@pytest.mark.parametrize("etags", ["md5", "opaque"])
@pytest.mark.parametrize("as_source", [False, True])
def test_a_server_that_stores_a_part_of_the_body_is_found_out(opened, proxy, etags, as_source):
    store = opened(etags=etags)
    proxy.script(Cut(keep=len(BODY) - 1))
    with pytest.raises(Unavailable):
        store.put("object", io.BytesIO(BODY) if as_source else BODY, size=len(BODY))
    upload = store.multipart("object")
    proxy.script(Cut(keep=0))
    with pytest.raises(Unavailable):
        upload.part(1, BODY)


def test_a_flipped_byte_is_found_out(store, proxy):
    for body in (BODY, memoryview(bytearray(BODY)), io.BytesIO(BODY)):
        proxy.script(Flip(at=77_777))
        with pytest.raises(Unavailable, match="not what was sent"):
            store.put("object", body, size=len(BODY))
    upload = store.multipart("object")
    proxy.script(Flip(at=0))
    with pytest.raises(Unavailable, match="not what was sent"):
        upload.part(1, BODY)
    upload.commit([upload.part(1, BODY)])
    assert load(store, "object") == BODY


@pytest.mark.parametrize("checksums", ["when-required", "when-supported"])
def test_every_kind_of_body_with_and_without_the_sdks_checksums(opened, proxy, checksums):
    store = opened(checksums=checksums)
    for body in (BODY, bytearray(BODY), memoryview(b"x" + BODY + b"x")[1:-1], io.BytesIO(BODY)):
        info = store.put("object", body, size=len(BODY), metadata={"m": "1"})
        assert info.etag == DIGEST
        assert load(store, "object") == BODY
    upload = store.multipart("joined")
    upload.commit([upload.part(1, memoryview(BODY))])
    assert load(store, "joined") == BODY
    proxy.script(Flip(at=5))
    with pytest.raises(StoreError):
        store.put("object", memoryview(bytearray(BODY)), size=len(BODY))


def test_an_etag_that_is_no_digest_is_not_taken_for_one(store, proxy):
    store.put("object", BODY, size=len(BODY))
    proxy.script(Status(200, b"", (("ETag", '"an-opaque-one"'),)))
    assert store.put("object", BODY, size=len(BODY)).etag == DIGEST
    encrypted = (("ETag", f'"{"0" * 32}"'), ("x-amz-server-side-encryption", "aws:kms"))
    proxy.script(Status(200, b"", encrypted))
    store.put("object", BODY, size=len(BODY))
    proxy.script(Status(200, b"", encrypted))
    with pytest.raises(Unavailable, match="bytes of the"):
        store.put("object", BODY + b"x", size=len(BODY) + 1)
    proxy.script(Status(200))
    with pytest.raises(NotFound):
        store.put("never sent", BODY, size=len(BODY))


def test_a_part_without_a_digest_is_looked_up(store, proxy):
    upload = store.multipart("object")
    held = upload.part(1, BODY)
    proxy.script(Status(200, b"", (("ETag", '"opaque"'),)))
    assert upload.part(1, BODY) == held
    proxy.script(Status(200, b"", (("ETag", '"opaque"'),)))
    with pytest.raises(Unavailable, match="does not hold part 1"):
        upload.part(1, BODY + b"longer")
    proxy.script(Status(200, b""))
    with pytest.raises(Unavailable, match="does not hold part 2"):
        upload.part(2, BODY)


@pytest.mark.parametrize(
    ("fault", "after"),
    [*itertools.product((Truncate, Reset), (0, 1, 1000, len(BODY) - 1)), (Stall, 1000)],
)
def test_a_body_that_breaks_off_is_never_a_shorter_object(opened, proxy, fault, after):
    store = opened(read_timeout=1)
    store.put("object", BODY, size=len(BODY))
    for pieces in (False, True):
        proxy.script(fault(after=after))
        with pytest.raises(Unavailable) as caught, store.get("object") as reader:
            read_all(reader) if not pieces else list(iter(lambda reader=reader: reader.read(4096), b""))
        assert caught.value.key == "object"
    proxy.script(fault(after=min(after, 400)))
    with pytest.raises(Unavailable):
        read_all(store.get("object", range=(100, 600)))
    assert load(store, "object") == BODY


def test_a_server_that_ignores_ranges(store, proxy):
    whole = Status(200, BODY, (("ETag", '"x"'),))
    for span in ((0, 0), (5, 9), (70_000, 80_000), (len(BODY) - 1, len(BODY) + 9)):
        proxy.script(whole)
        with store.get("object", range=span) as reader:
            assert reader.info.size == len(BODY)
            assert reader.read() == BODY[span[0] : span[1] + 1]
    proxy.script(whole)
    with pytest.raises(InvalidArgument):
        store.get("object", range=(len(BODY), len(BODY) + 5))


@pytest.mark.parametrize(
    ("answered", "length"),
    [
        ("bytes 0-9/256000", 10),
        ("bytes 5-8/256000", 4),
        ("bytes 5-9/*", 5),
        ("items 5-9/256000", 5),
        ("", 5),
        ("bytes 5-9/256000", 6),
        ("bytes 5-9/7", 5),
    ],
)
def test_another_range_than_was_asked_for(store, proxy, answered, length):
    headers = (("Content-Range", answered),) if answered else ()
    proxy.script(Status(206, BODY[:length], headers))
    with pytest.raises(Unavailable):
        store.get("object", range=(5, 9))
    proxy.script(Status(206, BODY[:length], headers))
    with pytest.raises(Unavailable):
        store.get("object")


def test_an_object_of_unknown_length_is_not_read(store, proxy):
    proxy.script(Status(200, b"5\r\nhello\r\n0\r\n\r\n", (("Transfer-Encoding", "chunked"),)))
    with pytest.raises(Unavailable):
        store.get("object")
    proxy.script(Status(200, b"", (("Transfer-Encoding", "chunked"),)))
    with pytest.raises(Unavailable):
        store.head("object")


def test_calls_that_may_be_repeated_are(opened, proxy, monkeypatch):
    monkeypatch.setattr(pauses, "FIRST", 0.001)
    store = opened(attempts=3)
    store.put("object", BODY, size=len(BODY))
    for fault in (Status(503), Reset(), Reset(on=Side.REQUEST), Status(200, b"garbage", XML)):
        proxy.script(fault, fault)
        assert [info.key for page in store.list() for info in page.objects] == ["object"]
    for fault in (Status(503), Reset(), Reset(after=10, on=Side.REQUEST), Latency(0.01), Duplicate()):
        proxy.script(fault, fault)
        store.put("object", memoryview(BODY), size=len(BODY))
        assert load(store, "object") == BODY
    before = len(proxy.seen)
    proxy.script(Status(503), Status(503), Status(503))
    with pytest.raises(Unavailable):
        store.head("object")
    assert len(proxy.seen) == before + 3


def test_calls_that_may_not_be_repeated_are_not(opened, proxy):
    store = opened(attempts=3)
    for call in (
        lambda: store.put("object", io.BytesIO(BODY), size=len(BODY)),
        lambda: store.put("object", BODY, size=len(BODY), if_absent=True),
    ):
        before = len(proxy.seen)
        proxy.script(Status(503))
        with pytest.raises(Unavailable):
            call()
        assert len(proxy.seen) == before + 1
    before = len(proxy.seen)
    proxy.script(Status(403))
    with pytest.raises(PermissionDenied):
        store.delete("object")
    assert len(proxy.seen) == before + 1


@pytest.mark.parametrize(("code", "name"), [(412, "PreconditionFailed"), (409, "ConditionalRequestConflict")])
def test_a_condition_that_is_not_met(store, proxy, code, name):
    for body in (said(name), b""):
        proxy.script(Status(code, body))
        with pytest.raises(AlreadyExists) as caught:
            store.put("object", b"x", size=1, if_absent=True)
        assert caught.value.key == "object"


@pytest.mark.parametrize("support", ["unsafe", "absent"])
def test_a_condition_is_never_sent_to_whom_ignores_it(opened, proxy, support):
    store = opened(conditional_put=support)
    with pytest.raises(NotSupported, match=support):
        store.put("object", b"x", size=1, if_absent=True)
    assert proxy.seen == ()


def test_a_commit_whose_answer_was_lost(opened, proxy):
    store = opened(attempts=2)
    upload = store.multipart("object")
    parts = [upload.part(1, bytes(5 << 20)), upload.part(2, b"end")]
    # The server joins the parts, and a second request finds no upload any more.
    proxy.script(Reset(), Status(404, said("NoSuchUpload")))
    assert upload.commit(parts).size == (5 << 20) + 3
    assert store.head("object").size == (5 << 20) + 3
    other = store.multipart("object")
    other_parts = [other.part(1, b"other")]
    other.abort()
    proxy.script(Status(404, said("NoSuchUpload")))
    with pytest.raises(NotFound, match="upload"):
        other.commit(other_parts)
    never = store.multipart("never")
    proxy.script(Status(404, said("NoSuchUpload")))
    with pytest.raises(NotFound, match="upload"):
        never.commit(parts)


def test_a_commit_that_joined_something_else(store, proxy):
    store.put("object", b"short", size=5)
    upload = store.multipart("object")
    part = upload.part(1, BODY)
    done = b"<CompleteMultipartUploadResult><Key>object</Key></CompleteMultipartUploadResult>"
    proxy.script(Status(200, done, XML))
    with pytest.raises(Unavailable, match="joined 5 bytes"):
        upload.commit([part])
    proxy.script(Status(200, said("InternalError"), XML))
    with pytest.raises(Unavailable):
        upload.commit([part])
    assert upload.commit([part]).size == len(BODY)


def test_a_copy_that_is_too_large_for_one_request(opened, proxy):
    store = opened(put_max=5 << 20, part_max=5 << 20)
    size = (5 << 20) * 2 + 100
    upload = store.multipart("large", metadata={"m": "1"})
    upload.commit([upload.part(n, bytes([n]) * length) for n, length in ((1, 5 << 20), (2, 5 << 20), (3, 100))])
    info = store.copy("large", "copied")
    assert (info.size, info.metadata["m"]) == (size, "1")
    assert load(store, "copied") == load(store, "large")
    assert list(store.uploads()) == []
    proxy.script(*itertools.repeat(None, 3), Status(503))
    with pytest.raises(Unavailable):
        store.copy("large", "again")
    assert list(store.uploads()) == []
    with pytest.raises(InvalidArgument, match="in parts"):
        store.put("large", bytes((5 << 20) + 1), size=(5 << 20) + 1)


def test_a_copy_that_lost_bytes(store, proxy):
    store.put("object", BODY, size=len(BODY))
    store.put("copied", b"short", size=5)
    proxy.script(None, Status(200, b"<CopyObjectResult><ETag>x</ETag></CopyObjectResult>", XML))
    with pytest.raises(Unavailable, match="5 bytes instead of"):
        store.copy("object", "copied")


def test_many_parts_are_listed_in_full(opened, proxy):
    page = "<ListPartsResult><IsTruncated>{}</IsTruncated>{}</ListPartsResult>"
    entry = "<Part><PartNumber>{}</PartNumber><Size>7</Size><ETag>&quot;e&quot;</ETag></Part>"
    first = "".join(entry.format(number) for number in (1, 2))
    proxy.script(
        Status(200, page.format("true", first).encode(), XML),
        Status(200, page.format("false", entry.format(3)).encode(), XML),
    )
    parts = opened().multipart("object", upload_id="x").parts()
    assert [(part.number, part.size, part.etag) for part in parts] == [(1, 7, "e"), (2, 7, "e"), (3, 7, "e")]
    assert "part-number-marker=2" in proxy.seen[1].target
    proxy.always(Status(200, page.format("true", "").encode(), XML))
    with pytest.raises(Unavailable, match="does not end"):
        opened().multipart("object", upload_id="x").parts()


def test_many_uploads_are_listed_in_full(store, proxy):
    page = (
        "<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>{}</IsTruncated>"
        "<NextKeyMarker>a%2Bb</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>"
        "<Upload><Key>{}</Key><UploadId>{}</UploadId></Upload></ListMultipartUploadsResult>"
    )
    proxy.script(
        Status(200, page.format("true", "a%2Bb", "1").encode(), XML),
        Status(200, page.format("false", "a%2Bc", "2").encode(), XML),
    )
    assert [(upload.key, upload.id) for upload in store.uploads("a")] == [("a+b", "1"), ("a+c", "2")]
    assert "key-marker=a%2Bb" in proxy.seen[1].target
    proxy.always(Status(200, page.format("true", "a", "1").encode(), XML))
    with pytest.raises(Unavailable, match="does not end"):
        list(store.uploads())


def test_metadata_names_come_back_in_lower_case(store, proxy):
    proxy.script(Status(200, b"x", (("X-Amz-Meta-Sov", "AbC"), ("X-AMZ-META-OTHER", "1"))))
    assert dict(store.get("object").info.metadata) == {"sov": "AbC", "other": "1"}


def test_wrong_credentials_are_refused(rclone, bucket):
    rclone.create_bucket(bucket)
    for secrets in ({"secret_key": "wrong"}, {"access_key": "SOMEBODYELSE"}):
        given = {"access_key": rclone.access_key, "secret_key": rclone.secret_key} | secrets
        base = rclone.binding(bucket)
        binding = type(base)(
            **{
                name: getattr(base, name) for name in ("target", "container", "endpoint", "region", "hosts", "settings")
            },
            credentials=type(base.credentials)(given),
        )
        store = build(binding)
        for call in (lambda s: s.put("a", b"x", size=1), lambda s: s.head("a"), lambda s: list(s.list())):
            with pytest.raises(PermissionDenied):
                call(store)
        store.close()


def test_a_link_is_made_without_a_request(store, proxy):
    url = store.presign("a b", expires=timedelta(seconds=90))
    assert proxy.seen == ()
    assert url.startswith(proxy.url)
    assert "X-Amz-Expires=90" in url
    assert "test-secret" not in url
