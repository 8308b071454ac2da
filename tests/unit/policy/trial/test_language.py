"""What is wrong with a cases file is found, all of it, at its place; whatever is written, nothing else comes out."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sovbroker.errors import PolicyError
from sovbroker.policy.trial import Trial, try_policy

HEAD = "sovbroker-tests: 1\nat: 2026-11-24\ntargets: {lab/paris: {located: [FR], controlled: [FR]}}\n"
CASE = "cases: [{id: a, key: b, expect: {%s}}]\n"
WRONG = [
    (HEAD + "catalouge: true", "SB001", "unknown key `catalouge`", "did you mean `catalogue`?"),
    (HEAD + CASE % "alowed: true", "SB001", "unknown expectation `alowed`", "did you mean `allowed`?"),
    (HEAD + "cases: [{id: a, key: b, lable: c, expect: {allowed: true}}]", "SB001", "unknown key `lable`", "`label`"),
    (HEAD + "keys: {k: {lcoated: [FR]}}", "SB001", "unknown fact `lcoated` in key service `k`", "`located`"),
    (HEAD + "keys: {k: {site: x}}", "SB001", "unknown fact `site`", ""),
    (HEAD + CASE % "allowed: yes", "SB005", "`yes` is not one of", ""),
    (HEAD + CASE % "", "SB005", "case `a` expects nothing", "`allowed: true`"),
    (HEAD + CASE % "label: sceret", "SB010", "unknown label `sceret`", "did you mean `secret`?"),
    (HEAD + CASE % "rules: [pbu]", "SB005", "there is no rule `pbu`", "did you mean `pub`?"),
    (HEAD + CASE % "only: [lab/pairs]", "SB005", "there is no target `lab/pairs`", "did you mean `lab/paris`?"),
    (HEAD + CASE % "targets: [lab/pairs]", "SB005", "there is no target `lab/pairs`", ""),
    (HEAD + CASE % "includes: [lab/pairs]", "SB005", "there is no target `lab/pairs`", ""),
    (HEAD + CASE % "excludes: [lab/pairs]", "SB005", "there is no target `lab/pairs`", ""),
    (HEAD + CASE % "modes: {lab/pairs: {}}", "SB005", "there is no target `lab/pairs`", ""),
    (HEAD + CASE % "modes: {lab/paris: {keys: french}}", "SB023", "mean nothing for what is not encrypted", ""),
    (HEAD + CASE % "modes: {lab/paris: {encrypt: client, keys: frnech}}", "SB011", "there is no zone `frnech`", ""),
    (HEAD + CASE % "waiver: W-2", "SB005", "there is no waiver `W-2`", ""),
    (HEAD + CASE % "copies: 0", "SB005", "`0` is not a whole number from 1 to 9", ""),
    (HEAD + CASE % "distinct: [planet]", "SB005", "`planet` is not one of", ""),
    (HEAD + CASE % "retain: {min: soon}", "SB005", "`soon` is not a period", ""),
    (HEAD + "cases: [{id: a, key: b}]", "SB006", "the key `expect` is missing", ""),
    (HEAD + "cases: [{id: a, expect: {allowed: true}}]", "SB006", "the key `key` is missing", ""),
    (HEAD + "cases: [{id: a, key: b, label: x, expect: {allowed: true}}]", "SB010", "unknown label `x`", ""),
    (HEAD + "cases: [{id: a, key: b, stored: x, expect: {allowed: true}}]", "SB010", "unknown label `x`", ""),
    (HEAD + "cases: [{id: a, key: b, operation: stor, expect: {allowed: true}}]", "SB005", "`stor` is not one of", ""),
    (HEAD + "cases: [{id: a, key: b, at: today, expect: {allowed: true}}]", "SB005", "`today` is not a day", ""),
    (HEAD.replace("at: 2026-11-24\n", "") + CASE % "allowed: true", "SB006", "case `a` has no `at`", "on top"),
    (HEAD.replace("[FR]", "[EEA]"), "SB005", "`EEA` is not a country's two capital letters", ""),
    (HEAD.replace("[FR]", "[XX]"), "SB012", "unknown country `XX`", ""),
    (HEAD.replace("[FR]", "[]"), "SB005", "at least 1 item", ""),
    (HEAD + "keys: {k: {qualified: [{scheme: secnumcluod}]}}", "SB013", "`secnumcluod`", "`secnumcloud`"),
    (HEAD + "keys: {k: {seal: [{framework: 1.2.1, assessor: ec}]}}", "SB005", "the score names no objective", ""),
    (HEAD.replace("controlled: [FR]", "cost: cheap"), "SB005", "`cheap` is not a number", ""),
    (HEAD.replace("lab/paris:", "aws/eu-west-3:") + "catalogue: true", "SB002", "is a target of the catalogue", ""),
    (HEAD.replace("tests: 1", "tests: 2"), "SB005", "the version of the cases file", ""),
    ("at: 2026-11-24", "SB006", "the key `sovbroker-tests` is missing", ""),
    ("", "SB003", "the file is empty", ""),
    ("[]", "SB004", "expected a map", ""),
]
TOKENS = [
    *("", " ", "\n", "- ", ": ", "[", "]", "{", "}", "'", "&a ", "*a", "!t ", "|", "\t", "é", "\x00", "\u2028", "$x"),
    *("9999-12-31", "0001-01-01", "none", "default", "true", "lab/paris", "expect", "compute", "10000y"),
]


@pytest.mark.parametrize(("text", "code", "message", "mend"), WRONG)
def test_what_is_wrong_is_found_at_its_place(desk, text, code, message, mend):
    desk.write("p.yaml", desk.small)
    cases = desk.write("p.tests.yaml", text)
    with pytest.raises(PolicyError) as caught:
        try_policy(desk.folder / "p.yaml")
    found = [finding for finding in caught.value.diagnostics if message in finding.message]
    assert [(own.code, own.severity, own.file) for own in found][:1] == [(code, "error", str(cases))], caught.value
    assert mend in found[0].help
    assert len(found) == len(caught.value.diagnostics), caught.value


def test_everything_that_is_wrong_with_both_files_is_told(desk):
    desk.write("p.yaml", desk.small.replace("located: [EEA]", "locatde: [EEA]"))
    desk.write("p.tests.yaml", HEAD + "catalouge: true\ncases: [{id: a, key: b, expect: {rules: [pbu]}}]")
    with pytest.raises(PolicyError) as caught:
        try_policy(desk.folder / "p.yaml")
    assert {found.message[:20] for found in caught.value.diagnostics} == {
        "unknown predicate `l",
        "unknown key `catalou",
    }


def test_names_of_both_files_are_held_against_each_other(desk):
    text = HEAD + "cases: [{id: a, key: b, expect: {rules: [pbu]}}, {id: a, key: b, expect: {waiver: X, label: y}}]"
    desk.write("p.yaml", desk.small)
    desk.write("p.tests.yaml", text)
    with pytest.raises(PolicyError) as caught:
        try_policy(desk.folder / "p.yaml")
    assert sorted(found.code for found in caught.value.diagnostics) == ["SB002", "SB005", "SB005", "SB010"]


def test_files_that_cannot_be_read_are_findings(desk):
    desk.write("p.yaml", desk.small)
    for policy, cases in (
        ("nothing.yaml", None),
        ("p.yaml", "nothing.yaml"),
        (".", None),
        ("p.yaml", "."),
        ("a\0", None),
    ):
        with pytest.raises(PolicyError, match="cannot read") as caught:
            try_policy(desk.folder / policy, None if cases is None else desk.folder / cases)
        assert [found.code for found in caught.value.diagnostics] == ["SB003"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32), edits=st.integers(1, 4))
def test_a_mutated_cases_file_never_raises_anything_but_findings(desk, seed, edits):
    chance = random.Random(seed)
    text = desk.full.with_name("full.tests.yaml").read_text(encoding="utf-8")
    pieces = [piece for piece in re.split(r"(\W)", text) if piece]
    for _ in range(edits):
        place = chance.randrange(len(pieces))
        match chance.randrange(3):
            case 0:
                del pieces[place]
            case 1:
                pieces[place] = chance.choice(TOKENS)
            case _:
                pieces[place] = chance.choice(pieces)
    cases = desk.write("fuzzed.tests.yaml", "".join(pieces))
    try:
        found = try_policy(desk.full, cases, mutate=False)
    except PolicyError as error:
        found = error
    assert isinstance(found, Trial | PolicyError)
    wrong = any(own.severity == "error" for own in found.diagnostics)
    assert wrong is not (isinstance(found, Trial) and found.passed)
    assert str(found)
