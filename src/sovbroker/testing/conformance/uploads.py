"""Uploads in parts."""

# ruff: noqa: S101 - this is a test suite: it asserts, and numbers in assertions are the expectation

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from sovbroker.errors import InvalidArgument, NotFound, NotSupported, StoreError
from sovbroker.ports import Feature, Part, Store
from sovbroker.testing.conformance.traits import Traits, holds, known, load, pattern, usable

__all__ = ["UploadSuite"]

LEAST = 100_000


def refused(store: Store) -> bool:
    """Whether the store declares no uploads in parts; then it must say so when it is asked for one."""
    if usable(store, Feature.MULTIPART):
        return False
    with pytest.raises(NotSupported):
        store.multipart("big")
    with pytest.raises(NotSupported):
        list(store.uploads())
    return True


def part_of(store: Store, number: int, *, last: bool = False) -> bytes:
    """Return what to send as a part: of the least length, or shorter when it is the last."""
    return pattern(1000 if last else max(LEAST, store.limits.part_min), seed=number)


class UploadSuite(Traits):
    """What `multipart` and `uploads` promise."""

    def test_joins_parts_sent_in_any_order(self, store: Store) -> None:
        """By number, with metadata; there is no object before the commit returns."""
        if refused(store):
            return
        bodies = {1: part_of(store, 1), 2: part_of(store, 2), 3: part_of(store, 3, last=True)}
        metadata = known(store)
        store.put("big", b"old", size=3)
        upload = store.multipart("big", metadata=metadata)
        assert upload.key == "big"
        assert upload.id
        with ThreadPoolExecutor(3) as pool:
            tasks = [pool.submit(upload.part, number, memoryview(bodies[number])) for number in (3, 1, 2)]
            sent = [task.result() for task in tasks]
        assert [(part.number, part.size) for part in sent] == [(n, len(bodies[n])) for n in (3, 1, 2)]
        assert load(store, "big") == b"old"
        assert sorted(upload.parts(), key=lambda part: part.number) == sorted(sent, key=lambda part: part.number)
        info = upload.commit(sent)
        assert (info.key, info.size) == ("big", sum(map(len, bodies.values())))
        assert load(store, "big") == bodies[1] + bodies[2] + bodies[3]
        found = store.head("big").metadata
        assert {name: found.get(name) for name in metadata} == metadata
        assert list(store.uploads("big")) == []

    def test_the_last_sending_of_a_part_counts(self, store: Store) -> None:
        """A part may be sent again, even with another length."""
        if refused(store):
            return
        upload = store.multipart("big")
        first, wrong, last = part_of(store, 1), part_of(store, 9), part_of(store, 2, last=True)
        if self.replaces_parts:
            upload.part(1, wrong + b"longer")
        else:
            upload.part(1, first)
            with pytest.raises(StoreError):
                upload.part(1, wrong)
        one = upload.part(1, first)
        two = upload.part(2, last)
        assert [(part.number, part.size) for part in upload.parts()] == [(1, len(first)), (2, len(last))]
        upload.commit([one, two])
        assert load(store, "big") == first + last

    def test_one_short_part(self, store: Store) -> None:
        """The last part may be of any length, and it may be the only one."""
        if refused(store):
            return
        upload = store.multipart("big")
        upload.commit([upload.part(1, b"short")])
        assert load(store, "big") == b"short"

    def test_abort(self, store: Store) -> None:
        """Nothing is left; aborting twice succeeds; the old object stays."""
        if refused(store):
            return
        store.put("big", b"old", size=3)
        upload = store.multipart("big")
        upload.part(1, part_of(store, 1))
        assert [(found.key, found.id) for found in store.uploads()] == [("big", upload.id)]
        upload.abort()
        upload.abort()
        store.multipart("big", upload_id=upload.id).abort()
        assert list(store.uploads()) == []
        assert load(store, "big") == b"old"
        with pytest.raises(NotFound):
            upload.parts()
        with pytest.raises(StoreError):
            upload.part(2, b"late")

    def test_opens_an_upload_again(self, store: Store) -> None:
        """By its id, from another process if need be; metadata stay as they were."""
        if refused(store):
            return
        metadata = known(store)
        upload = store.multipart("folder/big", metadata=metadata)
        first, last = part_of(store, 1), part_of(store, 2, last=True)
        upload.part(1, first)
        found = list(store.uploads("folder/"))
        assert [(info.key, info.id) for info in found] == [("folder/big", upload.id)]
        assert list(store.uploads("other/")) == []
        again = store.multipart("folder/big", upload_id=found[0].id)
        again.part(2, last)
        again.commit(again.parts())
        assert load(store, "folder/big") == first + last
        stored = store.head("folder/big").metadata
        assert {name: stored.get(name) for name in metadata} == metadata

    def test_refuses_to_join_what_it_does_not_hold(self, store: Store) -> None:
        """No part, a part twice, a part that was never sent, an upload that never was: and no object."""
        if refused(store):
            return
        upload = store.multipart("big")
        one = upload.part(1, part_of(store, 1))
        with pytest.raises(InvalidArgument):
            upload.commit([])
        with pytest.raises(InvalidArgument):
            upload.commit([one, one])
        for number in (0, -1, store.limits.parts_max + 1):
            with pytest.raises(InvalidArgument):
                upload.part(number, b"x")
        assert not holds(store, "big")
        with pytest.raises(StoreError):
            upload.commit([one, Part(2, 5, "0" * 32)])
        assert not holds(store, "big")
        for unknown in ("0" * 32, "../../escape", "é"):
            never = store.multipart("big", upload_id=unknown)
            with pytest.raises((StoreError, InvalidArgument)):
                never.part(1, b"x")
            never.abort()
        assert not holds(store, "big")
