"""Where GCS requests go, what they carry, who signs them, and what a binding must say."""

import base64
import dataclasses
import http.server
import io
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import textwrap
import threading
import urllib.parse
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sovbroker.catalogue import load as load_catalogue
from sovbroker.config import TargetConfig
from sovbroker.errors import ConfigError, InvalidArgument, NotSupported, PermissionDenied, StoreError, Unavailable
from sovbroker.opening import place_of
from sovbroker.ports import Binding, Credentials, Feature, Support
from sovbroker.testing import gcs
from sovbroker.testing.chaos import ChaosProxy, Status
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters.gcs import build

S3NS = "s3nsapis.fr"


@pytest.fixture(scope="module")
def server():
    with gcs.fake_gcs() as server:
        yield server


@pytest.fixture(scope="module")
def pem():
    """A private key that was made just now."""
    plain = serialization.NoEncryption()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


@pytest.fixture
def key_of(pem):
    """A function that makes a service account's key; what it is given replaces what it holds, None removes it."""

    def make(**changes):
        info = {
            "type": "service_account",
            "client_email": "tester@project.iam.gserviceaccount.com",
            "private_key": pem,
            "private_key_id": "1",
            "universe_domain": "googleapis.com",
            "token_uri": "http://127.0.0.1:1/token",
            "trust_boundary": {"locations": ["elsewhere"]},
        } | changes
        return json.dumps({name: value for name, value in info.items() if value is not None})

    return make


@pytest.fixture
def proxy(server):
    with ChaosProxy(server.host) as proxy:
        yield proxy


@pytest.fixture
def wire(server, bucket):
    """A function that opens the test's bucket, and one that tells what was sent."""
    server.create_bucket(bucket)
    with Recorder() as recorder:
        url = recorder.in_front_of("gcs", server.host)
        host = urllib.parse.urlsplit(url).netloc
        stores = []

        def opened(service_account=None, **settings):
            base = server.binding(bucket, service_account=service_account, settings=settings)
            stores.append(build(dataclasses.replace(base, endpoint=url, hosts=frozenset({host}))))
            return stores[-1]

        def sent():
            return b"".join(bytes(tape.data) for tape in recorder.tapes(direction="sent"))

        yield opened, sent
        for store in stores:
            store.close()


def binding(**changes):
    base = Binding(
        target="somewhere",
        container="bucket",
        endpoint="http://127.0.0.1:9",
        hosts=frozenset({"127.0.0.1:9"}),
        settings={"attempts": 1, "anonymous": True},
    )
    return dataclasses.replace(base, **changes)


def keyed(text, **settings):
    return binding(credentials=Credentials({"service_account": text}), settings=settings)


def heads(data):
    """The request lines and headers in what was sent, in lower case."""
    return [head.lower() for head in re.findall(rb"[A-Z]+ /[^\r\n]* HTTP/1\.1\r\n.*?\r\n\r\n", data, re.DOTALL)]


def claims_of(head):
    """What the token in a request's head claims."""
    found = re.search(rb"Authorization: Bearer ([^\r]+)", head)
    payload = found[1].split(b".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))


# The universe.


@pytest.mark.parametrize(
    ("theirs", "ours"), [("googleapis.com", S3NS), (None, S3NS), (S3NS, "googleapis.com"), ("apis-berlin.de", S3NS)]
)
def test_a_key_of_another_universe_is_refused_when_it_is_opened(key_of, theirs, ours):
    text = key_of(universe_domain=theirs)
    with pytest.raises(ConfigError, match=f"`{theirs or 'googleapis.com'}`.*`{ours}`") as caught:
        build(keyed(text, **{"universe-domain": ours}))
    assert isinstance(caught.value.__cause__, ValueError)
    assert str(caught.value).startswith("somewhere: ")


def test_the_variable_of_the_universe_changes_nothing(key_of, monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_UNIVERSE_DOMAIN", S3NS)
    build(keyed(key_of())).close()
    with pytest.raises(ConfigError, match="universe"):
        build(keyed(key_of(universe_domain=S3NS)))


def test_the_endpoint_is_that_of_the_universe(key_of):
    for universe in ("googleapis.com", S3NS):
        host = f"storage.{universe}"
        base = keyed(key_of(universe_domain=universe), **{"universe-domain": universe})
        store = build(dataclasses.replace(base, endpoint=None, hosts=frozenset({host})))
        assert store._connection._owns.get().client.universe_domain == universe
        url = store.presign("a b", expires=timedelta(minutes=1))
        assert url.startswith(f"https://{host}/bucket/a%20b?")
        store.close()
        stray = build(dataclasses.replace(base, endpoint=None, hosts=frozenset({"storage.elsewhere.example"})))
        for call in (lambda: stray.head("key"), lambda: stray.presign("key", expires=timedelta(minutes=1))):  # noqa: B023 - called at once
            with pytest.raises(PermissionDenied, match=f"nothing was sent: `{host}:443`"):
                call()


def test_nobody_may_be_of_any_universe(wire):
    opened, sent = wire
    store = opened(**{"universe-domain": S3NS})
    store.put("key", b"x", size=1)
    assert all(b"authorization" not in head for head in heads(sent()))


# The credentials.


def test_a_service_account_signs_its_own_tokens(wire, key_of):
    opened, sent = wire
    store = opened(key_of())
    store.put("key", b"x", size=1)
    store.head("key")
    tokens = set(re.findall(rb"Authorization: Bearer ([^\r]+)", sent()))
    assert len(tokens) == 1
    claims = claims_of(sent())
    assert claims["iss"] == claims["sub"] == "tester@project.iam.gserviceaccount.com"
    assert claims["scope"] == "https://www.googleapis.com/auth/devstorage.read_write"
    assert claims["exp"] - claims["iat"] <= 3600


def test_a_key_may_stand_in_a_private_file(wire, key_of, tmp_path):
    path = tmp_path / "key.json"
    path.write_text(key_of())
    path.chmod(0o640)
    opened, _ = wire
    with pytest.raises(ConfigError, match="chmod 600"):
        opened(str(path))
    path.chmod(0o600)
    opened(str(path)).put("key", b"x", size=1)
    for missing in (tmp_path / "none.json", tmp_path, "nul\0byte"):
        with pytest.raises(ConfigError, match=r"somewhere: .*(cannot read|others)"):
            build(keyed(str(missing)))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot read"):
        opened(str(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "authorized_user"}, "`authorized_user`"),
        ({"type": "external_account"}, "`external_account`"),
        ({"type": None}, "`None`"),
        ({"client_email": None}, "no `client_email`"),
        ({"private_key": None}, "no `private_key`"),
        ({"private_key": 7}, "no `private_key`"),
        ({"private_key": "-----BEGIN SECRET-----"}, "cannot be read"),
    ],
)
def test_a_key_that_cannot_work_is_refused_at_once(key_of, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(keyed(key_of(**changes)))
    assert "BEGIN" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "{broken: BEGIN PRIVATE}", " {}", '{"type": []}'])
def test_what_is_no_key_is_refused_without_being_shown(text):
    with pytest.raises(ConfigError) as caught:
        build(keyed(text))
    shown = [caught.value, caught.value.__cause__]
    assert all("PRIVATE" not in f"{error} {vars(error) if error else ''}" for error in shown)


@pytest.mark.parametrize("code", [401, 403])
def test_refused_tokens(wire, key_of, proxy, server, bucket, code):
    server.create_bucket(bucket)
    base = server.binding(bucket, service_account=key_of(), settings={"attempts": 1})
    store = build(dataclasses.replace(base, endpoint=proxy.url, hosts=frozenset({proxy.host})))
    proxy.script(Status(code, b'{"error": {"code": 401, "message": "Invalid Credentials"}}'))
    with pytest.raises(PermissionDenied, match="Invalid Credentials") as caught:
        store.head("key")
    assert "Bearer" not in f"{caught.value!r} {caught.value.__cause__!r}"
    store.close()


def test_without_credentials_nothing_is_opened(monkeypatch, tmp_path, key_of):
    path = tmp_path / "ambient.json"
    path.write_text(key_of())
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(ConfigError, match=r"no credentials.*`ambient: true`"):
        build(binding(settings={}))
    build(binding(settings={"ambient": True})).close()
    with pytest.raises(ConfigError, match="universe"):
        build(binding(settings={"ambient": True, "universe-domain": S3NS}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="no credentials"):
        build(binding(settings={"ambient": True}))


def test_no_machine_is_asked_for_ambient_credentials(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(socket, "create_connection", lambda address, *_, **__: asked.append(address))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with pytest.raises(ConfigError, match="no credentials"):
        build(binding(settings={"ambient": True}))
    assert asked == []


@pytest.fixture
def tokens():
    """A token endpoint: its URL, what it was asked, and what it answers, (status, body)."""
    asked = []
    answers = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            status, body, *location = answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for value in location:
                self.send_header("Location", value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listener.server_port}", asked, answers
    listener.shutdown()
    thread.join()
    listener.server_close()


@pytest.fixture
def user(monkeypatch, tmp_path, wire, bucket):
    """A function that opens the bucket with a user's ambient credentials, whose tokens come from an endpoint."""
    info = {"type": "authorized_user", "client_id": "me", "client_secret": "not-a-secret", "refresh_token": "renew"}
    path = tmp_path / "application_default_credentials.json"
    path.write_text(json.dumps(info))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    opened, _ = wire

    def as_user(**settings):
        return opened(anonymous=False, ambient=True, **settings)

    return as_user


def test_a_users_tokens_come_from_the_token_endpoint(user, tokens, wire, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    url, asked, answers = tokens
    answers.append((200, b'{"access_token": "the-token", "expires_in": 3600}'))
    store = user(**{"token-endpoint": f"{url}/token"})
    store.put("key", b"x", size=1)
    store.head("key")
    assert [path for path, _ in asked] == ["/token"]
    assert b"refresh_token=renew" in asked[0][1]
    assert all(b"authorization: bearer the-token" in head for head in heads(wire[1]()))
    assert store.capabilities[Feature.PRESIGN] is Support.ABSENT
    with pytest.raises(NotSupported):
        store.presign("key", expires=timedelta(minutes=1))


def test_a_token_that_is_refused_or_not_to_be_had(user, tokens, wire):
    url, _, answers = tokens
    store = user(attempts=1, **{"token-endpoint": f"{url}/token"})
    answers.append((400, b'{"error": "invalid_grant", "error_description": "Token has been revoked."}'))
    with pytest.raises(PermissionDenied, match="revoked"):
        store.head("key")
    answers.append((302, b"", f"{url}/elsewhere"))
    with pytest.raises(StoreError):
        store.head("key")
    assert wire[1]() == b""


def test_tokens_are_asked_for_nowhere_else(user, tokens, wire):
    url, asked, _ = tokens
    store = user(attempts=1, **{"token-endpoint": f"{url}/token"})
    store._connection._owns.get().identity.credentials._token_uri = f"{url}/other"
    with pytest.raises(PermissionDenied, match="gives no tokens"):
        store.head("key")
    assert asked == []
    for never in ("http://169.254.169.254/token", "http://metadata.google.internal/token"):
        with pytest.raises(PermissionDenied, match="gives no tokens"):
            user(attempts=1, **{"token-endpoint": never}).head("key")
    assert wire[1]() == b""


def test_a_token_endpoint_that_is_down(user, free_port):
    store = user(attempts=1, **{"token-endpoint": f"http://127.0.0.1:{free_port}/token"})
    with pytest.raises(Unavailable, match="no token"):
        store.head("key")


# The hosts.


@pytest.mark.parametrize("hosts", [{"elsewhere.example"}, {"127.0.0.1"}, {"127.0.0.1:1"}, {"localhost"}])
def test_nothing_is_sent_to_another_host(proxy, key_of, hosts):
    base = keyed(key_of(), attempts=1)
    refused = build(dataclasses.replace(base, endpoint=proxy.url, hosts=frozenset(hosts)))
    for call in (
        lambda: refused.put("a", b"x", size=1),
        lambda: refused.put("a", io.BytesIO(b"x"), size=1),
        lambda: refused.get("a"),
        lambda: refused.delete("a"),
        lambda: list(refused.list()),
        lambda: refused.multipart("a"),
        lambda: refused.presign("a", expires=timedelta(minutes=1)),
        lambda: refused._connection._owns.get().client.get_bucket("bucket"),
    ):
        with pytest.raises(PermissionDenied, match="nothing was sent"):
            call()
    assert proxy.seen == ()
    refused.close()


@pytest.mark.parametrize(
    ("url", "hosts", "fine"),
    [
        ("https://storage.example", {"storage.example"}, True),
        ("https://storage.example:443", {"storage.example"}, True),
        ("https://storage.example:8443", {"storage.example"}, False),
        ("https://storage.example:8443", {"storage.example:8443"}, True),
        ("https://STORAGE.EXAMPLE", {"storage.example"}, True),
        ("https://storage.example", {"Storage.Example"}, True),
        ("https://bucket.storage.example", {"storage.example"}, False),
        ("https://storage.example.evil", {"storage.example"}, False),
        ("https://storage.example@evil", {"storage.example"}, False),
        ("https://[2001:db8::1]:9000", {"[2001:db8::1]:9000"}, True),
        ("http://169.254.169.254", {"169.254.169.254"}, False),
        ("http://[fe80::1]", {"fe80::1"}, False),
        ("http://metadata.google.internal", {"metadata.google.internal"}, False),
    ],
)
def test_which_hosts_are_a_targets_own(url, hosts, fine):
    connection = build(binding(hosts=frozenset(hosts)))._connection
    if fine:
        connection.check(f"{url}/bucket/key")
        return
    with pytest.raises(PermissionDenied, match="nothing was sent"):
        connection.check(f"{url}/bucket/key")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(proxy, server, code):
    store = build(binding(endpoint=proxy.url, hosts=frozenset({proxy.host, server.host})))
    for location in (f"{server.url}/elsewhere", "/here", "http://[broken"):
        for call in (store.head, store.get, store.delete, lambda key: store.put(key, b"x", size=1)):
            before = len(proxy.seen)
            proxy.script(Status(code, b"", (("Location", location),)))
            with pytest.raises(StoreError):
                call("key")
            assert len(proxy.seen) == before + 1
    store.close()


HOSTILE = {
    "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1",
    "API_ENDPOINT_OVERRIDE": "http://127.0.0.1:1",
    "GOOGLE_API_USE_CLIENT_CERTIFICATE": "true",
    "GOOGLE_API_USE_MTLS_ENDPOINT": "always",
    "GOOGLE_CLOUD_PROJECT": "somebody-elses",
    "GOOGLE_CLOUD_UNIVERSE_DOMAIN": "elsewhere.example",
    "GOOGLE_SDK_EXPERIMENTAL_PYTHON_REGIONAL_ACCESS_BOUNDARY_LOOKUP_ENABLED": "true",
    "GCE_METADATA_HOST": "127.0.0.1:1",
    "GCE_METADATA_ROOT": "127.0.0.1:1",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
    "https_proxy": "http://127.0.0.1:1",
    "REQUESTS_CA_BUNDLE": "/no/such/bundle",
    "CURL_CA_BUNDLE": "/no/such/bundle",
    "SSLKEYLOGFILE": "/no/such/folder/keys",
}


def test_the_environment_changes_nothing(wire, key_of, monkeypatch, tmp_path):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password elses\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    opened, sent = wire
    for store in (opened(), opened(key_of())):
        store.put("key", b"body", size=4)
        with store.get("key") as reader:
            assert reader.read() == b"body"
    found = heads(sent())
    assert len(found) == 4
    assert [b"authorization: bearer " in head for head in found] == [False, False, True, True]
    for head in found:
        assert b"basic" not in head
        assert b"x-allowed-locations" not in head
        assert b"cookie" not in head


def test_cookies_are_not_kept(proxy, server, bucket, wire):
    store = build(binding(endpoint=proxy.url, hosts=frozenset({proxy.host})))
    proxy.script(Status(200, b'{"name": "key", "size": "1"}', (("Set-Cookie", "a=b"),)))
    store.head("key")
    assert list(store._connection._owns.get().session.cookies) == []
    store.close()


# The wire.


@pytest.mark.parametrize("key", ["a b+c%d/é~'()*!", "//double//", "x?y=1&z#f", "e\u0301/日本", "%2e%2e/x", "trailing/"])
def test_a_key_stands_on_the_wire_as_it_is(wire, bucket, key):
    opened, sent = wire
    store = opened()
    store.put(key, b"x", size=1)
    store.head(key)
    with store.get(key) as reader:
        assert reader.read() == b"x"
    _, head, get = [line.split(b" ", 2)[1].decode() for line in re.findall(rb"[A-Z]+ /[^\r\n]* HTTP/1\.1", sent())]
    assert head.count("/") == 6
    assert urllib.parse.unquote(head.split("?")[0].removeprefix(f"/storage/v1/b/{bucket}/o/")) == key
    assert "?" not in get
    assert urllib.parse.unquote(get.removeprefix(f"/{bucket}/")) == key


@pytest.mark.parametrize(
    "key",
    [".", "..", "a/../b", "a/./b", "../x", "a\nb", "a\rb", "\x00", "a\x7f", "\ufffe", ".well-known/acme-challenge/x"],
)
def test_a_key_that_would_change_on_its_way_is_not_sent(wire, key):
    opened, sent = wire
    store = opened()
    calls = (
        lambda: store.put(key, b"x", size=1),
        lambda: store.get(key),
        lambda: store.head(key),
        lambda: store.delete(key),
        lambda: store.delete_many(["fine", key]),
        lambda: store.copy(key, "x"),
        lambda: store.copy("x", key),
        lambda: store.multipart(key),
        lambda: store.presign(key, expires=None),
    )
    for call in calls:
        with pytest.raises(InvalidArgument):
            call()
    assert sent() == b""


def test_what_a_put_carries(wire, key_of, pem):
    opened, sent = wire
    store = opened(key_of())
    body = os.urandom((3 << 20) - 1) + b"\n"
    for given in (body, memoryview(body), io.BytesIO(body)):
        store.put("key", given, size=len(body), metadata={"sov": "AbC"})
    assert sent().count(body) == 3
    assert sent().count(b'"metadata": {"sov": "AbC"}') == 3
    # Of a source, nobody knows it beforehand.
    assert sent().count(b'"crc32c": ') == 2
    for head in heads(sent()):
        assert head.startswith(b"post /upload/storage/v1/b/")
        assert re.search(rb"\r\ncontent-length: 3146\d{3}\r\n", head)
        for never in (b"expect:", b"transfer-encoding", b"ifgenerationmatch"):
            assert never not in head
    for line in pem.splitlines()[1:-1]:
        assert line.encode() not in sent()


def test_a_range_is_one_request(wire):
    opened, sent = wire
    store = opened()
    store.put("key", b"x" * 1000, size=1000)
    before = len(heads(sent()))
    with store.get("key", range=(10, 109)) as reader:
        assert reader.read() == b"x" * 100
    assert len(heads(sent())) == before + 1
    # What others stored compressed is not to be unpacked on its way.
    assert b"\r\naccept-encoding: gzip\r\n" in heads(sent())[-1]
    assert b"\r\nrange: bytes=10-109\r\n" in heads(sent())[-1]


def test_a_connection_is_used_again(server, bucket):
    server.create_bucket(bucket)
    with Recorder() as recorder:
        url = recorder.in_front_of("gcs", server.host)
        host = urllib.parse.urlsplit(url).netloc
        store = build(dataclasses.replace(server.binding(bucket), endpoint=url, hosts=frozenset({host})))
        for number in range(5):
            store.put("key", bytes(number * 1000), size=number * 1000)
            with store.get("key") as reader:
                assert len(reader.read()) == number * 1000
            with pytest.raises(StoreError):
                store.head("missing")
            store.delete("key")
            list(store.list())
        assert len(recorder.tapes(direction="sent")) == 1
        store.close()


# Links.


def test_a_link_is_signed_without_a_request(wire, key_of, pem):
    opened, sent = wire
    store = opened(key_of())
    url = store.presign("a b", expires=timedelta(seconds=90))
    assert sent() == b""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    assert query["X-Goog-Expires"] == ["90"]
    assert query["X-Goog-Algorithm"] == ["GOOG4-RSA-SHA256"]
    assert query["X-Goog-Credential"][0].startswith("tester@project.iam.gserviceaccount.com/")
    assert query["X-Goog-SignedHeaders"] == ["host"]
    with pytest.raises(InvalidArgument, match="7 days"):
        store.presign("a b", expires=timedelta(days=8))


def test_nobody_signs_no_link(wire):
    opened, _ = wire
    store = opened()
    assert store.capabilities[Feature.PRESIGN] is Support.ABSENT
    with pytest.raises(NotSupported, match="presign"):
        store.presign("key", expires=timedelta(minutes=1))


# Bindings.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"container": ""}, "bucket"),
        ({"container": "a/b"}, "bucket"),
        ({"container": "../x"}, "bucket"),
        ({"hosts": frozenset()}, "hosts"),
        ({"endpoint": "ftp://127.0.0.1:9"}, "https://"),
        ({"settings": {}}, "no credentials"),
        ({"settings": {"universe_domain": "x.y"}}, "`universe_domain`"),
        ({"settings": {"universe-domain": "no domain"}}, "`universe-domain`"),
        ({"settings": {"universe-domain": ""}}, "`universe-domain`"),
        ({"settings": {"universe-domain": 7}}, "`universe-domain`"),
        ({"settings": {"token-endpoint": "oauth2.example"}}, "`token-endpoint`"),
        ({"settings": {"addressing": "virtual"}}, "`addressing`"),
        ({"settings": {"anonymous": "yes"}}, "`anonymous`"),
        ({"settings": {"attempts": 0}}, "`attempts`"),
        ({"settings": {"attempts": True}}, "`attempts`"),
        ({"settings": {"parts_max": "many"}}, "`parts_max`"),
        ({"settings": {"ca-bundle": 7}}, "`ca-bundle`"),
        ({"settings": {"conditional-put": "sometimes"}}, "`sometimes` is none of native"),
        ({"settings": {"ordered-list": "emulated"}}, "`emulated` is none of native"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_once(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(binding(**changes))
    assert str(caught.value).startswith("somewhere: ")


@pytest.mark.parametrize(
    ("at", "universe", "host"),
    [
        ("s3ns/u-france-east1", S3NS, "storage.s3nsapis.fr"),
        ("gcp/europe-west9", "googleapis.com", "storage.googleapis.com"),
    ],
)
def test_the_catalogues_targets_can_be_opened(key_of, server, at, universe, host):
    place = place_of(TargetConfig(at=at, container="bucket"), load_catalogue())
    assert place.adapter == "gcs"
    ours, theirs = (
        dataclasses.replace(place.binding, credentials=Credentials({"service_account": key_of(universe_domain=domain)}))
        for domain in (universe, "elsewhere.example")
    )
    store = build(ours)
    assert store.presign("key", expires=timedelta(minutes=1)).startswith(f"https://{host}/bucket/key?")
    store.close()
    with pytest.raises(ConfigError, match=f"`elsewhere.example`.*`{universe}`"):
        build(theirs)
    emulated = place_of(TargetConfig(at=at, container="emulated", endpoint=server.url, emulated=True), load_catalogue())
    store = build(dataclasses.replace(emulated.binding, credentials=ours.credentials))
    server.create_bucket("emulated")
    store.put("key", b"x", size=1)
    store.close()


def test_capabilities_and_limits_come_from_the_settings(key_of):
    plain = build(keyed(key_of()))
    assert plain.capabilities[Feature.CONDITIONAL_PUT] is Support.NATIVE
    assert plain.capabilities[Feature.MULTIPART] is Support.EMULATED
    assert plain.capabilities[Feature.PRESIGN] is Support.NATIVE
    assert (plain.limits.parts_max, plain.limits.part_min) == (10_000, 1)
    other = build(keyed(key_of(), range="absent", parts_max=1000, multipart="native"))
    assert other.limits.parts_max == 1000
    assert other.capabilities[Feature.MULTIPART] is Support.EMULATED
    with pytest.raises(NotSupported, match="`range` is absent"):
        other.get("key", range=(0, 1))


@pytest.mark.parametrize(
    "feature", [Feature.METADATA, Feature.MULTIPART, Feature.COPY, Feature.DELIMITER, Feature.ORDERED_LIST]
)
def test_an_absent_feature_is_never_asked_for(feature):
    store = build(binding(settings={"anonymous": True, str(feature): "absent"}))
    call = {
        Feature.METADATA: lambda: store.put("key", b"x", size=1, metadata={"a": "b"}),
        Feature.MULTIPART: lambda: store.multipart("key"),
        Feature.COPY: lambda: store.copy("key", "other"),
        Feature.DELIMITER: lambda: store.list(delimiter="/"),
        Feature.ORDERED_LIST: lambda: store.list(start_after="a"),
    }[feature]
    with pytest.raises(NotSupported):
        call()


def test_secrets_are_not_shown_and_do_not_travel(key_of):
    store = build(keyed(key_of()))
    shown = f"{store!r} {store._connection!r} {store._objects!r}"
    assert "PRIVATE" not in shown
    for thing in (store, store._connection):
        with pytest.raises(TypeError):
            pickle.dumps(thing)


def test_a_missing_sdk_names_the_extra():
    code = """
        import sys
        from sovbroker.errors import ConfigError
        from sovbroker.ports import Binding
        sys.modules[sys.argv[1]] = None
        from sovbroker_adapters.gcs import build
        try:
            build(Binding("t", "bucket", hosts=frozenset({"h"}), settings={"anonymous": True}))
        except ConfigError as error:
            print(error)
    """
    for name in ("google.cloud.storage", "google_crc32c", "requests"):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), name], capture_output=True, text=True, check=True, timeout=60
        )
        assert "pip install 'sovbroker[gcs]'" in done.stdout, name


def test_the_sdk_is_not_loaded_before_a_bucket_is_opened():
    code = "import sys, sovbroker_adapters.gcs; print([n for n in sys.modules if n.split('.')[0] in sys.argv[1:]])"
    names = ["google", "requests", "urllib3", "google_crc32c"]
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
