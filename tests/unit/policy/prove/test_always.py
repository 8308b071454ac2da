"""The invariants: what holds is proved, and what does not has a smallest counterexample that a case reproduces."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.catalogue import facts as catalogue
from sovbroker.document import Findings, Kind, ListNode, MapNode, read
from sovbroker.errors import PolicyError
from sovbroker.policy import Policy
from sovbroker.policy.prove import prove
from sovbroker.policy.table import World
from sovbroker.policy.trial import try_policy

AT = date(2026, 11, 24)
EVIDENCE = catalogue.Evidence(catalogue.Basis.ATTESTED, catalogue.Confidence.HIGH)

REQUIRE = """
require:
  public: {store: {anywhere: {}}, compute: [anywhere]}
  internal: {store: {european: {}, anywhere: {encrypt: client}}, compute: [european]}
  restricted: {store: {french: {}, european: {encrypt: client, keys: french}}}
classify:
  - {id: hr, path: "hr/**", label: internal}
"""


def plain(node):
    """Return a document as lists, dictionaries and texts."""
    if isinstance(node, MapNode):
        return {str(key): plain(value) for key, value in node.entries}
    return [plain(item) for item in node.items] if isinstance(node, ListNode) else node.text


def facts(told):
    def countries(axis):
        return catalogue.Fact(frozenset(told[axis]) if axis in told else None, EVIDENCE)

    schemes = [
        catalogue.Qualification(
            q["scheme"], catalogue.Status.QUALIFIED, EVIDENCE, tuple(map(int, q.get("version", "").split(".")))
            if "version" in q else (),
        )
        for q in told.get("qualified", [])
    ]  # fmt: skip
    scores = [
        catalogue.SealScore(
            s["framework"], s["assessor"], tuple((k, int(v)) for k, v in s.items() if k.startswith("SOV")), EVIDENCE
        )
        for s in told.get("seal", [])
    ]
    return catalogue.Facts(
        *(countries(axis) for axis in ("located", "controlled", "technology")),
        tuple(schemes),
        tuple(scores),
        countries("alone"),
    )


def target(name, told):
    provider, _, region = name.partition("/")
    offer, at, place = region.partition("@")
    given = {"offer": offer} if at else {}
    return catalogue.Target(name, provider, place if at else region, facts(told), **given)


def rerun(text, load, policy_text):
    """Decide the one case of a cases file as it is written, and return the decision and what the case expects."""
    findings = Findings(dict.fromkeys(Kind, "X"))
    told = plain(read(text, "x.tests.yaml", findings))
    assert findings.diagnostics == ()
    assert (told["sovbroker-tests"], told["catalogue"]) == ("1", "false")
    targets = [target(name, own) for name, own in told["targets"].items()]
    keys = [catalogue.KeyHolder(name, facts(own)) for name, own in told.get("keys", {}).items()]
    day = date.fromisoformat(told["at"])
    (case,) = told["cases"]
    policy = load(policy_text, targets, keys)
    decision = policy.decide(
        case["key"],
        label=case["label"],
        metadata=case.get("meta", {}),
        operation=case.get("operation", "put"),
        at=datetime(day.year, day.month, day.day, tzinfo=UTC),
    )
    return case, decision


def complying(decision):
    return {c.target: c.mode.to_dict() for c in (*decision.targets, *decision.alternatives)}


def test_what_holds_is_proved(proof_of):
    proof = proof_of(
        REQUIRE
        + """
always:
  - {id: at-home, label: restricted, outside: [european], demand: refused}
  - {id: sealed, label: internal, outside: [european], demand: {encrypt: client}}
  - {id: keys, label: restricted, inside: [european], outside: [french], demand: {encrypt: client, keys: french}}
"""
    )
    assert proof.diagnostics == ()
    assert proof.counterexamples == ()
    assert proof.numbers["invariants"] == 3


@pytest.mark.parametrize(
    ("invariant", "expected"),
    [
        (
            "{id: i, label: public, demand: {encrypt: client}}",
            "`public` may be stored clear at any target, of which nothing is known",
        ),
        (
            "{id: i, label: internal, demand: {encrypt: client}}",
            "`internal` may be stored clear at any target, located DE, controlled FR",
        ),
        (
            "{id: i, label: restricted, outside: [french], demand: refused, operation: store}",
            "`restricted` may be stored sealed, keys in french at any target, located DE, controlled FR",
        ),
        (
            "{id: i, label: restricted, outside: [french], demand: {encrypt: client, names: encrypt, keys: french}}",
            "`restricted` may be stored sealed, keys in french at any target, located DE, controlled FR",
        ),
        (
            "{id: i, label: internal, inside: [european], outside: [french], demand: refused, operation: compute}",
            "`internal` may be computed on at any target, located DE, controlled FR",
        ),
    ],
)
def test_what_does_not_hold_has_the_simplest_counterexample_there_is(invariant, expected, proof_of, found):
    proof = proof_of(f"{REQUIRE}default: public\nalways:\n  - {invariant}\n")
    (example,) = proof.counterexamples
    assert str(example) == expected
    assert found(proof, "SB040") == [("i", f"invariant `i` does not hold: {expected}")]
    assert not proof.holds


TIGHT = """
sovbroker: 1
levels: [low, high]
default: low
categories: {odd: {minimum: high}}
zones:
  certified: {located: [FR, CH], qualified: [hds, secnumcloud>=3.2], seal: {framework: "1.2.1", assessor: [ec], SOV-2: 3}}
  listed: {provider: [acme], technology: [FR]}
  one: {target: [beta/blob@x]}
  swiss: {located: [CH]}
  anywhere: {}
require:
  low: {store: {anywhere: {}}, compute: [anywhere]}
  high:
    store:
      certified: {}
      listed: {encrypt: client}
      one: {encrypt: client, names: encrypt, keys: swiss}
      swiss: {encrypt: client, keys: [swiss, certified]}
    compute: [one]
  odd: {where: {located: [known]}}
classify:
  - {id: low, path: "low/**", label: low}
  - {id: high, path: "**/high/*.csv", label: high}
  - {id: odd, meta: {kind: "so: odd"}, label: odd}
waivers:
  - {id: W1, path: "low/old/**", label: high, store: {anywhere: {encrypt: client}}, reason: r, owner: o, approved: [p, q], expires: 2026-12-31}
  - {id: W2, path: "other/**", label: high, store: {swiss: {}}, reason: r, owner: o, approved: [p, q], expires: 2026-12-31}
"""  # noqa: E501  # it is a policy


@pytest.mark.parametrize(
    "invariant",
    [
        "{label: high, demand: {encrypt: client}, inside: [certified]}",
        "{label: high, demand: {encrypt: client, names: encrypt}, inside: [listed]}",
        "{label: high, demand: refused, inside: [one]}",
        "{label: high, demand: {encrypt: client, names: encrypt, keys: certified}, inside: [swiss]}",
        "{label: high, demand: refused, operation: compute}",
        "{label: odd, demand: refused, operation: compute}",
        "{label: odd, demand: {encrypt: client}, inside: [certified]}",
        "{label: high, demand: refused, operation: store, outside: [certified, listed, one, swiss]}",
        "{label: high, demand: {encrypt: client}, inside: [swiss], outside: [certified]}",
        "{label: low, demand: {encrypt: client}}",
        "{label: low, demand: refused, operation: compute}",
        "{label: high, demand: {encrypt: client, keys: listed}, inside: [listed]}",
    ],
)
def test_a_counterexample_is_a_case_that_fails_when_it_is_run(invariant, load, world, tmp_path):
    text = f"{TIGHT}always:\n  - {{id: i, {invariant[1:]}\n"
    places = [world.target("acme/eu"), world.target("beta/blob@x")]
    proof = prove(load(text, places), at=AT)
    (example,) = proof.counterexamples
    case, decision = rerun(example.case, load, text)
    assert str(decision.label) == example.label
    (name,) = json.loads(json.dumps(case["expect"].get("excludes") or list(case["expect"]["modes"])))
    assert complying(decision)[name] == example.mode.to_dict()
    if "modes" in case["expect"]:
        wanted = case["expect"]["modes"][name]
        mode = {"encrypt": "none", "names": "clear", "keys": [], **wanted}
        assert mode != example.mode.to_dict()
        assert set(example.mode.keys) <= set(mode["keys"])
    used = () if decision.waiver is None else tuple(decision.waiver.split(", "))
    assert example.waivers == used
    (tmp_path / "p.yaml").write_text(text)
    (tmp_path / "p.tests.yaml").write_text(example.case)
    trial = try_policy(tmp_path / "p.yaml", mutate=False)
    assert not trial.passed
    errors = [(d.code, Path(d.file).name) for d in trial.diagnostics if d.severity == "error"]
    assert ("SB051", "p.tests.yaml") in errors
    assert {code for code, _ in errors} <= {"SB040", "SB051"}


def test_an_invariant_is_broken_by_waivers_only_where_an_object_is_in_their_scope(proof_of):
    def proof(path, label):
        return proof_of(
            REQUIRE
            + f"""
  - {{id: secret, path: "secret/**", label: restricted}}
waivers:
  - {{id: W, path: "{path}", label: {label}, store: {{anywhere: {{}}}}, reason: r, owner: o, approved: [p, q], expires: 2026-12-31}}
always:
  - {{id: sealed, label: internal, outside: [european], demand: {{encrypt: client}}}}
"""  # noqa: E501
        )

    (example,) = proof("hr/old/**", "internal").counterexamples
    assert (example.label, example.waivers, example.sample.key) == ("internal", ("W",), "hr/old/x")
    assert "at: 2026-11-24" in example.case
    # Whatever is below `secret/` is restricted, which the waiver does not cover.
    assert proof("secret/old/**", "internal").counterexamples == ()
    (wide,) = proof("secret/old/**", "restricted").counterexamples
    assert (wide.label, wide.sample.key) == ("restricted", "secret/old/x")


def test_waivers_break_an_invariant_together_where_one_object_is_in_the_scope_of_both(proof_of):
    def proof(first, second):
        return proof_of(
            """
  us: {located: [US]}
require:
  internal: {store: {french: {}}}
  restricted: {store: {european: {}}}
waivers:
"""
            + "\n".join(
                f"  - {{id: {name}, path: '{path}', label: restricted, store: {{us: {{encrypt: client{mode}}}}}, "
                "reason: r, owner: o, approved: [p, q], expires: 2026-12-31}"
                for name, path, mode in (("W1", first, ", names: encrypt"), ("W2", second, ", keys: french"))
            )
            + """
always:
  - {id: never-one, label: restricted, inside: [us], demand: {encrypt: client, names: encrypt, keys: french}}
"""
        )

    (example,) = proof("a/**", "b/**").counterexamples
    assert example.waivers == ("W1",)
    assert example.mode.to_dict() == {"encrypt": "client", "names": "encrypt", "keys": []}


def test_what_cannot_be_waived_is_not_waived(proof_of):
    def proof(more):
        return proof_of(
            f"""
require: {{internal: {{store: {{european: {{}}}}{more}}}}}
default: internal
waivers:
  - {{id: W, path: "a/**", label: internal, store: {{anywhere: {{}}}}, reason: r, owner: o, approved: [p, q], expires: 2026-12-31}}
always: [{{id: i, label: internal, outside: [european], demand: refused, operation: store}}]
"""  # noqa: E501
        )

    assert proof("").counterexamples[0].waivers == ("W",)
    with pytest.raises(PolicyError, match="SB032"):
        proof(", waivable: false")


def test_what_a_rulebook_says_is_firm_is_not_waived_either(load):
    policy = load(
        """
sovbroker: 1
levels: [low]
zones: {fr: {located: [FR]}, us: {located: [US]}}
require: {low: {store: {fr: {}}}}
waivers:
  - {id: W, path: "a/**", label: low, store: {us: {}}, reason: r, owner: o, approved: [p, q], expires: 2026-12-31}
always: [{id: i, label: low, outside: [fr], demand: refused, operation: store}]
"""
    )
    (low,) = policy.book.requirements["low"]
    firm = replace(policy.book, requirements={"low": (replace(low, waivable=False),)})
    assert prove(policy, at=AT).counterexamples != ()
    assert prove(over(firm, policy.world.targets, policy.world.holders), at=AT).counterexamples == ()


def test_a_waiver_that_has_lapsed_breaks_nothing(load):
    policy = load(
        """
sovbroker: 1
levels: [low]
zones: {fr: {located: [FR]}, us: {located: [US]}}
require: {low: {store: {fr: {}}}}
waivers:
  - {id: W, path: "a/**", label: low, store: {us: {}}, reason: r, owner: o, approved: [p, q], expires: 2026-12-31}
always: [{id: i, label: low, outside: [fr], demand: refused, operation: store}]
"""
    )
    assert prove(policy, at=date(2026, 12, 30)).counterexamples != ()
    assert prove(policy, at=date(2026, 12, 31)).counterexamples == ()


def test_the_case_has_a_key_service_that_the_mode_which_is_due_could_have(proof_of):
    proof = proof_of(
        "require: {public: {store: {anywhere: {encrypt: client}}}}\ndefault: public\n"
        "always: [{id: i, label: public, demand: {encrypt: client, keys: european}}]\n"
    )
    (example,) = proof.counterexamples
    assert "\nkeys:\n  keys: {located: [FR], controlled: [FR]}\n" in example.case
    assert "expect: {modes: {another/place: {encrypt: client, keys: [european]}}}" in example.case


def test_the_object_of_a_case_keeps_clear_of_other_rules_and_waivers(proof_of):
    rules = """
require: {public: {store: {anywhere: {}}}, internal: {store: {french: {}}}}
classify:
  - {id: r, path: "a/**", label: public}
  - {id: s, path: "a/*", label: restricted}
  - {id: t, path: "a/x/*", label: internal}
"""
    (example,) = proof_of(f"{rules}always: [{{id: i, label: public, demand: {{encrypt: client}}}}]\n").counterexamples
    assert (example.label, example.sample.key) == ("public", "a/y/y")
    waivers = """
  us: {located: [US]}
require: {public: {store: {french: {}}}}
classify: [{id: r, path: "a/**", label: public}]
waivers:
  - {id: W1, path: "a/*", label: public, store: {us: {encrypt: client, keys: french}}, reason: r, owner: o, approved: [p, q], expires: 2026-12-31}
  - {id: W2, path: "a/**", label: public, store: {us: {encrypt: client, names: encrypt}}, reason: r, owner: o, approved: [p, q], expires: 2026-12-31}
always: [{id: i, label: public, inside: [us], demand: {encrypt: client, keys: french}}]
"""  # noqa: E501
    (example,) = proof_of(waivers).counterexamples
    assert (example.waivers, example.sample.key) == (("W2",), "a/x/x")


def test_every_minimal_mode_counts_because_keys_decide_which_one_is_picked(proof_of):
    text = """
  german: {located: [DE]}
require:
  internal: {store: {french: {encrypt: client, keys: french}, european: {encrypt: client, keys: german}}}
default: internal
always:
  - {id: keys, label: internal, inside: [french], demand: {encrypt: client, keys: german}}
  - {id: other, label: internal, inside: [french], demand: {encrypt: client, keys: french}}
"""
    proof = proof_of(text)
    told = {example.invariant: (str(example.mode), sorted(example.holder.located)) for example in proof.counterexamples}
    # With both services `french` is picked, which is first in the fixed order; with a German one alone it is not.
    assert told == {"keys": ("sealed, keys in french", ["FR"]), "other": ("sealed, keys in german", ["DE"])}


def test_a_label_that_no_object_carries_has_a_counterexample_without_a_case(proof_of):
    proof = proof_of(
        """
require: {restricted: {store: {french: {}}}}
always: [{id: i, label: public, outside: [french], demand: refused, operation: store}]
"""
    )
    (example,) = proof.counterexamples
    # What no rule matches is restricted, and no rule gives less.
    assert (example.label, example.sample, example.case) == ("public", None, "")


def test_what_is_not_looked_at_is_not_proved(proof_of, found, monkeypatch):
    monkeypatch.setattr("sovbroker.policy.prove.possible.KINDS_MAX", 1)
    proof = proof_of(f"{REQUIRE}always: [{{id: i, label: restricted, outside: [european], demand: refused}}]\n")
    assert not proof.complete
    (told,) = found(proof, "SB040")
    assert told[0] == "i"
    assert "not proved" in told[1]


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_no_drawn_world_breaks_an_invariant_that_is_proved(data, world, drawn):
    document = data.draw(drawn.documents())
    names = [*document["levels"], *document["require"]]
    zones = st.lists(st.sampled_from(drawn.NAMES), min_size=1, max_size=2, unique=True)
    invariants = st.fixed_dictionaries(
        {"label": st.sampled_from(names), "demand": st.one_of(st.just("refused"), drawn.modes)},
        optional={"inside": zones, "outside": zones},
    )
    document["always"] = [{"id": f"i{number}", **data.draw(invariants)} for number in range(2)]
    targets, holders = data.draw(drawn.worlds(world))
    policy = drawn.load(document, targets, holders)
    if policy is None:
        return
    proof = prove(policy, at=AT)
    broken = {example.invariant for example in proof.counterexamples}
    key, metadata = data.draw(drawn.keys), data.draw(st.sampled_from([{}, {"c": "3"}]))
    label = data.draw(st.sampled_from(names))
    for operation in ("put", "compute"):
        now = datetime(2026, 11, 24, tzinfo=UTC)
        decision = policy.decide(key, label=label, metadata=metadata, operation=operation, at=now)
        table = policy.table(AT.toordinal())
        index = {own.id: place for place, own in enumerate(table.world.targets)}
        mask = policy.lattice.mask(decision.label)
        for choice in (*decision.targets, *decision.alternatives):
            for invariant in policy.book.always:
                about = mask & invariant.mask == invariant.mask and {"put": "store"}.get(operation, operation)
                inside = all(table.zones[z] >> index[choice.target] & 1 for z in invariant.inside)
                outside = any(table.zones[z] >> index[choice.target] & 1 for z in invariant.outside)
                if about in invariant.operations and inside and not outside:
                    meets = invariant.demand is not None and invariant.demand <= choice.mode
                    assert meets or invariant.id in broken
    for example in proof.counterexamples:
        if example.case:
            case, decision = rerun(example.case, over, policy.book)
            assert example.mode.to_dict() in complying(decision).values()
            assert case["id"] == example.invariant


def over(book, targets, keys):
    """Apply what a policy says to other targets and key services."""
    return Policy(book, World.of(targets, keys, catalogue=""))
