"""The suite through a whole broker over the store of a test module: in the clear, sealed, its names hidden, awaited.

::

    @pytest.fixture
    def store(bucket): …                     # an open store with an empty container

    class TestMine(StoreSuite): …            # the store itself
    class TestMineSealed(SealedSuite): …     # a broker over it, which seals everything
    class TestMineHidden(HiddenSuite): …     # and hides names

The module's fixture `store` is what lies below; the suites put a broker over it. What leaves the broker is kept, and
looked at when a test is over: of what was put through a sealed broker nothing may have passed, in any spelling, and of
what was put in the clear it must have, or the look would prove nothing.
"""

# ruff: noqa: S101 - this is a test suite: it asserts, and numbers in assertions are the expectation

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

import pytest

from sovbroker.aio import AsyncBroker
from sovbroker.errors import AlreadyExists
from sovbroker.forks import ForkLock
from sovbroker.guard import Guarded, Permit
from sovbroker.names import SEGMENT_MAX, Alphabet
from sovbroker.ports import NO_METADATA, Bytes, ObjectInfo, Source, Store
from sovbroker.testing.conformance.awaited import Awaited
from sovbroker.testing.conformance.brokered import BrokeredStore, Mode, broker_over
from sovbroker.testing.conformance.sharing import in_child
from sovbroker.testing.conformance.suite import StoreSuite
from sovbroker.testing.conformance.traits import load, segmented
from sovbroker.testing.recorder import traces

__all__ = ["AwaitedSuite", "ClearSuite", "HiddenSuite", "SealedSuite"]

TELLING: Final = 6
SAMPLE: Final = slice(16, 40)
SECRETS_MAX: Final = 6
KEPT_EACH: Final = 4 << 10
KEPT_MAX: Final = 128 << 10
SEGMENT: Final = Alphabet.BASE32HEX.longest(SEGMENT_MAX)
"""Bytes of the longest segment of a key that can be hidden."""

RACED: Final = 5
RACERS: Final = 8


class Heard:
    """A source whose bytes are kept as they are sent."""

    def __init__(self, body: Source, watched: Watched) -> None:
        self._body = body
        self._watched = watched

    def read(self, size: int = -1, /) -> bytes:
        """Read on."""
        data = self._body.read(size)
        self._watched.hear(data[:KEPT_EACH])
        return data


@dataclass(frozen=True, slots=True)
class Watched(Guarded):
    """A store that keeps what is sent to it: names, metadata, and how bodies begin."""

    said: bytearray = field(default_factory=bytearray)
    lock: ForkLock = field(default_factory=ForkLock)

    def hear(self, data: bytes) -> None:
        """Keep what is sent, up to a limit."""
        with self.lock:
            if len(self.said) < KEPT_MAX:
                self.said.extend(data)

    def put(
        self,
        key: str,
        body: Bytes | Source,
        *,
        size: int,
        metadata: Mapping[str, str] = NO_METADATA,
        if_absent: bool = False,
    ) -> ObjectInfo:
        """See `Store.put`."""
        values = "\n".join(metadata.values())
        self.hear(f"\n{key}\n{values}\n".encode())
        if isinstance(body, (bytes, bytearray, memoryview)):
            self.hear(bytes(memoryview(body).cast("B")[:KEPT_EACH]))
        else:
            body = Heard(body, self)
        return Guarded.put(self, key, body, size=size, metadata=metadata, if_absent=if_absent)


class Confided(BrokeredStore):
    """A brokered store that keeps what was confided to it: a few samples of bodies, metadata and names."""

    def __init__(self, below: Store, folder: Path, *, mode: Mode, awaited: bool) -> None:
        self._opened = (below, folder, mode, awaited)
        self.bodies: set[bytes] = set()
        self.names: set[bytes] = set()
        broker = broker_over(below, folder, mode=mode)
        face = Awaited(AsyncBroker(broker)) if awaited else broker
        super().__init__(face, target=below.target, limits=below.limits)

    def again(self) -> Confided:
        """Open one more broker over the same state, as another process would."""
        below, folder, mode, awaited = self._opened
        return Confided(below, folder, mode=mode, awaited=awaited)

    def put(
        self,
        key: str,
        body: Bytes | Source,
        *,
        size: int,
        metadata: Mapping[str, str] = NO_METADATA,
        if_absent: bool = False,
    ) -> ObjectInfo:
        """See `Store.put`."""
        stored = super().put(key, body, size=size, metadata=metadata, if_absent=if_absent)
        if len(self.bodies) < SECRETS_MAX:
            # What JSON escapes would not be found as it is, and the look must find what is in the clear.
            plain = [value for value in metadata.values() if json.dumps(value) == f'"{value}"']
            told = [value[: SAMPLE.stop].encode() for value in plain]
            if isinstance(body, bytes) and len(set(body[SAMPLE])) > TELLING:
                told.append(body[SAMPLE])
            # A name that is not hidden may be seen, also where a body repeats it.
            self.bodies.update(text for text in told if len(text) >= TELLING and text not in key.encode())
            self.names.update(part.encode() for part in key.split("/") if len(part) >= TELLING and part.isalnum())
        return stored


class BrokerSuite(StoreSuite):
    """What a whole broker makes of a store. Needs a fixture `store` of the module: what lies below."""

    mode: ClassVar[Mode]
    awaited: ClassVar[bool] = False
    remembers = True
    any_metadata = True
    many = 30
    examples = 5

    @pytest.fixture
    def store(self, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Generator[Store]:
        """Put a broker over the module's store, and look at what left it."""
        below = Watched(store, Permit.CLEAR)
        brokered = Confided(below, tmp_path_factory.mktemp("broker"), mode=self.mode, awaited=self.awaited)
        yield brokered
        brokered.close()
        seen = bytes(below.said)
        open_to_all = self.mode is Mode.CLEAR
        for secret in brokered.bodies:
            assert bool(traces(secret, seen)) == open_to_all, secret
        for secret in brokered.names if self.mode is not Mode.SEALED else ():
            assert bool(traces(secret, seen)) == open_to_all, secret

    def test_two_processes_share_one_state(self, store: Confided) -> None:
        """Of all writers with `if_absent`, in both of them, exactly one wins each key; and both read it."""

        def race(mine: Confided, who: str) -> list[int]:
            def write(number: int) -> int | None:
                body = f"{who} {number}".encode() * 100
                try:
                    mine.put(f"raced/{number % RACED}", body, size=len(body), if_absent=True)
                except AlreadyExists:
                    return None
                return number % RACED

            with ThreadPoolExecutor(RACERS) as pool:
                return [number for number in pool.map(write, range(RACED * RACERS)) if number is not None]

        def other() -> list[int]:
            mine = store.again()
            try:
                return race(mine, "child")
            finally:
                mine.close()

        with in_child(other) as child:
            won = race(store, "parent")
        assert sorted(won + child()) == list(range(RACED))
        if self.shared:
            for number in range(RACED):
                winner = "parent" if number in won else "child"
                assert load(store, f"raced/{number}").startswith(winner.encode())


class ClearSuite(BrokerSuite):
    """Through a broker whose policy allows the clear."""

    mode = Mode.CLEAR


class SealedSuite(BrokerSuite):
    """Through a broker that seals every object."""

    mode = Mode.SEALED


class HiddenSuite(BrokerSuite):
    """Through a broker that seals every object, and hides its name. A segment of a key has at most 143 bytes then."""

    mode = Mode.HIDDEN

    def refuses(self, key: str) -> bool:
        """Whether a segment is too long to be hidden."""
        return any(len(part.encode()) > SEGMENT for part in key.split("/"))

    def longest(self, store: Store, letter: str) -> str:
        """Return the longest key that fits when it is hidden: names grow by more than a half."""
        key = segmented(letter, 1)
        for length in range(1, store.limits.key_max + 1):
            longer = segmented(letter, length)
            if hidden_length(longer) > store.limits.key_max:
                break
            key = longer
        while hidden_length(key + "k") <= store.limits.key_max:
            key += "k"
        return key


class AwaitedSuite(SealedSuite):
    """Through `sovbroker.aio`: every call is awaited, in one event loop for all threads."""

    awaited = True


def hidden_length(key: str) -> int:
    """Return how long the encrypted name of a key is, in characters: 16 bytes more a segment, five bits each."""
    parts = [len(part.encode()) + 16 for part in key.split("/")]
    return sum(-(-size * 8 // 5) for size in parts) + len(parts) - 1
