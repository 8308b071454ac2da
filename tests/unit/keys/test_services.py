import base64
import copy
import pickle
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.envelope import Secret
from sovbroker.errors import InvalidArgument, KeyUnavailable, SealError, Tampered, UnknownFormat
from sovbroker.keys import Cost, PassphraseService, RecoveryService
from sovbroker.keys import passphrase as module
from sovbroker.keys.recovery import new_code, wrap_for
from sovbroker.ports import KeyService

SECRET = bytes(range(100, 132))


def cheap(words="secret words"):
    return PassphraseService(words, cost=Cost(memory=8 << 10, passes=1, lanes=1))


@pytest.fixture(scope="module", params=["passphrase", "recovery"])
def service(request):
    made: KeyService = cheap() if request.param == "passphrase" else RecoveryService(new_code())
    return made


def test_it_unwraps_what_it_wrapped(service):
    wrapped = service.wrap(SECRET, b"context")
    assert service.unwrap(wrapped, b"context") == SECRET
    assert service.wrap(SECRET, b"context") != wrapped
    assert SECRET not in wrapped


def test_another_context_is_refused(service):
    wrapped = service.wrap(SECRET, b"context")
    for other in (b"", b"Context", b"context "):
        with pytest.raises(Tampered):
            service.unwrap(wrapped, other)


def test_a_damaged_or_truncated_key_is_refused(service):
    wrapped = service.wrap(SECRET, b"context")
    step = 1 if len(wrapped) < 200 else 31
    for at in [*range(55, len(wrapped), step), len(wrapped) - 1]:
        damaged = bytearray(wrapped)
        damaged[at] ^= 1
        with pytest.raises(SealError):
            service.unwrap(bytes(damaged), b"context")
        with pytest.raises(SealError):
            service.unwrap(wrapped[:at], b"context")


@given(data=st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_only_seal_errors_escape(data, service):
    with pytest.raises(SealError):
        service.unwrap(data, b"context")


def test_it_neither_prints_nor_travels(service):
    for travel in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            travel(service)
    for text in (repr(service), str(service), f"{service}"):
        assert "secret words" not in text
        assert text.startswith("<")


def test_another_passphrase_is_told_apart_from_damage():
    wrapped = cheap().wrap(SECRET, b"context")
    with pytest.raises(KeyUnavailable, match="wrong passphrase"):
        cheap("other words").unwrap(wrapped, b"context")
    with pytest.raises(Tampered):
        cheap().unwrap(wrapped[:-1] + b"x", b"context")


def test_the_cost_is_read_from_what_was_wrapped():
    wrapped = cheap().wrap(SECRET, b"context")
    assert struct.unpack_from(">BIBB", wrapped) == (1, 8 << 10, 1, 1)
    assert PassphraseService("secret words").unwrap(wrapped, b"context") == SECRET
    assert Cost() == Cost(memory=64 << 10, passes=3, lanes=4)


@pytest.mark.parametrize(
    ("memory", "passes", "lanes"),
    [(8, 1, 1), ((1 << 20) + 1, 1, 1), (2**32 - 1, 255, 255), (8192, 0, 1), (8192, 17, 1), (8192, 1, 0), (8192, 1, 17)],
)
def test_an_absurd_cost_is_refused_before_it_is_paid(memory, passes, lanes, monkeypatch):
    monkeypatch.setattr("sovbroker.keys.passphrase.Argon2id", None)
    with pytest.raises(InvalidArgument, match=f"{memory} KiB"):
        Cost(memory, passes, lanes)
    with pytest.raises(UnknownFormat, match=f"{memory} KiB"):
        cheap().unwrap(struct.pack(">BIBB", 1, memory, passes, lanes) + bytes(100), b"context")


def test_a_newer_format_is_named():
    with pytest.raises(UnknownFormat, match="format 2"):
        cheap().unwrap(b"\x02" + cheap().wrap(SECRET, b"")[1:], b"")


def test_one_derivation_serves_many_keys(monkeypatch):
    calls, real = [], module.Argon2id

    def counting(**parameters):
        calls.append(parameters["salt"])
        return real(**parameters)

    monkeypatch.setattr(module, "Argon2id", counting)
    service = cheap()
    wrapped = [service.wrap(SECRET, bytes([n])) for n in range(5)]
    fresh = cheap()
    assert all(fresh.unwrap(w, bytes([n])) == SECRET for n, w in enumerate(wrapped))
    fresh.wrap(SECRET, b"x")
    assert len(calls) == 2
    assert len(set(calls)) == 1


def test_a_passphrase_may_come_as_a_secret_but_not_empty():
    wrapped = cheap().wrap(SECRET, b"")
    assert PassphraseService(Secret(b"secret words")).unwrap(wrapped, b"") == SECRET
    with pytest.raises(InvalidArgument, match="empty"):
        PassphraseService("")


def test_a_code_is_long_random_and_readable():
    codes = {new_code() for _ in range(50)}
    assert len(codes) == 50
    for code in codes:
        assert [len(group) for group in code.split("-")] == [6] * 8
        assert set(code) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567-")


def test_a_code_is_read_as_people_type_it():
    code = new_code()
    wrapped = wrap_for(RecoveryService(code).public, SECRET, context=b"c")
    typed = code.replace("O", "0").replace("I", "1").replace("B", "8")
    for text in (code.lower(), code.replace("-", ""), code.replace("-", " "), f"  {code}\n", typed):
        assert RecoveryService(text).unwrap(wrapped, b"c") == SECRET


def test_a_code_typed_wrongly_is_found_out():
    code = new_code()
    for at in range(len(code)):
        for new in "AZ27":
            if code[at] not in {new, "-"}:
                with pytest.raises(KeyUnavailable, match="compare it with the paper"):
                    RecoveryService(code[:at] + new + code[at + 1 :])
        with pytest.raises(KeyUnavailable):
            RecoveryService(code[:at])
    for text in ("", "x", code + "A", "é" * 48, "=" * 48):
        with pytest.raises(KeyUnavailable) as caught:
            RecoveryService(text)
        assert text in {"", "x"} or text not in str(caught.value)


def test_another_code_does_not_open():
    wrapped = RecoveryService(new_code()).wrap(SECRET, b"c")
    with pytest.raises(Tampered):
        RecoveryService(new_code()).unwrap(wrapped, b"c")


@pytest.mark.parametrize("public", [b"", bytes(1215), b"\xff" * 1216])
def test_a_public_key_that_is_none_is_refused(public):
    with pytest.raises(UnknownFormat):
        wrap_for(public, SECRET, context=b"c")


def test_the_code_holds_the_entropy_that_it_says():
    data = base64.b32decode(new_code().replace("-", ""))
    assert len(data) == 30
