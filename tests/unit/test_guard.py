"""The guard looks at what is about to leave, and knows no keys."""

import io
import os
from datetime import UTC, datetime, timedelta

import pytest

from sovbroker.envelope import CHUNK, Context, Record, Sealer, SealingReader, new_dek, seal_metadata
from sovbroker.errors import NotFound, NotSupported, SealError
from sovbroker.guard import Guarded, Permit
from sovbroker.names import NameCipher
from sovbroker.ports import Binding, Feature, Support
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
def sealed(inner):
    return Guarded(inner, Permit.SEALED)


def refused(call):
    with pytest.raises(SealError, match="t: nothing was sent"):
        call()


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
    with store.get("k") as reader:
        assert reader.read() == b"x"
    store.delete("k")
    with pytest.raises(NotFound):
        store.head("k")


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
