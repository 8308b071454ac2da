"""The doctor finds what is wrong, tells how to mend it, and changes nothing."""

import json
import socket
import sqlite3

import pytest

from sovbroker.doctor import Finding, Severity, examine
from sovbroker.errors import StateError
from sovbroker.machines import Visibility
from sovbroker.testing.ovh import OvhService


def found(home, **more):
    return {finding.subject: finding for finding in examine(home, **more)}


def test_a_healthy_one(home, done):
    done("put", "-", "k", stdin=b"x")
    findings = list(examine(home))
    assert {f.severity for f in findings if f.subject != "policy"} == {Severity.OK}
    assert [f.subject for f in findings if f.severity is Severity.OK] == [
        "configuration",
        "keys: main",
        "target: local",
        "state",
        "leftovers",
    ]


def test_a_label_without_a_placement(home):
    policy = [finding for finding in examine(home) if finding.subject == "policy"]
    assert all(finding.severity is Severity.WARNING for finding in policy)
    assert [f for f in policy if "`secret` has no placement today" in f.what]


def test_it_changes_nothing(home):
    before = sorted(path.name for path in home.rglob("*"))
    list(examine(home))
    assert [name for name in sorted(path.name for path in home.rglob("*")) if name != "lock"] == before


def test_no_configuration(tmp_path):
    (only,) = examine(tmp_path / "nope.yaml")
    assert only.severity is Severity.ERROR
    assert "sovbroker init" in only.what


@pytest.mark.parametrize(
    ("harm", "subject", "word"),
    [
        (lambda home: (home / "keyring.json").unlink(), "keys: main", "sovbroker keys init"),
        (lambda home: (home / "keyring.json").chmod(0o640), "keys: main", "chmod 600"),
        (lambda home: (home / "keyring.json").write_text("{}"), "keys: main", "not a keyring"),
        (lambda home: (home / "objects").rmdir(), "target: local", "objects"),
        (lambda home: (home / "policy.yaml").write_text("sovbroker: 1\nzoness: {}\n"), "policy", "zoness"),
        (lambda home: (home / "state.db").write_bytes(b"no database at all" * 100), "state", "state.db"),
    ],
)
def test_harm(home, harm, subject, word):
    harm(home)
    findings = found(home)
    assert findings[subject].severity is Severity.ERROR
    assert word in findings[subject].what + findings[subject].mend
    # One thing that is wrong keeps nothing else from being looked at.
    assert {"keys: main", "target: local", "policy", "state"} <= set(findings)


def test_wrong_and_missing_passphrase(home, monkeypatch):
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "another one")
    finding = found(home)["keys: main"]
    assert (finding.severity, "wrong passphrase" in finding.what) == (Severity.ERROR, True)
    monkeypatch.delenv("SOVBROKER_PASSPHRASE")
    assert found(home)["keys: main"].severity is Severity.WARNING


@pytest.fixture
def remote(home):
    """Add an S3 target at an address on this machine."""

    def add(endpoint, credentials="{access_key: test, secret_key: testtest}"):
        path = home / "sovbroker.yaml"
        where = f'at: aws/eu-west-3, bucket: b, endpoint: "{endpoint}", emulated: true'
        path.write_text(f"{path.read_text()}  - {{{where}, credentials: {credentials}}}\n")

    return add


def test_a_target_that_is_down(home, remote):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        remote(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        findings = found(home)
    assert findings["target: local"].severity is Severity.OK
    down = findings["target: aws/eu-west-3"]
    assert down.severity is Severity.ERROR
    assert "try again" in down.mend


def test_a_bucket_that_is_missing(home, remote, moto):
    remote(moto.url)
    missing = found(home)["target: aws/eu-west-3"]
    assert missing.severity is Severity.ERROR
    assert "create the bucket" in missing.mend


def test_credentials_that_are_not_set(home, remote, monkeypatch):
    remote("http://127.0.0.1:9", "{env: NOT_SET_ANYWHERE}")
    finding = found(home)["target: aws/eu-west-3"]
    assert finding.severity is Severity.ERROR
    assert "NOT_SET_ANYWHERE_ACCESS_KEY" in finding.what


def test_leftovers(home, done, run):
    done("put", "-", "k", stdin=b"x")
    (home / "objects").rename(home / "away")
    assert run("rm", "k").code == 0
    (home / "away").rename(home / "objects")
    left = found(home)["leftovers"]
    assert (left.severity, "`k`" in left.what, "sovbroker sweep" in left.mend) == (Severity.WARNING, True, True)


def test_a_check_that_cannot_be_made_is_an_error(home):
    def check_moon(_patient):
        yield Finding(Severity.OK, "moon", "is there")
        raise StateError("the moon is gone")

    _configuration, ok, error = examine(home, checks=[check_moon])
    assert ok.severity is Severity.OK
    assert (error.severity, error.subject, error.what) == (Severity.ERROR, "moon", "the moon is gone")


def test_the_command(home, run):
    result = run("doctor")
    assert result.code == 0
    assert result.out.splitlines()[-1].startswith("0 errors, ")
    (home / "objects").rmdir()
    result = run("doctor")
    assert result.code == 1
    assert "mend: " in result.out
    told = json.loads(run("doctor", "--json").out)
    assert told["ok"] is False
    assert {finding["severity"] for finding in told["findings"]} == {"ok", "warning", "error"}


def test_a_state_of_a_newer_version(home):
    database = sqlite3.connect(home / "state.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    assert "schema 99" in found(home)["state"].what


PLACES = """
compute:
  - {at: local, path: machines, located: FR, controlled: FR}
  - {at: ovhcloud/gra, project: "%s", endpoint: "%s", emulated: true, settings: {region: GRA11},
     credentials: {application_key: {env: OVH_K}, application_secret: {env: OVH_S}, consumer_key: {env: OVH_C}}}
"""


def test_places_for_machines_are_asked_and_nothing_is_made(home, monkeypatch):
    with OvhService() as service:
        binding = service.binding()
        for variable, name in (("K", "application_key"), ("S", "application_secret"), ("C", "consumer_key")):
            monkeypatch.setenv(f"OVH_{variable}", binding.credentials.get(name))
        file = home / "sovbroker.yaml"
        file.write_text(file.read_text() + PLACES % (binding.container, binding.endpoint))
        told = found(home)
        assert told["machines: local/compute"].severity is Severity.OK
        assert told["machines: ovhcloud/compute@gra"].what.startswith("it lists 0 machines, and sees flavor")
        assert not (home / "machines").exists()
        monkeypatch.setattr("sovbroker_adapters.ovh.machines.OvhMachines.visibility", lambda self: Visibility())
        assert found(home)["machines: ovhcloud/compute@gra"].severity is Severity.WARNING
        monkeypatch.setenv("OVH_S", "wrong")
        assert found(home)["machines: ovhcloud/compute@gra"].severity is Severity.ERROR
    file.write_text(file.read_text().replace("ovhcloud/gra", "ovhcloud/nowhere"))
    assert "no region" in found(home)["machines: ovhcloud/nowhere"].what
