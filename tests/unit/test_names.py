import contextlib
import copy
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.errors import InvalidArgument, SealError, Tampered
from sovbroker.names import Alphabet, NameCipher

OWN = json.loads((Path(__file__).parents[1] / "vectors" / "format-1.json").read_text(encoding="utf-8"))["names"]
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
BOTH = pytest.mark.parametrize("alphabet", Alphabet)


@pytest.fixture(scope="module")
def names():
    return NameCipher(bytes(range(32)), "health")


@pytest.mark.parametrize("case", OWN["cases"], ids=lambda c: f"{c['alphabet']}-{c['plain']}")
def test_own_vectors(case):
    cipher, alphabet = NameCipher(bytes.fromhex(OWN["key"]), OWN["domain"]), Alphabet(case["alphabet"])
    assert cipher.encrypt(case["plain"], alphabet=alphabet) == case["encrypted"]
    assert cipher.decrypt(case["encrypted"], alphabet=alphabet) == case["plain"]


@BOTH
@given(key=KEYS)
@settings(deadline=None)
def test_what_was_encrypted_comes_back(key, alphabet, names):
    name = names.encrypt(key, alphabet=alphabet)
    assert names.decrypt(name, alphabet=alphabet) == key
    assert names.encrypt(key, alphabet=alphabet) == name
    assert name.count("/") == key.count("/")


@given(key=KEYS)
@settings(deadline=None)
def test_the_alphabet_suits_stores_that_fold_case(key, names):
    assert set(names.encrypt(key)) <= set("0123456789abcdefghijklmnopqrstuv/")


@BOTH
@given(folder=KEYS, key=KEYS)
@settings(deadline=None)
def test_a_prefix_at_a_slash_stays_a_prefix(folder, key, alphabet, names):
    prefix = names.encrypt(folder + "/", alphabet=alphabet)
    assert prefix.endswith("/")
    assert names.encrypt(f"{folder}/{key}", alphabet=alphabet).startswith(prefix)


def test_the_same_segment_elsewhere_has_another_name(names):
    first, second = names.encrypt("same/same").split("/")
    assert first != second
    assert names.encrypt("a/x").split("/")[1] != names.encrypt("b/x").split("/")[1]
    assert names.encrypt("a/x").split("/")[1] != names.encrypt("a//x").split("/")[2]


def test_the_domain_and_the_key_are_bound(names):
    name = names.encrypt("a/b")
    for other in (NameCipher(bytes(range(32)), "finance"), NameCipher(bytes(32), "health")):
        assert other.encrypt("a/b") != name
        with pytest.raises(Tampered):
            other.decrypt(name)


@BOTH
def test_a_changed_character_is_refused(alphabet, names):
    name = names.encrypt("patients/42.json", alphabet=alphabet)
    for at, old in enumerate(name):
        for new in "0a/-AZ=~v _":
            if new != old:
                with pytest.raises(Tampered):
                    names.decrypt(name[:at] + new + name[at + 1 :], alphabet=alphabet)
        if at:
            cut = name[:at]
            if cut not in {name.split("/")[0], name.split("/")[0] + "/"}:
                with pytest.raises(Tampered):
                    names.decrypt(cut, alphabet=alphabet)


def test_segments_do_not_move(names):
    a, b, c = names.encrypt("a/b/c").split("/")
    for moved in (f"{b}/{a}/{c}", f"{a}/{c}", f"{b}", f"{a}/{a}", f"{a}//{b}/{c}", f"{a}/{b}/{b}"):
        with pytest.raises(Tampered):
            names.decrypt(moved)


@BOTH
@given(text=st.one_of(st.text(max_size=60), st.text("0123456789abcdefghijklmnopqrstuv/", max_size=80)))
@settings(deadline=None)
def test_only_seal_errors_escape(text, alphabet, names):
    with contextlib.suppress(SealError):
        assert set(names.decrypt(text, alphabet=alphabet)) <= {"/"}


@pytest.mark.parametrize(
    ("alphabet", "longest"), [(Alphabet.BASE32HEX, 143), (Alphabet.BASE64URL, 175)], ids=["base32hex", "base64url"]
)
def test_a_segment_that_would_be_too_long_is_refused(alphabet, longest, names):
    assert alphabet.longest(255) == longest
    for size in (longest, longest - 1):
        assert max(map(len, names.encrypt("a/" + "x" * size, alphabet=alphabet).split("/"))) <= 255
    for key in ("x" * (longest + 1), "a/" + "é" * (longest // 2 + 1)):
        with pytest.raises(InvalidArgument, match=f"at most {longest} fit the limit of 255"):
            names.encrypt(key, alphabet=alphabet)
    with pytest.raises(InvalidArgument, match="limit of 63"):
        names.encrypt("x" * 40, alphabet=alphabet, segment_max=63)
    assert Alphabet.BASE32HEX.longest(3) == 0


def test_text_without_utf8_is_refused(names):
    with pytest.raises(InvalidArgument, match="udc80"):
        names.encrypt("a/\udc80")
    with pytest.raises(InvalidArgument):
        NameCipher(bytes(32), "\udc80")


def test_a_cipher_does_not_print_or_travel(names):
    assert repr(names) == "<names>"
    for travel in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            travel(names)
