"""Keyrings: made once, never replaced, and their passphrase never an argument."""

import json
import re
import sqlite3

import pytest

from sovbroker.keys import Keyring, RecoveryService

CODE = re.compile(r"(?:[A-Z2-7]{6}-){7}[A-Z2-7]{6}")


def test_init_from_the_environment(home, done, run):
    (home / "keyring.json").unlink()
    said = done("keys", "init")
    (code,) = CODE.findall(said)
    assert "safe" in said
    with Keyring.open(home / "keyring.json", RecoveryService(code)) as keyring:
        assert keyring.status().recipients == ("passphrase", "recovery")
    before = (home / "keyring.json").read_bytes()
    again = run("keys", "init")
    assert again.code == 2
    assert "left as it is" in again.err
    assert (home / "keyring.json").read_bytes() == before
    assert code not in done("keys", "status", "--json")


def test_init_as_json(home, done):
    (home / "keyring.json").unlink()
    (made,) = json.loads(done("keys", "init", "--json"))["created"]
    assert made["name"] == "main"
    assert CODE.fullmatch(made["recovery_code"])


def test_init_makes_only_what_is_missing(home, done):
    config = (home / "sovbroker.yaml").read_text()
    more = "keys:\n  other: {service: file, path: other.json, passphrase: {env: SOVBROKER_PASSPHRASE}}"
    (home / "sovbroker.yaml").write_text(config.replace("keys:", more))
    before = (home / "keyring.json").read_bytes()
    assert [made["name"] for made in json.loads(done("keys", "init", "--json"))["created"]] == ["other"]
    assert (home / "keyring.json").read_bytes() == before


def test_init_without_anybody_to_ask(home, run, monkeypatch):
    (home / "keyring.json").unlink()
    monkeypatch.delenv("SOVBROKER_PASSPHRASE")
    result = run("keys", "init")
    assert result.code == 2
    assert "SOVBROKER_PASSPHRASE" in result.err
    assert not (home / "keyring.json").exists()


@pytest.mark.parametrize(
    ("typed", "code", "word"),
    [(["tulip", "tulip"], 0, "SOVBROKER_PASSPHRASE"), (["tulip", "tulips"], 2, "differ"), ([""], 2, "empty")],
)
def test_init_on_a_terminal(home, terminal, typed, code, word):
    (home / "keyring.json").unlink()
    ended, shown = terminal("keys", "init", typed=typed, env={"SOVBROKER_PASSPHRASE": ""})
    assert ended == code
    assert word in shown
    assert "tulip" not in shown
    assert (home / "keyring.json").exists() is (code == 0)


def test_a_missing_keyring_names_init(home, run):
    (home / "keyring.json").unlink()
    result = run("put", "-", "internal/x", stdin=b"x")
    assert result.code == 2
    assert "sovbroker keys init" in result.err


def test_status(home, done, run, monkeypatch):
    (known,) = json.loads(done("keys", "status", "--json"))
    assert (known["locked"], known["error"]) == (None, None)
    assert known["status"]["domains"][0]["name"] == "main"
    assert "opens" in done("keys", "status")
    monkeypatch.delenv("SOVBROKER_PASSPHRASE")
    assert "locked" in done("keys", "status")
    (home / "keyring.json").chmod(0o644)
    broken = run("keys", "status")
    assert broken.code == 1
    assert "chmod 600" in broken.out
    (home / "keyring.json").unlink()
    assert "keys init" in run("keys", "status").out


def test_init_of_a_folder(tmp_path, done, run, monkeypatch):
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "made up")
    made = json.loads(done("init", tmp_path / "new", "--json"))
    assert CODE.fullmatch(made["recovery_code"])
    assert sorted(path.name for path in (tmp_path / "new").glob("[!.]*")) == [
        "keyring.json",
        "objects",
        "policy.yaml",
        "sovbroker.yaml",
    ]
    before = (tmp_path / "new/keyring.json").read_bytes()
    assert run("init", tmp_path / "new").code == 2
    assert (tmp_path / "new/keyring.json").read_bytes() == before
    config = ("--config", tmp_path / "new")
    done("put", "-", "k", *config, stdin=b"x")
    assert done("get", "k", *config) == "x"
    assert sqlite3.connect(tmp_path / "new/state.db").execute("SELECT count(*) FROM version").fetchone() == (1,)
