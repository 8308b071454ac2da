"""Keys: a keyring file, what opens it, and the domain keys in it.

::

    keyring, code = Keyring.create("keyring.json", PassphraseService(passphrase), recovery=True)   # once
    with Keyring.open("keyring.json", PassphraseService(passphrase)) as keyring:
        wrapped = keyring.domain("health").wrap_dek(dek)
        dek = keyring.by_kid(record.kid).unwrap_dek(record.wrapped)

A key service (here: a passphrase) wraps one key per domain; a domain key wraps the data encryption key of each object.
"""

from __future__ import annotations

from sovbroker.keys.domain import DomainKey
from sovbroker.keys.escrow import EscrowService, new_escrow, public_key
from sovbroker.keys.passphrase import Cost, PassphraseService
from sovbroker.keys.recovery import RecoveryService
from sovbroker.keys.ring import DomainStatus, Keyring, KeyringStatus

__all__ = [
    "Cost",
    "DomainKey",
    "DomainStatus",
    "EscrowService",
    "Keyring",
    "KeyringStatus",
    "PassphraseService",
    "RecoveryService",
    "new_escrow",
    "public_key",
]
