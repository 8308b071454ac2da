"""Where S3 requests go, whatever a service answers, a file says or a bucket is called: to the target's hosts alone."""

import dataclasses
import gc
import http.client
import io
import socket
import threading
import urllib.parse
from datetime import UTC, datetime, timedelta

import pytest
import urllib3
from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session

from sovbroker.errors import ConfigError, PermissionDenied, SovbrokerError
from sovbroker.ports import Binding, Credentials, Part
from sovbroker.testing.chaos import ChaosProxy, Status
from sovbroker_adapters.s3 import build, wire

UNTIL = datetime(2099, 1, 1, tzinfo=UTC)


def raise_any(failures):
    for failure in failures.values():
        raise failure


CALLS = {
    "head": lambda store: store.head("key"),
    "get": lambda store: store.get("key").close(),
    "range": lambda store: store.get("key", range=(0, 1)).close(),
    "put": lambda store: store.put("key", b"the body", size=8),
    "put_if_absent": lambda store: store.put("key", b"the body", size=8, if_absent=True),
    "source": lambda store: store.put("key", io.BytesIO(b"the body"), size=8),
    "delete": lambda store: store.delete("key"),
    "delete_many": lambda store: raise_any(store.delete_many(["key", "other"])),
    "list": lambda store: list(store.list()),
    "copy": lambda store: store.copy("key", "copied"),
    "multipart": lambda store: store.multipart("key"),
    "part": lambda store: store.multipart("key", upload_id="x").part(1, b"part"),
    "parts": lambda store: store.multipart("key", upload_id="x").parts(),
    "commit": lambda store: store.multipart("key", upload_id="x").commit([Part(1, 3, "0" * 32)]),
    "abort": lambda store: store.multipart("key", upload_id="x").abort(),
    "uploads": lambda store: list(store.uploads()),
    "retain": lambda store: store.retain("key", until=UNTIL),
    "inspect": lambda store: store.inspect(),
}
CODES = ("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")


@pytest.fixture
def trap():
    """A port of this machine to which nobody may connect, and those who did."""
    connected = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def accept():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                connected.append(connection)
                connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{port}", connected
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def redirects(trap):
    """Every way in which a service may send somebody elsewhere."""
    headers = (
        ("Location", f"http://{trap}/bucket/key"),
        ("x-amz-bucket-region", "mars-north-1"),
        ("x-amz-id-2", "x"),
        ("Refresh", f"0; url=http://{trap}/"),
    )
    for code in CODES:
        body = (
            f"<Error><Code>{code}</Code><Endpoint>{trap}</Endpoint><Bucket>bucket</Bucket>"
            "<Region>mars-north-1</Region></Error>"
        )
        for status in (301, 302, 307, 308, 400):
            yield Status(status, body.encode(), headers)
    yield from (Status(status, b"", headers) for status in (300, 301, 302, 305, 307, 308, 400, 403))


@pytest.mark.parametrize("call", CALLS)
def test_a_redirect_of_any_kind_is_an_error_and_sends_nothing_elsewhere(opened, proxy, trap, call):
    where, connected = trap
    store = opened(retention="native", attempts=2)
    for answer in redirects(where):
        proxy.always(answer)
        with pytest.raises(SovbrokerError):
            CALLS[call](store)
    assert connected == []


@pytest.mark.parametrize("call", ["head", "get", "put", "delete", "list"])
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_redirect_that_the_sdk_stumbles_over(opened, proxy, trap, call):
    """It makes ready to follow a 303 before it sees that it may not, fails at its own headers, and drops the socket."""
    where, connected = trap
    store = opened(versions="leave")
    proxy.always(Status(303, b"", (("Location", f"http://{where}/"),)))
    with pytest.raises(SovbrokerError):
        CALLS[call](store)
    gc.collect()
    assert connected == []


@pytest.mark.parametrize("call", ["head", "get", "put", "list"])
def test_a_redirect_is_not_tried_again(opened, proxy, trap, call):
    """The SDK would: it asks where the bucket is, and goes there, for this call and for those that follow."""
    store = opened(attempts=3)
    proxy.always(Status(301, b"", (("x-amz-bucket-region", "eu-north-1"),)))
    for number in (1, 2):
        with pytest.raises(SovbrokerError):
            CALLS[call](store)
        assert len(proxy.seen) == number


class Said:
    """A connection on which a redirect has come."""

    def makefile(self, *_):
        head = "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: eu-north-1\r\nContent-Length: 0\r\n"
        return io.BytesIO(f"{head}Location: https://s3.eu-north-1.amazonaws.com/bucket\r\n\r\n".encode())

    def close(self):
        pass


@pytest.fixture
def clouds(monkeypatch):
    """A function that opens a bucket of AWS, of which every request is kept here and answered by a redirect."""
    sent = []

    def send(self, request):
        sent.append(urllib.parse.urlsplit(request.url))
        headers = {"x-amz-bucket-region": "eu-north-1", "Location": "https://s3.eu-north-1.amazonaws.com/bucket"}
        raw = urllib3.HTTPResponse(io.BytesIO(b""), headers=headers, status=301, preload_content=False)
        return AWSResponse(request.url, 301, headers, raw)

    def ask(self, method, target, headers, body, *, size):
        sent.append(urllib.parse.urlsplit(f"https://{self.host}{target}"))
        assert size == len(b"".join(body))
        answer = http.client.HTTPResponse(Said(), method=method)
        answer.begin()
        return answer, wire.Body(self, Said(), answer)

    monkeypatch.setattr(URLLib3Session, "send", send)
    monkeypatch.setattr(wire.Wire, "ask", ask)

    def open_bucket(*, container="bucket", region="eu-west-3", hosts=("s3.eu-west-3.amazonaws.com",), **settings):
        credentials = Credentials({"access_key": "AKIAEXAMPLE", "secret_key": "not-a-secret"})
        return build(
            Binding(
                target="aws",
                container=container,
                region=region,
                hosts=frozenset(hosts),
                credentials=credentials,
                settings={"attempts": 1, "retention": "native", "conditional-put": "native"} | settings,
            )
        )

    return open_bucket, sent


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("addressing", ["path", "virtual"])
def test_a_bucket_in_another_region_is_not_followed_there(clouds, call, addressing):
    """With the provider's own endpoints, where the SDK knows the other region's host by itself."""
    opened, sent = clouds
    store = opened(addressing=addressing)
    for _ in range(2):
        with pytest.raises(SovbrokerError):
            CALLS[call](store)
    expected = {"s3.eu-west-3.amazonaws.com" if addressing == "path" else "bucket.s3.eu-west-3.amazonaws.com"}
    if call == "inspect":
        # Where a bucket is, the SDK asks of the service.
        expected.add("s3.eu-west-3.amazonaws.com")
    assert {url.hostname for url in sent} == expected


CONFIG = """
[default]
s3 =
    use_accelerate_endpoint = true
    use_dualstack_endpoint = true
    addressing_style = virtual
    us_east_1_regional_endpoint = legacy
    use_arn_region = true
use_dualstack_endpoint = true
use_fips_endpoint = true
account_id_endpoint_mode = required
endpoint_url = http://127.0.0.1:1
services = elsewhere
[services elsewhere]
s3 =
    endpoint_url = http://127.0.0.1:1
"""


@pytest.mark.parametrize("region", ["eu-west-3", "us-east-1"])
def test_no_setting_of_the_users_files_leads_elsewhere(clouds, monkeypatch, tmp_path, region):
    (tmp_path / "config").write_text(CONFIG)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT", "AWS_S3_USE_ARN_REGION"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "required")
    monkeypatch.setenv("AWS_ACCOUNT_ID", "123456789012")
    opened, sent = clouds
    host = f"s3.{region}.amazonaws.com"
    with pytest.raises(SovbrokerError):
        opened(region=region, hosts=(host,)).head("key")
    assert [url.hostname for url in sent] == [host]


@pytest.mark.parametrize("container", ["name--euw3-az1--x-s3", "name--xa-s3"])
def test_a_bucket_of_s3_express_has_hosts_of_its_own(clouds, container):
    """They are none of the target's, and no session is asked for there."""
    opened, sent = clouds
    for call in CALLS.values():
        with pytest.raises(SovbrokerError):
            call(opened(container=container, addressing="virtual"))
    assert {url.hostname for url in sent} <= {f"{container}.s3.eu-west-3.amazonaws.com"}


def test_a_bucket_that_is_called_like_one_of_s3_express_works_elsewhere(moto, proxy):
    name = "name--euw3-az1--x-s3"
    moto.create_bucket(name)
    base = moto.binding(name, settings={"attempts": 1})
    store = build(dataclasses.replace(base, endpoint=proxy.url, hosts=frozenset({proxy.host})))
    store.put("key", b"x", size=1)
    assert [info.key for page in store.list() for info in page.objects] == ["key"]
    assert [seen.method for seen in proxy.seen] == ["PUT", "GET"]
    store.close()


@pytest.mark.parametrize(
    "container",
    [
        "arn:aws:s3:eu-north-1:123456789012:accesspoint/elsewhere",
        "arn:aws:s3-object-lambda:eu-north-1:123456789012:accesspoint/elsewhere",
        "arn:aws:s3-outposts:eu-north-1:123456789012:outpost/op-1/accesspoint/elsewhere",
        "bucket/key",
        "../bucket",
        ".",
        "..",
        "-bucket",
        "bucket?x",
        "bucket#x",
        "bucket@elsewhere",
        "buck et",
        "bucket:80",
        "bücket",
        "b" * 256,
    ],
)
def test_what_is_no_name_of_a_bucket_is_refused_at_once(clouds, container):
    opened, sent = clouds
    with pytest.raises(ConfigError, match="is no name of a bucket"):
        opened(container=container)
    assert sent == []


@pytest.mark.parametrize(
    ("container", "host", "path"),
    [
        ("bucket", "bucket.s3.example", "/key"),
        # What cannot be a part of a host, or is covered by no certificate there, stays in the path.
        ("with.dots", "s3.example", "/with.dots/key"),
        ("Upper", "s3.example", "/Upper/key"),
        ("under_score", "s3.example", "/under_score/key"),
        ("ab", "s3.example", "/ab/key"),
        ("192.168.5.4", "s3.example", "/192.168.5.4/key"),
        ("x" * 64, "s3.example", f"/{'x' * 64}/key"),
    ],
)
def test_where_a_bucket_stands_in_the_url(clouds, container, host, path):
    opened, sent = clouds
    for addressing, expected in (("virtual", (host, path)), ("path", ("s3.example", f"/{container}/key"))):
        base = opened(container=container, hosts=("s3.example",), addressing=addressing)._connection._binding
        with pytest.raises(SovbrokerError):
            build(dataclasses.replace(base, endpoint="https://s3.example")).head("key")
        assert (sent[-1].hostname, sent[-1].path) == expected


@pytest.mark.parametrize("addressing", ["path", "virtual"])
def test_a_path_in_front_of_the_bucket_stays_there(clouds, addressing):
    opened, sent = clouds
    base = opened(hosts=("s3.example",), addressing=addressing)._connection._binding
    store = build(dataclasses.replace(base, endpoint="https://s3.example/spaces/42"))
    for call in CALLS.values():
        with pytest.raises(SovbrokerError):
            call(store)
    start = "/spaces/42/bucket" if addressing == "path" else "/spaces/42"
    assert len(sent) > len(CALLS)
    assert all(url.path == start or url.path.startswith(f"{start}/") for url in sent)
    url = urllib.parse.urlsplit(store.presign("key", expires=timedelta(minutes=1)))
    assert url.path == f"{start}/key"


METADATA = ["169.254.169.254", "169.254.170.2", "[fe80::1]", "[fd00:ec2::254]", "metadata.google.internal"]


@pytest.mark.parametrize("host", METADATA)
@pytest.mark.parametrize("call", ["head", "put", "list", "inspect", "retain"])
def test_no_request_goes_to_a_metadata_service_even_when_the_binding_allows_it(clouds, host, call):
    opened, sent = clouds
    base = opened(hosts=(host, host.strip("[]")))._connection._binding
    with pytest.raises(PermissionDenied, match="nothing was sent"):
        CALLS[call](build(dataclasses.replace(base, endpoint=f"http://{host}")))
    assert sent == []


ROLES = """
[default]
role_arn = arn:aws:iam::123456789012:role/any
{}
[profile other]
region = eu-west-3
[sso-session s]
sso_start_url = http://{trap}/start
sso_region = eu-west-3
sso_registration_scopes = sso:account:access
"""
SOURCES = {
    "metadata": "credential_source = Ec2InstanceMetadata",
    "container": "credential_source = EcsContainer",
    "environment": "credential_source = Environment",
    "token": "web_identity_token_file = {folder}/token",
    "sso": "sso_session = s\nsso_account_id = 1\nsso_role_name = r",
}


@pytest.mark.parametrize("source", SOURCES)
def test_the_environments_credentials_are_never_asked_of_a_service(clouds, trap, monkeypatch, tmp_path, source):
    """A role of the shared files may name the metadata service as its source, or lead to one that gives roles."""
    where, connected = trap
    (tmp_path / "token").write_text("token")
    (tmp_path / "config").write_text(ROLES.format(SOURCES[source].format(folder=tmp_path), trap=where))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{where}/")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://{where}/credentials")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://{where}")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/any")
    opened, sent = clouds
    base = opened(ambient=True)._connection._binding
    with pytest.raises(PermissionDenied, match="credentials"):
        build(dataclasses.replace(base, credentials=Credentials())).head("key")
    assert sent == []
    assert connected == []


def test_a_program_that_a_shared_file_names_may_give_them(clouds, monkeypatch, tmp_path):
    given = '{"Version": 1, "AccessKeyId": "AKIAPROGRAM", "SecretAccessKey": "x"}'
    (tmp_path / "config").write_text(f"[default]\ncredential_process = printf '{given}'\n".replace('"', '\\"'))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    opened, _ = clouds
    base = opened(ambient=True)._connection._binding
    client = build(dataclasses.replace(base, credentials=Credentials()))._connection.client()
    assert client._request_signer._credentials.access_key == "AKIAPROGRAM"


def test_the_trap_catches(trap):
    """Or the tests above could not fail."""
    where, connected = trap
    with ChaosProxy(where) as proxy, socket.create_connection(("127.0.0.1", int(proxy.host.partition(":")[2]))) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        raw.recv(1)
    assert len(connected) == 1
