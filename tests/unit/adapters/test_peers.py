"""No address but a store's: names that lead to this machine or to a metadata service are told nothing, not one byte."""

import base64
import io
import socket
import ssl
import threading
import time
from types import SimpleNamespace

import httpx
import pytest
import requests
import urllib3

from sovbroker.errors import ConfigError, KeyUnavailable, PermissionDenied, StoreError, Unavailable
from sovbroker.ports import Binding, Credentials, KeyBinding, waiting
from sovbroker_adapters import azure, gcs, kms, libcloud, obstore, ovh, s3, swift, vault, webdav
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.memory import MemoryStore
from sovbroker_adapters.okms import OkmsService
from sovbroker_adapters.peers import (
    check_name,
    check_peer,
    own_machine,
    watch_manager,
    watch_session,
    watch_transport,
)

KEYS = Credentials({"access_key": "test", "secret_key": "test-secret"})
AZURE = Credentials({"account": "acct", "access_key": base64.b64encode(b"k" * 64).decode()})
SWIFT = Credentials({"username": "somebody", "password": "secret", "project_name": "records"})
CLOSE = b"Connection: close\r\n"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n" + CLOSE + b"\r\n"


class Listener:
    """A server that takes what comes, and answers the head of every request with `answer`, if there is one."""

    def __init__(self):
        self.answer = b""
        self._heard = []
        self._listening = []
        self._last = threading.Semaphore(0)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            heard = bytearray()
            self._heard.append(heard)
            listening = threading.Thread(target=self._listen, args=(connection, heard), daemon=True)
            listening.start()
            self._listening.append(listening)

    def _listen(self, connection, heard):
        with connection:
            try:
                while data := connection.recv(65536):
                    heard += data
                    if self.answer and b"\r\n\r\n" in data:
                        connection.sendall(self.answer)
                        if CLOSE in self.answer:
                            return
            except OSError:
                return
        if heard == b"the last one":
            self._last.release()

    @property
    def connections(self):
        """How many there have been; surely all of those that a client was answered on."""
        return len(self._heard)

    def heard(self):
        """What came on each connection, in order; all of it, once the clients have hung up."""
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"the last one")
        self._last.acquire()
        for listening in list(self._listening):
            listening.join()
        return [bytes(heard) for heard in self._heard if heard != b"the last one"]

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._serving.join()
        self._socket.close()


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def poisoned(monkeypatch):
    """A DNS that says of every name that it is this machine, and of one that it is the metadata service."""
    known = socket.getaddrinfo

    def resolve(host, *args, **named):
        host = host.decode() if isinstance(host, bytes) else str(host)
        if host == "metadata.example":
            return known("169.254.169.254", *args, **named)
        return known("127.0.0.1" if host.endswith(".example") else host, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def opened(adapter, host, port, *, scheme="http"):
    """What is opened at an endpoint that is a name."""
    at = {"endpoint": f"{scheme}://{host}:{port}", "hosts": frozenset({f"{host}:{port}"})}
    quick = {"attempts": 1, "connect-timeout": 5, "read-timeout": 5}
    match adapter:
        case "s3":
            return s3.build(Binding("t", "bucket", region="r", credentials=KEYS, settings=quick, **at))
        case "azure":
            at["endpoint"] += "/acct"
            return azure.build(
                Binding("t", "bucket", credentials=AZURE, settings={"addressing": "path", **quick}, **at)
            )
        case "gcs":
            return gcs.build(Binding("t", "bucket", settings={"anonymous": True, **quick}, **at))
        case "webdav":
            return webdav.build(Binding("t", "bucket", settings={"anonymous": True, **quick}, **at))
        case "swift":
            own = {"authority": f"{at['endpoint']}/v3", "cleartext": True}
            return swift.build(Binding("t", "bucket", credentials=SWIFT, settings=own | quick, **at))
        case "libcloud":
            own = {"driver": "minio"}
            return libcloud.build(Binding("t", "bucket", region="r", credentials=KEYS, settings=own | quick, **at))


CALLS = {
    "head": lambda store: store.head("key"),
    "get": lambda store: store.get("key"),
    "range": lambda store: store.get("key", range=(0, 1)),
    "put": lambda store: store.put("key", b"secret", size=6),
    "stream": lambda store: store.put("key", io.BytesIO(b"secret"), size=6),
    "delete": lambda store: store.delete("key"),
    "list": lambda store: list(store.list()),
}
ADAPTERS = ["azure", "gcs", "libcloud", "s3", "swift", "webdav"]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("call", CALLS)
def test_a_name_that_leads_to_this_machine_is_told_nothing(listener, poisoned, adapter, call):
    store = opened(adapter, "storage.example", listener.port)
    with pytest.raises(PermissionDenied, match=r"t: nothing was sent: `storage.example` has led to 127.0.0.1"):
        CALLS[call](store)
    store.close()
    assert set(listener.heard()) == {b""}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("call", ["head", "list"])
def test_tls_does_not_begin_before_it_is_known_who_answers(listener, poisoned, adapter, call):
    store = opened(adapter, "storage.example", listener.port, scheme="https")
    with pytest.raises(PermissionDenied, match="nothing was sent"):
        CALLS[call](store)
    store.close()
    assert set(listener.heard()) == {b""}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("call", ["put", "list"])
@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::a9fe:a9fe", "fd00:ec2::254", "::ffff:169.254.169.254"])
def test_what_turns_out_to_be_a_metadata_service_is_told_nothing(listener, monkeypatch, adapter, call, address):
    monkeypatch.setattr(socket.socket, "getpeername", lambda _: (address, 80))
    store = opened(adapter, "127.0.0.1", listener.port)
    with pytest.raises(PermissionDenied, match="nothing was sent"):
        CALLS[call](store)
    store.close()
    assert set(listener.heard()) == {b""}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("call", ["head", "list"])
@pytest.mark.parametrize("address", ["10.0.0.8", "192.168.1.1", "fd12:3456::1", "52.95.110.1"])
def test_private_addresses_and_all_others_are_spoken_to(listener, monkeypatch, poisoned, adapter, call, address):
    """The control of the tests above, too."""
    monkeypatch.setattr(socket.socket, "getpeername", lambda _: (address, 80))
    listener.answer = FORBIDDEN
    store = opened(adapter, "storage.example", listener.port)
    with pytest.raises(StoreError):
        CALLS[call](store)
    store.close()
    assert any(listener.heard())


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("call", ["head", "list"])
def test_one_who_has_left_already_is_no_answer(listener, monkeypatch, adapter, call):
    def gone(_):
        raise OSError("not connected")

    monkeypatch.setattr(socket.socket, "getpeername", gone)
    store = opened(adapter, "127.0.0.1", listener.port)
    with pytest.raises(Unavailable):
        CALLS[call](store)
    store.close()
    assert set(listener.heard()) == {b""}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_connection_is_looked_at_once(listener, monkeypatch, adapter):
    """And not each request that it serves."""
    store = opened(adapter, "127.0.0.1", listener.port)
    listener.answer = FORBIDDEN.replace(CLOSE, b"")
    looks = []
    looked = socket.socket.getpeername
    monkeypatch.setattr(socket.socket, "getpeername", lambda each: looks.append(each) or looked(each))
    for _ in range(3):
        with pytest.raises(StoreError):
            store.head("key")
    store.close()
    assert len(looks) == listener.connections == 1


# --- what is not a store


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_key_service_that_is_elsewhere_is_told_nothing(listener, poisoned, scheme):
    at = {
        "endpoint": f"{scheme}://keys.example:{listener.port}",
        "hosts": frozenset({f"keys.example:{listener.port}"}),
    }
    services = [
        OkmsService(KeyBinding("k", "a/b", **at), ssl.create_default_context(), timeout=5),
        vault.build(
            KeyBinding("k", "b", credentials=Credentials({"token": "secret"}), settings={"cleartext": True}, **at)
        ),
    ]
    if scheme == "https":
        keys = Credentials({"access_key": "a", "secret_key": "secret"})
        services.append(kms.build(KeyBinding("k", "b", region="eu-west-3", credentials=keys, **at)))
    for service in services:
        with pytest.raises(KeyUnavailable, match=r"out of reach: k: nothing was sent: `keys.*` has led to"):
            service.wrap(b"secret", b"context")
        service.close()
    assert set(listener.heard()) == {b""}
    assert len(listener.heard()) == len(services)


def test_a_key_service_that_has_left_already_is_out_of_reach(listener, monkeypatch):
    def gone(_):
        raise OSError("not connected")

    monkeypatch.setattr(socket.socket, "getpeername", gone)
    host = f"127.0.0.1:{listener.port}"
    binding = KeyBinding("k", "a/b", f"http://{host}", hosts=frozenset({host}))
    service = OkmsService(binding, ssl.create_default_context(), timeout=5)
    with pytest.raises(KeyUnavailable, match="out of reach"):
        service.wrap(b"secret", b"context")
    service.close()


def test_a_key_service_is_out_of_reach_for_one_who_waits_no_longer(listener):
    host = f"127.0.0.1:{listener.port}"
    binding = KeyBinding("k", "a/b", f"http://{host}", hosts=frozenset({host}))
    service = OkmsService(binding, ssl.create_default_context(), timeout=5)
    with pytest.raises(KeyUnavailable, match="out of reach"), waiting(deadline=time.monotonic() - 1, repeats=False):
        service.wrap(b"secret", b"context")
    service.close()


def test_an_account_plane_that_is_elsewhere_is_told_nothing(listener, poisoned):
    host = f"api.example:{listener.port}"
    names = ("application_key", "application_secret", "consumer_key")
    secrets = Credentials(dict.fromkeys(names, "secret"))
    at = {"endpoint": f"http://{host}/1.0", "hosts": frozenset({host})}
    accounts = ovh.build(Binding("t", "project", credentials=secrets, settings={"read-timeout": 5}, **at))
    with pytest.raises(PermissionDenied, match=r"nothing was sent: `api.*` has led to"):
        accounts.regions()
    accounts.close()
    assert set(listener.heard()) == {b""}


# --- what cannot be watched


@pytest.mark.parametrize("name", ["storage.example", "metadata.example"])
@pytest.mark.parametrize("call", ["head", "get", "put"])
def test_the_fast_lane_looks_where_a_name_leads_before_it_is_used(listener, poisoned, name, call):
    host = f"{name}:{listener.port}"
    settings = {"protocol": "s3", "addressing": "path"}
    lane = obstore.build(
        Binding(
            "t",
            "bucket",
            endpoint=f"http://{host}",
            hosts=frozenset({host}),
            credentials=KEYS,
            settings=settings,
            beside=MemoryStore(target="t"),
        )
    )
    for _ in range(2):
        with pytest.raises(PermissionDenied, match=f"nothing was sent: `{name}` has led to"):
            CALLS[call](lane)
    assert listener.heard() == []


def test_a_name_is_what_all_its_addresses_are(monkeypatch):
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("52.95.110.1", 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%eth0", 0, 0, 2)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(PermissionDenied, match="fe80::1"):
        check_name("storage.example", target="t")
    found.pop()
    check_name("storage.example", target="t")


def test_a_name_without_an_address_is_found_out_by_who_uses_it(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    check_name("storage.example", target="t")
    monkeypatch.undo()
    check_name("a" * 64 + ".example", target="t")


# --- the rule

NOWHERE = [
    "169.254.169.254",
    "169.254.170.2",
    "fe80::1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:42::42",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",  # noqa: S104 - what is refused
    "::",
    "224.0.0.1",
    "ff02::1",
]
OURS = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]


@pytest.mark.parametrize("address", [*NOWHERE, *OURS, "fe80::1%eth0", "no address", ""])
def test_no_store_is_there(address):
    with pytest.raises(PermissionDenied, match="where no store is"):
        check_peer(address, "storage.example", target="t")


@pytest.mark.parametrize("address", NOWHERE)
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "169.254.169.254"])
def test_a_host_that_says_so_itself_makes_only_this_machine_one(address, host):
    with pytest.raises(PermissionDenied):
        check_peer(address, host, target="t")


@pytest.mark.parametrize("address", NOWHERE)
def test_a_url_that_names_such_an_address_is_none_of_the_hosts(address):
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(PermissionDenied, match="is not a host"):
        check_host(f"https://{host}/", hosts={host, address}, target="t")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.8.9.1", "::1"])
@pytest.mark.parametrize("address", OURS)
def test_this_machine_is_spoken_to_by_its_own_names(host, address):
    assert own_machine(host)
    check_peer(address, host, target="t")
    check_peer(address, "bucket.localhost", target="t")


@pytest.mark.parametrize(
    "host", ["localhost.example", "127.0.0.1.example", "notlocalhost", "bucket.localhost", "", "10.0.0.1", "127.0.0"]
)
def test_other_names_are_not_this_machine(host):
    assert not own_machine(host)


def test_an_http_library_that_connects_elsewhere_is_not_used():
    class Pool:
        class ConnectionCls:
            """A connection that is made in another way."""

    for manager in (None, SimpleNamespace(), SimpleNamespace(pool_classes_by_scheme={"http": Pool})):
        with pytest.raises(ConfigError, match="urllib3 cannot be held to its hosts"):
            watch_manager(manager, target="t")
    for transport in (None, SimpleNamespace(), SimpleNamespace(_pool=SimpleNamespace(_network_backend=None))):
        with pytest.raises(ConfigError, match="httpx cannot be held to its hosts"):
            watch_transport(transport, target="t")


def test_other_users_of_the_libraries_are_left_alone(listener, poisoned):
    listener.answer = FORBIDDEN
    before = urllib3.PoolManager().pool_classes_by_scheme
    plain = {scheme: pool.ConnectionCls for scheme, pool in before.items()}
    with requests.Session() as session, httpx.HTTPTransport() as transport:
        watch_session(session, target="t")
        watch_transport(transport, target="t")
    assert urllib3.PoolManager().pool_classes_by_scheme is before
    assert {scheme: pool.ConnectionCls for scheme, pool in before.items()} == plain
    url = f"http://storage.example:{listener.port}/"
    with requests.Session() as session, httpx.Client(trust_env=False) as client:
        session.trust_env = False
        assert session.get(url, timeout=5).status_code == client.get(url).status_code == 403
