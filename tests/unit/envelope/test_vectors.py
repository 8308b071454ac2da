"""The published vectors of the format, and our own frozen ones, through every interface.

The vectors in `cryptography_vectors` are older than the name Cobblestone and derive with SHA-256 instead of SHA-512; so
the derivation's hash is exchanged for them, and the native class, which knows SHA-512 only, is left out. It is the
oracle in the other tests, and in our own vectors.
"""

import base64
import hashlib
import io
import json
import sys
import zlib
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from sovbroker.envelope import (
    CHUNK,
    HEAD,
    TAG,
    ClearRecord,
    Context,
    Opener,
    OpeningReader,
    Record,
    Sealer,
    open_metadata,
    plain_size,
    read_entry,
    read_sidecar,
    span,
)
from sovbroker.errors import InvalidArgument, SealError

with cryptography_vectors.open_vector_file("chunked-encryption/vectors.json", "r") as file:
    PUBLISHED = [v for v in json.load(file)["vectors"] if v["aead"] == "AEAD_AES_256_GCM"]
OWN = json.loads((Path(__file__).parents[2] / "vectors" / "format-1.json").read_text(encoding="utf-8"))


def whole(key, context, body):
    return bytes(Opener(key, context, body[:HEAD]).open(body))


def stream(key, context, body):
    return OpeningReader(io.BytesIO(body), lambda head: Opener(key, context, head)).read()


def stream_in_drops(key, context, body):
    class Drops(io.RawIOBase):
        at = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            n = min(len(buffer), 4099, len(body) - self.at)
            buffer[:n] = body[self.at : self.at + n]
            self.at += n
            return n

    reader = OpeningReader(Drops(), lambda head: Opener(key, context, head))
    pieces = []
    while piece := reader.read(777):
        pieces.append(piece)
    return b"".join(pieces)


def random_access(key, context, body):
    size = plain_size(len(body))
    opener = Opener(key, context, body[:HEAD])
    out = bytearray(size)
    count = size // CHUNK + 1
    for chunk in sorted(range(count), key=lambda c: (c * 7919) % count):
        final = chunk == count - 1
        at = HEAD + chunk * (CHUNK + TAG)
        sealed = body[at:] if final else body[at : at + CHUNK + TAG]
        plain = bytearray(len(sealed) - TAG)
        opener.open_into(sealed, plain, first_chunk=chunk, final=final)
        out[chunk * CHUNK : chunk * CHUNK + len(plain)] = plain
    if size:
        s = span(size // 2, size - 1, size=size)
        some = bytearray(s.cipher_last - s.cipher_first + 1)
        opener.open_into(body[s.cipher_first : s.cipher_last + 1], some, first_chunk=s.first_chunk, final=s.final)
        assert some[s.skip : s.skip + s.take] == out[size // 2 :]
    return bytes(out)


INTERFACES = [whole, stream, stream_in_drops, random_access]


@pytest.fixture
def sha256(monkeypatch):
    def expand(key, *, info, size):
        return HKDFExpand(hashes.SHA256(), size, info).derive(key)

    monkeypatch.setattr("sovbroker.envelope.chunks.expand", expand)
    monkeypatch.setattr("sovbroker.envelope.opener.NATIVE_FROM", sys.maxsize)


def body_of(vector):
    data = base64.b64decode(vector["ciphertext"] or "")
    return zlib.decompress(data) if vector.get("compressed") else data


def test_there_are_vectors_of_both_kinds():
    assert {v["expect"] for v in PUBLISHED} == {"success", "failure"}
    assert len(PUBLISHED) >= 30


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("vector", PUBLISHED, ids=lambda v: v["name"])
def test_published(vector, interface, sha256):
    key, context, body = bytes.fromhex(vector["key"]), vector["context"].encode(), body_of(vector)
    if "aead_key" in vector:
        Opener(key, context, body[:HEAD])
    if vector["expect"] == "failure":
        with pytest.raises((SealError, InvalidArgument)) as caught:
            interface(key, context, body)
        assert isinstance(caught.value, SealError) or len(key) != 32
        return
    plain = interface(key, context, body)
    assert len(plain) == vector["payload_length"]
    assert hashlib.sha256(plain).hexdigest() == vector["payload_sha256"]


@pytest.mark.parametrize("vector", [v for v in PUBLISHED if v["expect"] == "success"], ids=lambda v: v["name"])
def test_published_sealed_again_by_chunk_number_is_the_same(vector, sha256):
    """The native class draws its own salt, so only the random-access half can be compared byte for byte."""
    key, context, body = bytes.fromhex(vector["key"]), vector["context"].encode(), body_of(vector)
    sealer = Sealer(key, context)
    sealer._head, sealer._native = body[:HEAD], None
    plain = whole(key, context, body)
    assert bytes(sealer.seal(plain)) == body


@pytest.mark.parametrize("case", OWN["contexts"], ids=lambda c: c["version"])
def test_own_contexts(case):
    assert Context(case["domain"], case["key"], case["version"], case["label"]).encode().hex() == case["hex"]


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("case", OWN["objects"], ids=lambda c: str(c["size"]))
def test_own_objects(case, interface):
    context = Context(case["domain"], case["key"], case["version"], case["label"])
    plain = interface(bytes.fromhex(case["dek"]), context, base64.b64decode(case["envelope"]))
    assert len(plain) == case["size"]
    assert hashlib.sha256(plain).hexdigest() == case["sha256"]


@pytest.mark.parametrize("case", OWN["objects"], ids=lambda c: str(c["size"]))
def test_own_metadata(case):
    context = Context(case["domain"], case["key"], case["version"], case["label"])
    for known in (context, context.without_label()):
        opened = open_metadata(bytes.fromhex(case["dek"]), known, base64.b64decode(case["metadata"]))
        assert opened == case["metadata_opened"]


def test_own_record():
    case, first = OWN["record"], OWN["objects"][1]
    record = Record.decode(case["entry"])
    assert record == read_entry(case["entry"])
    assert (record.kid, record.wrapped) == (OWN["wrapped"]["kid"], OWN["wrapped"]["jwe"])
    assert record.head == base64.b64decode(first["envelope"])[:HEAD]
    assert record.metadata == base64.b64decode(first["metadata"])
    assert record.encode() == case["entry"]
    sidecar = base64.b64decode(case["sidecar"])
    assert record.split(case["split_limit"]) == (case["split_entry"], sidecar)
    assert Record.join(case["split_entry"], sidecar) == record
    assert read_entry(case["clear_entry"]) == ClearRecord(case["clear_metadata"])
    assert ClearRecord(case["clear_metadata"]).encode() == case["clear_entry"]
    whole, clear_whole = (base64.b64decode(case[name]) for name in ("whole_sidecar", "clear_whole_sidecar"))
    assert (read_sidecar(whole), record.sidecar()) == (record, whole)
    assert (read_sidecar(clear_whole), ClearRecord(case["clear_metadata"]).sidecar()) == (
        ClearRecord(case["clear_metadata"]),
        clear_whole,
    )
