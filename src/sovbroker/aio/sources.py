"""Data that has to be awaited, brought to a writer in pieces worth a thread's while."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Final, Protocol, TypeGuard

from sovbroker.errors import InvalidArgument
from sovbroker.ports import Bytes
from sovbroker.writing import Data

__all__ = ["AsyncData", "AsyncReadable", "feed", "is_async"]

PIECE: Final = 1 << 20


class AsyncReadable(Protocol):
    """A binary file whose `read` is awaited: aiofiles, anyio, `asyncio.StreamReader`, uploads of web frameworks."""

    async def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        ...


AsyncData = Data | AsyncReadable | AsyncIterable[bytes]
"""What `put` takes: bytes-like, a binary file, an iterable of bytes, a Path, and the awaited kinds of the two."""


def is_async(data: object) -> TypeGuard[AsyncReadable | AsyncIterable[bytes]]:
    """Whether data has to be awaited."""
    return _reads(data) or hasattr(data, "__aiter__")


def _reads(data: object) -> TypeGuard[AsyncReadable]:
    """Whether it is a file; one that can be iterated too would often give lines, which are small."""
    return inspect.iscoroutinefunction(getattr(data, "read", None))


async def feed(data: AsyncReadable | AsyncIterable[bytes], write: Callable[[Bytes], Awaitable[object]]) -> None:
    """Give all of `data` to `write`, one piece at a time: nothing is asked of the source while a write runs.

    Small pieces are joined, up to 1 MiB. Raises InvalidArgument for what is not bytes.
    """
    joined = bytearray()
    async for piece in _blocks(data) if _reads(data) else _iterated(data):
        if not isinstance(piece, (bytes, bytearray, memoryview)):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without a type checker
            raise InvalidArgument(f"the source gave {type(piece).__name__}, and data is bytes")
        if not joined and memoryview(piece).nbytes >= PIECE:
            await write(piece)
            continue
        joined += piece
        if len(joined) >= PIECE:
            await write(joined)
            joined = bytearray()
    if joined:
        await write(joined)


async def _blocks(file: AsyncReadable) -> AsyncIterator[bytes]:
    while (piece := await file.read(PIECE)) != b"":
        yield piece


def _iterated(data: AsyncReadable | AsyncIterable[bytes]) -> AsyncIterable[bytes]:
    if not isinstance(data, AsyncIterable):
        raise InvalidArgument(f"data is bytes or a source of them, not {type(data).__name__}")
    return data
