"""Large objects: written as a stream, read in part, as a file, and put under a condition.

Prints:
    2000000 bytes
    first line: line 000000 of a long journal, padded
    100 bytes from the middle: b'ine 025000 of a long j'...
    seek to the end: of a long journal, padded
    if_absent: `journal.txt` exists (version …)
    what the failed write left: False
"""

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import sovbroker
from sovbroker.errors import AlreadyExists

LINES = 50_000
LINE = "line {:06d} of a long journal, padded..\n"


def broken() -> Iterator[bytes]:
    """Yield a source that fails half way."""
    yield b"the first half"
    raise InterruptedError


with tempfile.TemporaryDirectory() as folder:
    passphrase = os.environ.setdefault("SOVBROKER_PASSPHRASE", secrets.token_urlsafe())
    sovbroker.init(Path(folder), passphrase=passphrase)

    with sovbroker.open(Path(folder) / "sovbroker.yaml") as broker:
        # A writer commits on a clean close only. An iterable of bytes, an open file or a Path go to `put`.
        with broker.writer("journal.txt") as out:
            for number in range(LINES):
                out.write(LINE.format(number).encode())
        print(broker.stat("journal.txt").size, "bytes")

        with broker.get("journal.txt") as file:
            print("first line:", file.readline().decode().strip().rstrip("."))
            # One request, of at most two chunks of 16 KiB, whatever the object's size.
            middle = broker.read("journal.txt", range=(1_000_001, 1_000_100))
            print(f"{len(middle)} bytes from the middle: {middle[:22]!r}...")
            file.seek(-29, os.SEEK_END)
            print("seek to the end:", file.read().decode().strip().rstrip("."))

        try:
            broker.put("journal.txt", b"again", if_absent=True)
        except AlreadyExists as error:
            print("if_absent:", error)

        try:
            broker.put("half.txt", broken())
        except InterruptedError:
            print("what the failed write left:", broker.exists("half.txt"))
