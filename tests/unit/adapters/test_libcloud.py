"""libcloud's drivers behind a proxy: an error is an error, an empty listing is an answer, and nobody else is asked."""

import io
import itertools
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from libcloud.storage.providers import DRIVERS as THEIRS

from sovbroker.errors import (
    ConfigError,
    InvalidArgument,
    NotFound,
    NotSupported,
    PermissionDenied,
    StoreError,
    Unavailable,
)
from sovbroker.ports import Binding, Credentials, Feature, Support
from sovbroker.testing.chaos import ChaosProxy, Cut, Flip, Reset, Side, Stall, Status, Truncate
from sovbroker_adapters.libcloud import build
from sovbroker_adapters.libcloud.settings import DRIVERS, REFUSED

BODY = bytes(range(256)) * 1000
XML = (("Content-Type", "application/xml"),)
NAMELESS = "<Contents><Key>a</Key></Contents>"
SPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def said(code):
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


def load(store, key):
    with store.get(key) as reader:
        return reader.read()


def bound(url, container, **settings):
    return Binding(
        target="test",
        container=container,
        endpoint=url,
        region="us-east-1",
        hosts=frozenset({url.partition("//")[2]}),
        credentials=Credentials({"access_key": "test", "secret_key": "test-secret"}),
        settings={"driver": "minio", "attempts": 1, "read-timeout": 5} | settings,
    )


@pytest.fixture
def proxy(moto):
    with ChaosProxy(moto.host) as proxy:
        yield proxy


@pytest.fixture
def opened(moto, bucket, proxy):
    moto.create_bucket(bucket)
    stores = []

    def open_bucket(*, container=bucket, **settings):
        named = {name.replace("_", "-"): value for name, value in settings.items()}
        stores.append(build(bound(proxy.url, container, **named)))
        return stores[-1]

    yield open_bucket
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
    "inspect": lambda store: store.inspect(),
}
ANSWERS = [
    (Status(400, said("WhateverThisIs")), StoreError),
    (Status(400, said("RequestTimeout")), Unavailable),
    (Status(400, said("BadDigest")), Unavailable),
    (Status(400, said("ExpiredToken")), PermissionDenied),
    (Status(400, said("EntityTooLarge")), InvalidArgument),
    (Status(401), PermissionDenied),
    (Status(403), PermissionDenied),
    (Status(403, said("SignatureDoesNotMatch")), PermissionDenied),
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
    (Status(599, b"\x00\xff\xfe garbage"), Unavailable),
    (Status(301, said("PermanentRedirect")), StoreError),
    (Status(307, b"", (("Location", "http://127.0.0.1:1/elsewhere"),)), StoreError),
    (Reset(), Unavailable),
    (Reset(on=Side.REQUEST), Unavailable),
]


@pytest.mark.parametrize("call", CALLS)
def test_every_failure_of_every_call_is_one_of_ours(store, proxy, call):
    for fault, expected in ANSWERS:
        if call == "head" and isinstance(fault, Status) and fault.body and fault.code < 500:
            continue  # the answer to HEAD has no body, so it tells no code
        proxy.always(fault)
        with pytest.raises(expected) as caught:
            CALLS[call](store)
        assert caught.value.__cause__ is not None
        if expected is StoreError:
            assert type(caught.value) is StoreError, fault
        if expected is not InvalidArgument:
            assert caught.value.target == "test"
            assert "test-secret" not in str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_bucket_is_named(opened, call):
    with pytest.raises(NotFound, match=r"no bucket `never-made`") as caught:
        CALLS[call](opened(container="never-made"))
    assert caught.value.key is None


def test_a_missing_bucket_is_named_also_here(opened):
    with pytest.raises(NotFound, match=r"no bucket `never-made`"):
        opened(container="never-made").delete_many(["a"])


@pytest.mark.parametrize("call", CALLS)
def test_a_stalled_answer_ends_in_time(opened, proxy, call):
    store = opened(read_timeout=1)
    proxy.always(Stall())
    with pytest.raises(Unavailable):
        CALLS[call](store)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"<a/>",
        b"not xml",
        b"<html><body>log in here</body></html>",
        f"<ListBucketResult {SPACE}></ListBucketResult>".encode(),
        f"<ListBucketResult {SPACE}><IsTruncated>true</IsTruncated></ListBucketResult>".encode(),
        f"<ListBucketResult {SPACE}><IsTruncated>false</IsTruncated>{NAMELESS}</ListBucketResult>".encode(),
    ],
)
def test_what_is_no_listing_is_not_an_empty_one(store, proxy, body):
    proxy.always(Status(200, body, XML))
    with pytest.raises(Unavailable):
        list(store.list())


def listing(*keys, truncated="false"):
    entries = "".join(
        f"<Contents><Key>{key}</Key><Size>1</Size><ETag>x</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
        for key in keys
    )
    return f"<ListBucketResult {SPACE}><IsTruncated>{truncated}</IsTruncated>{entries}</ListBucketResult>".encode()


def test_a_listing_that_is_out_of_order_or_does_not_end_or_is_of_others(store, proxy):
    proxy.always(Status(200, listing("a", "b"), XML))
    assert [info.key for page in store.list() for info in page.objects] == ["a", "b"]
    proxy.always(Status(200, listing("b", "a"), XML))
    with pytest.raises(Unavailable, match="byte order"):
        list(store.list())
    proxy.always(Status(200, listing("a", truncated="true"), XML))
    with pytest.raises(Unavailable, match="byte order"):
        list(store.list())
    proxy.always(Status(200, listing("x/a"), XML))
    with pytest.raises(Unavailable, match="another prefix"):
        list(store.list("y/"))


def test_keys_are_not_guessed_from_their_letters(store):
    key = "é" * 400
    store.put(key, b"x", size=1)
    assert [info.key for page in store.list() for info in page.objects] == [key]


def test_a_deletion_is_confirmed(store, proxy):
    for status in (200, 202):
        proxy.script(Status(status))
        with pytest.raises(Unavailable, match="did not confirm"):
            store.delete("object")
    for answer in (Status(404), Status(404, said("NoSuchKey"))):
        proxy.script(answer)
        store.delete("object")
    proxy.script(None, Status(403), None)
    assert list(store.delete_many(["a", "b", "c"])) == ["b"]


def test_a_flipped_or_cut_body_is_found_out(opened, proxy):
    store = opened()
    for fault, body in itertools.product((Flip(at=77_777), Cut(keep=len(BODY) - 1)), (BODY, bytearray(BODY), None)):
        proxy.script(fault)
        with pytest.raises(Unavailable):
            store.put("object", io.BytesIO(BODY) if body is None else body, size=len(BODY))
    opaque = opened(etags="opaque")
    proxy.script(Cut(keep=5))
    with pytest.raises(Unavailable):
        opaque.put("object", BODY, size=len(BODY))
    proxy.script(Status(200, b"", (("ETag", '"x"'),)))
    with pytest.raises(NotFound):
        store.put("never sent", BODY, size=len(BODY))


@pytest.mark.parametrize(
    ("fault", "after"), [*itertools.product((Truncate, Reset), (0, 1, 1000, len(BODY) - 1)), (Stall, 1000)]
)
def test_a_body_that_breaks_off_is_never_a_shorter_object(opened, proxy, fault, after):
    store = opened(read_timeout=1)
    store.put("object", BODY, size=len(BODY))
    for pieces in (False, True):
        proxy.script(fault(after=after))
        with pytest.raises(Unavailable) as caught, store.get("object") as reader:
            list(iter(lambda reader=reader: reader.read(4096), b"")) if pieces else reader.read()
        assert caught.value.key == "object"
    assert load(store, "object") == BODY


def test_a_byte_that_is_flipped_on_its_way_back_is_found_out(store, opened, proxy):
    store.put("object", BODY, size=len(BODY))
    for pieces in (False, True):
        proxy.script(Flip(at=200_000, on=Side.ANSWER))
        with pytest.raises(Unavailable, match="not what was stored"), store.get("object") as reader:
            list(iter(lambda reader=reader: reader.read(4096), b"")) if pieces else reader.read()
    proxy.script(Flip(at=200_000, on=Side.ANSWER))
    assert load(opened(etags="opaque"), "object") != BODY


def test_ranges_that_are_ignored_or_others(store, proxy):
    proxy.script(Status(200, BODY, (("ETag", '"x"'),)))
    assert store.get("object", range=(5, 9)).read() == BODY[5:10]
    for answered in ("bytes 0-9/256000", "bytes 5-8/256000", "bytes 5-9/*", "items 5-9/256000", "", "bytes 5-9/7"):
        headers = (("Content-Range", answered),) if answered else ()
        proxy.script(Status(206, BODY[:5], headers))
        with pytest.raises(Unavailable):
            store.get("object", range=(5, 9))
        proxy.script(Status(206, BODY[:5], headers))
        with pytest.raises(Unavailable):
            store.get("object").read()


def test_an_answer_in_another_encoding(store, proxy):
    proxy.script(Status(200, BODY, (("Content-Encoding", "gzip"),)))
    with pytest.raises(Unavailable, match="encoding"):
        store.get("object")


def test_a_second_attempt_mends_what_may_be_repeated(opened, proxy):
    store = opened(attempts=2)
    proxy.script(Status(503), None, Reset(), None, Status(500), None)
    store.put("object", BODY, size=len(BODY))
    assert store.head("object").size == len(BODY)
    assert load(store, "object") == BODY
    proxy.script(Status(503), None)
    with pytest.raises(Unavailable):
        store.put("object", io.BytesIO(BODY), size=len(BODY))


def test_the_environment_changes_nothing(moto, bucket, store, proxy, monkeypatch, tmp_path):
    with ChaosProxy(moto.host) as elsewhere:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, elsewhere.url)
        monkeypatch.setenv("LIBCLOUD_RETRY_FAILED_HTTP_REQUESTS", "1")
        monkeypatch.setenv("LIBCLOUD_DEBUG", str(tmp_path / "debug"))
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login x password y\n")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        before = len(proxy.seen)
        store.put("object", BODY, size=len(BODY))
        proxy.script(Status(503))
        with pytest.raises(Unavailable):
            store.head("object")
        assert len(proxy.seen) - before == 2
        assert elsewhere.seen == ()
        assert not (tmp_path / "debug").exists()


@pytest.mark.parametrize("driver", DRIVERS)
def test_no_driver_goes_to_a_host_of_its_own(moto, bucket, proxy, driver):
    with ChaosProxy(moto.host) as elsewhere:
        proxy.always(Status(307, b"", (("Location", f"{elsewhere.url}/{bucket}/object"),)))
        store = build(bound(proxy.url, bucket, driver=driver))
        for call in CALLS.values():
            with pytest.raises(StoreError):
                call(store)
        assert {seen.target.split("/")[1].partition("?")[0] for seen in proxy.seen} == {bucket}
        assert elsewhere.seen == ()
        store.close()


def test_the_host_is_checked_before_anything_is_sent(proxy, bucket):
    with pytest.raises(PermissionDenied):
        build(replace(bound(proxy.url, bucket), hosts=frozenset({"127.0.0.1:1"})))
    with pytest.raises(PermissionDenied):
        build(bound("http://169.254.169.254", bucket))
    store = build(bound(proxy.url, bucket))
    store._connection.linked().driver.connection.host = "127.0.0.2"
    with pytest.raises(PermissionDenied, match=r"127\.0\.0\.2"):
        store.head("object")
    assert proxy.seen == ()


@pytest.mark.parametrize("driver", [*REFUSED, "dummy", "amazon", ""])
def test_drivers_that_do_not_keep_the_promises_are_refused_with_the_reason(driver):
    with pytest.raises(ConfigError, match="driver"):
        build(bound("http://127.0.0.1:9", "box", driver=driver))


def test_every_driver_of_the_library_is_judged():
    names = {name.replace("_", "-") for name in THEIRS}
    amazon = {name for name in names if name.startswith("s3-") and name not in REFUSED}
    assert names - amazon - {"dummy"} == {*DRIVERS, *REFUSED}


@pytest.mark.parametrize(
    "wrong",
    [
        {"container": ""},
        {"container": "a/b"},
        {"endpoint": None},
        {"endpoint": "127.0.0.1:9"},
        {"endpoint": "http://127.0.0.1:9/path"},
        {"credentials": Credentials({"access_key": "a"})},
        {"settings": {"driver": "minio", "unknown": 1}},
        {"settings": {"driver": "minio", "attempts": 0}},
        {"settings": {"driver": "minio", "etags": "sha1"}},
        {"settings": {}},
    ],
)
def test_bindings_that_cannot_work(wrong):
    with pytest.raises(ConfigError):
        build(replace(bound("http://127.0.0.1:9", "box"), **wrong))


def test_what_it_declares_absent_it_refuses(store):
    absent = {feature for feature, support in store.capabilities.items() if support is Support.ABSENT}
    assert absent == {
        Feature.CONDITIONAL_PUT,
        Feature.COPY,
        Feature.MULTIPART,
        Feature.PRESIGN,
        Feature.RETENTION,
        Feature.SET_METADATA,
    }


def test_secrets_are_not_told(store):
    assert "test-secret" not in repr(store)
    with pytest.raises(TypeError):
        pickle.dumps(store._connection)


def test_memory_is_bounded_both_ways(moto, bucket):
    moto.create_bucket(bucket)
    store = build(bound(moto.url, bucket, **{"read-timeout": 60}))
    size = 96 << 20

    class Zeros:
        left = size

        def read(self, count=-1):
            count = min(self.left, count if count >= 0 else self.left)
            self.left -= count
            return bytes(count)

    def resident():
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    most = 0
    store.put("large", Zeros(), size=size)
    most = max(most, resident() - before)
    with store.get("large") as reader:
        while reader.read(1 << 20):
            most = max(most, resident() - before)
    assert most < 32 << 20
    store.close()
