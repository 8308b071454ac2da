"""The chaos proxy must break just what it is told to break."""

import http.client
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from sovbroker.testing.chaos import (
    ChaosProxy,
    Cut,
    Duplicate,
    Flip,
    Latency,
    Reset,
    Seen,
    Side,
    Stall,
    Status,
    Truncate,
)


class Keeping(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(body)
        self.answer(b"stored " + body)

    def do_GET(self):
        if self.path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n")
            return
        self.answer(b"0123456789" * 100)

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):  # noqa: A002 - the name that http.server calls it by
        return


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Say nothing: broken connections are the point."""


@pytest.fixture
def server():
    server = Server(("127.0.0.1", 0), Keeping)
    server.daemon_threads = True
    server.bodies = []
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(server):
    with ChaosProxy(f"127.0.0.1:{server.server_port}") as proxy:
        yield proxy


def ask(proxy, method="GET", path="/", body=None, timeout=10):
    connection = http.client.HTTPConnection(proxy.host, timeout=timeout)
    try:
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_passes_on_what_is_not_scripted(proxy, server):
    connection = http.client.HTTPConnection(proxy.host, timeout=10)
    for body in (b"", b"one", b"x" * 3_000_000):
        connection.request("PUT", "/key?a=b", body=body)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"stored " + body)
    connection.request("HEAD", "/key")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Content-Length"], answer.read()) == (200, "1000", b"")
    connection.request("GET", "/chunked")
    assert connection.getresponse().read() == b"abcdefg"
    connection.close()
    assert proxy.seen[0] == Seen("PUT", "/key?a=b", 0)
    assert [seen.method for seen in proxy.seen] == ["PUT", "PUT", "PUT", "HEAD", "GET"]
    assert server.bodies == [b"", b"one", b"x" * 3_000_000]


def test_scripts_one_request_each(proxy):
    proxy.script(Status(503, b"later", (("Retry-After", "1"),)), None, Status(404))
    assert [ask(proxy)[0] for _ in range(4)] == [503, 200, 404, 200]
    proxy.always(Status(500))
    assert [ask(proxy)[0] for _ in range(2)] == [500, 500]
    proxy.always(None)
    assert ask(proxy)[0] == 200


def test_answers_by_itself(proxy, server):
    proxy.script(Status(418, b"tea"))
    assert ask(proxy, "PUT", body=b"never there") == (418, b"tea")
    assert server.bodies == []


def test_resets_an_answer(proxy):
    proxy.script(Reset())
    with pytest.raises(ConnectionError):
        ask(proxy)
    proxy.script(Reset(after=10))
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        ask(proxy)


def test_resets_a_request(proxy, server):
    for after in (None, 10):
        proxy.script(Reset(after=after, on=Side.REQUEST))
        with pytest.raises(ConnectionError):
            ask(proxy, "PUT", body=b"x" * 10_000_000)
    assert server.bodies == []
    assert proxy.seen == ()


def test_truncates_an_answer(proxy):
    proxy.script(Truncate(after=10))
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(proxy)
    assert caught.value.partial == b"0123456789"


def test_stalls(proxy):
    for after in (None, 10):
        proxy.script(Stall(after=after))
        with pytest.raises(TimeoutError):
            ask(proxy, timeout=0.2)


def test_flips_a_byte(proxy, server):
    proxy.script(Flip(at=1), Flip(at=0, on=Side.ANSWER))
    assert ask(proxy, "PUT", body=b"abc") == (200, b"stored acc")
    assert ask(proxy, "PUT", body=b"abc") == (200, b"rtored abc")
    assert server.bodies == [b"acc", b"abc"]


def test_cuts_and_duplicates_a_request(proxy, server):
    proxy.script(Cut(keep=2), Duplicate())
    assert ask(proxy, "PUT", body=b"abcdef") == (200, b"stored ab")
    assert ask(proxy, "PUT", body=b"twice") == (200, b"stored twice")
    assert server.bodies == [b"ab", b"twice", b"twice"]


def test_is_late(proxy):
    proxy.script(Latency(0.05))
    before = time.monotonic()
    assert ask(proxy)[0] == 200
    assert time.monotonic() - before >= 0.05


def test_closes_twice_with_open_connections(proxy):
    connection = http.client.HTTPConnection(proxy.host, timeout=10)
    connection.connect()
    proxy.close()
    proxy.close()
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        ask(proxy)
