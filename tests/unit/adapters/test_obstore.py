"""The fast lane: what servers, networks and the environment do to it, and what becomes of it."""

import io
import os
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import obstore
import pytest

from sovbroker.catalogue import load as load_catalogue
from sovbroker.config import parse_config
from sovbroker.errors import (
    AlreadyExists,
    ConfigError,
    InvalidArgument,
    NotFound,
    NotSupported,
    PermissionDenied,
    SovbrokerError,
    StoreError,
    Unavailable,
)
from sovbroker.opening import place_of
from sovbroker.ports import Binding, Credentials
from sovbroker.testing.azurite import ACCOUNT, KEY
from sovbroker.testing.blobs import BlobService
from sovbroker.testing.chaos import ChaosProxy, Cut, Flip, Reset, Side, Stall, Status, Truncate
from sovbroker_adapters import azure, s3
from sovbroker_adapters.memory import MemoryStore
from sovbroker_adapters.obstore import build, library
from sovbroker_adapters.obstore.store import WHOLE

BODY = bytes(range(256)) * 1000
LARGE = BODY * 10


def said(code):
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


def load(store, key):
    with store.get(key) as reader:
        return reader.read()


@pytest.fixture
def proxy(moto):
    with ChaosProxy(moto.host) as proxy:
        yield proxy


@pytest.fixture
def opened(moto, bucket, proxy):
    """A function that opens the test's bucket: the lane through the proxy, the store beside it not."""
    moto.create_bucket(bucket)
    stores = []

    def open_bucket(*, container=bucket, whole=False, **settings):
        named = {name.replace("_", "-"): value for name, value in settings.items()}
        plain = moto.binding(container, settings={"attempts": 1, "read-timeout": 5} | named)
        broken = replace(plain, endpoint=proxy.url, hosts=frozenset({proxy.host}))
        beside = s3.build(broken if whole else plain)
        stores.append(build(replace(broken, beside=beside, settings={**broken.settings, "protocol": "s3"})))
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
}
ANSWERS = [
    (Status(400, said("WhateverThisIs")), StoreError),
    (Status(400, said("RequestTimeout")), Unavailable),
    (Status(400, said("BadDigest")), Unavailable),
    (Status(400, said("ExpiredToken")), PermissionDenied),
    (Status(400, said("AuthorizationHeaderMalformed")), PermissionDenied),
    (Status(400, said("KeyTooLongError")), InvalidArgument),
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
    (Status(307, b"", (("Location", "http://localhost:1/elsewhere"),)), StoreError),
    (Reset(), Unavailable),
    (Reset(on=Side.REQUEST), Unavailable),
]


@pytest.mark.parametrize("call", CALLS)
def test_every_failure_of_every_call_is_one_of_ours(opened, proxy, call):
    store = opened(whole=True)
    for fault, expected in ANSWERS:
        if call == "head" and isinstance(fault, Status) and fault.body and fault.code < 500:
            continue  # the answer to HEAD has no body, so it tells no code
        proxy.always(fault)
        with pytest.raises(expected) as caught:
            CALLS[call](store)
        assert caught.value.__cause__ is not None, fault
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


@pytest.mark.parametrize("call", ["head", "get", "range"])
def test_a_missing_object_is_named(store, call):
    with pytest.raises(NotFound, match="no object") as caught:
        CALLS[call](store)
    assert (caught.value.target, caught.value.key) == ("test", "object")


@pytest.mark.parametrize("call", CALLS)
def test_a_stalled_answer_ends_in_time(opened, proxy, call):
    store = opened(read_timeout=1)
    proxy.always(Stall())
    with pytest.raises(Unavailable):
        CALLS[call](store)


def test_a_flipped_or_cut_body_is_found_out(store, proxy):
    for fault in (Flip(at=77_777), Cut(keep=len(BODY) - 1)):
        for body in (BODY, memoryview(bytearray(BODY)), io.BytesIO(BODY)):
            proxy.script(fault)
            with pytest.raises(Unavailable, match="not what was sent"):
                store.put("object", body, size=len(BODY))


def test_etags_that_are_no_digest(opened, proxy):
    store = opened(etags="opaque")
    proxy.script(Cut(keep=5))
    with pytest.raises(Unavailable, match="holds another object"):
        store.put("object", BODY, size=len(BODY))
    # An answer that is not the store's, about an object that is there with this length.
    store.put("object", BODY, size=len(BODY))
    proxy.script(Status(200, b"", (("ETag", '"another"'),)))
    with pytest.raises(Unavailable, match="holds another object"):
        store.put("object", BODY, size=len(BODY))
    proxy.script(Status(200, b"", (("ETag", '"x"'),)))
    with pytest.raises(NotFound):
        store.put("never sent", BODY, size=len(BODY))
    proxy.script(Status(200))
    with pytest.raises(Unavailable, match="ETag Header missing"):
        store.put("object", BODY, size=len(BODY))


def test_a_redirected_put_is_not_taken_for_one(store, proxy):
    # 303 turns it into a GET, which is answered; where to is the same host, which no proxy setting can exclude.
    for body in (BODY, b""):
        proxy.script(Status(303, b"", (("Location", f"{proxy.url}/elsewhere"),)), Status(200, b"", (("ETag", '"x"'),)))
        with pytest.raises((Unavailable, NotFound)):
            store.put("object", body, size=len(body))


@pytest.mark.parametrize("size", [len(BODY), len(LARGE)])
@pytest.mark.parametrize("fault", [Truncate, Reset, Stall])
def test_a_body_that_breaks_off_is_never_a_shorter_object(opened, proxy, fault, size):
    store = opened(read_timeout=1)
    store.put("object", LARGE[:size], size=size)
    for after in (0, 1, 1000, size - 1):
        proxy.script(fault(after=after))
        with pytest.raises(Unavailable) as caught, store.get("object") as reader:
            list(iter(lambda reader=reader: reader.read(4096), b""))
        assert caught.value.key == "object"
    proxy.script(fault(after=400))
    with pytest.raises(Unavailable):
        store.get("object", range=(100, 600)).read()
    assert load(store, "object") == LARGE[:size]


def test_nothing_is_repeated_behind_our_back(opened, proxy):
    for attempts in (1, 3):
        store = opened(attempts=attempts)
        store.put("object", LARGE, size=len(LARGE))
        before = len(proxy.seen)
        proxy.script(*[Status(503)] * attempts)
        with pytest.raises(Unavailable):
            store.head("object")
        assert len(proxy.seen) - before == attempts
        before = len(proxy.seen)
        proxy.script(Truncate(after=100))
        with pytest.raises(Unavailable):
            store.get("object").read()
        assert len(proxy.seen) - before == 1
        before = len(proxy.seen)
        proxy.script(*[Status(503)] * attempts)
        with pytest.raises(Unavailable):
            store.put("raced", b"x", size=1, if_absent=True)
        assert len(proxy.seen) - before == 1


def test_a_second_attempt_mends(opened, proxy):
    store = opened(attempts=2)
    proxy.script(Status(503), None, Reset(), None, Status(500), None)
    store.put("object", BODY, size=len(BODY))
    assert store.head("object").size == len(BODY)
    assert load(store, "object") == BODY


def test_if_absent(opened, proxy):
    store = opened()
    store.put("object", b"first", size=5, if_absent=True)
    with pytest.raises(AlreadyExists) as caught:
        store.put("object", b"other", size=5, if_absent=True)
    assert caught.value.key == "object"
    with pytest.raises(NotSupported):
        opened(conditional_put="unsafe").put("new", b"x", size=1, if_absent=True)


def test_a_server_that_ignores_ranges_or_answers_another(store, proxy):
    store.put("object", BODY, size=len(BODY))
    proxy.script(Status(200, BODY, (("ETag", '"x"'),)))
    assert store.get("object", range=(5, 9)).read() == BODY[5:10]
    for answered in ("bytes 0-9/256000", "bytes 5-8/256000", "bytes 5-9/*", "items 5-9/256000", "", "bytes 5-9/7"):
        headers = (("Content-Range", answered),) if answered else ()
        proxy.script(Status(206, BODY[:5], headers))
        with pytest.raises(Unavailable):
            store.get("object", range=(5, 9))


@pytest.mark.parametrize(
    "key", ["/leading", "trailing/", "a//b", "dots.", "a/./b", "a\\b", "tab\t", "x" * 300, "\ud800"]
)
def test_what_it_would_change_goes_by_the_store_beside(key):
    beside = MemoryStore("beside")
    store = build(bound(beside=beside))
    try:
        beside.put(key, b"beside", size=6)
    except InvalidArgument:
        with pytest.raises(InvalidArgument):
            store.put(key, b"beside", size=6)
        return
    assert load(store, key) == b"beside"
    assert store.head(key).size == 6
    store.put(key, b"new", size=3)
    assert load(beside, key) == b"new"


def test_what_is_large_goes_by_the_store_beside():
    beside = MemoryStore("beside")
    store = build(bound(beside=beside))
    store.put("large", bytes(WHOLE + 1), size=WHOLE + 1)
    assert beside.head("large").size == WHOLE + 1


def test_a_child_of_a_process_that_has_it_goes_by_the_store_beside(store, monkeypatch):
    child = os.fork()
    if child == 0:
        os._exit(0 if library.inherited() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not library.inherited()
    beside = MemoryStore("beside")
    monkeypatch.setattr(library, "_inherited", True)
    build(bound(beside=beside)).put("object", b"x", size=1)
    assert load(beside, "object") == b"x"


# --- what it talks to


def bound(protocol="s3", *, url="http://127.0.0.1:9", beside=None, settings=None, credentials=None):
    secrets = {"s3": {"access_key": "a", "secret_key": "s"}, "azure": {"account": ACCOUNT, "access_key": KEY}}
    return Binding(
        target="test",
        container="box",
        endpoint=url,
        hosts=frozenset({url.partition("//")[2]}),
        credentials=Credentials(credentials or secrets[protocol]),
        settings={"protocol": protocol, "addressing": "path", "attempts": 1} | (settings or {}),
        beside=MemoryStore("beside") if beside is None else beside,
    )


class Listening(ThreadingHTTPServer):
    """A server that notes what it is asked, and answers always the same."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Noting)
        self.seen = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Noting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def respond(self):
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        passing = {"x-amz-date", "authorization", "date", "x-ms-date"}
        headers = sorted((name.lower(), value) for name, value in self.headers.items() if name.lower() not in passing)
        signed = re.search("SignedHeaders=[^,]*|SharedKey [^:]*", self.headers.get("Authorization", ""))
        self.server.seen.append((self.command, self.path, headers, signed and signed[0]))
        self.send_response_only(200)
        self.send_header("Content-Length", "0")
        self.send_header("Last-Modified", "Wed, 21 Oct 2026 07:28:00 GMT")
        self.send_header("ETag", "0x1")
        self.end_headers()

    do_PUT = do_GET = do_HEAD = do_POST = do_CONNECT = respond  # noqa: N815 - the library's names

    def log_message(self, format, *args):  # noqa: A002 - the library's name
        pass


@pytest.fixture
def listening():
    server = Listening()
    yield server
    server.close()


@pytest.fixture
def elsewhere():
    server = Listening()
    yield server
    server.close()


STUBS = Path(obstore.__file__).parent / "_store"
CLIENT = re.findall(r"^    ([a-z0-9_]+): ", (STUBS / "_client.pyi").read_text(encoding="utf-8"), re.MULTILINE)
PROXIES = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY"]


def variables(protocol):
    """Every variable that the library's own documentation names, and what the options of its client would be called."""
    prefix, stub = {"s3": ("AWS", "_aws.pyi"), "azure": ("AZURE", "_azure.pyi")}[protocol]
    named = re.findall(rf"`({prefix}_[A-Z0-9_]+)`", (STUBS / stub).read_text(encoding="utf-8"))
    return sorted({*named, *(f"{prefix}_{name.upper()}" for name in CLIENT), *PROXIES})


@pytest.mark.parametrize("protocol", ["s3", "azure"])
def test_the_environment_changes_nothing_or_is_refused(listening, elsewhere, monkeypatch, protocol):
    def asked():
        listening.seen.clear()
        with build(bound(protocol, url=listening.url)).get("object") as reader:
            assert reader.info.size == 0
        with pytest.raises((Unavailable, NotFound)):
            build(bound(protocol, url=listening.url)).put("object", b"x", size=1, metadata={"m": "1"})
        return list(listening.seen)

    names = variables(protocol)
    assert len(names) > 40
    usual = asked()
    assert [method for method, *_ in usual] == ["GET", "PUT"]
    for name in names:
        for value in ("true", "garbage", "0", "AES256", elsewhere.url, "/nonexistent"):
            with monkeypatch.context() as context:
                context.setenv(name, value)
                if name in library.READ[protocol]:
                    with pytest.raises(ConfigError, match=f"`{name}`"):
                        asked()
                else:
                    assert asked() == usual, name
    assert library.READ[protocol] <= set(names)
    assert elsewhere.seen == []


def test_reads_are_not_redirected_to_another_host(listening, elsewhere, opened, proxy):
    store = opened()
    store.put("object", BODY, size=len(BODY))
    port = elsewhere.server_port
    for host in ("localhost", "127.0.0.2", "[::1]", "test.invalid"):
        for code in (301, 302, 303, 307, 308):
            for call in ("head", "get", "range", "put"):
                proxy.script(Status(code, b"", (("Location", f"http://{host}:{port}/object"),)))
                with pytest.raises(StoreError):
                    CALLS[call](store)
    assert elsewhere.seen == []


def test_the_endpoint_is_one_of_the_hosts():
    with pytest.raises(PermissionDenied):
        build(replace(bound(), hosts=frozenset({"127.0.0.1:10"})))
    with pytest.raises(PermissionDenied):
        build(bound(url="http://169.254.169.254"))


@pytest.mark.parametrize(
    ("protocol", "wrong"),
    [
        ("s3", {"signature": "s3"}),
        ("s3", {"ambient": True}),
        ("s3", {"ca-bundle": "/x.pem"}),
        ("s3", {"protocol": "gcs"}),
        ("s3", {"attempts": 0}),
        ("azure", {"api-version": "2021-08-06"}),
        ("azure", {"ca-bundle": "/x.pem"}),
        ("azure", {"anonymous": True}),
    ],
)
def test_a_setting_that_is_not_honoured_is_refused(protocol, wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=name):
        build(bound(protocol, settings=wrong))


def test_what_it_needs():
    with pytest.raises(ConfigError, match="fast: true"):
        build(replace(bound(), beside=None))
    with pytest.raises(ConfigError, match="endpoint"):
        build(replace(bound(), endpoint=None))
    with pytest.raises(ConfigError, match="no profile"):
        build(bound(credentials={"profile": "mine"}))


def test_a_session_token_and_nobody_and_a_checksum(listening):
    def sent(**options):
        listening.seen.clear()
        with pytest.raises((Unavailable, NotFound)):
            build(bound(url=listening.url, **options)).put("object", b"x", size=1)
        ((_, _, headers, signed),) = listening.seen
        return dict(headers), signed

    headers, signed = sent(credentials={"access_key": "a", "secret_key": "s", "session_token": "token"})
    assert headers["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in signed
    assert sent(settings={"anonymous": True})[1] is None
    assert "x-amz-checksum-sha256" in sent(settings={"checksums": "when-supported"})[0]
    assert "x-amz-checksum-sha256" not in sent()[0]


def test_virtual_addressing():
    binding = replace(
        bound(url="http://s3.invalid", settings={"addressing": "virtual"}), hosts=frozenset({"s3.invalid"})
    )
    with pytest.raises(Unavailable) as caught:
        build(binding).head("object")
    assert "box.s3.invalid/object" in str(caught.value.__cause__)


@pytest.mark.parametrize("sas", ["?sv=1&sig=very%2Fsecret", "https://127.0.0.1/box?sv=1&sig=very%2Fsecret"])
def test_a_shared_access_signature_is_sent_and_not_told(listening, sas):
    credentials = {"account": ACCOUNT, "sas": sas}
    with pytest.raises(SovbrokerError):
        build(bound("azure", url=listening.url, credentials=credentials)).put("object", b"x", size=1)
    assert "sig=very%2Fsecret" in listening.seen[0][1]
    store = build(bound("azure", credentials=credentials))
    with pytest.raises(Unavailable) as caught:
        store.head("object")
    assert "secret" not in f"{caught.value} {caught.value.__cause__!r} {store!r}"


def test_azure_is_verified_by_size_and_etag():
    with BlobService() as service, ChaosProxy(service.server.host) as proxy:
        service.server.create_container("box")
        plain = service.server.binding("box", settings={"attempts": 1})
        broken = replace(plain, endpoint=proxy.url, hosts=frozenset({proxy.host}))
        store = build(replace(broken, beside=azure.build(plain), settings={**broken.settings, "protocol": "azure"}))
        store.put("object", BODY, size=len(BODY), metadata={"m": "1"})
        assert store.get("object", range=(5, 9)).read() == BODY[5:10]
        assert store.head("object").metadata["m"] == "1"
        proxy.script(Cut(keep=9))
        with pytest.raises(Unavailable, match="holds another object"):
            store.put("object", BODY, size=len(BODY))
        store.put("object", BODY, size=len(BODY))
        proxy.script(Status(201, b"", (("ETag", '"0xOTHER"'),)))
        with pytest.raises(Unavailable, match="holds another object"):
            store.put("object", BODY, size=len(BODY))
        proxy.script(Status(404, said("ContainerNotFound")))
        with pytest.raises(NotFound, match="no bucket `box`"):
            store.put("object", BODY, size=len(BODY))
        store.close()


# --- the configuration


def place(target):
    text = f"sovbroker: 1\ntargets:\n  - {target}\n"
    return place_of(parse_config(text, file=Path("sovbroker.yaml")).targets[0], load_catalogue())


def test_fast_is_said_in_the_configuration(moto, bucket):
    moto.create_bucket(bucket)
    given = f"at: ovhcloud/gra, bucket: {bucket}, endpoint: '{moto.url}', emulated: true, fast: true"
    secrets = "credentials: {access_key: test, secret_key: test-secret}"
    found = place(f"{{{given}, {secrets}}}")
    assert (found.adapter, found.beside) == ("obstore", "s3")
    store = found.open()
    store.put("object", b"x", size=1)
    assert load(store, "object") == b"x"
    upload = store.multipart("joined")
    upload.commit([upload.part(1, BODY)])
    assert load(store, "joined") == BODY
    assert store.presign("object", expires=timedelta(hours=1)).startswith(moto.url)
    with pytest.raises(NotSupported):
        store.retain("object", until=datetime.now(UTC) + timedelta(days=1))
    store.close()


@pytest.mark.parametrize(
    "target", ["{at: local, path: objects, fast: true}", "{at: gcp/europe-west9, bucket: b, fast: true}"]
)
def test_what_cannot_be_fast_says_why(target):
    with pytest.raises(ConfigError, match="fast"):
        place(target)
