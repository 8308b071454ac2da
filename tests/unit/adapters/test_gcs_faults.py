"""What servers and networks do to GCS requests, and what becomes of it: an error of ours, and never a wrong object."""

import dataclasses
import gc
import io
import itertools
import json

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
from sovbroker.testing import gcs
from sovbroker.testing.chaos import ChaosProxy, Cut, Duplicate, Flip, Latency, Reset, Side, Stall, Status, Truncate
from sovbroker_adapters import pauses
from sovbroker_adapters.gcs import build
from sovbroker_adapters.gcs.checksums import crc32c, spell

BODY = bytes(range(256)) * 1000
JSON = (("Content-Type", "application/json"),)
UPLOAD = "0" * 32
RECEIPT = Part(1, 3, "1-AAAAAA==")


@pytest.fixture(scope="module")
def server():
    with gcs.fake_gcs() as server:
        yield server


@pytest.fixture
def proxy(server):
    with ChaosProxy(server.host) as proxy:
        yield proxy


@pytest.fixture
def opened(server, bucket, proxy):
    """A function that opens the test's bucket through the proxy, with settings."""
    server.create_bucket(bucket)
    stores = []

    def open_bucket(container=bucket, **settings):
        base = server.binding(container, settings={"attempts": 1, "read-timeout": 5} | settings)
        stores.append(build(dataclasses.replace(base, endpoint=proxy.url, hosts=frozenset({proxy.host}))))
        return stores[-1]

    yield open_bucket
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    return opened()


def said(code, reason="", message="no"):
    errors = [{"reason": reason, "message": message, "domain": "global"}]
    return json.dumps({"error": {"code": code, "message": message, "errors": errors}}).encode()


def answer(**fields):
    return Status(200, json.dumps(fields).encode(), JSON)


def described(name="object", body=BODY, **changes):
    entry = {"name": name, "size": str(len(body)), "generation": "7", "crc32c": spell(crc32c(body))} | changes
    return {field: value for field, value in entry.items() if value is not None}


def load(store, key, size=-1):
    with store.get(key) as reader:
        return b"".join(iter(lambda: reader.read(size), b""))


def keys_of(store, *args, **named):
    return [info.key for page in store.list(*args, **named) for info in page.objects]


CALLS = {
    "head": lambda store: store.head("object"),
    "get": lambda store: store.get("object").close(),
    "range": lambda store: store.get("object", range=(0, 1)).close(),
    "put": lambda store: store.put("object", b"new", size=3),
    "source": lambda store: store.put("object", io.BytesIO(b"new"), size=3),
    "empty": lambda store: store.put("object", b"", size=0),
    "delete": lambda store: store.delete("object"),
    "list": lambda store: list(store.list()),
    "copy": lambda store: store.copy("object", "copied"),
    "multipart": lambda store: store.multipart("object"),
    "part": lambda store: store.multipart("object", upload_id=UPLOAD).part(1, b"part"),
    "parts": lambda store: store.multipart("object", upload_id=UPLOAD).parts(),
    "commit": lambda store: store.multipart("object", upload_id=UPLOAD).commit([RECEIPT]),
    "abort": lambda store: store.multipart("object", upload_id=UPLOAD).abort(),
    "uploads": lambda store: list(store.uploads()),
}
ANSWERS = [
    (Status(400, said(400, "invalid")), StoreError),
    (Status(400, said(400, "invalid", 'Provided CRC32C "a" doesn\'t match calculated CRC32C "b".')), Unavailable),
    (Status(401), PermissionDenied),
    (Status(401, said(401, "authError", "Invalid Credentials")), PermissionDenied),
    (Status(403), PermissionDenied),
    (Status(403, said(403, "forbidden")), PermissionDenied),
    (Status(403, said(403, "rateLimitExceeded")), Unavailable),
    (Status(403, said(403, "userRateLimitExceeded")), Unavailable),
    (Status(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"), PermissionDenied),
    (Status(404, said(404, "notFound", "The specified bucket does not exist.")), NotFound),
    (Status(404, b"<Error><Code>NoSuchBucket</Code></Error>"), NotFound),
    (Status(405), NotSupported),
    (Status(408), Unavailable),
    (Status(409, said(409, "conflict")), StoreError),
    (Status(412, said(412, "conditionNotMet")), StoreError),
    (Status(413, said(413, "uploadTooLarge")), InvalidArgument),
    (Status(429), Unavailable),
    (Status(500, said(500, "backendError")), Unavailable),
    (Status(501, said(501, "notImplemented")), NotSupported),
    (Status(502, b"<html>Bad Gateway</html>"), Unavailable),
    (Status(503), Unavailable),
    (Status(507), Unavailable),
    (Status(599, b"\x00\xff\xfe garbage"), Unavailable),
    (Status(403, b'{"error": "access_denied"}'), PermissionDenied),
    (Status(403, b'{"error": {"errors": [7]}}'), PermissionDenied),
    (Status(301), StoreError),
    (Status(307, b"", (("Location", "http://127.0.0.1:1/elsewhere"),)), StoreError),
    (Status(308, b"", (("Location", "http://[broken"),)), StoreError),
    (Reset(), Unavailable),
    (Reset(on=Side.REQUEST), Unavailable),
]


@pytest.mark.parametrize("call", CALLS)
def test_every_failure_of_every_call_is_one_of_ours(store, proxy, call):
    for fault, expected in ANSWERS:
        proxy.always(fault)
        with pytest.raises(expected) as caught:
            CALLS[call](store)
        if expected is StoreError:
            assert type(caught.value) is StoreError, fault
        if expected is not InvalidArgument:
            assert caught.value.target == "test"
            assert caught.value.__cause__ is not None


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_bucket_is_named(opened, call):
    store = opened("never-made")
    with pytest.raises(NotFound, match="no bucket `never-made`") as caught:
        CALLS[call](store)
    assert caught.value.key is None


def test_a_missing_bucket_fails_a_deletion_of_many(opened):
    for keys in (["a"], ["a", "b", "c"]):
        with pytest.raises(NotFound, match="no bucket `never-made`"):
            opened("never-made").delete_many(keys)


def test_who_may_not_list_is_told_of_the_object(store, proxy):
    proxy.script(Status(404), Status(403))
    with pytest.raises(NotFound) as caught:
        store.head("object")
    assert caught.value.key == "object"


@pytest.mark.parametrize(
    "body",
    [said(404, "notFound", "No such object: bucket/object"), b"<Error><Code>NoSuchKey</Code></Error>"],
)
def test_a_service_that_tells_what_is_missing_is_asked_once(store, proxy, body):
    proxy.script(Status(404, body))
    with pytest.raises(NotFound) as caught:
        store.head("object")
    assert caught.value.key == "object"
    assert len(proxy.seen) == 1


@pytest.mark.parametrize("call", CALLS)
def test_a_stalled_answer_ends_in_time(opened, proxy, call):
    store = opened(**{"read-timeout": 1})
    proxy.always(Stall())
    with pytest.raises(Unavailable):
        CALLS[call](store)


@pytest.mark.parametrize("call", CALLS)
@given(
    code=st.sampled_from([200, 204, 206, 308, 400, 404, 500]),
    body=st.binary(max_size=60)
    | st.sampled_from(
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b"<html><body>portal</body></html>",
            b'{"kind": "storage#objects", "items": 7}',
            b'{"kind": "storage#objects", "items": [7]}',
            b'{"kind": "storage#objects", "items": [{"name": "a"}]}',
            b'{"kind": "storage#objects", "items": [{"size": "1"}]}',
            b'{"kind": "storage#objects", "items": [{"name": "a", "size": "-1"}]}',
            b'{"kind": "storage#objects", "nextPageToken": 7}',
            b'{"kind": "storage#objects", "nextPageToken": "again"}',
            b'{"kind": "storage#objects", "prefixes": [null]}',
            b'{"name": "object", "size": "3", "crc32c": 7, "generation": [], "updated": "?", "metadata": 7}',
            b'{"name": "object", "size": "3", "crc32c": "x", "updated": 3, "metadata": {"key": null}}',
            b'{"done": true}',
            b'{"done": false, "rewriteToken": "x"}',
            b'{"error": 7}',
        ]
    ),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
def test_garbage_is_an_error_of_ours_or_harmless(store, proxy, call, code, body):
    proxy.always(Status(code, body, JSON))
    try:
        CALLS[call](store)
    except (StoreError, InvalidArgument):
        return
    # What may succeed on such an answer: to remove, to hear of an object, and to count what is not there.
    assert call in {"delete", "abort", "head", "list", "put", "source", "uploads", "parts"}


@pytest.mark.parametrize("code", [200, 403])
def test_an_answer_as_deep_as_a_well(store, proxy, code):
    # What is collected down there cannot be finalised.
    gc.disable()
    try:
        proxy.script(Status(code, b"[" * 100_000))
        with pytest.raises(Unavailable if code == 200 else PermissionDenied):
            store.head("object")
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "body", [b"<html>log in here</html>", b"{}", b"", b"not json", b'{"kind": "storage#object"}', b"[]"]
)
def test_what_is_no_listing_is_not_an_empty_one(store, proxy, body):
    proxy.always(Status(200, body, JSON))
    with pytest.raises(Unavailable):
        list(store.list())
    with pytest.raises(Unavailable):
        list(store.uploads())


def test_what_is_no_object_is_not_read(store, proxy):
    proxy.script(Status(200, b"<html>log in here</html>"))
    with pytest.raises(Unavailable, match="no object"):
        store.get("object")


def test_a_listing_that_does_not_end(store, proxy):
    proxy.always(answer(kind="storage#objects", nextPageToken="again"))
    with pytest.raises(Unavailable, match="does not end"):
        list(store.list())


def test_a_listing_in_another_order_is_refused(store, proxy):
    items = [described("b"), described("a")]
    proxy.script(answer(kind="storage#objects", items=items))
    with pytest.raises(Unavailable, match="byte order"):
        list(store.list())


def test_a_listing_names_the_prefix_that_its_beginning_is_below(store):
    for key in ("d/1", "d/2/x", "d/2/y", "d/3"):
        store.put(key, b"", size=0)

    def names(after):
        pages = list(store.list("d/", delimiter="/", start_after=after))
        return [name for page in pages for name in page.prefixes], [info.key for page in pages for info in page.objects]

    assert names("d/1") == (["d/2/"], ["d/3"])
    assert names("d/2/") == (["d/2/"], ["d/3"])
    assert names("d/2/x") == (["d/2/"], ["d/3"])
    assert names("d/2/y") == ([], ["d/3"])


def test_what_the_store_does_not_confirm_is_not_deleted(store, proxy):
    proxy.script(Status(200, b"<html>portal</html>"))
    with pytest.raises(Unavailable):
        store.delete("a")
    proxy.always(Status(403, said(403, "forbidden")))
    failures = store.delete_many(["a", "b", "c", "a"])
    assert sorted(failures) == ["a", "b", "c"]
    assert all(isinstance(error, PermissionDenied) and error.key == key for key, error in failures.items())


@pytest.mark.parametrize("as_source", [False, True])
@pytest.mark.parametrize("keep", [0, 100, 1000, len(BODY)])
def test_a_body_that_was_cut_changes_nothing(store, proxy, as_source, keep):
    store.put("object", b"old", size=3)
    # The message holds more than the body, so all of these are within it.
    proxy.script(Cut(keep=keep))
    with pytest.raises(StoreError):
        store.put("object", io.BytesIO(BODY) if as_source else BODY, size=len(BODY))
    assert load(store, "object") == b"old"


def test_a_flipped_byte_is_found_out(store, proxy):
    for body in (BODY, memoryview(bytearray(BODY)), io.BytesIO(BODY)):
        proxy.script(Flip(at=77_777))
        with pytest.raises(Unavailable, match="not what was sent"):
            store.put("object", body, size=len(BODY))
    upload = store.multipart("object")
    proxy.script(Flip(at=77_777))
    with pytest.raises(Unavailable, match="not what was sent"):
        upload.part(1, BODY)
    upload.commit([upload.part(1, BODY)])
    assert load(store, "object") == BODY


def test_what_the_store_says_of_a_put_is_compared(store, proxy):
    wrong = [described(size="3"), described(size=None), described(crc32c="AAAAAA=="), described("other"), {}]
    for entry in wrong:
        proxy.script(answer(**entry))
        with pytest.raises(Unavailable):
            store.put("object", BODY, size=len(BODY))
    for entry in (described(), described(crc32c=None), described(crc32c="?"), described(generation=None)):
        proxy.script(answer(**entry))
        assert store.put("object", BODY, size=len(BODY)).size == len(BODY)


def test_a_byte_that_was_flipped_on_the_way_back_is_found_out(store, proxy):
    store.put("object", BODY, size=len(BODY))
    for at in (0, 100_000, len(BODY) - 1):
        for size in (-1, 4096, len(BODY)):
            proxy.script(Flip(at=at, on=Side.ANSWER))
            with pytest.raises(Unavailable, match="CRC32C"):
                load(store, "object", size)
    proxy.script(Flip(at=0, on=Side.ANSWER))
    with pytest.raises(Unavailable), store.get("object", range=(0, len(BODY))) as reader:
        reader.read()


@pytest.mark.parametrize(
    ("fault", "after"), [*itertools.product((Truncate, Reset), (0, 1, 1000, len(BODY) - 1)), (Stall, 1000)]
)
def test_a_body_that_breaks_off_is_never_a_shorter_object(opened, proxy, fault, after):
    store = opened(**{"read-timeout": 1})
    store.put("object", BODY, size=len(BODY))
    for size in (-1, 4096):
        proxy.script(fault(after=after))
        with pytest.raises(Unavailable) as caught:
            load(store, "object", size)
        assert caught.value.key == "object"
    proxy.script(fault(after=min(after, 400)))
    with pytest.raises(Unavailable), store.get("object", range=(100, 600)) as reader:
        reader.read()
    assert load(store, "object") == BODY


@pytest.mark.parametrize("call", ["head", "list", "put"])
@pytest.mark.parametrize("fault", [Truncate(after=10), Reset(after=10)])
def test_an_answer_that_breaks_off(store, proxy, call, fault):
    store.put("object", b"x", size=1)
    proxy.script(fault)
    with pytest.raises(Unavailable):
        CALLS[call](store)


GENERATION = ("X-Goog-Generation", "7")


def test_a_server_that_ignores_ranges(store, proxy):
    whole = Status(200, BODY, (GENERATION, ("X-Goog-Hash", "crc32c=AAAAAA==")))
    for span in ((5, 9), (70_000, 80_000), (len(BODY) - 1, len(BODY) + 9)):
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
    headers = (GENERATION, *((("Content-Range", answered),) if answered else ()))
    for span in ((5, 9), None):
        proxy.script(Status(206, BODY[:length], headers))
        with pytest.raises(Unavailable):
            store.get("object", range=span)


def test_an_object_of_unknown_length_is_not_read(store, proxy):
    proxy.script(Status(200, b"5\r\nhello\r\n0\r\n\r\n", (GENERATION, ("Transfer-Encoding", "chunked"))))
    with pytest.raises(Unavailable, match="how long"):
        store.get("object")


def test_an_object_that_others_stored_compressed_comes_as_it_is_stored(store, proxy):
    packed = (GENERATION, ("Content-Encoding", "gzip"), ("X-Goog-Stored-Content-Encoding", "gzip"))
    proxy.script(Status(200, b"\x1f\x8bnot unpacked", packed))
    assert load(store, "object") == b"\x1f\x8bnot unpacked"
    proxy.script(Status(200, b"\x1f\x8bpacked on its way", packed[:2]))
    with pytest.raises(Unavailable, match="gzip"):
        store.get("object")


def test_several_hashes_of_one_object(store, proxy):
    right = f"crc32c={spell(crc32c(b'hello'))}"
    for hashes in ((right, "md5=x"), ("md5=x", right), (f"md5=x,{right}",)):
        proxy.script(Status(200, b"hello", tuple(("x-goog-hash", value) for value in hashes)))
        assert load(store, "object") == b"hello"
        proxy.script(Status(200, b"hellO", tuple(("x-goog-hash", value) for value in hashes)))
        with pytest.raises(Unavailable):
            load(store, "object")


def test_calls_that_may_be_repeated_are(opened, proxy, monkeypatch):
    monkeypatch.setattr(pauses, "FIRST", 0.001)
    store = opened(attempts=3)
    store.put("object", BODY, size=len(BODY))
    for fault in (Status(503), Reset(), Reset(on=Side.REQUEST), Status(200, b"garbage"), Truncate(after=5)):
        proxy.script(fault, fault)
        assert keys_of(store) == ["object"]
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


def test_a_condition_that_is_not_met(store, proxy):
    for body in (said(412, "conditionNotMet"), b""):
        proxy.script(Status(412, body))
        with pytest.raises(AlreadyExists) as caught:
            store.put("object", b"x", size=1, if_absent=True)
        assert caught.value.key == "object"
    assert "ifGenerationMatch=0" in proxy.seen[-1].target


@pytest.mark.parametrize("support", ["unsafe", "absent"])
def test_a_condition_is_never_sent_to_whom_ignores_it(opened, proxy, support):
    store = opened(**{"conditional-put": support})
    with pytest.raises(NotSupported, match=support):
        store.put("object", b"x", size=1, if_absent=True)
    assert proxy.seen == ()


def test_a_copy_goes_on_until_it_is_done(store, proxy):
    store.put("object", BODY, size=len(BODY))
    proxy.script(None, answer(done=False, rewriteToken="t1", totalBytesRewritten="5"))
    assert store.copy("object", "copied").size == len(BODY)
    assert "rewriteToken=t1" in proxy.seen[-1].target
    assert load(store, "copied") == BODY
    endless = answer(done=False, rewriteToken="t1", totalBytesRewritten="5")
    proxy.script(None, endless, endless)
    with pytest.raises(Unavailable, match="does not end"):
        store.copy("object", "copied")
    proxy.script(None, answer(done=False))
    with pytest.raises(Unavailable, match="how to go on"):
        store.copy("object", "copied")


def test_a_copy_that_is_another_object(store, proxy):
    store.put("object", BODY, size=len(BODY))
    for entry in (described("copied", size="3"), described("copied", crc32c="AAAAAA=="), described("other"), None):
        proxy.script(None, answer(done=True, resource=entry))
        with pytest.raises(Unavailable):
            store.copy("object", "copied")


def test_metadata_names_come_back_in_lower_case(store, proxy):
    headers = (GENERATION, ("X-Goog-Meta-Sov", "AbC"), ("X-GOOG-META-OTHER", "1"))
    proxy.script(Status(200, b"x", headers))
    with store.get("object") as reader:
        assert dict(reader.info.metadata) == {"sov": "AbC", "other": "1"}
        assert reader.info.etag == "7"


def test_what_every_call_says_of_one_object_agrees(store):
    stored = store.put("object", BODY, size=len(BODY), metadata={"m": "1"})
    listed = next(iter(store.list())).objects[0]
    with store.get("object") as reader:
        assert {stored.etag, store.head("object").etag, listed.etag, reader.info.etag} == {stored.etag}
        assert abs((store.head("object").modified - reader.info.modified).total_seconds()) < 2
    assert stored.etag
