"""Each pack's own cases: they pass, they cover the whole policy, and no part of it can go without one noticing."""

from pathlib import Path

import pytest

import sovbroker_policies
from sovbroker.policy.trial import try_policy

SHIPPED = Path(sovbroker_policies.__file__).parent
PAIRS = sorted(SHIPPED.glob("*/*.tests.yaml"))
FULL = "example.tests.yaml"
"""The pair of a pack that has to notice everything; the others are about parameters."""


@pytest.mark.parametrize("cases", PAIRS, ids=lambda cases: f"{cases.parent.name}/{cases.name.partition('.')[0]}")
def test_the_cases_of_a_pack_pass_and_its_example_lets_no_part_of_it_go(cases):
    full = cases.name == FULL
    trial = try_policy(
        cases.with_name(cases.name.replace(".tests.yaml", ".yaml")), cases, mutate=full, strict=full, packs=True
    )
    assert trial.passed, str(trial)
    if full:
        assert trial.coverage is not None
        assert trial.coverage.covered == trial.coverage.total > 0
        assert trial.mutation is not None
        assert len(trial.mutation.killed) == trial.mutation.total > 0


def test_every_pack_has_an_example_with_cases(shelf):
    assert {cases.parent.name for cases in PAIRS if cases.name == FULL} == set(shelf.names)
