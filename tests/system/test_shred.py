"""What is shredded is gone: from the rows, from the database's files, from every provider; and nothing opens it."""

from datetime import UTC, datetime, timedelta

import pytest

import sovbroker
from sovbroker.errors import Conflict, NotFound, StateError, Unavailable
from sovbroker.keys import Cost, Keyring, PassphraseService
from sovbroker.placements import SqliteIndex

PASSPHRASE = "a passphrase that the tests made up"
SECRET = b"the one sentence that has to be gone"
POLICY = """
sovbroker: 1
name: shredding
levels: [public, internal, retained]
default: internal
zones:
  anywhere: {}
require:
  public: {store: {anywhere: {}}}
  internal: {store: {anywhere: {encrypt: client}}}
  retained: {store: {anywhere: {encrypt: client}}, retain: {min: 30d}}
classify:
  - {id: pub, path: "public/**", label: public}
"""
CONFIG = """
sovbroker: 1
policy: policy.yaml
keys:
  main: {service: file, path: keyring.json, passphrase: {env: SOVBROKER_PASSPHRASE}, located: FR, controlled: [FR]}
targets:
  - {at: local, path: objects, located: FR, controlled: [FR]}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", PASSPHRASE)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "sovbroker.yaml").write_text(CONFIG)
    (tmp_path / "objects").mkdir()
    service = PassphraseService(PASSPHRASE, cost=Cost(memory=8 << 10, passes=1, lanes=1))
    keyring, _ = Keyring.create(tmp_path / "keyring.json", service, recovery=False)
    keyring.domain("main")
    keyring.close()
    return tmp_path


@pytest.fixture
def broker(home):
    with sovbroker.open(home / "sovbroker.yaml") as broker:
        yield broker


def everything(home):
    """Every byte of the state and of the store."""
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and path.name != "keyring.json"}


def holders(home, what):
    return [path.name for path, data in everything(home).items() if what in data]


def record_of(home, key):
    """What opens the copies: the wrapped key, the head and the sealed metadata, as they stand in the row."""
    index = SqliteIndex(home / "state.db")
    try:
        return index.current(key).record.encode()
    finally:
        index.close()


def test_nothing_of_it_is_left(home, broker):
    broker.put("a", SECRET, label="internal", metadata={"who": "a-name-of-somebody"})
    ticket = broker.exit_ticket("a", reveal_key=True)
    wrapped = record_of(home, "a")
    assert holders(home, wrapped)
    told = broker.shred("a")
    assert told.key == "a"
    assert list(told.gone) == ["local"]
    assert len(told.versions) == 1
    assert not broker.exists("a")
    with pytest.raises(NotFound):
        broker.read("a")
    assert [path.name for path in (home / "objects").rglob("*") if path.is_file()] == ["lock"]
    for what in (wrapped, wrapped[20:60], wrapped[-40:], b"a-name-of-somebody", ticket.version.encode()):
        assert holders(home, what) == [], what


def test_a_plain_deletion_of_a_row_is_overwritten_too(home, broker):
    """After `delete`, it is the log that may still hold it, until somebody scours."""
    broker.put("a", SECRET, label="internal")
    wrapped = record_of(home, "a")
    broker.delete("a")
    broker.put("b", SECRET, label="internal")
    broker.shred("b")
    assert holders(home, wrapped) == []


def test_a_clear_copy_goes_as_well(home, broker):
    broker.put("public/a", SECRET)
    assert holders(home, SECRET)
    broker.shred("public/a")
    assert holders(home, SECRET) == []


def test_what_the_policy_retains_is_not_destroyed(home, broker):
    broker.put("a", SECRET, label="retained")
    with pytest.raises(Conflict, match="retained by the policy until"):
        broker.shred("a")
    assert broker.read("a") == SECRET
    broker.delete("a")
    with pytest.raises(Conflict, match="nothing was destroyed"):
        broker.shred("a")
    assert [info.version for info in broker.versions("a")]


def test_a_retention_that_is_over_does_not_hold(home):
    now = [datetime(2026, 11, 28, tzinfo=UTC)]
    with sovbroker.open(home / "sovbroker.yaml", clock=lambda: now[0]) as broker:
        broker.put("a", SECRET, label="retained")
        broker.delete("a")
        now[0] += timedelta(days=31)
        assert len(broker.shred("a").versions) == 1
        assert broker.versions("a") == []


def test_what_cannot_be_removed_is_told_and_read_by_nobody(home, broker, monkeypatch):
    broker.put("a", SECRET, label="internal")
    store = broker._flow.stores.guarded("local", sovbroker.guard.Permit.READ)
    real = type(store.inner).delete

    def broken(self, key):
        raise Unavailable("the disk is away", target="local", key=key)

    monkeypatch.setattr(type(store.inner), "delete", broken)
    with pytest.raises(Unavailable, match="still there"):
        broker.shred("a")
    with pytest.raises(NotFound):
        broker.read("a")
    monkeypatch.setattr(type(store.inner), "delete", real)
    told = broker.shred("a")
    assert len(told.gone["local"]) >= 1
    with pytest.raises(NotFound):
        broker.shred("a")


def test_a_provider_that_only_says_so_is_found_out(home, broker, monkeypatch):
    broker.put("a", SECRET, label="internal")
    store = broker._flow.stores.guarded("local", sovbroker.guard.Permit.READ)
    monkeypatch.setattr(type(store.inner), "delete", lambda self, key: None)
    with pytest.raises(Unavailable, match="a copy is still there"):
        broker.shred("a")


def test_a_reader_of_the_log_is_waited_out(home, broker):
    broker.put("a", SECRET, label="internal")
    import sqlite3  # noqa: PLC0415 - another process's view, of this test alone

    other = sqlite3.connect(home / "state.db", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM version").fetchone()
    broker._flow.index._connection().execute("PRAGMA busy_timeout = 10")
    try:
        with pytest.raises(StateError, match="call it again"):
            broker.shred("a")
    finally:
        other.close()
    with pytest.raises(NotFound):
        broker.shred("a")
    assert b"internal" not in (home / "state.db-wal").read_bytes()


def test_what_was_never_there_is_not_found(broker):
    with pytest.raises(NotFound):
        broker.shred("a")
