"""A body that is given part by part: what was given comes out once, in order, and every part is let go."""

from __future__ import annotations

import threading

import pytest

from sovbroker.errors import Unavailable
from sovbroker.transfer.stream import Stream


class Sent:
    def __init__(self, put):
        self.errors = []
        self.gone = []
        self.stream = Stream(put, failed=self.errors.append)

    def give(self, *parts):
        for part in parts:
            self.stream.give(part, done=lambda part=part: self.gone.append(part))


@pytest.mark.parametrize("ask", [1, 3, 100, -1])
def test_what_was_given_comes_out_once_and_in_order(ask):
    got = []
    sent = Sent(lambda body: got.extend(iter(lambda: body.read(ask), b"")))
    sent.give(b"first", b"", bytearray(b"second"), memoryview(b"third"))
    sent.stream.finish()
    assert b"".join(got) == b"firstsecondthird"
    assert sent.errors == []
    assert len(sent.gone) == 4


def test_a_part_is_kept_until_all_of_it_was_read():
    read, go = threading.Event(), threading.Event()

    def put(body):
        body.read(4)
        read.set()
        go.wait()
        body.read(10)

    sent = Sent(put)
    sent.give(b"first")
    read.wait()
    assert sent.gone == []
    go.set()
    sent.stream.finish()
    assert sent.gone == [b"first"]


@pytest.mark.parametrize("stopped", [True, False])
def test_after_a_failure_nothing_is_kept(stopped):
    error = Unavailable("reset")

    def put(body):
        body.read(1)
        raise error

    sent = Sent(lambda body: body.read(100) and body.read(100) if stopped else put(body))
    sent.give(b"first")
    if stopped:
        sent.stream.stop(error)
    else:
        sent.stream.finish()
    sent.give(b"second", b"third")
    assert sent.gone == [b"first", b"second", b"third"]
    assert sent.errors == [error]
    with pytest.raises(Unavailable, match="reset"):
        sent.stream.read(1)
