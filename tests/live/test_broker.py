"""A whole broker over two users of a real Ceph and a third cloud: what a policy retains, Ceph itself keeps."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from urllib.parse import quote

import pytest

import sovbroker
from sovbroker.errors import AlreadyExists, SovbrokerError
from sovbroker.keys import Cost, Keyring, PassphraseService
from sovbroker.testing.ceph import ceph_rgw
from sovbroker_adapters.s3 import build

PASSPHRASE = "a passphrase that the tests made up"
DAYS = 30
WRITERS = 16

POLICY = f"""
sovbroker: 1
name: live-tests
levels: [public, record]
default: record
zones:
  french: {{located: [FR], controlled: [FR]}}
require:
  public: {{store: {{french: {{encrypt: client}}}}, copies: {{count: 3}}}}
  record:
    store: {{french: {{encrypt: client, names: encrypt}}}}
    copies: {{count: 3, distinct: [provider]}}
    retain: {{min: {DAYS}d}}
classify:
  - {{id: pub, path: "public/**", label: public}}
"""
PLACE = """
  {name}:
    name: "{name}"
    seat: {{is: "the tests (FR)"}}
    controlled: {{is: [FR]}}
    regions: {{lab: {{country: FR, place: "this machine"}}}}
    storage:
      api: s3
      adapter: s3
      endpoints: [{{is: "https://{name}.example"}}]
      settings: {{retention: native, conditional-put: unsafe, attempts: 1}}
    attestation: lab
    accept_relaxation: {{owner: lab@tests.example, reason: "a machine for tests"}}
"""
TARGET = """
  - at: {name}/lab
    bucket: {bucket}
    endpoint: "{url}"
    emulated: true
    credentials: {{access_key: {access_key}, secret_key: {secret_key}}}
"""


@pytest.fixture(scope="module")
def ceph():
    with ceph_rgw() as running:
        yield running


@pytest.fixture(scope="module")
def servers_(ceph, moto):
    """A server for each place: two users of one Ceph, who see nothing of each other, and moto."""
    return {"ceph-one": ceph, "ceph-two": ceph.as_user("two"), "moto": moto}


@pytest.fixture
def places(servers_, bucket):
    """A store for each place, over a bucket with locks: what its owner sees."""
    found = {}
    for name, server in servers_.items():
        server.create_bucket(f"{name}-{bucket}", lock=True)
        found[name] = build(server.binding(f"{name}-{bucket}", settings={"retention": "native"}))
    yield found
    for store in found.values():
        store.close()


@pytest.fixture
def broker(servers_, places, bucket, tmp_path, monkeypatch):
    document = tmp_path / "lab.txt"
    document.write_text("The servers of the tests are on this machine.\n")
    digest = hashlib.sha256(document.read_bytes()).hexdigest()
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "facts.yaml").write_text(
        "schema: sovbroker.overlay/1\nattestations:\n"
        f"  lab: {{document: lab.txt, sha256: {digest}, by: tests, issued: 2026-01-01, expires: 2099-01-01}}\nprivate:"
        + "".join(PLACE.format(name=name) for name in places)
    )
    (tmp_path / "sovbroker.yaml").write_text(
        "sovbroker: 1\noverlay: facts.yaml\npolicy: policy.yaml\n"
        "keys:\n  main: {service: file, path: keyring.json, passphrase: {env: SOVBROKER_PASSPHRASE}, "
        "located: FR, controlled: [FR]}\ntargets:"
        + "".join(
            TARGET.format(
                name=name,
                bucket=f"{name}-{bucket}",
                url=server.url,
                access_key=server.access_key,
                secret_key=server.secret_key,
            )
            for name, server in servers_.items()
        )
    )
    quick = PassphraseService(PASSPHRASE, cost=Cost(memory=8 << 10, passes=1, lanes=1))
    Keyring.create(tmp_path / "keyring.json", quick, recovery=False)[0].close()
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", PASSPHRASE)
    with sovbroker.open(tmp_path / "sovbroker.yaml") as broker:
        yield broker


def held(store):
    """Every key in a bucket."""
    return [info.key for page in store.list() for info in page.objects]


def locked(server, bucket, key):
    """Until when the server itself says that an object is locked, or None."""
    status, said = server.send("GET", f"/{bucket}/{quote(key)}?retention")
    if status != 200:
        return None
    assert b"<Mode>COMPLIANCE</Mode>" in said
    end = said.partition(b"<RetainUntilDate>")[2].partition(b"<")[0].decode()
    return datetime.fromisoformat(end)


@pytest.mark.parametrize("size", [1000, 20 << 20], ids=["small", "in parts"])
def test_what_the_policy_retains_is_locked_at_each_place(broker, places, servers_, bucket, size):
    body = bytes(range(256)) * (size // 256)
    begun = datetime.now(UTC)
    broker.put("patients/42", body)
    assert broker.read("patients/42") == body
    for name in ("ceph-one", "ceph-two"):
        (key,) = held(places[name])
        end = locked(servers_[name], f"{name}-{bucket}", key)
        assert end is not None
        least = begun + timedelta(days=DAYS)
        assert least <= end <= datetime.now(UTC) + timedelta(days=DAYS, seconds=1)


def test_removing_it_before_the_end_is_refused_by_ceph_itself(broker, places, servers_, bucket):
    broker.put("patients/42", b"kept")
    for name in ("ceph-one", "ceph-two"):
        server, store, container = servers_[name], places[name], f"{name}-{bucket}"
        (key,) = held(store)
        _, listing = server.send("GET", f"/{container}?versions")
        version = listing.partition(b"<VersionId>")[2].partition(b"<")[0].decode()
        # By nobody, not with the header that lifts a weaker retention, and not by a removal of the bucket.
        for headers in ({}, {"x-amz-bypass-governance-retention": "true"}):
            status, said = server.send("DELETE", f"/{container}/{quote(key)}?versionId={version}", headers=headers)
            assert (status, b"AccessDenied" in said) == (403, True)
        assert server.send("DELETE", f"/{container}")[0] == 409
        with pytest.raises(SovbrokerError, match="object lock"):
            store.delete(key)
        assert held(store) == [key]
    assert broker.read("patients/42") == b"kept"


def test_what_is_deleted_before_the_end_is_kept_and_not_asked_for(broker, places):
    """The broker knows until when: it hides the object, and sends no removal that would be refused."""
    broker.put("patients/42", b"kept")
    before = {name: held(store) for name, store in places.items()}
    broker.delete("patients/42")
    assert not broker.exists("patients/42")
    assert broker.sweep() == 0
    assert broker.leftovers() == []
    assert {name: held(store) for name, store in places.items()} == before


def test_what_is_not_retained_goes_with_every_version(broker, servers_, places, bucket):
    broker.put("public/a", b"one")
    broker.put("public/a", b"two")
    broker.delete("public/a")
    for name, server in servers_.items():
        _, listing = server.send("GET", f"/{name}-{bucket}?versions")
        assert b"<VersionId>" not in listing, name


def test_one_of_many_writers_wins(broker, places):
    start = Barrier(WRITERS)

    def race(number):
        body = b"%d" % number * 1000
        start.wait()
        try:
            broker.put("public/raced", body, if_absent=True)
        except AlreadyExists:
            return None
        return body

    with ThreadPoolExecutor(WRITERS) as pool:
        won = [body for body in pool.map(race, range(WRITERS)) if body is not None]
    assert len(won) == 1
    assert broker.read("public/raced") == won[0]
    assert {name: len(held(store)) for name, store in places.items()} == dict.fromkeys(places, 1)
    assert broker.leftovers() == []


def test_what_the_places_tell(places):
    for name, store in places.items():
        found = store.inspect()
        assert (found.public, found.versioned, found.locks) == (False, True, True), name
        # Ceph 16 answers the question for the encryption with a listing.
        assert (found.encryption, found.removals) == ("" if name == "moto" else None, ()), name
        assert abs(found.skew) < timedelta(seconds=5)
