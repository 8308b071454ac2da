"""The doctor at a real server: what the container itself tells, before and after a probe."""

import json
from http.client import HTTPConnection

import pytest

from sovbroker.cli import main
from sovbroker.testing import gcs

TARGET = "gcp/europe-west9"


@pytest.fixture
def server():
    with gcs.fake_gcs() as server:
        yield server


@pytest.fixture
def told(clouds, monkeypatch, capsys, server):
    """Make an installation with a bucket of that server; return a function that runs a command and reads its JSON."""
    monkeypatch.undo()
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "a passphrase that the tests made up")
    clouds.write(targets=())
    file = clouds.folder / "sovbroker.yaml"
    where = f'{{at: {TARGET}, bucket: acme, endpoint: "{server.url}", emulated: true}}'
    file.write_text(f"{file.read_text()}  - {where}\n")

    def run(*arguments):
        capsys.readouterr()
        code = main(["--config", str(file), *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def make_bucket(server, **facts):
    connection = HTTPConnection(server.host, timeout=30)
    body = json.dumps({"name": "acme", **facts})
    connection.request("POST", "/storage/v1/b", body=body, headers={"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()


def findings(told):
    _, found = told("doctor")
    return [(f["severity"], f["what"]) for f in found["findings"] if f["subject"] == f"target: {TARGET}"]


def test_a_bucket_that_is_not_there(server, told):
    ((severity, what),) = findings(told)
    assert (severity, what) == ("error", f"{TARGET}: there is no bucket `acme`")


# Whatever location it was made with, fake-gcs-server tells this one.
ELSEWHERE = "the container is in `us-central1`, and the policy takes it to be in `europe-west9`"


def test_a_bucket_elsewhere_with_versions_that_nobody_probed(server, told):
    make_bucket(server, versioning={"enabled": True})
    found = dict(reversed(finding) for finding in findings(told))
    assert found["`acme` answers, encrypted at rest: by keys of the provider"] == "ok"
    assert found[ELSEWHERE] == "warning"
    assert found["it was never probed, and is taken for what its settings say"] == "warning"
    assert [what for what in found if "may stay as an older one" in what]


def test_a_bucket_that_was_probed(server, told):
    make_bucket(server)
    code, (probe,) = told("targets", "probe")
    assert (code, probe["wrong"], probe["left"]) == (0, [], [])
    answers = ("ok", "`acme` answers, encrypted at rest: by keys of the provider")
    assert findings(told) == [answers, ("warning", ELSEWHERE)]
