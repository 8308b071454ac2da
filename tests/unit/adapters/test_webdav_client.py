"""Where WebDAV requests go, what they carry, and what a binding must say."""

import base64
import dataclasses
import datetime as dt
import http.server
import io
import os
import pickle
import re
import ssl
import subprocess
import sys
import textwrap
import threading
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sovbroker.errors import ConfigError, InvalidArgument, NotSupported, PermissionDenied, Unavailable
from sovbroker.ports import Binding, Credentials, Feature, Support
from sovbroker.testing.chaos import ChaosProxy, Status
from sovbroker.testing.recorder import Recorder
from sovbroker.testing.webdav import rclone_webdav
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.webdav import build

GIVEN = Credentials({"username": "somebody", "password": "pass é word"})
HELLO = b"hello"


def binding(**changes):
    base = Binding(
        target="somewhere",
        container="folder",
        endpoint="http://127.0.0.1:9/dav",
        hosts=frozenset({"127.0.0.1:9"}),
        credentials=GIVEN,
        settings={"attempts": 1},
    )
    return dataclasses.replace(base, **changes)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with rclone_webdav(tmp_path_factory.mktemp("webdav")) as server:
        yield server


@pytest.fixture
def wire(server, bucket):
    """A store, and what it sends."""
    server.create_folder(bucket)
    with Recorder() as recorder:
        url = recorder.in_front_of("webdav", server.host)
        host = urllib.parse.urlsplit(url).netloc
        stores = []

        def opened(**settings):
            base = server.binding(bucket, settings=settings)
            stores.append(build(dataclasses.replace(base, endpoint=url, hosts=frozenset({host}))))
            return stores[-1]

        def sent():
            return b"".join(bytes(tape.data) for tape in recorder.tapes(direction="sent"))

        yield opened, sent
        for store in stores:
            store.close()


@pytest.fixture
def scripted():
    """A server that only says what a test tells it to, and what it was asked."""
    with Recorder() as recorder, ChaosProxy("127.0.0.1:9") as proxy:
        url = recorder.in_front_of("webdav", proxy.host)

        def asked(credentials=GIVEN, **settings):
            host = urllib.parse.urlsplit(url).netloc
            made = binding(
                endpoint=url, hosts=frozenset({host}), credentials=credentials, settings={"attempts": 1} | settings
            )
            store = build(made)
            store.get("object").close()
            store.get("object").close()
            store.close()
            return b"".join(bytes(tape.data) for tape in recorder.tapes(direction="sent"))

        proxy.always(Status(200, HELLO, (("Set-Cookie", "session=tracked; Path=/"),)))
        yield asked


def heads(data):
    """The request lines and headers in what was sent."""
    return re.findall(rb"[A-Z]+ /[^\r\n]* HTTP/1\.1\r\n.*?\r\n\r\n", data, re.DOTALL)


def test_what_a_put_carries(wire):
    opened, sent = wire
    body = os.urandom((3 << 20) - 1) + b"\n"
    store = opened()
    for given in (body, memoryview(body), io.BytesIO(body)):
        store.put("a b/key", given, size=len(body))
    assert sent().count(body) == 3
    found = heads(sent())
    puts = [head for head in found if head.startswith(b"PUT")]
    assert len(puts) == 3
    for head in puts:
        assert b"\r\nContent-Length: 3145728\r\n" in head
        assert b"chunked" not in head.lower()
    moves = [head for head in found if head.startswith(b"MOVE")]
    assert len(moves) == 3
    for head in moves:
        assert re.search(rb"\r\nDestination: http://127\.0\.0\.1:\d+/[^/]+/a=20b=/key\r\n", head)
        assert b"\r\nOverwrite: T\r\n" in head
    for head in found:
        assert b"\r\nAccept-Encoding: identity\r\n" in head
        assert b"Cookie" not in head
    # Three for each, and once for the store: two collections are made, and what was abandoned is looked for.
    assert [head.split(b" ", 1)[0] for head in found].count(b"MKCOL") == 2
    assert len(found) == 3 * 3 + 2 + 1


def test_a_small_put_takes_three_requests_and_a_get_one(wire):
    opened, sent = wire
    store = opened()
    store.put("d/one", b"x", size=1)
    before = len(heads(sent()))
    store.put("d/two", b"x", size=1)
    assert len(heads(sent())) == before + 3
    with store.get("d/two") as reader:
        reader.read()
    assert len(heads(sent())) == before + 4


def test_connections_are_used_again(server, bucket):
    server.create_folder(bucket)
    with Recorder() as recorder:
        url = recorder.in_front_of("webdav", server.host)
        host = urllib.parse.urlsplit(url).netloc
        store = build(dataclasses.replace(server.binding(bucket), endpoint=url, hosts=frozenset({host})))
        for number in range(5):
            store.put(f"d/{number}", b"x", size=1)
            with store.get(f"d/{number}") as reader:
                assert reader.read() == b"x"
            store.delete(f"d/{number}")
            assert list(store.list("nothing/")) == []
        assert len(recorder.tapes(direction="sent")) == 1
        store.close()


def test_a_wrong_length_is_found_out_before_anything_is_sent(wire):
    opened, sent = wire
    store = opened(put_max=10)
    for body, size in ((b"ab", 3), (b"ab", 1), (b"x" * 11, 11), (b"", -1)):
        with pytest.raises(InvalidArgument):
            store.put("object", body, size=size)
    with pytest.raises(NotSupported):
        store.put("object", b"x", size=1, metadata={"a": "b"})
    with pytest.raises(NotSupported):
        store.put("object", b"x", size=1, if_absent=True)
    assert sent() == b""


def test_basic_credentials_are_sent_and_cookies_are_not(scripted):
    sent = scripted()
    expected = base64.b64encode("somebody:pass é word".encode())
    assert sent.count(b"Authorization: Basic " + expected + b"\r\n") == 2
    assert b"tracked" not in sent


@pytest.mark.parametrize("trash", ["keep", "skip"])
def test_what_is_removed_passes_by_the_trash_where_the_settings_say_so(wire, trash):
    opened, sent = wire
    store = opened(trash=trash)
    store.put("a", b"x", size=1)
    store.get("a").close()
    store.delete("a")
    *others, removal = heads(sent())
    assert removal.startswith(b"DELETE ")
    assert (b"X-NC-Skip-Trashbin: true" in removal) == (trash == "skip")
    assert all(b"Trashbin" not in other for other in others)


def test_a_token_is_sent_as_bearer(scripted):
    sent = scripted(Credentials({"token": "tok-123"}))
    assert sent.count(b"Authorization: Bearer tok-123\r\n") == 2
    assert b"Basic" not in sent


def test_nothing_of_the_environment_is_sent(scripted, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ambient password leaked\n")
    (tmp_path / ".netrc").chmod(0o600)
    for name, value in {
        "HOME": str(tmp_path),
        "NETRC": str(tmp_path / ".netrc"),
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
        "ALL_PROXY": "http://127.0.0.1:1",
        "SSL_CERT_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    assert b"Authorization" not in scripted(Credentials({}), anonymous=True)


@pytest.mark.parametrize(
    ("hosts", "endpoint"),
    [
        ({"other.example"}, "http://127.0.0.1:9/dav"),
        ({"127.0.0.1"}, "http://127.0.0.1:9/dav"),
        ({"127.0.0.1:10"}, "http://127.0.0.1:9/dav"),
        ({"169.254.169.254"}, "https://169.254.169.254/dav"),
        ({"[fe80::1]"}, "https://[fe80::1]/dav"),
        ({"metadata.google.internal"}, "https://metadata.google.internal/dav"),
    ],
)
def test_a_host_that_is_not_allowed_hears_nothing(hosts, endpoint):
    store = build(binding(hosts=frozenset(hosts), endpoint=endpoint))
    calls = (
        lambda: store.head("a"),
        lambda: store.get("a"),
        lambda: store.put("a", b"x", size=1),
        lambda: store.delete("a"),
        lambda: list(store.list()),
        lambda: store.copy("a", "b"),
    )
    for call in calls:
        with pytest.raises(PermissionDenied, match="nothing was sent"):
            call()


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        ({"dav.example"}, "https://DAV.example/x"),
        ({"DAV.example"}, "https://dav.example:443/x"),
        ({"dav.example:8443"}, "https://dav.example:8443/x"),
        ({"[2001:db8::1]:80"}, "http://[2001:db8::1]/x"),
        ({"2001:db8::1"}, "http://[2001:db8::1]/x"),
    ],
)
def test_a_host_is_allowed_by_its_name_and_port(hosts, url):
    check_host(url, hosts=hosts, target="t")


WRONG = {
    "no container": {"container": ""},
    "slashes": {"container": "//"},
    "a part that is empty": {"container": "a//b"},
    "dots": {"container": "../up"},
    "no endpoint": {"endpoint": None},
    "another scheme": {"endpoint": "ftp://127.0.0.1/"},
    "no host": {"endpoint": "https:///dav"},
    "bad port": {"endpoint": "https://dav.example:port/"},
    "credentials within": {"endpoint": "https://a:b@dav.example/"},
    "query": {"endpoint": "https://dav.example/?x"},
    "dots within": {"endpoint": "https://dav.example/%2e%2e/x"},
    "in the clear": {"endpoint": "http://dav.example/"},
    "no hosts": {"hosts": frozenset()},
    "no credentials": {"credentials": Credentials({})},
    "half of them": {"credentials": Credentials({"username": "a"})},
    "a colon": {"credentials": Credentials({"username": "a:b", "password": "c"})},
    "a line": {"credentials": Credentials({"username": "a", "password": "c\r\nX: y"})},
    "a token with a line": {"credentials": Credentials({"token": "a\r\nX: y"})},
    "a word": {"settings": {"letters": "some"}},
    "a setting": {"settings": {"colour": "red"}},
    "a switch": {"settings": {"anonymous": "yes"}},
    "a number": {"settings": {"attempts": 0}},
    "a truth": {"settings": {"attempts": True}},
    "a feature": {"settings": {"metadata": "native"}},
    "a support": {"settings": {"conditional-put": "emulated"}},
    "digests of no kind": {"settings": {"etags": "digest", "digests": "none"}},
    "no path": {"settings": {"ca-bundle": ""}},
    "no such file": {"settings": {"ca-bundle": "/nowhere/at/all.pem"}},
    "no certificates": {"settings": {"ca-bundle": __file__}},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_a_binding_that_cannot_work_is_refused(changes):
    with pytest.raises(ConfigError) as caught:
        build(binding(**changes))
    assert "pass é word" not in str(caught.value)


def test_what_settings_change():
    store = build(binding(settings={"conditional-put": "native", "range": "absent", "key_max": 100, "put_max": 5}))
    assert store.capabilities[Feature.CONDITIONAL_PUT] is Support.NATIVE
    assert store.capabilities[Feature.RANGE] is Support.ABSENT
    assert (store.limits.key_max, store.limits.put_max, store.limits.metadata_max) == (100, 5, 0)
    plain = build(binding())
    assert plain.capabilities[Feature.CONDITIONAL_PUT] is Support.ABSENT
    assert plain.target == "somewhere"
    build(binding(endpoint="http://dav.example/", settings={"cleartext": True}))


def test_secrets_are_neither_shown_nor_pickled():
    store = build(binding())
    assert "pass é word" not in repr(store) + repr(vars(type(store)))
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(store)


def test_the_sdk_is_loaded_by_build_and_named_when_it_is_missing():
    code = """
        import sys
        sys.modules["httpx"] = None
        from sovbroker.errors import ConfigError
        from sovbroker.ports import Binding, Credentials
        from sovbroker_adapters.webdav import build
        given = Credentials({"username": "a", "password": "b"})
        try:
            build(Binding("t", "box", "https://dav.example/", None, frozenset({"dav.example"}), given))
        except ConfigError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert "pip install 'sovbroker[webdav]'" in done.stdout, done.stderr


@pytest.fixture
def tls(tmp_path):
    """A server with a certificate of its own making: its port, and the file of the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(HELLO)))
            self.end_headers()
            self.wfile.write(HELLO)

        def log_message(self, *_):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], certificate
        server.shutdown()
        thread.join()


def test_only_trusted_certificates_are_spoken_to(tls, monkeypatch):
    port, certificate = tls
    # The environment's word does not count.
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    def opened(host, **settings):
        return build(
            binding(
                endpoint=f"https://{host}:{port}/",
                hosts=frozenset({f"{host}:{port}"}),
                settings={"attempts": 1, "connect-timeout": 5} | settings,
            )
        )

    trusting = opened("localhost", **{"ca-bundle": str(certificate)})
    with trusting.get("object") as reader:
        assert reader.read() == HELLO
    trusting.close()
    # Neither an unknown certificate, nor a known one of another name.
    for store in (opened("localhost"), opened("127.0.0.1", **{"ca-bundle": str(certificate)})):
        with pytest.raises(Unavailable, match="certificate"):
            store.get("object")
        store.close()
