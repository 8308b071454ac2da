"""The life of a keyring from the command line: rotated, entrusted to others, destroyed, and tried in a drill."""

import json
import re

import pytest

from sovbroker.keys import EscrowService, Keyring, RecoveryService, new_escrow
from sovbroker.ports import Support
from sovbroker_adapters.local.store import LocalStore

CODE = re.compile(r"(?:[A-Z2-7]{6}-){7}[A-Z2-7]{6}")


@pytest.fixture
def stored(home, run):
    """An installation with three sealed objects."""
    for number in range(3):
        assert run("put", "-", f"internal/{number}", stdin=b"body %d" % number).code == 0
    return home


def epochs(done):
    (known,) = json.loads(done("keys", "status", "--json"))
    return {domain["name"]: domain["epoch"] for domain in known["status"]["domains"]}


def test_rotate_gives_new_objects_a_new_key_and_leaves_the_old_ones(stored, done, run):
    bodies = {path: path.read_bytes() for path in (stored / "objects").rglob("*") if path.is_file()}
    said = json.loads(done("keys", "rotate", "--json"))
    assert [(one["domain"], one["epoch"]) for one in said] == [("main", 2)]
    assert run("put", "-", "internal/new", stdin=b"new").code == 0
    assert bodies
    assert bodies == {path: path.read_bytes() for path in bodies}
    assert run("get", "internal/0").raw == b"body 0"
    assert run("get", "internal/new").raw == b"new"
    assert "epoch 3 from now on" in done("keys", "rotate", "--domain", "main")
    assert epochs(done) == {"main": 3}
    wrong = run("keys", "rotate", "--domain", "nowhere")
    assert wrong.code == 2
    assert "no domain `nowhere`" in wrong.err


def test_rewrap_brings_the_old_ones_under_the_new_key(stored, done, run, monkeypatch):
    done("keys", "rotate")
    assert run("put", "-", "internal/new", stdin=b"new").code == 0
    assert "no keyring `nowhere`" in run("keys", "rewrap", "nowhere").err
    assert run("keys", "rewrap", "nowhere").code == 2
    assert done("keys", "rewrap", "main") == "3 versions are under the current keys now, 0 are left\n"
    assert json.loads(done("keys", "rewrap", "--json")) == {"done": 0, "names": 0, "left": []}
    assert run("get", "internal/0").raw == b"body 0"

    done("keys", "rotate")
    lacking = {**LocalStore.__dataclass_fields__["capabilities"].default_factory(), "set-metadata": Support.ABSENT}
    monkeypatch.setattr("sovbroker_adapters.local.store.CAPABILITIES", lacking)
    left = run("keys", "rewrap")
    assert left.code == 1
    assert left.out.count("left under the old key: `internal/") == 4
    assert "cannot set metadata" in left.out
    told = run("keys", "rewrap", "--json")
    assert (told.code, len(json.loads(told.out)["left"])) == (1, 4)


def test_recipients_are_listed_and_applied(stored, done, run):
    assert "any of them opens it" in done("keys", "recipients", "list")
    private, public = new_escrow()
    (stored / "safe.public").write_text(public)
    config = (stored / "sovbroker.yaml").read_text()
    ring = """
  main:
    path: keyring.json
    recipients:
      passphrase: {service: file, passphrase: {env: SOVBROKER_PASSPHRASE}, located: FR, controlled: FR}
      safe: {service: escrow, public: safe.public, located: FR, controlled: FR}
"""
    (stored / "sovbroker.yaml").write_text(re.sub(r"\n  main: .*\n", ring, config))
    listed = json.loads(done("keys", "recipients", "list", "--json"))
    assert {row["name"]: row["holds"] for row in listed["recipients"]} == {
        "passphrase": True,
        "safe": False,
        "recovery": True,
    }
    assert "keys recipients apply" in done("keys", "recipients", "list")
    assert json.loads(done("keys", "recipients", "apply", "--json"))["recipients"] == ["passphrase", "safe", "recovery"]
    with Keyring.open(stored / "keyring.json", EscrowService("safe", private)) as keyring:
        assert keyring.domain("main")
    assert run("get", "internal/0").raw == b"body 0"
    (stored / "sovbroker.yaml").write_text(config)
    refused = run("get", "internal/0")
    assert refused.code == 2
    assert "also wrapped for `safe`" in refused.err
    done("keys", "recipients", "apply")
    assert run("get", "internal/0").raw == b"body 0"


def test_shred_has_to_be_meant_and_loses_everything_sealed(stored, done, run):
    refused = run("keys", "shred", "main")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert run("get", "internal/0").raw == b"body 0"
    assert len(json.loads(done("keys", "shred", "main", "--yes", "--json"))["destroyed"]) == 1
    gone = run("get", "internal/0")
    assert gone.code != 0
    assert gone.raw == b""
    assert "destroyed on" in gone.err


def test_a_new_recovery_code_takes_the_place_of_the_old_one(stored, done, run, monkeypatch):
    (first,) = CODE.findall(done("keys", "recovery"))
    second = json.loads(done("keys", "recovery", "--json"))["recovery_code"]
    assert first != second
    Keyring.open(stored / "keyring.json", RecoveryService(second)).close()
    monkeypatch.setenv("SOVBROKER_RECOVERY", first)
    assert run("keys", "drill").code == 1
    monkeypatch.setenv("SOVBROKER_RECOVERY", second)
    assert run("keys", "drill").code == 0


def test_a_drill_reads_what_is_stored_with_the_code_alone(stored, done, run, monkeypatch):
    code = json.loads(done("keys", "recovery", "--json"))["recovery_code"]
    backup = stored / "backup.json"
    backup.write_bytes((stored / "keyring.json").read_bytes())
    backup.chmod(0o600)
    monkeypatch.setenv("SOVBROKER_RECOVERY", code)
    monkeypatch.delenv("SOVBROKER_PASSPHRASE")
    found = json.loads(done("keys", "drill", "--sample", "2", "--json"))
    assert (found["passed"], found["sealed"], len(found["opened"])) == (True, 3, 2)
    assert "3 of 3" in done("keys", "drill", "--copy", "backup.json")
    # On a machine that has lost the keyring, too.
    kept = (stored / "keyring.json").rename(stored / "elsewhere.json")
    assert "3 of 3" in done("keys", "drill", "--copy", "backup.json")
    kept.rename(stored / "keyring.json")
    # A backup that is older than a key is found out before it is needed.
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "a passphrase that the tests made up")
    done("keys", "rotate")
    assert run("put", "-", "internal/new", stdin=b"new").code == 0
    late = run("keys", "drill", "--copy", "backup.json")
    assert late.code == 1
    assert "internal/new" in late.out
    assert code not in late.out + late.err


def test_a_drill_of_nothing_has_not_passed(home, done, run, monkeypatch):
    code = json.loads(done("keys", "recovery", "--json"))["recovery_code"]
    monkeypatch.setenv("SOVBROKER_RECOVERY", code)
    found = run("keys", "drill")
    assert found.code == 1
    assert "has shown nothing" in found.out


def test_a_drill_without_a_code_says_where_it_comes_from(stored, run, monkeypatch):
    monkeypatch.delenv("SOVBROKER_RECOVERY", raising=False)
    found = run("keys", "drill")
    assert found.code == 2
    assert "SOVBROKER_RECOVERY" in found.err


@pytest.mark.parametrize("command", [("rotate",), ("recovery",), ("drill",), ("recipients", "list")])
def test_one_of_several_keyrings_is_named(home, run, command):
    config = (home / "sovbroker.yaml").read_text()
    more = "keys:\n  other: {service: file, path: other.json, passphrase: {env: SOVBROKER_PASSPHRASE}}"
    (home / "sovbroker.yaml").write_text(config.replace("keys:", more))
    found = run("keys", *command)
    assert found.code == 2
    assert "name one of `other`, `main`" in found.err
    wrong = run("keys", *command, "mian")
    assert wrong.code == 2
    assert "no keyring `mian`" in wrong.err


def test_a_keyring_without_a_code_gets_none(stored, done, run):
    config = (stored / "sovbroker.yaml").read_text()
    (stored / "sovbroker.yaml").write_text(config.replace("service: file,", "service: file, recovery: false,"))
    refused = run("get", "internal/0")
    assert refused.code == 2
    assert "also wrapped for `recovery`" in refused.err
    assert run("keys", "recovery").code == 2
    done("keys", "recipients", "apply")
    assert run("get", "internal/0").raw == b"body 0"
    (stored / "keyring.json").unlink()
    assert json.loads(done("keys", "init", "--json"))["created"][0]["recovery_code"] is None
