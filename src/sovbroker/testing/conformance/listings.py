"""Many objects: listings and bulk deletion."""

# ruff: noqa: S101 - this is a test suite: it asserts, and numbers in assertions are the expectation

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sovbroker.errors import NotSupported
from sovbroker.ports import Feature, Page, Store
from sovbroker.testing.conformance.traits import Traits, load, usable

__all__ = ["ListingSuite"]

# In byte order: what sorts around the slash is where walks of folders go wrong.
ORDERED = ("a!", "a-b", "a.b", "a/b", "a/c/d", "a0", "aa", "b", "é", "日本", "😀")


def keys_of(pages: Iterable[Page]) -> list[str]:
    """Return the keys of a listing, in the order in which they came."""
    return [info.key for page in pages for info in page.objects]


def prefixes_of(pages: Iterable[Page]) -> list[str]:
    """Return the prefixes of a listing, in the order in which they came."""
    return [prefix for page in pages for prefix in page.prefixes]


class ListingSuite(Traits):
    """What `list` and `delete_many` promise."""

    def test_lists_in_byte_order(self, store: Store) -> None:
        """With sizes, whatever the order in which objects came."""
        assert keys_of(store.list()) == []
        for number, key in enumerate(reversed(ORDERED)):
            store.put(key, b"x" * number, size=number)
        listed = [info for page in store.list() for info in page.objects]
        assert sorted(info.key for info in listed) == sorted(ORDERED)
        assert {info.key: info.size for info in listed} == {key: 10 - i for i, key in enumerate(ORDERED)}
        if usable(store, Feature.ORDERED_LIST):
            assert tuple(info.key for info in listed) == ORDERED

    def test_lists_what_begins_with_a_prefix(self, store: Store) -> None:
        """A prefix is a string, not a folder."""
        for key in ORDERED:
            store.put(key, b"", size=0)
        for prefix in ("a", "a/", "a/c", "a.", "aa", "z", "\u00e9", "a/b/"):
            assert sorted(keys_of(store.list(prefix))) == sorted(k for k in ORDERED if k.startswith(prefix)), prefix

    def test_starts_after(self, store: Store) -> None:
        """Any string, whether it is a key or not."""
        for key in ORDERED:
            store.put(key, b"", size=0)
        if not usable(store, Feature.ORDERED_LIST):
            with pytest.raises(NotSupported):
                next(store.list(start_after="a"))
            return
        for after in ("a", "a.b", "a/", "a/b", "a/c/", "a0", "b", "zzz", "日", "\U0001f600"):
            assert keys_of(store.list(start_after=after)) == [k for k in ORDERED if k > after], after
        assert keys_of(store.list("a/", start_after="a/b")) == ["a/c/d"]
        assert keys_of(store.list("a/", start_after="b")) == []

    def test_folds_by_delimiter(self, store: Store) -> None:
        """Each prefix once, in order, beside the objects that do not hold the delimiter."""
        keys = ["d/1", "d/2/x", "d/2/y", "d/3", "d/4/z/deep", "e", "f/1"]
        for key in keys:
            store.put(key, b"", size=0)
        if not usable(store, Feature.DELIMITER):
            with pytest.raises(NotSupported):
                next(store.list("d/", delimiter="/"))
            return
        top = list(store.list(delimiter="/"))
        assert (keys_of(top), prefixes_of(top)) == (["e"], ["d/", "f/"])
        below = list(store.list("d/", delimiter="/"))
        assert (keys_of(below), prefixes_of(below)) == (["d/1", "d/3"], ["d/2/", "d/4/"])
        assert prefixes_of(store.list("d/2/", delimiter="/")) == []
        assert keys_of(store.list("d/2/", delimiter="/")) == ["d/2/x", "d/2/y"]
        if usable(store, Feature.ORDERED_LIST):
            later = list(store.list("d/", delimiter="/", start_after="d/3"))
            assert (keys_of(later), prefixes_of(later)) == ([], ["d/4/"])

    def test_many_objects(self, store: Store) -> None:
        """More than one page, listed in full and in order; then deleted in bulk, only those that are named."""
        keys = [f"many/{number % 7}/{number:05}" for number in range(self.many)]
        stay = "stay here"
        store.put(stay, b"stays", size=5)
        with ThreadPoolExecutor(16) as pool:
            for task in [pool.submit(store.put, key, b"x", size=1) for key in keys]:
                task.result()
        listed = keys_of(store.list("many/"))
        assert sorted(listed) == sorted(keys)
        if usable(store, Feature.ORDERED_LIST):
            assert listed == sorted(keys)
            after = sorted(keys)[-20]
            assert keys_of(store.list("many/", start_after=after)) == sorted(keys)[-19:]
        if usable(store, Feature.DELIMITER):
            folded = list(store.list("many/", delimiter="/"))
            assert prefixes_of(folded) == [f"many/{number}/" for number in range(7)]
        assert store.delete_many([*keys, "many/missing"]) == {}
        assert keys_of(store.list()) == [stay]
        assert load(store, stay) == b"stays"
        assert store.delete_many([]) == {}
