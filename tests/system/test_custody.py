"""A broker whose keys lie in several services, one of them a real OpenBao, as a configuration says."""

import json
import os

import pytest

import sovbroker
from sovbroker.config import load_config
from sovbroker.errors import ConfigError, KeyUnavailable, Refused
from sovbroker.keys import new_escrow
from sovbroker.recipients import apply_recipients, create_keyring
from sovbroker.testing.openbao import openbao

POLICY = """
sovbroker: 1
name: custody
levels: [secret]
default: secret
zones:
  european: {located: [EEA], controlled: [EEA]}
require:
  secret: {store: {european: {encrypt: client, names: encrypt, keys: european}}}
"""
RECIPIENTS = """
sovbroker: 1
policy: policy.yaml
keys:
  main:
    path: keyring.json
    quorum: %(quorum)d
    recovery: false
    recipients:
      bao:
        service: vault
        key: sovbroker
        endpoint: "%(url)s"
        credentials: {token: {env: BAO_TOKEN}}
        located: FR
        controlled: %(law)s
      berlin: {service: escrow, private: {file: berlin}, located: DE, controlled: DE}
      ohio: {service: escrow, private: {file: ohio}, located: US, controlled: US}
targets:
  - {at: local, path: objects, located: FR, controlled: FR}
"""


@pytest.fixture(scope="module")
def bao():
    with openbao() as server:
        server.make_key("sovbroker")
        yield server


@pytest.fixture
def home(tmp_path, bao, monkeypatch):
    monkeypatch.setenv("BAO_TOKEN", bao.make_token("sovbroker"))
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "objects").mkdir()
    for name in ("berlin", "ohio"):
        (tmp_path / name).write_text(new_escrow()[0])
        (tmp_path / name).chmod(0o600)
    return tmp_path


@pytest.fixture
def configured(home, bao):
    def write(*, quorum, law="FR"):
        (home / "sovbroker.yaml").write_text(RECIPIENTS % {"quorum": quorum, "url": bao.url, "law": law})
        return home / "sovbroker.yaml"

    return write


def made(file):
    (key,) = load_config(file).keys
    create_keyring(key)
    return file


def test_two_of_three_open_and_none_alone(configured, home, bao, monkeypatch):
    file = made(configured(quorum=2))
    with sovbroker.open(file) as broker:
        stored = broker.put("a", b"patient data", label="secret")
        assert stored.decision.allowed
    (home / "ohio").unlink()
    with sovbroker.open(file) as broker:
        assert broker.read("a") == b"patient data"
    token = os.environ["BAO_TOKEN"]
    monkeypatch.delenv("BAO_TOKEN")
    with (
        sovbroker.open(file) as broker,
        pytest.raises(ConfigError, match="needs 2 recipients at hand"),
    ):
        broker.read("a")
    # Nobody is let in by what one service tells.
    monkeypatch.setenv("BAO_TOKEN", token)
    bao.permit("sovbroker", allowed=False)
    try:
        with sovbroker.open(file) as broker, pytest.raises((KeyUnavailable, ConfigError)):
            broker.read("a")
    finally:
        bao.permit("sovbroker", allowed=True)


def test_nothing_is_written_without_a_key_service_that_answers_where_the_policy_asks_for_one(configured, home, bao):
    """A key that is held still reads; what it seals would be out of the service's control."""
    (home / "policy.yaml").write_text(POLICY + "limits: {key_seconds: 0}\n")
    (home / "berlin").unlink()
    (home / "ohio").unlink()
    file = configured(quorum=1)
    text = file.read_text()
    file.write_text(text[: text.index("      berlin")] + text[text.index("targets:") :])
    with sovbroker.open(made(file)) as broker:
        broker.put("a", b"patient data", label="secret")
        bao.permit("sovbroker", allowed=False)
        try:
            assert broker.read("a") == b"patient data"
            with pytest.raises(KeyUnavailable):
                broker.put("b", b"more", label="secret")
        finally:
            bao.permit("sovbroker", allowed=True)
        assert [found.key for found in broker.list()] == ["a"]
        broker.put("b", b"more", label="secret")
        assert broker.read("b") == b"more"


def test_a_lost_share_is_replaced_without_touching_an_object(configured, home):
    file = made(configured(quorum=2))
    with sovbroker.open(file) as broker:
        broker.put("a", b"patient data", label="secret")
    before = {path: path.read_bytes() for path in (home / "objects").rglob("*") if path.is_file()}
    text = (home / "sovbroker.yaml").read_text()
    (home / "madrid").write_text(new_escrow()[0])
    (home / "madrid").chmod(0o600)
    (home / "ohio").unlink()
    (home / "sovbroker.yaml").write_text(
        text.replace("ohio: {service: escrow, private: {file: ohio}, located: US, controlled: US}",
                     "madrid: {service: escrow, private: {file: madrid}, located: ES, controlled: ES}")
    )  # fmt: skip
    (key,) = load_config(file).keys
    assert apply_recipients(key).recipients == ("bao", "berlin", "madrid")
    assert before
    assert before == {path: path.read_bytes() for path in before}
    (home / "berlin").unlink()
    with sovbroker.open(file) as broker:
        assert broker.read("a") == b"patient data"


@pytest.mark.parametrize(
    ("quorum", "law", "allowed"), [(1, "FR", False), (2, "FR", True), (2, "US", False), (3, "US", True)]
)
def test_the_policy_is_told_who_could_open_it_together(configured, quorum, law, allowed):
    """Any one from outside, or two of them with a quorum of two, would need nobody in Europe."""
    file = made(configured(quorum=quorum, law=law))
    with sovbroker.open(file) as broker:
        if allowed:
            assert broker.put("a", b"x", label="secret").decision.allowed
            return
        with pytest.raises(Refused) as caught:
            broker.put("a", b"x", label="secret")
        reasons = json.dumps({target: list(why) for target, why in caught.value.decision.rejected.items()})
        assert "european" in reasons
        assert "main" in reasons


def test_a_keyring_of_one_service_is_made_by_its_configuration(home, bao):
    config = f"""
sovbroker: 1
keys:
  main: {{service: vault, path: keyring.json, key: sovbroker, endpoint: "{bao.url}",
         credentials: {{token: {{env: BAO_TOKEN}}}}, located: FR, controlled: FR}}
targets:
  - {{at: local, path: objects, located: FR, controlled: FR}}
"""
    (home / "sovbroker.yaml").write_text(config)
    (key,) = load_config(home / "sovbroker.yaml").keys
    assert create_keyring(key)
    with sovbroker.open(home / "sovbroker.yaml") as broker:
        broker.put("a", b"patient data")
        assert broker.read("a") == b"patient data"
    assert os.environ["BAO_TOKEN"] not in (home / "keyring.json").read_text()
