"""Sources that are awaited: every byte arrives once and in order, in pieces worth a thread, one at a time."""

from __future__ import annotations

import asyncio
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.aio import sources
from sovbroker.aio.sources import feed, is_async
from sovbroker.errors import InvalidArgument

PIECE = 64


@pytest.fixture(autouse=True, scope="module")
def small_pieces():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "PIECE", PIECE)
        yield


class File:
    """An async file that gives what it likes, up to what it is asked for. Iterated, it would give lines."""

    def __init__(self, data, lengths=(1 << 20,)):
        self._file = io.BytesIO(data)
        self._lengths = list(lengths)
        self.asked = []

    async def read(self, size=-1, /):
        self.asked.append(size)
        await asyncio.sleep(0)
        most = self._lengths.pop(0) if self._lengths else size
        return self._file.read(min(size, most))

    async def __aiter__(self):
        pytest.fail("a file was read by lines")
        yield b""


async def iterable(pieces):
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


def fed(data):
    written = []

    async def write(piece):
        written.append(bytes(piece))

    asyncio.run(feed(data, write))
    return written


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(0, 3 * PIECE), max_size=12), kind=st.sampled_from([bytes, bytearray, memoryview]))
def test_what_an_iterable_gives_arrives(lengths, kind):
    pieces = [bytes([n % 256]) * length for n, length in enumerate(lengths)]
    written = fed(iterable([kind(piece) for piece in pieces]))
    assert b"".join(written) == b"".join(pieces)
    assert all(len(piece) >= PIECE for piece in written[:-1])
    assert all(len(piece) < PIECE + max(lengths) for piece in written)


@settings(max_examples=50, deadline=None)
@given(size=st.integers(0, 5 * PIECE), lengths=st.lists(st.integers(1, 2 * PIECE), max_size=6))
def test_what_a_file_gives_arrives(size, lengths):
    data = bytes(n % 256 for n in range(size))
    file = File(data, lengths)
    assert b"".join(fed(file)) == data
    assert set(file.asked) == {PIECE}


def test_nothing_is_asked_of_a_source_while_a_write_runs():
    log = []

    async def source():
        for n in range(5):
            log.append(f"gives {n}")
            yield bytes(PIECE)

    async def write(piece):
        log.append("begins")
        for _ in range(20):
            await asyncio.sleep(0)
        log.append("ends")

    asyncio.run(feed(source(), write))
    assert log == [word for n in range(5) for word in (f"gives {n}", "begins", "ends")]


def test_a_long_piece_is_handed_on_as_it_is():
    piece = bytes(10 * PIECE)
    got = []

    async def write(data):
        got.append(data)

    asyncio.run(feed(iterable([piece]), write))
    assert got[0] is piece


@pytest.mark.parametrize("piece", ["text", None, 7, [1, 2]])
def test_what_is_not_bytes_is_refused(piece):
    with pytest.raises(InvalidArgument, match=type(piece).__name__):
        fed(iterable([b"bytes", piece]))


def test_a_text_file_is_refused():
    class Text:
        async def read(self, size=-1):
            return "text"

    with pytest.raises(InvalidArgument, match="str"):
        fed(Text())


def test_a_stream_reader_is_a_file():
    async def main():
        reader = asyncio.StreamReader()
        reader.feed_data(b"one\ntwo\n")
        reader.feed_eof()
        assert is_async(reader)
        written = []

        async def write(piece):
            written.append(bytes(piece))

        await feed(reader, write)
        return written

    assert asyncio.run(main()) == [b"one\ntwo\n"]


@pytest.mark.parametrize("data", [b"bytes", io.BytesIO(), ["pieces"], iter([b"x"]), "text", 3, None])
def test_what_does_not_wait_is_left_to_threads(data):
    assert not is_async(data)
