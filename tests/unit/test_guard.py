"""The guard looks at what is about to leave, and knows no keys."""

import io
import os
from datetime import UTC, datetime, timedelta

import pytest

from sovbroker.catalogue import load
from sovbroker.envelope import (
    CHUNK,
    ClearRecord,
    Context,
    Record,
    Sealer,
    SealingReader,
    new_dek,
    seal_metadata,
    sealed_size,
)
from sovbroker.errors import NotFound, NotSupported, SealError, Unavailable
from sovbroker.guard import Guarded, Permit
from sovbroker.names import NameCipher
from sovbroker.ports import Binding, Feature, Support
from sovbroker.testing.fakes import FakeCloud
from sovbroker_adapters.memory import build

CONTEXT = Context("main", "key", "version", "label")


class Sealed:
    def __init__(self, plain):
        self.dek = new_dek()
        self.sealer = Sealer(self.dek, CONTEXT)
        self.record = Record("kid", "a.b.c.d.e", self.sealer.head, seal_metadata(self.dek, CONTEXT, {"label": "label"}))
        self.metadata = {Record.NAME: self.record.encode()}
        self.plain = plain


@pytest.fixture
def inner():
    return build(Binding(target="t", container=""))


@pytest.fixture
def bare():
    """A store without metadata and without parts, as WebDAV is."""
    return FakeCloud(load().target("oodrive/fr"), adapter="webdav")


@pytest.fixture
def sealed(inner):
    return Guarded(inner, Permit.SEALED)


def refused(call, match="nothing was sent"):
    with pytest.raises(SealError, match=match):
        call()


class Drops:
    """A source that gives little at a time."""

    def __init__(self, data, size):
        self.inner = io.BytesIO(data)
        self.size = size

    def read(self, size=-1):
        return self.inner.read(min(self.size, size) if size >= 0 else self.size)


def assert_empty(inner):
    assert [page.objects for page in inner.list() if page.objects] == []
    assert list(inner.uploads()) == []


@pytest.mark.parametrize("size", [0, 1, 5000, CHUNK, 3 * CHUNK + 5])
def test_an_envelope_passes(sealed, inner, size):
    found = Sealed(os.urandom(size))
    body = found.sealer.seal(found.plain)
    sealed.put("k", body, size=len(body), metadata=found.metadata)
    assert inner.head("k").size == len(body)


def test_a_stream_that_seals_passes_and_any_other_does_not(sealed, inner):
    found = Sealed(os.urandom(50_000))
    reader = SealingReader(io.BytesIO(found.plain), found.sealer)
    size = 56 + 50_000 + 16 * 4
    refused(lambda: sealed.put("k", io.BytesIO(found.plain), size=50_000, metadata=found.metadata))
    refused(lambda: sealed.put("k", reader, size=size, metadata=Sealed(b"").metadata))
    assert_empty(inner)
    sealed.put("k", reader, size=size, metadata=found.metadata)


@pytest.mark.parametrize("plain", [b"", b"x", b"patient: Zoe " * 400, bytes(100_000), b"\x00" * 72])
def test_plaintext_does_not_pass_whatever_stands_beside_it(sealed, inner, plain):
    found = Sealed(plain)
    body = found.sealer.seal(plain)
    good = {"size": len(body), "metadata": found.metadata}
    refused(lambda: sealed.put("k", plain, size=len(plain), metadata=found.metadata))
    refused(lambda: sealed.put("k", body, size=len(body)))
    refused(lambda: sealed.put("k", body, size=len(body), metadata={"label": "secret"}))
    refused(lambda: sealed.put("k", body, size=len(body), metadata={**found.metadata, "label": "secret"}))
    refused(lambda: sealed.put("k", body, size=len(body), metadata={Record.NAME: "1c~e30"}))
    refused(lambda: sealed.put("k", bytes(56) + bytes(body[56:]), **good))
    refused(lambda: sealed.put("k", bytes(body) + b"x", **good))
    assert_empty(inner)


@pytest.mark.parametrize("length", [64, 100, 500, 5000, 50_000])
def test_plaintext_behind_the_right_head_does_not_pass(sealed, inner, length):
    found = Sealed(b"")
    body = found.sealer.head + (b"Le patient est ne le 3 mars 1961 a Lyon. " * 2000)[:length]
    refused(lambda: sealed.put("k", body, size=len(body), metadata=found.metadata))
    assert_empty(inner)


def test_the_parts_of_an_upload_are_looked_at_each(sealed, inner):
    found = Sealed(os.urandom(4 * CHUNK + 7))
    body = memoryview(found.sealer.seal(found.plain))
    cut = 56 + 2 * (CHUNK + 16)
    upload = sealed.multipart("k", metadata=found.metadata)
    refused(lambda: upload.part(1, found.plain[: 2 * CHUNK]))
    refused(lambda: upload.part(2, b"plain text " * 5000))
    upload.part(2, os.urandom(CHUNK + 15))
    refused(lambda: upload.part(3, os.urandom(CHUNK + 15)))
    upload = sealed.multipart("k", metadata=found.metadata)
    parts = [upload.part(2, body[cut:]), upload.part(1, body[:cut])]
    upload.commit(sorted(parts, key=lambda part: part.number))
    with inner.get("k") as reader:
        assert reader.read() == body


def test_chance_is_never_mistaken_for_text(sealed):
    found = Sealed(b"")
    for length in (64, 65, 100, 300, 1000, 1024, 4096):
        for _ in range(300):
            body = found.sealer.head + os.urandom(length)
            sealed.put("k", body, size=len(body), metadata=found.metadata)


def test_hidden_names_must_be_encrypted(inner):
    hidden = Guarded(inner, Permit.HIDDEN)
    found = Sealed(b"x")
    body = found.sealer.seal(b"x")
    refused(lambda: hidden.put("patients/42@06h0", body, size=len(body), metadata=found.metadata))
    name = NameCipher(new_dek(), "main").encrypt("patients/42")
    refused(lambda: hidden.put(f"{name}/42@06h0", body, size=len(body), metadata=found.metadata))
    hidden.put(f"{name}@06h0", body, size=len(body), metadata=found.metadata)


def test_a_store_to_read_from_takes_nothing(inner):
    inner.put("k", b"x", size=1)
    store = Guarded(inner, Permit.READ)
    refused(lambda: store.put("a", b"x", size=1))
    refused(lambda: store.multipart("a"))
    refused(lambda: store.copy("k", "a"))
    refused(lambda: store.set_metadata("k", metadata=Sealed(b"x").metadata))
    with store.get("k") as reader:
        assert reader.read() == b"x"
    store.delete("k")
    with pytest.raises(NotFound):
        store.head("k")


def test_of_an_envelopes_metadata_only_a_record_passes(sealed, inner):
    found, other = Sealed(b"x"), Sealed(b"x")
    body = found.sealer.seal(b"x")
    sealed.put("k", body, size=len(body), metadata=found.metadata)
    for wrong in ({}, {"name": "Zoe"}, {**found.metadata, "name": "Zoe"}, {"sovbroker": "1c~e30"}):
        refused(lambda wrong=wrong: sealed.set_metadata("k", metadata=wrong))
    assert inner.head("k").metadata == found.metadata
    sealed.set_metadata("k", metadata=other.metadata)
    assert inner.head("k").metadata == other.metadata
    refused(lambda: Guarded(inner, Permit.HIDDEN).set_metadata("k", metadata=other.metadata))
    Guarded(inner, Permit.CLEAR).set_metadata("k", metadata={"name": "Zoe"})


@pytest.mark.parametrize("give", [17, 4000, 1 << 20])
def test_a_stream_of_an_envelope_passes_and_plaintext_in_it_does_not(sealed, inner, give):
    found = Sealed(os.urandom((2 << 20) + 5))
    body = bytes(found.sealer.seal(found.plain))
    sealed.put("k", Drops(body, give), size=len(body), metadata=found.metadata)
    with inner.get("k") as reader:
        assert reader.read() == body
    text = (b"Le patient est ne le 3 mars 1961 a Lyon. " * 40_000)[: 1 << 20]
    for wrong in (
        body[:56] + text + body[56 + len(text) :],
        body[: 1 << 20] + text + body[(1 << 20) + len(text) :],
        bytes(56) + body[56:],
        found.plain[:56] + body[56:],
    ):
        source = Drops(wrong, give)
        refused(lambda source=source: sealed.put("k2", source, size=len(body), metadata=found.metadata))
    refused(lambda: sealed.put("k2", Drops(body, give), size=len(body) + 16_385, metadata=found.metadata))
    assert [info.key for page in inner.list() for info in page.objects] == ["k"]


def test_a_stream_gives_nothing_of_a_block_that_it_refuses():
    found = Sealed(b"")
    given = []

    class Keen:
        """A store that takes what it gets, and looks at it by little pieces."""

        target = "t"
        capabilities = build(Binding(target="t", container="")).capabilities

        def put(self, key, body, **_):
            while piece := body.read(10):
                given.append(piece)

    text = found.sealer.head + b"patient: Zoe " * 400
    size = sealed_size(len(text) - 72)
    refused(lambda: Guarded(Keen(), Permit.SEALED).put("k", io.BytesIO(text), size=size, metadata=found.metadata))
    assert given == []


def test_a_record_whose_metadata_nobody_sealed_does_not_pass(sealed, inner):
    found = Sealed(b"x")
    body = found.sealer.seal(b"x")
    told = (b'{"patient":"Zoe Martin"}' * 20)[:220]
    record = Record("kid", "a.b.c.d.e", found.sealer.head, told)
    refused(lambda: sealed.put("k", body, size=len(body), metadata={Record.NAME: record.encode()}))
    beside = b"sovbroker sidecar 1\n" + found.sealer.head + told
    refused(lambda: sealed.put("k~", beside, size=len(beside)))
    assert_empty(inner)


# --- stores without metadata: a sidecar announces the envelope


def put_sidecar(store, record, key="k"):
    body = record.sidecar()
    store.put(f"{key}~", body, size=len(body))


def test_a_sidecar_announces_the_envelope_where_there_are_no_metadata(bare):
    store = Guarded(bare, Permit.SEALED)
    for size in (0, 1, 5000, 3 * CHUNK + 5):
        found = Sealed(os.urandom(size))
        body = found.sealer.seal(found.plain)
        put_sidecar(store, found.record, f"k{size}")
        store.put(f"k{size}", body, size=len(body))
        assert bare.head(f"k{size}").size == len(body)


def test_the_announcement_counts_for_one_name_one_envelope_and_one_guard(bare):
    store = Guarded(bare, Permit.SEALED)
    found, other = Sealed(os.urandom(500)), Sealed(os.urandom(500))
    body, others = found.sealer.seal(found.plain), other.sealer.seal(other.plain)
    refused(lambda: store.put("k", body, size=len(body)), "no sidecar has announced")
    put_sidecar(store, found.record)
    refused(lambda: store.put("j", body, size=len(body)), "no sidecar has announced")
    refused(lambda: store.put("k", others, size=len(others)), "not the envelope that its record announces")
    refused(lambda: Guarded(bare, Permit.SEALED).put("k", body, size=len(body)), "no sidecar has announced")
    refused(lambda: store.put("k", body, size=len(body), metadata={"label": "secret"}), "only `sovbroker`")
    put_sidecar(store, other.record, "j")
    refused(lambda: store.put("k", others, size=len(others)), "not the envelope that its record announces")
    refused(lambda: store.put("j", body, size=len(body)), "not the envelope that its record announces")
    assert [request.key for request in bare.saw] == ["k~", "j~"]
    store.put("k", body, size=len(body))
    refused(lambda: store.put("k", body, size=len(body)), "no sidecar has announced")


def test_a_sidecar_that_did_not_arrive_announces_nothing(bare):
    store = Guarded(bare, Permit.SEALED)
    found = Sealed(b"x" * 500)
    body = found.sealer.seal(found.plain)
    bare.fail("put")
    with pytest.raises(Unavailable):
        put_sidecar(store, found.record)
    refused(lambda: store.put("k", body, size=len(body)))
    put_sidecar(store, found.record)
    bare.fail("put")
    with pytest.raises(Unavailable):
        store.put("k", body, size=len(body))
    store.put("k", body, size=len(body))


@pytest.mark.parametrize("plain", [b"", b"x", b"patient: Zoe " * 400, bytes(100_000)])
def test_plaintext_does_not_pass_after_a_good_sidecar_either(bare, plain):
    store = Guarded(bare, Permit.SEALED)
    found = Sealed(plain)
    body = found.sealer.seal(plain)
    put_sidecar(store, found.record)
    bare.saw.clear()
    head = found.sealer.head
    refused(lambda: store.put("k", plain, size=len(plain)))
    refused(lambda: store.put("k", io.BytesIO(plain + bytes(72)), size=len(plain) + 72))
    refused(lambda: store.put("k", head + b"patient: Zoe " * 40, size=56 + 13 * 40))
    refused(lambda: store.put("k", body, size=len(body) + 1))
    assert [info.key for page in bare.held.list() for info in page.objects] == ["k~"]
    assert all(not request.body for request in bare.saw)


def test_what_is_no_record_of_an_envelope_announces_nothing(bare):
    store = Guarded(bare, Permit.SEALED)
    found = Sealed(b"x" * 500)
    told = (b'{"patient":"Zoe Martin"}' * 20)[:220]
    unsealed = Record("kid", "a.b.c.d.e", found.sealer.head, told)
    parted, beside = found.record.split(200)
    for wrong in (
        ClearRecord({"key": "k", "patient": "Zoe"}).sidecar(),
        unsealed.sidecar(),
        beside,
        b"sovbroker sidecar 2\n" + parted.encode(),
        b"sovbroker sidecar 2\npatient: Zoe",
        b"patient: Zoe " * 40,
        found.record.sidecar() + b"patient: Zoe",
        b"",
    ):
        refused(lambda wrong=wrong: store.put("k~", wrong, size=len(wrong)))
    whole = found.record.sidecar()
    refused(lambda: store.put("k~", whole, size=len(whole) + 1))
    refused(lambda: store.put("k~", io.BytesIO(whole), size=len(whole)))
    body = found.sealer.seal(found.plain)
    refused(lambda: store.put("k", body, size=len(body)), "no sidecar has announced")
    assert bare.saw == []


def test_a_whole_sidecar_is_for_stores_without_metadata_only(sealed, inner):
    found = Sealed(b"x")
    refused(lambda: put_sidecar(sealed, found.record))
    assert_empty(inner)


def test_hidden_names_must_be_encrypted_of_sidecars_too(bare):
    store = Guarded(bare, Permit.HIDDEN)
    found = Sealed(b"x" * 500)
    body = found.sealer.seal(found.plain)
    refused(lambda: put_sidecar(store, found.record, "patients/42@06h0"))
    name = NameCipher(new_dek(), "main").encrypt("patients/42") + "@06h0"
    put_sidecar(store, found.record, name)
    store.put(name, body, size=len(body))
    assert [request.key for request in bare.saw] == [f"{name}~", name]


def test_what_a_probe_found_to_be_less_is_refused(inner):
    less = {feature: Support.UNSAFE if feature is Feature.CONDITIONAL_PUT else Support.ABSENT for feature in Feature}
    store = Guarded(inner, Permit.CLEAR, less)
    assert store.capabilities == less
    inner.put("k", b"x", size=1)
    unfinished = inner.multipart("big")
    soon = datetime.now(UTC) + timedelta(seconds=1)
    for call, feature in (
        (lambda: store.put("a", b"x", size=1, if_absent=True), Feature.CONDITIONAL_PUT),
        (lambda: store.put("a", b"x", size=1, metadata={"a": "b"}), Feature.METADATA),
        (lambda: store.get("k", range=(0, 0)), Feature.RANGE),
        (lambda: store.copy("k", "a"), Feature.COPY),
        (lambda: store.set_metadata("k", metadata={}), Feature.SET_METADATA),
        (lambda: store.multipart("a"), Feature.MULTIPART),
        (lambda: store.list(delimiter="/"), Feature.DELIMITER),
        (lambda: store.list(start_after="a"), Feature.ORDERED_LIST),
        (lambda: store.presign("k", expires=timedelta(seconds=9)), Feature.PRESIGN),
        (lambda: store.retain("k", until=soon), Feature.RETENTION),
    ):
        with pytest.raises(NotSupported, match=f"t: a probe found `{feature}` to be {less[feature]}"):
            call()
    assert [info.key for page in store.list() for info in page.objects] == ["k"]
    # What is needed to clear away, and what is no more than plain, goes on.
    store.multipart("big", upload_id=unfinished.id).abort()
    store.put("k", b"y", size=1)
    store.delete("k")
    assert list(inner.uploads()) == []


def test_what_a_probe_found_changes_nothing_else(inner):
    store = Guarded(inner, Permit.CLEAR, {Feature.COPY: Support.EMULATED})
    store.put("k", b"x", size=1, if_absent=True)
    store.copy("k", "a")
    assert store.capabilities == {**inner.capabilities, Feature.COPY: Support.EMULATED}
