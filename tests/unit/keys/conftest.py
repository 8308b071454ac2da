"""Keyrings that cost little to open."""

import pytest

from sovbroker.keys import Cost, Keyring, PassphraseService

CHEAP = Cost(memory=8 << 10, passes=1, lanes=1)


@pytest.fixture
def service():
    """Return a function: a passphrase service, "secret words" unless told otherwise."""

    def make(words="secret words"):
        return PassphraseService(words, cost=CHEAP)

    return make


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keyring.json"


@pytest.fixture
def ring(path, service):
    """Return a keyring with the domain `health` in it, and its recovery code."""
    keyring, code = Keyring.create(path, service(), recovery=True)
    keyring.domain("health")
    return keyring, code
