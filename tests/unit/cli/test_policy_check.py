"""policy check: its options, its formats, and what it exits with."""

import json

import pytest

POLICY = """
sovbroker: 1
levels: [public, internal]
default: internal
zones:
  secnum: {located: [FR], qualified: [secnumcloud>=3.2]}
  anywhere: {}
require:
  public: {store: {anywhere: {}}}
  internal: {store: {secnum: {encrypt: client, keys: secnum}}, basis: "a law"}
"""
BROKEN = POLICY + "always: [{id: sealed, label: internal, demand: {encrypt: client, names: encrypt}}]\n"


@pytest.fixture
def policy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(POLICY)
    (tmp_path / "broken.yaml").write_text(BROKEN)
    return tmp_path / "p.yaml"


def test_a_policy_that_is_proved_exits_with_0_and_says_what_was_proved(policy, run):
    result = run("policy", "check", "p.yaml", "--at", "2026-11-24")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert any(line.startswith("proved for 2 labels x 2 possible targets x ") for line in lines)
    assert "  yes: every reachable label (2) has a placement" in lines
    assert lines[-1].startswith("0 errors, ")
    # No key service is configured yet: one is assumed wherever keys have to be.
    assert "SB101" not in result.out


def test_a_policy_that_is_not_proved_exits_with_2_and_prints_the_case(policy, run):
    result = run("policy", "check", "broken.yaml", "--at", "2026-11-24")
    assert (result.code, result.err) == (2, "")
    assert (
        "error[SB040]: invariant `sealed` does not hold: `internal` may be stored sealed, keys in secnum" in result.out
    )
    assert "    sovbroker-tests: 1\n    at: 2026-11-24\n" in result.out


def test_the_day_decides(policy, run):
    def codes(day):
        told = json.loads(run("policy", "check", "p.yaml", "--json", "--at", day).out)
        return told["proof"]["at"], {d["code"] for d in told["diagnostics"]}

    assert codes("2026-11-24") == ("2026-11-24", {"SB108"})
    day, found = codes("2029-01-01")
    assert day == "2029-01-01"
    # Every qualification has lapsed then; and what both loading and proving find is told once.
    assert "SB041" in found
    assert "SB101" not in found
    wrong = run("policy", "check", "p.yaml", "--at", "tomorrow")
    assert wrong.code == 2
    assert "write it as 2026-11-24" in wrong.err


@pytest.mark.parametrize("options", [["--json"], ["--format", "json"], ["--json", "--format", "sarif"]])
def test_json_has_the_findings_and_the_proof(options, policy, run):
    result = run("policy", "check", "broken.yaml", "--at", "2026-11-24", *options)
    told = json.loads(result.out)
    assert (result.code, told["ok"]) == (2, False)
    assert told["diagnostics"][0]["code"] == "SB040"
    assert told["proof"]["numbers"]["labels"] == 2
    assert told["proof"]["any_keys"] is True
    assert "diagnostics" not in told["proof"]
    (example,) = told["proof"]["counterexamples"]
    assert example["case"].startswith("sovbroker-tests: 1\n")


def test_sarif_and_github_have_every_finding(policy, run):
    sarif = json.loads(run("policy", "check", "broken.yaml", "--at", "2026-11-24", "--format", "sarif").out)
    assert "SB040" in {found["ruleId"] for found in sarif["runs"][0]["results"]}
    github = run("policy", "check", "broken.yaml", "--at", "2026-11-24", "--format", "github")
    assert github.code == 2
    assert github.out.startswith("::error ")
    assert "file=broken.yaml" in github.out


def test_the_calendar_is_written_where_the_policy_loads(policy, run, tmp_path):
    file = tmp_path / "dark.ics"
    assert run("policy", "check", "p.yaml", "--at", "2026-11-24", "--calendar", file).code == 0
    first = file.read_bytes()
    assert first.startswith(b"BEGIN:VCALENDAR\r\n")
    assert b"DTSTAMP:20261124T000000Z" in first
    assert first.count(b"BEGIN:VEVENT") >= 1
    run("policy", "check", "p.yaml", "--at", "2026-11-24", "--calendar", file)
    assert file.read_bytes() == first
    policy.write_text("sovbroker: 1\n")
    none = tmp_path / "none.ics"
    assert run("policy", "check", "p.yaml", "--calendar", none).code == 2
    assert not none.exists()


def test_the_keys_of_the_configuration_are_what_they_are(home, run):
    (home / "policy.yaml").write_text(
        "sovbroker: 1\nlevels: [low]\nzones: {here: {located: [FR]}, us: {located: [US]}}\n"
        "require: {low: {store: {here: {encrypt: client, keys: us}}}}\n"
    )
    configured = run("policy", "check")
    assert configured.code == 2
    assert "error[SB041]: label `low` has no placement" in configured.out
    alone = run("policy", "check", "policy.yaml")
    assert alone.code == 0
    assert run("policy", "check", "policy.yaml", "--config", home).code == 2


def test_the_built_in_policy_is_checked_where_there_is_no_other(home, run):
    (home / "sovbroker.yaml").write_text((home / "sovbroker.yaml").read_text().replace("policy: policy.yaml\n", ""))
    result = run("policy", "check")
    assert (result.code, result.err) == (0, "")
    assert "proved for 4 labels" in result.out
