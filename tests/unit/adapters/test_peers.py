"""No address but the target's: names that lead elsewhere, redirects and proxies are told nothing, not one byte."""

from __future__ import annotations

import base64
import io
import socket
import threading
from types import SimpleNamespace

import pytest
import urllib3

from sovbroker.errors import ConfigError, PermissionDenied, SovbrokerError, StoreError
from sovbroker.ports import Binding, Credentials
from sovbroker_adapters import azure, gcs, s3, webdav
from sovbroker_adapters.peers import check_peer, own_machine, watch

KEY = base64.b64encode(b"k" * 64).decode()


class Listener:
    """A server that takes what comes, and answers every request with `answer`, if there is one."""

    def __init__(self):
        self.answer = b""
        self._heard = []
        self._listening = []
        self._last = threading.Semaphore(0)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

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
                    if self.answer and b"\r\n\r\n" in heard:
                        connection.sendall(self.answer)
                        return
            except OSError:
                return
        if heard == b"the last one":
            self._last.release()

    def heard(self):
        """What came on each connection, in order; all of it, once the clients have hung up."""
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"the last one")
        self._last.acquire()
        for listening in list(self._listening):
            listening.join()
        return [bytes(heard) for heard in self._heard if heard != b"the last one"]

    def close(self):
        self._socket.close()


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def other():
    listener = Listener()
    yield listener
    listener.close()


def opened(adapter, host, port, *, scheme="http"):
    """A store whose endpoint is a name."""
    at = {"endpoint": f"{scheme}://{host}:{port}", "hosts": frozenset({f"{host}:{port}"})}
    quick = {"attempts": 1, "connect-timeout": 5, "read-timeout": 5}
    match adapter:
        case "s3":
            return s3.build(Binding("t", "bucket", region="r", settings={"anonymous": True, **quick}, **at))
        case "azure":
            credentials = Credentials({"account": "acct", "access_key": KEY})
            at["endpoint"] += "/acct"
            return azure.build(
                Binding("t", "bucket", credentials=credentials, settings={"addressing": "path", **quick}, **at)
            )
        case "gcs":
            return gcs.build(Binding("t", "bucket", settings={"anonymous": True, **quick}, **at))
        case "webdav":
            return webdav.build(Binding("t", "bucket", settings={"anonymous": True, **quick}, **at))


CALLS = {
    "head": lambda store: store.head("key"),
    "get": lambda store: store.get("key"),
    "range": lambda store: store.get("key", range=(0, 1)),
    "put": lambda store: store.put("key", b"secret", size=6),
    "stream": lambda store: store.put("key", io.BytesIO(b"secret"), size=6),
    "delete": lambda store: store.delete("key"),
    "list": lambda store: list(store.list()),
    "copy": lambda store: store.copy("key", "other"),
}
ADAPTERS = ["s3", "azure", "gcs", "webdav"]


@pytest.fixture
def poisoned(monkeypatch):
    """DNS that says of every name that it is this machine."""
    known = socket.getaddrinfo

    def resolve(host, *args, **named):
        return known("127.0.0.1" if str(host).endswith(".example") else host, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("call", CALLS)
def test_a_name_that_leads_to_this_machine_is_told_nothing(listener, poisoned, adapter, call):
    store = opened(adapter, "storage.example", listener.port)
    with pytest.raises(PermissionDenied, match=r"t: nothing was sent: `storage.example` has led to 127.0.0.1"):
        CALLS[call](store)
    store.close()
    assert set(listener.heard()) == {b""}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_tls_does_not_begin_before_it_is_known_who_answers(listener, poisoned, adapter):
    store = opened(adapter, "storage.example", listener.port, scheme="https")
    with pytest.raises(PermissionDenied, match="nothing was sent"):
        store.head("key")
    store.close()
    assert set(listener.heard()) == {b""}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::a9fe:a9fe", "fd00:ec2::254", "::ffff:169.254.169.254"])
def test_what_turns_out_to_be_a_metadata_service_is_told_nothing(listener, monkeypatch, adapter, address):
    monkeypatch.setattr(socket.socket, "getpeername", lambda _: (address, 80))
    store = opened(adapter, "127.0.0.1", listener.port)
    with pytest.raises(PermissionDenied, match="nothing was sent"):
        store.put("key", b"secret", size=6)
    store.close()
    assert set(listener.heard()) == {b""}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("address", ["10.0.0.8", "192.168.1.1", "fd12:3456::1", "52.95.110.1"])
def test_private_addresses_and_all_others_are_spoken_to(listener, monkeypatch, poisoned, adapter, address):
    """The control of the tests above, too."""
    monkeypatch.setattr(socket.socket, "getpeername", lambda _: (address, 80))
    listener.answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    store = opened(adapter, "storage.example", listener.port)
    with pytest.raises(StoreError):
        store.head("key")
    store.close()
    assert any(listener.heard())


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_proxies_of_the_environment_are_not_used(listener, other, monkeypatch, adapter):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for spelled in (name, name.upper()):
            monkeypatch.setenv(spelled, f"http://127.0.0.1:{other.port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    listener.answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    for scheme in ("http", "https"):
        store = opened(adapter, "127.0.0.1", listener.port, scheme=scheme)
        with pytest.raises(SovbrokerError):
            store.head("key")
        store.close()
    assert any(listener.heard())
    assert other.heard() == []


@pytest.mark.parametrize("adapter", ["azure", "gcs", "webdav"])
@pytest.mark.parametrize("code", [300, 301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize("call", CALLS)
def test_a_redirect_leads_nowhere(listener, other, adapter, code, call):
    at = f"http://127.0.0.1:{other.port}/bucket/key"
    listener.answer = (
        f"HTTP/1.1 {code} Moved\r\nLocation: {at}\r\nContent-Location: {at}\r\nRefresh: 0; url={at}\r\n"
        f"x-ms-secondary-location: {at}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    ).encode()
    store = opened(adapter, "127.0.0.1", listener.port)
    with pytest.raises(SovbrokerError):
        CALLS[call](store)
    store.close()
    assert any(listener.heard())
    assert other.heard() == []


# --- the rule


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "fe80::1",
        "fe80::1%eth0",
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
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "no address",
        "",
    ],
)
def test_no_store_is_there(address):
    with pytest.raises(PermissionDenied, match="where no store is"):
        check_peer(address, "storage.example", target="t")


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "0.0.0.0", "::ffff:169.254.1.1"])  # noqa: S104 - as above
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "169.254.169.254"])
def test_a_host_that_says_so_itself_makes_only_this_machine_one(address, host):
    with pytest.raises(PermissionDenied):
        check_peer(address, host, target="t")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "bucket.localhost", "127.0.0.1", "127.8.9.1", "::1"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_this_machine_is_spoken_to_by_its_own_names(host, address):
    assert own_machine(host)
    check_peer(address, host, target="t")


@pytest.mark.parametrize("host", ["localhost.example", "127.0.0.1.example", "notlocalhost", "", "10.0.0.1", "127.0.0"])
def test_other_names_are_not_this_machine(host):
    assert not own_machine(host)


def test_an_http_library_that_connects_elsewhere_is_not_used():
    class Pool:
        class ConnectionCls:
            """A connection that is made in another way."""

    for manager in (None, SimpleNamespace(), SimpleNamespace(pool_classes_by_scheme={"http": Pool})):
        with pytest.raises(ConfigError, match="cannot be held to its hosts"):
            watch(manager, lambda address, host: None)


def test_other_users_of_the_library_are_left_alone():
    before = urllib3.PoolManager().pool_classes_by_scheme
    plain = {scheme: pool.ConnectionCls for scheme, pool in before.items()}
    manager = urllib3.PoolManager()
    watch(manager, lambda address, host: None)
    assert manager.pool_classes_by_scheme["http"] is not before["http"]
    assert urllib3.PoolManager().pool_classes_by_scheme is before
    assert {scheme: pool.ConnectionCls for scheme, pool in before.items()} == plain
