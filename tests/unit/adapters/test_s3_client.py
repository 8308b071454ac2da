"""Where S3 requests go, what they carry, and what a binding must say."""

import dataclasses
import http.client
import io
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import urllib.parse
import warnings
from datetime import timedelta

import pytest

from sovbroker.errors import ConfigError, InvalidArgument, NotSupported, PermissionDenied, Unavailable
from sovbroker.ports import Binding, Credentials, Feature, Support
from sovbroker.testing.chaos import Status
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters import processes
from sovbroker_adapters.s3 import build
from sovbroker_adapters.s3.bodies import crc32

GIVEN = Credentials({"access_key": "AKIAEXAMPLE", "secret_key": "not-a-secret"})


def binding(**changes):
    base = Binding(
        target="somewhere",
        container="bucket",
        endpoint="http://127.0.0.1:9",
        region="eu-west-3",
        hosts=frozenset({"127.0.0.1:9"}),
        credentials=GIVEN,
        settings={"attempts": 1},
    )
    return dataclasses.replace(base, **changes)


@pytest.fixture
def wire(moto, bucket):
    """A store, and what it sends."""
    moto.create_bucket(bucket)
    with Recorder() as recorder:
        url = recorder.in_front_of("s3", moto.host)
        host = urllib.parse.urlsplit(url).netloc
        stores = []

        def opened(**settings):
            base = moto.binding(bucket, settings=settings)
            stores.append(build(dataclasses.replace(base, endpoint=url, hosts=frozenset({host}))))
            return stores[-1]

        def sent():
            return b"".join(bytes(tape.data) for tape in recorder.tapes(direction="sent"))

        yield opened, sent
        for store in stores:
            store.close()


def heads(data):
    """The request lines and headers in what was sent, in lower case."""
    return [head.lower() for head in re.findall(rb"[A-Z]+ /[^\r\n]* HTTP/1\.1\r\n.*?\r\n\r\n", data, re.DOTALL)]


@pytest.mark.parametrize("key", ["a b+c%d/é~'()*!", "//double//", "x?y=1&z#f", "e\u0301/日本"])
def test_a_key_stands_on_the_wire_as_it_is(wire, bucket, key):
    opened, sent = wire
    opened().put(key, b"x", size=1)
    line = sent().split(b" ", 2)[1].decode()
    assert line.startswith(f"/{bucket}/")
    assert "?" not in line
    assert urllib.parse.unquote(line.removeprefix(f"/{bucket}/")) == key


@pytest.mark.parametrize(
    "key", [".", "..", "a/../b", "a/./b", "../x", "x/..", "a\nb", "a\rb", "\x00", "a\x7f", "\ufffe"]
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


def test_what_a_put_carries(wire):
    opened, sent = wire
    store = opened()
    body = os.urandom((3 << 20) - 1) + b"\n"
    for given in (body, memoryview(body), io.BytesIO(body)):
        store.put("key", given, size=len(body), metadata={"sov": "AbC"})
    assert sent().count(body) == 3
    for head in heads(sent()):
        assert head.startswith(b"put /")
        assert b"\r\ncontent-length: 3145728" in head
        assert b"\r\nx-amz-meta-sov: abc" in head
        assert b"\r\nx-amz-content-sha256: unsigned-payload" in head
        for never in (b"expect:", b"x-amz-checksum", b"x-amz-sdk-checksum", b"transfer-encoding", b"aws-chunked"):
            assert never not in head
        assert b"not-a-secret" not in head
        assert b"test-secret" not in head


def test_what_uploads_carry_with_checksums(wire):
    opened, sent = wire
    store = opened(checksums="when-supported")
    store.put("key", memoryview(b"xx")[1:], size=1)
    store.put("key", io.BytesIO(b"x"), size=1)
    upload = store.multipart("key")
    upload.commit([upload.part(1, b"x")])
    bare, streamed, begun, part, joined, _ = heads(sent())
    assert f"\r\nx-amz-checksum-crc32: {crc32(b'x').lower()}\r\n".encode() in bare
    assert b"\r\ncontent-length: 1\r\n" in bare
    # A part that has a checksum must be named with it when the parts are joined: receipts have no place for it.
    for head in (streamed, begun, part, joined):
        assert b"x-amz-checksum" not in head
    for head in (bare, streamed, begun, part, joined):
        assert b"expect:" not in head
        assert b"sdk-checksum" not in head
        assert b"aws-chunked" not in head


def test_bulk_deletion_carries_the_checksum_that_every_service_knows(wire):
    for checksums in ("when-required", "when-supported"):
        opened, sent = wire
        opened(checksums=checksums).delete_many(["a", "b"])
        head = heads(sent())[-1]
        assert b"\r\ncontent-md5: " in head
        assert b"x-amz-checksum" not in head
        assert b"x-amz-sdk-checksum" not in head


def test_signatures(wire):
    opened, sent = wire
    opened().put("key", b"x", size=1)
    assert b"\r\nauthorization: aws4-hmac-sha256 " in heads(sent())[-1]
    opened(signature="s3").put("key", b"x", size=1)
    assert b"\r\nauthorization: aws test:" in heads(sent())[-1]
    # The bucket is signed with a slash at the end, so it is asked for with one.
    list(opened(signature="s3", addressing="path").list())
    assert re.match(rb"get /[^/]+/\?", heads(sent())[-1])
    anonymous = opened(anonymous=True)
    with pytest.raises(PermissionDenied):
        anonymous.put("key", b"x", size=1)
    assert b"authorization" not in heads(sent())[-1]
    with pytest.raises(NotSupported):
        anonymous.presign("key", expires=None)


def test_a_range_is_one_request(wire):
    opened, sent = wire
    store = opened()
    store.put("key", b"x" * 1000, size=1000)
    before = len(heads(sent()))
    with store.get("key", range=(10, 109)) as reader:
        assert reader.read() == b"x" * 100
    assert len(heads(sent())) == before + 1


@pytest.mark.parametrize("hosts", [{"elsewhere.example"}, {"127.0.0.1"}, {"127.0.0.1:1"}, {"localhost"}])
def test_nothing_is_sent_to_another_host(store, opened, proxy, hosts):
    base = binding(endpoint=proxy.url, hosts=frozenset(hosts))
    refused = build(base)
    for call in (
        lambda: refused.put("a", b"x", size=1),
        lambda: refused.get("a"),
        lambda: refused.delete("a"),
        lambda: list(refused.list()),
        lambda: refused.multipart("a"),
        lambda: refused.presign("a", expires=timedelta(60)),
    ):
        with pytest.raises((PermissionDenied, InvalidArgument)):
            call()
    assert proxy.seen == ()
    refused.close()


@pytest.mark.parametrize(
    ("endpoint", "addressing", "hosts", "fine"),
    [
        ("https://s3.example", "path", {"s3.example"}, True),
        ("https://s3.example:443", "path", {"s3.example"}, True),
        ("https://s3.example:8443", "path", {"s3.example"}, False),
        ("https://s3.example:8443", "path", {"s3.example:8443"}, True),
        ("https://S3.EXAMPLE", "path", {"s3.example"}, True),
        ("https://s3.example", "path", {"S3.Example"}, True),
        ("https://bucket.s3.example", "path", {"s3.example"}, False),
        ("https://bucket.s3.example", "virtual", {"s3.example"}, True),
        ("https://other.s3.example", "virtual", {"s3.example"}, False),
        ("https://s3.example.evil", "virtual", {"s3.example"}, False),
        ("https://evils3.example", "path", {"s3.example"}, False),
        ("https://s3.example@evil", "path", {"s3.example"}, False),
        ("https://[2001:db8::1]", "path", {"2001:db8::1"}, True),
        ("https://[2001:db8::1]:9000", "path", {"[2001:db8::1]:9000"}, True),
        ("http://169.254.169.254", "path", {"169.254.169.254"}, False),
        ("http://169.254.170.2", "path", {"169.254.170.2"}, False),
        ("http://[fe80::1]", "path", {"fe80::1"}, False),
        ("http://[fd00:ec2::254]", "path", {"fd00:ec2::254"}, False),
        ("http://metadata.google.internal", "path", {"metadata.google.internal"}, False),
    ],
)
def test_which_hosts_are_a_targets_own(endpoint, addressing, hosts, fine):
    store = build(binding(hosts=frozenset(hosts), settings={"addressing": addressing}))
    connection = store._connection
    if fine:
        connection.check_host(f"{endpoint}/bucket/key")
        return
    with pytest.raises(PermissionDenied, match="nothing was sent"):
        connection.check_host(f"{endpoint}/bucket/key")


def test_the_clouds_own_endpoint_is_checked_too(monkeypatch):
    """Without an endpoint the SDK chooses the host: it must be one of the target's."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    store = build(binding(endpoint=None, hosts=frozenset({"s3.eu-central-1.amazonaws.com"})))
    with pytest.raises(PermissionDenied, match=r"`s3\.eu-west-3\.amazonaws\.com:443`"):
        store.head("key")


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirects_are_not_followed(opened, proxy, moto, code):
    store = opened(versions="leave")
    elsewhere = (("Location", f"{moto.url}/elsewhere"), ("x-amz-bucket-region", "eu-north-1"))
    for body in (b"", b"<Error><Code>PermanentRedirect</Code><Endpoint>127.0.0.1:1</Endpoint></Error>"):
        for call in (store.head, store.get, store.delete):
            before = len(proxy.seen)
            proxy.script(Status(code, body, elsewhere))
            with pytest.raises(Exception, match="test:"):
                call("key")
            assert len(proxy.seen) == before + 1


HOSTILE = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
    "https_proxy": "http://127.0.0.1:1",
    "AWS_CA_BUNDLE": "/no/such/bundle",
    "REQUESTS_CA_BUNDLE": "/no/such/bundle",
    "AWS_PROFILE": "no-such-profile",
    "AWS_DEFAULT_PROFILE": "no-such-profile",
    "AWS_REGION": "mars-north-1",
    "AWS_DEFAULT_REGION": "mars-north-1",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
    "AWS_MAX_ATTEMPTS": "7",
    "AWS_RETRY_MODE": "nonsense",
    "AWS_DEFAULTS_MODE": "nonsense",
    "AWS_ACCESS_KEY_ID": "AKIASOMEBODYELSE",
    "AWS_SECRET_ACCESS_KEY": "somebody-elses",
    "AWS_SESSION_TOKEN": "somebody-elses",
}


def test_the_environment_changes_nothing(wire, monkeypatch, tmp_path):
    broken = tmp_path / "config"
    broken.write_text("[default]\nendpoint_url = http://127.0.0.1:1\nregion = mars-north-1\n[broken")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(broken))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(broken))
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    opened, sent = wire
    store = opened()
    store.put("key", b"body", size=4)
    with store.get("key") as reader:
        assert reader.read() == b"body"
    for head in heads(sent()):
        assert b"credential=test/" in head
        assert b"/us-east-1/s3/aws4_request" in head
        assert b"x-amz-checksum" not in head
        assert b"somebody" not in head
        assert b"x-amz-security-token" not in head


def test_the_environments_credentials_are_used_on_request_only(wire, moto, bucket, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFROMOUTSIDE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from-outside")
    with pytest.raises(ConfigError, match=r"no credentials.*`ambient: true`"):
        build(binding(credentials=Credentials()))
    opened, sent = wire
    moto_binding = opened()._connection._binding
    ambient = build(dataclasses.replace(moto_binding, credentials=Credentials(), settings={"ambient": True}))
    ambient.put("key", b"x", size=1)
    assert b"credential=akiafromoutside/" in heads(sent())[-1]
    ambient.close()


def test_without_ambient_credentials_nothing_is_asked_for_them(monkeypatch, tmp_path):
    for name in HOSTILE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    asked = []
    monkeypatch.setattr(http.client.HTTPConnection, "connect", lambda self: asked.append(self.host))
    monkeypatch.setattr(socket, "create_connection", lambda address, **_: asked.append(address))
    store = build(binding(credentials=Credentials(), settings={"ambient": True, "attempts": 1}))
    with pytest.raises(PermissionDenied, match="credentials"):
        store.head("key")
    assert asked == []


def test_a_profile_of_the_shared_files(wire, monkeypatch, tmp_path):
    shared = tmp_path / "credentials"
    shared.write_text(
        "[acme]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = of-a-profile\n"
        "[role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = acme\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    opened, sent = wire
    base = opened()._connection._binding
    store = build(dataclasses.replace(base, credentials=Credentials({"profile": "acme"})))
    store.put("key", b"x", size=1)
    assert b"credential=akiaprofile/" in heads(sent())[-1]
    store.close()
    for name in ("role", "missing"):
        lacking = build(dataclasses.replace(base, credentials=Credentials({"profile": name})))
        with pytest.raises(ConfigError, match=f"profile `{name}`"):
            lacking.head("key")


def test_a_session_token_is_sent(wire):
    opened, sent = wire
    base = opened()._connection._binding
    given = Credentials({"access_key": "AKIASTS", "secret_key": "x", "session_token": "the-token"})
    store = build(dataclasses.replace(base, credentials=given))
    store.put("key", b"x", size=1)
    assert b"\r\nx-amz-security-token: the-token" in heads(sent())[-1]
    store.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"container": ""}, "bucket"),
        ({"hosts": frozenset()}, "hosts"),
        ({"endpoint": None, "region": None}, "endpoint or a region"),
        ({"endpoint": "ftp://127.0.0.1:9"}, "https://"),
        ({"credentials": Credentials()}, "no credentials"),
        ({"credentials": Credentials({"access_key": "x"})}, "no credentials"),
        ({"settings": {"adressing": "path"}}, "`adressing`"),
        ({"settings": {"addressing": "sideways"}}, "`sideways` is none of path, virtual"),
        ({"settings": {"anonymous": "yes"}}, "`anonymous`"),
        ({"settings": {"attempts": 0}}, "`attempts`"),
        ({"settings": {"attempts": True}}, "`attempts`"),
        ({"settings": {"parts_max": "many"}}, "`parts_max`"),
        ({"settings": {"ca-bundle": 7}}, "`ca-bundle`"),
        ({"settings": {"conditional-put": "sometimes"}}, "`sometimes` is none of native"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_once(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(binding(**changes))
    assert str(caught.value).startswith("somewhere: ")
    assert "not-a-secret" not in str(caught.value)


def test_capabilities_and_limits_come_from_the_settings():
    plain = build(binding())
    assert plain.capabilities[Feature.CONDITIONAL_PUT] is Support.ABSENT
    assert plain.capabilities[Feature.MULTIPART] is Support.NATIVE
    assert plain.limits.parts_max == 10_000
    other = build(binding(settings={"conditional-put": "native", "range": "absent", "parts_max": 1000}))
    assert other.capabilities[Feature.CONDITIONAL_PUT] is Support.NATIVE
    assert other.limits.parts_max == 1000
    with pytest.raises(NotSupported, match="`range` is absent"):
        other.get("key", range=(0, 1))


def test_a_part_of_a_key_that_is_too_long_is_refused_where_the_service_keeps_files(wire):
    opened, sent = wire
    store = opened(segment_max=255)
    store.put("é" * 127 + "b/" + "a" * 255, b"x", size=1)
    asked = len(sent())
    for key in ("a" * 256, "a/" + "é" * 128 + "/b"):
        with pytest.raises(InvalidArgument, match=r"is 256 bytes long; .* at most 255 bytes between slashes"):
            store.put(key, b"x", size=1)
    assert len(sent()) == asked


@pytest.mark.parametrize("feature", [Feature.METADATA, Feature.MULTIPART, Feature.COPY, Feature.DELIMITER])
def test_an_absent_feature_is_never_asked_for(opened, proxy, feature):
    store = opened(**{str(feature): "absent"})
    call = {
        Feature.METADATA: lambda: store.put("key", b"x", size=1, metadata={"a": "b"}),
        Feature.MULTIPART: lambda: store.multipart("key"),
        Feature.COPY: lambda: store.copy("key", "other"),
        Feature.DELIMITER: lambda: store.list(delimiter="/"),
    }[feature]
    with pytest.raises(NotSupported):
        call()
    assert proxy.seen == ()


def test_a_store_that_keeps_files(opened, proxy):
    store = opened(keys="files")
    for key in ("/a", "a/", "a//b", "x" * 256, "a/" + "é" * 128):
        with pytest.raises(InvalidArgument, match="files"):
            store.put(key, b"x", size=1)
    with pytest.raises(NotSupported):
        store.list(delimiter="-")
    assert proxy.seen == ()


def test_secrets_are_not_shown_and_do_not_travel():
    store = build(binding())
    store._connection.client()
    for shown in (repr(store), repr(store._connection), str(store._settings)):
        assert "not-a-secret" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(store)
    with pytest.raises(TypeError):
        pickle.dumps(store._connection)


def test_no_secret_in_a_traceback_of_ours():
    store = build(binding())
    with pytest.raises(Unavailable) as caught:
        store.head("key")
    assert caught.value.__cause__ is not None
    assert "not-a-secret" not in repr(caught.value) + repr(caught.value.__cause__)


def test_one_client_for_all_threads(wire):
    opened, _ = wire
    store = opened()
    clients = []
    threads = [threading.Thread(target=lambda: clients.append(store._connection.client())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(client) for client in clients}) == 1
    store.close()
    store.put("key", b"x", size=1)


def test_a_child_makes_a_client_of_its_own(wire):
    opened, _ = wire
    store = opened()
    mine = store._connection.client()
    with warnings.catch_warnings():
        # Newer versions of Python warn of what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(0 if store._connection.client() is not mine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store._connection.client() is mine


def test_a_child_of_a_busy_thread_does_not_wait_for_it(wire):
    opened, _ = wire
    store = opened()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with processes._making:
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                store._connection.client()
                os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_sdk_is_loaded_by_the_first_build_only():
    script = """
    import sys
    import sovbroker_adapters.s3
    assert not [name for name in sys.modules if name.startswith(("boto", "urllib3"))], "an SDK was loaded"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_a_missing_sdk_names_the_extra():
    script = """
    import sys
    sys.modules["botocore"] = None
    from sovbroker.errors import ConfigError
    from sovbroker.ports import Binding
    from sovbroker_adapters.s3 import build
    try:
        build(Binding(target="t", container="b"))
    except ConfigError as error:
        print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "pip install 'sovbroker[s3]'" in said
