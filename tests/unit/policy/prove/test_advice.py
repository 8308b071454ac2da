"""What a policy could do without, and what may not be meant so."""

import pytest


def warned(proof, code):
    return [d.text[d.column - 1 : d.column - 1 + d.width] for d in proof.diagnostics if d.code == code]


@pytest.mark.parametrize(
    ("require", "expected"),
    [
        ("public: {store: {french: {}, anywhere: {encrypt: client}}}", []),
        ("public: {store: {french: {encrypt: client}, anywhere: {encrypt: client}}}", ["french"]),
        ("public: {store: {french: {encrypt: client}, anywhere: {}}}", ["french"]),
        ("public: {store: {french: {encrypt: client, names: encrypt}, european: {}}}", ["french"]),
        ("public: {store: {french: {encrypt: client, keys: french}, european: {encrypt: client, names: encrypt}}}", []),
        # Below `internal` nothing may be outside Europe, so `anywhere` is for nothing there.
        (
            "public: {store: {european: {}}}\n  internal: {store: {european: {}, anywhere: {encrypt: client}}}",
            ["anywhere"],
        ),
        # What is denied where the zone is cannot be stored there.
        ("public: {store: {french: {}, anywhere: {encrypt: client}}, deny: [french]}", ["french"]),
        # No key service could be in both of these.
        ("public: {store: {french: {}, anywhere: {encrypt: client, keys: [french, us]}}}", ["anywhere"]),
        # Each of two that are alike could go, but not both.
        ("public: {store: {french: {encrypt: client}, alike: {encrypt: client}}}", ["french"]),
        # Encryption is asked for below already; but without this alternative, `us` would be lost.
        (
            "public: {store: {anywhere: {encrypt: client}}}\n  internal: {store: {us: {encrypt: client}, french: {}}}",
            [],
        ),
    ],
)
def test_an_alternative_that_nothing_takes_is_pointed_at(require, expected, proof_of):
    zones = "  us: {located: [US]}\n  alike: {located: [FR], controlled: [EEA]}\n"
    proof = proof_of(f"{zones}require:\n  {require}\n")
    assert warned(proof, "SB109") == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ('path: "a/**", label: internal', 'path: "a/b/*", label: internal', ["r2"]),
        ('path: "a/**", label: restricted', 'path: "a/b/*", label: internal', ["r2"]),
        ('path: "a/**", label: public', 'path: "a/b/*", label: internal', []),
        ('path: "a/b/*", label: internal', 'path: "a/**", label: internal', ["r1"]),
        ('path: "a/**", label: internal', 'path: "*/b", label: internal', []),
        ('path: "a/**", label: internal', 'path: "a/**", label: internal', ["r1"]),
        ('path: "a/**", meta: {k: v}, label: internal', 'path: "a/b", label: internal', []),
        ('path: "a/**", meta: {k: v}, label: internal', 'path: "a/b", meta: {k: v, j: w}, label: internal', ["r2"]),
        ("meta: {k: v}, label: internal", 'path: "a/b", meta: {k: v}, label: internal', ["r2"]),
        ('path: "**", label: internal', "meta: {k: v}, label: internal", ["r2"]),
        ('path: "*", label: internal', "meta: {k: v}, label: internal", []),
        ("content: email, min: 2, label: internal", 'path: "a", content: email, min: 3, label: internal', ["r2"]),
        ("content: email, min: 4, label: internal", 'path: "a", content: email, min: 3, label: internal', []),
        ("content: iban, label: internal", "content: email, label: internal", []),
        ('path: "**", label: internal', "content: email, label: internal", ["r2"]),
        ("content: email, label: internal", 'path: "a", label: internal', []),
    ],
)
def test_a_rule_that_another_one_covers_is_pointed_at(first, second, expected, proof_of):
    rules = f"classify:\n  - {{id: r1, {first}}}\n  - {{id: r2, {second}}}\n"
    assert warned(proof_of(f"require: {{public: {{store: {{anywhere: {{}}}}}}}}\n{rules}"), "SB110") == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/**/*x*", []),
        ("**/*.csv", []),
        ("**/x/**", []),
        ("**/name", []),
        ("**/*x*", ["**/*x*"]),
        ("*/**/?", ["*/**/?"]),
        ("*/x*", []),
        ("**", []),
        ("*/**", []),
    ],
)
def test_a_pattern_that_every_key_is_tried_with_is_pointed_at(path, expected, proof_of):
    proof = proof_of(f"classify:\n  - {{id: r, path: '{path}', label: public}}\n")
    assert [name.strip("'") for name in warned(proof, "SB112")] == expected


def test_the_pattern_of_a_waiver_is_looked_at_too(proof_of):
    proof = proof_of(
        "require: {public: {store: {french: {}}}}\nwaivers:\n"
        "  - {id: W, path: '**/?x?', label: public, store: {anywhere: {}}, reason: r, owner: o, approved: [p, q], "
        "expires: 2026-12-31}\n"
    )
    assert [name.strip("'") for name in warned(proof, "SB112")] == ["**/?x?"]


@pytest.mark.parametrize(
    ("prefer", "public", "expected"),
    [
        ("[cost, zone]", "{french: {}, anywhere: {encrypt: client}}", ["cost"]),
        ("[latency, zone]", "{french: {}, anywhere: {encrypt: client}}", ["latency"]),
        ("[cost]", "{french: {}, anywhere: {encrypt: client}}", ["cost"]),
        ("[zone, cost]", "{french: {}, anywhere: {encrypt: client}}", []),
        ("[french, cost]", "{french: {}, anywhere: {encrypt: client}}", []),
        ("[cost, zone]", "{anywhere: {encrypt: client}}", []),
        ("[cost, zone]", "{french: {}}", []),
    ],
)
def test_a_ranking_by_money_among_targets_of_different_trust_is_pointed_at(prefer, public, expected, proof_of):
    proof = proof_of(f"require: {{public: {{store: {public}}}}}\nprefer: {prefer}\n")
    assert warned(proof, "SB111") == expected
