"""Where Azure requests go, what they carry, and what a binding must say."""

import dataclasses
import io
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import threading
import urllib.parse
import warnings
from datetime import timedelta

import pytest

from sovbroker.catalogue import load
from sovbroker.errors import ConfigError, InvalidArgument, NotSupported, PermissionDenied, Unavailable
from sovbroker.ports import Binding, Credentials, Feature, Support
from sovbroker.testing.blobs import BlobService
from sovbroker.testing.chaos import ChaosProxy, Status
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters import processes
from sovbroker_adapters.azure import build

KEY = "bm90LWEtc2VjcmV0"
SAS = "sv=2023-11-03&sr=c&sp=rwdl&sig=not-a-secret%3D"
MIB = 1 << 20


def binding(**changes):
    base = Binding(
        target="somewhere",
        container="box",
        endpoint="https://acct.blob.core.windows.net",
        hosts=frozenset({"acct.blob.core.windows.net"}),
        credentials=Credentials({"access_key": KEY}),
        settings={"attempts": 1, "suffix": "core.windows.net"},
    )
    return dataclasses.replace(base, **changes)


def local(**changes):
    """A binding of a place where nobody listens."""
    there = {"endpoint": "http://127.0.0.1:9", "hosts": frozenset({"127.0.0.1:9"})}
    base = binding(settings={"attempts": 1, "addressing": "path", "account": "acct"}, **there)
    return dataclasses.replace(base, **changes)


@pytest.fixture(scope="module")
def service():
    with BlobService() as running:
        yield running.server


@pytest.fixture
def wire(service, bucket):
    """A store, and what it sends."""
    service.create_container(bucket)
    with Recorder() as recorder:
        url = recorder.in_front_of("azure", service.host)
        host = urllib.parse.urlsplit(url).netloc
        stores = []

        def opened(*, credentials=None, **settings):
            base = service.binding(bucket, settings=settings, credentials=credentials)
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


CLOUDS = {
    "azure": ("core.windows.net", "login.microsoftonline.com"),
    "bleu": ("core.sovcloud-api.fr", "login.sovcloud-identity.fr"),
    "delos": ("core.sovcloud-api.de", "login.sovcloud-identity.de"),
}


def cataloged(provider, account="acct", **changes):
    """The binding that the catalogue makes for the first region of a provider."""
    catalogue = load()
    target = next(target.id for target in catalogue.targets() if target.provider == provider)
    found = catalogue.connection(target)
    base = Binding(
        target=target,
        container="box",
        endpoint=found.endpoint({"account": account}),
        hosts=found.hosts({"account": account}, bucket="box"),
        credentials=Credentials({"access_key": KEY}),
        settings=found.settings,
    )
    return dataclasses.replace(base, **changes)


@pytest.mark.parametrize("provider", CLOUDS)
def test_the_client_of_each_cloud_is_of_that_cloud(provider):
    suffix, authority = CLOUDS[provider]
    base = cataloged(provider)
    assert base.settings["authority"] == authority
    store = build(base)
    made = store._connection.client()
    assert made.url == f"https://acct.blob.{suffix}/box"
    assert made.account_name == "acct"
    assert store.presign("a b", expires=timedelta(minutes=1)).startswith(f"https://acct.blob.{suffix}/box/a%20b?")
    store._connection.check_host(made.url)
    for other, _ in CLOUDS.values():
        if other != suffix:
            with pytest.raises(PermissionDenied):
                store._connection.check_host(f"https://acct.blob.{other}/box")
    store.close()


@pytest.mark.parametrize("provider", CLOUDS)
@pytest.mark.parametrize("other", [*CLOUDS, "elsewhere"])
@pytest.mark.parametrize("addressing", ["host", "path"])
def test_an_account_of_another_cloud_is_refused(provider, other, addressing):
    if other == provider:
        return
    suffix = CLOUDS.get(other, ("core.chinacloudapi.cn",))[0]
    host = f"acct.blob.{suffix}"
    base = cataloged(provider)
    settings = {**base.settings, "addressing": addressing}
    theirs = dataclasses.replace(base, endpoint=f"https://{host}", hosts=frozenset({host}), settings=settings)
    with pytest.raises(ConfigError, match="another cloud"):
        build(theirs)
    with pytest.raises(ConfigError, match="another cloud"):
        build(dataclasses.replace(base, hosts=base.hosts | {host}))
    pasted = Credentials({"sas": f"https://{host}/box?{SAS}"})
    with pytest.raises(ConfigError, match="`sas` is a URL of another account"):
        build(dataclasses.replace(base, credentials=pasted))


def test_a_cloud_may_be_emulated():
    base = cataloged("bleu")
    settings = {**base.settings, "addressing": "path"}
    given = Credentials({"account": "acct", "access_key": KEY})
    here = {"endpoint": "http://127.0.0.1:9", "hosts": frozenset({"127.0.0.1:9"})}
    store = build(dataclasses.replace(base, settings=settings, credentials=given, **here))
    assert store._connection.client().url == "http://127.0.0.1:9/acct/box"


@pytest.mark.parametrize("sas", [SAS, f"?{SAS}", f"https://acct.blob.core.windows.net/box?{SAS}"])
def test_a_shared_access_signature(sas):
    store = build(binding(credentials=Credentials({"sas": sas})))
    assert store._connection.account.sas == SAS
    assert store.capabilities[Feature.PRESIGN] is Support.ABSENT
    # There is nothing to sign one with, whatever the settings say.
    given = build(local(credentials=Credentials({"sas": SAS}), settings={**local().settings, "presign": "native"}))
    assert given.capabilities[Feature.PRESIGN] is Support.ABSENT
    with pytest.raises(NotSupported):
        store.presign("key", expires=timedelta(minutes=1))


def test_what_a_signature_carries(wire):
    opened, sent = wire
    store = opened(credentials={"account": "devstoreaccount1", "sas": SAS})
    store.put("key", b"x", size=1)
    store.copy("key", "copied")
    for head in heads(sent()):
        assert b"sig=not-a-secret%3d" in head.split(b"\r\n", 1)[0]
        assert b"authorization" not in head


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"container": ""}, "no name of a container"),
        ({"container": "Box"}, "no name of a container"),
        ({"container": "a/../b"}, "no name of a container"),
        ({"hosts": frozenset()}, "needs the hosts"),
        ({"endpoint": None}, "needs the endpoint"),
        ({"endpoint": "acct.blob.core.windows.net"}, "not of the form"),
        ({"endpoint": "ftp://acct.blob.core.windows.net"}, "not of the form"),
        ({"endpoint": "https://acct.blob.core.windows.net?x=1"}, "not of the form"),
        ({"endpoint": "https://user@acct.blob.core.windows.net"}, "not of the form"),
        ({"endpoint": "https://acct.blob.core.windows.net/other"}, "has a path"),
        ({"endpoint": "https://other.blob.core.windows.net"}, "not among the hosts"),
        ({"endpoint": "http://acct.blob.core.windows.net:81"}, "not among the hosts"),
        ({"endpoint": "https://storage.example", "hosts": frozenset({"storage.example"})}, "is not `ACCOUNT"),
        ({"credentials": Credentials()}, "no credentials"),
        ({"credentials": Credentials({"access_key": KEY, "sas": SAS})}, "too many"),
        ({"credentials": Credentials({"access_key": "not base64!"})}, "not base64"),
        ({"credentials": Credentials({"access_key": "AccountName=a;AccountKey=x"})}, "not base64"),
        ({"credentials": Credentials({"sas": "sv=1"})}, "no signature"),
        ({"credentials": Credentials({"access_key": KEY, "account": "other"})}, "several accounts: `acct`, `other`"),
        ({"settings": {"account": "other"}}, "several accounts"),
        ({"settings": {"adressing": "path"}}, "no such setting"),
        ({"settings": {"addressing": "virtual"}}, "none of host, path"),
        ({"settings": {"attempts": 0}}, "not a whole number"),
        ({"settings": {"attempts": True}}, "not a whole number"),
        ({"settings": {"suffix": 3}}, "not a text"),
        ({"settings": {"api-version": "newest"}}, "not a date"),
        ({"settings": {"copy": "perhaps"}}, "none of native"),
        ({"settings": {"ambient": True}}, "no such setting"),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_once(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(binding(**changes))
    assert str(caught.value).startswith("somewhere: ")
    assert KEY not in str(caught.value)


def test_a_version_that_the_sdk_does_not_know():
    store = build(binding(settings={"api-version": "1999-01-01"}))
    with pytest.raises(ConfigError, match="1999-01-01"):
        store.head("key")


def test_an_account_without_a_name():
    with pytest.raises(ConfigError, match="nothing names the account"):
        build(local(settings={"addressing": "path"}))
    for name in ("UPPER", "a", "../x"):
        with pytest.raises(ConfigError, match="no name of an account"):
            build(local(settings={"addressing": "path", "account": name}))
    assert build(local(endpoint="http://127.0.0.1:9/acct"))._connection.account.url == "http://127.0.0.1:9/acct"


@pytest.mark.parametrize("key", ["a b+c%d/é~'()*!", "//double//", "x?y=1&z#f", "e\u0301/日本", "/", "%2e%2e/x"])
def test_a_key_stands_on_the_wire_as_it_is(wire, bucket, key):
    opened, sent = wire
    opened().put(key, b"x", size=1)
    line = sent().split(b" ", 2)[1].decode()
    start = f"/devstoreaccount1/{bucket}/"
    assert line.startswith(start)
    assert "?" not in line
    assert urllib.parse.unquote(line.removeprefix(start)) == key


@pytest.mark.parametrize(
    "key",
    [
        ".",
        "..",
        "a/../b",
        "./b",
        "x/..",
        "dots...",
        "a./b",
        "back\\slash",
        "a\nb",
        "\x00",
        "a\x7f",
        "\ufffe",
        "a/" * 255,
    ],
)
def test_a_key_that_the_service_would_change_is_not_sent(wire, key):
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
    body = os.urandom(3 * MIB - 1) + b"\n"
    for given in (body, memoryview(body), io.BytesIO(body)):
        store.put("key", given, size=len(body), metadata={"sov": "AbC"}, if_absent=given is body)
    assert sent().count(body) == 3
    found = heads(sent())
    assert len(found) == 3
    for head in found:
        assert head.startswith(b"put /")
        assert b"\r\ncontent-length: 3145728\r\n" in head
        assert b"\r\nx-ms-meta-sov: abc\r\n" in head
        assert b"\r\nx-ms-version: 2023-11-03\r\n" in head
        assert b"\r\nx-ms-blob-type: blockblob\r\n" in head
        assert b"\r\nauthorization: sharedkey devstoreaccount1:" in head
        for never in (b"expect:", b"transfer-encoding", b"cookie"):
            assert never not in head
    assert [b"content-md5" in head for head in found] == [True, True, False]
    assert [b"if-none-match: *" in head for head in found] == [True, False, False]


def test_a_get_is_one_request(wire):
    opened, sent = wire
    store = opened()
    for size in (0, 40 * MIB):
        store.put("key", b"x" * size, size=size)
        before = len(heads(sent()))
        with store.get("key") as reader:
            assert len(reader.read()) == size
        assert len(heads(sent())) == before + 1
    with store.get("key", range=(10, 109)) as reader:
        assert reader.read() == b"x" * 100
    assert b"\r\nx-ms-range: bytes=10-109\r\n" in heads(sent())[-1]


def test_a_large_body_is_never_in_memory():
    script = """
    import os, resource, threading
    from sovbroker.ports import Binding, Credentials
    from sovbroker_adapters.azure import build
    endpoint, container = os.environ["ENDPOINT"], os.environ["CONTAINER"]
    size = 192 << 20
    class Zeros:
        left = size
        def read(self, count=-1):
            count = min(count, self.left)
            self.left -= count
            return bytes(count)
    given = Credentials({"account": "devstoreaccount1", "access_key": "a2V5"})
    store = build(Binding("t", container, endpoint=endpoint, hosts=frozenset({endpoint[7:]}), credentials=given,
                          settings={"addressing": "path"}))
    store.put("small", b"x", size=1)
    with store.get("small") as reader:
        reader.read()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    store.put("large", Zeros(), size=size)
    with store.get("large") as reader:
        while reader.read(1 << 20):
            pass
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
    """
    with BlobService() as service:
        service.server.create_container("box")
        env = os.environ | {"ENDPOINT": service.server.url, "CONTAINER": "box"}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True, env=env
        )
    assert int(done.stdout) < 24


def test_nothing_is_sent_to_another_host(service):
    with ChaosProxy(service.host) as proxy:
        store = build(local(endpoint=proxy.url, hosts=frozenset({proxy.host})))
        store._connection._hosts = frozenset({"127.0.0.1", "localhost", "127.0.0.1:1"})
        for call in (
            lambda: store.put("a", b"x", size=1),
            lambda: store.get("a"),
            lambda: store.delete("a"),
            lambda: list(store.list()),
            lambda: store.multipart("a"),
            lambda: store.presign("a", expires=timedelta(minutes=1)),
        ):
            with pytest.raises(PermissionDenied, match="nothing was sent"):
                call()
        assert proxy.seen == ()
        store.close()


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/", "http://[fe80::1]/", "http://metadata.google.internal/", "http://[fd00:ec2::254]/"],
)
def test_a_metadata_service_is_no_host_whatever_the_binding_says(url):
    host = urllib.parse.urlsplit(url).netloc
    with pytest.raises(ConfigError, match="not among the hosts"):
        build(local(endpoint=url, hosts=frozenset({host})))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(service, code):
    with ChaosProxy(service.host) as proxy, ChaosProxy(service.host) as other:
        store = build(local(endpoint=proxy.url, hosts=frozenset({proxy.host})))
        for call in (store.head, store.get, store.delete, lambda key: store.put(key, b"x", size=1)):
            before = len(proxy.seen)
            proxy.script(Status(code, b"", (("Location", f"{other.url}/acct/box/key"),)))
            with pytest.raises(Exception, match="somewhere:"):
                call("key")
            assert len(proxy.seen) == before + 1
        assert other.seen == ()
        store.close()


HOSTILE = {
    "HTTP_PROXY": "http://127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
    "https_proxy": "http://127.0.0.1:1",
    "REQUESTS_CA_BUNDLE": "/no/such/bundle",
    "CURL_CA_BUNDLE": "/no/such/bundle",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountName=other;AccountKey=c29tZWJvZHlz",
    "AZURE_STORAGE_ACCOUNT": "other",
    "AZURE_STORAGE_KEY": "c29tZWJvZHlz",
    "AZURE_STORAGE_SAS_TOKEN": "sig=somebody",
    "AZURE_CLIENT_ID": "somebody",
    "AZURE_CLIENT_SECRET": "somebody",
    "AZURE_TENANT_ID": "somebody",
    "AZURE_CLOUD": "nonsense",
}


def test_the_environment_changes_nothing(wire, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password somebodys\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    opened, sent = wire
    store = opened()
    store.put("key", b"body", size=4)
    with store.get("key") as reader:
        assert reader.read() == b"body"
    for head in heads(sent()):
        assert b"authorization: sharedkey devstoreaccount1:" in head
        assert b"somebody" not in head


def test_capabilities_and_limits_come_from_the_settings():
    plain = build(local())
    assert plain.capabilities[Feature.MULTIPART] is Support.EMULATED
    assert plain.capabilities[Feature.CONDITIONAL_PUT] is Support.NATIVE
    assert (plain.limits.parts_max, plain.limits.part_max) == (50_000, 4000 * MIB)
    changed = build(local(settings={**local().settings, "copy": "absent", "put_max": 10}))
    assert changed.capabilities[Feature.COPY] is Support.ABSENT
    with pytest.raises(NotSupported):
        changed.copy("a", "b")
    with pytest.raises(InvalidArgument, match="in parts"):
        changed.put("a", bytes(11), size=11)


@pytest.mark.parametrize("credentials", [{"access_key": KEY}, {"sas": SAS}])
def test_secrets_are_not_shown_and_do_not_travel(credentials):
    store = build(local(credentials=Credentials(credentials)))
    with pytest.raises(Unavailable) as caught:
        store.head("key")
    said = repr(caught.value) + repr(caught.value.__cause__) + str(caught.value.__cause__)
    for shown in (repr(store), repr(store._connection), repr(store._connection.account), said):
        assert KEY not in shown
        assert "not-a-secret" not in shown
    for one in (store, store._connection, store._connection.account):
        with pytest.raises(TypeError):
            pickle.dumps(one)


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


def test_a_child_makes_a_client_of_its_own_and_waits_for_nobody(wire):
    opened, _ = wire
    store = opened()
    mine = store._connection.client()
    with warnings.catch_warnings():
        # Newer versions of Python warn of what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        with processes._making:
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                os._exit(0 if store._connection.client() is not mine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store._connection.client() is mine


def test_the_sdk_is_loaded_by_the_first_build_only():
    script = """
    import sys
    import sovbroker_adapters.azure
    assert not [name for name in sys.modules if name.startswith(("azure", "requests", "urllib3"))], "an SDK was loaded"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_a_missing_sdk_names_the_extra():
    script = """
    import sys
    sys.modules["azure.storage.blob"] = None
    from sovbroker.errors import ConfigError
    from sovbroker.ports import Binding
    from sovbroker_adapters.azure import build
    try:
        build(Binding(target="t", container="b"))
    except ConfigError as error:
        print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "pip install 'sovbroker[azure]'" in said
