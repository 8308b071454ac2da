"""Sealing one object, in order or in parts, without ever using a nonce twice."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from typing import NoReturn, final

from cryptography.cobblestone import Cobblestone256Encryptor

from sovbroker.envelope.chunks import SALT, Chunks, derive
from sovbroker.envelope.context import Context, encoded
from sovbroker.envelope.layout import CHUNK, CHUNKS_MAX, HEAD, TAG, Buffer, sealed_size
from sovbroker.envelope.secret import Secret, secret_bytes
from sovbroker.errors import InvalidArgument, SealError

__all__ = ["Sealer"]


@final
class Sealer:
    """Seals one plaintext under a data encryption key that is used for nothing else.

    Parts may be sealed in any order and by several threads; every part but the last is a whole number of chunks. A
    chunk's nonce follows from its number, so each number is sealed once: to send a part again, keep its ciphertext. In
    order is the fastest way. A sealer cannot be copied, pickled, or used on the other side of a fork.
    """

    __slots__ = ("_chunks", "_context", "_dek", "_end", "_head", "_lock", "_native", "_native_at", "_pid", "_taken")

    def __init__(self, dek: Secret | Buffer, context: Context | Buffer) -> None:
        secret = Secret(secret_bytes(dek))
        self._context = encoded(context)
        self._dek: Secret | None = secret
        native = Cobblestone256Encryptor(secret.reveal(), self._context)
        self._head = native.update(b"")
        self._native: Cobblestone256Encryptor | None = native
        self._native_at = 0
        self._chunks: Chunks | None = None
        self._taken: list[int] = []
        self._end: int | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()

    @property
    def head(self) -> bytes:
        """The first 56 bytes of the envelope, which belong before chunk 0 and into the record."""
        return self._head

    def seal(self, data: Buffer) -> bytearray:
        """Return the whole envelope of `data`, head and all: the one call for an object that fits in memory."""
        view = memoryview(data).cast("B")
        out = bytearray(sealed_size(len(view)))
        out[:HEAD] = self.head
        with memoryview(out) as target:
            self.seal_into(view, target[HEAD:], first_chunk=0, final=True)
        return out

    def seal_into(self, data: Buffer, out: bytearray | memoryview, *, first_chunk: int, final: bool) -> int:
        """Seal `data` as chunk `first_chunk` and what follows; return how many bytes of `out` hold the ciphertext.

        `final`: the plaintext ends here. `out` needs `sealed_size(len(data)) - HEAD` bytes at most and must not overlap
        `data`. Raises SealError for a chunk that was sealed before or lies behind the end, InvalidArgument for sizes
        that cannot be; chunks named in a call that fails later count as sealed.
        """
        view, target = memoryview(data).cast("B"), memoryview(out).cast("B")
        full, rest = divmod(len(view), CHUNK)
        count = full + 1 if final else full
        size = len(view) + TAG * count
        if rest and not final:
            raise InvalidArgument(f"a part that is not the last is a multiple of {CHUNK} bytes, not {len(view)}")
        if len(target) < size:
            raise InvalidArgument(f"{len(view)} bytes need {size} to be sealed into, not {len(target)}")
        if first_chunk < 0 or first_chunk + count > CHUNKS_MAX:
            raise InvalidArgument(f"an envelope has the chunks 0 to {CHUNKS_MAX - 1}, not {first_chunk}")
        native = self._take(first_chunk, first_chunk + count, final=final)
        if native is None:
            self._random_access().seal(view, target, first=first_chunk, final=final)
            return size
        done = native.update_into(view, target)
        if final:
            target[done:size] = native.finalize()
        else:
            self._give_back(native, first_chunk + count)
        return size

    def _take(self, start: int, stop: int, *, final: bool) -> Cobblestone256Encryptor | None:
        """Mark the chunks as sealed; hand out the native class if it stands just there."""
        if os.getpid() != self._pid:
            raise SealError("a sealer cannot be used in a forked process: start over with a new key")
        with self._lock:
            if self._end is not None and (final or stop > self._end):
                raise SealError(f"chunk {start} lies behind the end that was sealed already")
            if final and self._taken and self._taken[-1] > stop:
                raise SealError(f"chunk {stop - 1} cannot be the last: a later one was sealed already")
            self._mark(start, stop)
            if final:
                self._end = stop
            if self._native_at != start or self._native is None:
                return None
            native, self._native = self._native, None
            return native

    def _give_back(self, native: Cobblestone256Encryptor, at: int) -> None:
        with self._lock:
            self._native, self._native_at = native, at

    def _mark(self, start: int, stop: int) -> None:
        """Add [start, stop) to the sorted bounds of what is sealed: even entries begin a run, odd ones end it."""
        if start == stop:
            return
        bounds = self._taken
        low = bisect_right(bounds, start)
        # Inside a run (odd), or the next run begins before `stop`: some chunk was sealed before.
        if low % 2 or (low < len(bounds) and bounds[low] < stop):
            again = start if low % 2 else bounds[low]
            raise SealError(f"chunk {again} was sealed already: send the same ciphertext, or start over with a new key")
        joins_before = low > 0 and bounds[low - 1] == start
        joins_after = low < len(bounds) and bounds[low] == stop
        new = ([] if joins_before else [start]) + ([] if joins_after else [stop])
        bounds[low - joins_before : low + joins_after] = new

    def _random_access(self) -> Chunks:
        with self._lock:
            if self._chunks is None:
                dek = secret_bytes(self._dek or b"")
                self._chunks, _ = derive(dek, salt=self.head[:SALT], context=self._context)
                self._dek = None
            return self._chunks

    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a sealer cannot be pickled or copied: a copy would use its nonces again")
