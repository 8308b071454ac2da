"""Each expectation of a case: it passes where it is met, and where it is not it says what came, and why."""

from __future__ import annotations

import json

import pytest

from sovbroker.errors import PolicyError
from sovbroker.policy.trial import try_policy

MET = [
    ("public/a", {"allowed": True}),
    ("public/a", {"label": "public"}),
    ("public/a", {"rules": ["pub"]}),
    ("zzz", {"rules": ["default"], "label": "secret"}),
    ("public/a", {"targets": ["far/east"]}),
    ("internal/a", {"targets": ["far/east", "lab/rome"]}),
    ("zzz", {"only": ["lab/paris"]}),
    ("public/a", {"includes": ["lab/rome", "far/east"]}),
    ("zzz", {"excludes": ["lab/rome", "far/east"]}),
    ("internal/a", {"modes": {"lab/rome": {}, "far/east": {"encrypt": "client"}}}),
    ("zzz", {"modes": {"lab/paris": {"encrypt": "client", "keys": ["french"]}}}),
    ("zzz", {"modes": {"lab/paris": {"encrypt": "client", "keys": "french"}}}),
    ("internal/a", {"copies": 2, "distinct": ["provider"]}),
    ("public/a", {"copies": 1, "distinct": []}),
    ("internal/a", {"retain": {"min": "30d", "max": "10y"}}),
    ("public/a", {"retain": {}}),
    ("internal/a", {"pad": True}),
    ("public/a", {"pad": False}),
    ("internal/old/a", {"waiver": "W-1"}),
    ("internal/a", {"waiver": "none"}),
    ("zzz", {"because": "a law"}),
    ("zzz", {"because": "located in US"}),
]
UNMET = [
    ("public/a", {"allowed": False}, "expected to be refused, and it goes to `far/east`", "rule `pub`"),
    ("public/a", {"label": "internal"}, "expected the label `internal`, and it is `public`", "rule `pub`"),
    ("public/a", {"rules": ["int"]}, "expected the rules `int` to match, and what matches is `pub`", ""),
    ("public/a", {"rules": ["int", "pub"]}, "expected the rules `int`, `pub` to match, and what matches is `pub`", ""),
    ("zzz", {"rules": ["pub"]}, "what matches is `default`", ""),
    ("internal/a", {"targets": ["lab/rome", "far/east"]}, "what is chosen is `far/east`, `lab/rome`", ""),
    ("zzz", {"targets": ["lab/rome"]}, "what is chosen is `lab/paris`", "lab/rome: `secret` (a law): not in french"),
    ("zzz", {"only": ["lab/paris", "lab/rome"]}, "and `lab/rome` does not", "located in IT, not only FR"),
    ("zzz", {"only": []}, "and `lab/paris` does too", "lab/paris: sealed, keys in french (zone french)"),
    ("public/a", {"only": ["lab/rome"]}, "`far/east`, `lab/paris` do too", "far/east: clear"),
    ("zzz", {"includes": ["lab/rome"]}, "expected that `lab/rome` complies, and it does not", "located in IT"),
    ("zzz", {"excludes": ["lab/paris"]}, "expected that `lab/paris` does not comply, and it does", "zone french"),
    ("internal/a", {"modes": {"far/east": {}}}, "the mode `clear` at `far/east`, and it is `sealed`", "`internal` all"),
    ("zzz", {"modes": {"lab/rome": {}}}, "expected `lab/rome` to comply (clear), and it does not", "located in IT"),
    ("internal/a", {"copies": 3}, "expected copies: 3, and it is 2", ""),
    ("internal/a", {"distinct": ["site"]}, "expected copies to differ in `site`, and it is `provider`", ""),
    ("public/a", {"distinct": ["site"]}, "and it is nothing", ""),
    (
        "internal/a",
        {"retain": {"min": "1d"}},
        "kept at least 1 day, and it is at least 30 days and at most 3653 days",
        "",
    ),
    ("public/a", {"retain": {"max": "1y"}}, "and it is for any time", ""),
    ("public/a", {"pad": True}, "expected sizes to be padded, and they are not", ""),
    ("internal/a", {"pad": False}, "expected sizes not to be padded, and they are", ""),
    ("internal/a", {"waiver": "W-1"}, "expected the waiver `W-1`, and it is `none`", "chosen targets"),
    ("internal/old/a", {"waiver": "none"}, "expected the waiver `none`, and it is `W-1`", "migration"),
    ("zzz", {"because": "another law"}, "a reason that holds `another law`, and none does", "label secret"),
]


@pytest.mark.parametrize(("key", "expect"), MET)
def test_an_expectation_that_is_met_passes(desk, key, expect):
    assert desk.one(key, expect) == ()


@pytest.mark.parametrize(("key", "expect", "message", "why"), UNMET)
def test_an_expectation_that_is_not_met_says_what_came_and_why(desk, key, expect, message, why):
    (told,) = desk.one(key, expect)
    assert message in told
    assert why in told


def test_a_refusal_that_was_not_expected_names_what_the_targets_lack(desk):
    (told,) = desk.one("zzz", {"allowed": True}, head={"keys": None})
    assert "expected to be allowed, and it is refused" in told
    assert "no target complies; " in told
    assert "no key service is configured" in told


def test_a_failure_is_a_finding_at_the_expectation(desk):
    desk.write("p.yaml", desk.small)
    text = "sovbroker-tests: 1\nat: 2026-11-24\ncatalogue: false\ncases:\n"
    text += "  - id: one\n    key: public/a\n    expect:\n      allowed: true\n"
    cases = desk.write("p.tests.yaml", text)
    trial = try_policy(desk.folder / "p.yaml", mutate=False)
    (found,) = [finding for finding in trial.diagnostics if finding.severity == "error"]
    assert (found.code, found.file, found.line, found.column) == ("SB051", str(cases), 8, 16)
    assert found.message == "case `one`: expected to be allowed, and it is refused"
    assert found.help == "there are no targets"
    assert not trial.passed


def test_every_expectation_that_fails_is_told(desk):
    failed = desk.one("zzz", {"allowed": False, "label": "public", "copies": 4, "waiver": "W-1"})
    assert len(failed) == 4


def test_a_case_has_the_callers_label_and_the_stored_one(desk):
    assert desk.one("public/a", {"label": "internal"}, label="internal") == ()
    assert desk.one("public/a", {"label": "secret"}, label="internal", stored="secret") == ()


def test_labels_are_compared_by_what_they_mean(desk):
    policy = desk.small.replace("zones:", "aliases: {C3: secret+personal}\nzones:", 1)
    case = {"id": "one", "key": "public/a", "label": "C3", "expect": {"label": "personal+secret"}}
    assert desk.test(case, policy=policy).passed


def test_metadata_and_content_are_looked_at(desk):
    assert desk.one("public/a", {"rules": ["pub", "tag"]}, meta={"class": "C2", "n": "1"}) == ()
    once = "2 95 10 99 126 111 93"
    assert desk.one("public/a", {"rules": ["pub"]}, content=once) == ()
    twice = f"{once}; 1 85 05 78 006 084 91"
    assert desk.one("public/a", {"rules": ["nir", "pub"], "label": "secret"}, content=twice) == ()


def test_computing_is_asked_about_as_computing(desk):
    assert desk.one("internal/a", {"only": ["lab/paris", "lab/rome"]}, operation="compute") == ()
    assert desk.one("internal/a", {"includes": ["far/east"]}, operation="copy") == ()


def test_each_case_has_a_day_of_its_own(desk):
    late = {"id": "late", "key": "internal/old/a", "at": "2026-12-31", "expect": {"waiver": "none"}}
    early = {"id": "early", "key": "internal/old/a", "expect": {"waiver": "W-1"}}
    assert desk.test(late, early).passed
    assert desk.test({**early, "at": "2026-12-30"}, late, at=None).passed


def test_a_waiver_may_last_longer_than_a_policy_could_open_with(desk):
    case = {"id": "a", "key": "internal/old/a", "at": "2020-01-01", "expect": {"waiver": "W-1"}}
    assert desk.test(case).passed


def test_facts_of_targets_end_and_are_unknown_where_they_are_not_given(desk):
    policy = """
sovbroker: 1
levels: [low, high]
zones:
  q: {qualified: [secnumcloud>=3.2]}
  s: {seal: {framework: "1.2.1", SOV-2: 3}}
  t: {technology: [EEA]}
require:
  low: {store: {q: {}, s: {}, t: {}}}
"""
    seal = {"framework": "1.2.1", "assessor": "ec", "SOV-2": "3"}
    targets = {
        "a/q": {"qualified": [{"scheme": "secnumcloud", "version": "3.2", "until": "2026-12-01"}]},
        "a/lasting": {"qualified": [{"scheme": "secnumcloud", "version": "3.2"}]},
        "a/old": {"qualified": [{"scheme": "secnumcloud", "version": "3.1"}]},
        "a/s": {"seal": [{**seal, "until": "2026-12-01"}]},
        "a/t": {"technology": ["FR"]},
        "a/offer@x": {"located": ["FR"]},
        "local": {"controlled": ["FR"]},
    }
    now = {"id": "now", "key": "a", "at": "2026-11-30", "expect": {"only": ["a/q", "a/lasting", "a/s", "a/t"]}}
    then = {"id": "then", "key": "a", "at": "2026-12-01", "expect": {"only": ["a/lasting", "a/t"]}}
    assert desk.test(now, then, policy=policy, targets=targets).passed


def test_targets_rank_and_differ_by_cost_latency_and_site(desk):
    policy = """
sovbroker: 1
levels: [low]
zones: {all: {}}
require: {low: {store: {all: {}}, copies: {count: 2, distinct: [site]}}}
prefer: [latency, cost]
"""
    targets = {
        "a/x": {"site": "one", "latency": "5", "cost": "0.02"},
        "b/x": {"site": "one", "latency": "5", "cost": "0.01"},
        "c/x": {"site": "two", "latency": "10.5"},
    }
    assert desk.test(
        {"id": "a", "key": "a", "expect": {"targets": ["b/x", "c/x"]}}, policy=policy, targets=targets
    ).passed


def test_the_catalogue_is_judged_over_where_no_targets_are_given(desk):
    case = {"id": "a", "key": "zzz", "expect": {"excludes": ["aws/eu-west-3"]}}
    assert desk.test(case, targets=None).passed
    both = {"id": "a", "key": "zzz", "expect": {"excludes": ["aws/eu-west-3"], "includes": ["lab/paris"]}}
    assert desk.test(both, catalogue="true").passed
    with pytest.raises(PolicyError, match="there is no target `aws/eu-west-3`"):
        desk.test(both)
    with pytest.raises(PolicyError, match="there is no target `aws/eu-west-3`"):
        desk.test(case, targets=None, catalogue="false")


def test_a_policy_may_deny_what_the_cases_do_not_have(desk):
    policy = desk.small.replace("personal: {}", "personal: {deny: [acme-archive]}")
    assert desk.test({"id": "a", "key": "public/a", "expect": {"allowed": True}}, policy=policy).passed


def test_targets_are_known_by_provider_offer_and_region(desk):
    policy = """
sovbroker: 1
levels: [low, high]
zones: {named: {target: [a/x, b/object-storage@x, c/files@x, c/x, local]}}
require: {low: {store: {named: {}}}, high: {copies: {count: 2, distinct: [region]}}}
"""
    names = ["a/x", "a/files@x", "b/x", "c/files@x", "c/x", "local"]
    case = {"id": "a", "key": "a", "label": "low", "expect": {"only": ["a/x", "b/x", "c/files@x", "c/x", "local"]}}
    assert desk.test(case, policy=policy, targets={name: {} for name in names}).passed
    apart = {"id": "a", "key": "a", "expect": {"allowed": False}}
    assert desk.test(apart, policy=policy, targets={"c/x": {}, "c/files@x": {}}).passed


def test_a_target_of_the_cases_can_be_denied_by_its_provider(desk):
    policy = desk.small.replace("personal: {}", "personal: {deny: [far]}")
    case = {"id": "a", "key": "public/a", "label": "public+personal", "expect": {"excludes": ["far/east"]}}
    trial = desk.test(case, policy=policy)
    assert trial.passed, trial


def test_a_scheme_of_ones_own_is_known_to_the_policy(desk):
    policy = desk.small.replace("european: {located: [EEA]}", "european: {qualified: [acme-seal]}")
    targets = {"a/x": {"qualified": [{"scheme": "acme-seal"}]}}
    case = {"id": "a", "key": "internal/a", "expect": {"modes": {"a/x": {}}}}
    (told,) = desk.test({**case, "expect": {"allowed": True}}, policy=policy, targets=targets).results[0].failures
    assert "2 targets" in told
    assert desk.test(case, policy=policy, targets=targets).passed


def test_cases_are_judged_without_looking_at_the_clock(desk, monkeypatch):
    path = desk.files({"id": "a", "key": "internal/old/a", "expect": {"waiver": "W-1"}})
    first = json.dumps(try_policy(path).to_dict())
    monkeypatch.setattr("sovbroker.policy.policy.utc_now", lambda: pytest.fail("the clock was asked"))
    assert json.dumps(try_policy(path).to_dict()) == first
