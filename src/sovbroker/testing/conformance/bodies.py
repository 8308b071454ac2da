"""One object at a time: bodies, keys, metadata, ranges, conditions, copies, links, errors."""

# ruff: noqa: S101, PLR2004 - this is a test suite: it asserts, and numbers in assertions are the expectation

from __future__ import annotations

import time
import urllib.request
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta

import pytest

from sovbroker.errors import AlreadyExists, InvalidArgument, NotFound, NotSupported, PermissionDenied, StoreError
from sovbroker.ports import NO_METADATA, Feature, Inspection, Limits, Store, Support
from sovbroker.testing.conformance.traits import (
    MAY_HOLD,
    METADATA,
    MUST_HOLD,
    BrokenError,
    Traits,
    Trickle,
    holds,
    known,
    load,
    pattern,
    usable,
)

__all__ = ["BodySuite"]

SIZES = (0, 1, 2, 4095, 65_536, 65_537, (3 << 20) + 1)
MIB = 1 << 20


class BodySuite(Traits):
    """What `head`, `get`, `put`, `delete`, `copy` and `presign` promise."""

    def test_declares_every_feature_and_its_limits(self, store: Store) -> None:
        """A store says beforehand what it offers."""
        assert set(store.capabilities) == set(Feature)
        assert all(isinstance(support, Support) for support in store.capabilities.values())
        assert isinstance(store.limits, Limits)
        assert store.target

    @pytest.mark.parametrize("size", SIZES)
    def test_gives_back_what_was_put(self, store: Store, size: int) -> None:
        """Any length, byte for byte, with what was said of it."""
        data = pattern(size)
        stored = store.put("object", data, size=size)
        assert (stored.key, stored.size) == ("object", size)
        info = store.head("object")
        assert (info.key, info.size) == ("object", size)
        with store.get("object") as reader:
            assert reader.info.size == size
            assert reader.read() == data
            assert reader.read() == b""
            assert reader.read(1) == b""

    def test_takes_every_kind_of_bytes(self, store: Store) -> None:
        """Bytes, bytearray, a part of a memoryview, a view of other items."""
        data = pattern(10_000)
        wide = memoryview(bytearray(data)).cast("H")
        for body in (data, bytearray(data), memoryview(b"x" + data + b"y")[1:-1], wide):
            store.put("object", body, size=len(data))
            assert load(store, "object") == data

    def test_takes_a_source_that_reads_short(self, store: Store) -> None:
        """A short read is not the end."""
        data = pattern(MIB + 17)
        store.put("object", Trickle(data), size=len(data))
        assert load(store, "object") == data
        store.put("empty", Trickle(b""), size=0)
        assert load(store, "empty") == b""

    def test_reads_in_pieces(self, store: Store) -> None:
        """Pieces of any length make the whole, and reading may stop anywhere."""
        data = pattern(300_000)
        store.put("object", data, size=len(data))
        with store.get("object") as reader:
            pieces: list[bytes] = []
            while piece := reader.read(7777):
                assert len(piece) <= 7777
                pieces.append(piece)
        assert b"".join(pieces) == data
        with store.get("object") as reader:
            assert data.startswith(reader.read(5))
        reader.close()
        assert load(store, "object") == data

    def test_replaces_an_object(self, store: Store) -> None:
        """The new body and the new metadata, nothing of the old."""
        first = {"one": "1"} if known(store) else NO_METADATA
        store.put("object", b"the longer old body", size=19, metadata=first)
        store.put("object", b"new", size=3)
        assert load(store, "object") == b"new"
        assert store.head("object").size == 3
        assert "one" not in store.head("object").metadata

    @pytest.mark.parametrize("announced", [-1, 1], ids=["longer", "shorter"])
    @pytest.mark.parametrize("streamed", [False, True], ids=["bytes", "source"])
    @pytest.mark.parametrize("size", [0, 1, 1000, 2 * MIB])
    def test_a_body_of_the_wrong_length_changes_nothing(
        self, store: Store, announced: int, size: int, *, streamed: bool
    ) -> None:
        """Neither a truncated object nor a new one, nor an old one lost."""
        data = pattern(size)
        claimed = max(0, size + announced)
        actual = data if claimed != size else b"x"
        store.put("old", b"old", size=3)
        for key in ("old", "new"):
            with pytest.raises(InvalidArgument):
                store.put(key, Trickle(actual) if streamed else actual, size=claimed)
        assert load(store, "old") == b"old"
        assert not holds(store, "new")

    @pytest.mark.parametrize("given", [0, 1000, 2 * MIB])
    def test_a_source_that_raises_changes_nothing(self, store: Store, given: int) -> None:
        """The source's own exception comes through as it is."""
        store.put("old", b"old", size=3)
        for key in ("old", "new"):
            with pytest.raises(BrokenError):
                store.put(key, Trickle(pattern(given), raises=True), size=given + 1)
        assert load(store, "old") == b"old"
        assert not holds(store, "new")

    @pytest.mark.parametrize("key", MUST_HOLD, ids=ascii)
    def test_holds_every_reasonable_key(self, store: Store, key: str) -> None:
        """Exactly: in reading, in listing, in deleting."""
        if self.refuses(key):
            with pytest.raises(InvalidArgument):
                store.put(key, b"x", size=1)
            assert list(store.list()) == []
            return
        self._holds_exactly(store, key)

    @pytest.mark.parametrize("key", MAY_HOLD, ids=ascii)
    def test_holds_an_odd_key_exactly_or_refuses_it(self, store: Store, key: str) -> None:
        """InvalidArgument is fine, a changed key is not."""
        store.put("bystander", b"stays", size=5)
        try:
            store.put(key, b"", size=0)
        except InvalidArgument:
            with pytest.raises(self.unreadable):
                store.get(key)
            assert [info.key for page in store.list() for info in page.objects] == ["bystander"]
        else:
            self._holds_exactly(store, key)
        assert load(store, "bystander") == b"stays"

    def _holds_exactly(self, store: Store, key: str) -> None:
        body = b"body of " + key.encode()
        store.put(key, body, size=len(body))
        assert load(store, key) == body
        assert store.head(key).key == key
        assert holds(store, key)
        other = key + ".other"
        store.put(other, b"other", size=5)
        assert store.delete_many([key]) == {}
        assert not holds(store, key)
        with pytest.raises(NotFound):
            store.head(key)
        assert load(store, other) == b"other"
        store.delete(other)
        assert not holds(store, other)

    def test_tells_canonically_equal_keys_apart(self, store: Store) -> None:
        """Keys are opaque: neither Unicode nor case folds them."""
        keys = ["caf\u00e9", "cafe\u0301", "CAF\u00c9", "x.TXT", "x.txt"]
        for key in keys:
            store.put(key, key.encode(), size=len(key.encode()))
        assert [load(store, key) for key in keys] == [key.encode() for key in keys]

    def test_holds_an_object_and_others_below_its_key(self, store: Store) -> None:
        """`a` and `a/b` at once, or an error that leaves the first as it was."""
        for first, second in (("a", "a/b"), ("b/c", "b")):
            store.put(first, b"first", size=5)
            if self.nested:
                store.put(second, b"second", size=6)
                assert load(store, second) == b"second"
                store.delete(second)
            else:
                with pytest.raises(StoreError):
                    store.put(second, b"second", size=6)
                with pytest.raises(StoreError):
                    store.get(second)
            if self.nested or len(first) < len(second):
                assert load(store, first) == b"first"

    def test_key_lengths(self, store: Store) -> None:
        """Up to the limit in bytes of UTF-8, and not one more."""
        for letter in ("k", "é"):
            key = self.longest(store, letter)
            store.put(key, b"x", size=1)
            assert load(store, key) == b"x"
            assert holds(store, key)
            with pytest.raises(InvalidArgument):
                store.put(key + "k", b"x", size=1)
            for call in (store.head, store.get):
                with pytest.raises(self.unreadable):
                    call(key + "k")
            if not self.remembers:
                with pytest.raises(InvalidArgument):
                    store.delete(key + "k")
            assert load(store, key) == b"x"

    @pytest.mark.parametrize("key", ["", "\ud800", "a\udfffb"], ids=ascii)
    def test_refuses_what_is_no_key(self, store: Store, key: str) -> None:
        """Empty, and what UTF-8 cannot spell."""
        for call in (store.head, store.get, store.delete):
            with pytest.raises(InvalidArgument):
                call(key)
        with pytest.raises(InvalidArgument):
            store.put(key, b"x", size=1)

    def test_metadata(self, store: Store) -> None:
        """Come back as they were put; a store may add names of its own."""
        if not usable(store, Feature.METADATA):
            with pytest.raises(NotSupported):
                store.put("object", b"x", size=1, metadata=METADATA)
            assert not holds(store, "object")
            return
        stored = store.put("object", b"x", size=1, metadata=METADATA)
        assert dict(stored.metadata) == METADATA
        with store.get("object") as reader:
            found = (reader.info.metadata, store.head("object").metadata)
        for metadata in found:
            assert {name: metadata.get(name) for name in METADATA} == METADATA
            assert all(name == name.lower() for name in metadata)
        assert all(not info.metadata for page in store.list() for info in page.objects)

    def test_set_metadata(self, store: Store) -> None:
        """All of them are replaced, and nothing else: the body stays, and so does what is stored beside it."""
        data = pattern(100_000)
        other = {"sov": "other", "n3": "3"}
        store.put("object", data, size=len(data), metadata=known(store))
        if not (usable(store, Feature.SET_METADATA) and usable(store, Feature.METADATA)):
            with pytest.raises(NotSupported):
                store.set_metadata("object", metadata=other)
            assert load(store, "object") == data
            return
        if self.nested:
            store.put("object/beside+%é", b"beside", size=6, metadata=METADATA)
        info = store.set_metadata("object", metadata=other)
        assert (info.key, info.size) == ("object", len(data))
        with store.get("object") as reader:
            found = (info.metadata, reader.info.metadata, store.head("object").metadata)
            assert reader.read() == data
        for metadata in found:
            assert {name: metadata.get(name) for name in other} == other
            assert not self._left(metadata, METADATA.keys() - other.keys())
        store.set_metadata("object", metadata=METADATA)
        store.set_metadata("object", metadata={})
        assert not self._left(store.head("object").metadata, METADATA.keys() | other.keys())
        assert load(store, "object") == data
        assert {page.size for found in store.list("object") for page in found.objects if page.key == "object"} == {
            len(data)
        }
        if self.nested:
            assert load(store, "object/beside+%é") == b"beside"
            store.set_metadata("object/beside+%é", metadata=other)
            assert store.head("object/beside+%é").metadata["sov"] == "other"
        store.put("empty", b"", size=0)
        assert store.set_metadata("empty", metadata=other).size == 0
        with pytest.raises(NotFound) as caught:
            store.set_metadata("missing", metadata=other)
        assert (caught.value.target, caught.value.key) == (store.target, "missing")
        for wrong in ({"": "x"}, {"sov": "v" * store.limits.metadata_max}):
            with pytest.raises(InvalidArgument):
                store.set_metadata("object", metadata=wrong)

    def test_set_metadata_of_what_came_in_parts(self, store: Store) -> None:
        """The body stays what was joined."""
        if not all(usable(store, each) for each in (Feature.SET_METADATA, Feature.METADATA, Feature.MULTIPART)):
            return
        pieces = [pattern(max(store.limits.part_min, 1000), seed=1), pattern(500, seed=2)]
        upload = store.multipart("joined", metadata=METADATA)
        upload.commit([upload.part(number, piece) for number, piece in enumerate(pieces, start=1)])
        assert store.set_metadata("joined", metadata={"n3": "3"}).size == sum(map(len, pieces))
        assert load(store, "joined") == b"".join(pieces)
        found = store.head("joined").metadata
        assert (found.get("n3"), self._left(found, METADATA.keys())) == ("3", set())
        store.delete("joined")
        assert not holds(store, "joined")

    def _left(self, found: Mapping[str, str], names: AbstractSet[str]) -> set[str]:
        """Return the names of metadata that should be gone, and are not."""
        return {name for name in names if name in found and (self.drops_metadata or found[name])}

    def test_metadata_limits(self, store: Store) -> None:
        """Up to the limit, names and values together, and not one more; and only what comes back unchanged."""
        if not usable(store, Feature.METADATA):
            return
        most = {"sov": "v" * (store.limits.metadata_max - 3)}
        store.put("object", b"x", size=1, metadata=most)
        assert store.head("object").metadata["sov"] == most["sov"]
        wrong = [{"sov": most["sov"] + "v"}, {"": "x"}]
        odd = [{"Upper": "x"}, {"da-sh": "x"}]
        odd += [{"a": value} for value in ("é", "new\nline", " led", "trailed ", "\x7f")]
        for metadata in odd if self.any_metadata else ():
            store.put("odd", b"x", size=1, metadata=metadata)
            assert store.head("odd").metadata == metadata
        for metadata in wrong if self.any_metadata else wrong + odd:
            with pytest.raises(InvalidArgument):
                store.put("other", b"x", size=1, metadata=metadata)
        assert not holds(store, "other")

    def test_missing_object(self, store: Store) -> None:
        """NotFound names target and key; deleting what is not there succeeds."""
        for call in (store.head, store.get):
            with pytest.raises(NotFound) as caught:
                call("missing/object")
            assert (caught.value.target, caught.value.key) == (store.target, "missing/object")
        store.delete("missing/object")
        store.put("object", b"x", size=1)
        store.delete("object")
        store.delete("object")
        with pytest.raises(NotFound):
            store.head("object")

    def test_ranges(self, store: Store) -> None:
        """Both ends inclusive; the last is cut; `info.size` is that of the whole."""
        data = pattern(100_000)
        store.put("object", data, size=len(data))
        store.put("empty", b"", size=0)
        end = len(data) - 1
        if not usable(store, Feature.RANGE):
            with pytest.raises(NotSupported):
                store.get("object", range=(0, 0))
            return
        spans = [(0, 0), (0, end), (end, end), (end, end + 10), (1, end * 2), (5, 5), (4095, 70_000), (0, 1 << 62)]
        for first, last in spans:
            with store.get("object", range=(first, last)) as reader:
                assert reader.info.size == len(data)
                assert reader.read() == data[first : last + 1]
                assert reader.read() == b""
        with store.get("object", range=(10, 60_000)) as reader:
            assert reader.read(3) + reader.read() == data[10:60_001]
        for span in ((end + 1, end + 1), (end + 5, end + 50), (-1, 2), (3, 2), (-5, -1)):
            with pytest.raises(InvalidArgument):
                store.get("object", range=span)
        with pytest.raises(InvalidArgument):
            store.get("empty", range=(0, 0))
        with pytest.raises(NotFound):
            store.get("missing", range=(0, 0))

    def test_if_absent(self, store: Store) -> None:
        """An object that exists is not touched."""
        if not usable(store, Feature.CONDITIONAL_PUT):
            with pytest.raises(NotSupported):
                store.put("object", b"x", size=1, if_absent=True)
            assert not holds(store, "object")
            return
        store.put("object", b"first", size=5, if_absent=True)
        with pytest.raises(AlreadyExists) as caught:
            store.put("object", b"second", size=6, if_absent=True)
        assert (caught.value.target, caught.value.key) == (store.target, "object")
        assert load(store, "object") == b"first"
        store.delete("object")
        store.put("object", Trickle(b"third"), size=5, if_absent=True)
        assert load(store, "object") == b"third"

    def test_copy(self, store: Store) -> None:
        """Body and metadata; the source stays; what is at the destination is replaced."""
        metadata = known(store)
        data = pattern(100_000)
        store.put("from/source", data, size=len(data), metadata=metadata)
        if not usable(store, Feature.COPY):
            with pytest.raises(NotSupported):
                store.copy("from/source", "copy")
            return
        store.put("copy", b"old", size=3)
        info = store.copy("from/source", "copy")
        assert (info.key, info.size) == ("copy", len(data))
        assert load(store, "copy") == data
        found = store.head("copy").metadata
        assert {name: found.get(name) for name in metadata} == metadata
        store.delete("from/source")
        assert load(store, "copy") == data
        store.copy("copy", "to/odd key+%é")
        assert load(store, "to/odd key+%é") == data
        with pytest.raises(NotFound):
            store.copy("missing", "copy")
        assert load(store, "copy") == data

    def test_retain(self, store: Store) -> None:
        """Until it is over nobody removes the object, and it is read as before."""
        store.put("kept", b"kept", size=4)
        # A whole second: that much every store can tell apart.
        soon = (datetime.now(UTC) + timedelta(seconds=self.retention + 1)).replace(microsecond=0)
        if not usable(store, Feature.RETENTION):
            with pytest.raises(NotSupported):
                store.retain("kept", until=soon)
            store.delete("kept")
            assert not holds(store, "kept")
            return
        for wrong in (datetime.now(UTC) - timedelta(hours=1), soon.replace(tzinfo=None)):
            with pytest.raises(InvalidArgument):
                store.retain("kept", until=wrong)
        with pytest.raises(NotFound):
            store.retain("missing", until=soon)
        store.retain("kept", until=soon)
        with pytest.raises(PermissionDenied) as caught:
            store.delete("kept")
        assert (caught.value.target, caught.value.key) == (store.target, "kept")
        assert set(store.delete_many(["kept"])) == {"kept"}
        assert load(store, "kept") == b"kept"
        assert holds(store, "kept")
        while datetime.now(UTC) <= soon:
            time.sleep(0.05)
        store.delete("kept")
        assert not holds(store, "kept")
        with pytest.raises(NotFound):
            store.head("kept")

    def test_tells_what_its_container_is_like(self, store: Store) -> None:
        """What it does not know is None."""
        found = store.inspect()
        assert isinstance(found, Inspection)
        if usable(store, Feature.RETENTION):
            assert found.locks is not False
        if found.clock is not None and found.skew is not None:
            assert found.clock.tzinfo is not None
            assert abs(found.skew) < timedelta(minutes=1)

    def test_presign(self, store: Store) -> None:
        """A link that reads the object without credentials."""
        store.put("folder/a b+c.txt", b"linked", size=6)
        if not usable(store, Feature.PRESIGN):
            with pytest.raises(NotSupported):
                store.presign("folder/a b+c.txt", expires=timedelta(minutes=5))
            return
        url = store.presign("folder/a b+c.txt", expires=timedelta(minutes=5))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=30) as answer:
            assert answer.read() == b"linked"
        for expires in (timedelta(0), timedelta(seconds=-1), timedelta(days=3660)):
            with pytest.raises(InvalidArgument):
                store.presign("folder/a b+c.txt", expires=expires)
