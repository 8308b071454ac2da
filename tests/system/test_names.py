"""Hidden names: listed like any other, found again at the providers, and refused when they are too long."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sovbroker.errors import InvalidArgument
from sovbroker.names import NameCipher
from sovbroker.objects import Folder
from sovbroker.ports import Limits
from sovbroker_adapters import memory

TWO = "outscale/eu-west-2"
POLICY = """
sovbroker: 1
name: names
levels: [internal, hidden]
default: hidden
categories: {twice: {}}
zones: {french: {located: [FR], controlled: [EEA]}}
require:
  internal: {store: {french: {encrypt: client}}}
  hidden: {store: {french: {encrypt: client, names: encrypt}}}
  twice: {copies: {count: 2, distinct: [provider]}}
classify:
  - {id: int, path: "internal/**", label: internal+twice}
  - {id: two, path: "two/**", label: hidden+twice}
"""


@pytest.fixture
def broker(clouds):
    clouds.write(policy=POLICY)
    return clouds.open()


def again(clouds, broker):
    """Open a broker that has lost its state."""
    broker.close()
    for file in clouds.folder.glob("state.db*"):
        file.unlink()
    return clouds.open()


def told(broker, prefix="", delimiter=None):
    return [i.prefix if isinstance(i, Folder) else i.key for i in broker.list(prefix, delimiter=delimiter)]


def reference(keys, prefix, delimiter):
    """List keys as an object store does, straight from the words."""
    found = set()
    for key in keys:
        if key.startswith(prefix):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            found.add(key if cut < 0 else key[: cut + len(delimiter)])
    return sorted(found, key=str.encode)


KEYS = [
    "a",
    "a/b",
    "a/b/c",
    "a/b-",
    "a/bé",
    "a.b/c",
    "b/😀/ü",
    "b/😀/v",
    "two/x/y",
    "two/x/z",
    "two/xy",
    "internal/a/b",
]
PREFIXES = ["", "a", "a/", "a/b", "a/b/", "b/😀", "b/😀/", "two/x", "internal/", "c"]


def test_hidden_names_are_listed_by_prefix_and_delimiter_before_and_after_the_state_is_lost(broker, clouds):
    for key in KEYS:
        broker.put(key, key.encode(), metadata={"of": key})
    asked = [(prefix, delimiter) for prefix in PREFIXES for delimiter in (None, "/", "b", "/b")]
    wanted = {(prefix, delimiter): reference(KEYS, prefix, delimiter) for prefix, delimiter in asked}
    assert {own: told(broker, *own) for own in asked} == wanted
    before = [info.to_dict() for info in broker.list()]
    # The providers hold none of these names but those that are not hidden, and all of the slashes.
    held = [name for _, name in clouds.held()]
    shown = [name for name in held if name.startswith("internal/")]
    assert len(held) == 12 + 4
    assert len(shown) == 2
    parts = [part.partition("@")[0] for name in held if name not in shown for part in name.split("/")]
    assert all(re.fullmatch(r"[0-9a-v]{28,}", part) for part in parts)
    other = again(clouds, broker)
    assert told(other) == []
    assert other.reindex().whole
    assert {own: told(other, *own) for own in asked} == wanted
    assert [info.to_dict() for info in other.list()] == before
    for key in KEYS:
        assert other.read(key) == key.encode()


segments = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=8)
keys = st.lists(segments.filter(lambda part: part not in {".", ".."}), min_size=1, max_size=4).map("/".join)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_names_are_found_again(broker, clouds, data):
    wanted = data.draw(st.sets(keys | keys.map(lambda key: "two/" + key), min_size=1, max_size=8))
    for key in told(broker):
        broker.delete(key)
    for key in wanted:
        broker.put(key, key.encode())
    other = again(clouds, broker)
    try:
        assert other.reindex().rebuilt == len(wanted)
        prefix = data.draw(st.sampled_from(sorted(wanted)))
        prefix = prefix[: data.draw(st.integers(0, len(prefix)))]
        for delimiter in (None, "/", data.draw(st.text(min_size=1, max_size=2))):
            assert told(other, prefix, delimiter) == reference(wanted, prefix, delimiter)
        assert all(other.read(key) == key.encode() for key in wanted)
    finally:
        for key in told(other):
            other.delete(key)
        other.close()


def test_a_key_that_looks_hidden_and_is_not_comes_back_as_it_was(broker, clouds):
    odd = "internal/" + "v" * 28
    broker.put(odd, b"x")
    other = again(clouds, broker)
    assert other.reindex().whole
    assert told(other) == [odd]


def limited(clouds, **limits):
    """Give the second target limits of its own."""
    clouds.stores[TWO] = memory.MemoryStore(TWO, clock=lambda: clouds.now, limits=Limits(part_min=1, **limits))


def hidden(length):
    """Return how many characters an encrypted part of `length` bytes has."""
    return -(-(length + 16) * 8 // 5)


LONG = [
    # The name with its version and the mark of a sidecar: 26 characters behind the last part.
    ("internal/" + "a" * 990, {}, r"would need 1025 bytes as a name at \S+, which allows 1024"),
    ("two/" + "/".join(["a" * 20] * 17), {}, r"would need 10\d\d bytes as a name at \S+, which allows 1024"),
    ("internal/" + "a" * 466, {"key_max": 500}, f"would need 501 bytes as a name at {TWO}, which allows 500"),
    ("two/" + "é" * 30, {"key_max": 140}, f"would need \\d+ bytes as a name at {TWO}, which allows 140"),
    ("two/" + "a" * 144, {}, r"cannot be hidden at \S+: the segment `a+` has 144 bytes; .* at most 143 fit the limit"),
    ("internal/" + "é" * 115, {"segment_max": 255}, f"would need 256 bytes between two slashes .* at {TWO}, .* 255"),
    ("two/" + "a" * 128, {"segment_max": 255}, f"would need 257 bytes between two slashes .* at {TWO}, .* allows 255"),
    ("two/" + "a" * 130 + "/b", {"segment_max": 200}, f"would need 234 bytes between .* at {TWO}, .* allows 200"),
]


@pytest.mark.parametrize(("key", "limits", "why"), LONG)
@pytest.mark.parametrize("way", ["put", "writer", "copy", "move"])
def test_a_name_that_is_too_long_for_one_target_is_refused_before_anything_is_sent(clouds, key, limits, why, way):
    clouds.write(policy=POLICY)
    limited(clouds, **limits)
    broker = clouds.open()
    broker.put("internal/old", b"old")
    held, seen = clouds.held(), len(clouds.calls)
    arguments = {"put": (key, b"x"), "writer": (key,)}.get(way, ("internal/old", key))
    with pytest.raises(InvalidArgument, match=why) as caught:
        getattr(broker, way)(*arguments)
    assert f"`{key}`" in str(caught.value)
    assert "use " in str(caught.value)
    sent = {operation for _, operation, _ in clouds.calls[seen:]}
    assert sent <= {"get"}
    assert clouds.held() == held
    assert broker.leftovers() == []
    assert told(broker) == ["internal/old"]


FITS = [
    ("internal/" + "a" * 989, {}),
    ("internal/" + "a" * 465, {"key_max": 500}),
    ("two/" + "a" * 143, {}),
    ("internal/" + "é" * 114 + "b", {"segment_max": 255}),
    ("two/" + "a" * 127, {"segment_max": 255}),
    ("two/" + "a" * 143 + "/b", {"segment_max": 255}),
]


@pytest.mark.parametrize(("key", "limits"), FITS)
def test_the_longest_name_that_fits_is_held_and_found_again(clouds, key, limits):
    clouds.write(policy=POLICY)
    limited(clouds, **limits)
    broker = clouds.open()
    broker.put(key, b"x", metadata={"much": "x" * 3000})
    store = clouds.stores[TWO]
    names = [name for target, name in clouds.held() if target == TWO]
    assert len(names) == 2
    assert max(len(name.encode()) for name in names) <= store.limits.key_max
    assert max(len(part.encode()) for name in names for part in name.split("/")) <= store.limits.segment_max
    other = again(clouds, broker)
    assert other.reindex().whole
    assert told(other) == [key]
    assert other.read(key) == b"x"


def test_the_lengths_of_hidden_names_are_what_these_tests_count_with():
    names = NameCipher(b"k" * 32, "domain")
    assert [len(names.encrypt("a" * length)) for length in range(1, 144)] == [hidden(n) for n in range(1, 144)]
