import base64
import copy
import json
import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.envelope import Secret, new_dek
from sovbroker.errors import InvalidArgument, KeyUnavailable, SealError, Tampered, UnknownFormat
from sovbroker.keys import DomainKey

KEY, DEK = bytes(range(32)), bytes(range(50, 82))
OWN = json.loads((Path(__file__).parents[2] / "vectors" / "format-1.json").read_text(encoding="utf-8"))["wrapped"]


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture(scope="module")
def key():
    return DomainKey(Secret(KEY), domain="health", epoch=3, kid="kid-1")


def test_own_vector():
    own = DomainKey(Secret(bytes.fromhex(OWN["domain_key"])), domain=OWN["domain"], epoch=1, kid=OWN["kid"])
    assert own.unwrap_dek(OWN["jwe"]).reveal().hex() == OWN["dek"]


def test_what_was_wrapped_comes_back(key):
    dek = new_dek()
    wrapped = key.wrap_dek(dek)
    assert key.unwrap_dek(wrapped) == dek
    assert key.unwrap_dek(key.wrap_dek(DEK)) == Secret(DEK)
    assert key.wrap_dek(dek) != wrapped
    assert len(wrapped) < 230


def test_it_is_jwe_compact_as_the_rfc_says(key):
    """Read back with nothing but the two primitives of RFC 7516 and RFC 7518."""
    header, wrapped, nonce, sealed, tag = key.wrap_dek(DEK).split(".")
    assert json.loads(unb64(header)) == {"alg": "A256KW", "enc": "A256GCM", "kid": "kid-1"}
    content_key = aes_key_unwrap(KEY, unb64(wrapped))
    assert AESGCM(content_key).decrypt(unb64(nonce), unb64(sealed) + unb64(tag), header.encode()) == DEK


def test_a_key_of_another_size_is_not_wrapped(key):
    with pytest.raises(InvalidArgument):
        key.wrap_dek(DEK[:-1])


def test_one_of_another_size_is_not_unwrapped(key):
    header, content_key, nonce = key.wrap_dek(DEK).split(".", maxsplit=1)[0], bytes(32), bytes(12)
    sealed = AESGCM(content_key).encrypt(nonce, DEK + b"x", header.encode())
    parts = (aes_key_wrap(KEY, content_key), nonce, sealed[:-16], sealed[-16:])
    with pytest.raises(Tampered):
        key.unwrap_dek(".".join([header, *map(b64, parts)]))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "dir", "enc": "A256GCM", "kid": "kid-1"},
        {"alg": "none", "enc": "A256GCM", "kid": "kid-1"},
        {"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "kid": "kid-1", "p2c": 2**31, "p2s": "AAAA"},
        {"alg": "A256KW", "enc": "A128CBC-HS256", "kid": "kid-1"},
        {"alg": "A256KW", "enc": "A256GCM", "kid": "kid-1", "zip": "DEF"},
        {"alg": "A256KW", "enc": "A256GCM", "kid": "kid-1", "crit": ["x"]},
        {"enc": "A256GCM", "alg": "A256KW", "kid": "kid-1"},
        {"alg": "A256KW", "enc": "A256GCM"},
        {},
        [],
        None,
    ],
)
def test_any_other_algorithm_is_refused(header, key):
    rest = key.wrap_dek(DEK).split(".", maxsplit=1)[1]
    with pytest.raises(UnknownFormat):
        key.unwrap_dek(f"{b64(json.dumps(header, separators=(',', ':')).encode())}.{rest}")


def test_another_domain_key_is_named(key):
    other = DomainKey(Secret(bytes(32)), domain="health", epoch=1, kid="kid-2")
    with pytest.raises(KeyUnavailable, match=r"`kid-2`.*`kid-1`"):
        key.unwrap_dek(other.wrap_dek(DEK))
    with pytest.raises(Tampered):
        DomainKey(Secret(bytes(32)), domain="health", epoch=1, kid="kid-1").unwrap_dek(key.wrap_dek(DEK))


def test_any_changed_character_is_refused(key):
    wrapped = key.wrap_dek(DEK)
    for at, old in enumerate(wrapped):
        for new in "A_.~=":
            if new != old:
                with pytest.raises(SealError):
                    key.unwrap_dek(wrapped[:at] + new + wrapped[at + 1 :])
        with pytest.raises(SealError):
            key.unwrap_dek(wrapped[:at])


@given(text=st.one_of(st.text(max_size=80), st.text("AbZ019-_.", max_size=120)))
@settings(max_examples=300, deadline=None)
def test_only_seal_errors_escape(text, key):
    with pytest.raises(SealError):
        key.unwrap_dek(text)


@given(parts=st.lists(st.binary(max_size=60), min_size=4, max_size=4))
@settings(max_examples=300, deadline=None)
def test_only_seal_errors_escape_with_our_header(parts, key):
    with pytest.raises(SealError):
        key.unwrap_dek(".".join([key._header, *map(b64, parts)]))


@pytest.mark.parametrize("header", [b"[" * 2000, b"\xff", b'{"alg":', b"9" * 2000])
def test_a_hostile_header_is_refused(header, key):
    with pytest.raises(SealError):
        key.unwrap_dek(f"{b64(header)}.A.A.A.A")


def test_names_have_a_key_of_their_own(key):
    name = key.names().encrypt("a/b")
    assert key.names() is key.names()
    assert key.names().decrypt(name) == "a/b"
    assert DomainKey(Secret(KEY), domain="finance", epoch=3, kid="kid-1").names().encrypt("a/b") != name


def test_it_prints_which_it_is_and_nothing_of_it(key):
    for text in (repr(key), str(key), f"{key}"):
        assert text == "DomainKey(domain='health', epoch=3, kid='kid-1')"
    for travel in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            travel(key)


def test_a_wiped_key_is_of_no_use():
    key = DomainKey(Secret(KEY), domain="health", epoch=1, kid="kid-1")
    wrapped = key.wrap_dek(DEK)
    key.wipe()
    for use in (lambda: key.wrap_dek(DEK), lambda: key.unwrap_dek(wrapped), key.names):
        with pytest.raises(KeyUnavailable):
            use()
