"""What both ways to make a call of REST hold to: an end, a size, and nobody's environment."""

import re
import socket
import threading
import time

import certifi
import pytest

from sovbroker.errors import ConfigError, Unavailable
from sovbroker.ports import Binding, waiting
from sovbroker_adapters import calls
from sovbroker_adapters.calls import Caller
from sovbroker_adapters.held import held_client
from sovbroker_adapters.rest import Call, Rest
from sovbroker_adapters.s3.wire import Wire
from sovbroker_adapters.tls import trust


@pytest.fixture
def trickling():
    """A server that answers at once, and gives its body a byte at a time, without end."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def answer():
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not over.wait(0.02):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    thread = threading.Thread(target=answer)
    thread.start()
    yield f"127.0.0.1:{listening.getsockname()[1]}"
    over.set()
    thread.join()
    listening.close()


def askers(host):
    binding = Binding("place", "", endpoint=f"http://{host}", hosts=frozenset({host}))
    caller, asker = Caller(binding, connect=5, read=30), Rest(binding, lambda answer: Unavailable("refused"))
    return {
        "caller": (lambda: caller.call("GET", f"http://{host}/", headers={}), caller.close),
        "rest": (lambda: asker.ask(Call("GET", f"http://{host}/")), asker.close),
    }


@pytest.mark.parametrize("name", ["caller", "rest"])
def test_a_body_that_trickles_in_ends_with_the_deadline(trickling, name):
    ask, close = askers(trickling)[name]
    with pytest.raises(Unavailable), waiting(deadline=time.monotonic() + 0.3, repeats=True):
        ask()
    close()


@pytest.mark.parametrize("name", ["caller", "rest"])
def test_a_body_without_end_is_given_up(trickling, name, monkeypatch):
    monkeypatch.setattr(calls, "ANSWER_MAX", 5)
    ask, close = askers(trickling)[name]
    with pytest.raises(Unavailable, match="more than"), waiting(deadline=time.monotonic() + 60, repeats=True):
        ask()
    close()


@pytest.mark.parametrize("bundle", [None, certifi.where()])
def test_no_variable_writes_down_what_protects_the_traffic(tmp_path, monkeypatch, bundle):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert trust(bundle, target="place").keylog_filename is None
    held_client("place", hosts=frozenset(), waits=(1, 1)).close()
    Wire(
        "https://127.0.0.1:1", connect_timeout=1, read_timeout=1, certificates=certifi.where(), most=1, target="t"
    ).close()
    assert not (tmp_path / "keys").exists()


def test_certificates_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "none.pem").write_text("nothing")
    for bundle in (tmp_path / "none.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match=re.escape(f"place: the certificates of `{bundle}`")):
            trust(bundle, target="place")
