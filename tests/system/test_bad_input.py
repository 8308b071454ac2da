"""Bad input gets an error that says what to do, and loses nothing."""

from __future__ import annotations

import json
import re

import pytest

import sovbroker
from sovbroker.errors import ConfigError, InvalidArgument, KeyUnavailable, NotFound, PolicyError, UnknownFormat

BAD_KEYS = {
    "": "empty",
    "/a": "empty segment",
    "a/": "empty segment",
    "a//b": "empty segment",
    "a/../b": r"`\.\.`",
    "..": r"`\.\.`",
    "./a": r"`\.`",
    "a\0b": "control character",
    "a\nb": "control character",
    "a\x7f": "control character",
    "a" * 1025: "1025 bytes",
    "é" * 513: "1026 bytes",
    "\ud800": "not valid Unicode",
}


@pytest.mark.parametrize("key", BAD_KEYS)
@pytest.mark.parametrize("call", ["put", "get", "read", "stat", "delete", "explain", "versions", "relabel", "move"])
def test_a_bad_key_is_refused_by_every_method(broker, clouds, key, call):
    extra = {"put": [b"x"], "relabel": ["restricted"], "move": ["internal/b"]}.get(call, [])
    with pytest.raises(InvalidArgument, match=BAD_KEYS[key]):
        getattr(broker, call)(key, *extra)
    assert clouds.calls == []
    assert broker.leftovers() == []


@pytest.mark.parametrize("key", ["a" * 1024, "a b+c%20", "é/ü", "Ünïcode/😀", "a/b.c~d@e", "-", "a/...", "~"])
def test_an_odd_key_that_is_allowed_works(clouds, key):
    broker = clouds.open()
    key = key if len(key) < 1000 else "internal/" + "a" * 980
    broker.put(key, b"x", label="internal")
    assert broker.read(key) == b"x"
    assert [info.key for info in broker.list()] == [key]


def test_a_key_that_a_target_cannot_hold_is_refused_with_the_limit(broker, clouds):
    with pytest.raises(InvalidArgument, match=r"allows 1024.*shorter"):
        broker.put("internal/" + "a" * 1010, b"x")
    with pytest.raises(InvalidArgument, match="segment"):
        broker.put("restricted/" + "a" * 300, b"x")
    assert clouds.held() == {}
    assert broker.leftovers() == []


def test_an_unknown_label_is_refused_with_a_suggestion(broker, clouds):
    broker.put("internal/a", b"old")
    with pytest.raises(InvalidArgument, match="did you mean `restricted`"):
        broker.put("internal/a", b"x", label="restrictd")
    assert broker.read("internal/a") == b"old"


@pytest.mark.parametrize("metadata", [{"": "x"}, {"a": 1}, {1: "a"}, {"a": "\ud800"}, {"a": "x" * 70_000}])
def test_bad_metadata_are_refused(broker, clouds, metadata):
    with pytest.raises(InvalidArgument, match="metadata"):
        broker.put("internal/a", b"x", metadata=metadata)
    assert clouds.held() == {}


def test_metadata_that_do_not_fit_a_store_travel_in_a_sidecar(broker, clouds):
    metadata = {f"name-{n}": "ü" * 100 for n in range(100)}
    broker.put("internal/a", b"x", metadata=metadata)
    broker.put("public/a", b"x", metadata=metadata)
    assert broker.stat("internal/a").metadata == metadata
    assert broker.read("internal/a") == broker.read("public/a") == b"x"
    assert len(clouds.held()) == 4
    broker.delete("internal/a")
    broker.delete("public/a")
    assert clouds.held() == {}


def test_a_wrong_passphrase_says_so_and_writes_nothing(clouds, monkeypatch, caplog):
    broker = clouds.open()
    broker.put("internal/a", b"old")
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "wrong")
    again = clouds.open()
    for call in (lambda: again.read("internal/a"), lambda: again.put("internal/b", b"x")):
        with pytest.raises(KeyUnavailable, match="passphrase"):
            call()
    assert caplog.text == ""
    assert len(clouds.held()) == 1
    monkeypatch.delenv("SOVBROKER_PASSPHRASE")
    with pytest.raises(ConfigError, match="SOVBROKER_PASSPHRASE"):
        clouds.open().read("internal/a")


def test_a_keyring_of_a_newer_version_is_refused_and_left_as_it_is(clouds):
    clouds.write()
    path = clouds.folder / "keyring.json"
    ring = json.loads(path.read_text())
    (version,) = [name for name, value in ring.items() if isinstance(value, int)]
    ring[version] = 99
    path.write_text(text := json.dumps(ring))
    with pytest.raises(UnknownFormat, match="99"):
        clouds.open().put("internal/a", b"x")
    assert path.read_text() == text


def test_a_keyring_that_others_can_read_is_refused(clouds):
    clouds.write()
    (clouds.folder / "keyring.json").chmod(0o644)
    with pytest.raises((KeyUnavailable, ConfigError), match="chmod 600"):
        clouds.open().put("internal/a", b"x")


def test_an_object_that_is_not_there(broker):
    for call in (broker.get, broker.read, broker.stat, broker.delete):
        with pytest.raises(NotFound, match="`internal/nothing`"):
            call("internal/nothing")
    with pytest.raises(NotFound, match="version"):
        broker.read("internal/nothing", version="0" * 24)


def test_a_target_that_left_the_configuration_is_named(clouds):
    broker = clouds.open()
    broker.put("internal/a", b"x")
    (target,) = {copy.target for copy in broker.stat("internal/a").copies}
    broker.close()
    other = ({"ovhcloud/gra", "outscale/eu-west-2"} - {target}).pop()
    clouds.write(targets=(other,))
    with pytest.raises(NotFound, match=re.escape(target)):
        clouds.open().read("internal/a")


def test_a_label_that_the_policy_lost_is_named(clouds):
    broker = clouds.open()
    broker.put("internal/a", b"x")
    broker.close()
    policy = (clouds.folder / "policy.yaml").read_text().replace("internal", "interne")
    (clouds.folder / "policy.yaml").write_text(policy)
    again = clouds.open()
    assert again.read("internal/a") == b"x"
    with pytest.raises(ConfigError, match=r"`internal`.*alias"):
        again.put("internal/a", b"y")


GOOD = """sovbroker: 1
keys:
  main: {service: file, path: keyring.json, passphrase: {env: SOVBROKER_PASSPHRASE}, located: FR}
targets:
  - {at: local, path: objects}
"""

BAD_CONFIGS = {
    "sovbroker: 1": ("sovbroker: 2", r"SF006.*:1:12"),
    "targets:": ("tragets:", "did you mean `targets`"),
    "service: file": ("service: A File", "SF006"),
    "located: FR": ("located: France", "SF006"),
    "passphrase: {env: SOVBROKER_PASSPHRASE}": ("passphrase: hunter2", "SF005"),
    "path: objects": ("bucket: objects", "needs the key `path`"),
    "{at: local, path: objects}": ("{at: aws/eu-west-3, path: x}", "needs the key `bucket`"),
    "- {at: local, path: objects}": ("- {at: local, path: a}\n  - {at: local, path: b}", "here twice"),
    "at: local, path: objects": (
        "at: aws/eu-west-3, bucket: b, credentials: {access_key: AKIA, secret_key: hunter2}",
        "stand in the file",
    ),
    "at: local, path": ("at: aws/eu-west-3, endpoint: 'https://evil.example', emulated: true, bucket", "SF007"),
    "at: local, path:": ("at: aws/eu-west-3, located: FR, bucket:", "comes from the catalogue"),
}


@pytest.mark.parametrize("part", BAD_CONFIGS)
def test_a_bad_configuration_is_refused_with_its_place_and_without_its_secrets(tmp_path, part):
    change, message = BAD_CONFIGS[part]
    assert part in GOOD
    (tmp_path / "sovbroker.yaml").write_text(GOOD.replace(part, change))
    with pytest.raises(ConfigError) as caught:
        sovbroker.open(tmp_path / "sovbroker.yaml")
    assert re.search(message, str(caught.value), re.DOTALL)
    assert "sovbroker.yaml:" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_target_is_refused_with_a_suggestion(clouds):
    clouds.write(targets=("outscale/cloudgouv-eu-west-2",))
    with pytest.raises(ConfigError, match="did you mean"):
        clouds.open()


def test_two_spellings_of_one_target_are_refused(clouds):
    clouds.write(targets=("ovhcloud/gra", "ovhcloud/object-storage@gra"))
    with pytest.raises(ConfigError, match=r"`ovhcloud/gra` once more"):
        clouds.open()


def test_a_policy_with_a_mistake_never_opens(clouds):
    clouds.write(policy="sovbroker: 1\nlevels: [a, b]\nzone: {}\n")
    with pytest.raises(PolicyError, match=r"policy\.yaml:3:1") as caught:
        clouds.open()
    assert caught.value.diagnostics


def test_a_missing_configuration_says_how_to_write_one(tmp_path):
    with pytest.raises(ConfigError, match="sovbroker init"):
        sovbroker.open(tmp_path / "nothing.yaml")


def test_init_writes_a_broker_that_works_and_overwrites_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("SOVBROKER_PASSPHRASE", raising=False)
    with pytest.raises(ConfigError, match="SOVBROKER_PASSPHRASE"):
        sovbroker.init(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "made up")
    made = sovbroker.init(tmp_path / "new")
    assert made.recovery_code
    assert made.recovery_code not in repr(made)
    with sovbroker.open(tmp_path / "new") as broker:
        broker.put("a", b"x")
        assert broker.read("a") == b"x"
    with pytest.raises(ConfigError, match="exists already"):
        sovbroker.init(tmp_path / "new")
