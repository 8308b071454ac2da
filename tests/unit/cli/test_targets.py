"""What is told of the targets, and what is found out about them."""

import json

import pytest

from sovbroker.probing import ProbeFile

AWS = 'at: aws/eu-west-3, bucket: b, endpoint: "http://127.0.0.1:9", emulated: true'


@pytest.fixture
def remote(home):
    """Add an S3 target at an address where nobody is."""
    path = home / "sovbroker.yaml"
    credentials = "{access_key: test, secret_key: testtest}"
    path.write_text(f"{path.read_text()}  - {{{AWS}, credentials: {credentials}}}\n")
    policy = (home / "policy.yaml").read_text()
    wider = "public: {store: {here: {}, moon: {encrypt: client}}}"
    (home / "policy.yaml").write_text(policy.replace("public: {store: {here: {}}}", wider))


def words(line):
    return " ".join(line.split())


def test_facts_and_modes(home, remote, done):
    lines = [words(line) for line in done("targets", "list").splitlines()]
    assert lines == [
        "target adapter container located controlled qualified emulated by",
        f"local local {home}/objects FR FR - -",
        "aws/eu-west-3 s3 b FR US - 127.0.0.1:9",
        "",
        "target public internal secret",
        "local clear sealed refused",
        "aws/eu-west-3 sealed refused refused",
    ]


def test_as_json(home, remote, done):
    local, aws = json.loads(done("targets", "list", "--json"))
    assert local["modes"] == {"public": "clear", "internal": "sealed", "secret": "refused"}
    assert aws["modes"] == {"public": "sealed", "internal": "refused", "secret": "refused"}
    assert (local["located"], local["emulated"], local["endpoint"]) == (["FR"], False, None)
    assert (aws["controlled"], aws["emulated"], aws["endpoint"]) == (["US"], True, "http://127.0.0.1:9")


def test_qualifications_that_count_today(home, done):
    path = home / "sovbroker.yaml"
    outscale = "at: outscale/cloudgouv-eu-west-1, bucket: b, credentials: {env: OUTSCALE}"
    path.write_text(f"{path.read_text()}  - {{{outscale}}}\n")
    told = json.loads(done("targets", "list", "--json"))[1]
    schemes = {found["scheme"]: found["version"] for found in told["qualified"]}
    assert schemes["secnumcloud"] == "3.2"
    assert " secnumcloud 3.2 " in words(done("targets", "list"))


def test_names_that_are_hidden_and_keys_that_have_a_place(home, done):
    policy = (home / "policy.yaml").read_text()
    stricter = "{encrypt: client, names: encrypt, keys: here}"
    (home / "policy.yaml").write_text(
        policy.replace(
            "internal: {store: {here: {encrypt: client}}}", f"internal: {{store: {{here: {stricter}}}}}"
        ).replace("here: {target: [local]}", "here: {located: [FR]}")
    )
    assert "local clear sealed, names hidden, keys in here refused" in words(done("targets", "list"))


def test_a_level_that_needs_more_copies_than_there_are_is_refused(home, done):
    policy = (home / "policy.yaml").read_text()
    (home / "policy.yaml").write_text(
        policy.replace("public: {store: {here: {}}}", "public: {store: {here: {}}, copies: {count: 2}}")
    )
    (local,) = json.loads(done("targets", "list", "--json"))
    assert local["modes"]["public"] == "refused"


def test_a_policy_that_does_not_load_hides_no_facts(home, run):
    (home / "policy.yaml").write_text("sovbroker: 1\nzoness: {}\n")
    result = run("targets", "list")
    assert (result.code, "zoness" in result.err) == (0, True)
    assert [line.split()[0] for line in result.out.splitlines()] == ["target", "local"]
    assert json.loads(run("targets", "list", "--json").out)[0]["modes"] is None


def test_no_keyring_is_needed(home, done, monkeypatch):
    (home / "keyring.json").unlink()
    monkeypatch.delenv("SOVBROKER_PASSPHRASE")
    assert "sealed" in done("targets", "list")


# --- probing


def test_the_matrix(home, run):
    result = run("targets", "probe")
    assert result.code == 0
    assert "probing local" in result.err
    lines = [words(line) for line in result.out.splitlines()]
    assert lines[0] == "feature local"
    assert {"conditional-put native", "presign absent", "pages unknown", "nested keys native"} <= set(lines)
    assert "presign absent the adapter does not offer it" in lines
    assert not [line for line in lines if "!" in line]
    assert not [path for path in (home / "objects").rglob("*") if path.is_file() and "lock" not in path.name]


def test_it_is_kept(home, run):
    told = json.loads(run("targets", "probe", "--json").out)
    (kept,) = ProbeFile(home / "state.db").probes()
    assert [{**kept.to_dict(), "wrong": []}] == told
    assert (kept.target, kept.container, kept.adapter) == ("local", str(home / "objects"), "local")
    assert kept.version.startswith("sovbroker ")


def test_a_target_that_is_down_keeps_nobody_from_the_rest(home, remote, run):
    result = run("targets", "probe")
    assert result.code == 1
    lines = [words(line) for line in result.out.splitlines()]
    assert "conditional-put native" in lines
    assert any(line.startswith("aws/eu-west-3: b, not probed: aws/eu-west-3: no answer") for line in lines)
    assert [probe.target for probe in ProbeFile(home / "state.db").probes()] == ["local"]
    assert run("targets", "probe", "local").code == 0
    down = json.loads(run("targets", "probe", "aws/eu-west-3", "--json").out)
    assert [(probe["target"], probe["lines"]) for probe in down] == [("aws/eu-west-3", [])]


def test_a_target_that_is_not_configured(home, run):
    result = run("targets", "probe", "lcoal")
    assert result.code == 2
    assert "did you mean `local`?" in result.err
    assert "configured: local" in run("targets", "probe", "elsewhere").err


def test_what_is_promised_and_not_there(home, run, monkeypatch):
    from sovbroker_adapters.local import LocalStore  # noqa: PLC0415 - of this test alone

    def copy(self, source, destination):
        return self.head(source)

    monkeypatch.setattr(LocalStore, "copy", copy)
    result = run("targets", "probe")
    assert result.code == 1
    lines = [words(line) for line in result.out.splitlines()]
    assert "copy unsafe !" in lines
    assert "copy unsafe ! a copy has another body than its source (declared native)" in lines
    assert any("1 promised and not there" in line for line in lines)
    assert json.loads(run("targets", "probe", "--json").out)[0]["wrong"] == ["copy"]


def test_probes_that_cannot_be_read_stop_what_relies_on_them(home, run):
    run("targets", "probe")
    (home / "state.db.probes.json").write_text("{")
    result = run("ls")
    assert result.code == 1
    assert "state.db.probes.json` cannot be used" in result.err
