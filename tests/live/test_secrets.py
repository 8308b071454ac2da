"""Secrets reach a machine by a token that is good once: a real OpenBao, a real sandbox, and nothing of them between."""

import base64
import json
import time
import urllib.parse
from http.client import HTTPConnection

import pytest

import sovbroker
from sovbroker.errors import ConfigError, InvalidArgument
from sovbroker.testing.openbao import openbao

POLICY = """
sovbroker: 1
name: compute
levels: [secret]
default: secret
zones:
  here: {located: [FR], controlled: [FR]}
require:
  secret: {store: {here: {}}, compute: [here]}
"""
CONFIG = """
sovbroker: 1
policy: policy.yaml
targets:
  - {at: local, path: objects, located: FR, controlled: FR}
compute:
  - {at: local, path: machines, located: FR, controlled: FR, settings: {network: host}}
secrets: {service: vault, endpoint: "%s", credentials: {token: {env: BAO_TOKEN}}}
"""
PASSWORD = "correct horse / battery+staple=é"
SCRIPT = """#!/bin/sh
ls -l /run/sovbroker >$HOME/listed
cp /run/sovbroker/password $HOME/had
"""


@pytest.fixture(scope="module")
def bao():
    with openbao() as server:
        server.ask(
            "PUT", "sys/policies/acl/wrapping", {"policy": 'path "sys/wrapping/wrap" {capabilities = ["update"]}'}
        )
        yield server


@pytest.fixture
def home(tmp_path, bao, monkeypatch):
    monkeypatch.setenv("BAO_TOKEN", bao.make_token("wrapping"))
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "sovbroker.yaml").write_text(CONFIG % bao.url)
    (tmp_path / "objects").mkdir()
    yield tmp_path
    with sovbroker.open(tmp_path / "sovbroker.yaml") as broker:
        for node in broker.compute.list():
            broker.compute.destroy(node.name)


def finished(home, node):
    """Wait for a machine's script, and return its disk."""
    disk = home / "machines" / "machines" / node.id / "disk"
    end = time.monotonic() + 60
    while not (disk / ".exit").exists() and time.monotonic() < end:
        time.sleep(0.02)
    return disk


def unwrap(bao, token):
    """Use a token; the status and what came of it."""
    connection = HTTPConnection(bao.host, timeout=30)
    connection.request("POST", "/v1/sys/wrapping/unwrap", headers={"X-Vault-Token": token})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said.get("data")


def test_a_machine_has_its_secrets_and_nobody_has_them_again(home, bao):
    with sovbroker.open(home / "sovbroker.yaml") as broker:
        node = broker.compute.launch(
            "job", label="secret", image="host", user_data=SCRIPT, secrets={"password": PASSWORD}
        )
    disk = finished(home, node)
    assert (disk / ".exit").read_text().strip() == "0", (disk / ".log").read_text()
    assert (disk / "had").read_text() == PASSWORD
    assert "-rw-------" in (disk / "listed").read_text()
    # The token that everybody may read by now is good for nothing.
    told = (disk / ".user-data").read_text()
    token = told.partition('"X-Vault-Token": "')[2].partition('"')[0]
    assert token
    assert unwrap(bao, token) == (400, None)


def test_a_machine_whose_token_somebody_has_used_does_not_go_on(home, bao, monkeypatch):
    """Somebody who reads what a provider is told may be first; then the machine tells so, and does nothing."""
    used = []

    def steal(boxes, machine, secrets):
        ticket = real(boxes, machine, secrets)
        used.append(unwrap(bao, ticket.token)[1])
        return ticket

    real = sovbroker_boxes().deposit
    monkeypatch.setattr(sovbroker_boxes(), "deposit", steal)
    with sovbroker.open(home / "sovbroker.yaml") as broker:
        node = broker.compute.launch(
            "job", label="secret", image="host", user_data=SCRIPT, secrets={"password": PASSWORD}
        )
    disk = finished(home, node)
    assert used[0]["secrets"] == {"password": PASSWORD}
    assert used[0]["machine"] != "job"
    assert (disk / ".exit").read_text().strip() != "0"
    assert "fetched by somebody else" in (disk / ".log").read_text()
    assert not (disk / "listed").exists()


def sovbroker_boxes():
    from sovbroker_adapters.wrapping import Boxes  # noqa: PLC0415 - an adapter, here only

    return Boxes


def test_nothing_that_is_kept_or_told_holds_a_secret(home):
    with sovbroker.open(home / "sovbroker.yaml") as broker:
        node = broker.compute.launch(
            "job", label="secret", image="host", secrets={"password": PASSWORD, "b": "hunter22"}
        )
        assert "hunter22" not in repr(node)
        finished(home, node)
        found = [path for path in home.rglob("*") if path.is_file() and path.name not in {"password", "b"}]
        assert len(found) > 5
        for path in found:
            content = path.read_bytes()
            for secret in (PASSWORD, "hunter22"):
                plain = secret.encode()
                for form in (plain, plain.hex().encode(), base64.b64encode(plain).rstrip(b"=")):
                    assert form not in content, path


@pytest.mark.parametrize(
    "form",
    [
        lambda secret: secret,
        lambda secret: secret.hex().encode(),
        lambda secret: secret.hex().upper().encode(),
        base64.b64encode,
        lambda secret: base64.b64encode(b"x" + secret + b"yz"),
        lambda secret: base64.urlsafe_b64encode(b"xy" + secret),
        lambda secret: urllib.parse.quote(secret, safe="").encode(),
        lambda secret: secret.decode().encode("utf-16-le"),
    ],
)
def test_a_script_that_holds_a_secret_is_refused(home, form):
    script = b"#!/bin/sh\necho " + form(PASSWORD.encode()) + b" >x\n"
    with (
        sovbroker.open(home / "sovbroker.yaml") as broker,
        pytest.raises(InvalidArgument, match="user_data holds the secret `password`") as caught,
    ):
        broker.compute.launch("job", label="secret", image="host", user_data=script, secrets={"password": PASSWORD})
    assert "horse" not in str(caught.value)
    assert not list((home / "machines" / "machines").glob("*")) if (home / "machines").exists() else True


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "é"])
def test_names_of_secrets_are_names_of_files(home, name):
    with (
        sovbroker.open(home / "sovbroker.yaml") as broker,
        pytest.raises(InvalidArgument, match="cannot name a secret"),
    ):
        broker.compute.launch("job", label="secret", image="host", secrets={name: PASSWORD})


def test_an_unknown_service_is_named(home, bao):
    file = home / "sovbroker.yaml"
    file.write_text((CONFIG % bao.url).replace("service: vault", "service: vaul"))
    with sovbroker.open(file) as broker, pytest.raises(ConfigError, match="did you mean `vault`"):
        broker.compute.launch("job", label="secret", image="host", secrets={"password": PASSWORD})
