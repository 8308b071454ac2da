"""Where Swift's requests go, what they carry, and what a binding must say."""

import base64
import dataclasses
import hashlib
import hmac
import io
import json
import pickle
import re
import subprocess
import sys
import textwrap
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from sovbroker.errors import ConfigError, InvalidArgument, NotSupported, PermissionDenied, StoreError
from sovbroker.ports import Binding, Credentials, Feature, Support
from sovbroker.testing.chaos import ChaosProxy, Status
from sovbroker.testing.objects import APPLICATION, PROJECT, ObjectService
from sovbroker.testing.recorder import Recorder
from sovbroker_adapters.swift import build
from sovbroker_adapters.swift.metadata import headers_of, metadata_of

PASSWORD = "pass é word"
GIVEN = Credentials({"username": "somebody", "password": PASSWORD, "project_name": "records"})
APPLIED = dict(zip(("application_credential_id", "application_credential_secret"), APPLICATION, strict=True))
KEYSTONE = {"authority": "http://127.0.0.1:9/v3"}


def binding(**changes):
    base = Binding(
        target="somewhere",
        container="box",
        endpoint="http://127.0.0.1:9",
        hosts=frozenset({"127.0.0.1:9"}),
        credentials=GIVEN,
        settings={"attempts": 1, **KEYSTONE},
    )
    return dataclasses.replace(base, **changes)


@pytest.fixture
def service():
    with ObjectService() as service:
        yield service


@pytest.fixture
def wire(service, bucket):
    """A function that opens a store, and one that returns what was sent."""
    service.server.create_container(bucket)
    with Recorder() as recorder:
        url = recorder.in_front_of("swift", service.server.host)
        host = urllib.parse.urlsplit(url).netloc
        stores = []

        def opened(settings=None, **credentials):
            base = service.keystone_binding(bucket, **credentials)
            made = {"authority": f"{url}/v3", **(settings or {})}
            stores.append(build(dataclasses.replace(base, endpoint=url, hosts=frozenset({host}), settings=made)))
            return stores[-1]

        def sent():
            return b"".join(bytes(tape.data) for tape in recorder.tapes(direction="sent"))

        yield opened, sent
        for store in stores:
            store.close()


def heads(data):
    """The request lines and headers in what was sent."""
    return re.findall(rb"[A-Z]+ /[^\r\n]* HTTP/1\.1\r\n.*?\r\n\r\n", data, re.DOTALL)


def test_what_a_put_carries(wire):
    opened, sent = wire
    body = bytes(range(256)) * 8192
    store = opened()
    for given in (body, memoryview(body), io.BytesIO(body)):
        store.put("a b/key", given, size=len(body), metadata={"a": "1"})
    assert sent().count(body) == 3
    puts = [head for head in heads(sent()) if head.startswith(b"PUT")]
    assert len(puts) == 3
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest().encode()
    for head, in_memory in zip(puts, (True, True, False), strict=True):
        assert re.match(rb"PUT /v1/AUTH_test/bucket-\d+/a%20b/key HTTP", head)
        assert b"\r\nContent-Length: 2097152\r\n" in head
        assert b"\r\nContent-Type: application/octet-stream\r\n" in head
        assert b"\r\nx-object-meta-a: 1\r\n" in head
        assert (b"\r\nEtag: " + digest + b"\r\n" in head) is in_memory
        assert b"chunked" not in head.lower()
    for head in heads(sent()):
        assert b"\r\nAccept-Encoding: identity\r\n" in head
        assert b"Cookie" not in head


def test_a_small_put_of_a_new_key_takes_one_request_and_so_does_a_get(wire):
    opened, sent = wire
    store = opened()
    store.put("one", b"x", size=1)
    before = len(heads(sent()))
    store.put("two", b"x", size=1)
    assert len(heads(sent())) == before + 1
    assert b"\r\nIf-None-Match: *\r\n" in heads(sent())[-1]
    with store.get("two") as reader:
        assert reader.read() == b"x"
    assert len(heads(sent())) == before + 2
    store.put("two", b"y", size=1)
    assert [head.split(b" ")[0] for head in heads(sent())[before + 2 :]] == [b"PUT", b"HEAD", b"PUT"]
    assert b"If-None-Match" not in heads(sent())[-1]


def test_what_keystone_is_asked(wire):
    opened, sent = wire
    opened().put("one", b"x", size=1)
    asked = json.loads(sent().split(b"\r\n\r\n", 1)[1].split(b"PUT")[0])["auth"]
    user = {"name": "test:tester", "domain": {"name": "Default"}, "password": "testing"}
    assert asked["identity"] == {"methods": ["password"], "password": {"user": user}}
    assert asked["scope"] == {"project": {"name": PROJECT, "domain": {"name": "Default"}}}


def test_an_application_names_no_project(wire):
    opened, sent = wire
    opened(**APPLIED).put("one", b"x", size=1)
    asked = json.loads(sent().split(b"\r\n\r\n", 1)[1].split(b"PUT")[0])["auth"]
    shown = {"id": APPLICATION[0], "secret": APPLICATION[1]}
    assert asked == {"identity": {"methods": ["application_credential"], "application_credential": shown}}


def test_the_password_goes_to_the_authority_and_the_token_to_the_storage(wire):
    opened, sent = wire
    store = opened()
    for number in range(5):
        store.put(f"{number}", b"x", size=1)
    assert sent().count(b"testing") == 1
    found = heads(sent())
    assert [b"X-Auth-Token" in head for head in found] == [False] + [True] * 5
    store.inspect()
    assert b"X-Auth-Token" not in heads(sent())[-1]


def test_one_token_does_for_many_threads(wire):
    opened, sent = wire
    store = opened()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: store.put(f"{number}", b"x", size=1), range(64)))
    assert sent().count(b"POST /v3/auth/tokens") == 1


def test_threads_whose_token_expired_ask_for_one(wire, service):
    opened, sent = wire
    store = opened()
    store.put("one", b"x", size=1)
    service.expire()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: store.put(f"{number}", b"x", size=1), range(64)))
    # Those who were refused with the old one find the new one.
    assert sent().count(b"POST /v3/auth/tokens") <= 3


def test_a_token_is_renewed_before_it_expires(service, bucket, monkeypatch):
    service.server.create_container(bucket)
    monkeypatch.setattr("sovbroker.testing.objects.LIFE", timedelta(seconds=60))
    with ChaosProxy(service.server.host) as proxy:
        settings = {"authority": f"{proxy.url}/v3"}
        base = service.keystone_binding(bucket)
        store = build(dataclasses.replace(base, endpoint=proxy.url, hosts=frozenset({proxy.host}), settings=settings))
        for _ in range(3):
            store.put("one", b"x", size=1)
        assert [seen.target for seen in proxy.seen].count("/v3/auth/tokens") >= 3
        store.close()


def test_nothing_of_the_environment_is_used(wire, monkeypatch, tmp_path):
    opened, sent = wire
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ambient password leaked\n")
    (tmp_path / ".netrc").chmod(0o600)
    for name, value in {
        "HOME": str(tmp_path),
        "NETRC": str(tmp_path / ".netrc"),
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
        "ALL_PROXY": "http://127.0.0.1:1",
        "SSL_CERT_FILE": str(tmp_path / "none"),
        "OS_AUTH_URL": "http://127.0.0.1:1/v3",
        "OS_PASSWORD": "another",
    }.items():
        monkeypatch.setenv(name, value)
    opened().put("one", b"x", size=1)
    assert b"leaked" not in sent()
    assert b"another" not in sent()


def endpoint(url, *, region="one", interface="public"):
    return {"interface": interface, "region_id": region, "url": url}


def catalogue(*endpoints, kind="object-store"):
    return [{"type": kind, "endpoints": list(endpoints)}]


HOSTILE = {
    "another host": catalogue(endpoint("http://{evil}/v1/AUTH_test")),
    "another port": catalogue(endpoint("http://127.0.0.1:1/v1/AUTH_test")),
    "another scheme": catalogue(endpoint("https://{host}/v1/AUTH_test")),
    "credentials": catalogue(endpoint("http://a:b@{host}/v1/AUTH_test")),
    "a host that looks like it": catalogue(endpoint("http://{host}@{evil}/v1/AUTH_test")),
    "a query": catalogue(endpoint("http://{host}/v1/AUTH_test?x=")),
    "dots": catalogue(endpoint("http://{host}/v1/../AUTH_test")),
    "no URL": catalogue(endpoint("")),
    "a bad port": catalogue(endpoint("http://127.0.0.1:port/v1")),
    "a metadata service": catalogue(endpoint("http://169.254.169.254/v1")),
    "another interface": catalogue(endpoint("http://{host}/v1/AUTH_test", interface="admin")),
    "another service": catalogue(endpoint("http://{host}/v1/AUTH_test"), kind="image"),
    "nothing": [],
    "no list": {"type": "object-store"},
    "no maps": [["object-store"], 7, None],
    "no endpoints": [{"type": "object-store", "endpoints": "x"}],
}


@pytest.mark.parametrize("said", HOSTILE)
@pytest.mark.parametrize("allowed", [False, True], ids=["unknown", "known"])
def test_a_catalogue_that_names_another_place_sends_nothing_there(service, bucket, said, allowed):
    service.server.create_container(bucket)
    # Even a host that is allowed, as the authority's is, is not the one that the policy has decided about.
    with ChaosProxy(service.server.host) as evil:
        named = json.dumps(HOSTILE[said]).replace("{evil}", evil.host).replace("{host}", service.server.host)
        service.catalogue = json.loads(named)
        base = service.keystone_binding(bucket)
        hosts = frozenset({service.server.host, *({evil.host} if allowed else ())})
        store = build(dataclasses.replace(base, hosts=hosts))
        for call in (
            lambda: store.put("a", b"secret", size=6),
            lambda: store.get("a"),
            lambda: list(store.list()),
            store.inspect,
        ):
            with pytest.raises(PermissionDenied, match="nothing was sent"):
                call()
        assert evil.seen == ()
        assert service.names(bucket) == []
        store.close()


def test_one_of_several_accounts_at_the_endpoint_is_picked_by_its_region(service, bucket):
    service.server.create_container(bucket)
    here = f"{service.server.url}/v1"
    service.catalogue = catalogue(
        endpoint(f"{here}/AUTH_other", region="two"), endpoint(f"{here}/AUTH_test", region="one")
    )
    base = service.keystone_binding(bucket)
    store = build(base)
    with pytest.raises(StoreError, match="several accounts"):
        list(store.list())
    store.close()
    store = build(dataclasses.replace(base, region="one"))
    store.put("a", b"x", size=1)
    assert store.inspect().region == "one"
    store.close()


@pytest.mark.parametrize(
    ("hosts", "endpoint", "authority"),
    [
        ({"127.0.0.1"}, "http://127.0.0.1:9", "http://127.0.0.1:9/v3"),
        ({"127.0.0.1:10"}, "http://127.0.0.1:9", "http://127.0.0.1:9/v3"),
        ({"storage.example"}, "https://storage.example", "https://auth.example/v3"),
        ({"169.254.169.254"}, "https://169.254.169.254", "https://169.254.169.254/v3"),
        ({"metadata"}, "https://metadata", "https://metadata/v3"),
    ],
)
def test_an_authority_that_is_not_allowed_hears_nothing(hosts, endpoint, authority):
    store = build(binding(hosts=frozenset(hosts), endpoint=endpoint, settings={"authority": authority}))
    for call in (lambda: store.head("a"), lambda: store.put("a", b"x", size=1), lambda: list(store.list())):
        with pytest.raises(PermissionDenied, match="nothing was sent"):
            call()
    store.close()


WRONG = {
    "no container": {"container": ""},
    "a slash": {"container": "a/b"},
    "dots": {"container": ".."},
    "a long name": {"container": "x" * 257},
    "no endpoint": {"endpoint": None},
    "another scheme": {"endpoint": "ftp://127.0.0.1"},
    "no host": {"endpoint": "https://"},
    "bad port": {"endpoint": "https://storage.example:port"},
    "a path": {"endpoint": "https://storage.example/v1/AUTH_x"},
    "credentials within": {"endpoint": "https://a:b@storage.example"},
    "a query": {"endpoint": "https://storage.example?x"},
    "in the clear": {"endpoint": "http://storage.example"},
    "no hosts": {"hosts": frozenset()},
    "no credentials": {"credentials": Credentials({})},
    "half of them": {"credentials": Credentials({"username": "a", "project_id": "p"})},
    "half of an application": {"credentials": Credentials({"application_credential_id": "a"})},
    "both": {"credentials": Credentials({"username": "a", "password": "b", **APPLIED})},
    "no project": {"credentials": Credentials({"username": "a", "password": "b"})},
    "no authority": {"settings": {}},
    "an authority that is none": {"settings": {"authority": "auth.example"}},
    "an authority in the clear": {"settings": {"authority": "http://auth.example/v3"}},
    "a line": {
        "settings": {"auth": "v1", "authority": "http://127.0.0.1:9/auth/v1.0"},
        "credentials": Credentials({"username": "a", "password": "c\r\nX: y"}),
    },
    "an application of v1": {
        "settings": {"auth": "v1", "authority": "http://127.0.0.1:9/auth/v1.0"},
        "credentials": Credentials(APPLIED),
    },
    "a word": {"settings": {**KEYSTONE, "auth": "v2"}},
    "a setting": {"settings": {**KEYSTONE, "colour": "red"}},
    "a switch": {"settings": {**KEYSTONE, "cleartext": "yes"}},
    "a number": {"settings": {**KEYSTONE, "attempts": 0}},
    "a support": {"settings": {**KEYSTONE, "conditional-put": "maybe"}},
    "no such file": {"settings": {**KEYSTONE, "ca-bundle": "/nowhere/at/all.pem"}},
    "no certificates": {"settings": {**KEYSTONE, "ca-bundle": __file__}},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_a_binding_that_cannot_work_is_refused(changes):
    with pytest.raises(ConfigError) as caught:
        build(binding(**changes))
    assert PASSWORD not in str(caught.value)


def test_what_settings_change():
    store = build(binding(settings={**KEYSTONE, "conditional-put": "native", "key_max": 100, "put_max": 5}))
    assert store.capabilities[Feature.CONDITIONAL_PUT] is Support.NATIVE
    assert (store.limits.key_max, store.limits.put_max, store.limits.parts_max) == (100, 5, 1000)
    plain = build(binding())
    assert plain.capabilities[Feature.CONDITIONAL_PUT] is Support.UNSAFE
    assert plain.capabilities[Feature.RETENTION] is Support.ABSENT
    assert plain.capabilities[Feature.PRESIGN] is Support.ABSENT
    with pytest.raises(NotSupported):
        plain.presign("key", expires=timedelta(minutes=1))
    build(binding(endpoint="http://storage.example", settings={**KEYSTONE, "cleartext": True}))


def test_secrets_are_neither_shown_nor_pickled(service, bucket, caplog):
    service.server.create_container(bucket)
    base = service.keystone_binding(bucket)
    secrets = {"username": service.server.user, "password": service.server.key, "project_name": PROJECT}
    store = build(dataclasses.replace(base, credentials=Credentials({**secrets, "temp_url_key": "sign here"})))
    caplog.set_level("DEBUG")
    store.put("one", b"x", size=1)
    login = store._connection.login()
    shown = repr(store) + repr(store._connection.access) + repr(login) + caplog.text
    for secret in (service.server.key, "sign here", login.token):
        assert secret not in shown
    for holder in (store, store._connection, store._connection.access, login):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(holder)
    store.close()


@pytest.mark.parametrize("digest", ["sha256", "sha512", "sha1"])
def test_how_links_are_signed(service, bucket, digest):
    base = service.server.binding(
        bucket,
        settings={"link-digest": digest},
        credentials={"username": service.server.user, "password": service.server.key, "temp_url_key": "sign é here"},
    )
    store = build(base)
    url = urllib.parse.urlsplit(store.presign("a b/é", expires=timedelta(minutes=5)))
    store.close()
    query = dict(urllib.parse.parse_qsl(url.query))
    assert url.path == f"/v1/AUTH_test/{bucket}/a%20b/%C3%A9"
    signed = f"GET\n{query['temp_url_expires']}\n/v1/AUTH_test/{bucket}/a b/é".encode()
    made = hmac.new("sign é here".encode(), signed, digest)
    long = "sha512:" + base64.urlsafe_b64encode(made.digest()).decode()
    assert query["temp_url_sig"] == (long if digest == "sha512" else made.hexdigest())


METADATA = [
    {},
    {"a": ""},
    {"a": "v" * 256},
    {"a": "v" * 257},
    {"sov": "x" * 2045},
    {"a": "one" + " " * 600 + "two"},
    {"a": "<b>", "c": "<>", "d": ">"},
    {"a": "<" + "v" * 300 + ">", "b": "2"},
    {"n" * 124: "v" * 1900},
]


@pytest.mark.parametrize("metadata", METADATA, ids=range(len(METADATA)))
def test_metadata_come_back_and_fit_into_swift(metadata):
    headers = headers_of(metadata)
    assert dict(metadata_of({name.title(): value for name, value in headers.items()})) == metadata
    assert all(len(value) <= 256 and value == value.strip(" ") for value in headers.values())
    assert all(len(name.removeprefix("x-object-meta-")) <= 128 for name in headers)
    assert sum(len(name.removeprefix("x-object-meta-")) + len(value) for name, value in headers.items()) <= 4096


def test_metadata_of_others_are_left_as_they_are():
    for others in (
        {"a-1": "<x>", "a-3": "<y>"},
        {"a-1": "x"},
        {"a-1": "<x>", "a": "z"},
        {"a-2": "<x>"},
        {"b-c": "<x>"},
    ):
        assert metadata_of({f"X-Object-Meta-{name}": value for name, value in others.items()}) == others


def test_metadata_that_swift_does_not_take_are_refused():
    for wrong in ({"n" * 125: "v"}, {f"a{number}": "v" for number in range(91)}):
        with pytest.raises(InvalidArgument):
            headers_of(wrong)


def test_what_a_container_is_like(service, bucket):
    service.server.create_container(bucket)
    store = build(service.keystone_binding(bucket))
    found = store.inspect()
    assert (found.public, found.versioned, found.locks, found.region) == (False, False, False, "one")
    assert (found.encryption, found.removals) == (None, None)
    assert abs(found.skew) < timedelta(minutes=1)
    service.server.create_container(bucket, {"X-Container-Read": "test:reader"})
    assert store.inspect().public is False
    service.server.create_container(bucket, {"X-Container-Read": ".r:*,.rlistings", "X-Versions-Enabled": "True"})
    found = store.inspect()
    assert (found.public, found.versioned) == (True, True)
    store.close()


def test_what_nobody_tells_of_a_container_is_unknown(service, bucket):
    service.server.create_container(bucket)
    with ChaosProxy(service.server.host) as proxy:
        base = service.keystone_binding(bucket)
        settings = {"authority": f"{proxy.url}/v3", "attempts": 1}
        store = build(dataclasses.replace(base, endpoint=proxy.url, hosts=frozenset({proxy.host}), settings=settings))
        store._connection.login()
        # The list of readers is hidden from all but the owner; somebody without a token is not.
        proxy.script(None, Status(404))
        assert store.inspect().public is True
        proxy.script(None, Status(503))
        assert store.inspect().public is None
        proxy.script(Status(204, b"", (("X-Container-Object-Count", "0"),)), Status(403))
        assert store.inspect().clock is None
        # Who may not ask for the container learns what everybody may.
        proxy.script(Status(403), Status(401))
        found = store.inspect()
        assert (found.public, found.versioned, found.clock) == (False, None, None)
        proxy.script(Status(403), Status(503))
        with pytest.raises(PermissionDenied):
            store.inspect()
        store.close()


def test_the_library_is_loaded_by_build_and_named_when_it_is_missing():
    code = """
        import sys
        sys.modules["httpx"] = None
        from sovbroker.errors import ConfigError
        from sovbroker.ports import Binding, Credentials
        from sovbroker_adapters.swift import build
        given = Credentials({"username": "a", "password": "b", "project_id": "c"})
        hosts, settings = frozenset({"s.example", "a.example"}), {"authority": "https://a.example/v3"}
        try:
            build(Binding("t", "box", "https://s.example", None, hosts, given, settings))
        except ConfigError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert "pip install 'sovbroker[swift]'" in done.stdout, done.stderr
