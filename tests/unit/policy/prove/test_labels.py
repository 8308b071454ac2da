"""Which labels are looked at, and that a stricter one never gains."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.policy.prove import labels as labels_module
from sovbroker.policy.prove import proof as proof_module
from sovbroker.policy.prove import prove
from sovbroker.policy.prove.labels import every, generators, reachable, together
from sovbroker.policy.prove.monotone import first_gain
from sovbroker.policy.prove.outcomes import Outcomes
from sovbroker.policy.prove.places import Places
from sovbroker.policy.prove.possible import possible
from sovbroker.policy.table import Table

AT = date(2026, 11, 24)

CATEGORIES = """
sovbroker: 1
levels: [low, mid, top]
categories: {a: {}, b: {implies: [a], minimum: mid}, c: {}}
zones: {here: {located: [FR]}}
require:
  low: {store: {here: {}}}
  c: {store: {here: {encrypt: client}}}
classify:
  - {id: ra, path: "x/**", label: a}
  - {id: rb, path: "x/y/**", label: b}
  - {id: rm, path: "z/**", meta: {k: "1"}, label: mid}
  - {id: rn, path: "z/**", meta: {k: "2"}, label: a}
default: low
"""


def spelled(policy, masks):
    return sorted(str(policy.lattice.label(mask)) for mask in masks)


def test_every_label_of_a_small_lattice_is_looked_at(load):
    policy = load(CATEGORIES)
    reached = reachable(policy, Places(policy))
    labels, whole = every(policy, reached)
    assert whole
    # `b` brings `a` and at least `mid`: 3 levels x {none, a, c, a+c}, and 2 levels x {a+b, a+b+c}.
    assert len(labels) == len(set(labels)) == 3 * 4 + 2 * 2
    assert all(policy.lattice.mask(policy.lattice.label(mask)) == mask for mask in labels)
    assert labels[0] == 0


def test_reachable_labels_are_what_objects_are_known_to_carry(load):
    policy = load(CATEGORIES)
    reached = {str(policy.lattice.label(own.mask)): own for own in reachable(policy, Places(policy))}
    # `mid` and `a` of `z/**` want different metadata, so that no object has both; `x/**` and `z/**` are apart.
    assert sorted(reached) == ["low", "low+a", "low+c", "mid", "mid+a+b"]
    places = {name: (own.place.line, own.joined) for name, own in reached.items()}
    assert places == {
        "low": (14, False),
        "low+a": (10, False),
        "low+c": (8, False),
        "mid": (12, False),
        "mid+a+b": (11, False),
    }


def test_a_label_that_two_rules_give_together_is_reachable(load):
    policy = load(CATEGORIES.replace('"x/y/**", label: b', '"**/*.csv", label: c'))
    joined = {str(policy.lattice.label(o.mask)) for o in reachable(policy, Places(policy)) if o.joined}
    assert joined == {"low+a+c", "mid+c"}
    strict = load(CATEGORIES.replace("default: low", "default: top"))
    joined = {str(strict.lattice.label(o.mask)) for o in reachable(strict, Places(strict)) if o.joined}
    assert joined == {"top+a", "top+a+b"}


@pytest.mark.parametrize(
    ("path", "meta", "other_path", "other_meta", "expected"),
    [
        ("a/**", {}, "b/**", {}, False),
        ("a/**", {}, "a/b", {}, True),
        ("*/x", {}, "a/*", {}, True),
        ("*.csv", {}, "*.tar", {}, False),
        ("a/**", {"k": "1"}, None, {"k": "2"}, False),
        ("a/**", {"k": "1"}, None, {"j": "2"}, True),
        ("a/**", {"k": "1"}, None, {"k": "1", "j": "2"}, True),
    ],
)
def test_two_rules_match_together_or_not(path, meta, other_path, other_meta, expected, load):
    def rule(name, path, meta):
        parts = [f"path: '{path}'"] if path else []
        parts += [f"meta: {{{', '.join(f'{k}: {v}' for k, v in meta.items())}}}"] if meta else []
        return f"  - {{id: {name}, label: low, {', '.join(parts)}}}\n"

    policy = load(
        f"sovbroker: 1\nlevels: [low]\nclassify:\n{rule('r1', path, meta)}{rule('r2', other_path, other_meta)}"
    )
    first, second = policy.book.rules
    assert together(first, second) is together(second, first) is expected


def test_of_a_large_lattice_the_joins_of_reachable_labels_are_looked_at(load, monkeypatch):
    policy = load(CATEGORIES)
    monkeypatch.setattr(labels_module, "LABELS_MAX", 10)
    labels, whole = every(policy, reachable(policy, Places(policy)))
    assert not whole
    assert spelled(policy, labels) == sorted(
        ["low", "low+a", "low+a+c", "low+c", "mid", "mid+a", "mid+a+b", "mid+a+b+c", "mid+a+c", "mid+c"]
    )
    monkeypatch.setattr(labels_module, "LABELS_MAX", 4)
    fewer, whole = every(policy, reachable(policy, Places(policy)))
    assert (len(fewer), whole) == (4, False)
    proof = prove(policy, at=AT)
    assert not proof.every_label
    assert "not every label" in str(proof)


class Forgetful(Table):
    """A table that forgets, for the strictest level, what the lower ones demand."""

    def demands(self, scope):
        found = super().demands(scope)
        top = self.book.lattice.mask_of_text(self.book.lattice.top_level)
        return found[-1:] if scope.mask & top == top else found


class Lenient(Table):
    """A table that computes on everything that carries a category."""

    def _compute_options(self, demands):
        names = {d.requirement.element for d in demands}
        return super()._compute_options([d for d in demands if "c" not in names])


MONOTONE = """
  french: {located: [FR]}
  anywhere: {}
require:
  low: {store: {french: {}, anywhere: {encrypt: client}}, compute: [french]}
  mid: {store: {french: {}, anywhere: {encrypt: client, names: encrypt}}}
  top: {store: {anywhere: {encrypt: client}}}
  c: {compute: [french]}
"""
LEVELS = "sovbroker: 1\nlevels: [low, mid, top]\ncategories: {c: {}}\nzones:"


def test_a_table_that_forgets_a_requirement_is_found_out(proof_of, found, monkeypatch):
    assert proof_of(MONOTONE, base=LEVELS).holds
    monkeypatch.setattr(proof_module, "Table", Forgetful)
    ((_, message),) = found(proof_of(MONOTONE, base=LEVELS), "SB042")
    assert message == "`top` may be computed on with less than `low` at a target of which nothing is known"
    monkeypatch.setattr(proof_module, "Table", Lenient)
    ((_, message),) = found(proof_of(MONOTONE, base=LEVELS), "SB042")
    assert message == "`low+c` may be computed on with less than `low` at a target of which nothing is known"


def test_a_table_that_gives_a_stricter_label_another_target_is_found_out(load):
    policy = load(LEVELS + MONOTONE.replace("anywhere: {encrypt: client, names: encrypt}}", "}").replace(", }", "}"))
    found = gain(policy, Shuffled)
    assert (str(policy.lattice.label(found.low)), str(policy.lattice.label(found.high))) == ("mid", "top")
    assert found.operation == "store"


class Shuffled(Table):
    """A table that forgets, for the strictest level, what all but the lowest demand."""

    def demands(self, scope):
        found = super().demands(scope)
        top = self.book.lattice.mask_of_text(self.book.lattice.top_level)
        return found[:1] if scope.mask & top == top else found


def gain(policy, table_type):
    kinds = possible(policy.book, AT)
    outcomes = Outcomes(table_type(policy.book, kinds.world, since=AT, until=None))
    labels, _ = every(policy, reachable(policy, Places(policy)))
    return first_gain(outcomes, labels, generators(policy.lattice))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_stricter_label_never_gains_a_target_whatever_the_policy(data, world, drawn):
    policy = drawn.load(data.draw(drawn.documents()), *data.draw(drawn.worlds(world)))
    if policy is not None:
        assert gain(policy, Table) is None


def test_a_gain_names_the_target_and_both_labels(load):
    policy = load(LEVELS + MONOTONE.replace(", compute: [french]", "").replace("compute: [french]", ""))
    found = gain(policy, Forgetful)
    assert (str(policy.lattice.label(found.low)), str(policy.lattice.label(found.high))) == ("mid", "top")
    assert found.operation == "store"
