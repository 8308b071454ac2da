"""Bytes on their way out: one version, sealed once, sent to every destination.

The caller pushes plaintext; it is cut into parts, each sealed in one pass into a reused buffer, and sent to all
destinations while the next part is filled. A part's ciphertext is kept until every destination has acknowledged it, so
a retry resends the very same bytes: no chunk index is ever sealed twice. Up to `SMALL` bytes travel in one request.
A destination that takes no parts reads the same ciphertext as the body of one request, which is not sent again.

Memory: one part of plaintext (two before the first is sent) and `IN_FLIGHT` parts of ciphertext.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from sovbroker.envelope import CHUNK, HEAD, TAG, Sealer, padded_size, padding, sealed_size
from sovbroker.errors import Conflict, InvalidArgument, NotSupported, SovbrokerError, Unavailable
from sovbroker.ports import Bytes, Feature, Part, Source, Store, Upload, waiting
from sovbroker.transfer.stream import Stream

__all__ = ["IN_FLIGHT", "PART", "SMALL", "Destination", "Entry", "Outgoing", "Sent", "attempt"]

PART: Final = 8 << 20
SMALL: Final = 16 << 20
IN_FLIGHT: Final = 3
SPARE_MAX: Final = 2 * HEAD + PART // CHUNK * (CHUNK + TAG) + TAG
FIRST_BUFFER: Final = 256 << 10
ATTEMPTS: Final = 5
ENOUGH: Final = 60.0
FIRST_PAUSE: Final = 0.05
GROWTH_STEPS: Final = 8

T = TypeVar("T")


class Readable(Protocol):
    """A binary file."""

    def read(self, size: int = -1, /) -> bytes | None:
        """Return up to `size` bytes, b"" at the end, None when a file that does not block has none yet."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """What is stored with a body: metadata, and what did not fit them for an object of its own beside it."""

    metadata: Mapping[str, str]
    sidecar: bytes | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one copy goes: `store` is the guarded store, bound to what this copy may be."""

    target: str
    store: Store
    physical: str
    sealed: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """What all destinations now hold.

    `size` is the plaintext's, in bytes; `digest` its SHA-256, "" when every copy is sealed; `sidecars` the targets that
    hold an object beside the body.
    """

    size: int
    digest: str
    sidecars: frozenset[str]


def attempt(call: Callable[[], T], *, deadline: float | None) -> T:
    """Call; try again a few times, with growing pauses, while it raises Unavailable and `deadline` allows.

    `deadline` is a time of `time.monotonic`. Nobody else repeats the call: the store is told so, and how long it may
    wait. What has taken `ENOUGH` seconds without an answer is not tried again.
    """
    pause = FIRST_PAUSE
    until = time.monotonic() + ENOUGH if deadline is None else deadline
    for left in range(ATTEMPTS - 1, -1, -1):
        within(deadline)
        try:
            with waiting(deadline=deadline, repeats=True):
                return call()
        except Unavailable:
            if left == 0 or time.monotonic() + pause > until:
                raise
        time.sleep(pause * (0.5 + random.random()))  # noqa: S311 - jitter, not a secret
        pause *= 4
    raise AssertionError  # the loop returns or raises


def within(deadline: float | None) -> None:
    """Raise Unavailable when the deadline has passed."""
    if deadline is not None and time.monotonic() > deadline:
        raise Unavailable("the deadline passed before the operation was done; nothing was committed")


class Outgoing:
    """One version on its way to its destinations. Push with `write` or `pull`, then `finish`, or `abort`.

    `entry` is called once a destination, with the size if it is known by then, and tells what to store beside the body.
    `note_upload` is told of every multipart upload before its first part. `spare` are buffers that writes hand on to
    one another. With `pad`, sealed copies hold padding behind the plaintext; copies in the clear do not. After an error
    nothing more is sent, and what already arrived is for the caller to remove.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        *,
        sealer: Sealer | None,
        entry: Callable[[Destination, int | None], Entry],
        note_upload: Callable[[Destination, str], None],
        pool: Executor,
        size: int | None = None,
        deadline: float | None = None,
        progress: Callable[[int, int | None], None] | None = None,
        spare: list[bytearray] | None = None,
        pad: bool = False,
    ) -> None:
        self._destinations = destinations
        self._sealer = sealer
        self._entry = entry
        self._note_upload = note_upload
        self._pool = pool
        self._expected = size
        self._deadline = deadline
        self._progress = progress
        self._pad = pad and sealer is not None
        self._digest = None if all(d.sealed for d in destinations) else hashlib.sha256()
        self._buffer = bytearray()
        self._filled = 0
        self._dispatched = 0
        self._sealed = 0
        self._number = 0
        self._uploads: dict[int, Upload] = {}
        self._streams: dict[int, Stream] = {}
        self._receipts: list[list[Part]] = [[] for _ in destinations]
        self._sidecars: set[str] = set()
        self._slots = threading.Semaphore(IN_FLIGHT)
        self._spare = [] if spare is None else spare
        self._tasks: set[Future[None]] = set()
        self._error: BaseException | None = None

    def write(self, data: Bytes) -> int:
        """Take bytes; all of them, always. What is not sent yet is copied, so the caller may reuse its buffer."""
        view = memoryview(data).cast("B")
        taken = 0
        while taken < len(view):
            left = len(view) - taken
            length = self._part_size()
            if not self._filled and left >= length and (self._number or left > SMALL):
                self._dispatch(view[taken : taken + length], final=False, stable=False)
            else:
                room = self._room()
                length = min(left, len(room))
                room[:length] = view[taken : taken + length]
                self._filled += length
            taken += length
        return len(view)

    def pull(self, source: Readable) -> None:
        """Take everything that a binary file gives. An error of the source is raised as it is.

        Raises InvalidArgument for a file that does not block: "nothing yet" must not be taken for the end.
        """
        readinto: Callable[[memoryview], int | None] | None = getattr(source, "readinto", None)
        while True:
            within(self._deadline)
            if readinto is not None:
                count = readinto(self._room())
                self._filled += count or 0
            else:
                data = source.read(1 << 20)
                count = None if data is None else self.write(data)
            if count is None:
                raise InvalidArgument("the source is in non-blocking mode and has no data yet; set it to block")
            if not count:
                return

    def finish(self, last: Bytes = b"") -> Sent:
        """Take `last`, send what is left, wait for every acknowledgement and join the parts."""
        body = memoryview(last).cast("B")
        if self._number or self._filled or len(body) > SMALL:
            body = self._all_but_last(body)
        if self._number:
            self._finish_parts(body)
        else:
            self._send_whole(body)
        self._report()
        return Sent(
            size=self._dispatched,
            digest="" if self._digest is None else self._digest.hexdigest(),
            sidecars=frozenset(self._sidecars),
        )

    def _all_but_last(self, view: memoryview) -> memoryview:
        """Send the parts of `view` but the last, as they are; return the last, which must be sealed as final."""
        if self._filled:
            self.write(view)
            return memoryview(self._buffer)[: self._filled]
        start = 0
        while len(view) - start > (length := self._part_size()):
            self._dispatch(view[start : start + length], final=False, stable=True)
            start += length
        return view[start:]

    def abort(self) -> None:
        """Stop sending, and wait until nothing is on its way any more."""
        self._error = self._error or Unavailable("the transfer was aborted")
        for stream in self._streams.values():
            stream.stop(self._error)
        wait(self._tasks)

    def _room(self) -> memoryview:
        """Return free space of the plaintext buffer, sending what is in it when there is none.

        The buffer grows with the need: clearing 16 MiB would cost a small object more than its transfer.
        """
        capacity = self._part_size() if self._number else SMALL
        if self._filled >= capacity:
            self._flush()
            capacity = self._part_size()
        if self._filled >= len(self._buffer):
            grown = bytearray(min(capacity, max(FIRST_BUFFER, 2 * len(self._buffer))))
            grown[: self._filled] = self._buffer
            self._buffer = grown
        return memoryview(self._buffer)[self._filled : capacity]

    def _part_size(self) -> int:
        """Return the plaintext bytes of the next part; it grows, so that a store's limit of parts is never met."""
        parts_max = min(d.store.limits.parts_max for d in self._destinations)
        if self._expected is not None:
            wanted = -(-self._body_size(self._expected) // max(1, parts_max - 1))
            return max(PART, -(-wanted // CHUNK) * CHUNK)
        return PART << (self._number * GROWTH_STEPS // parts_max)

    def _body_size(self, size: int) -> int:
        """Return how many bytes are sealed for a plaintext of `size`."""
        return padded_size(size) if self._pad else size

    def _flush(self) -> None:
        """Send the full plaintext buffer in parts."""
        start = 0
        while start < self._filled:
            end = min(start + self._part_size(), self._filled)
            self._dispatch(memoryview(self._buffer)[start:end], final=False, stable=False)
            start = end
        self._filled = 0

    def _start_uploads(self) -> None:
        for destination in self._destinations:
            if self._expected is None and not _takes_parts(destination):
                raise NotSupported(
                    f"this store takes no parts, so more than {SMALL >> 20} MiB need a size that is known beforehand: "
                    "give bytes, a Path, or a file that was opened from one",
                    target=destination.target,
                )
        entries = [self._entry(d, self._expected) for d in self._destinations]
        for index, (destination, entry) in enumerate(zip(self._destinations, entries, strict=True)):
            self._send_sidecar(destination, entry)
            if not _takes_parts(destination):
                self._streams[index] = self._start_stream(destination, entry)
                continue

            def start(d: Destination = destination, e: Entry = entry) -> Upload:
                return d.store.multipart(d.physical, metadata=e.metadata)

            self._uploads[index] = upload = attempt(start, deadline=self._deadline)
            self._note_upload(destination, upload.id)

    def _start_stream(self, destination: Destination, entry: Entry) -> Stream:
        """Start the one request that takes the whole body. Not tried again: what it has read is gone."""
        expected = self._expected or 0
        size = sealed_size(self._body_size(expected)) if destination.sealed else expected

        def put(body: Source) -> object:
            return destination.store.put(destination.physical, body, size=size, metadata=entry.metadata)

        return Stream(put, failed=self._fail)

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error

    def _check_size(self, length: int, *, final: bool) -> None:
        """Raise Conflict when a stream's body gets another length than was announced to its store."""
        total = self._dispatched + length
        if self._streams and (total > (self._expected or 0) or (final and total != self._expected)):
            raise Conflict(
                f"the data has {'more than ' if not final else ''}{total} bytes, and had {self._expected} when the "
                "write began: it changed while it was being read; store it again"
            )

    def _send_sidecar(self, destination: Destination, entry: Entry) -> None:
        if entry.sidecar is None:
            return
        body = entry.sidecar
        key = sidecar_name(destination.physical)
        attempt(lambda: destination.store.put(key, body, size=len(body)), deadline=self._deadline)
        self._sidecars.add(destination.target)

    def _dispatch(self, plain: memoryview, *, final: bool, stable: bool, behind: bytes = b"") -> None:
        """Seal one part, with the padding `behind` it, and hand it to the pool, once for each destination."""
        self._raise()
        within(self._deadline)
        if not self._number:
            self._start_uploads()
        self._check_size(len(plain), final=final)
        self._slots.acquire()
        sealed = self._seal(plain, behind, final=final)
        clear: Bytes | None = None
        if self._digest is not None:
            self._digest.update(plain)
            clear = plain if stable else bytes(plain)
        self._number += 1
        number = self._number
        self._dispatched += len(plain)
        pending = threading.Semaphore(len(self._destinations) - 1)

        def done() -> None:
            if not pending.acquire(blocking=False):
                self._release(sealed)

        def body_of(index: int) -> Bytes | None:
            return sealed if self._destinations[index].sealed else clear

        def send(index: int) -> None:
            body = body_of(index)
            try:
                # Only the final part can be empty; in the clear there is nothing to send then.
                if self._error is None and body:
                    upload = self._uploads[index]
                    receipt = attempt(lambda: upload.part(number, body), deadline=self._deadline)
                    self._receipts[index].append(receipt)
            except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, where it is raised
                self._fail(error)
            finally:
                done()

        self._tasks = {task for task in self._tasks if not task.done()}
        self._tasks.update(self._pool.submit(send, index) for index in self._uploads)
        for index, stream in self._streams.items():
            stream.give(body_of(index) or b"", done=done)
        self._report()

    def _seal(self, plain: memoryview, behind: bytes, *, final: bool) -> memoryview | None:
        """Seal into a spare buffer; the first part begins with the head of the envelope."""
        if self._sealer is None:
            return None
        lead = 0 if self._number else HEAD  # the first part begins with the head
        size = len(plain) + len(behind)
        needed = lead + sealed_size(size) - HEAD
        try:
            buffer = self._spare.pop()
        except IndexError:
            buffer = bytearray()
        if len(buffer) < needed:
            buffer = bytearray(needed + HEAD)  # as long for any part, so that each can take it
        out = memoryview(buffer)
        out[:lead] = self._sealer.head[:lead]
        first, length = self._sealed // CHUNK, 0
        if behind:
            # The last chunk that has content is completed by padding; only that one is copied.
            whole = len(plain) // CHUNK * CHUNK
            length = self._sealer.seal_into(plain[:whole], out[lead:], first_chunk=first, final=False)
            first, plain = first + whole // CHUNK, memoryview(bytes(plain[whole:]) + behind)
        length += self._sealer.seal_into(plain, out[lead + length :], first_chunk=first, final=final)
        self._sealed += size
        return out[: lead + length]

    def _release(self, sealed: memoryview | None) -> None:
        buffer = None if sealed is None else sealed.obj
        # Kept for the next part, and for the next object: fresh memory costs as much as the cipher.
        if isinstance(buffer, bytearray) and len(self._spare) < IN_FLIGHT and len(buffer) <= SPARE_MAX:
            self._spare.append(buffer)
        self._slots.release()

    def _dispatch_last(self, plain: memoryview) -> None:
        """Seal and send the end: the last of the plaintext and, in as many parts as it takes, the padding."""
        size = self._dispatched + len(plain)
        total, done = self._body_size(size) - size, 0
        while True:
            count = min(total - done, self._part_size() - len(plain))
            behind = padding(size, first=done, count=count) if count else b""
            done += count
            self._dispatch(plain, final=done == total, stable=True, behind=behind)
            if done == total:
                return
            plain = plain[:0]

    def _finish_parts(self, plain: memoryview) -> None:
        self._dispatch_last(plain)
        wait(self._tasks)
        for stream in self._streams.values():
            stream.finish()
        self._raise()
        joins = [
            self._pool.submit(self._join, upload, sorted(self._receipts[index], key=lambda part: part.number))
            for index, upload in self._uploads.items()
        ]
        wait(joins)
        for join in joins:
            join.result()

    def _join(self, upload: Upload, parts: Sequence[Part]) -> None:
        attempt(lambda: upload.commit(parts), deadline=self._deadline)

    def _send_whole(self, plain: memoryview) -> None:
        """Send a small object: one request to each destination, at the same time."""
        self._dispatched = len(plain)
        sealed = None
        if self._sealer is not None:
            count = self._body_size(len(plain)) - len(plain)
            sealed = self._sealer.seal(bytes(plain) + padding(len(plain), first=0, count=count) if count else plain)
        if self._digest is not None:
            self._digest.update(plain)

        # Made before the threads part: every copy carries the same record.
        entries = {d.target: self._entry(d, len(plain)) for d in self._destinations}

        def send(destination: Destination) -> None:
            body = sealed if destination.sealed and sealed is not None else plain
            entry = entries[destination.target]
            self._send_sidecar(destination, entry)
            attempt(
                lambda: destination.store.put(destination.physical, body, size=len(body), metadata=entry.metadata),
                deadline=self._deadline,
            )

        if len(self._destinations) == 1:
            send(self._destinations[0])
            return
        self._tasks = {self._pool.submit(send, destination) for destination in self._destinations}
        done, _ = wait(self._tasks)
        errors = [error for task in done if (error := task.exception()) is not None]
        if errors:
            raise next((e for e in errors if isinstance(e, SovbrokerError)), errors[0])

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._dispatched, self._expected)


def _takes_parts(destination: Destination) -> bool:
    return destination.store.capabilities[Feature.MULTIPART].usable


def sidecar_name(physical: str) -> str:
    """Return the key of the object beside `physical` that holds what did not fit its metadata."""
    return physical + "~"
