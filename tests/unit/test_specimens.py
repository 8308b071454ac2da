"""What a probe may send is a closed set: nothing of anybody's fits in it."""

import pytest

from sovbroker.specimens import (
    LISTED,
    METADATA,
    NAMES,
    ODD,
    PREFIX,
    SEEDS,
    body,
    installation_of,
    is_body,
    is_key,
    long_name,
)

OWN = "0123456789abcdef"
FOLDER = f"{PREFIX}{OWN}-fedcba9876543210/"


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 19, 20, 21, 31, 32, 33, 10_000, 70_001])
@pytest.mark.parametrize("seed", [0, 7, 4321, SEEDS - 1])
def test_a_body_is_known_again(size, seed):
    made = body(size, seed=seed)
    assert len(made) == size
    assert is_body(made)
    assert is_body(bytearray(made))
    assert is_body(memoryview(b"x" + made + b"y")[1:-1])


def test_bodies_differ_from_place_to_place_and_by_number():
    made = body(64_000, seed=1)
    lines = {made[start : start + 32] for start in range(0, len(made), 32)}
    assert len(lines) == 2000
    assert made != body(64_000, seed=2)


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"patient: Zoe",
        b"sovbroker probe\n",
        b"sovbroker probe 0000 0000000000\npatient: Zoe",
        body(100) + b"x",
        body(100)[:-1] + b"x",
        body(64)[32:],
        body(32, seed=1) + body(64, seed=2)[32:],
        b"sovbroker probe \xff\xff\xff\xff 0000000000\n",
        "sovbroker probe \u0661\u0661".encode(),
        bytes(range(150, 182)),
    ],
    ids=ascii,
)
def test_nothing_else_is_one(data):
    assert not is_body(data)


@pytest.mark.parametrize("seed", [-1, SEEDS])
def test_a_number_that_has_no_room(seed):
    with pytest.raises(ValueError, match=str(seed)):
        body(10, seed=seed)


def test_every_key_of_a_probe_is_one():
    for name in (*NAMES, *ODD, *LISTED, long_name(400)):
        assert is_key(FOLDER + name)
        assert installation_of(FOLDER + name) == OWN


@pytest.mark.parametrize(
    "key",
    [
        "",
        "whole",
        PREFIX,
        f"{PREFIX}whole",
        FOLDER,
        f"{FOLDER}patients/42",
        f"{FOLDER}whole\n",
        f"{FOLDER}whole@06h0",
        f"{FOLDER}long/kkk@06h0",
        f"x/{FOLDER}whole",
        f"{PREFIX}{OWN.upper()}-fedcba9876543210/whole",
        f"{PREFIX}{OWN}-fedcba987654321/whole",
        f"{FOLDER}../whole",
    ],
    ids=ascii,
)
def test_no_other_key_is(key):
    assert not is_key(key)
    assert not installation_of(key)


@pytest.mark.parametrize("length", [6, 7, 150, 155, 156, 157, 301, 700, 1024])
def test_a_long_name_is_as_long_as_it_is_asked_to_be(length):
    name = long_name(length)
    assert len(name.encode()) == length
    assert max(map(len, name.split("/"))) < 200
    assert is_key(FOLDER + name)


def test_the_listed_names_are_in_byte_order_and_in_no_other():
    assert [name.encode() for name in LISTED] == sorted(name.encode() for name in LISTED)
    assert list(LISTED) != sorted(LISTED, key=lambda name: name.encode("utf-16-be"))
    assert list(LISTED) != sorted(LISTED, key=str.casefold)
    assert list(LISTED) != sorted(LISTED, key=lambda name: name.split("/"))


def test_the_metadata_can_stand_in_headers():
    assert all(name.isalnum() and name.islower() for name in METADATA)
    assert all(value.isascii() and value.isprintable() and value == value.strip() for value in METADATA.values())
