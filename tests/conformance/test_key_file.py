"""The suite on what opens a keyring without any service: a passphrase, the recovery code, an escrow's private half.

Nobody outside has a power over such a key, and there is no way to it; closing is the one thing that ends it.
"""

import pytest

from sovbroker.errors import KeyUnavailable
from sovbroker.keys import Cost, EscrowService, PassphraseService, RecoveryService, new_escrow
from sovbroker.keys.recovery import new_code
from sovbroker.testing.conformance.keyservices import CONTEXT, SECRET, KeyServiceSuite

CHEAP = Cost(memory=8 << 10, passes=1, lanes=1)


class InAHead(KeyServiceSuite):
    powers = ()
    test_a_power_over_the_key_is_felt = None  # nobody has any
    test_a_slow_answer_is_waited_for = None  # nobody is asked

    @pytest.fixture
    def power(self):
        return {}.__getitem__


class TestPassphrase(InAHead):
    powers = ("destroy",)
    test_a_power_over_the_key_is_felt = KeyServiceSuite.test_a_power_over_the_key_is_felt

    @pytest.fixture
    def service(self):
        return PassphraseService("secret words", cost=CHEAP)

    @pytest.fixture
    def again(self):
        return PassphraseService("secret words")

    @pytest.fixture
    def other(self):
        return PassphraseService("other words", cost=CHEAP)

    @pytest.fixture
    def power(self, service):
        return {"destroy": service.close}.__getitem__

    def test_a_wrong_one_is_told_from_damage(self, service, other):
        with pytest.raises(KeyUnavailable, match="wrong passphrase"):
            other.unwrap(service.wrap(SECRET, CONTEXT), CONTEXT)


class TestRecovery(InAHead):
    @pytest.fixture
    def code(self):
        return new_code()

    @pytest.fixture
    def service(self, code):
        return RecoveryService(code)

    @pytest.fixture
    def again(self, code):
        return RecoveryService(code)

    @pytest.fixture
    def other(self):
        return RecoveryService(new_code())


class TestEscrow(InAHead):
    @pytest.fixture
    def private(self):
        return new_escrow()[0]

    @pytest.fixture
    def service(self, private):
        return EscrowService("vault", private)

    @pytest.fixture
    def again(self, private):
        return EscrowService("vault", private)

    @pytest.fixture
    def other(self):
        return EscrowService("vault", new_escrow()[0])
