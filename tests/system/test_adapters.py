"""A whole broker over three kinds of servers at once: one decision, three clouds, and none sees plaintext."""

import pytest

import sovbroker
from sovbroker.guard import Permit
from sovbroker.keys import Cost, Keyring, PassphraseService
from sovbroker.testing.blobs import BlobService
from sovbroker.testing.gcs import fake_gcs

PASSPHRASE = "a passphrase that the tests made up"
SECRET = b"the patient's name is Zoe Martin"

POLICY = """
sovbroker: 1
levels: [public, secret]
zones: {anywhere: {}}
require:
  public: {store: {anywhere: {}}}
  secret: {store: {anywhere: {encrypt: client, names: encrypt}}, copies: {count: 3, distinct: [provider]}}
classify:
  - {id: pub, path: "public/**", label: public}
"""

CONFIG = """
sovbroker: 1
policy: policy.yaml
keys:
  main: {{service: file, path: keyring.json, passphrase: {{env: SOVBROKER_PASSPHRASE}}}}
targets:
  - {{at: local, path: objects}}
  - {{at: gcp/europe-west9, bucket: objects, endpoint: "{google}", emulated: true}}
  - at: azure/francecentral
    bucket: objects
    endpoint: "{azure}"
    emulated: true
    credentials: {{account: "{account}", access_key: "{key}"}}
"""


@pytest.fixture(scope="module")
def servers():
    with fake_gcs() as google, BlobService() as azure:
        google.create_bucket("objects")
        azure.server.create_container("objects")
        yield google, azure


@pytest.fixture
def broker(servers, tmp_path, monkeypatch):
    google, azure = servers
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", PASSPHRASE)
    (tmp_path / "objects").mkdir()
    (tmp_path / "policy.yaml").write_text(POLICY)
    text = CONFIG.format(google=google.url, azure=azure.server.url, account=azure.server.account, key=azure.server.key)
    (tmp_path / "sovbroker.yaml").write_text(text)
    quick = PassphraseService(PASSPHRASE, cost=Cost(memory=8 << 10, passes=1, lanes=1))
    Keyring.create(tmp_path / "keyring.json", quick, recovery=False)[0].close()
    with sovbroker.open(tmp_path / "sovbroker.yaml") as broker:
        yield broker


@pytest.mark.parametrize("size", [0, 31, 3 << 20, 20 << 20], ids=str)
def test_three_clouds_hold_one_object_and_none_reads_it(broker, size):
    data = (SECRET * (size // len(SECRET) + 1))[:size]
    stored = broker.put("patients/zoe.json", data)
    assert {copy.target for copy in stored.copies} == {"local", "gcp/europe-west9", "azure/francecentral"}
    assert broker.read("patients/zoe.json") == data
    if size > 31:
        assert broker.read("patients/zoe.json", range=(size - 9, size - 1)) == data[-9:]
    for target in broker.places:
        store = broker._flow.stores.guarded(target, Permit.READ)
        held = [info for page in store.list() for info in page.objects]
        assert held
        for info in held:
            assert "zoe" not in info.key
            with store.get(info.key) as reader:
                body = b"".join(iter(lambda reader=reader: reader.read(1 << 20), b""))
            assert SECRET not in body


@pytest.mark.parametrize("kept", ["local", "gcp/europe-west9", "azure/francecentral"])
def test_each_copy_alone_can_be_read(broker, kept):
    broker.put("patients/zoe.json", SECRET)
    for copy in broker._flow.index.current("patients/zoe.json").copies:
        if copy.target != kept:
            broker._flow.stores.guarded(copy.target, Permit.READ).delete(copy.physical)
    assert broker.read("patients/zoe.json") == SECRET
    broker.delete("patients/zoe.json")
    assert not broker.exists("patients/zoe.json")
    assert not broker.leftovers()
