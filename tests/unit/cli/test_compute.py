"""Machines from the command line."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from sovbroker.errors import NoCapacity
from sovbroker.machines import Visibility
from sovbroker.testing.machines import FakeCompute
from sovbroker_adapters.sandbox import Sandboxes

MACHINES = """
compute:
  - {at: local, path: machines, located: FR, controlled: FR, settings: {isolation: none}}
"""


@pytest.fixture
def computing(home, run):
    """An installation with a place for machines, where internal data may be worked on and secret data may not."""
    file = home / "sovbroker.yaml"
    file.write_text(file.read_text() + MACHINES)
    policy = home / "policy.yaml"
    policy.write_text(
        policy.read_text()
        .replace("  here: {target: [local]}", "  here: {target: [local]}\n  france: {located: [FR], controlled: [FR]}")
        .replace("public: {store: {here: {}}}", "public: {store: {here: {}}, compute: [france]}")
        .replace(
            "internal: {store: {here: {encrypt: client}}}",
            "internal: {store: {here: {encrypt: client}}, compute: [france]}",
        )
        .replace("secret: {store: {moon", "secret: {compute: [moon], store: {moon")
    )
    yield home
    for node in json.loads(run("compute", "list", "--json").out):
        run("compute", "destroy", node["name"])


def launched(run, name="job", *more):
    return run("compute", "launch", name, "--image", "host", "--label", "internal", "--memory", "256MiB", *more)


def test_a_life(computing, run, done):
    (computing / "job.sh").write_text("#!/bin/sh\ntrue\n")
    (computing / "key.pub").write_text("ssh-ed25519 AAAA you@example.org")
    said = launched(run, "job", "--ttl", "8h", "--user-data", "job.sh", "--owner", "ops")
    assert said.code == 0
    assert said.out == "`job` is running at local/compute: small, labelled internal\n"
    assert launched(run, "job", "--ttl", "8h", "--user-data", "job.sh", "--owner", "ops").code == 0
    (node,) = json.loads(done("compute", "list", "--json"))
    assert {node[name] for name in ("name", "target", "state", "label", "owner")} == {
        "job",
        "local/compute",
        "running",
        "internal",
        "ops",
    }
    assert "running" in done("compute", "list")
    assert "ops" in done("compute", "get", "job")
    assert json.loads(done("compute", "get", "job", "--json")) == node
    assert "`job` is stopped" in done("compute", "stop", "job")
    assert "`job` is running" in done("compute", "start", "job")
    assert json.loads(done("compute", "reboot", "job", "--json"))["state"] == "running"
    assert json.loads(done("compute", "reap", "--json")) == {
        "expired": [],
        "unfinished": [],
        "strays": [],
        "failures": {},
    }
    assert "`job` is destroyed" in done("compute", "destroy", "job")
    for command in ("get", "destroy", "start", "stop", "reboot"):
        gone = run("compute", command, "job")
        assert (gone.code, gone.err) == (4, "error: there is no machine `job`\n")
    assert "lacks" not in launched(run, "other", "--ssh-key", "key.pub").out
    assert launched(run, "other", "--ssh-key", "key.pub").code == 2


def test_a_place_that_had_no_room_is_told_of(computing, run, done):
    assert launched(run).code == 0
    # As a launch leaves it that came to the second place of its plan.
    (entry,) = (computing / "state.db.machines").glob("*.json")
    held = json.loads(entry.read_text())
    entry.write_text(json.dumps(held | {"passed": {"aws/compute@eu-west-3": "InsufficientInstanceCapacity"}}))
    said = launched(run)
    assert said.out.splitlines() == [
        "`job` is running at local/compute: small, labelled internal",
        "  not at aws/compute@eu-west-3, which had no room: InsufficientInstanceCapacity",
    ]
    assert "aws/compute@eu-west-3, which had no room: InsufficientInstanceCapacity" in done("compute", "get", "job")
    assert json.loads(done("compute", "get", "job", "--json"))["passed"] == held["passed"] | {
        "aws/compute@eu-west-3": "InsufficientInstanceCapacity"
    }


def test_where_no_place_has_room_it_says_so(computing, run, monkeypatch):
    def no_room(self, launch):
        raise NoCapacity("it is full", target=self.target)

    monkeypatch.setattr(Sandboxes, "launch", no_room)
    said = launched(run)
    assert (said.code, said.out) == (1, "")
    assert said.err == "error: local/compute: it is full\n"


def test_explain_says_why_not(computing, run, done):
    assert done("compute", "explain", "job", "--image", "host").startswith(
        "allowed: a machine for data labelled internal"
    )
    refused = run("compute", "explain", "job", "--image", "host", "--label", "secret")
    assert refused.code == 3
    assert refused.out.startswith("refused: a machine for data labelled secret")
    assert "not in moon" in refused.out
    told = run("compute", "explain", "job", "--label", "secret", "--json")
    assert told.code == 3
    assert json.loads(told.out)["rejected"]["local/compute"]
    assert run("compute", "launch", "job", "--image", "host", "--label", "secret").code == 3
    assert run("compute", "launch", "job", "--image", "host", "--cpus", "999").code == 2
    assert run("compute", "launch", "job", "--image", "host", "--secret", "a").code == 2
    assert "cannot read `no.sh`" in run("compute", "launch", "job", "--user-data", "no.sh").err


def test_sizes_and_images(computing, done):
    assert "small" in done("compute", "sizes", "local/compute")
    assert json.loads(done("compute", "sizes", "local/compute", "--json"))[0]["price"] == "0"
    assert "host" in done("compute", "images", "local/compute", "*")
    assert json.loads(done("compute", "images", "local/compute", "no-*", "--json")) == []


def test_volumes(computing, run, done):
    launched(run)
    made = json.loads(done("compute", "volumes", "create", "data", "--machine", "job", "--size", "1GiB", "--json"))
    assert made["machine"]
    assert made["id"] in done("compute", "volumes", "list")
    assert json.loads(done("compute", "volumes", "list", "--json")) == [made]
    assert run("compute", "volumes", "destroy", made["id"]).code == 2
    assert "is detached" in done("compute", "volumes", "detach", made["id"])
    assert "is attached" in done("compute", "volumes", "attach", made["id"], "--machine", "job")
    done("compute", "volumes", "detach", made["id"])
    assert json.loads(done("compute", "volumes", "destroy", made["id"], "--json")) == {"destroyed": made["id"]}
    assert "is attached to `job`" in done("compute", "volumes", "create", "more", "--machine", "job", "--size", "1GiB")


def test_keys(computing, run, done, monkeypatch):
    assert json.loads(done("compute", "keys", "list", "--json")) == []
    launched(run)
    fake = FakeCompute(target="local/compute")
    name = f"sovbroker-{'0' * 24}"
    fake.imported[name] = "ssh-ed25519 AAAA"
    with monkeypatch.context() as patched:
        patched.setattr("sovbroker.compute.places.find_compute", lambda _: lambda _: fake)
        (told,) = json.loads(done("compute", "keys", "list", "--json"))
        assert told == {"id": name, "name": name, "target": "local/compute", "machine": None}
        assert done("compute", "keys", "list").splitlines()[1].split() == [name, name, "local/compute", "-"]
        assert run("compute", "keys", "remove", "other", "--at", "local").code == 4
        assert f"`{name}` is removed" in done("compute", "keys", "remove", name, "--at", "local")
        assert fake.imported == {}
        fake.imported[name] = "ssh-ed25519 AAAA"
        assert json.loads(done("compute", "keys", "remove", name, "--at", "local", "--json")) == {"removed": name}


def test_an_audit_exits_with_two_for_a_violation(computing, run, done):
    launched(run)
    assert done("compute", "audit").endswith("1 machine, every one where it may be\n")
    policy = computing / "policy.yaml"
    policy.write_text(policy.read_text().replace("compute: [france]", "compute: [moon]"))
    wrong = run("compute", "audit", "--html", "audit.html")
    assert wrong.code == 2
    assert "violation" in wrong.out
    assert "1 machine where the policy does not allow it" in wrong.out
    page = (computing / "audit.html").read_text()
    assert "✕ violation" in page
    assert "<script" not in page
    assert "http" not in page
    told = run("compute", "audit", "--json")
    assert told.code == 2
    assert json.loads(told.out)["clean"] is False


def test_an_audit_that_cannot_see_is_not_clean(computing, run, monkeypatch):
    monkeypatch.setattr("sovbroker_adapters.sandbox.Sandboxes.machines", lambda self: [])
    monkeypatch.setattr("sovbroker_adapters.sandbox.Sandboxes.visibility", lambda self: Visibility())
    blind = run("compute", "audit")
    assert blind.code == 1
    assert "1 place blind" in blind.out


def test_reap_tells_what_it_does(computing, run, done, monkeypatch):
    launched(run, "short", "--ttl", "1s")
    monkeypatch.setattr("sovbroker.opening.utc_now", lambda: datetime.now(UTC) + timedelta(hours=1))
    assert "`short` is destroyed: its time was over" in done("compute", "reap")
    launched(run, "lost")
    for file in (computing / "state.db.machines").glob("*.json"):
        file.unlink()
    assert "`--strays` destroys it" in done("compute", "reap")
    assert "is destroyed" in done("compute", "reap", "--strays")
