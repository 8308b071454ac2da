import json
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker import policy as policies
from sovbroker.errors import InvalidArgument, Refused
from sovbroker.labels import Label
from sovbroker.policy import Operation

POLICY = """
sovbroker: 1
name: acme
levels: [public, internal, confidential, restricted]
zones:
  sovereign: {located: [FR], controlled: [EEA], qualified: [secnumcloud>=3.2]}
  european: {located: [EEA], controlled: [EEA]}
  anywhere: {}
require:
  public: {store: {anywhere: {}}, compute: [anywhere]}
  internal: {store: {european: {}, anywhere: {encrypt: client}}, compute: [european]}
  confidential:
    store: {sovereign: {}, european: {encrypt: client}, anywhere: {encrypt: client, names: encrypt, keys: european}}
    copies: {count: 2, distinct: [provider]}
    retain: {min: 30d}
    basis: "RGPD art. 32"
  restricted:
    store: {sovereign: {encrypt: client, keys: sovereign}}
    waivable: false
    basis: "R9"
  personal: {deny: [hyper], retain: {max: 5y}, basis: "RGPD art. 5"}
classify:
  - {id: pub, path: "public/**", label: public}
  - {id: hr, path: "hr/**", label: confidential+personal}
  - {id: all, path: "both/**", label: confidential}
  - {id: c3, meta: {class: C3}, label: restricted}
waivers:
  - id: W-1
    path: "hr/legacy/**"
    label: confidential+personal
    store: {anywhere: {encrypt: client}}
    reason: "migration"
    owner: dpo@acme.example
    approved: [rssi@acme.example, dpo@acme.example]
    expires: 2026-12-31
"""


@pytest.fixture
def targets(world):
    return [
        world.target(
            "alpha/fr", "FR", "FR", world.qualified("secnumcloud", "3.2", until=date(2027, 3, 1)), cost="0.03"
        ),
        world.target("beta/fr", "FR", "FR", cost="0.01"),
        world.target("gamma/de", "DE", "DE", cost="0.02"),
        world.target("hyper/fr", "FR", "US", cost="0.01"),
        world.target("other/us", "US", "US"),
    ]


@pytest.fixture
def load(world, targets):
    def run(text=POLICY, *, over=None, keys=None):
        qualified = world.qualified("secnumcloud", "3.2")
        holders = (
            [world.keys("main", "FR", "FR", qualified), world.keys("abroad", "US", "US")] if keys is None else keys
        )
        chosen = targets if over is None else over
        return policies.loads(text, targets=chosen, keys=holders, clock=lambda: world.now)

    return run


@pytest.fixture
def policy(load):
    return load()


def where(decision):
    return {choice.target: str(choice.mode) for choice in decision.targets}


def test_every_target_is_told_of_once(policy, targets):
    for key, label in (("x", None), ("hr/x", None), ("public/x", None), ("x", "restricted+personal")):
        for operation in Operation:
            decision = policy.decide(key, label=label, operation=operation)
            told = [c.target for c in (*decision.targets, *decision.alternatives)] + list(decision.rejected)
            assert sorted(told) == sorted(target.id for target in targets)
            assert all(reason for reasons in decision.rejected.values() for reason in reasons)
            printed = str(decision)
            assert all(printed.count(f" {target.id} ") == 1 for target in targets)


def test_the_label_is_the_join_of_everything_known(policy):
    assert str(policy.decide("public/x").label) == "public"
    assert str(policy.decide("public/x", label="internal").label) == "internal"
    assert str(policy.decide("public/x", stored=Label("confidential")).label) == "confidential"
    assert str(policy.decide("hr/x", label="public").label) == "confidential+personal"
    assert str(policy.decide("public/x", metadata={"class": "C3"}).label) == "restricted"
    decision = policy.decide("hr/x", label=Label("internal"), metadata={"class": "C3"})
    assert decision.rules == ("c3", "hr")
    assert decision.reasons[0] == "label restricted+personal: rules `c3`, `hr`, and the caller's `internal`"


def test_what_no_rule_matches_gets_the_default_whatever_the_caller_says(policy):
    decision = policy.decide("x", label="public")
    assert str(decision.label) == "restricted"
    assert decision.rules == ("default",)
    assert policy.classify("x", label="public").rules == ("default",)
    assert policy.route("x", policy.lattice.mask_of_text("public")).mask == policy.lattice.mask_of_text("restricted")


def test_requirements_add_up(policy):
    decision = policy.decide("hr/x")
    assert where(decision) == {"alpha/fr": "clear", "beta/fr": "sealed"}
    assert where_else(decision) == {"gamma/de": "sealed", "other/us": "sealed, names hidden, keys in european"}
    assert decision.rejected == {"hyper/fr": ("`personal` (RGPD art. 5) denies `hyper`",)}
    assert decision.basis == ("RGPD art. 32", "RGPD art. 5")
    assert (decision.copies, decision.distinct) == (2, frozenset({"provider"}))
    assert decision.retain is not None
    assert (decision.retain.min, decision.retain.max) == (timedelta(days=30), timedelta(days=1827))
    assert str(decision.mode) == "sealed"


def where_else(decision):
    return {choice.target: str(choice.mode) for choice in decision.alternatives}


def test_a_refusal_gives_a_reason_for_every_target(policy):
    decision = policy.decide("x", label="restricted")
    assert not decision.allowed
    assert decision.targets == ()
    assert [c.target for c in decision.alternatives] == ["alpha/fr"]
    assert decision.reasons[-1].startswith("2 targets that share a key service, that differ in provider are needed")
    (reason,) = decision.rejected["hyper/fr"]
    assert reason == (
        "`restricted` (R9): not in sovereign: reached by the law of US, not only EEA, "
        "secnumcloud: no qualification known"
    )
    assert str(decision).startswith("refused: put of an object labelled restricted\n  because  label restricted")
    assert isinstance(Refused(decision).decision.to_dict(), dict)


def test_keys_must_be_held_where_the_mode_says(load, world):
    text = POLICY.replace("copies: {count: 2, distinct: [provider]}", "copies: {count: 1}")
    inside = load(text).decide("x")
    assert inside.targets[0].keys == ("main",)
    assert inside.targets[0].zone == "sovereign"
    abroad = load(text, keys=[world.keys("abroad", "US", "US")]).decide("x")
    assert not abroad.allowed
    (reason,) = abroad.rejected["alpha/fr"]
    assert reason == (
        "`restricted` (R9) wants the keys in sovereign: no key service is there (abroad: located in US, not only FR, "
        "reached by the law of US, not only EEA, secnumcloud: no qualification known)"
    )
    none = load(text, keys=[]).decide("x")
    assert none.rejected["alpha/fr"] == ("`restricted` (R9) wants the keys in sovereign: no key service is configured",)


def test_the_chosen_targets_share_a_key_service(load, world):
    text = """
sovbroker: 1
levels: [low]
zones: {french: {located: [FR]}, german: {located: [DE]}}
require:
  low:
    store: {french: {encrypt: client, keys: french}, german: {encrypt: client, keys: german}}
    copies: {count: 2}
"""
    over = [world.target("a/fr"), world.target("b/de", "DE"), world.target("c/fr")]
    holders = [world.keys("fr", "FR"), world.keys("de", "DE")]
    decision = load(text, over=over, keys=holders).decide("x")
    assert [choice.target for choice in decision.targets] == ["a/fr", "c/fr"]
    assert [choice.keys for choice in decision.targets] == [("fr",), ("fr",)]
    alone = load(text, over=over[:2], keys=holders).decide("x")
    assert not alone.allowed


def test_a_waiver_adds_what_it_says_where_it_says_until_it_lapses(load, world):
    policy = load(POLICY.replace("deny: [hyper], ", ""))
    before = datetime(2026, 12, 30, 23, 59, tzinfo=UTC)
    after = datetime(2026, 12, 31, tzinfo=UTC)

    def other(key, at, label=None):
        decision = policy.decide(key, at=at, label=label)
        return {c.target: str(c.mode) for c in (*decision.targets, *decision.alternatives)}.get("hyper/fr")

    assert other("hr/legacy/x", before) == "sealed"
    assert other("hr/x", before) == "sealed, names hidden, keys in european"
    assert other("hr/legacy/x", after) == "sealed, names hidden, keys in european"
    assert other("hr/legacy/x", before, "restricted") is None
    assert policy.decide("hr/legacy/x", at=before).valid_until == date(2026, 12, 31)
    assert policy.decide("hr/legacy/x", at=after).valid_until == date(2027, 3, 1)
    lapsed = policy.decide("hr/legacy/x", at=after)
    assert "waiver `W-1` lapsed on 2026-12-31 and has no effect" in lapsed.reasons


def test_a_decision_names_the_waiver_that_it_takes(load, world):
    over = [world.target("other/us", "US", "US"), world.target("more/us", "US", "US")]
    text = POLICY.replace("deny: [hyper], ", "")
    policy = load(text, over=over, keys=[world.keys("abroad", "US", "US")])
    decision = policy.decide("hr/legacy/x")
    assert decision.allowed
    assert decision.waiver == "W-1"
    assert any("W-1" in reason and "migration" in reason for reason in decision.reasons)
    assert decision.targets[0].zone == "anywhere"
    assert not policy.decide("hr/x").allowed
    assert policy.decide("hr/x").waiver is None


def test_encryption_never_makes_a_place_fit_for_computing(policy):
    decision = policy.decide("hr/x", operation="compute")
    assert set(where(decision)) | set(where_else(decision)) == {"alpha/fr", "beta/fr", "gamma/de"}
    assert decision.rejected["other/us"][0].startswith("`internal`: not in european: located in US")
    assert (decision.copies, str(decision.mode)) == (1, "clear")


def test_computing_is_denied_where_storing_is(load):
    text = POLICY.replace("compute: [european]", "compute: [anywhere]").replace(
        "personal: {deny: [hyper]", "personal: {where: {located: [EEA]}, deny: [hyper]"
    )
    decision = load(text).decide("hr/x", operation="compute")
    assert {name: len(reasons) for name, reasons in decision.rejected.items()} == {"hyper/fr": 1, "other/us": 1}


def test_a_waiver_cannot_relax_what_is_firm_even_when_loading_would_let_it(load, world):
    policy = load(POLICY.replace("deny: [hyper], ", ""))
    (confidential,) = policy.book.requirements["confidential"]
    firm = {**policy.book.requirements, "confidential": (replace(confidential, waivable=False),)}
    book = replace(policy.book, requirements=firm)
    strict = policies.Policy(book, policy.world, clock=lambda: world.now)
    assert where_else(policy.decide("hr/legacy/x"))["hyper/fr"] == "sealed"
    assert where_else(strict.decide("hr/legacy/x"))["hyper/fr"] == "sealed, names hidden, keys in european"


def test_where_nothing_says_so_nothing_may_be_computed_on(load):
    policy = load(POLICY.replace(", compute: [anywhere]", ""))
    decision = policy.decide("hr/x", operation="compute")
    assert not decision.allowed
    reason = "`public`, which every label includes, does not say where anything may be computed on"
    assert all(reason in reasons for reasons in decision.rejected.values())


def test_what_must_be_kept_longer_than_it_may_be_is_refused(load):
    extra = "  - {id: k, path: 'k/**', label: confidential+ledger+personal}\n"
    text = POLICY.replace("  personal:", "  ledger: {retain: {min: 10y}}\n  personal:").replace(
        "zones:\n", "categories: {ledger: {}}\nzones:\n", 1
    )
    policy = load(text.replace("classify:\n", f"classify:\n{extra}"))
    decision = policy.decide("k/x")
    assert not decision.allowed
    assert decision.reasons[-1] == "it would have to be kept for longer than it may be kept"


@pytest.mark.parametrize(
    ("prefer", "first"),
    [
        ("[zone, cost]", "alpha/fr"),
        ("[cost]", "beta/fr"),
        ("[german, cost]", "gamma/de"),
        ("[cost, zone]", "beta/fr"),
        ("[latency]", "alpha/fr"),
    ],
)
def test_preference(load, prefer, first):
    text = POLICY.replace("zones:\n", f"prefer: {prefer}\nzones:\n  german: {{located: [DE]}}\n", 1)
    assert load(text).decide("public/x").targets[0].target == first


def test_what_is_unknown_ranks_last(load):
    text = POLICY.replace("zones:\n", "prefer: [cost]\nzones:\n", 1)
    decision = load(text).decide("public/x")
    ranked = [c.target for c in (*decision.targets, *decision.alternatives)]
    assert ranked == ["beta/fr", "hyper/fr", "gamma/de", "alpha/fr", "other/us"]


def test_a_decision_is_the_same_for_everybody(load, targets):
    one, other = load(), load(POLICY, over=targets[::-1])
    assert one.decide("hr/x") == other.decide("hr/x")
    assert one.digest == other.digest
    assert one.decide("hr/x").catalogue == other.decide("hr/x").catalogue
    assert load(POLICY + "# a comment\n").digest == one.digest
    assert load(POLICY.replace("count: 2", "count: 3")).digest != one.digest
    assert load(over=targets[:-1]).decide("hr/x").catalogue != one.decide("hr/x").catalogue


def test_a_decision_is_json(policy):
    decision = policy.decide("hr/x", label="restricted")
    again = json.loads(json.dumps(decision.to_dict()))
    assert again == decision.to_dict()
    assert again["label"] == "restricted+personal"
    assert next(iter(again)) == "allowed"


def test_time_is_the_clock_that_was_given(load, world):
    policy = load()
    assert policy.decide("hr/x").at == world.now
    later = datetime(2027, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    assert where(policy.decide("hr/x", at=later))["alpha/fr"] == "clear"
    assert where(policy.decide("hr/x", at=later + timedelta(minutes=30)))["beta/fr"] == "sealed"
    assert "alpha/fr" not in where(policy.decide("public/x", at=later + timedelta(days=1), label="restricted"))
    assert policy.explain("hr/x") == policy.decide("hr/x")


@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_the_ends_of_time_are_days_too(policy, at):
    assert policy.decide("hr/x", at=at).at == at
    assert policy.decide("hr/x", at=at.replace(tzinfo=timezone(timedelta(hours=5)))).label.level == "confidential"
    assert policy.decide("hr/x", at=at.replace(tzinfo=timezone(timedelta(hours=-5)))).label.level == "confidential"


def test_what_means_nothing_is_refused(policy):
    with pytest.raises(InvalidArgument, match="did you mean `restricted`"):
        policy.decide("x", label="restrcted")
    with pytest.raises(InvalidArgument, match="did you mean `put`"):
        policy.decide("x", operation="putt")
    with pytest.raises(InvalidArgument, match="unknown label"):
        policy.decide("x", stored=Label("secret"))
    with pytest.raises(InvalidArgument, match="no zone"):
        policy.decide("x", at=datetime(2026, 1, 1))  # noqa: DTZ001  # that it has no zone is the point
    with pytest.raises(InvalidArgument, match="ordinal"):
        policy.route("x", 0, 0)
    # A category that the policy says nothing of is not a word of it.
    with pytest.raises(InvalidArgument, match="unknown label"):
        policy.decide("x", label="restricted+dr")


@pytest.mark.parametrize("mask", [-1, 0b010, 0b100, 1 << 4, 1 << 5, 1 << 40])
def test_a_mask_that_no_label_has_cannot_widen_anything(policy, mask):
    # Bit 3 is `personal`, which implies a level; the bits above the lattice are the matcher's own.
    with pytest.raises(InvalidArgument, match="not the mask of a label"):
        policy.route("public/x", mask)


def test_a_target_given_twice_is_refused(load, targets):
    with pytest.raises(InvalidArgument, match="given twice"):
        load(over=[*targets, targets[0]])


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_key_or_metadata_raises(data):
    key = data.draw(st.one_of(st.text(max_size=30), st.text("hr/public.\0\ud800é", max_size=12)))
    metadata = data.draw(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
    decision = FIXED.decide(key, metadata=metadata)
    assert decision.allowed == bool(decision.targets)
    assert str(decision)
    assert FIXED.route(key).mask <= FIXED.lattice.mask(decision.label)


FIXED = policies.loads(
    POLICY.replace("deny: [hyper], ", ""), targets=[], keys=[], at=datetime(2026, 11, 24, tzinfo=UTC)
)


def test_without_targets_everything_is_refused():
    decision = FIXED.decide("public/x")
    assert not decision.allowed
    assert decision.reasons[-1] == "there are no targets"


def test_threads_see_the_same_decisions(policy):
    keys = [f"{top}/{i}" for i in range(50) for top in ("hr", "public", "both", "x")]
    days = [datetime(2026 + i % 3, 1 + i % 12, 1, tzinfo=UTC) for i in range(len(keys))]
    expected = [policy.decide(key, at=day) for key, day in zip(keys, days, strict=True)]
    wrong = []

    def run():
        for key, day, own in zip(keys, days, expected, strict=True):
            if policy.decide(key, at=day) != own or policy.route(key, 0, day.toordinal()).choice != own.targets:
                wrong.append(key)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_many_labels_do_not_fill_memory(policy, monkeypatch):
    monkeypatch.setattr("sovbroker.policy.policy.CELLS_MAX", 2)
    for level in policy.lattice.levels:
        for extra in ("", "+personal"):
            decision = policy.decide("public/x", label=level + extra)
            assert decision == policy.decide("public/x", label=level + extra)
    assert len(policy._epoch.cells) <= 2
    assert len(policy._epoch.verdicts) <= 2


def test_the_default_policy_seals_everything_here(world):
    policy = policies.loads(
        policies.DEFAULT, targets=[world.target("local", provider="local")], keys=[world.keys("main")], at=world.now
    )
    assert policy.warnings == ()
    for label in policy.lattice.levels:
        decision = policy.decide("any/key", label=label)
        assert where(decision) == {"local": "sealed"}
        assert decision.targets[0].keys == ("main",)
    elsewhere = policies.loads(policies.DEFAULT, targets=[world.target("aws/x", provider="aws")], at=world.now)
    assert not elsewhere.decide("any/key").allowed


def test_an_invariant_tells_what_is_meant_to_lie_nowhere(world):
    text = """
sovbroker: 1
levels: [public, secret]
zones: {home: {located: [FR]}}
require: {public: {store: {home: {}}}, classified: {store: {}}, dr: {store: {}}, personal: {store: {home: {}}}}
always:
  - {id: nowhere, label: classified, demand: refused}
  - {id: not-abroad, label: dr, outside: [home], demand: refused}
  - {id: not-inside, label: dr, inside: [home], demand: refused}
  - {id: no-computing, label: personal, operation: compute, demand: refused}
"""
    policy = policies.loads(text, targets=[world.target("p/a")], at=world.now)
    forbidden = {
        name
        for name in ("public", "secret", "classified", "dr", "personal", "secret+classified")
        if policy.book.forbids(policy.lattice.mask_of_text(name))
    }
    assert forbidden == {"classified", "secret+classified"}
    assert [d.code for d in policy.warnings] == ["SB101"], "only what is meant to lie nowhere is not warned of"


def test_any_element_that_asks_for_padding_is_enough(load):
    text = POLICY.replace("  personal: {deny", "  personal: {pad: true, deny")
    found = load(text.replace("  internal: {store", "  internal: {pad: false, store"))
    padded = found.decide("hr/x")
    assert padded.pad
    assert padded.to_dict()["pad"] is True
    assert "sealed copies have a padded size" in padded.reasons
    assert not found.decide("both/x").pad
    assert not found.decide("hr/x", operation="compute").pad


def test_a_policy_that_does_not_pad_has_the_digest_that_it_had(load):
    plain = load()
    said = load(POLICY.replace("  internal: {store", "  internal: {pad: false, store"))
    padded = load(POLICY.replace("  internal: {store", "  internal: {pad: true, store"))
    assert said.digest == plain.digest != padded.digest
    assert said.decide("hr/x").digest == plain.decide("hr/x").digest != padded.decide("hr/x").digest
    assert "pad" not in plain.decide("hr/x").to_dict()
