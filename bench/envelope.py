"""How fast envelopes are, as ratios to the bare cipher in the same run.

Run it with `python bench/envelope.py`, or call `rows()`. The unit of comparison is `AESGCM.encrypt_into` (or
`decrypt_into`) over 1 MiB at a time with a reused buffer: what the machine can do at all. Each value is the median of
interleaved rounds, so that a noisy neighbour hits all of them alike.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.peak import Peak
from sovbroker.envelope import (
    CHUNK,
    HEAD,
    TAG,
    Context,
    Opener,
    OpeningReader,
    Record,
    Sealer,
    SealingReader,
    new_dek,
    seal_metadata,
)
from sovbroker.keys import DomainKey

MIB = 1 << 20
BLOCKS = 64
CHUNKS = MIB // CHUNK
UNIT = CHUNK + TAG
ROUNDS = 9
SMALL = 2000
CONTEXT = Context("health", "patients/42.json", "0h3k5v7q9r1t3w5y7z9b1d3f", "restricted+health")
NONCE = bytes(12)

Row = tuple[str, float, str, str]


class Endless(io.RawIOBase):
    """A source of `left` bytes that costs nothing to read."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self._left = left

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # one kind of buffer is enough here
        """Leave the buffer as it is and say how much of it counts."""
        count = min(len(buffer), self._left)
        self._left -= count
        return count


class Setting:
    """Buffers that every measured function reuses."""

    def __init__(self) -> None:
        self.dek = new_dek()
        self.plain = memoryview(os.urandom(MIB))
        self.sealed = memoryview(bytearray(CHUNKS * UNIT + TAG))
        self.opened = memoryview(bytearray(MIB))
        self.raw = memoryview(bytearray(MIB + TAG))
        self.aead = AESGCM(self.dek.reveal())
        # As many distinct bytes as the envelope has, so that both read from memory rather than from the cache.
        self.ciphertexts = [self.aead.encrypt(NONCE, self.plain, None) for _ in range(BLOCKS)]
        sealer = Sealer(self.dek, CONTEXT)
        self.blocks = [bytes(CHUNKS * UNIT)] * BLOCKS
        for index in range(BLOCKS):
            sealer.seal_into(self.plain, self.sealed, first_chunk=index * CHUNKS, final=False)
            self.blocks[index] = bytes(self.sealed[: CHUNKS * UNIT])
        self.head = sealer.head
        last = bytearray(TAG)
        sealer.seal_into(b"", last, first_chunk=BLOCKS * CHUNKS, final=True)
        self.envelope = b"".join((self.head, *self.blocks, last))

    def raw_seal(self) -> None:
        """Encrypt 64 MiB with the bare cipher."""
        for _ in range(BLOCKS):
            self.aead.encrypt_into(NONCE, self.plain, None, self.raw)

    def raw_open(self) -> None:
        """Decrypt 64 MiB with the bare cipher."""
        for ciphertext in self.ciphertexts:
            self.aead.decrypt_into(NONCE, ciphertext, None, self.opened)

    def seal(self, out: memoryview | None = None) -> None:
        """Seal 64 MiB in order."""
        sealer, out = Sealer(self.dek, CONTEXT), self.sealed if out is None else out
        for index in range(BLOCKS):
            sealer.seal_into(self.plain, out, first_chunk=index * CHUNKS, final=False)

    def seal_parts(self) -> None:
        """Seal 64 MiB from the last block to the first."""
        sealer = Sealer(self.dek, CONTEXT)
        for index in reversed(range(BLOCKS)):
            sealer.seal_into(self.plain, self.sealed, first_chunk=index * CHUNKS, final=False)

    def open(self) -> None:
        """Open 64 MiB in order."""
        opener = Opener(self.dek, CONTEXT, self.head)
        for index, block in enumerate(self.blocks):
            opener.open_into(block, self.opened, first_chunk=index * CHUNKS, final=False)

    def open_parts(self) -> None:
        """Open 64 MiB from the last block to the first."""
        opener = Opener(self.dek, CONTEXT, self.head)
        for index in reversed(range(BLOCKS)):
            opener.open_into(self.blocks[index], self.opened, first_chunk=index * CHUNKS, final=False)

    def sealing_reader(self) -> None:
        """Seal 64 MiB through the file interface, into a caller's buffer."""
        reader = SealingReader(Endless(BLOCKS * MIB), Sealer(self.dek, CONTEXT))
        out = bytearray(CHUNKS * UNIT + HEAD + TAG)
        while reader.readinto(out):
            pass

    def opening_reader(self) -> None:
        """Open 64 MiB through the file interface, into a caller's buffer."""
        reader = OpeningReader(io.BytesIO(self.envelope), lambda head: Opener(self.dek, CONTEXT, head))
        while reader.readinto(self.opened):
            pass

    def two_bare(self) -> None:
        """Encrypt twice 64 MiB with the bare cipher on two threads: what the machine's second core gives just now."""

        def work() -> None:
            out = memoryview(bytearray(len(self.raw)))
            for _ in range(BLOCKS):
                self.aead.encrypt_into(NONCE, self.plain, None, out)

        _run([work, work])

    def two_objects(self) -> None:
        """Seal two objects of 64 MiB on two threads."""

        def work() -> None:
            self.seal(memoryview(bytearray(len(self.sealed))))

        _run([work, work])

    def two_workers(self) -> None:
        """Seal the parts of one object of 64 MiB on two threads, half each."""
        sealer = Sealer(self.dek, CONTEXT)

        def work(turn: int) -> None:
            out = memoryview(bytearray(len(self.sealed)))
            for index in range(turn * BLOCKS // 2, (turn + 1) * BLOCKS // 2):
                sealer.seal_into(self.plain, out, first_chunk=index * CHUNKS, final=False)

        _run([lambda: work(0), lambda: work(1)])


def _run(jobs: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _medians(functions: list[Callable[[], None]]) -> dict[str, float]:
    """Return the median seconds of each function, over interleaved rounds."""
    times: dict[str, list[float]] = {function.__name__: [] for function in functions}
    for number in range(ROUNDS + 1):
        for function in functions:
            start = time.perf_counter()
            function()
            if number:
                times[function.__name__].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def small_object() -> float:
    """Return the microseconds for one object of 1 KiB, all in: key, wrapping, body, metadata, record."""
    key = DomainKey(new_dek(), domain="health", epoch=1, kid="uz3DR0W1Gire_J0l")
    data = os.urandom(1024)
    metadata = {"key": CONTEXT.key, "size": 1024, "type": "application/json", "user": {"ward": "3"}}
    rounds: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(SMALL):
            dek = new_dek()
            sealer = Sealer(dek, CONTEXT)
            sealer.seal(data)
            Record(key.kid, key.wrap_dek(dek), sealer.head, seal_metadata(dek, CONTEXT, metadata)).encode()
        rounds.append((time.perf_counter() - start) / SMALL * 1e6)
    return statistics.median(rounds)


def memory() -> float:
    """Return the MiB by which the peak grows while 1 GiB goes through both readers."""
    dek = new_dek()
    sealer = Sealer(dek, CONTEXT)
    reader = OpeningReader(
        SealingReader(Endless(1 << 30), sealer),
        lambda head: Opener(dek, CONTEXT, head),
    )
    peak = Peak()
    while reader.read(MIB):
        pass
    return peak.grown()


def rows() -> list[Row]:
    """Return (name, value, unit, goal) for each measure."""
    grown = memory()
    s = Setting()
    t = _medians(
        [
            s.raw_seal,
            s.raw_open,
            s.seal,
            s.open,
            s.seal_parts,
            s.open_parts,
            s.sealing_reader,
            s.opening_reader,
            s.two_bare,
            s.two_objects,
            s.two_workers,
        ]
    )
    gigabytes = BLOCKS * MIB / 1e9
    return [
        ("bare AES-256-GCM, 1 MiB blocks, encrypt", gigabytes / t["raw_seal"], "GB/s", ""),
        ("bare AES-256-GCM, 1 MiB blocks, decrypt", gigabytes / t["raw_open"], "GB/s", ""),
        ("seal in order, to bare", t["raw_seal"] / t["seal"], "ratio", ">= 0.60"),
        ("open in order, to bare", t["raw_open"] / t["open"], "ratio", ">= 0.58"),
        ("seal in any order, to bare", t["raw_seal"] / t["seal_parts"], "ratio", ""),
        ("open in any order, to bare", t["raw_open"] / t["open_parts"], "ratio", ""),
        ("SealingReader, to bare", t["raw_seal"] / t["sealing_reader"], "ratio", ""),
        ("OpeningReader, to bare", t["raw_open"] / t["opening_reader"], "ratio", ""),
        ("bare cipher on two threads, to one", 2 * t["raw_seal"] / t["two_bare"], "ratio", ""),
        ("two objects on two threads, to one on one", 2 * t["seal"] / t["two_objects"], "ratio", ">= 1.5"),
        ("parts of one object on two threads, to one", t["seal"] / t["two_workers"], "ratio", ">= 1.5"),
        ("1 KiB object, all in", small_object(), "µs", "<= 40"),
        ("peak memory for 1 GiB through both readers", grown, "MiB", "<= 24"),
    ]


def main() -> None:
    """Print the table."""
    for name, value, unit, goal in rows():
        sys.stdout.write(f"{name:<46} {value:>8.2f} {unit:<6} {goal}\n")


if __name__ == "__main__":
    main()
