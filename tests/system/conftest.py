"""Whole brokers over stores that a test can look into, damage and break."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

import sovbroker
from sovbroker import router
from sovbroker.errors import Unavailable
from sovbroker.keys import Cost, Keyring, PassphraseService
from sovbroker_adapters import memory

PASSPHRASE = "a passphrase that the tests made up"

POLICY = """
sovbroker: 1
name: system-tests
levels: [public, internal, confidential, restricted]
default: restricted
zones:
  french: {located: [FR], controlled: [EEA]}
  anywhere: {}
require:
  public: {store: {anywhere: {}}}
  internal: {store: {french: {encrypt: client}}}
  confidential: {store: {french: {encrypt: client}}, copies: {count: 2, distinct: [provider]}}
  restricted: {store: {french: {encrypt: client, names: encrypt, keys: french}}}
classify:
  - {id: pub, path: "public/**", label: public}
  - {id: int, path: "internal/**", label: internal}
  - {id: conf, path: "confidential/**", label: confidential}
"""

CONFIG = """
sovbroker: 1
policy: policy.yaml
keys:
  main: {service: file, path: keyring.json, passphrase: {env: SOVBROKER_PASSPHRASE}, located: FR, controlled: [FR]}
targets:
"""

TARGET = """  - at: {at}
    bucket: objects
    endpoint: "{endpoint}"
    emulated: true
    credentials: {{access_key: test, secret_key: testtest}}
"""


class Faulty:
    """A store whose calls a test may count, fail or watch: `before(operation, key)` runs ahead of each."""

    def __init__(self, inner, before):
        self._inner = inner
        self._before = before

    def __getattr__(self, name):
        value = getattr(self._inner, name)
        if name in {"head", "get", "put", "delete", "copy", "presign", "set_metadata"}:

            def call(key, *args, **options):
                self._before(name, key)
                return value(key, *args, **options)

            return call
        if name == "multipart":

            def start(key, **options):
                self._before("multipart", key)
                return Faulty.Upload(value(key, **options), self._before)

            return start
        return value

    class Upload:
        def __init__(self, inner, before):
            self._inner = inner
            self._before = before

        def __getattr__(self, name):
            value = getattr(self._inner, name)
            if name in {"part", "commit", "abort"}:

                def call(*args):
                    self._before(name, self._inner.key)
                    return value(*args)

                return call
            return value


class Clouds:
    """A folder with a configuration, and the memory stores that stand in for its targets."""

    POLICY = POLICY

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.stores = {}
        self.now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
        self.calls = []
        self.before: Callable[[str, str, str], None] = lambda *_: None
        self._brokers = []
        monkeypatch.setenv("SOVBROKER_PASSPHRASE", PASSPHRASE)
        monkeypatch.setattr("sovbroker.transfer.outgoing.FIRST_PAUSE", 0.0001)
        monkeypatch.setattr(router, "find_adapter", lambda name: self.build)

    def build(self, binding):
        if binding.target not in self.stores:
            self.stores[binding.target] = memory.MemoryStore(binding.target, clock=lambda: self.now)

        def before(operation, key):
            self.calls.append((binding.target, operation, key))
            self.before(binding.target, operation, key)

        return Faulty(self.stores[binding.target], before)

    def write(self, *, policy=POLICY, targets=("ovhcloud/gra", "outscale/eu-west-2")):
        config = CONFIG + "".join(TARGET.format(at=at, endpoint="http://127.0.0.1:9") for at in targets)
        (self.folder / "policy.yaml").write_text(policy)
        (self.folder / "sovbroker.yaml").write_text(config)
        if not (self.folder / "keyring.json").exists():
            quick = PassphraseService(PASSPHRASE, cost=Cost(memory=8 << 10, passes=1, lanes=1))
            Keyring.create(self.folder / "keyring.json", quick, recovery=False)[0].close()

    def open(self, **options):
        if not (self.folder / "sovbroker.yaml").exists():
            self.write(**options)
        broker = sovbroker.open(self.folder / "sovbroker.yaml", clock=lambda: self.now)
        self._brokers.append(broker)
        return broker

    def pass_time(self, span: timedelta):
        self.now += span

    def held(self, target=None):
        """Every object at a target (or all of them) by key, with its body."""
        found = {}
        for name, store in self.stores.items():
            if target in {None, name}:
                for page in store.list():
                    for info in page.objects:
                        with store.get(info.key) as reader:
                            found[name, info.key] = reader.read()
        return found

    def unfinished(self):
        return [upload for store in self.stores.values() for upload in store.uploads()]

    def fail_at(self, operation, number=1, *, error=None, times=10**9):
        """Raise `error` at the n-th call of an operation and the `times - 1` calls after it."""
        seen = 0
        error = error or Unavailable("no answer")

        def before(target, found, key):
            nonlocal seen
            if found == operation:
                seen += 1
                if number <= seen < number + times:
                    raise error

        self.before = before

    def close(self):
        for broker in self._brokers:
            broker.close()


@pytest.fixture
def clouds(tmp_path, monkeypatch):
    clouds = Clouds(tmp_path, monkeypatch)
    yield clouds
    clouds.close()


@pytest.fixture
def broker(clouds):
    return clouds.open()
