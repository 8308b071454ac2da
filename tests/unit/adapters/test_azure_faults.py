"""What servers and networks do to Azure requests, and what becomes of it: an error of ours, never a wrong object."""

import dataclasses
import io

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
from sovbroker.testing.blobs import BlobService
from sovbroker.testing.chaos import ChaosProxy, Cut, Flip, Reset, Stall, Status
from sovbroker_adapters import attempts
from sovbroker_adapters.azure import build, copying

BODY = bytes(range(256)) * 1000
XML = ("Content-Type", "application/xml")
UPLOAD = "0" * 32


def genuine(code, body=b"", headers=()):
    """An answer that names the service's version, as each of its own does."""
    return Status(code, body, (*headers, ("x-ms-version", "2021-12-02")))


def said(code, status=400, *, message="<Message>no</Message>"):
    body = f"<Error><Code>{code}</Code>{message}</Error>".encode()
    return Status(status, body, (XML, ("x-ms-error-code", code)))


def load(store, key):
    with store.get(key) as reader:
        return reader.read()


def drain(reader, size):
    while reader.read(size):
        pass


@pytest.fixture(scope="module")
def service():
    with BlobService() as running:
        yield running.server


@pytest.fixture
def proxy(service):
    with ChaosProxy(service.host) as proxy:
        yield proxy


@pytest.fixture
def opened(service, bucket, proxy):
    """A function that opens the test's container through the proxy, with settings."""
    service.create_container(bucket)
    stores = []

    def open_container(*, container=bucket, **changes):
        binding = service.binding(container, settings={"attempts": 1, "read-timeout": 5} | changes)
        stores.append(build(dataclasses.replace(binding, endpoint=proxy.url, hosts=frozenset({proxy.host}))))
        return stores[-1]

    yield open_container
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    return opened()


CALLS = {
    "head": lambda store: store.head("object"),
    "get": lambda store: store.get("object").close(),
    "range": lambda store: store.get("object", range=(0, 1)).close(),
    "put": lambda store: store.put("object", b"new", size=3),
    "source": lambda store: store.put("object", io.BytesIO(b"new"), size=3),
    "empty": lambda store: store.put("object", b"", size=0),
    "delete": lambda store: store.delete("object"),
    "list": lambda store: list(store.list()),
    "folded": lambda store: list(store.list(delimiter="/")),
    "copy": lambda store: store.copy("object", "copied"),
    "multipart": lambda store: store.multipart("object"),
    "part": lambda store: store.multipart("object", upload_id=UPLOAD).part(1, b"part"),
    "parts": lambda store: store.multipart("object", upload_id=UPLOAD).parts(),
    "commit": lambda store: store.multipart("object", upload_id=UPLOAD).commit([Part(1, 3, "0" * 32)]),
    "abort": lambda store: store.multipart("object", upload_id=UPLOAD).abort(),
    "uploads": lambda store: list(store.uploads()),
}
ANSWERS = [
    (said("WhateverThisIs"), StoreError),
    (said("Md5Mismatch"), Unavailable),
    (said("InvalidUri"), InvalidArgument),
    (said("MetadataTooLarge"), InvalidArgument),
    (said("RequestBodyTooLarge", 413), InvalidArgument),
    (said("AuthenticationFailed", 403), PermissionDenied),
    (said("AuthorizationPermissionMismatch", 403), PermissionDenied),
    (said("AuthorizationFailure", 403, message=""), PermissionDenied),
    (said("KeyBasedAuthenticationNotPermitted", 403), PermissionDenied),
    (said("BlobImmutableDueToPolicy", 409), PermissionDenied),
    (said("LeaseIdMissing", 412), PermissionDenied),
    (said("ContainerNotFound", 404), NotFound),
    (said("APINotImplemented", 501), NotSupported),
    (said("ContainerBeingDeleted", 409), Unavailable),
    (said("InvalidBlobType", 409), StoreError),
    (said("ConditionNotMet", 412), StoreError),
    (said("InternalError", 500), Unavailable),
    (said("OperationTimedOut", 500), Unavailable),
    (Status(502, b"<html>Bad Gateway</html>"), Unavailable),
    (said("ServerBusy", 503), Unavailable),
    (Status(599, b"\x00\xff\xfe garbage"), Unavailable),
    (Status(301, b"", (("Location", "http://127.0.0.1:1/elsewhere"),)), StoreError),
    (Status(307, b"", (("Location", "http://127.0.0.1:1/elsewhere"),)), StoreError),
]


@pytest.mark.parametrize("call", CALLS)
def test_every_failure_of_every_call_is_one_of_ours(store, proxy, service, call):
    for fault, expected in ANSWERS:
        proxy.always(fault)
        with pytest.raises(expected) as caught:
            CALLS[call](store)
        if expected is StoreError:
            assert type(caught.value) is StoreError, fault
        if expected is not InvalidArgument:
            assert caught.value.target == "test"
        assert caught.value.__cause__ is not None
        assert service.key not in str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize("fault", [*(fault for fault, _ in ANSWERS), Stall()], ids=repr)
def test_every_failure_to_delete_one_of_many_is_told(opened, proxy, fault):
    store = opened(**{"read-timeout": 1})
    store.put("object", b"x", size=1)
    proxy.always(fault)
    try:
        failures = store.delete_many(["object"])
    except (NotFound, InvalidArgument):
        assert fault in {said("ContainerNotFound", 404), said("InvalidUri"), said("MetadataTooLarge")} | {
            said("RequestBodyTooLarge", 413)
        }
    else:
        assert list(failures) == ["object"]


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_container_is_named(opened, call):
    with pytest.raises(NotFound, match=r"no container `never-made`") as caught:
        CALLS[call](opened(container="never-made"))
    assert caught.value.key is None


@pytest.mark.parametrize("call", ["head", "get", "delete"])
def test_an_answer_without_a_code_does_not_hide_that_the_container_is_missing(opened, proxy, call):
    store = opened(container="never-made")
    proxy.script(Status(404))
    with pytest.raises(NotFound, match="no container"):
        CALLS[call](store)


def test_deleting_what_is_not_there_succeeds(store, proxy):
    proxy.script(Status(404))
    store.delete("missing")
    store.delete("missing")
    assert store.delete_many(["missing", "missing"]) == {}


@pytest.mark.parametrize("call", sorted(set(CALLS) - {"get", "range"}))
@given(
    code=st.sampled_from([200, 201, 202, 204, 206, 400, 404, 500]),
    body=st.binary(max_size=60)
    | st.sampled_from(
        [
            b"",
            b"<",
            b"<a/>",
            b"<html><body>portal</body></html>",
            b"<EnumerationResults/>",
            b"<EnumerationResults ServiceEndpoint='x'><Blobs><Blob/></Blobs></EnumerationResults>",
            b"<EnumerationResults ServiceEndpoint='x'><Blobs><Blob><Name>a</Name></Blob></Blobs></EnumerationResults>",
            b"<BlockList><UncommittedBlocks><Block/></UncommittedBlocks></BlockList>",
            b"<BlockList><UncommittedBlocks><Block><Name>?</Name><Size>x</Size></Block></UncommittedBlocks></BlockList>",
            b"<Error/>",
            b"<Error><Code/></Error>",
        ]
    ),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
def test_garbage_is_an_error_of_ours_or_harmless(store, proxy, call, code, body):
    proxy.always(Status(code, body, (XML,)))
    try:
        CALLS[call](store)
    except (StoreError, InvalidArgument):
        return
    # A status alone may say that something was removed, or begun; never that something is there.
    assert call in {"delete", "abort", "multipart", "head", "put", "source", "empty"}


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>log in here</body></html>",
        b"<EnumerationResults></EnumerationResults>",
        b"<EnumerationResults ServiceEndpoint='x'><Blobs><Blob><Name>a</Name></Blob></Blobs></EnumerationResults>",
        b"not xml",
        b"",
    ],
)
@pytest.mark.parametrize("call", ["list", "folded", "uploads"])
def test_what_is_no_listing_is_not_an_empty_one(store, proxy, call, body):
    if call == "uploads" and b"<Name>" in body:
        return
    proxy.always(genuine(200, body, (XML,)))
    with pytest.raises(Unavailable):
        CALLS[call](store)


ONE = "<Properties><BlobType>BlockBlob</BlobType><Content-Length>1</Content-Length></Properties>"


def listing(*keys, marker=""):
    entries = "".join(f"<Blob><Name>{key}</Name>{ONE}</Blob>" for key in keys)
    text = f"<Blobs>{entries}</Blobs><NextMarker>{marker}</NextMarker>"
    whole = f'<EnumerationResults ServiceEndpoint="http://x/" ContainerName="c">{text}</EnumerationResults>'
    return genuine(200, whole.encode(), (XML,))


def test_a_listing_that_does_not_end(store, proxy):
    proxy.always(listing(marker="again"))
    with pytest.raises(Unavailable, match="does not end"):
        list(store.list())


def test_a_listing_in_another_order_is_refused_or_sorted(opened, proxy):
    proxy.always(listing("b", "a", "c"))
    with pytest.raises(Unavailable, match="ordered-list: emulated"):
        list(opened().list())
    found = [info.key for page in opened(**{"ordered-list": "emulated"}).list(start_after="a") for info in page.objects]
    assert found == ["b", "c"]
    any_order = opened(**{"ordered-list": "absent"})
    assert [info.key for page in any_order.list() for info in page.objects] == ["b", "a", "c"]
    with pytest.raises(NotSupported):
        any_order.list(start_after="a")


@pytest.mark.parametrize("as_source", [False, True])
def test_a_server_that_stores_a_part_of_the_body_is_found_out(store, proxy, as_source):
    for keep in (0, len(BODY) - 1):
        proxy.script(Cut(keep=keep))
        with pytest.raises(Unavailable):
            store.put("object", io.BytesIO(BODY) if as_source else BODY, size=len(BODY))


def test_a_flipped_byte_is_found_out(store, proxy):
    store.put("object", b"old", size=3)
    for body in (BODY, memoryview(bytearray(BODY))):
        proxy.script(Flip(at=77_777))
        with pytest.raises(Unavailable, match="Md5Mismatch"):
            store.put("object", body, size=len(BODY))
    assert load(store, "object") == b"old"
    proxy.script(Flip(at=77_777))
    with pytest.raises(Unavailable, match="not what was sent"):
        store.put("object", io.BytesIO(BODY), size=len(BODY))
    upload = store.multipart("object")
    proxy.script(None, Flip(at=0))
    with pytest.raises(Unavailable, match="Md5Mismatch"):
        upload.part(1, BODY)
    assert upload.parts() == ()
    upload.commit([upload.part(1, BODY)])
    assert load(store, "object") == BODY


def test_an_answer_without_a_digest_is_compared_by_size(store, proxy):
    stored = store.put("object", BODY, size=len(BODY))
    proxy.script(genuine(201))
    assert store.put("object", BODY, size=len(BODY)).etag == stored.etag
    proxy.script(genuine(201))
    with pytest.raises(Unavailable, match="bytes of the"):
        store.put("object", BODY + b"x", size=len(BODY) + 1)
    proxy.script(genuine(201))
    with pytest.raises(NotFound):
        store.put("never sent", BODY, size=len(BODY))
    upload = store.multipart("object")
    held = upload.part(1, BODY)
    proxy.script(None, genuine(201))
    assert upload.part(1, BODY) == held
    for number in (1, 2):
        proxy.script(None, genuine(201))
        with pytest.raises(Unavailable, match=f"does not hold part {number}"):
            upload.part(number, BODY + b"longer")


def test_a_server_that_ignores_ranges(store, proxy):
    headers = (("ETag", '"1"'), ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"))
    proxy.always(genuine(200, BODY, headers))
    with store.get("object", range=(300_000 // 2, 200_000)) as reader:
        assert reader.info.size == len(BODY)
        assert reader.read() == BODY[150_000:200_001]
    with pytest.raises(InvalidArgument, match="beyond the end"):
        store.get("object", range=(len(BODY), len(BODY)))


@pytest.mark.parametrize(
    "answered", ["bytes 0-9/100", "bytes 10-18/100", "bytes 10-20/100", "bytes 10-19/15", "", "bytes 10-19/*", "x"]
)
def test_another_range_than_was_asked_for(store, proxy, answered):
    proxy.always(genuine(206, b"0123456789", (("Content-Range", answered), ("ETag", '"1"'))))
    with pytest.raises((Unavailable, InvalidArgument)):
        store.get("object", range=(10, 19))


def test_an_object_of_unknown_length_is_not_read(store, proxy):
    proxy.always(genuine(200, b"3\r\nabc\r\n0\r\n\r\n", (("Transfer-Encoding", "chunked"),)))
    with pytest.raises(Unavailable, match="how long"):
        store.get("object")
    proxy.always(genuine(200, b"", (("Transfer-Encoding", "chunked"),)))
    with pytest.raises(Unavailable):
        store.head("object")


def test_calls_that_may_be_repeated_are(opened, proxy, monkeypatch):
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.0)
    store = opened(attempts=3)
    busy = said("ServerBusy", 503)
    for call in ("put", "empty", "head", "get", "list", "delete"):
        proxy.script(busy, Reset())
        before = len(proxy.seen)
        CALLS[call](store)
        assert len(proxy.seen) == before + 3, call
    proxy.always(busy)
    before = len(proxy.seen)
    with pytest.raises(Unavailable):
        store.head("object")
    assert len(proxy.seen) == before + 3


def test_calls_that_may_not_be_repeated_are_not(opened, proxy):
    store = opened(attempts=3)
    proxy.always(said("ServerBusy", 503))
    for call in (CALLS["source"], lambda store: store.put("object", b"x", size=1, if_absent=True)):
        before = len(proxy.seen)
        with pytest.raises(Unavailable):
            call(store)
        assert len(proxy.seen) == before + 1


@pytest.mark.parametrize(
    "fault", [said("BlobAlreadyExists", 409), said("ConditionNotMet", 412), Status(409), Status(412)], ids=repr
)
def test_a_condition_that_is_not_met(store, proxy, fault):
    proxy.script(fault)
    with pytest.raises(AlreadyExists):
        store.put("object", b"x", size=1, if_absent=True)
    proxy.script(fault)
    with pytest.raises(StoreError) as caught:
        store.put("object", b"x", size=1)
    assert not isinstance(caught.value, AlreadyExists)


def test_a_condition_is_never_sent_to_whom_ignores_it(opened, proxy):
    with pytest.raises(NotSupported):
        opened(**{"conditional-put": "unsafe"}).put("object", b"x", size=1, if_absent=True)
    assert proxy.seen == ()


def test_a_commit_whose_answer_was_lost(store, proxy):
    upload = store.multipart("object", metadata={"m": "1"})
    parts = [upload.part(1, BODY), upload.part(2, b"last")]
    proxy.script(None, None, Reset())
    with pytest.raises(Unavailable):
        upload.commit(parts)
    assert load(store, "object") == BODY + b"last"
    assert upload.commit(parts).size == len(BODY) + 4
    assert store.head("object").metadata == {"m": "1"}
    assert list(store.uploads()) == []


def test_a_commit_whose_marker_stays_is_a_commit(store, proxy):
    upload = store.multipart("object")
    part = upload.part(1, BODY)
    proxy.script(None, None, None, None, Status(503))
    upload.commit([part])
    assert load(store, "object") == BODY
    assert [found.id for found in store.uploads()] == [upload.id]
    upload.abort()
    assert list(store.uploads()) == []
    assert load(store, "object") == BODY


def test_a_put_drops_the_parts_of_an_upload_and_the_commit_says_so(store):
    upload = store.multipart("object")
    part = upload.part(1, BODY)
    store.put("object", b"other", size=5)
    with pytest.raises(NotFound, match="does not hold part 1"):
        upload.commit([part])
    assert load(store, "object") == b"other"


def test_parts_of_a_receipt_that_is_not_the_last_are_refused(store):
    upload = store.multipart("object")
    early = upload.part(1, BODY)
    late = upload.part(1, BODY + b"longer")
    with pytest.raises(NotFound):
        upload.commit([early])
    upload.commit([late, upload.part(2, b"")])
    assert load(store, "object") == BODY + b"longer"


def test_an_upload_of_nothing_but_an_empty_part(store):
    upload = store.multipart("object")
    upload.commit([upload.part(1, b"")])
    assert load(store, "object") == b""


def test_an_upload_belongs_to_one_key(store):
    upload = store.multipart("object")
    other = store.multipart("other", upload_id=upload.id)
    with pytest.raises(NotFound):
        other.part(1, b"x")
    other.abort()
    upload.part(1, b"x")
    assert [found.key for found in store.uploads()] == ["object"]


def test_markers_of_uploads_are_not_listed(store):
    store.multipart("object").part(1, b"x")
    for delimiter in (None, "/", ".", "-", "upl"):
        assert list(store.list(delimiter=delimiter)) == [], delimiter
    store.put(".hidden", b"x", size=1)
    assert [page.prefixes for page in store.list(delimiter=".")] == [(".",)]
    for call in (store.get, store.head, store.delete, store.multipart):
        with pytest.raises(InvalidArgument, match="unfinished uploads"):
            call(".sovbroker-uploads/x")


def test_a_copy_that_is_too_large_for_one_request(opened, proxy, monkeypatch):
    monkeypatch.setattr(copying, "AT_ONCE", 1000)
    store = opened(part_max=100_000)
    store.put("source", BODY, size=len(BODY), metadata={"m": "1"})
    proxy.script()
    before = len(proxy.seen)
    store.copy("source", "copied")
    assert all(seen.length < 1000 for seen in proxy.seen[before:])
    assert load(store, "copied") == BODY
    assert store.head("copied").metadata == {"m": "1"}
    proxy.script(None, None, said("SourceConditionNotMet", 412))
    with pytest.raises(Unavailable):
        store.copy("source", "other")
    with pytest.raises(NotFound):
        store.head("other")


def test_a_copy_that_is_not_done_or_not_whole(store, proxy):
    store.put("source", BODY, size=len(BODY))
    store.put("old", b"old", size=3)
    proxy.script(None, genuine(202, b"", (("x-ms-copy-status", "pending"),)))
    with pytest.raises(Unavailable, match="pending"):
        store.copy("source", "old")
    proxy.script(None, genuine(202, b"", (("x-ms-copy-status", "success"),)))
    with pytest.raises(Unavailable, match="3 bytes of"):
        store.copy("source", "old")


def test_metadata_names_come_back_in_lower_case(store, proxy):
    proxy.always(genuine(200, b"x", (("X-Ms-Meta-Sov", "AbC"), ("ETag", '"1"'))))
    with store.get("object") as reader:
        assert reader.info.metadata == {"sov": "AbC"}


def test_an_answer_of_something_in_between_is_none(opened, proxy):
    """A portal's page, or a proxy's, says nothing of an object, and nothing has been removed because of it."""
    store = opened(attempts=1)
    for operation in (store.head, store.delete, lambda key: load(store, key), lambda key: list(store.list(key))):
        proxy.always(Status(200, b"<html>log in here</html>", (("Content-Type", "text/html"), ("ETag", '"1"'))))
        with pytest.raises(Unavailable, match="HTTP 200 of something in between"):
            operation("object")
