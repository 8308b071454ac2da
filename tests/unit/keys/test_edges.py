"""What mutants of the keys got away with: limits, spellings, what is told, and what nobody had called."""

import base64
import hashlib
import json
import time
from datetime import UTC, datetime

import pytest

from sovbroker.envelope import Secret, new_dek
from sovbroker.errors import InvalidArgument, KeyUnavailable, Tampered, UnknownFormat
from sovbroker.keys import DomainKey, EscrowService, Keyring, RecoveryService, new_escrow, public_key, shares
from sovbroker.keys import file as file_module
from sovbroker.keys.domain import _encode
from sovbroker.keys.recovery import new_code


def escrows(*names):
    return [EscrowService(name, new_escrow()[0]) for name in names]


def rewrite(path, change):
    document = json.loads(path.read_text())
    change(document)
    rest = {name: value for name, value in document.items() if name not in {"mac", "checksum"}}
    body = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    path.write_text(json.dumps({**document, "checksum": hashlib.sha256(body).hexdigest()}))


# --- the file


def test_a_keyring_that_takes_one_says_nothing_of_a_quorum(ring, path):
    document = json.loads(path.read_text())
    assert set(document) == {"sovbroker", "version", "id", "recipients", "seal", "domains", "mac", "checksum"}
    assert document["version"] == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(quorum=True),
        lambda d: d.update(quorum=2),
        lambda d: d.update(quorum=0),
        lambda d: d.update(quorum="1"),
        lambda d: d.update(version=2),
        lambda d: d.update(version=2, quorum=3),
        lambda d: d.update(recipients=[]),
        lambda d: d["domains"].update(health=[]),
    ],
)
def test_a_document_that_contradicts_itself_is_refused(change, ring, path, service):
    rewrite(path, change)
    with pytest.raises(UnknownFormat, match=r"not a keyring that this version can read"):
        Keyring.open(path, service())


def test_the_largest_file_that_is_read(ring, path, service, monkeypatch):
    size = path.stat().st_size
    monkeypatch.setattr(file_module, "SIZE_MAX", size)
    Keyring.open(path, service()).close()
    monkeypatch.setattr(file_module, "SIZE_MAX", size - 1)
    with pytest.raises(UnknownFormat, match="larger than 0 MiB"):
        Keyring.open(path, service())


def test_every_complaint_names_the_file(ring, path, service):
    good = path.read_text()
    for text in ("{", good.replace('"mac"', '"mag"'), good.replace('"mac": "', '"mac": "x')):
        path.write_text(text)
        with pytest.raises(KeyUnavailable, match=str(path)):
            Keyring.open(path, service())
    path.write_text(good)
    rewrite(path, lambda d: d.update(mac="0" * 64))
    with pytest.raises(KeyUnavailable, match=f"`{path}` was changed by somebody"):
        Keyring.open(path, service())
    with pytest.raises(KeyUnavailable, match=f"`{path}` was changed by somebody"):
        ring[0].rotate("health")
    assert str(path) in repr(ring[0])


@pytest.mark.parametrize("zone", ["UTC-14", "UTC+14"])
def test_days_and_times_are_those_of_utc(path, service, zone, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        before = datetime.now(UTC).replace(microsecond=0)
        keyring, _ = Keyring.create(path, service(), recovery=False)
        keyring.domain("health")
        (status,) = keyring.status().domains
        assert status.created.endswith("Z")
        assert before <= datetime.fromisoformat(status.created) <= datetime.now(UTC)
        with Keyring.open(path, service()) as again:
            assert again.status() == keyring.status()
            assert again.status().id == json.loads(path.read_text())["id"]
        keyring.shred("health")
        ((_, day),) = keyring.status().destroyed
        assert day in {before.date().isoformat(), datetime.now(UTC).date().isoformat()}
    finally:
        monkeypatch.undo()
        time.tzset()


# --- recipients


def test_two_services_of_one_name_are_no_keyring(path, service):
    for wrong in ([], [service(), service("other words")]):
        with pytest.raises(InvalidArgument, match="a name of its own"):
            Keyring.create(path, wrong, recovery=False)
        with pytest.raises(InvalidArgument, match="a name of its own"):
            Keyring.open(path, wrong)


def test_an_escrow_from_the_first_day_opens_alone(path, service):
    private, public = new_escrow()
    keyring, _ = Keyring.create(path, service(), recovery=False, escrows={"vault": public_key(public)})
    kid = keyring.domain("health").kid
    assert keyring.status().recipients == ("passphrase", "vault")
    with Keyring.open(path, EscrowService("vault", private)) as again:
        assert again.by_kid(kid).kid == kid


def test_what_is_missing_for_a_quorum_is_named(path):
    bao, hsm, kms = escrows("bao", "hsm", "kms")
    Keyring.create(path, [bao, hsm, kms], recovery=False, quorum=3)[0].close()
    with pytest.raises(KeyUnavailable) as caught:
        Keyring.open(path, [hsm, *escrows("bao")])
    message = str(caught.value)
    assert message.startswith(f"the hsm and the bao does not open `{path}`: 1 of the 3 recipients that are needed gave")
    assert "(bao: " in message
    assert message.endswith("); not at hand: `kms`")
    with pytest.raises(KeyUnavailable) as caught:
        Keyring.open(path, [hsm])
    assert str(caught.value).endswith("needed gave the key; not at hand: `bao`, `kms`")
    # Only damage, and nothing that opens: then it is damaged, and not a matter of who is there.
    with pytest.raises(KeyUnavailable, match="belongs to another keyring"):
        Keyring.open(path, escrows("bao", "hsm"))


def test_recipients_are_exchanged_in_one_step(path):
    bao, hsm, kms, new = escrows("bao", "hsm", "kms", "new")
    keyring, code = Keyring.create(path, [bao, hsm], recovery=True)
    kid = keyring.domain("health").kid
    private, public = new_escrow()
    keyring.entrust([bao, new], escrows={"vault": public_key(public)}, quorum=2, recovery=True)
    assert keyring.status().recipients == ("bao", "new", "vault", "recovery")
    assert keyring.status().quorum == 2
    for pair in ([bao, new], [new, EscrowService("vault", private)], [bao, RecoveryService(code)]):
        with Keyring.open(path, pair) as again:
            assert again.by_kid(kid).kid == kid
    for gone in ([bao], [hsm, bao], [hsm, kms]):
        with pytest.raises(KeyUnavailable):
            Keyring.open(path, gone)
    # What was taken in is at hand for what comes next.
    keyring.entrust([bao, kms], escrows={}, quorum=1, recovery=False)
    assert keyring.status().recipients == ("bao", "kms")
    keyring.rotate("health")
    for alone in (bao, kms):
        with Keyring.open(path, alone) as again:
            assert again.domain("health").epoch == 2
            assert again.by_kid(kid).epoch == 1
    with pytest.raises(KeyUnavailable):
        Keyring.open(path, [RecoveryService(code)])


def test_an_escrow_of_the_same_name_with_another_pair_takes_its_place(path):
    """What the old pair holds is of no use to the new one: it has to be wrapped anew."""
    (bao,) = escrows("bao")
    old, new = new_escrow(), new_escrow()
    keyring, _ = Keyring.create(path, bao, recovery=False, escrows={"vault": public_key(old[1])})
    kid = keyring.domain("health").kid
    keyring.entrust([bao], escrows={"vault": public_key(new[1])}, quorum=1, recovery=False)
    with Keyring.open(path, EscrowService("vault", new[0])) as again:
        assert again.by_kid(kid).kid == kid
    with pytest.raises(KeyUnavailable):
        Keyring.open(path, EscrowService("vault", old[0]))


@pytest.mark.parametrize("quorum", [1, 2])
def test_a_new_code_takes_the_place_of_the_old(path, quorum):
    bao, hsm = escrows("bao", "hsm")
    keyring, code = Keyring.create(path, [bao, hsm], recovery=True, quorum=quorum)
    kid = keyring.domain("health").kid
    fresh = keyring.renew_recovery()
    assert fresh != code
    assert keyring.status().recipients == ("bao", "hsm", "recovery")
    others = [bao] if quorum == 2 else []
    with Keyring.open(path, [RecoveryService(fresh), *others]) as again:
        assert again.by_kid(kid).kid == kid
    with pytest.raises(KeyUnavailable):
        Keyring.open(path, [RecoveryService(code), *others])
    with Keyring.open(path, [bao, hsm]) as again:
        assert again.domain("health").kid == kid


def test_a_closed_passphrase_is_forgotten(path, service):
    opened = service()
    wrapped = opened.wrap(b"secret", b"context")
    held = [opened._passphrase, *(key for key, _ in opened._keys.values())]
    assert len(held) == 2
    opened.close()
    opened.close()
    for secret in held:
        with pytest.raises(KeyUnavailable):
            secret.reveal()
    with pytest.raises(KeyUnavailable, match="wiped"):
        opened.unwrap(wrapped, b"context")


# --- spellings


def test_no_byte_moves_between_a_wrapped_key_and_its_tag():
    key = DomainKey(Secret(bytes(32)), domain="health", epoch=1, kid="kid")
    dek = new_dek()
    header, content, nonce, sealed, tag = key.wrap_dek(dek).split(".")

    def text(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    both = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)) + base64.urlsafe_b64decode(tag + "==")
    assert key.unwrap_dek(".".join((header, content, nonce, text(both[:32]), text(both[32:])))) == dek
    for at in (31, 33, 0, 48):
        with pytest.raises(Tampered):
            key.unwrap_dek(".".join((header, content, nonce, text(both[:at]), text(both[at:]))))


def test_an_escrow_is_one_line_with_its_mark():
    private, public = new_escrow()
    bare = public.rpartition(" ")[2]
    assert public_key(f"  {public}\n") == base64.b64decode(bare)
    for wrong in (bare, private, public[:-8] + "!" + public[-8:], public + "AAAA", "", "sovbroker escrow public 1 "):
        with pytest.raises(InvalidArgument):
            public_key(wrong)


# --- shares


def test_as_many_shares_as_there_can_be():
    key = new_dek()
    made = shares.split(key, count=16, quorum=16, context=b"context")
    assert shares.join(made, quorum=16, context=b"context") == key
    with pytest.raises(InvalidArgument):
        shares.split(key, count=17, quorum=2, context=b"context")


def test_a_share_that_comes_twice_is_refused():
    made = shares.split(new_dek(), count=3, quorum=2, context=b"context")
    with pytest.raises(Tampered):
        shares.join([made[0], made[0], made[1]], quorum=2, context=b"context")


def test_forged_shares_that_make_no_key_are_refused():
    """The modulus is a little more than 32 bytes can say."""
    value = ((1 << 256) + 5).to_bytes(33, "big")
    forged = [bytes([number]) + value + bytes(16) for number in (1, 2)]
    with pytest.raises(Tampered):
        shares.join(forged, quorum=2, context=b"context")


# --- what is wrapped


@pytest.mark.parametrize("size", [1, 256])
def test_the_shortest_and_the_longest_secret(size, service):
    secret = bytes(range(256))[:size]
    for one in (service(), RecoveryService(new_code()), *escrows("vault")):
        assert one.unwrap(one.wrap(secret, b"context"), b"context") == secret


@pytest.mark.parametrize("size", [0, 257])
def test_what_no_service_wraps(size, service):
    for one in (service(), RecoveryService(new_code()), *escrows("vault")):
        with pytest.raises(InvalidArgument, match=f"1 to 256 bytes, not {size}"):
            one.wrap(bytes(size), b"context")


def test_what_was_never_here_is_not_called_destroyed(ring):
    keyring, _ = ring
    with pytest.raises(KeyUnavailable, match=r"`no-such-kid` is not in `.*`: destroyed, or of another keyring$"):
        keyring.by_kid("no-such-kid")
    kid = keyring.domain("health").kid
    keyring.shred("health")
    with pytest.raises(KeyUnavailable, match=r": destroyed on 20\d\d-\d\d-\d\d$"):
        keyring.by_kid(kid)


def test_only_padding_is_cut_off_what_is_spelled():
    """A nonce may end in any letter, and is damaged when one is cut off with the padding."""
    assert [_encode(data) for data in (b"\0\0\x17", b"\0\0", b"\0", b"\xff\xff\xff")] == ["AAAX", "AAA", "AA", "____"]
