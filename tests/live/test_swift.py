"""The suite on a real Swift, by its own API and by its S3 face; see `sovbroker.testing.swift` for SWIFT_PYTHON."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from sovbroker.errors import AlreadyExists, NotSupported, PermissionDenied, Unavailable
from sovbroker.ports import Feature
from sovbroker.testing.conformance import HiddenSuite, SealedSuite, StoreSuite
from sovbroker.testing.swift import swift
from sovbroker_adapters.s3 import build as build_s3
from sovbroker_adapters.swift import build

LINKS = {"username": "test:tester", "password": "testing", "temp_url_key": "a key of the container"}
HIDDEN = ".sovbroker-uploads/"


@pytest.fixture(scope="module")
def server():
    with swift() as running:
        yield running


@pytest.fixture
def store(server, bucket):
    server.create_container(bucket, {"X-Container-Meta-Temp-URL-Key": LINKS["temp_url_key"]})
    # One attempt: a call that only works when it is repeated is found out.
    store = build(server.binding(bucket, settings={"attempts": 1}, credentials=LINKS))
    yield store
    store.close()


class TestSwift(StoreSuite):
    pass


class TestSwiftSealed(SealedSuite):
    pass


class TestSwiftHidden(HiddenSuite):
    pass


class TestS3Face(StoreSuite):
    @pytest.fixture
    def store(self, server, bucket):
        server.s3.create_bucket(bucket)
        store = build_s3(server.s3.binding(bucket, settings={"attempts": 1}))
        yield store
        store.close()


@pytest.fixture
def opened(server, bucket):
    """A function that opens a container of the test's own."""
    container = f"own-{bucket}"
    server.create_container(container)
    stores = []

    def open_container(**given):
        stores.append(build(server.binding(container, **given)))
        return stores[-1]

    yield open_container
    for store in stores:
        store.close()


def names(server, store):
    """Everything that the container holds."""
    return server.ask("GET", store._connection.container).decode().split()


def test_several_of_the_writers_who_race_win(opened):
    """This is why `conditional-put` is unsafe. If it fails, Swift has learned it, and the setting should go."""
    store = opened(settings={"conditional-put": "native", "attempts": 1})
    most = 0
    for number in range(20):
        start = threading.Barrier(16)

        def race(body, key=f"raced-{number}", start=start):
            start.wait()
            with suppress(AlreadyExists, Unavailable):
                store.put(key, body, size=len(body), if_absent=True)
                return True
            return False

        with ThreadPoolExecutor(16) as pool:
            most = max(most, sum(pool.map(race, [b"%d" % writer * 1000 for writer in range(16)])))
        if most > 1:
            break
    assert most > 1
    with pytest.raises(NotSupported, match="unsafe"):
        opened().put("raced", b"x", size=1, if_absent=True)


def test_segments_go_with_their_object(server, opened):
    store = opened()
    for replace in (
        lambda: store.delete("large"),
        lambda: store.put("large", b"new", size=3),
        lambda: store.copy("other", "large"),
    ):
        store.put("other", b"other", size=5)
        upload = store.multipart("large", metadata={"a": "v" * 1000})
        upload.commit([upload.part(number, b"part" * number) for number in (1, 2, 3)])
        assert store.head("large").metadata == {"a": "v" * 1000}
        assert len([name for name in names(server, store) if name.startswith(HIDDEN)]) == 3
        replace()
        assert [name for name in names(server, store) if name.startswith(HIDDEN)] == []


def test_a_copy_of_a_large_object_is_its_own(opened):
    store = opened()
    upload = store.multipart("large", metadata={"a": "1"})
    upload.commit([upload.part(1, b"one"), upload.part(2, b"two")])
    assert store.copy("large", "copied").metadata == {"a": "1"}
    in_parts = opened(settings={"put_max": 5})
    assert in_parts.copy("large", "copied in parts").metadata == {"a": "1"}
    store.delete("large")
    for key in ("copied", "copied in parts"):
        with store.get(key) as reader:
            assert reader.read() == b"onetwo"


def test_metadata_that_headers_could_change_come_back(opened):
    store = opened()
    odd = {"a": "two  spaces", "b": "", "c": "tail,comma", "d": "one" + " " * 600 + "two"}
    store.put("key", b"x", size=1, metadata=odd)
    assert store.head("key").metadata == odd
    assert store.copy("key", "copied").metadata == odd


def test_what_containers_are_like(server, opened):
    store = opened()
    container = store._connection.container
    assert (store.inspect().public, store.inspect().versioned) == (False, False)
    server.ask("POST", container, {"X-Container-Read": "test:reader"})
    assert store.inspect().public is False
    reading = opened(credentials={"username": server.reader, "password": server.reader_key})
    assert reading.inspect().public is False
    with pytest.raises(PermissionDenied):
        reading.put("key", b"x", size=1)
    server.ask("POST", container, {"X-Container-Read": ".r:*"})
    assert store.inspect().public is True
    # Who is not the owner is not shown the list of readers, and finds out all the same.
    assert reading.inspect().public is True
    server.ask("POST", container, {"X-Versions-Enabled": "true"})
    assert store.inspect().versioned is True


def test_a_wrong_password_is_refused(opened):
    store = opened(credentials={"username": "test:tester", "password": "wrong"})
    for call in (store.head, store.get, store.delete, lambda key: store.put(key, b"x", size=1)):
        with pytest.raises(PermissionDenied):
            call("key")


def test_the_s3_face_does_not_say_which_writer_won(server, bucket):
    server.s3.create_bucket(bucket)
    store = build_s3(server.s3.binding(bucket))
    assert not store.capabilities[Feature.CONDITIONAL_PUT].usable
    store.close()
