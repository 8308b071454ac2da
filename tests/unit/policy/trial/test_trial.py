"""A trial as a whole: when it has passed, what it covers, and what it says."""

from __future__ import annotations

import json

import pytest

from sovbroker.policy.trial import Trial, try_policy

ALLOWED = {"id": "a", "key": "public/a", "about": "news", "expect": {"allowed": True}}


def codes_of(trial):
    return [found.code for found in trial.diagnostics]


def uncovered(trial):
    return [portion.name for portion in trial.coverage.uncovered]


def test_without_a_cases_file_a_trial_has_failed(desk):
    trial = try_policy(desk.write("p.yaml", desk.small))
    assert not trial.passed
    assert codes_of(trial) == ["SB050"]
    assert "p.tests.yaml`, and no --cases" in str(trial)
    assert trial.results == ()
    assert trial.coverage is None


@pytest.mark.parametrize("text", ["sovbroker-tests: 1\ncases: []\n", "sovbroker-tests: 1\nat: 2026-11-24\n"])
def test_zero_cases_are_a_failure(desk, text):
    desk.write("p.tests.yaml", text)
    trial = try_policy(desk.write("p.yaml", desk.small))
    assert not trial.passed
    assert codes_of(trial) == ["SB050"]
    assert "there is no case in" in str(trial)
    assert trial.to_dict()["passed"] is False


def test_cases_are_found_beside_the_policy_or_where_they_are_said_to_be(desk):
    policy = desk.files(ALLOWED)
    assert try_policy(policy).results[0].id == "a"
    other = desk.write("elsewhere.yaml", desk.cases({**ALLOWED, "id": "b"}))
    assert try_policy(str(policy), str(other)).results[0].id == "b"


def test_nothing_that_was_looked_at_is_no_pass():
    assert not Trial("p.yaml", "p.tests.yaml").passed


def test_one_case_that_fails_fails_the_trial(desk):
    trial = desk.test(ALLOWED, {"id": "b", "key": "public/a", "expect": {"allowed": False}})
    assert [result.passed for result in trial.results] == [True, False]
    assert not trial.passed
    assert "SB051" in codes_of(trial)


def test_every_part_that_no_case_exercises_is_told_at_its_place(desk):
    policy = desk.small + "always: [{id: home, label: secret, outside: [european], demand: refused}]\n"
    trial = desk.test(ALLOWED, policy=policy)
    assert uncovered(trial) == [
        "rule `int`",
        "rule `nir`",
        "rule `tag`",
        "`anywhere` under `store` of `internal`",
        "`european` under `store` of `internal`",
        "`french` under `store` of `secret` (a law)",
        "waiver `W-1`",
        "invariant `home`",
    ]
    assert (trial.coverage.covered, trial.coverage.total) == (2, 10)
    found = {own.message: own for own in trial.diagnostics if own.code == "SB120"}
    assert len(found) == 8
    where = found["no case exercises `european` under `store` of `internal`"]
    assert where.text[where.column - 1 :].startswith("european: {}")
    assert where.severity == "warning"
    assert "labelled `internal`" in where.help
    where = found["no case exercises rule `nir`"]
    assert where.text[where.column - 1 :].startswith("nir,")
    where = found["no case exercises invariant `home`"]
    assert where.text[where.column - 1 :].startswith("home,")


def test_a_rule_is_covered_when_it_matches_and_not_when_it_could(desk):
    assert "rule `tag`" in uncovered(desk.test({**ALLOWED, "meta": {"class": "C3"}}))
    assert "rule `tag`" not in uncovered(desk.test({**ALLOWED, "meta": {"class": "C2"}}))


def test_an_alternative_is_covered_by_a_target_that_complies_by_it(desk):
    case = {"id": "i", "key": "internal/a", "expect": {"rules": ["int"]}}
    name = "`anywhere` under `store` of `internal`"
    home = {"lab/paris": {"located": ["FR"], "controlled": ["FR"]}}
    away = {"far/east": {"located": ["US"]}}
    assert name in uncovered(desk.test(case, targets=home))
    assert name not in uncovered(desk.test(case, targets=away))
    assert "`european` under `store` of `internal`" in uncovered(desk.test(case, targets=away))
    assert name in uncovered(desk.test({**case, "operation": "compute"}, targets=away))


def test_an_alternative_is_not_covered_where_a_lesser_mode_would_do(desk):
    policy = desk.small.replace("personal: {}", "personal: {store: {anywhere: {encrypt: client}}}")
    case = {"id": "i", "key": "internal/a", "label": "internal+personal", "expect": {"rules": ["int"]}}
    home = {"lab/paris": {"located": ["FR"], "controlled": ["FR"]}}
    trial = desk.test(case, policy=policy, targets=home)
    # It is sealed for the sake of `personal`, and `internal` is met by where it is.
    assert "`anywhere` under `store` of `internal`" in uncovered(trial)
    assert "`european` under `store` of `internal`" not in uncovered(trial)


def test_an_alternative_is_not_covered_where_another_mode_was_taken(desk):
    policy = desk.small.replace(
        "{european: {}, anywhere: {encrypt: client}}",
        "{european: {encrypt: client, names: encrypt}, anywhere: {encrypt: client, keys: french}}",
    )
    case = {"id": "i", "key": "internal/a", "expect": {"modes": {"lab/rome": {"encrypt": "client", "keys": "french"}}}}
    trial = desk.test(case, policy=policy)
    assert trial.passed, trial
    assert "`european` under `store` of `internal`" in uncovered(trial)


def test_a_waiver_is_covered_when_a_target_complies_by_it(desk):
    case = {"id": "i", "key": "internal/old/a", "expect": {"rules": ["int"]}}
    assert "waiver `W-1`" not in uncovered(desk.test(case))
    assert "waiver `W-1`" in uncovered(desk.test({**case, "at": "2026-12-31"}))
    assert "waiver `W-1`" in uncovered(desk.test({**case, "label": "secret"}))
    home = {"lab/paris": {"located": ["FR"], "controlled": ["FR"]}}
    assert "waiver `W-1`" in uncovered(desk.test(case, targets=home))


@pytest.mark.parametrize(
    ("case", "covered"),
    [
        ({"key": "zzz"}, True),
        ({"key": "internal/a"}, False),
        ({"key": "zzz", "operation": "compute"}, False),
        ({"key": "zzz", "at": "2027-06-01"}, True),
    ],
)
def test_an_invariant_is_covered_by_its_label_at_a_place_that_it_is_about(desk, case, covered):
    always = "always: [{id: home, label: secret, outside: [european], operation: store, demand: refused}]\n"
    trial = desk.test({"id": "i", **case, "expect": {"copies": 1}}, policy=desk.small + always)
    assert ("invariant `home`" not in uncovered(trial)) is covered
    home = {"lab/paris": {"located": ["FR"], "controlled": ["FR"]}}
    trial = desk.test({"id": "i", **case, "expect": {"copies": 1}}, policy=desk.small + always, targets=home)
    assert "invariant `home`" in uncovered(trial)


def test_an_alternative_where_nothing_can_be_needs_no_case(desk):
    policy = desk.small.replace("european: {located: [EEA]}", "european: {provider: []}")
    assert "`european` under `store` of `internal`" not in uncovered(desk.test(ALLOWED, policy=policy))


def test_an_invariant_that_does_not_hold_fails_the_trial(desk):
    policy = desk.small + "always: [{id: home, label: internal, outside: [european], demand: refused}]\n"
    trial = desk.test(ALLOWED, policy=policy, mutate=True)
    assert not trial.passed
    assert all(result.passed for result in trial.results)
    assert codes_of(trial)[0] == "SB040"
    assert trial.mutation is None
    found = trial.diagnostics[0]
    assert found.text[found.column - 1 :].startswith("home,")


def test_strict_fails_for_what_is_uncovered_or_unnoticed(desk):
    assert desk.test(ALLOWED).passed
    assert not desk.test(ALLOWED, strict=True).passed
    assert try_policy(desk.full, strict=True).passed
    assert not desk.test(
        {"id": "a", "key": "a", "expect": {"label": "low"}}, policy=ONE, mutate=True, strict=True
    ).passed
    assert desk.test({"id": "a", "key": "a", "expect": {"label": "low"}}, policy=ONE, strict=True).passed


ONE = "sovbroker: 1\nlevels: [low]\nzones: {z: {located: [FR]}}\nrequire: {low: {compute: [z]}}\n"


def test_a_trial_prints_findings_and_then_one_line(desk):
    looked_at = "18 cases; 1 invariant; 17 of 17 (100 %) of the parts covered; 70 of 70 (100 %) of the mutants killed"
    assert str(try_policy(desk.full)) == f"passed {desk.full}: {looked_at}"
    trial = desk.test(ALLOWED, {"id": "b", "key": "public/a", "expect": {"allowed": False}})
    text = str(trial)
    assert text.startswith("error[SB051]: case `b`: expected to be refused, and it goes to `far/east`\n")
    assert text.splitlines()[-1] == (
        f"FAILED {desk.folder / 'p.yaml'}: 2 cases, 1 of them failed; 2 of 9 (22 %) of the parts covered"
    )


def test_a_trial_is_json(desk):
    told = json.loads(json.dumps(desk.test(ALLOWED, mutate=True).to_dict()))
    assert told["passed"] is True
    assert told["results"] == [{"id": "a", "about": "news", "passed": True, "failures": []}]
    assert told["coverage"]["uncovered"][0] == "rule `int`"
    assert told["mutants"]["total"] == told["mutants"]["killed"] + len(told["mutants"]["survivors"])
    assert set(told["mutants"]["survivors"][0]) == {"mutant", "hint"}
    assert {found["code"] for found in told["diagnostics"]} == {"SB120", "SB121"}


def test_the_same_files_have_the_same_trial_whatever_the_order_of_their_lines(desk):
    cases = [{"id": name, "key": f"{name}/a", "expect": {"allowed": True}} for name in ("public", "internal")]
    first = desk.test(*cases, mutate=True).to_dict()
    assert desk.test(*cases, mutate=True).to_dict() == first
    turned = desk.test(*cases[::-1], mutate=True, targets=dict(reversed(TARGETS.items()))).to_dict()
    assert turned["mutants"] == first["mutants"]
    assert turned["coverage"] == first["coverage"]


TARGETS = {
    "lab/paris": {"located": ["FR"], "controlled": ["FR"], "cost": "0.03"},
    "lab/rome": {"located": ["IT"], "controlled": ["IT"], "cost": "0.02"},
    "far/east": {"located": ["US"], "controlled": ["US"], "cost": "0.01"},
}


def test_many_findings_of_one_kind_do_not_hide_those_of_another(desk):
    rules = "".join(f"  - {{id: r{n}, path: 'r{n}/**', label: internal}}\n" for n in range(250))
    policy = desk.small.replace("waivers:\n", f"{rules}waivers:\n")
    trial = desk.test(ALLOWED, policy=policy, mutate=True)
    assert {"SB120", "SB121"} <= set(codes_of(trial))
    assert len(trial.to_dict()["mutants"]["survivors"]) > 500


def test_parts_of_a_file_that_is_extended_are_told_in_that_file(desk):
    base = desk.write("base.yaml", desk.small.partition("waivers:")[0].replace("default: secret\n", ""))
    policy = "sovbroker: 1\nname: root\nextends: [./base.yaml]\n"
    trial = desk.test(ALLOWED, policy=policy, mutate=True)
    assert trial.passed
    files = {found.file for found in trial.diagnostics if "the default label" not in found.message}
    assert files == {str(base)}


def test_of_two_files_that_demand_something_of_one_element_each_finding_names_its_own(desk):
    more = "sovbroker: 1\nrequire: {internal: {store: {european: {}}, basis: another law}}\n"
    base = desk.write("base.yaml", more)
    policy = desk.small.replace("levels:", "extends: [./base.yaml]\nlevels:")
    trial = desk.test(ALLOWED, policy=policy, mutate=True)
    files = {found.message: found.file for found in trial.diagnostics}
    assert files["no case exercises `european` under `store` of `internal` (another law)"] == str(base)
    assert files["no case exercises `european` under `store` of `internal`"] == str(desk.folder / "p.yaml")
    assert files["no case notices a policy with `internal` (another law) without its `store`"] == str(base)
