"""The true secrets of a process, collected where they arise, so that it can be looked for each of them afterwards."""

import functools

from sovbroker import names
from sovbroker.envelope import chunks, metadata
from sovbroker.envelope.secret import Secret
from sovbroker.keys import domain, escrow, recovery
from sovbroker.keys.escrow import EscrowService
from sovbroker.keys.passphrase import PassphraseService
from sovbroker.keys.recovery import RecoveryService
from sovbroker_adapters.kms import KmsService
from sovbroker_adapters.pkcs11 import HsmService
from sovbroker_adapters.vault import VaultService

SERVICES = (PassphraseService, RecoveryService, EscrowService, VaultService, HsmService, KmsService)
LEAST = 8

found = {}


def keep(kind, data):
    """Remember a secret; what is too short would be found anywhere."""
    data = data.encode() if isinstance(data, str) else bytes(data)
    if len(data) >= LEAST and any(data):
        found.setdefault(data, set()).add(kind)


def watched(kind, call, *, given=(), answered=True):
    @functools.wraps(call)
    def wrapper(*args, **options):
        for index in given:
            keep(kind, args[index])
        answer = call(*args, **options)
        if answered:
            keep(kind, answer)
        return answer

    return wrapper


def watch():
    """Collect from now on: every `Secret`, every derived key, every key that a service wraps or gives."""
    made = Secret.__init__

    def init(self, data):
        made(self, data)
        keep("secret", data)

    Secret.__init__ = init
    for module in (chunks, metadata, names):
        module.expand = watched("derived key", module.expand, given=())
    domain.aes_key_wrap = watched("content key", domain.aes_key_wrap, given=(0, 1), answered=False)
    recovery._entropy = watched("recovery code", recovery._entropy)
    escrow._decode = watched("escrow", escrow._decode)
    for service in SERVICES:
        service.wrap = watched(f"wrapped by {service.__name__}", service.wrap, given=(1,), answered=False)
        service.unwrap = watched(f"given by {service.__name__}", service.unwrap)
