"""The command `policy test`: its codes, and what it prints."""

from __future__ import annotations

import json

import pytest

from sovbroker.cli import main

GOOD = {"id": "a", "key": "public/a", "expect": {"allowed": True}}
BAD = {"id": "b", "key": "public/a", "expect": {"allowed": False}}


@pytest.fixture
def run(desk, capsys, monkeypatch):
    monkeypatch.chdir(desk.folder)

    def run(*arguments):
        capsys.readouterr()
        code = main(["policy", "test", *map(str, arguments)])
        captured = capsys.readouterr()
        return int(code), captured.out, captured.err

    return run


def test_a_policy_that_passes_ends_with_0(desk, run):
    code, out, err = run(desk.full)
    assert (code, err) == (0, "")
    assert out.startswith("passed ")
    assert "70 of 70 (100 %) of the mutants killed" in out


def test_a_case_that_fails_ends_with_1(desk, run):
    desk.files(GOOD, BAD)
    code, out, err = run("p.yaml")
    assert (code, err) == (1, "")
    assert out.startswith("error[SB051]: case `b`: expected to be refused")
    assert " --> p.tests.yaml:1:" in out
    assert out.splitlines()[-1].startswith("FAILED p.yaml: 2 cases, 1 of them failed; ")


def test_no_case_ends_with_1(desk, run):
    desk.write("p.yaml", desk.small)
    code, out, _ = run("p.yaml")
    assert code == 1
    assert "error[SB050]: there is no `p.tests.yaml`" in out


@pytest.mark.parametrize("broken", ["p.yaml", "p.tests.yaml"])
def test_files_that_do_not_load_end_with_2(desk, run, broken):
    desk.files(GOOD)
    desk.write(broken, "sovbroker: 1\nlevles: [a]\n")
    code, out, err = run("p.yaml")
    assert (code, err) == (2, "")
    assert f" --> {broken}:2:1" in out
    assert out.splitlines()[-1] == "FAILED p.yaml: it could not be tested"


def test_several_policies_are_all_tested_and_the_worst_decides(desk, run):
    desk.files(GOOD)
    for name, case in (("bad", BAD), ("good", GOOD)):
        desk.write(f"{name}.yaml", desk.small)
        desk.write(f"{name}.tests.yaml", desk.cases(case))
    code, out, _ = run("bad.yaml", "good.yaml")
    assert code == 1
    assert [line.split(":")[0] for line in out.splitlines() if line.startswith(("passed", "FAILED"))] == [
        "FAILED bad.yaml",
        "passed good.yaml",
    ]
    code, out, _ = run("nothing.yaml", "bad.yaml")
    assert code == 2
    assert "cannot read `nothing.yaml`" in out
    assert "FAILED bad.yaml: 1 case" in out


def test_cases_can_be_elsewhere_for_one_policy(desk, run):
    desk.files(BAD)
    desk.write("other.yaml", desk.cases(GOOD))
    assert run("p.yaml", "--cases", "other.yaml")[0] == 0
    code, _, err = run("p.yaml", "p.yaml", "--cases", "other.yaml")
    assert code == 2
    assert "`--cases` is for one policy" in err


def test_mutants_can_be_left_out(desk, run):
    desk.files(GOOD)
    assert "mutants" in run("p.yaml")[1]
    code, out, _ = run("p.yaml", "--no-mutants")
    assert code == 0
    assert "mutants" not in out
    assert "SB121" not in out


def test_strict_fails_for_a_survivor(desk, run):
    desk.files(GOOD)
    assert run("p.yaml", "--strict")[0] == 1
    assert run(desk.full, "--strict")[0] == 0


@pytest.mark.parametrize("option", [("--format", "json"), ("--json",)])
def test_json_has_every_trial(desk, run, option):
    desk.files(GOOD, BAD)
    code, out, _ = run("p.yaml", "nothing.yaml", *option)
    assert code == 2
    told = json.loads(out)
    assert told["passed"] is False
    tried, unloaded = told["trials"]
    assert [result["passed"] for result in tried["results"]] == [True, False]
    assert unloaded["diagnostics"][0]["code"] == "SB003"


def test_sarif_and_github_have_every_finding(desk, run):
    desk.files(GOOD, BAD)
    code, out, _ = run("p.yaml", "nothing.yaml", "--format", "sarif")
    assert code == 2
    found = [result["ruleId"] for result in json.loads(out)["runs"][0]["results"]]
    assert found[0] == "SB051"
    assert {"SB003", "SB120"} <= set(found)
    code, out, _ = run("p.yaml", "--format", "github")
    assert code == 1
    assert out.startswith("::error ")
    assert "p.tests.yaml" in out
