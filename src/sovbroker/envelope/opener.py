"""Opening one object, whole or in parts."""

from __future__ import annotations

import hmac
import threading
from typing import NoReturn, final

from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.exceptions import InvalidTag

from sovbroker.envelope.chunks import SALT, derive
from sovbroker.envelope.context import Context, encoded
from sovbroker.envelope.layout import CHUNK, CHUNKS_MAX, HEAD, TAG, UNIT, Buffer, plain_size
from sovbroker.envelope.secret import Secret, secret_bytes
from sovbroker.errors import InvalidArgument, Tampered

__all__ = ["Opener"]

NATIVE_FROM = 4 * UNIT


@final
class Opener:
    """Opens the chunks of one envelope, in any order and by several threads.

    The constructor compares the commitment in `head`, in constant time: a wrong key, another object's head or a context
    that differs in any field raises Tampered before anything is opened.
    """

    __slots__ = ("_chunks", "_context", "_dek", "_head", "_lock", "_native", "_native_at")

    def __init__(self, dek: Secret | Buffer, context: Context | Buffer, head: Buffer) -> None:
        self._head = bytes(head)
        if len(self._head) != HEAD:
            raise Tampered
        # Never in a local variable: some tools print those of every frame that an error has passed.
        self._dek = Secret(secret_bytes(dek))
        self._context = encoded(context)
        self._chunks, commitment = derive(self._dek.reveal(), salt=self._head[:SALT], context=self._context)
        if not hmac.compare_digest(commitment, self._head[SALT:]):
            raise Tampered
        self._native: Cobblestone256Decryptor | None = None
        self._native_at = 0
        self._lock = threading.Lock()

    @property
    def head(self) -> bytes:
        """The first 56 bytes of the envelope that this opens."""
        return self._head

    def open(self, data: Buffer) -> bytearray:
        """Return the plaintext of a whole envelope, head and all. Raises Tampered."""
        view = memoryview(data).cast("B")
        out = bytearray(plain_size(len(view)))
        if not hmac.compare_digest(view[:HEAD], self._head):
            raise Tampered
        self.open_into(view[HEAD:], out, first_chunk=0, final=True)
        return out

    def open_into(self, data: Buffer, out: bytearray | memoryview, *, first_chunk: int, final: bool) -> int:
        """Open `data`, sealed as chunk `first_chunk` and what follows; return how many bytes of `out` are plaintext.

        `final`: `data` reaches the end of the envelope. Only then is its length authenticated. Raises Tampered, and
        leaves nothing but zeros in `out`, when any chunk is damaged, is another one, or ends where none may end. `out`
        needs the plaintext's size and must not overlap `data`.
        """
        view, target = memoryview(data).cast("B"), memoryview(out).cast("B")
        full, rest = divmod(len(view), UNIT)
        if first_chunk < 0 or first_chunk + full >= CHUNKS_MAX or (rest < TAG if final else rest):
            raise Tampered
        size = full * CHUNK + (rest - TAG if final else 0)
        if len(target) < size:
            raise InvalidArgument(f"the plaintext has {size} bytes, more than the {len(target)} of the buffer")
        try:
            native = self._native_for(first_chunk, len(view))
            if native is None:
                self._chunks.open(view, target, first=first_chunk, final=final)
                return size
            done = native.update_into(view, target)
            if final:
                target[done:size] = native.finalize()
            else:
                self._give_back(native, first_chunk + full)
        except InvalidTag:
            target[:size] = bytes(size)
            raise Tampered from None
        return size

    def _native_for(self, start: int, size: int) -> Cobblestone256Decryptor | None:
        """Return the native class if it stands at chunk `start`: it is faster, and only goes forward."""
        with self._lock:
            if self._native is not None and self._native_at == start:
                native, self._native = self._native, None
                return native
        if start or size < NATIVE_FROM:
            return None
        native = Cobblestone256Decryptor(self._dek.reveal(), self._context)
        native.update(self._head)
        return native

    def _give_back(self, native: Cobblestone256Decryptor, at: int) -> None:
        with self._lock:
            self._native, self._native_at = native, at

    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("an opener cannot be pickled or copied: it holds a key")
