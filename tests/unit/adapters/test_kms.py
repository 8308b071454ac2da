"""What a key of AWS KMS is asked, by whom, and what comes of each answer."""

import base64
import contextlib
import dataclasses
import http.server
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import urllib.parse
import warnings
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sovbroker.errors import ConfigError, KeyUnavailable, Tampered
from sovbroker.ports import Credentials, KeyBinding, waiting
from sovbroker.testing.chaos import ChaosProxy, Reset, Stall, Status
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters.contexts import bound, digest
from sovbroker_adapters.kms import build

SECRET = bytes(range(200, 232))
CONTEXT = b"sovbroker domain key 1"
GIVEN = Credentials({"access_key": "AKIAEXAMPLE", "secret_key": "not-a-secret"})
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"


def binding(**changes):
    base = KeyBinding(
        "paris", KEY, "http://127.0.0.1:9", "eu-west-3", frozenset({"127.0.0.1:9"}), GIVEN, {"attempts": 1}
    )
    return dataclasses.replace(base, **changes)


@pytest.fixture
def key(kms_keys):
    return kms_keys.create_key()["KeyMetadata"]["KeyId"]


@pytest.fixture
def opened(proxy, key):
    """A function that opens the test's key through the proxy, with settings."""
    services = []

    def make(*, name=key, **settings):
        hosts = frozenset({proxy.host})
        services.append(build(binding(key=name, endpoint=proxy.url, hosts=hosts, settings={"attempts": 1} | settings)))
        return services[-1]

    yield make
    for service in services:
        service.close()


@pytest.fixture
def recorded(moto, key):
    """A function that opens the test's key with changes, and one that tells the requests: heads and bodies."""
    with Recorder() as recorder:
        url = recorder.in_front_of("kms", moto.host)
        base = binding(key=key, endpoint=url, hosts=frozenset({urllib.parse.urlsplit(url).netloc}))
        services = []

        def make(**changes):
            services.append(build(dataclasses.replace(base, **changes)))
            return services[-1]

        def sent():
            return b"".join(bytes(tape.data) for tape in recorder.tapes(direction="sent"))

        yield make, sent
        for service in services:
            service.close()


def refusal(code, *, status=400):
    return Status(status, json.dumps({"__type": f"com.amazonaws.kms#{code}", "message": "as scripted"}).encode())


def answer(**fields):
    return Status(200, json.dumps(fields).encode())


def text(data):
    return base64.b64encode(data).decode()


def test_a_key_by_each_of_its_names(opened, kms_keys, key):
    alias = f"alias/{key}"
    kms_keys.create_alias(AliasName=alias, TargetKeyId=key)
    arn = kms_keys.describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    wrapped = opened().wrap(SECRET, CONTEXT)
    for name in (key, arn, alias, f"{arn.partition(':key/')[0]}:{alias}"):
        assert opened(name=name).unwrap(wrapped, CONTEXT) == SECRET


def test_an_alias_that_points_elsewhere_says_so(opened, kms_keys, key, proxy):
    alias = f"alias/moved-{key}"
    kms_keys.create_alias(AliasName=alias, TargetKeyId=key)
    service = opened(name=alias)
    wrapped = service.wrap(SECRET, CONTEXT)
    kms_keys.update_alias(AliasName=alias, TargetKeyId=kms_keys.create_key()["KeyMetadata"]["KeyId"])
    with pytest.raises(KeyUnavailable):
        service.unwrap(wrapped, CONTEXT)
    # AWS has another word for it than moto.
    proxy.script(refusal("IncorrectKeyException"))
    with pytest.raises(KeyUnavailable, match="an alias may point elsewhere"):
        service.unwrap(wrapped, CONTEXT)


def test_what_a_service_is_told(recorded, key):
    make, sent = recorded
    make().wrap(SECRET, CONTEXT)
    head, _, body = sent().partition(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1\r\n")
    assert b"\r\nX-Amz-Target: TrentService.Encrypt\r\n" in head
    told = json.loads(body)
    assert base64.b64decode(told.pop("Plaintext")) == bound(SECRET, CONTEXT)
    assert told == {"KeyId": key, "EncryptionContext": {"sovbroker": digest(CONTEXT)}}


HOSTILE = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:1",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
    "ALL_PROXY": "http://127.0.0.1:1",
    "AWS_CA_BUNDLE": "/no/such/bundle",
    "AWS_PROFILE": "no-such-profile",
    "AWS_REGION": "mars-north-1",
    "AWS_DEFAULT_REGION": "mars-north-1",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_MAX_ATTEMPTS": "7",
    "AWS_RETRY_MODE": "nonsense",
    "AWS_DEFAULTS_MODE": "nonsense",
    "AWS_ACCESS_KEY_ID": "AKIASOMEBODYELSE",
    "AWS_SECRET_ACCESS_KEY": "somebody-elses",
    "AWS_SESSION_TOKEN": "somebody-elses",
}


@pytest.fixture
def hostile(monkeypatch, tmp_path):
    broken = tmp_path / "config"
    broken.write_text("[default]\nendpoint_url = http://127.0.0.1:1\nregion = mars-north-1\n[broken")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(broken))
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)


def test_the_environment_changes_nothing(hostile, recorded):
    make, sent = recorded
    service = make()
    assert service.unwrap(service.wrap(SECRET, CONTEXT), CONTEXT) == SECRET
    said = sent()
    assert said.count(b"Credential=AKIAEXAMPLE/") == said.count(b"POST / ") == 2
    assert said.count(b"/eu-west-3/kms/aws4_request") == 2
    for never in (b"SOMEBODY", b"somebody", b"mars-north-1", b"X-Amz-Security-Token", b"not-a-secret"):
        assert never not in said


def test_the_environment_lends_no_credentials(hostile):
    with pytest.raises(ConfigError, match="no credentials"):
        build(binding(credentials=Credentials()))


def test_a_session_token_is_sent(recorded):
    make, sent = recorded
    make(credentials=Credentials({"access_key": "ASIA", "secret_key": "x", "session_token": "the-token"})).wrap(
        SECRET, CONTEXT
    )
    assert b"\r\nX-Amz-Security-Token: the-token\r\n" in sent()


def test_the_clouds_own_endpoint_is_checked_too(hostile):
    """Without an endpoint the SDK chooses the host: it must be one of the binding's."""
    service = build(binding(endpoint=None, hosts=frozenset({"kms.eu-central-1.amazonaws.com"})))
    with pytest.raises(KeyUnavailable, match=r"nothing was sent.*`kms\.eu-west-3\.amazonaws\.com:443`"):
        service.wrap(SECRET, CONTEXT)
    service.close()


@pytest.mark.parametrize("hosts", [{"elsewhere.example"}, {"127.0.0.1"}, {"127.0.0.1:1"}, {"localhost"}])
def test_nothing_is_sent_to_another_host(proxy, hosts):
    service = build(binding(endpoint=proxy.url, hosts=frozenset(hosts)))
    for call in (lambda: service.wrap(SECRET, CONTEXT), lambda: service.unwrap(b"wrapped", CONTEXT)):
        with pytest.raises(KeyUnavailable, match="nothing was sent"):
            call()
    assert proxy.seen == ()
    service.close()


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(opened, proxy, moto, code):
    service = opened(attempts=3)
    with ChaosProxy(moto.host) as elsewhere:
        proxy.script(Status(code, b"", (("Location", f"{elsewhere.url}/"),)))
        with pytest.raises(KeyUnavailable, match=f"status {code}"):
            service.wrap(SECRET, CONTEXT)
        assert elsewhere.seen == ()
    assert len(proxy.seen) == 1


FINAL = [
    ("AccessDeniedException", 400, "refuses these credentials"),
    ("UnrecognizedClientException", 400, "refuses these credentials"),
    ("InvalidSignatureException", 400, "refuses these credentials"),
    ("ExpiredTokenException", 400, "refuses these credentials"),
    ("SomethingUnheardOf", 403, "refuses these credentials"),
    ("NotFoundException", 400, "there is no such key"),
    ("DisabledException", 400, "it is disabled"),
    ("KMSInvalidStateException", 400, "about to be deleted"),
    ("InvalidKeyUsageException", 400, "no symmetric key"),
    ("ValidationException", 400, "refuses the request"),
    ("SomethingUnheardOf", 400, "refuses the request"),
]
PASSING = [
    ("ThrottlingException", 400),
    ("LimitExceededException", 400),
    ("KMSInternalException", 500),
    ("DependencyTimeoutException", 500),
    ("KeyUnavailableException", 500),
    ("SomethingUnheardOf", 429),
    ("SomethingUnheardOf", 503),
]


@pytest.mark.parametrize(("code", "status", "said"), FINAL)
def test_a_no_is_not_asked_for_again(opened, proxy, code, status, said):
    service = opened(attempts=3)
    for call in (service.wrap, service.unwrap):
        before = len(proxy.seen)
        proxy.script(refusal(code, status=status))
        with pytest.raises(KeyUnavailable, match=said) as caught:
            call(SECRET, CONTEXT)
        assert f"status {status}, {code}" in str(caught.value)
        assert len(proxy.seen) == before + 1


@pytest.mark.parametrize(("code", "status"), PASSING)
def test_what_may_pass_is_asked_for_again(opened, proxy, code, status):
    service = opened(attempts=2)
    proxy.script(refusal(code, status=status), None, refusal(code, status=status), None)
    assert service.unwrap(service.wrap(SECRET, CONTEXT), CONTEXT) == SECRET
    assert len(proxy.seen) == 4
    proxy.always(refusal(code, status=status))
    with pytest.raises(KeyUnavailable, match=rf"does not answer as it should \(status {status}, {code}\)"):
        service.wrap(SECRET, CONTEXT)
    assert len(proxy.seen) == 6


def test_what_the_service_finds_damaged(opened, proxy):
    service = opened(attempts=3)
    proxy.always(refusal("InvalidCiphertextException"))
    with pytest.raises(Tampered):
        service.unwrap(b"wrapped", CONTEXT)
    assert len(proxy.seen) == 1
    with pytest.raises(KeyUnavailable, match="refuses the request"):
        service.wrap(SECRET, CONTEXT)


def test_a_way_that_breaks_is_tried_again(opened, proxy):
    service = opened(attempts=2)
    proxy.script(Reset())
    wrapped = service.wrap(SECRET, CONTEXT)
    proxy.always(Reset())
    with pytest.raises(KeyUnavailable, match="out of reach") as caught:
        service.unwrap(wrapped, CONTEXT)
    assert caught.value.__cause__ is not None
    assert proxy.met["Reset"] == 3


@pytest.mark.parametrize(
    "nonsense",
    [
        answer(),
        Status(200, b""),
        Status(200, b"[]"),
        Status(200, b"null"),
        Status(200, b"<html>a portal</html>"),
        answer(CiphertextBlob="", Plaintext=""),
        answer(CiphertextBlob="!", Plaintext="!"),
        answer(CiphertextBlob=7, Plaintext=7),
        answer(CiphertextBlob=text(bytes(6145))),
        answer(
            CiphertextBlob=text(b"x"), Plaintext=text(bound(SECRET, CONTEXT)), KeyId="arn:aws:kms:eu-west-3:1:key/x"
        ),
    ],
)
def test_an_answer_that_is_none(opened, proxy, nonsense):
    service = opened()
    proxy.always(nonsense)
    with pytest.raises(KeyUnavailable):
        service.wrap(SECRET, CONTEXT)
    with pytest.raises((KeyUnavailable, Tampered)):
        service.unwrap(b"wrapped", CONTEXT)


def test_a_service_that_does_not_look_at_the_context(opened, proxy):
    service = opened()
    proxy.always(answer(Plaintext=text(bound(SECRET, CONTEXT))))
    assert service.unwrap(b"wrapped", CONTEXT) == SECRET
    with pytest.raises(Tampered):
        service.unwrap(b"wrapped", b"another")


@pytest.mark.parametrize("wrapped", [b"", bytes(6145)])
def test_what_cannot_be_a_ciphertext_is_not_sent(opened, proxy, wrapped):
    with pytest.raises(Tampered):
        opened().unwrap(wrapped, CONTEXT)
    assert proxy.seen == ()


def test_nothing_is_asked_after_the_callers_deadline(opened, proxy):
    with (
        waiting(deadline=time.monotonic() - 1, repeats=False),
        pytest.raises(KeyUnavailable, match="the deadline passed"),
    ):
        opened(attempts=3).wrap(SECRET, CONTEXT)
    assert proxy.seen == ()


def test_no_answer_is_waited_for_beyond_the_callers_deadline(opened, proxy):
    """Waiting as long as the settings allow would take longer than a test may."""
    proxy.always(Stall())
    with waiting(deadline=time.monotonic() + 0.5, repeats=False), pytest.raises(KeyUnavailable, match="out of reach"):
        opened(attempts=3, timeout=3600).wrap(SECRET, CONTEXT)
    assert len(proxy.seen) == 1


def test_where_the_caller_repeats_the_service_is_asked_once(opened, proxy):
    proxy.always(refusal("ThrottlingException"))
    with waiting(deadline=None, repeats=True), pytest.raises(KeyUnavailable):
        opened(attempts=3).wrap(SECRET, CONTEXT)
    assert len(proxy.seen) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": ""}, "no id, ARN or `alias/NAME`"),
        ({"key": "a key"}, "`a key`"),
        ({"key": "alias/"}, "`alias/`"),
        ({"key": "arn:aws:s3:eu-west-3:1:key/x"}, "`arn:aws:s3"),
        ({"key": f"{KEY}\n"}, "no id, ARN"),
        ({"region": None}, "region"),
        ({"region": "eu-west-3.evil.example/"}, r"`eu-west-3\.evil"),
        ({"hosts": frozenset()}, "hosts"),
        ({"endpoint": "ftp://127.0.0.1:9"}, "https://"),
        ({"endpoint": "https://"}, "https://"),
        ({"endpoint": "http://kms.example"}, "https://"),
        ({"credentials": Credentials()}, "no credentials"),
        ({"credentials": Credentials({"access_key": "x"})}, "no credentials"),
        ({"credentials": Credentials({"access_key": "x", "secret_key": ""})}, "no credentials"),
        ({"settings": {"time-out": 1}}, "`time-out`"),
        ({"settings": {"timeout": 0}}, "`timeout`"),
        ({"settings": {"attempts": True}}, "`attempts`"),
        ({"settings": {"ca-bundle": "/no/such/bundle"}}, "`/no/such/bundle` cannot be read"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_once(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(binding(**changes))
    assert str(caught.value).startswith("paris: ")
    assert "not-a-secret" not in str(caught.value)


def test_building_makes_no_request_and_shows_no_secret(opened, proxy, key):
    service = opened()
    assert proxy.seen == ()
    assert repr(service) == f"KmsService(name='paris', key='{key}')"


def test_a_child_makes_a_client_of_its_own(opened):
    service = opened()
    mine = service._clients.get()
    with warnings.catch_warnings():
        # Newer versions of Python warn of what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(0 if service._clients.get() is not mine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert service._clients.get() is mine


@pytest.fixture(scope="module")
def vouched(tmp_path_factory):
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kms")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("vouched")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, key


@contextlib.contextmanager
def encrypted(certificate, key, heard):
    """A service behind TLS that answers each request with the same ciphertext, and keeps what it heard."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"CiphertextBlob": text(b"wrapped")}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    class Listener(http.server.ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """A client that trusts nobody breaks off: that is the test."""

    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(certificate, key)
    listener = Listener(("127.0.0.1", 0), Handler)
    listener.socket = trust.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.server_port}"
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def test_a_service_that_nobody_vouches_for_is_told_nothing(vouched, monkeypatch):
    certificate, key = vouched
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    heard = []
    with encrypted(certificate, key, heard) as host:
        there = binding(endpoint=f"https://{host}", hosts=frozenset({host}))
        stranger = build(there)
        with pytest.raises(KeyUnavailable, match="SSLError"):
            stranger.wrap(SECRET, CONTEXT)
        stranger.close()
        assert heard == []
        known = build(dataclasses.replace(there, settings={"ca-bundle": str(certificate)}))
        assert known.wrap(SECRET, CONTEXT) == b"wrapped"
        known.close()
    assert len(heard) == 1


def test_the_sdk_is_loaded_by_the_first_build_only():
    script = """
    import sys
    import sovbroker_adapters.kms
    assert not [name for name in sys.modules if name.startswith(("boto", "urllib3"))], "an SDK was loaded"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_a_missing_sdk_names_the_extra():
    script = """
    import sys
    sys.modules["botocore"] = None
    from sovbroker.errors import ConfigError
    from sovbroker.ports import KeyBinding
    from sovbroker_adapters.kms import build
    try:
        build(KeyBinding("paris", "key"))
    except ConfigError as error:
        print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "pip install 'sovbroker[aws-kms]'" in said
