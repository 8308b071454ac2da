"""Uploads in parts that are composed: what is seen of them, what is left of them, and what is joined."""

import dataclasses
import random
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovbroker.errors import InvalidArgument, NotFound, StoreError, Unavailable
from sovbroker.ports import Binding, Part
from sovbroker.testing import gcs
from sovbroker.testing.chaos import ChaosProxy, Reset, Status
from sovbroker_adapters.gcs import build, checksums
from sovbroker_adapters.gcs.listing import Listing

OWN = ".sovbroker-parts/"


@pytest.fixture(scope="module")
def server():
    with gcs.fake_gcs() as server:
        yield server


@pytest.fixture
def proxy(server):
    with ChaosProxy(server.host) as proxy:
        yield proxy


@pytest.fixture
def store(server, bucket, proxy):
    server.create_bucket(bucket)
    base = server.binding(bucket, settings={"attempts": 1})
    store = build(dataclasses.replace(base, endpoint=proxy.url, hosts=frozenset({proxy.host})))
    yield store
    store.close()


def load(store, key):
    with store.get(key) as reader:
        return reader.read()


def names(pages):
    found = list(pages)
    return [info.key for page in found for info in page.objects], [name for page in found for name in page.prefixes]


def hidden(store):
    """The names of the adapter's own objects."""
    return [resource.info.key for resource in Listing(store._connection).resources(OWN)]


@given(first=st.binary(max_size=3000), second=st.binary(max_size=3000))
def test_the_checksum_of_joined_bodies(first, second):
    one, other = google_crc32c.value(first), google_crc32c.value(second)
    assert checksums.joined(one, other, length=len(second)) == google_crc32c.value(first + second)
    assert checksums.crc32c(memoryview(bytearray(first))) == one
    assert checksums.read(checksums.spell(one)) == one


@pytest.mark.parametrize("text", ["", "AAAA", "AAAAAAAA", "?", 7, None, "é"])
def test_what_is_no_checksum(text):
    assert checksums.read(text) is None


def test_many_parts_are_joined_in_rounds(store):
    chance = random.Random(5)
    bodies = {number: chance.randbytes(chance.randrange(1, 60)) for number in range(1, 1101)}
    upload = store.multipart("folder/big", metadata={"m": "1"})
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda number: upload.part(number, bodies[number]), sorted(bodies, key=str)))
    assert [part.number for part in upload.parts()] == sorted(bodies)
    info = upload.commit(receipts)
    whole = b"".join(bodies[number] for number in sorted(bodies))
    assert (info.size, dict(info.metadata)) == (len(whole), {"m": "1"})
    assert load(store, "folder/big") == whole
    assert hidden(store) == []


def test_some_of_the_parts_may_be_joined(store):
    upload = store.multipart("big")
    receipts = [upload.part(number, b"%d" % number) for number in range(1, 6)]
    upload.commit([receipts[3], receipts[0]])
    assert load(store, "big") == b"14"
    assert hidden(store) == []


def test_listings_never_show_what_is_being_uploaded(store):
    for key in ("-first", ".sonata", "a", "a/b", ".sovbroker-parts", ".sovbroker-parts0", ".sovbroker-partsX/y"):
        store.put(key, b"", size=0)
    before = {
        (prefix, delimiter, after): names(store.list(prefix, delimiter=delimiter, start_after=after))
        for prefix in ("", ".", ".so", OWN, f"{OWN}uploads/", ".sovbroker-parts")
        for delimiter in (None, "/", "o", "s", "-", "parts", "x")
        for after in ("", ".s", ".sovbroker-parts", f"{OWN}uploads", ".sovbroker-parts0", "a")
    }
    assert any(found for found, _ in before.values())
    uploads = [store.multipart(key) for key in ("a", "z/big")]
    for upload in uploads:
        for number in (1, 2, 3):
            upload.part(number, b"part")
    for (prefix, delimiter, after), expected in before.items():
        assert names(store.list(prefix, delimiter=delimiter, start_after=after)) == expected, (prefix, delimiter, after)
    assert [(found.key, found.id) for found in store.uploads()] == [(upload.key, upload.id) for upload in uploads]
    for upload in uploads:
        upload.abort()
    assert hidden(store) == []


def test_a_prefix_of_parts_alone_is_not_shown_however_many_they_are(store):
    upload = store.multipart("big")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: upload.part(number, b"x"), range(1, 1050)))
    assert names(store.list(delimiter="/")) == ([], [])
    assert names(store.list(delimiter="o")) == ([], [])
    store.put(".sovereign", b"", size=0)
    assert names(store.list(delimiter="o")) == ([], [".so"])
    assert names(store.list()) == ([".sovereign"], [])


@pytest.mark.parametrize("key", [OWN, f"{OWN}x", f"{OWN}uploads/{'0' * 32}"])
def test_keys_of_the_adapters_own_are_refused(store, proxy, key):
    calls = (
        lambda: store.put(key, b"x", size=1),
        lambda: store.get(key),
        lambda: store.head(key),
        lambda: store.delete(key),
        lambda: store.delete_many(["fine", key]),
        lambda: store.copy(key, "x"),
        lambda: store.copy("x", key),
        lambda: store.multipart(key),
        lambda: store.presign(key, expires=None),
    )
    for call in calls:
        with pytest.raises(InvalidArgument, match="unfinished uploads"):
            call()
    assert proxy.seen == ()


def test_a_part_of_an_upload_that_is_gone_is_removed_again(store):
    upload = store.multipart("big")
    upload.abort()
    with pytest.raises(NotFound, match="no unfinished upload"):
        upload.part(1, b"late")
    assert hidden(store) == []


def test_an_upload_belongs_to_its_key(store):
    upload = store.multipart("big")
    one = upload.part(1, b"part")
    other = store.multipart("other", upload_id=upload.id)
    for call in (other.parts, lambda: other.commit([one]), lambda: other.part(2, b"x")):
        with pytest.raises(NotFound, match="`other`"):
            call()
    assert upload.parts() == (one,)
    upload.commit([one])
    assert load(store, "big") == b"part"


def test_only_what_was_acknowledged_is_joined(store):
    upload = store.multipart("big")
    replaced = upload.part(1, b"first")
    last = upload.part(1, b"other")
    wrong = (
        replaced,
        dataclasses.replace(last, size=4),
        dataclasses.replace(last, etag="x"),
        Part(2, 5, last.etag),
    )
    for part in wrong:
        with pytest.raises(StoreError, match="does not hold part"):
            upload.commit([part])
    with pytest.raises(NotFound):
        store.head("big")
    upload.commit([last])
    assert load(store, "big") == b"other"


def test_a_commit_whose_answer_was_lost_may_be_made_again(store, proxy):
    upload = store.multipart("big", metadata={"m": "1"})
    parts = [upload.part(number, b"%d" % number) for number in range(1, 40)]
    # The marker, the parts, two rounds, and the end.
    proxy.script(None, None, None, None, Reset())
    with pytest.raises(Unavailable):
        upload.commit(parts)
    assert [part.number for part in upload.parts()] == list(range(1, 40))
    assert upload.commit(parts).metadata == {"m": "1"}
    assert load(store, "big") == b"".join(b"%d" % number for number in range(1, 40))
    assert hidden(store) == []


def test_a_commit_that_joined_something_else(store, proxy):
    upload = store.multipart("big")
    part = upload.part(1, b"part")
    for answer in (b'{"name": "big", "size": "3"}', b'{"name": "big", "size": "4", "crc32c": "AAAAAA=="}', b"{}"):
        proxy.script(None, None, Status(200, answer))
        with pytest.raises(Unavailable):
            upload.commit([part])
    assert upload.commit([part]).size == 4


def test_a_commit_that_cannot_clear_up_has_committed(store, proxy):
    upload = store.multipart("big")
    part = upload.part(1, b"part")
    proxy.script(None, None, None, Status(403))
    assert upload.commit([part]).size == 4
    assert load(store, "big") == b"part"
    assert [found.id for found in store.uploads()] == [upload.id]
    upload.abort()
    assert hidden(store) == []
    assert load(store, "big") == b"part"


def test_keys_of_any_letters_and_lengths_have_uploads(store):
    for key in ("a b+c%20/é\u0301😀?#&", "x" * 1024, "é" * 512):
        upload = store.multipart(key, metadata={"m": "v" * 2047})
        assert [found.key for found in store.uploads(key[:5])] == [key]
        again = store.multipart(key, upload_id=upload.id)
        again.commit([again.part(1, b"x")])
        assert store.head(key).metadata == {"m": "v" * 2047}
    assert list(store.uploads()) == []


def test_a_part_larger_than_the_limit_is_refused(server, bucket):
    server.create_bucket(bucket)
    store = build(server.binding(bucket, settings={"part_max": 10, "put_max": 10}))
    upload = store.multipart("big")
    for call in (lambda: upload.part(1, bytes(11)), lambda: store.put("big", bytes(11), size=11)):
        with pytest.raises(InvalidArgument, match="11 bytes"):
            call()
    store.close()


def test_a_binding_is_opened_without_a_request():
    nowhere = Binding(
        "somewhere",
        "bucket",
        endpoint="http://127.0.0.1:9",
        hosts=frozenset({"127.0.0.1:9"}),
        settings={"anonymous": True},
    )
    build(nowhere).close()
