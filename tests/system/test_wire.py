"""Real requests over real sockets, recorded and disturbed."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from urllib.parse import urlsplit

import boto3
import pytest

import sovbroker
from sovbroker.errors import NotFound, PermissionDenied, Unavailable
from sovbroker.testing import servers
from sovbroker.testing.chaos import ChaosProxy, Cut, Flip, Reset, Side, Status, Truncate
from sovbroker.testing.recorder import Recorder, traces
from sovbroker.transfer.outgoing import PART, SMALL

NAME = "Jeanne-Marie Lefebvre-Duvallon"
CONTENT = f"patient: {NAME}\nrésultat: séropositif\n".encode()
METADATA = {"dossier": "confidential-file-8c1f", "médecin": "Dr Grandjean"}
KEY = "restricted/oncologie/lefebvre-duvallon.json"
SECRETS = [
    CONTENT[9:30],
    NAME.encode(),
    "séropositif".encode(),
    b"confidential-file-8c1f",
    b"dossier",
    b"Dr Grandjean",
    b"application/fhir+json",
]
HIDDEN = [*SECRETS, b"restricted", b"oncologie", b"lefebvre", b"duvallon", b".json"]


@pytest.fixture(scope="module")
def providers():
    """One process for each provider: moto has one namespace of buckets, and would hide a wrong route."""
    with servers.moto() as one, servers.moto() as two:
        for server in (one, two):
            server.create_bucket("objects")
        yield {"ovhcloud/gra": one, "outscale/eu-west-2": two}


def client(server):
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
    )


def configure(clouds, endpoints, monkeypatch, *, credentials="access_key: test, secret_key: testtest"):
    """Write a configuration whose targets are real endpoints, and let adapters be found for real."""
    clouds.write(targets=())
    path = clouds.folder / "sovbroker.yaml"
    text = path.read_text()
    for at, url in endpoints.items():
        text += (
            f"  - {{at: {at}, bucket: objects, endpoint: '{url}', emulated: true, credentials: {{{credentials}}}}}\n"
        )
    path.write_text(text)
    monkeypatch.undo()
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "a passphrase that the tests made up")
    return sovbroker.open(path, clock=lambda: datetime(2026, 11, 24, tzinfo=UTC))


@pytest.fixture
def recorded(clouds, providers, monkeypatch):
    with Recorder() as recorder:
        endpoints = {at: recorder.in_front_of(at, urlsplit(s.url).netloc) for at, s in providers.items()}
        with configure(clouds, endpoints, monkeypatch) as broker:
            yield broker, recorder


def work_with(broker, key, size):
    """Do everything that can be done with an object; return its content."""
    data = (CONTENT * (size // len(CONTENT) + 1))[:size]
    broker.put(key, data, metadata=METADATA, content_type="application/fhir+json")
    assert broker.read(key) == data
    assert broker.read(key, range=(9, 40)) == data[9:41]
    broker.copy(key, key + "-copy.json")
    broker.relabel(key, broker.stat(key).label)
    broker.move(key, key + "-moved.json")
    with broker.writer(key) as file:
        file.write(data)
    assert broker.read(key + "-moved.json") == data
    return data


def everything_at(server):
    """Return every name, metadata entry and body that a provider holds, in one text."""
    found = bytearray()
    s3 = client(server)
    for item in s3.list_objects_v2(Bucket="objects").get("Contents", []):
        answer = s3.get_object(Bucket="objects", Key=item["Key"])
        found += item["Key"].encode() + b"\n" + repr(answer["ResponseMetadata"]["HTTPHeaders"]).encode() + b"\n"
        found += answer["Body"].read() + b"\n"
    return bytes(found)


@pytest.mark.parametrize("size", [len(CONTENT), 100_000])
def test_no_provider_and_no_wire_sees_a_hidden_object(recorded, providers, size):
    broker, recorder = recorded
    work_with(broker, KEY, size)
    seen = b"".join(bytes(tape.data) for tape in recorder.tapes())
    assert len(seen) > size
    at_rest = b"".join(everything_at(server) for server in providers.values())
    assert len(at_rest) > size
    for secret in HIDDEN:
        assert recorder.saw(secret) == []
        assert traces(secret, at_rest) == []


def test_the_parts_of_a_large_object_show_nothing(recorded):
    broker, recorder = recorded
    data = CONTENT * ((SMALL + PART) // len(CONTENT) + 1)
    broker.put(KEY, data, metadata=METADATA)
    assert broker.read(KEY) == data
    assert recorder.saw(NAME.encode()) == []


def test_a_sealed_object_shows_its_name_and_nothing_else(recorded, providers):
    broker, recorder = recorded
    work_with(broker, "internal/lefebvre.json", 100_000)
    for secret in SECRETS:
        assert recorder.saw(secret) == []
    assert recorder.saw(b"lefebvre.json")


def test_metadata_in_a_sidecar_are_sealed_too(recorded):
    broker, recorder = recorded
    broker.put("internal/x", b"x" * 100, metadata={f"{n}-dossier": "confidential-file-8c1f" * 9 for n in range(50)})
    assert recorder.saw(b"confidential-file-8c1f") == []
    assert recorder.saw(b"-dossier") == []


def test_the_recorder_would_have_seen_it(recorded):
    """The control: what the policy allows in the clear is found, on the wire and at rest."""
    broker, recorder = recorded
    broker.put("public/press.txt", CONTENT, content_type="application/fhir+json")
    for secret in (NAME.encode(), "séropositif".encode()):
        assert recorder.saw(secret)


def test_an_object_lies_only_where_it_was_decided(recorded, providers):
    broker, recorder = recorded
    stored = broker.put("internal/only", os.urandom(1000))
    (copy,) = stored.copies
    for at, server in providers.items():
        keys = [i["Key"] for i in client(server).list_objects_v2(Bucket="objects").get("Contents", [])]
        assert any(stored.version in key for key in keys) == (at == copy.target)
        assert bool(recorder.tapes(at)) == (at == copy.target)


@pytest.fixture
def disturbed(clouds, providers, monkeypatch):
    server = providers["outscale/eu-west-2"]
    with (
        ChaosProxy(urlsplit(server.url).netloc) as proxy,
        configure(clouds, {"outscale/eu-west-2": proxy.url}, monkeypatch) as broker,
    ):
        monkeypatch.setattr("sovbroker.transfer.outgoing.FIRST_PAUSE", 0.001)
        yield broker, proxy


PUT_FAULTS = {
    "reset before the answer": Reset(on=Side.ANSWER),
    "reset within the request": Reset(after=100, on=Side.REQUEST),
    "503": Status(503),
    "500": Status(500),
    "cut but acknowledged": Cut(50),
    "a flipped byte": Flip(40, on=Side.REQUEST),
}


@pytest.mark.parametrize("fault", PUT_FAULTS)
@pytest.mark.parametrize("size", [200, SMALL + 5])
def test_a_put_through_a_broken_connection_is_whole_or_not_at_all(disturbed, fault, size):
    broker, proxy = disturbed
    data = os.urandom(size)
    broker.put("internal/a", b"old")
    proxy.always(PUT_FAULTS[fault])
    with pytest.raises(Unavailable):
        broker.put("internal/a", data)
    proxy.always(None)
    assert broker.read("internal/a") == b"old"
    assert {item.kind for item in broker.leftovers()} <= {"intent"}
    broker.put("internal/a", data)
    assert broker.read("internal/a") == data
    proxy.script(None, PUT_FAULTS[fault])
    broker.put("internal/a", data[::-1])
    assert broker.read("internal/a") == data[::-1]


GET_FAULTS = {
    "200 with a truncated body": Truncate(100),
    "reset within the body": Reset(after=100),
    "a flipped byte": Flip(150, on=Side.ANSWER),
    "503": Status(503),
}


@pytest.mark.parametrize("fault", GET_FAULTS)
def test_a_get_through_a_broken_connection_gives_nothing_wrong(disturbed, fault):
    broker, proxy = disturbed
    data = os.urandom(300_000)
    broker.put("internal/a", data)
    proxy.always(GET_FAULTS[fault])
    for read in (lambda: broker.read("internal/a"), lambda: broker.read("internal/a", range=(5, 999))):
        with pytest.raises(sovbroker.errors.SovbrokerError):
            read()
    proxy.always(None)
    assert broker.read("internal/a") == data


def test_a_missing_bucket_is_named(clouds, providers, monkeypatch):
    server = providers["ovhcloud/gra"]
    with configure(clouds, {"ovhcloud/gra": server.url}, monkeypatch) as broker:
        place = broker.places["ovhcloud/gra"]
        object.__setattr__(place.binding, "container", "no-such-bucket")
        with pytest.raises(NotFound, match="no-such-bucket"):
            broker.put("internal/a", b"x")
        assert not broker.exists("internal/a")


def test_refused_credentials_say_so(clouds, rclone, monkeypatch):
    rclone.create_bucket("objects")
    with configure(clouds, {"ovhcloud/gra": rclone.url}, monkeypatch) as broker:
        with pytest.raises(PermissionDenied, match="ovhcloud/gra"):
            broker.put("internal/a", b"x")
        assert not broker.exists("internal/a")


def test_nobody_at_the_endpoint_is_unavailable(clouds, free_port, monkeypatch):
    with configure(clouds, {"ovhcloud/gra": f"http://127.0.0.1:{free_port}"}, monkeypatch) as broker:
        with pytest.raises(Unavailable, match="ovhcloud/gra"):
            broker.put("internal/a", b"x", deadline=120)
        assert not broker.exists("internal/a")


def test_a_new_key_reaches_every_copy_and_no_byte_of_a_body_moves(recorded, providers):
    broker, recorder = recorded
    size = SMALL + PART + 5
    data = os.urandom(size)
    broker.put("confidential/large", data)
    broker.put("confidential/small", b"x" * 1000, metadata={"note": "y" * 3000})
    broker.put(KEY, CONTENT)
    before = {at: bodies_at(server) for at, server in providers.items()}
    passed = sum(len(tape.data) for tape in recorder.tapes())
    assert passed > 2 * size
    broker.keys.keyring("main").rotate("main")
    outcome = broker.rewrap()
    assert (outcome.done, outcome.left) == (3, ())
    moved = sum(len(tape.data) for tape in recorder.tapes()) - passed
    # Heads of requests and answers, for three versions with two copies each, at four requests a copy.
    assert 6 * 500 < moved < 6 * 12_000
    assert {at: bodies_at(server) for at, server in providers.items()} == before
    assert broker.read("confidential/large") == data
    assert recorder.saw(NAME.encode()) == []


def bodies_at(server):
    """Return what a provider holds, body by body."""
    s3 = client(server)
    names = [item["Key"] for item in s3.list_objects_v2(Bucket="objects").get("Contents", [])]
    return {name: s3.get_object(Bucket="objects", Key=name)["Body"].read() for name in names}
