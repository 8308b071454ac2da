"""What both ways to make a call of REST hold to: an end, a size, and nobody's environment."""

import socket
import threading
import time

import pytest

from sovbroker.errors import Unavailable
from sovbroker.ports import Binding, waiting
from sovbroker_adapters import rest
from sovbroker_adapters.calls import Caller
from sovbroker_adapters.rest import Call, Rest


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
    monkeypatch.setattr(rest, "ANSWER_MAX", 5)
    ask, close = askers(trickling)[name]
    with pytest.raises(Unavailable, match="more than"), waiting(deadline=time.monotonic() + 60, repeats=True):
        ask()
    close()


def test_no_variable_writes_down_what_protects_the_traffic(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    rest.held_client("place").close()
    assert not (tmp_path / "keys").exists()
