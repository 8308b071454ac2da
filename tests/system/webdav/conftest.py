"""A whole broker over a real WebDAV server, with an S3 server beside it for second copies."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import sovbroker
from sovbroker.keys import Cost, Keyring, PassphraseService
from sovbroker.testing import servers
from sovbroker.testing.webdav import rclone_webdav

PASSPHRASE = "a passphrase that the tests made up"

POLICY = """
sovbroker: 1
levels: [public, internal, secret, both]
zones:
  documents: {provider: [oodrive]}
  anywhere: {}
require:
  public: {store: {anywhere: {}}}
  internal: {store: {anywhere: {encrypt: client}}}
  secret: {store: {anywhere: {encrypt: client, names: encrypt}}}
  both: {copies: {count: 2, distinct: [provider]}}
classify:
  - {id: pub, path: "public/**", label: public}
  - {id: int, path: "internal/**", label: internal}
  - {id: sec, path: "secret/**", label: secret}
prefer: [documents, zone]
"""

CONFIG = """
sovbroker: 1
policy: policy.yaml
keys:
  main: {service: file, path: keyring.json, passphrase: {env: SOVBROKER_PASSPHRASE}}
targets:
"""

BOUND = """
from dataclasses import replace
from sovbroker.catalogue import Catalogue

known = Catalogue.connection

def connection(self, reference, *, adapter=None):
    '''A contract's own endpoint, as an operator binds it.'''
    found = known(self, reference, adapter=adapter)
    return replace(found, adapter="webdav", settings={"etags": "digest"}) if reference == "oodrive/fr" else found
"""


@pytest.fixture(scope="session")
def webdav(tmp_path_factory):
    with rclone_webdav(tmp_path_factory.mktemp("webdav")) as server:
        yield server


@pytest.fixture(scope="session")
def s3():
    with servers.moto() as server:
        yield server


class Home:
    """A configuration with its folder at the WebDAV server."""

    BOUND = BOUND
    policy = POLICY

    def __init__(self, path, webdav, s3, name):
        self.path = path
        self.server = webdav
        self.name = name
        self.folder = webdav.folder / name
        self.now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
        self.s3 = s3
        self._open = []
        webdav.create_folder(name)
        s3.create_bucket(name)
        quick = PassphraseService(PASSPHRASE, cost=Cost(memory=8 << 10, passes=1, lanes=1))
        Keyring.create(path / "keyring.json", quick, recovery=False)[0].close()
        self.write()

    def write(self, *, url=None, policy=POLICY):
        (self.path / "policy.yaml").write_text(policy)
        (self.path / "sovbroker.yaml").write_text(
            CONFIG
            + f'  - {{at: oodrive/fr, bucket: {self.name}, endpoint: "{url or self.server.url}", emulated: true, '
            + f"credentials: {{username: {self.server.username}, password: {self.server.password}}}}}\n"
            + f'  - {{at: ovhcloud/gra, bucket: {self.name}, endpoint: "{self.s3.url}", emulated: true, '
            + f"credentials: {{access_key: {self.s3.access_key}, secret_key: {self.s3.secret_key}}}}}\n"
        )

    def open(self):
        broker = sovbroker.open(self.path / "sovbroker.yaml", clock=lambda: self.now)
        self._open.append(broker)
        return broker

    def files(self, *, waiting=False):
        """Every file at the server, by its path; those that wait to be moved are in `=new`."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path for path in found if waiting == ("=new" in path.parts))

    def names(self):
        return [path.name for path in self.files()]

    def bytes(self):
        """Everything that lies at the server, names included."""
        return b"\n".join(str(path).encode() + path.read_bytes() for path in self.files())

    def close(self):
        for broker in self._open:
            broker.close()


@pytest.fixture
def home(tmp_path, webdav, s3, bucket, monkeypatch):
    words = {}
    exec(BOUND, words)  # noqa: S102 - the same text binds it in other processes
    monkeypatch.setattr("sovbroker.catalogue.Catalogue.connection", words["connection"])
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", PASSPHRASE)
    monkeypatch.setattr("sovbroker.transfer.outgoing.FIRST_PAUSE", 0.001)
    home = Home(tmp_path, webdav, s3, bucket)
    yield home
    home.close()


@pytest.fixture
def broker(home):
    return home.open()
