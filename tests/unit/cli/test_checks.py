"""policy check, catalogue list, show and lint, targets list."""

import json

import pytest

from sovbroker import catalogue


def test_policy_check(home, run):
    result = run("policy", "check")
    assert (result.code, result.err) == (2, "")
    assert "error[SB041]: label `secret` has no placement: " in result.out
    assert "has no placement today" not in result.out
    assert "\nNOT proved for 3 labels x 3 possible targets x " in result.out
    assert result.out.splitlines()[-1].startswith("1 error, ")


def test_policy_check_with_the_catalogue_or_with_the_configuration(home, run):
    alone = json.loads(run("policy", "check", "policy.yaml", "--json").out)
    here = json.loads(run("policy", "check", "policy.yaml", "--json", "--config", home).out)
    assert (dark(alone), dark(here)) == ({"public", "internal", "secret"}, {"secret"})
    # AWS is in the catalogue and not in the configuration; with the local folder it is the other way round.
    assert (empty(alone), empty(here)) == (["here"], ["moon"])


def dark(told):
    return {d["message"].split("`")[1] for d in told["diagnostics"] if d["code"] == "SB041"}


def empty(told):
    return [d["message"].split("`")[1] for d in told["diagnostics"] if d["code"] == "SB104"]


def test_policy_check_of_a_bad_one(home, run, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("sovbroker: 1\nlevels: [a, b]\nzones:\n  here: {locatd: [FR]}\n")
    result = run("policy", "check", bad)
    assert (result.code, result.err) == (2, "")
    assert f"--> {bad}:4:10" in result.out
    assert "^^^^^^" in result.out
    told = json.loads(run("policy", "check", bad, "--json").out)
    assert told["ok"] is False
    assert told["diagnostics"][0]["line"] == 4
    missing = run("policy", "check", tmp_path / "nope.yaml")
    assert missing.code == 2
    assert "nope.yaml" in missing.out


def test_catalogue_list(done):
    shipped = catalogue.load()
    listed = json.loads(done("catalogue", "list", "--json"))
    assert [item["provider"] for item in listed] == list(shipped.providers)
    (outscale,) = [item for item in listed if item["provider"] == "outscale"]
    assert outscale["controlled"] == ["FR"]
    lines = done("catalogue", "list").splitlines()
    assert len(lines) == len(listed) + 1
    assert lines[0].split()[:2] == ["provider", "regions"]


@pytest.mark.parametrize("provider", catalogue.load().providers)
def test_catalogue_show_tells_every_fact(done, provider):
    found = catalogue.load().provider(provider)
    shown = done("catalogue", "show", provider)
    told = json.loads(done("catalogue", "show", provider, "--json"))
    statements = list(found.statements())
    assert len(told["facts"]) == len(statements) > 0
    assert shown.count("confidence ") >= len(statements)
    for statement in statements:
        assert statement.about in shown
        assert all(source in told["sources"] for source in statement.evidence.sources)
    for source in found.sources.values():
        assert source.ref.split()[0] in shown


def test_catalogue_lint(done, run, tmp_path):
    assert done("catalogue", "lint").splitlines()[-1].startswith("0 errors")
    (tmp_path / "bad.yaml").write_text("schema: sovbroker.catalogue/1\nid: bad\nnmae: x\n")
    result = run("catalogue", "lint", tmp_path)
    assert result.code == 2
    assert "error[SC" in result.out
    assert json.loads(run("catalogue", "lint", tmp_path, "--json").out)["ok"] is False


def test_targets_list(home, done):
    (home / "keyring.json").unlink()
    (target,) = json.loads(done("targets", "list", "--json"))
    assert (target["target"], target["located"], target["endpoint"]) == ("local", ["FR"], None)
    head, row, _, levels, modes = done("targets", "list").splitlines()
    assert head.split()[0] == levels.split()[0] == "target"
    assert row.split()[0] == modes.split()[0] == "local"
    assert "sealed" in modes
