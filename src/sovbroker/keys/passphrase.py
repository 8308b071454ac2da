"""A passphrase as a key service: Argon2id makes the key, AES-256-GCM wraps under it."""

from __future__ import annotations

import hmac
import os
import struct
from dataclasses import dataclass
from typing import Final, NoReturn, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from sovbroker.envelope.secret import KEY, Secret
from sovbroker.errors import InvalidArgument, KeyUnavailable, Tampered, UnknownFormat
from sovbroker.forks import ForkLock
from sovbroker.keys.service import check_secret

__all__ = ["Cost", "PassphraseService"]

FORMAT: Final = 1
SALT: Final = 16
CHECK: Final = 16
NONCE: Final = 12
FRAME: Final = struct.Struct(f">BIBB{SALT}s{CHECK}s{NONCE}s")
MEMORY: Final = range(8 << 10, (1 << 20) + 1)
PASSES: Final = range(1, 17)
LANES: Final = range(1, 17)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess at the passphrase costs: `memory` in KiB, `passes` over it, in `lanes`.

    Raises InvalidArgument beyond 8 MiB to 1 GiB, 1 to 16 passes and lanes: a file that asks for more is hostile.
    """

    memory: int = 64 << 10
    passes: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        """Refuse absurd costs."""
        if self.memory not in MEMORY or self.passes not in PASSES or self.lanes not in LANES:
            raise InvalidArgument(
                f"a cost of {self.memory} KiB, {self.passes} passes, {self.lanes} lanes is outside "
                "8 MiB to 1 GiB, 1 to 16 passes, 1 to 16 lanes"
            )


@final
class PassphraseService:
    """A `KeyService` whose key is a passphrase. What it wraps carries the salt and the cost that it was made with.

    One derivation (about 0.15 s at the default cost) serves all keys of a keyring.
    """

    __slots__ = ("_cost", "_keys", "_lock", "_passphrase")

    name = "passphrase"

    def __init__(self, passphrase: str | Secret, *, cost: Cost | None = None) -> None:
        self._passphrase = passphrase if isinstance(passphrase, Secret) else Secret(passphrase.encode())
        if not len(self._passphrase):
            raise InvalidArgument("the passphrase is empty")
        self._cost = cost or Cost()
        self._keys: dict[tuple[Cost, bytes], tuple[Secret, bytes]] = {}
        self._lock = ForkLock()

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """See `KeyService.wrap`."""
        check_secret(secret)
        cost, salt = next(((c, s) for c, s in list(self._keys) if c == self._cost), (self._cost, os.urandom(SALT)))
        key, check = self._derive(cost, salt)
        nonce = os.urandom(NONCE)
        frame = FRAME.pack(FORMAT, cost.memory, cost.passes, cost.lanes, salt, check, nonce)
        return frame + AESGCM(key.reveal()).encrypt(nonce, secret, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See `KeyService.unwrap`. A wrong passphrase raises KeyUnavailable, a damaged `wrapped` raises Tampered."""
        if len(wrapped) < FRAME.size:
            raise Tampered
        version, memory, passes, lanes, salt, expected, nonce = FRAME.unpack_from(wrapped)
        if version != FORMAT:
            raise UnknownFormat(f"the key was wrapped in format {version}, this version knows {FORMAT}")
        try:
            cost = Cost(memory, passes, lanes)
        except InvalidArgument as error:
            raise UnknownFormat(f"the wrapped key is refused: {error}") from None
        key, check = self._derive(cost, salt)
        if not hmac.compare_digest(check, expected):
            raise KeyUnavailable("wrong passphrase")
        try:
            return AESGCM(key.reveal()).decrypt(nonce, wrapped[FRAME.size :], context)
        except InvalidTag:
            raise Tampered from None

    def _derive(self, cost: Cost, salt: bytes) -> tuple[Secret, bytes]:
        with self._lock:
            if (cost, salt) not in self._keys:
                kdf = Argon2id(
                    salt=salt, length=KEY + CHECK, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory
                )
                derived = kdf.derive(self._passphrase.reveal())
                self._keys[cost, salt] = Secret(derived[:KEY]), derived[KEY:]
            return self._keys[cost, salt]

    def close(self) -> None:
        """See `KeyService.close`. Wipes the passphrase and what was derived from it."""
        with self._lock:
            derived, self._keys = self._keys, {}
        for key, _ in derived.values():
            key.wipe()
        self._passphrase.wipe()

    def __repr__(self) -> str:
        """Print that there is one, and nothing of the passphrase."""
        return "<passphrase>"

    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a passphrase cannot be pickled or copied")
