import pytest

from sovbroker import policy as policies
from sovbroker.detect import Scan
from sovbroker.errors import PolicyError

TEXT = """
sovbroker: 1
levels: [public, internal, confidential, restricted]
zones: {anywhere: {}}
require:
  public: {store: {anywhere: {}}}
classify:
  - {id: all, path: "in/**", label: public}
  - {id: nir, content: fr.nir, label: confidential}
  - {id: many, path: "in/**", meta: {kind: list}, content: email, min: 3, label: internal}
"""


@pytest.fixture
def policy(world):
    return policies.loads(TEXT, targets=[world.target("p/a")], at=world.now, clock=lambda: world.now)


NOTHING = {"fr.nir": 0, "email": 0}


def label(policy, key, counts=None, *, meta=None, complete=True):
    why = "" if complete else "the stream was cut"
    scan = None if counts is None else Scan(NOTHING | counts, complete=complete, why=why)
    return str(policy.classify(key, metadata=meta, scan=scan).label)


def test_content_raises_a_label(policy):
    assert label(policy, "in/a", {}) == "public"
    assert label(policy, "in/a", {"fr.nir": 1}) == "confidential"
    assert label(policy, "other", {"fr.nir": 1}) == "confidential"
    assert label(policy, "other", {}) == "restricted"


def test_every_field_of_a_rule_must_fit(policy):
    assert label(policy, "in/a", {"email": 3}, meta={"kind": "list"}) == "internal"
    assert label(policy, "in/a", {"email": 2}, meta={"kind": "list"}) == "public"
    assert label(policy, "in/a", {"email": 3}) == "public"
    assert label(policy, "out/a", {"email": 3, "fr.nir": 1}, meta={"kind": "list"}) == "confidential"


def test_an_incomplete_scan_joins_the_default(policy):
    assert label(policy, "in/a", {}, complete=False) == "restricted"
    decision = policy.decide("in/a", scan=Scan({}, complete=False, why="the stream was cut"))
    assert str(decision.label) == "restricted"
    assert "the content was not looked at to its end (the stream was cut)" in decision.reasons[0]


def test_without_a_scan_the_decision_says_so(policy):
    decision = policy.decide("in/a")
    assert str(decision.label) == "public"
    assert decision.reasons[1] == "the content was not looked at: `fr.nir` may raise the label"
    assert "not looked at" not in str(policy.decide("in/a", scan=Scan(NOTHING)))


def test_a_scan_that_did_not_look_for_everything_joins_the_default(policy):
    decision = policy.decide("in/a", scan=Scan({"email": 0}))
    assert str(decision.label) == "restricted"
    assert decision.reasons[1] == "the scan did not look for `fr.nir`, so the default is joined"


def test_only_what_could_match_is_asked_for(policy):
    assert policy.detectors("x") == {"fr.nir"}
    assert policy.detectors("in/x", {"kind": "list"}) == {"fr.nir", "email"}


def test_what_is_found_never_lowers_a_label(policy):
    for stored in ("public", "internal", "confidential", "restricted"):
        before = policy.classify("in/a", label=stored, scan=Scan(NOTHING))
        after = policy.classify("in/a", label=stored, scan=Scan({"fr.nir": 5, "email": 9}))
        assert policy.lattice.dominates(after.label, before.label)


def test_a_minimum_needs_something_to_count(world):
    text = TEXT.replace("content: fr.nir, label", "path: a, min: 2, label")
    with pytest.raises(PolicyError) as caught:
        policies.loads(text, targets=[], at=world.now)
    assert [d.code for d in caught.value.diagnostics if d.severity == "error"] == ["SB005"]


def test_the_digest_tells_content_rules_apart(world):
    digests = {
        policies.loads(text, targets=[], at=world.now).digest
        for text in (TEXT, TEXT.replace("min: 3", "min: 4"), TEXT.replace("fr.nir", "iban"))
    }
    assert len(digests) == 3
