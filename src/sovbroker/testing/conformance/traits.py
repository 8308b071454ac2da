"""What stores may differ in without breaking a promise, and the samples that the suites store."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Final

from sovbroker.errors import InvalidArgument, NotFound
from sovbroker.ports import NO_METADATA, Feature, Store

__all__ = [
    "MAY_HOLD",
    "METADATA",
    "MUST_HOLD",
    "BrokenError",
    "Traits",
    "Trickle",
    "holds",
    "known",
    "load",
    "pattern",
    "segmented",
    "usable",
]

METADATA: Final[dict[str, str]] = {"sov": "AbC0-_.~", "n2": 'a "quoted"; value, with = signs + more', "z": "1"}

MUST_HOLD: Final = (
    "plain",
    "folder/plain.txt",
    "folder/0123@abc",
    "folder/0123@abc~",
    "Upper/CASE",
    "under_score-dash.dot",
    "with space/and space",
    "plus+and%percent",
    "percent%20looking",
    "é",
    "e\u0301",
    "日本/😀",
    "dots...",
    ".hidden",
    "q?uery#fragment&amp;",
    "quotes'\"<>",
    "~!*()@$=;:,",
    "x" * 200,
)
"""Keys that every store holds exactly."""

MAY_HOLD: Final = (
    "/leading",
    "trailing/",
    "double//slash",
    "/",
    "//",
    ".",
    "..",
    "../escape",
    "a/../../escape",
    "a/./b",
    "back\\slash",
    "null\x00byte",
    "tab\tand\nnewline",
    "carriage\rreturn",
    "bell\x07",
    "del\x7f",
    "next\x85line",
    "nonchar\ufffe",
    " space ",
    "x" * 300,
    "%2e%2e/x",
    "%_",
    "%+",
    "a%+/b",
    "%meta.json",
    "%object-",
)
"""Keys that a store holds exactly or refuses with InvalidArgument."""


class Traits:
    """Set these in the subclass where a store differs.

    `nested`: the store holds an object `a` and an object `a/b` at once. Where it is False, the second of them is
    refused with an error, and the first stays as it is if it is the shorter one.

    `replaces_parts`: a part of an upload may be sent again with other bytes. Where it is False, that is refused with an
    error; the same bytes may be sent again at every store.

    `drops_metadata`: metadata that are replaced are gone. Where it is False, their names stay and say nothing.

    `retention`: for how many seconds the suite retains an object and then waits, where the store retains any.

    `shared`: what one process stores, another one finds.

    `remembers`: the store answers from what it remembers, so that a key which it could not hold is one that is missing.

    `any_metadata`: metadata are any texts by names that are not empty.

    `many` objects are more than fit one page of a listing. `examples`: how many sequences of calls are compared with a
    dictionary.
    """

    nested: ClassVar[bool] = True
    replaces_parts: ClassVar[bool] = True
    drops_metadata: ClassVar[bool] = True
    retention: ClassVar[float] = 2.0
    shared: ClassVar[bool] = True
    remembers: ClassVar[bool] = False
    any_metadata: ClassVar[bool] = False
    many: ClassVar[int] = 1100
    examples: ClassVar[int] = 20

    def refuses(self, key: str) -> bool:
        """Whether the store refuses one of the keys that the others hold; say why in the subclass."""
        del key
        return False

    def longest(self, store: Store, letter: str) -> str:
        """Return the longest key that the store holds, in segments of `letter`."""
        return segmented(letter, store.limits.key_max)

    @property
    def unreadable(self) -> tuple[type[Exception], ...]:
        """What reading under a key that cannot be held raises."""
        return (InvalidArgument, NotFound) if self.remembers else (InvalidArgument,)


class BrokenError(Exception):
    """What a source in these tests raises: nobody's error but the caller's."""


class Trickle:
    """A source that gives its bytes in short reads, and then ends, or raises."""

    def __init__(self, data: bytes, *, step: int = 7001, raises: bool = False) -> None:
        self._data = memoryview(data)
        self._step = step
        self._raises = raises

    def read(self, size: int = -1, /) -> bytes:
        """Return fewer bytes than asked for."""
        if not self._data and self._raises:
            raise BrokenError("the source broke")
        count = min(self._step, len(self._data) if size < 0 else size)
        data, self._data = bytes(self._data[:count]), self._data[count:]
        return data


def segmented(letter: str, length: int) -> str:
    """Return a key of `length` bytes, in segments of up to 99 bytes of `letter`."""
    segment = letter * (99 // len(letter.encode()))
    key = "/".join([segment] * (length // 97 + 1)).encode()[:length].decode(errors="ignore").rstrip("/")
    return key + "k" * (length - len(key.encode()))


def pattern(size: int, *, seed: int = 1) -> bytes:
    """Return `size` bytes that differ from place to place and from seed to seed."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - test data


def load(store: Store, key: str) -> bytes:
    """Return an object's body."""
    with store.get(key) as reader:
        return reader.read()


def holds(store: Store, key: str) -> bool:
    """Whether a listing names the key."""
    return any(info.key == key for page in store.list(key) for info in page.objects)


def known(store: Store) -> Mapping[str, str]:
    """Return metadata that the store can hold: none where it holds none."""
    return METADATA if usable(store, Feature.METADATA) else NO_METADATA


def usable(store: Store, feature: Feature) -> bool:
    """Whether the store declares a feature."""
    return store.capabilities[feature].usable
