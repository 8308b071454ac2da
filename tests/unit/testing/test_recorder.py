"""The recorder must find what passed, in every form that it promises, and nothing else."""

import base64
import gzip
import io
import urllib.parse
import urllib.request
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.errors import InvalidArgument
from sovbroker.testing.recorder import Recorder, traces

SECRET = "Jeanne Dupont née 2+2, 85 %".encode()
NOISE = bytes(range(256)) * 40


def lines(data):
    return base64.encodebytes(data)


@pytest.mark.parametrize(
    ("encode", "form"),
    [
        (lambda s: s, "raw"),
        (lambda s: s.hex().encode(), "hex"),
        (lambda s: s.hex().upper().encode(), "hex"),
        (lambda s: base64.b64encode(b"a" + s + b"zz"), "base64"),
        (lambda s: base64.urlsafe_b64encode(b"\xff\xfe" + s + b"z"), "base64"),
        (base64.b64encode, "base64"),
        (lambda s: lines(NOISE + s + NOISE), "base64"),
        (lambda s: urllib.parse.quote(s).encode(), "url-encoded raw"),
        (lambda s: urllib.parse.quote_plus(s).encode(), "url-encoded raw"),
        (lambda s: "".join(f"%{byte:02X}" for byte in s).encode(), "url-encoded raw"),
        (lambda s: urllib.parse.quote(base64.b64encode(s + b"?>"), safe="").encode(), "base64"),
        (lambda s: "".join(f"%{byte:02x}" for byte in base64.b64encode(s)).encode(), "url-encoded base64"),
        (lambda s: gzip.compress(NOISE + s + NOISE), "raw in gzip"),
        (lambda s: gzip.compress(s.hex().encode()), "hex in gzip"),
        (lambda s: zlib.compress(NOISE + s, 9), "raw in zlib"),
        (lambda s: gzip.compress(NOISE + s + NOISE)[:-40], "raw in gzip"),
    ],
)
def test_finds_a_secret_in_every_form(encode, form):
    assert form in traces(SECRET, NOISE + encode(SECRET) + NOISE)


def test_finds_nothing_in_noise():
    assert traces(SECRET, NOISE + gzip.compress(NOISE) + base64.b64encode(NOISE)) == []
    assert traces(SECRET, b"") == []


@given(secret=st.binary(min_size=4, max_size=40), before=st.binary(max_size=5), after=st.binary(max_size=5))
@settings(max_examples=200, deadline=None)
def test_finds_any_secret_at_any_alignment(secret, before, after):
    assert "raw" in traces(secret, before + secret + after)
    assert "base64" in traces(secret, b"<" + base64.b64encode(before + secret + after) + b">")
    assert "base64" in traces(secret, base64.urlsafe_b64encode(before + secret + after))
    assert "raw in gzip" in traces(secret, before + gzip.compress(before + secret + after) + after)


def test_refuses_a_secret_that_occurs_by_chance():
    with pytest.raises(InvalidArgument):
        traces(b"abc", b"")


class Echo(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[::-1])

    def log_message(self, format, *args):  # noqa: A002 - the name that http.server calls it by
        return


@pytest.fixture
def echo():
    server = HTTPServer(("127.0.0.1", 0), Echo)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def post(url, body):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, data=body, headers={"X-Name": "in a header"})  # noqa: S310 - a local server
    with opener.open(request, timeout=10) as answer:
        return answer.read()


def test_records_both_directions_of_each_target(echo):
    with Recorder() as recorder:
        one, other = recorder.in_front_of("one", echo), recorder.in_front_of("other", echo)
        assert post(one, b"secret body") == b"ydob terces"
        assert post(other, b"other body!") == b"!ydob rehto"
        big = io.BytesIO(NOISE * 50).getvalue()
        assert post(one, big) == big[::-1]
        assert recorder.saw(b"secret body") == ["one sent: raw"]
        assert recorder.saw(b"ydob terces") == ["one received: raw"]
        assert recorder.saw(b"other body!") == ["other sent: raw"]
        assert recorder.saw(b"other body!", target="one") == []
        assert recorder.saw(b"in a header") == ["one sent: raw", "other sent: raw"]
        assert recorder.saw(b"never there") == []
        assert {tape.direction for tape in recorder.tapes("one")} == {"sent", "received"}
        assert big in bytes(max(recorder.tapes("one", direction="sent"), key=lambda tape: len(tape.data)).data)
    recorder.close()
    assert recorder.saw(b"secret body") == ["one sent: raw"]
