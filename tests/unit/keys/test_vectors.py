"""A keyring of version 2 that is frozen: it opens for ever, with any two of three, and by what docs/format.md says."""

import base64
import hashlib
import hmac
import itertools
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from sovbroker.errors import KeyUnavailable
from sovbroker.keys import EscrowService, Keyring, PassphraseService, RecoveryService, public_key

OWN = json.loads((Path(__file__).parents[2] / "vectors" / "format-1.json").read_text(encoding="utf-8"))[
    "keyring_quorum"
]
RING = json.loads(OWN["file"])
MODULUS = 2**256 + 297


def services():
    return [
        PassphraseService(OWN["passphrase"]),
        EscrowService("vault", OWN["escrow_private"]),
        RecoveryService(OWN["recovery_code"]),
    ]


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "keyring.json"
    file.write_text(OWN["file"], encoding="utf-8")
    file.chmod(0o600)
    return file


def test_any_two_open_it(path):
    for pair in itertools.permutations(services(), 2):
        with Keyring.open(path, pair) as keyring:
            assert keyring.by_kid(OWN["kids"][0]).unwrap_dek(OWN["jwe"]).reveal().hex() == OWN["dek"]
            assert [keyring.by_kid(kid).epoch for kid in OWN["kids"]] == [1, 2]
            assert dict(keyring.status().destroyed) == OWN["destroyed"]
    for one in services():
        with pytest.raises(KeyUnavailable, match="1 of the 2 recipients"):
            Keyring.open(path, [one])


# --- and now without us


def fields(tag, *texts):
    return tag + b"".join(len(text.encode()).to_bytes(4, "big") + text.encode() for text in texts)


def by_key_pair(seed, wrapped, context):
    pair = MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(seed[:64]), X25519PrivateKey.from_private_bytes(seed[64:])
    )
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA512, AEAD.AES_256_GCM).decrypt(wrapped, pair, context)


def seed_of_code():
    data = base64.b32decode(OWN["recovery_code"].replace("-", ""))
    assert data[25:] == hashlib.sha256(b"sovbroker recovery 1" + data[:25]).digest()[:5]
    return HKDF(hashes.SHA512(), 96, None, b"sovbroker recovery 1").derive(data[:25])


def joined(shares, context):
    """Shamir's scheme, as the document has it: f(0) of the line through two points."""
    (a, fa), (b, fb) = [(share[0], int.from_bytes(share[1:34], "big")) for share in shares]
    at_zero = (fa * b * pow(b - a, -1, MODULUS) + fb * a * pow(a - b, -1, MODULUS)) % MODULUS
    key = at_zero.to_bytes(32, "big")
    check = hmac.digest(key, b"sovbroker share check 1" + context, "sha256")[:16]
    assert [share[34:] for share in shares] == [check, check]
    return key


def opened(wrapped, context):
    """The key in what is wrapped for the escrow and for the code, by the document alone."""
    seeds = {"vault": base64.b64decode(OWN["escrow_private"].rpartition(" ")[2]), "recovery": seed_of_code()}
    shares = [by_key_pair(seed, base64.b64decode(wrapped[name]), context) for name, seed in seeds.items()]
    return joined(shares, context)


def test_the_document_is_enough():
    epoch = RING["domains"]["health"][0]
    key = opened(epoch["wrapped"], fields(b"sovbroker domain key 1", RING["id"], "health", "1", epoch["kid"]))
    header, content, nonce, sealed, tag = (
        base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in OWN["jwe"].split(".")
    )
    assert json.loads(header) == {"alg": "A256KW", "enc": "A256GCM", "kid": epoch["kid"]}
    aad = OWN["jwe"].split(".")[0].encode()
    assert AESGCM(aes_key_unwrap(key, content)).decrypt(nonce, sealed + tag, aad).hex() == OWN["dek"]


def test_the_marks_of_the_file_are_as_the_document_says():
    rest = {name: value for name, value in RING.items() if name not in {"mac", "checksum"}}
    body = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    own = opened(RING["seal"], fields(b"sovbroker ring 1", RING["id"]))
    assert RING["mac"] == hmac.digest(own, body, "sha256").hex()
    assert RING["checksum"] == hashlib.sha256(body).hexdigest()
    assert (RING["version"], RING["quorum"], set(RING["destroyed"])) == (2, 2, set(OWN["destroyed"]))


def test_the_public_halves_are_as_the_document_says():
    seed = base64.b64decode(OWN["escrow_private"].rpartition(" ")[2])
    for each, public in ((seed, public_key(OWN["escrow_public"])), (seed_of_code(), services()[2].public)):
        assert public[:1184] == MLKEM768PrivateKey.from_seed_bytes(each[:64]).public_key().public_bytes_raw()
        assert public[1184:] == X25519PrivateKey.from_private_bytes(each[64:]).public_key().public_bytes_raw()
    stored = {one["name"]: one.get("public") for one in RING["recipients"]}
    assert base64.b64decode(stored["recovery"]) == services()[2].public
