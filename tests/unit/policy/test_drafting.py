from datetime import date

import pytest

from sovbroker import policy as policies
from sovbroker.errors import InvalidArgument
from sovbroker.policy.drafting import draft, draft_cases
from sovbroker.policy.prove import prove
from sovbroker.policy.trial import try_policy

DAY = date(2026, 11, 25)


def test_a_draft_is_proved_and_its_cases_notice_every_change(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(draft("mine"))
    (tmp_path / "policy.tests.yaml").write_text(draft_cases(DAY))
    tried = try_policy(file, strict=True)
    assert tried.passed, str(tried)
    policy = policies.load(file, keys=None)
    assert policy.warnings == ()
    assert prove(policy, at=DAY).holds


@pytest.mark.parametrize("pack", sorted(policies.packs()))
def test_a_draft_extends_any_pack_and_its_cases_still_pass(pack, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(draft("mine", extends=[pack]))
    (tmp_path / "policy.tests.yaml").write_text(draft_cases(DAY))
    tried = try_policy(file)
    failed = [finding for finding in tried.diagnostics if finding.severity == "error"]
    # What the pack brings is covered by its own cases, and not asked for here.
    assert not [finding for finding in tried.diagnostics if finding.file.startswith(pack)]
    # What a pack demands of every level from `confidential` on is not what the draft's cases expect of it.
    assert tried.passed or pack in {"eu-seal", "eu-cada-preview", "fr-secnumcloud"}, failed


def test_an_unknown_pack_is_refused_with_a_suggestion():
    with pytest.raises(InvalidArgument, match="did you mean `fr-hds`"):
        draft("mine", extends=["fr-hsd"])
