"""Copies that no targets could hold, and copies that some could."""

import pytest

from sovbroker.policy.documents import Distinct
from sovbroker.policy.prove.copies import enough
from sovbroker.policy.prove.traits import Name

FRESH = Name("another/place", "another", "place", fresh=True)
ACME, BETA = Name("acme/place", "acme", "place"), Name("beta/place", "beta", "place")
ONE, TWO = Name("acme/eu", "acme", "eu", single=True), Name("acme/us", "acme", "us", single=True)
BLOB = Name("acme/blob@eu", "acme", "eu", "blob", single=True)


@pytest.mark.parametrize(
    ("names", "count", "distinct", "expected"),
    [
        ([FRESH], 9, "provider", True),
        ([ACME], 2, "provider", False),
        ([ACME, ONE, TWO], 2, "provider", False),
        ([ACME, BETA], 2, "provider", True),
        ([ACME, BETA], 3, "provider region", False),
        ([ACME], 9, "region site", True),
        ([ONE], 2, "", False),
        ([ONE, TWO], 2, "region", True),
        ([ONE, BLOB], 2, "", True),
        ([ONE, BLOB], 2, "site", True),
        ([ONE, BLOB], 2, "region", False),
        ([], 2, "", False),
    ],
)
def test_what_names_could_hold(names, count, distinct, expected):
    assert enough(names, count, frozenset(Distinct(d) for d in distinct.split())) is expected


def test_copies_at_two_providers_where_one_is_allowed_can_never_be(proof_of, found):
    text = """
  mine: {provider: [p]}
require:
  public: {store: {anywhere: {}}}
  internal: {store: {mine: {}}, copies: {count: COUNT, distinct: [WHAT]}}
default: internal
"""

    def told(count, what):
        return found(proof_of(text.replace("COUNT", count).replace("WHAT", what)), "SB043")

    assert told("2", "provider") == [
        (
            "copies",
            "no 2 targets, of which no two share a provider, could ever hold `internal`: only `p` may",
        )
    ]
    assert told("2", "region") == []
    assert told("1", "provider") == []


def test_copies_that_cannot_share_a_key_service_can_never_be(proof_of, found):
    text = """
  one: {target: [p/fr]}
  two: {target: [q/us]}
  swiss: {located: [CH]}
require:
  internal:
    store: {one: {encrypt: client, keys: french}, two: {encrypt: client, keys: KEYS}}
    copies: {count: 2}
default: internal
"""
    ((place, message),) = found(proof_of(text.replace("KEYS", "swiss")), "SB043")
    assert place == "copies"
    assert message == "no 2 targets could ever hold `internal`: only `p/fr`, `q/us` may"
    assert found(proof_of(text.replace("KEYS", "european")), "SB043") == []


def test_a_label_that_no_target_could_hold_at_all_lacks_no_copies(proof_of, found):
    proof = proof_of("require: {internal: {store: {}, copies: {count: 2}}}\ndefault: internal\n")
    assert found(proof, "SB043") == []
    assert [message for _, message in found(proof, "SB041")] != []


def test_of_labels_that_include_one_another_the_lowest_is_told(proof_of, found):
    proof = proof_of(
        """
  mine: {provider: [p]}
require:
  public: {store: {mine: {}}, copies: {count: 2, distinct: [provider]}}
  internal: {copies: {count: 3, distinct: [provider]}}
"""
    )
    assert [message.split("`")[1] for _, message in found(proof, "SB043")] == ["public"]
