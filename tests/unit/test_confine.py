"""No code of a probe gets hold of anything but what it made up: neither to send it, nor to read or remove it."""

import dataclasses
import io
from datetime import UTC, datetime, timedelta

import pytest

from sovbroker.confine import Confined
from sovbroker.errors import SealError
from sovbroker.ports import Binding, Feature, Probing
from sovbroker.specimens import METADATA, PREFIX, body
from sovbroker_adapters.memory import MemoryStore, build

KEY = f"{PREFIX}0123456789abcdef-fedcba9876543210/whole"
OTHER = f"{PREFIX}0123456789abcdef-fedcba9876543210/copied"
THEIRS = "patients/42@06h0"


class WithExtras(MemoryStore):
    """A store with calls beside the port."""

    def __init__(self):
        super().__init__("t")
        self.called = []

    def sub_resources(self):
        return {"tag": self.called.append}

    def wrong_digests(self):
        return {"md5": lambda key, data: self.called.append((key, data))}


@pytest.fixture
def inner():
    store = build(Binding(target="t", container=""))
    store.put(THEIRS, b"patient: Zoe", size=12)
    return store


@pytest.fixture
def store(inner):
    return Confined(inner)


def refused(call):
    with pytest.raises(SealError, match="t: nothing was sent: "):
        call()


def test_what_a_probe_makes_up_passes(store):
    store.put(KEY, body(100, seed=3), size=100, metadata=METADATA, if_absent=True)
    assert store.head(KEY).size == 100
    with store.get(KEY, range=(5, 9)) as reader:
        assert reader.read() == body(100, seed=3)[5:10]
    store.copy(KEY, OTHER)
    upload = store.multipart(OTHER, metadata=METADATA)
    assert [found.id for found in store.uploads(PREFIX)] == [upload.id]
    assert (upload.key, upload.id, upload.parts()) == (OTHER, upload.id, ())
    upload.commit([upload.part(1, body(50))])
    again = store.multipart(OTHER)
    again.part(1, body(50))
    store.multipart(OTHER, upload_id=again.id).abort()
    assert [info.key for page in store.list(PREFIX) for info in page.objects] == [OTHER, KEY]
    store.retain(KEY, until=datetime.now(UTC) + timedelta(milliseconds=1))
    assert store.inspect().public is False
    assert store.delete_many([OTHER]) == {}
    assert store.capabilities[Feature.COPY].usable
    store.close()


def test_no_other_body_passes(store, inner):
    for data in (b"patient: Zoe", body(10) + b"Zoe", io.BytesIO(body(10))):
        refused(lambda data=data: store.put(KEY, data, size=12))
    upload = store.multipart(KEY)
    refused(lambda: upload.part(1, b"patient: Zoe"))
    again = store.multipart(KEY, upload_id=upload.id)
    refused(lambda: again.part(1, b"patient: Zoe"))
    assert upload.parts() == ()
    assert [info.key for page in inner.list() for info in page.objects] == [THEIRS]


@pytest.mark.parametrize("metadata", [{"name": "Zoe"}, {**METADATA, "name": "Zoe"}, {**METADATA, "probe": "Zoe"}])
def test_no_other_metadata_pass(store, inner, metadata):
    refused(lambda: store.put(KEY, body(1), size=1, metadata=metadata))
    refused(lambda: store.multipart(KEY, metadata=metadata))
    assert list(inner.uploads()) == []


@pytest.mark.parametrize("key", [THEIRS, f"{PREFIX}{THEIRS}", PREFIX, ""])
def test_no_other_key_is_touched(store, inner, key):
    store.put(KEY, body(1), size=1)
    soon = datetime.now(UTC) + timedelta(seconds=1)
    for call in (
        lambda: store.put(key, body(1), size=1),
        lambda: store.head(key),
        lambda: store.get(key),
        lambda: store.delete(key),
        lambda: store.delete_many([KEY, key]),
        lambda: store.copy(KEY, key),
        lambda: store.set_metadata(key, metadata=METADATA),
        lambda: store.copy(key, KEY),
        lambda: store.multipart(key),
        lambda: store.multipart(key, upload_id="1"),
        lambda: store.presign(key, expires=timedelta(seconds=1)),
        lambda: store.retain(key, until=soon),
    ):
        refused(call)
    assert inner.head(THEIRS).size == 12
    assert inner.head(KEY).size == 1


@pytest.mark.parametrize("prefix", ["", "patients/", ".sovbroker"])
def test_nothing_else_is_listed(store, prefix):
    refused(lambda: list(store.list(prefix)))
    refused(lambda: list(store.uploads(prefix)))


def test_the_calls_beside_the_port_are_confined_too():
    inner = WithExtras()
    store = Confined(inner)
    assert isinstance(store, Probing)
    tag, put = store.sub_resources()["tag"], store.wrong_digests()["md5"]
    refused(lambda: tag(THEIRS))
    refused(lambda: put(THEIRS, body(3)))
    refused(lambda: put(KEY, b"Zoe"))
    assert inner.called == []
    tag(KEY)
    put(KEY, body(3))
    assert inner.called == [KEY, (KEY, body(3))]


def test_an_adapter_without_them_has_none(store):
    assert (dict(store.sub_resources()), dict(store.wrong_digests())) == ({}, {})


def test_it_cannot_be_opened_wider(store):
    with pytest.raises(dataclasses.FrozenInstanceError):
        store.inner = None
