"""Several recipients: any one of them, or a quorum; the life of keys; escrows."""

from __future__ import annotations

import itertools
import json
import logging
import pickle
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.envelope import new_dek
from sovbroker.envelope.secret import Secret
from sovbroker.errors import InvalidArgument, KeyUnavailable, SealError, Tampered
from sovbroker.keys import EscrowService, Keyring, RecoveryService, new_escrow, public_key, shares


class Held:
    """A key service in memory, as an HSM is seen from outside: it counts its calls, and can be out of reach."""

    def __init__(self, name):
        self.name = name
        self.dead = False
        self.calls = []
        self._pair = EscrowService(name, new_escrow()[0])

    def wrap(self, secret, context):
        return self._ask("wrap", self._pair.wrap, secret, context)

    def unwrap(self, wrapped, context):
        return self._ask("unwrap", self._pair.unwrap, wrapped, context)

    def _ask(self, word, call, data, context):
        self.calls.append(word)
        if self.dead:
            raise KeyUnavailable(f"{self.name} does not answer")
        return call(data, context)


@pytest.fixture
def trio():
    return [Held(name) for name in ("bao", "hsm", "kms")]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keyring.json"


def sealed(keyring, domain="health"):
    """Return a data encryption key, wrapped under a domain's current key, with what finds that again."""
    dek, key = new_dek(), keyring.domain(domain)
    return dek, key.kid, key.wrap_dek(dek)


def opens(path, services, held):
    dek, kid, wrapped = held
    with Keyring.open(path, services) as keyring:
        return keyring.by_kid(kid).unwrap_dek(wrapped) == dek


def test_any_one_of_several_recipients_opens(path, trio):
    keyring, code = Keyring.create(path, trio, recovery=True)
    held = sealed(keyring)
    assert keyring.status().recipients == ("bao", "hsm", "kms", "recovery")
    for service in (*trio, RecoveryService(code)):
        assert opens(path, service, held)


def test_a_recipient_that_is_out_of_reach_is_passed_over(path, trio):
    keyring, _ = Keyring.create(path, trio, recovery=False)
    held = sealed(keyring)
    trio[0].dead = True
    assert opens(path, trio, held)
    trio[1].dead = trio[2].dead = True
    with pytest.raises(KeyUnavailable, match="hsm does not answer"):
        Keyring.open(path, trio)


def test_a_new_domain_needs_every_recipient(path, trio):
    keyring, _ = Keyring.create(path, trio, recovery=False)
    before = path.read_bytes()
    trio[2].dead = True
    with pytest.raises(KeyUnavailable, match="kms does not answer"):
        keyring.domain("new")
    assert path.read_bytes() == before
    with Keyring.open(path, trio[:2]) as two, pytest.raises(KeyUnavailable, match="wrapped for `kms` too"):
        two.domain("new")


@pytest.mark.parametrize("quorum", [2, 3])
def test_a_quorum_opens_and_one_fewer_does_not(path, trio, quorum):
    keyring, code = Keyring.create(path, trio, recovery=True, quorum=quorum)
    held = sealed(keyring)
    everybody = [*trio, RecoveryService(code)]
    assert keyring.status().quorum == quorum
    for some in itertools.combinations(everybody, quorum):
        assert opens(path, some, held)
    for few in itertools.combinations(everybody, quorum - 1):
        with pytest.raises(KeyUnavailable, match=f"{quorum - 1} of the {quorum} recipients that are needed"):
            Keyring.open(path, few)


def test_a_quorum_that_daily_work_could_never_meet_is_refused(path, trio):
    with pytest.raises(InvalidArgument, match="3 key services could never be 4"):
        Keyring.create(path, trio, recovery=True, quorum=4)
    assert not path.exists()


def test_with_a_quorum_a_service_is_never_given_a_key(path, trio):
    keyring, _ = Keyring.create(path, trio, recovery=False, quorum=2)
    key = keyring.domain("health")
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["version"] == 2
    for service in trio:
        with Keyring.open(path, trio) as opened:
            wrapped = opened._ring.domains["health"][0].wrapped[service.name]
            from sovbroker.keys.lifecycle import domain_context  # noqa: PLC0415 - of this test alone

            share = service.unwrap(wrapped, domain_context(opened._ring, "health", opened._ring.domains["health"][0]))
        assert len(share) == shares.SHARE
        assert key._secret.reveal() not in share


def test_a_lost_share_is_replaced_and_no_object_is_touched(path, trio):
    keyring, _ = Keyring.create(path, trio, recovery=False, quorum=2)
    held = sealed(keyring)
    keyring.close()
    # The key of the third service is gone, and a new one takes its place: by the other two.
    fresh = Held("kms")
    with Keyring.open(path, trio[:2]) as two:
        two.rewrap(fresh)
    for some in itertools.combinations([*trio[:2], fresh], 2):
        assert opens(path, some, held)
    with pytest.raises(KeyUnavailable):
        Keyring.open(path, [trio[0], trio[2]])


def test_old_shares_are_of_no_use_beside_new_ones(path, trio, tmp_path):
    keyring, _ = Keyring.create(path, trio, recovery=False, quorum=2)
    keyring.domain("health")
    old = keyring._ring.domains["health"][0].wrapped
    keyring.rewrap(trio[2])
    new = keyring._ring.domains["health"][0].wrapped
    from sovbroker.keys.lifecycle import domain_context  # noqa: PLC0415 - of this test alone

    context = domain_context(keyring._ring, "health", keyring._ring.domains["health"][0])
    mixed = {**new, "bao": old["bao"]}
    with pytest.raises(Tampered):
        keyring._custody(keyring._ring).unwrap({n: mixed[n] for n in ("bao", "hsm")}, context=context)


def test_recipients_come_and_go(path, trio):
    first, second, third = trio
    keyring, _ = Keyring.create(path, first, recovery=False)
    held = sealed(keyring)
    keyring.add(second)
    assert opens(path, second, held)
    private, public = new_escrow()
    keyring.add(("escrow", public_key(public)))
    assert opens(path, EscrowService("escrow", private), held)
    keyring.remove("bao")
    assert keyring.status().recipients == ("hsm", "escrow")
    with pytest.raises(KeyUnavailable):
        Keyring.open(path, first)
    assert opens(path, second, held)
    with pytest.raises(InvalidArgument, match="has a recipient `hsm` already"):
        keyring.add(Held("hsm"))
    with pytest.raises(InvalidArgument, match="no recipient `bao`; there is `hsm`, `escrow`"):
        keyring.remove("bao")
    keyring.add(third)
    keyring.require(2)
    assert opens(path, [second, third], held)
    keyring.remove("escrow")
    with pytest.raises(InvalidArgument, match="change the quorum first"):
        keyring.remove("kms")
    keyring.require(1)
    keyring.remove("kms")
    with pytest.raises(InvalidArgument, match="nobody would ever open it"):
        keyring.remove("hsm")
    assert opens(path, second, held)


def test_an_addition_asks_nothing_of_those_who_stay(path, trio):
    keyring, _ = Keyring.create(path, trio[:2], recovery=False)
    keyring.domain("health")
    keyring.close()
    with Keyring.open(path, trio[0]) as alone:
        alone.add(trio[2])
        assert alone.status().recipients == ("bao", "hsm", "kms")
    assert [held.calls.count("wrap") for held in trio] == [2, 2, 2]


def test_an_epoch_is_new_for_new_objects_and_old_ones_still_open(path, trio):
    keyring, _ = Keyring.create(path, trio, recovery=False, quorum=2)
    before = sealed(keyring)
    status = keyring.rotate("health")
    after = sealed(keyring)
    assert (status.epoch, status.epochs, status.kid) == (2, 2, after[1])
    assert before[1] != after[1]
    assert opens(path, trio[:2], before)
    assert opens(path, trio[1:], after)
    with pytest.raises(InvalidArgument, match="no domain `missing`"):
        keyring.rotate("missing")


def test_what_is_shredded_opens_nowhere(path, trio):
    keyring, code = Keyring.create(path, trio, recovery=True)
    lost, kept = sealed(keyring), sealed(keyring, "finance")
    keyring.rotate("health")
    assert set(keyring.shred("health")) >= {lost[1]}
    for services in (trio, RecoveryService(code)):
        with Keyring.open(path, services) as opened, pytest.raises(KeyUnavailable, match="destroyed on 20"):
            opened.by_kid(lost[1])
    with pytest.raises(KeyUnavailable, match="destroyed on"):
        keyring.by_kid(lost[1])
    assert opens(path, trio, kept)
    assert len(keyring.status().destroyed) == 2
    # The name may live again, with another key.
    assert keyring.domain("health").kid != lost[1]
    with pytest.raises(InvalidArgument, match="there is `finance`, `health`"):
        keyring.shred("missing")


def test_ten_thousand_uses_of_a_domain_unwrap_its_key_once(path, trio):
    keyring, _ = Keyring.create(path, trio, recovery=False)
    keyring.domain("health")
    keyring.close()
    service = trio[0]
    service.calls.clear()
    with Keyring.open(path, service) as opened:
        for _ in range(10_000):
            opened.domain("health")
    # One is the ring's own key, by which the file is known to be whole.
    assert service.calls == ["unwrap", "unwrap"]


@settings(max_examples=50)
@given(st.binary(min_size=32, max_size=32), st.integers(2, 6), st.data())
def test_shares_make_the_key_again(key, count, data):
    quorum = data.draw(st.integers(2, count))
    made = shares.split(Secret(key), count=count, quorum=quorum, context=b"c")
    some = data.draw(st.permutations(made))[: data.draw(st.integers(quorum, count))]
    assert shares.join(some, quorum=quorum, context=b"c").reveal() == key
    with pytest.raises(KeyUnavailable):
        shares.join(some[: quorum - 1], quorum=quorum, context=b"c")
    with pytest.raises(Tampered):
        shares.join(some, quorum=quorum, context=b"another")


@settings(max_examples=100)
@given(st.integers(0, shares.SHARE * 8 - 1))
def test_a_share_with_a_flipped_bit_is_found_out(bit):
    made = shares.split(Secret.random(), count=3, quorum=2, context=b"c")
    wrong = bytearray(made[0])
    wrong[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError):
        shares.join([bytes(wrong), made[1]], quorum=2, context=b"c")


@pytest.mark.parametrize(("count", "quorum"), [(3, 1), (3, 4), (17, 2), (1, 1)])
def test_shares_that_cannot_be(count, quorum):
    with pytest.raises(InvalidArgument, match="cannot be"):
        shares.split(Secret.random(), count=count, quorum=quorum, context=b"c")


def test_keys_of_zeros_and_ones_are_shared_too():
    for key in (bytes(32), b"\xff" * 32):
        made = shares.split(Secret(key), count=3, quorum=3, context=b"c")
        assert shares.join(made, quorum=3, context=b"c").reveal() == key


def test_an_escrow_tells_nothing_of_itself(caplog):
    caplog.set_level(logging.DEBUG)
    private, public = new_escrow()
    service = EscrowService("escrow", private)
    assert service.public == public_key(public)
    assert private.split()[-1] not in f"{service!r} {service}"
    with pytest.raises(TypeError):
        pickle.dumps(service)
    for wrong in (private[:-8], public, "", private.replace("private 1", "private 2")):
        with pytest.raises(KeyUnavailable) as caught:
            EscrowService("escrow", wrong)
        told = "".join(traceback.format_exception(caught.value)) + caplog.text
        assert wrong[30:70] not in told or not wrong
    with pytest.raises(InvalidArgument, match="sovbroker escrow public 1"):
        public_key("something else")
    with pytest.raises(Tampered):
        service.unwrap(service.wrap(b"secret", b"one"), b"another")
