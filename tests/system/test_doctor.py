"""The doctor at a real server: what the container itself tells, before and after a probe."""

import json
from http.client import HTTPConnection

import boto3
import pytest

from sovbroker.cli import main
from sovbroker.testing import gcs

TARGET = "gcp/europe-west9"
AWS = "aws/eu-west-3"


@pytest.fixture
def bucket_of(moto, clouds, monkeypatch, capsys, bucket):
    """Make a bucket that a test changes by the client that it is given; return what the doctor says of it, by text."""
    monkeypatch.undo()
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "a passphrase that the tests made up")
    client = boto3.client(
        "s3",
        endpoint_url=moto.url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )

    def told(change, region="eu-west-3"):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
        change(client, bucket)
        clouds.write(targets=())
        file = clouds.folder / "sovbroker.yaml"
        keys = "credentials: {access_key: test, secret_key: testtest}"
        where = f'{{at: {AWS}, bucket: {bucket}, endpoint: "{moto.url}", emulated: true, {keys}}}'
        file.write_text(f"{file.read_text()}  - {where}\n")
        capsys.readouterr()
        main(["--config", str(file), "doctor", "--json"])
        found = json.loads(capsys.readouterr().out)["findings"]
        return {f["what"]: f["severity"] for f in found if f["subject"] == f"target: {AWS}"}

    yield told
    client.close()


def plain(client, bucket):
    """Leave a bucket as it is."""


def with_versions(client, bucket):
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def with_a_rule(client, bucket):
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})


def open_to_all(client, bucket):
    client.put_bucket_acl(Bucket=bucket, ACL="public-read")


@pytest.mark.parametrize(
    ("change", "region", "severity", "what"),
    [
        (plain, "us-west-2", "warning", "in `us-west-2`, and the policy takes it to be in `eu-west-3`"),
        (with_versions, "eu-west-3", "warning", "the container keeps versions"),
        (with_a_rule, "eu-west-3", "error", "the provider removes objects by itself: "),
        (open_to_all, "eu-west-3", "error", "anybody can read or list the container"),
    ],
)
def test_what_a_bucket_of_s3_tells(bucket_of, change, region, severity, what):
    found = bucket_of(change, region)
    del found["it was never probed, and is taken for what its settings say"]
    (answers, *others) = found.items()
    assert answers[1] == "ok"
    assert [(what in text, how) for text, how in others] == [(True, severity)]


def test_a_bucket_of_s3_with_nothing_wrong(bucket_of):
    found = bucket_of(plain)
    assert list(found.values()) == ["ok", "warning"]
    assert "never probed" in list(found)[1]


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
