"""Large objects of Swift: their segments go with them, and never before."""

import dataclasses
import hashlib
import io

import pytest

from sovbroker.errors import InvalidArgument, NotFound, NotSupported, StoreError, Unavailable
from sovbroker.ports import Part
from sovbroker.testing.chaos import ChaosProxy, Cut, Flip, Reset, Status
from sovbroker.testing.objects import ObjectService
from sovbroker_adapters.swift import build

PARTS = (b"first", b"second", b"third")
WHOLE = b"".join(PARTS)
HIDDEN = ".sovbroker-uploads/"


@pytest.fixture(scope="module")
def service():
    with ObjectService() as service:
        yield service


@pytest.fixture
def proxy(service):
    with ChaosProxy(service.server.host) as proxy:
        yield proxy


@pytest.fixture
def opened(service, bucket, proxy):
    service.server.create_container(bucket)
    stores = []

    def open_container(**settings):
        made = {"attempts": 1, "read-timeout": 5, "authority": f"{proxy.url}/auth/v1.0"} | settings
        binding = service.server.binding(bucket, settings=made)
        stores.append(build(dataclasses.replace(binding, endpoint=proxy.url, hosts=frozenset({proxy.host}))))
        stores[-1]._connection.login()
        return stores[-1]

    yield open_container
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    return opened()


@pytest.fixture
def names(service, bucket):
    return lambda: service.names(bucket)


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def load(store, key):
    with store.get(key) as reader:
        return reader.read()


def joined(store, key, *bodies, **given):
    upload = store.multipart(key, **given)
    return upload.commit([upload.part(number, body) for number, body in enumerate(bodies or PARTS, start=1)])


def hidden(names):
    return [name for name in names() if name.startswith(HIDDEN)]


def test_a_large_object_is_its_segments_and_nothing_else(store, names):
    info = joined(store, "large", metadata={"a": "1"})
    assert (info.size, dict(info.metadata)) == (len(WHOLE), {"a": "1"})
    digests = "".join(md5(part) for part in PARTS)
    assert info.etag == md5(digests.encode())
    assert load(store, "large") == WHOLE
    assert [name.rpartition("/")[2] for name in hidden(names)] == ["00001", "00002", "00003"]
    assert [(found.key, found.size, found.etag) for page in store.list() for found in page.objects] == [
        ("large", len(WHOLE), info.etag)
    ]


REPLACING = {
    "delete": (lambda store: store.delete("large"), []),
    "delete_many": (lambda store: store.delete_many(["large", "missing"]), []),
    "put": (lambda store: store.put("large", b"new", size=3), ["large"]),
    "source": (lambda store: store.put("large", io.BytesIO(b"new"), size=3), ["large"]),
    "big": (lambda store: store.put("large", bytes(2 << 20), size=2 << 20), ["large"]),
    "copy": (lambda store: store.copy("other", "large"), ["large"]),
    "itself": (lambda store: store.copy("large", "large"), ["large"]),
    "empty": (lambda store: joined(store, "large", b""), ["large"]),
}


@pytest.mark.parametrize("way", REPLACING)
def test_segments_go_when_their_object_does(store, names, way):
    store.put("other", b"other", size=5)
    joined(store, "large")
    call, left = REPLACING[way]
    call(store)
    assert names() == [*left, "other"]


def test_a_large_object_that_replaces_one_has_its_own_segments(store, names):
    joined(store, "large")
    before = hidden(names)
    joined(store, "large", b"new", b"er")
    assert load(store, "large") == b"newer"
    assert len(hidden(names)) == 2
    assert not set(hidden(names)) & set(before)


def test_an_object_that_could_not_be_replaced_keeps_its_segments(store, proxy):
    joined(store, "large")
    for faults in ((None, None, Status(507)), (Status(503),)):
        for body in (b"new", io.BytesIO(b"new")):
            proxy.script(*faults)
            with pytest.raises(Unavailable):
                store.put("large", body, size=3)
            assert load(store, "large") == WHOLE
    proxy.script(None, None, None, Status(500))
    with pytest.raises(StoreError):
        store.copy("large", "large")
    assert load(store, "large") == WHOLE


def test_a_copy_does_not_share_segments(store, names):
    joined(store, "large", metadata={"a": "1"})
    info = store.copy("large", "copied")
    assert (info.size, dict(info.metadata)) == (len(WHOLE), {"a": "1"})
    store.delete("large")
    assert load(store, "copied") == WHOLE
    assert names() == ["copied"]


def test_what_is_too_long_for_one_object_is_copied_segment_by_segment(opened, names):
    store = opened(put_max=10)
    joined(store, "large", metadata={"a": "1"})
    info = store.copy("large", "copied")
    assert (info.size, dict(info.metadata)) == (len(WHOLE), {"a": "1"})
    assert len(hidden(names)) == 6
    store.delete("large")
    assert load(store, "copied") == WHOLE
    assert len(hidden(names)) == 3
    assert list(store.uploads()) == []


def test_a_copy_of_segments_that_fails_leaves_nothing(opened, proxy, names):
    store = opened(put_max=10)
    joined(store, "large")
    before = names()
    # The source, its manifest, the mark, the first segment; then it goes wrong.
    proxy.script(None, None, None, None, Status(500))
    with pytest.raises(Unavailable):
        store.copy("large", "copied")
    assert names() == before


def test_a_source_that_is_replaced_while_it_is_copied_is_not_copied(store, proxy):
    store.put("source", b"old", size=3)
    digest = md5(b"before")
    proxy.script(Status(200, b"before", (("Etag", digest),)))
    with pytest.raises(Unavailable, match="replaced while"):
        store.copy("source", "copied")
    with pytest.raises(NotFound):
        store.head("copied")


def test_abort_leaves_a_finished_object_alone_whose_upload_did_not_end_in_order(store, proxy, names):
    upload = store.multipart("large")
    sent = [upload.part(number, body) for number, body in enumerate(PARTS, start=1)]
    # Its mark, what is there, the manifest, the object; then it goes wrong.
    proxy.script(None, None, None, None, Status(500))
    assert upload.commit(sent).size == len(WHOLE)
    assert [found.id for found in store.uploads()] == [upload.id]
    store.multipart("large", upload_id=upload.id).abort()
    assert load(store, "large") == WHOLE
    assert list(store.uploads()) == []
    assert len(hidden(names)) == 3


def test_a_commit_whose_answer_was_lost_is_made_again(opened, proxy, names):
    store = opened(attempts=2)
    upload = store.multipart("large")
    sent = [upload.part(number, body) for number, body in enumerate(PARTS, start=1)]
    proxy.script(None, None, Reset())
    assert upload.commit(sent).size == len(WHOLE)
    assert load(store, "large") == WHOLE
    assert len(names()) == 4


def test_parts_that_were_not_wanted_go_and_empty_ones_do_not_count(store, names):
    upload = store.multipart("large")
    sent = [upload.part(number, body) for number, body in enumerate((b"first", b"", b"third", b"never"), start=1)]
    assert [part.size for part in upload.parts()] == [5, 0, 5, 5]
    upload.commit(sent[:3])
    assert load(store, "large") == b"firstthird"
    assert [name.rpartition("/")[2] for name in hidden(names)] == ["00001", "00003"]


@pytest.mark.parametrize("fault", [Cut(3), Flip(2), Status(201), Status(507)])
def test_a_part_that_did_not_arrive_is_none(store, proxy, fault):
    upload = store.multipart("large")
    proxy.script(None, fault)
    with pytest.raises(Unavailable):
        upload.part(1, b"first")
    assert upload.parts() == ()


def test_a_receipt_that_is_not_right_joins_nothing(store):
    store.put("large", b"old", size=3)
    upload = store.multipart("large")
    one = upload.part(1, b"first")
    for wrong in (Part(1, 6, one.etag), Part(1, 5, "0" * 32), Part(2, 5, one.etag)):
        with pytest.raises(NotFound):
            upload.commit([wrong])
    assert load(store, "large") == b"old"


def test_a_part_that_is_too_long_is_refused(opened, proxy):
    upload = opened(part_max=4).multipart("large")
    before = len(proxy.seen)
    with pytest.raises(InvalidArgument):
        upload.part(1, b"first")
    assert len(proxy.seen) == before


def test_no_key_may_be_where_the_parts_are(store):
    for call in (store.head, store.get, store.delete, store.multipart):
        with pytest.raises(InvalidArgument, match="where parts of objects are kept"):
            call(f"{HIDDEN}parts/x")


def test_a_deletion_that_is_not_confirmed_is_none(store, proxy):
    joined(store, "large")
    for said in (b'{"Response Status": "400 Bad Request", "Errors": [["a", "409 Conflict"]]}', b"{}", b"[]", b"x"):
        proxy.script(None, Status(200, said))
        with pytest.raises(Unavailable):
            store.delete("large")
    proxy.script(None, Status(200, b'{"Response Status": "200 OK", "Errors": [["a", "409 Conflict"]]}'))
    assert set(store.delete_many(["large"])) == {"large"}


def test_a_manifest_of_others_is_read_and_replaced_but_not_copied_in_parts(opened, service, bucket, names):
    store = opened(put_max=10)
    for name in ("one", "two"):
        store.put(name, name.encode() * 3, size=9)
    listed = [
        f'{{"path": "/{bucket}/{name}", "size_bytes": 9, "etag": "{md5(name.encode() * 3)}"}}'
        for name in ("one", "two")
    ]
    service.server.ask("PUT", f"{bucket}/foreign", {}, f"[{','.join(listed)}]".encode(), query="multipart-manifest=put")
    assert load(store, "foreign") == b"oneoneonetwotwotwo"
    assert store.copy("foreign", "copied").size == 18
    store.put("foreign", b"new", size=3)
    assert [name for name in names() if not name.startswith(HIDDEN)] == ["copied", "foreign", "one", "two"]


def test_a_segment_that_is_a_range_is_not_guessed_at(opened, proxy):
    store = opened(put_max=10)
    joined(store, "large")
    held = b'[{"name": "/b/n", "bytes": 9, "hash": "x", "range": "1-2"}]'
    proxy.script(None, Status(200, held))
    with pytest.raises(NotSupported, match="range"):
        store.copy("large", "copied")
    assert list(store.uploads()) == []
