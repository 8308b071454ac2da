"""`sovbroker accounts`: against a service that verifies every signature, with keys that open a real S3 server."""

import json
import stat

import pytest

from sovbroker.config import load_config
from sovbroker.opening import accounts_of
from sovbroker.testing.ovh import PROJECT, SECRETS, OvhService


@pytest.fixture
def service():
    with OvhService() as service:
        yield service


@pytest.fixture
def project(service, moto, bucket, home, monkeypatch):
    """An installation whose configuration has an account, and a target whose keys are in a folder."""
    moto.create_bucket(bucket)
    for name, value in SECRETS.items():
        monkeypatch.setenv(f"TEST_{name.upper()}", value)
    secrets = ", ".join(f"{name}: {{env: TEST_{name.upper()}}}" for name in SECRETS)
    (home / "sovbroker.yaml").write_text(
        f"""
sovbroker: 1
accounts:
  ovhcloud: {{project: {PROJECT}, endpoint: "{service.url}", emulated: true, credentials: {{{secrets}}}}}
targets:
  - at: ovhcloud/gra
    bucket: {bucket}
    endpoint: "{moto.url}"
    emulated: true
    credentials: {{access_key: {{file: keys/current/access_key}}, secret_key: {{file: keys/current/secret_key}}}}
"""
    )
    return home


def test_tells(run, project, service):
    number, access = service.add_user("the broker")
    assert run("accounts", "regions").out.split() == ["GRA", "SBG5", "DE"]
    assert json.loads(run("accounts", "containers", "--json").out) == [
        {"name": "patients", "region": "GRA"},
        {"name": "archive", "region": "GRA"},
    ]
    told = json.loads(run("accounts", "users", "ovhcloud", "--json").out)
    assert [(one["id"], one["keys"]) for one in told] == [(number, [access])]
    shown = run("accounts", "users")
    assert access in shown.out
    assert service.state.keys[int(number)][access] not in shown.out + shown.err
    assert "patients" in run("accounts", "containers").out


def test_makes_keys_and_rotates_them(run, project, service):
    made = run("accounts", "create", "--to", "keys", "--description", "the broker")
    assert made.code == 0, made.err
    ((number, pairs),) = service.state.keys.items()
    ((first, secret),) = pairs.items()
    assert service.state.users[number]["description"] == "the broker"
    assert first in made.out
    assert (project / "keys/current/secret_key").read_text() == f"{secret}\n"
    assert stat.S_IMODE((project / "keys/current/secret_key").stat().st_mode) == 0o600
    again = run("accounts", "create", "--to", "keys")
    assert again.code == 2
    assert "rotate" in again.err

    rotated = run("accounts", "rotate", "ovhcloud/gra", "--debug")
    assert rotated.code == 0, rotated.err
    ((second, fresh),) = service.state.keys[number].items()
    assert second != first
    assert (project / "keys/current/access_key").read_text() == f"{second}\n"
    for result in (made, again, rotated):
        for hidden in (secret, fresh, *SECRETS.values()):
            if hidden != SECRETS["application_key"]:
                assert hidden not in result.out + result.err
    told = json.loads(run("accounts", "rotate", "ovhcloud/gra", "--json").out)
    assert (told["user"], told["old"], told["removed"]) == (str(number), second, [])


def test_prints_a_secret_on_request_alone(run, project, service):
    refused = run("accounts", "create")
    assert refused.code == 2
    assert "--print" in refused.err
    assert service.state.users == {}
    number, _ = service.add_user("the broker")
    shown = run("accounts", "create", "--print", "--user", number)
    access, secret = list(service.state.keys[int(number)].items())[-1]
    assert shown.out == f"access_key: {access}\nsecret_key: {secret}\n"
    told = json.loads(run("accounts", "create", "--print", "--user", number, "--json").out)
    assert service.works(told["access_key"], told["secret_key"])


def test_what_is_not_configured(run, project):
    assert "no account at `scaleway`" in run("accounts", "regions", "scaleway").err
    assert "no target `ovhcloud/sbg`" in run("accounts", "rotate", "ovhcloud/sbg").err
    text = (project / "sovbroker.yaml").read_text()
    (project / "sovbroker.yaml").write_text(text.replace("keys/current/access_key", "access_key"))
    found = run("accounts", "rotate", "ovhcloud/gra")
    assert found.code == 2
    assert "--to DIR" in found.err
    (project / "sovbroker.yaml").write_text(
        text.replace(", emulated: true, credentials: {application", ", credentials: {application")
    )
    assert "SF007" in run("accounts", "regions").err
    start = text.index("accounts:")
    (project / "sovbroker.yaml").write_text(text[:start] + text[text.index("targets:") :])
    assert "add one under `accounts`" in run("accounts", "regions").err


def test_the_endpoint_comes_from_the_catalogue(project, monkeypatch):
    text = (project / "sovbroker.yaml").read_text()
    start, end = text.index('endpoint: "'), text.index("emulated: true, ") + len("emulated: true, ")
    (project / "sovbroker.yaml").write_text(text[:start] + text[end:])
    accounts = accounts_of(load_config(project / "sovbroker.yaml"), "ovhcloud")
    assert accounts._connection._binding.endpoint == "https://eu.api.ovh.com/1.0"
    assert accounts._connection._binding.hosts == {"eu.api.ovh.com"}
    accounts.close()
