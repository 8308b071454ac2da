"""What keys cost: renewing the domains of a keyring whose recipient is a real OpenBao, and wrapping data keys anew.

The last is measured alone, and as the job that does it: with the state database on the disk, and a store in memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from sovbroker.envelope import new_dek
from sovbroker.keys import Keyring, PassphraseService
from sovbroker.ports import Credentials, KeyBinding, KeyService
from sovbroker.testing.conformance.brokered import Mode, broker_over
from sovbroker.testing.openbao import openbao
from sovbroker_adapters.memory import MemoryStore
from sovbroker_adapters.vault import build

DOMAINS = 100
DEKS = 20_000
OBJECTS = 6_000
BODY = bytes(100)


class Counted:
    """A key service that counts what it is asked to unwrap."""

    def __init__(self, inner: KeyService) -> None:
        self.name = inner.name
        self.wrap = inner.wrap
        self.close = inner.close
        self.unwrapped = 0
        self._inner = inner

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Unwrap, and count it."""
        self.unwrapped += 1
        return self._inner.unwrap(wrapped, context)


def rows() -> Iterator[tuple[str, float, str, str]]:
    """Measure."""
    with TemporaryDirectory() as folder:
        yield from _rotation(Path(folder))
        yield from _wrapping(Path(folder))
        yield from _job(Path(folder))


def _rotation(folder: Path) -> Iterator[tuple[str, float, str, str]]:
    with openbao() as server:
        server.make_key("bench")
        credentials = Credentials({"token": server.make_token("bench")})
        binding = KeyBinding("bao", "bench", server.url, hosts=frozenset({server.host}), credentials=credentials)
        service = Counted(build(binding))
        keyring, _ = Keyring.create(folder / "ring.json", service, recovery=True)
        names = [f"domain-{number}" for number in range(DOMAINS)]
        for name in names:
            keyring.domain(name)
        begun = time.perf_counter()
        for name in names:
            keyring.rotate(name)
        yield f"renew {DOMAINS} domains, keys in OpenBao", time.perf_counter() - begun, "s", "<= 5"
        service.unwrapped = 0
        for _ in range(10_000):
            keyring.domain(names[0])
        yield "unwraps for 10,000 objects of a domain", service.unwrapped, "calls", "<= 1"
        keyring.close()


def _wrapping(folder: Path) -> Iterator[tuple[str, float, str, str]]:
    keyring, _ = Keyring.create(folder / "other.json", PassphraseService("a bench"), recovery=False)
    old = keyring.domain("a")
    wrapped = [old.wrap_dek(new_dek()) for _ in range(DEKS)]
    keyring.rotate("a")
    new = keyring.domain("a")
    begun = time.process_time()
    for text in wrapped:
        new.wrap_dek(old.unwrap_dek(text))
    yield "data keys wrapped anew, of processor time", DEKS / (time.process_time() - begun), "1/s", ">= 3,000"
    keyring.close()


def _job(folder: Path) -> Iterator[tuple[str, float, str, str]]:
    with broker_over(MemoryStore(), folder, mode=Mode.SEALED) as broker:
        for number in range(OBJECTS):
            broker.put(f"objects/{number}", BODY)
        (name,) = broker.keys.services
        broker.keys.keyring(name).rotate(name)
        begun, clock = time.process_time(), time.perf_counter()
        outcome = broker.rewrap()
        spent, lasted = time.process_time() - begun, time.perf_counter() - clock
    if not outcome.whole or outcome.done != OBJECTS:
        raise RuntimeError(str(outcome))
    yield "objects brought under a new key, of processor time", OBJECTS / spent, "1/s", ">= 3,000"
    yield "the same, as the clock has it", OBJECTS / lasted, "1/s", ""
