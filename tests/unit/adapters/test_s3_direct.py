"""The short way of S3 requests: the same signature and the same place as the SDK's, and connections that are kept."""

import datetime as dt
import pickle
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore import auth as sdk
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.credentials import Credentials as SdkCredentials
from botocore.handlers import BUILTIN_HANDLERS
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from sovbroker.errors import InvalidArgument, NotFound, PermissionDenied, Unavailable
from sovbroker.ports import Binding, Credentials
from sovbroker_adapters.s3 import build
from sovbroker_adapters.s3.signing import Keys, Signer
from sovbroker_adapters.s3.wire import Wire

OK = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 5\r\n\r\nhello'
PUT = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "9dd4e461268c8034f5c8564e155c67a6"\r\n\r\n'
KEYS = Keys("AKIAEXAMPLE", "not-a-secret")
texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).map(str.strip)


class _Config:
    s3 = {"payload_signing_enabled": False}  # noqa: RUF012 - what the SDK reads


@given(
    method=st.sampled_from(["PUT", "GET", "HEAD", "DELETE"]),
    key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    upload=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    headers=st.dictionaries(st.from_regex(r"x-amz-meta-[a-z0-9]{1,9}|range|if-none-match", fullmatch=True), texts),
    token=st.none() | st.from_regex(r"[A-Za-z0-9+/=]{1,40}", fullmatch=True),
    now=st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2040, 1, 1)),  # noqa: DTZ001 - given its zone below
)
def test_a_signature_is_the_sdks_own(method, key, upload, headers, token, now):
    path = "/prefix/bucket/" + quote(key, safe="/~")
    query = "" if upload is None else f"partNumber=7&uploadId={quote(upload, safe='~')}"
    request = AWSRequest(
        method, f"https://s3.example:8443{path}" + (f"?{query}" if query else ""), headers=dict(headers)
    )
    request.context["client_config"] = _Config
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sdk, "get_current_datetime", lambda: now)
        sdk.S3SigV4Auth(SdkCredentials("AKIAEXAMPLE", "not-a-secret", token), "s3", "eu-west-3").add_auth(request)
    made = Signer("eu-west-3").sign(
        method,
        path,
        query,
        headers={"host": "s3.example:8443", **headers},
        keys=Keys("AKIAEXAMPLE", "not-a-secret", token),
        now=now.replace(tzinfo=UTC),
    )
    assert made["authorization"] == request.headers["Authorization"]
    assert {name: request.headers[name] for name in made if name != "authorization"} == {
        name: value for name, value in made.items() if name != "authorization"
    }


def test_a_key_made_of_a_secret_is_made_anew_for_another_day_and_secret():
    def signed(signer, secret, day):
        keys = Keys("AKIAEXAMPLE", secret)
        now = datetime(2026, 1, day, tzinfo=UTC)
        return signer.sign("GET", "/b/k", "", headers={"host": "h"}, keys=keys, now=now)["authorization"]

    kept = Signer("gra")
    for secret, day in [("one", 1), ("one", 2), ("two", 2), ("one", 2), ("one", 1)]:
        assert signed(kept, secret, day) == signed(Signer("gra"), secret, day)


def test_what_holds_secrets_or_sockets_does_not_travel():
    wire = Wire("http://127.0.0.1:9", connect_timeout=1, read_timeout=1, certificates=None, most=1, target="t")
    for thing in (Signer("gra"), wire):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
    assert "not-a-secret" not in repr(KEYS)


def _head(file):
    lines = []
    while (line := file.readline()) != b"\r\n":
        if not line:
            raise ConnectionError("the client has gone")
        lines.append(line)
    return b"".join(lines)


class Scripted:
    """A server that answers each connection's requests with what it was told, then closes it."""

    def __init__(self, *connections, context=None):
        self.connections = list(connections)
        self.heard = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _run(self):
        for answers in self.connections:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                talking = connection if self._context is None else self._context.wrap_socket(connection, True)
                with talking, talking.makefile("rb") as file:
                    for answer in answers:
                        self.heard.append(self._request(file))
                        talking.sendall(answer)

    @staticmethod
    def _request(file):
        head = _head(file)
        length = next((int(row[15:]) for row in head.split(b"\r\n") if row.startswith(b"content-length:")), 0)
        return head + file.read(length)


@contextmanager
def opened(server, *, scheme="http", host="127.0.0.1", **settings):
    place = f"{host}:{server.port}"
    store = build(
        Binding(
            target="somewhere",
            container="bucket",
            endpoint=f"{scheme}://{place}",
            region="gra",
            hosts=frozenset({place}),
            credentials=Credentials({"access_key": "AKIAEXAMPLE", "secret_key": "not-a-secret"}),
            settings={"attempts": 1, "read-timeout": 5} | {name.replace("_", "-"): v for name, v in settings.items()},
        )
    )
    try:
        yield store
    finally:
        store.close()


def read(store, key="key"):
    with store.get(key) as reader:
        return reader.read()


def test_a_connection_is_kept_for_the_next_request():
    head = OK.replace(b"hello", b"")
    with (
        Scripted([OK, PUT, head, b"HTTP/1.1 204 No Content\r\n\r\n", OK]) as server,
        opened(server, versions="leave") as store,
    ):
        assert read(store) == b"hello"
        store.put("key", b"x", size=1)
        assert store.head("key").size == 5
        store.delete("key")
        assert read(store) == b"hello"
    assert [heard.split(b" ", 1)[0] for heard in server.heard] == [b"GET", b"PUT", b"HEAD", b"DELETE", b"GET"]


def test_a_connection_that_the_server_closed_is_not_used_again():
    with Scripted([OK], [OK]) as server, opened(server) as store:
        assert read(store) == b"hello"
        kept = store._connection._opened.get().direct.wire._kept
        assert len(kept) == 1
        kept[0].settimeout(5)
        assert kept[0].recv(1, socket.MSG_PEEK) == b""
        assert read(store) == b"hello"


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"ETag", b"Connection: close\r\nETag"),
        OK.replace(b"1.1", b"1.0"),
    ],
)
def test_a_connection_that_ends_with_the_answer_is_not_kept(answer):
    with Scripted([answer], [OK]) as server, opened(server) as store:
        assert read(store) == b"hello"
        assert store._connection._opened.get().direct.wire._kept == []
        assert read(store) == b"hello"


def test_what_is_not_read_to_its_end_is_not_kept():
    with Scripted([OK], [OK]) as server, opened(server) as store:
        with store.get("key") as reader:
            assert reader.read(2) == b"he"
        assert store._connection._opened.get().direct.wire._kept == []
        assert read(store) == b"hello"


def test_an_answer_that_comes_before_the_body_was_heard():
    """A server may refuse before it has taken everything: its word counts, and the connection is not used again."""

    class Impatient(Scripted):
        @staticmethod
        def _request(file):
            return _head(file)

    denied = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with Impatient([denied], [OK]) as server, opened(server) as store:
        # Unavailable where the reset overtakes the answer.
        with pytest.raises((PermissionDenied, Unavailable)):
            store.put("key", bytes(16 << 20), size=16 << 20)
        assert store._connection._opened.get().direct.wire._kept == []
        assert read(store) == b"hello"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n<html>please log in</html>", Unavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome", Unavailable),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nwelcome\r\n0\r\n\r\n", Unavailable),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n<Error><Code>AccessDenied</Code></Error>",
            PermissionDenied,
        ),
        (b"HTTP/1.1 300 Multiple Choices\r\nContent-Length: 0\r\n\r\n", Exception),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Unavailable),
        (b"SMTP\r\n\r\n", Unavailable),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 40\r\n\r\n<Error><Code>NoSuchBucket</Code></Error>",
            NotFound,
        ),
    ],
)
def test_an_answer_of_somebody_else_removes_nothing(answer, error):
    with Scripted([answer]) as server, opened(server, versions="leave") as store, pytest.raises(error):
        store.delete("key")


@pytest.mark.parametrize("operation", ["head_object", "delete_object", "put_object"])
def test_a_parameter_that_has_no_place_in_the_request_is_not_left_out(operation):
    """A removal of one version that lost the version would hide the object instead: such a request is the SDK's."""
    with Scripted([OK]) as server, opened(server) as store:
        direct = store._connection._opened.get().direct
        assert direct.serves(operation, {"Key": "key", "VersionId": "v"})
        for name in ("IfMatch", "Tagging", "BypassGovernanceRetention"):
            assert not direct.serves(operation, {"Key": "key", name: "x"})


def test_a_version_stands_in_the_request():
    answer = b"HTTP/1.1 204 No Content\r\nx-amz-version-id: a/b\r\nx-amz-delete-marker: true\r\n\r\n"
    with Scripted([answer]) as server, opened(server) as store:
        said = store._connection.ask("delete_object", {"Key": "key", "VersionId": "a/b"}, key="key")
        assert (said["VersionId"], said["DeleteMarker"]) == ("a/b", True)
        assert b"".join(server.heard).startswith(b"DELETE /bucket/key?versionId=a%2Fb HTTP/1.1\r\n")


def test_a_header_cannot_be_smuggled_in():
    with Scripted([OK]) as server:
        wire = Wire(
            f"http://127.0.0.1:{server.port}", connect_timeout=5, read_timeout=5, certificates=None, most=1, target="t"
        )
        for value in ("a\r\nx-amz-acl: public-read", "a\nb", "a\rb"):
            with pytest.raises(InvalidArgument, match="end of line"):
                wire.ask("GET", "/", {"host": wire.host, "x-amz-security-token": value}, (), size=0)
        assert server.heard == []
        with wire:
            _, body = wire.ask("GET", "/", {"host": wire.host}, (), size=0)
            assert body.read(9) == b"hello"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://s3.example:443/b/x", "s3.example"),
        ("https://S3.example:8443", "s3.example:8443"),
        ("http://user@s3.example:80", "s3.example"),
        ("http://[2001:db8::1]:9000", "[2001:db8::1]:9000"),
    ],
)
def test_a_host_is_named_as_the_sdk_names_it(url, host):
    with Wire(url, connect_timeout=1, read_timeout=1, certificates=None, most=1, target="t") as wire:
        assert wire.host == host
    assert sdk._host_from_url(url) == host


def test_where_somebody_takes_the_sdks_requests_they_stay_the_sdks(monkeypatch):
    """As tests of applications do, that fake AWS inside the process: nothing of theirs may go to the network."""
    taken = []

    def instead(request, **_):
        taken.append(request.method)
        return AWSResponse(request.url, 404, {}, type("Raw", (), {"stream": lambda *_, **__: iter(())})())

    monkeypatch.setattr("botocore.handlers.BUILTIN_HANDLERS", [*BUILTIN_HANDLERS, ("before-send", instead)])
    with Scripted([OK]) as server, opened(server) as store:
        with pytest.raises(NotFound):
            store.get("key")
        assert store._connection._opened.get().direct is None
        assert server.heard == []
    assert "GET" in taken


@pytest.fixture
def certificate(tmp_path):
    """A certificate of its own making, for `localhost`: its file, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, secret = tmp_path / "certificate.pem", tmp_path / "key.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    return file, context


def test_only_trusted_certificates_are_spoken_to(certificate, monkeypatch):
    file, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with (
        Scripted([OK, OK], context=context) as server,
        opened(server, scheme="https", host="localhost", ca_bundle=str(file)) as store,
    ):
        assert read(store) == b"hello"
        assert read(store) == b"hello"
    for host, settings in (("localhost", {}), ("127.0.0.1", {"ca_bundle": str(file)})):
        with (
            Scripted([OK], context=context) as server,
            opened(server, scheme="https", host=host, **settings) as store,
            pytest.raises(Unavailable, match="no trusted connection"),
        ):
            store.get("key")
        assert server.heard == []


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("delete_object", {"Key": "k", "IfMatch": "1"}),
        ("get_object", {"Key": "k", "PartSize": 1}),
        ("put_object", {"Key": "k", "Body": b"x", "ContentLength": 1}),
        ("put_object", {"Key": "k", "ContentMD5": "QVLfTr3U84668aEJ/DtuNw=="}),
        ("list_objects_v2", {"Prefix": "k"}),
    ],
)
def test_what_the_direct_way_does_not_know_it_leaves_to_the_sdk(moto, bucket, operation, params):
    moto.create_bucket(bucket)
    store = build(moto.binding(bucket))
    direct = store._connection._opened.get().direct
    assert direct.serves(
        "put_object", {"Key": "k", "Body": b"", "ContentLength": 0, "Metadata": {}, "IfNoneMatch": "*"}
    )
    assert direct.serves("delete_object", {"Key": "k"})
    assert not direct.serves(operation, params)
    store.close()


def test_a_body_that_is_no_stream_arrives_all_the_same(moto, bucket):
    moto.create_bucket(bucket)
    store = build(moto.binding(bucket))
    store._connection.ask("put_object", {"Key": "k", "Body": b"arrives"})
    with store.get("k") as reader:
        assert reader.read() == b"arrives"
    store.close()
