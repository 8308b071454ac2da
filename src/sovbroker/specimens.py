"""What a probe may send: a closed set of keys, metadata and bodies, in which no data of anybody's has room.

The guard lets a probe send, read and remove nothing else, so that what a probe can do wrong ends at its own folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = [
    "LISTED",
    "METADATA",
    "NAMES",
    "ODD",
    "PREFIX",
    "SEEDS",
    "body",
    "installation_of",
    "is_body",
    "is_key",
    "long_name",
]

PREFIX: Final = ".sovbroker-probe/"
"""Every key of a probe begins so. No object of the broker can be meant: all of theirs end in `@` and a version."""

NAMES: Final = frozenset(
    {"whole", "source", "copied", "joined", "dropped", "absent", "span", "linked", "kept", "nest", "nest/below"}
    | {f"raced-{number}" for number in range(4)}
    | {f"extra-{number}" for number in range(16)}
)
"""The names of single objects."""

ODD: Final = (
    "with space/and space",
    "plus+and%percent",
    "percent%20looking",
    "caf\u00e9",
    "cafe\u0301",
    "x.TXT",
    "x.txt",
    "q?uery#fragment&amp;",
    "quotes'\"<>",
    "\u65e5\u672c/\U0001f600",
    "~!*()@$=;:,",
    "dots...",
)
"""Names that services get wrong: spaces, what URLs write differently, the same word in two ways of Unicode, case."""

LISTED: Final = tuple(
    f"list/{name}" for name in ("B", "a", "a!", "a0", "b!", "b/1", "b/2", "c", "\u00e9", "\uff5e", "\U0001f600")
)
"""Names in byte order: not that of a dictionary, of folders before files, or of UTF-16."""

METADATA: Final[Mapping[str, str]] = MappingProxyType(
    {"sov": "AbC0-_.~", "n2": 'a "quoted"; value, with = signs + more', "probe": "1"}
)
"""The only metadata of a probe."""

SEEDS: Final = 10_000
LINE: Final = 32
RUN: Final = re.compile(re.escape(PREFIX) + r"([0-9a-f]{16})-[0-9a-f]{16}/(.+)", re.DOTALL)
LONG: Final = re.compile(r"long/k*(?:/k*)*")
KNOWN: Final = NAMES | frozenset(ODD) | frozenset(LISTED)


def long_name(length: int) -> str:
    """Return a name of `length` bytes in segments of less than 200: files' names are often no longer."""
    return ("long/" + "/".join(["k" * 150] * (length // 151 + 1)))[: max(length, 6) - 1] + "k"


def is_key(key: str) -> bool:
    """Whether a key is one of a probe's."""
    found = RUN.fullmatch(key)
    return found is not None and (found[2] in KNOWN or LONG.fullmatch(found[2]) is not None)


def installation_of(key: str) -> str:
    """Return whose probe a key is of, "" when it is none's."""
    found = RUN.fullmatch(key)
    return found[1] if found is not None and is_key(key) else ""


def body(size: int, *, seed: int = 0) -> bytes:
    """Return the body of `size` bytes that has a number, from 0 to 9999: lines of 32 bytes that tell their places."""
    return _lines(seed, -(-size // LINE))[:size]


def is_body(data: bytes | bytearray | memoryview) -> bool:
    """Whether bytes are a body that `body` makes."""
    held = bytes(data)
    seed = held[16:20].ljust(4, b"0")
    return seed.isdigit() and held == body(len(held), seed=int(seed))


def _lines(seed: int, lines: int) -> bytes:
    if not 0 <= seed < SEEDS:
        raise ValueError(seed)
    return b"".join(b"sovbroker probe %04d %010d\n" % (seed, number) for number in range(lines))
