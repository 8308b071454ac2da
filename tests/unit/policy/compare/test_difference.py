"""What a comparison says, held against decisions about every single object."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sovbroker.errors import InvalidArgument
from sovbroker.policy.compare import GROUPS, Amount, Item, compare

ENDLESS = timedelta.max
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def decisions(policy, item, now):
    given = {"label": item.label, "metadata": item.metadata, "at": now}
    return policy.decide(item.key, **given), policy.decide(item.key, operation="compute", **given)


def ways(decision):
    if not decision.allowed:
        return {}
    return {
        c.target: (c.mode.sealed, c.mode.names_encrypted, frozenset(c.keys))
        for c in (*decision.targets, *decision.alternatives)
    }


def computing(decision):
    return {c.target for c in (*decision.targets, *decision.alternatives)} if decision.allowed else set()


def weaker(new, old):
    (sealed, names, keys), (was_sealed, were_names, were_keys) = new, old
    return (
        (was_sealed and not sealed) or (were_names and not names) or (sealed and was_sealed and bool(keys - were_keys))
    )


def gains(old, new, levels):
    """Whether the pair of decisions `new` allows anything that `old` does not, straight from what they say."""
    (before, computed), (after, computes) = old, new
    was, now = ways(before), ways(after)
    rank = levels.index
    if rank(after.label.level) < rank(before.label.level) or before.label.categories - after.label.categories:
        return True
    if set(now) - set(was) or any(weaker(now[t], was[t]) for t in set(now) & set(was)):
        return True
    if computing(computes) - computing(computed):
        return True
    if not (before.allowed and after.allowed):
        return False
    least = [(d.retain and d.retain.min) or timedelta(0) for d in (before, after)]
    most = [(d.retain and d.retain.max) or ENDLESS for d in (before, after)]
    return (
        after.copies < before.copies
        or bool(before.distinct - after.distinct)
        or least[1] < least[0]
        or most[1] > most[0]
        or (before.pad and not after.pad)
    )


def expected(old, new, item, now):
    """The groups of one object, and the target at which it is read (None: nowhere)."""
    before, after = decisions(old, item, now), decisions(new, item, now)
    levels = list(old.lattice.levels)
    was, will = ways(before[0]), ways(after[0])
    chosen, choice = ({c.target for c in d[0].targets} for d in (before, after))
    groups = set()
    if gains(before, after, levels):
        groups.add("loosens")
    if gains(after, before, levels):
        groups.add("tightens")
    if before[0].allowed and not after[0].allowed:
        groups.add("refused")
    here = set(item.targets) or chosen
    source = None
    if will and here:
        due = chosen != choice or any(t in was and t not in will for t in here)
        leaves, comes = (here - choice, choice - here) if due else (set(), set())
        kept = here & set(was) & (choice if due else set(will))
        again = {t for t in kept if weaker(was[t], will[t])}
        if leaves or comes:
            groups.add("moves")
        if comes or again:
            source = min(again or leaves or here)
    return groups or {"unchanged"}, source


@quick
@given(data=st.data())
def test_every_object_is_judged_as_its_two_decisions_are(data, kit, draws):
    old, new = (kit.load(data.draw(draws["documents"]())) for _ in range(2))
    inventory = data.draw(draws["items"]())
    groups, bytes_of, read = Counter(), Counter(), Counter()
    for item in inventory:
        found, source = expected(old, new, item, kit.now)
        groups.update(found)
        bytes_of.update(dict.fromkeys(found, item.size))
        if source is not None:
            read[source.partition("/")[0]] += item.size
    difference = compare(old, new, inventory, at=kit.day)
    assert {name: amount.objects for name, amount in difference.groups.items() if amount.objects} == dict(groups)
    assert {name: difference.groups[name].bytes for name in GROUPS} == {name: bytes_of[name] for name in GROUPS}
    assert {name: amount.bytes for name, amount in difference.egress.items()} == dict(read)


@quick
@given(data=st.data())
def test_one_object_alone_has_the_groups_of_its_decisions(data, kit, draws):
    old, new = (kit.load(data.draw(draws["documents"]())) for _ in range(2))
    for item in data.draw(draws["items"]())[:4]:
        (own,) = compare(old, new, [item], at=kit.day).classes
        assert set(own.groups) == expected(old, new, item, kit.now)[0]
        assert str(old.classify(item.key, label=item.label, metadata=item.metadata).label) == own.verdict.old.label
        assert str(new.classify(item.key, label=item.label, metadata=item.metadata).label) == own.verdict.new.label


@quick
@given(data=st.data())
def test_the_classes_hold_every_object_once(data, kit, draws):
    old, new = (kit.load(data.draw(draws["documents"]())) for _ in range(2))
    inventory = data.draw(draws["items"]())
    difference = compare(old, new, iter(inventory), at=kit.day)
    assert difference.amount == Amount(len(inventory), sum(item.size for item in inventory))
    counted = Counter()
    for own in difference.classes:
        counted[own.label, own.targets] += own.amount.objects
    assert counted == Counter((item.label, tuple(sorted(set(item.targets)))) for item in inventory)


@quick
@given(data=st.data())
def test_a_policy_does_not_differ_from_itself(data, kit, draws):
    document = data.draw(draws["documents"]())
    policy, again = kit.load(document), kit.load(document)
    difference = compare(policy, again, data.draw(draws["items"]()), at=kit.day)
    assert (difference.exit_code, difference.verdict) == (0, "same")
    assert difference.groups["unchanged"] == difference.amount
    assert not difference.egress
    assert not difference.samples
    assert not difference.unseen


@quick
@given(data=st.data())
def test_what_loosens_one_way_tightens_the_other_way(data, kit, draws):
    old, new = (kit.load(data.draw(draws["documents"]())) for _ in range(2))
    inventory = data.draw(draws["items"]())
    there, back = compare(old, new, inventory, at=kit.day), compare(new, old, inventory, at=kit.day)
    assert there.groups["loosens"] == back.groups["tightens"]
    assert there.groups["tightens"] == back.groups["loosens"]
    for row, other in zip(there.labels, back.labels, strict=True):
        assert row.label == other.label
        lost = {(c.what, c.target, c.old, c.new) for c in row.verdict.loosens}
        assert lost == {(c.what, c.target, c.new, c.old) for c in other.verdict.tightens}


@quick
@given(data=st.data(), seed=st.integers())
def test_the_order_of_the_inventory_means_nothing(data, seed, kit, draws):
    old, new = (kit.load(data.draw(draws["documents"]())) for _ in range(2))
    inventory = data.draw(draws["items"]())
    shuffled = random.Random(seed).sample(inventory, len(inventory))
    found = compare(old, new, inventory, at=kit.day)
    other = compare(old, new, shuffled, at=kit.day)
    assert json.dumps(found.to_dict()) == json.dumps(other.to_dict())
    assert str(found) == str(other)


@quick
@given(data=st.data())
def test_a_label_row_says_what_a_decision_about_that_label_says(data, kit, draws):
    rules = [{"id": f"r{level}", "path": f"{level}/**", "label": level} for level in kit.base["levels"]]
    documents = [{**data.draw(draws["documents"]()), "classify": rules, "waivers": []} for _ in range(2)]
    old, new = map(kit.load, documents)
    for row in compare(old, new, at=kit.day).labels:
        item = Item("public/x", label=row.label)
        groups, _ = expected(old, new, item, kit.now)
        assert bool(row.verdict.loosens) == ("loosens" in groups), row.label
        assert bool(row.verdict.tightens) == ("tightens" in groups), row.label


@quick
@given(data=st.data())
def test_nothing_is_called_same_when_an_object_would_be_treated_differently(data, kit, draws):
    old, new = (kit.load(data.draw(draws["documents"]())) for _ in range(2))
    difference = compare(old, new, at=kit.day)
    if difference.exit_code == 0:
        for item in data.draw(draws["items"]()):
            assert expected(old, new, item, kit.now)[0] == {"unchanged"}


# --- single changes


def changed(kit, **requirements):
    return kit.load(require={**kit.base["require"], **requirements})


@pytest.mark.parametrize(
    ("element", "requirement", "code", "what"),
    [
        ("public", {"store": {"anywhere": {}}, "compute": ["anywhere"]}, 0, None),
        ("public", {"store": {"anywhere": {"encrypt": "client"}}, "compute": ["anywhere"]}, 1, "mode"),
        ("public", {"store": {"european": {}}, "compute": ["anywhere"]}, 1, "target"),
        ("internal", {"store": {"anywhere": {}}, "compute": ["european"]}, 3, "mode"),
        ("internal", {"store": {"european": {}, "anywhere": {"encrypt": "client"}}}, 3, "compute"),
        ("secret", {"store": {"french": {"encrypt": "client"}}, "copies": {"count": 2}}, 3, "distinct"),
        ("secret", {"store": {"french": {"encrypt": "client"}}}, 3, "copies"),
        (
            "secret",
            {
                "store": {"european": {"encrypt": "client"}},
                "copies": {"count": 2, "distinct": ["provider"]},
            },
            3,
            "target",
        ),
    ],
)
def test_one_change_of_a_requirement_has_its_code_and_its_name(kit, element, requirement, code, what):
    difference = compare(kit.load(), changed(kit, **{element: requirement}), at=kit.day)
    assert difference.exit_code == code
    verdicts = [row.verdict for row in difference.labels]
    found = {c.what for v in verdicts for c in (v.loosens if code == 3 else v.tightens)}
    assert what in found if what else not found


def test_a_shorter_retention_loosens_and_a_longer_one_tightens(kit):
    secret = kit.base["require"]["secret"]
    short = changed(kit, secret={**secret, "retain": {"min": "1y"}})
    long = changed(kit, secret={**secret, "retain": {"min": "2y", "max": "9y"}})
    assert compare(long, short, at=kit.day).exit_code == 3
    assert [c.old for row in compare(long, short, at=kit.day).labels for c in row.verdict.loosens][:2] == [
        "at least 731 days",
        "at most 3288 days",
    ]
    assert compare(short, long, at=kit.day).exit_code == 1


def test_sizes_that_are_not_padded_any_more_loosen(kit):
    secret = kit.base["require"]["secret"]
    plain, padded = changed(kit, secret=secret), changed(kit, secret={**secret, "pad": "true"})
    difference = compare(padded, plain, at=kit.day)
    assert difference.exit_code == 3
    (found,) = {c for row in difference.labels for c in row.verdict.loosens}
    assert (found.what, found.target, found.old, found.new) == ("pad", "", "padded", "not padded")
    assert compare(plain, padded, at=kit.day).exit_code == 1


def test_a_zone_that_grew_under_its_name_loosens(kit):
    zones = {**kit.base["zones"], "french": {"located": ["FR", "DE"], "controlled": ["FR", "DE"]}}
    keyed = {"store": {"anywhere": {"encrypt": "client", "keys": "french"}}}
    old = changed(kit, secret=keyed)
    new = kit.load(zones=zones, require={**kit.base["require"], "secret": keyed})
    (row,) = [row for row in compare(old, new, at=kit.day).labels if row.label == "secret"]
    assert {c.what for c in row.verdict.loosens} == {"mode"}
    assert "served by berlin, paris" in row.verdict.loosens[0].new
    assert not row.verdict.tightens


def test_another_order_of_preference_moves_and_loosens_nothing(kit):
    old, new = kit.load(prefer=["cost"]), kit.load(prefer=["zone"])
    lies = old.placement(0, at_day=kit.day.toordinal()).choice[0].target
    item = Item("public/a", 7, None, (lies,))
    difference = compare(old, new, [item], at=kit.day)
    (own,) = difference.classes
    assert (difference.exit_code, own.groups) == (1, ("moves",))
    assert own.journey.leaves == (lies,)
    assert own.journey.source == lies
    arrived = own.journey.arrives[0].partition("/")[0]
    assert difference.arrives == {arrived: Amount(1, 7)}


def test_what_lies_where_the_new_policy_puts_it_does_not_move(kit):
    old, new = kit.load(prefer=["cost"]), kit.load(prefer=["zone"])
    there = new.placement(0, at_day=kit.day.toordinal()).choice[0].target
    (own,) = compare(old, new, [Item("public/a", 7, None, (there,))], at=kit.day).classes
    assert own.groups == ("unchanged",)


def test_a_copy_at_a_target_that_stays_is_sealed_again_and_read_once(kit):
    old = changed(kit, public={"store": {"anywhere": {}}})
    new = changed(kit, public={"store": {"anywhere": {"encrypt": "client"}}})
    difference = compare(old, new, [Item("public/a", 10, None, ("us/west", "us/east"))], at=kit.day)
    (own,) = difference.classes
    assert own.groups == ("tightens",)
    assert own.journey.reseals == ("us/east", "us/west")
    assert difference.reseals == Amount(1, 10)
    assert difference.egress == {"us": Amount(1, 10)}


def test_what_has_to_be_sealed_again_is_read_rather_than_what_goes(kit):
    old = changed(kit, public={"store": {"anywhere": {}}})
    new = changed(kit, public={"store": {"french": {"encrypt": "client"}}, "deny": ["fr/lyon", "fr2"]})
    (own,) = compare(old, new, [Item("public/a", 10, None, ("de/bonn", "fr/paris"))], at=kit.day).classes
    assert (own.journey.leaves, own.journey.reseals) == (("de/bonn",), ("fr/paris",))
    assert own.journey.source == "fr/paris"


def test_what_is_refused_stays_where_it_is(kit):
    new = changed(kit, public={"store": {"french": {}}, "deny": ["fr", "fr2"]})
    difference = compare(kit.load(), new, [Item("public/a", 10, None, ("us/east",))], at=kit.day)
    assert difference.groups["refused"] == difference.groups["tightens"] == Amount(1, 10)
    assert not difference.groups["moves"].objects
    assert not difference.egress
    assert difference.exit_code == 1


def test_an_object_in_two_groups_counts_in_both_and_once_in_all(kit):
    new = changed(kit, internal={"store": {"french": {}, "anywhere": {}}, "deny": ["fr2"]})
    difference = compare(kit.load(), new, [Item("other", 5, "internal", ("fr2/lille",))], at=kit.day)
    (own,) = difference.classes
    assert {"loosens", "tightens", "moves"} == set(own.groups)
    assert difference.amount == Amount(1, 5)
    assert difference.exit_code == 3


# --- rules, waivers and labels without an inventory


def test_a_rule_that_is_gone_loosens_by_a_sample(kit):
    rules = [*kit.base["classify"], {"id": "top", "path": "top/**", "label": "secret"}]
    difference = compare(kit.load(classify=rules), kit.load(), at=kit.day)
    assert difference.exit_code == 3
    assert {sample.verdict.old.label for sample in difference.samples} == {"secret"}
    assert all(sample.question.key.startswith("top/") for sample in difference.samples)
    assert "`top`" in difference.unseen[0]


def test_a_new_rule_below_the_default_loosens(kit):
    rules = [*kit.base["classify"], {"id": "web", "path": "web/**", "label": "public"}]
    assert compare(kit.load(), kit.load(classify=rules), at=kit.day).exit_code == 3


def test_a_rule_under_another_name_is_the_same_rule(kit):
    rules = [{**rule, "id": f"{rule['id']}-again"} for rule in kit.base["classify"]]
    assert compare(kit.load(), kit.load(classify=rules), at=kit.day).exit_code == 0


def test_a_lower_default_loosens(kit):
    assert compare(kit.load(default="secret"), kit.load(default="internal"), at=kit.day).exit_code == 3
    assert compare(kit.load(default="internal"), kit.load(default="secret"), at=kit.day).exit_code == 1


def test_a_rule_about_metadata_is_tried_with_that_metadata(kit):
    rules = [*kit.base["classify"], {"id": "cv", "meta": {"kind": "cv"}, "label": "secret"}]
    difference = compare(kit.load(classify=rules), kit.load(), at=kit.day)
    assert difference.exit_code == 3
    assert [dict(sample.question.metadata) for sample in difference.samples] == [{"kind": "cv"}]


def test_a_rule_about_content_is_tried_with_that_content(kit):
    rules = [*kit.base["classify"], {"id": "iban", "content": "iban", "min": "3", "label": "secret"}]
    difference = compare(kit.load(classify=rules), kit.load(), at=kit.day)
    assert difference.exit_code == 3
    (sample,) = difference.samples
    assert sample.question.scan.counts["iban"] == 3
    assert any("content" in note for note in difference.notes)


def test_a_new_waiver_loosens_in_its_path_alone(kit):
    waiver = {
        "id": "W1", "path": "hr/old/**", "label": "internal+personal", "store": {"anywhere": {"encrypt": "client"}},
        "reason": "test", "owner": "a@b.c", "approved": ["d@b.c", "e@b.c"], "expires": "2026-12-31",
    }  # fmt: skip
    old, new = kit.load(), kit.load(waivers=[waiver])
    difference = compare(old, new, [Item("hr/old/x", 1), Item("hr/x", 2)], at=kit.day)
    assert difference.groups["loosens"] == Amount(1, 1)
    assert difference.groups["unchanged"] == Amount(1, 2)
    assert compare(old, new, at=kit.day).exit_code == 3
    assert compare(old, new, [Item("hr/old/x", 1)], at=kit.day.replace(year=2027)).exit_code == 0


def test_a_waiver_does_not_cover_what_metadata_makes_stricter_than_its_bound(kit):
    waiver = {
        "id": "W1", "path": "hr/**", "label": "internal+personal", "store": {"anywhere": {"encrypt": "client"}},
        "reason": "test", "owner": "a@b.c", "approved": ["d@b.c", "e@b.c"], "expires": "2026-12-31",
    }  # fmt: skip
    rules = [*kit.base["classify"], {"id": "cv", "meta": {"kind": "cv"}, "label": "secret"}]
    items = [Item("hr/x", 1, metadata={"kind": "cv"}), Item("hr/x", 2, metadata={"kind": "no"})]
    difference = compare(kit.load(classify=rules), kit.load(classify=rules, waivers=[waiver]), items, at=kit.day)
    assert difference.groups["loosens"] == Amount(1, 2)
    assert difference.groups["unchanged"] == Amount(1, 1)


def test_a_label_that_one_policy_does_not_know_is_said_and_refused(kit):
    levels = ["public", "internal", "confidential", "secret"]
    new = kit.load(levels=levels)
    back = compare(new, kit.load(), [Item("a", 3, "confidential")], at=kit.day)
    assert back.groups["refused"] == Amount(1, 3)
    assert any("confidential" in note for note in back.notes)
    assert any("confidential" in text for text in back.unseen)
    assert compare(kit.load(), new, at=kit.day).exit_code == 1


def test_a_label_that_neither_policy_knows_is_an_error(kit):
    with pytest.raises(InvalidArgument, match=r"labelled `sercet`, which neither policy knows.*did you mean `secret`"):
        compare(kit.load(), kit.load(), [Item("a", 3, "sercet")], at=kit.day)


def test_a_lost_category_is_a_lower_label(kit):
    rules = [{**rule, "label": rule["label"].partition("+")[0]} for rule in kit.base["classify"]]
    (own,) = compare(kit.load(), kit.load(classify=rules), [Item("hr/x")], at=kit.day).classes
    assert [c.old for c in own.verdict.loosens if c.what == "label"] == ["personal"]


def test_more_labels_than_are_compared_are_never_called_the_same(kit):
    names = [f"c{index}" for index in range(12)]
    require = {**kit.base["require"], **{name: {"store": {"european": {}}} for name in names}}
    categories = {**kit.base["categories"], **{name: {} for name in names}}
    old = kit.load(require=require, categories=categories)
    new = kit.load(require=require, categories=categories, name="another")
    difference = compare(old, new, at=kit.day)
    assert len(difference.labels) == 512
    assert difference.exit_code == 1
    assert any("512" in text for text in difference.unseen)
    assert compare(old, old, at=kit.day).exit_code == 0


def test_objects_at_targets_that_nobody_knows_are_noted(kit):
    difference = compare(kit.load(), kit.load(), [Item("public/a", 3, None, ("gone/away",))], at=kit.day)
    assert any("`gone/away`" in note for note in difference.notes)
    assert difference.exit_code == 0


def test_the_json_says_what_the_numbers_say(kit):
    new = changed(kit, internal={"store": {"french": {}}, "compute": ["european"]})
    inventory = [Item(f"hr/{n}", n, None, ("de/bonn",)) for n in range(5)] + [Item("public/x", 9)]
    difference = compare(kit.load(), new, inventory, at=kit.day)
    found = json.loads(json.dumps(difference.to_dict()))
    assert (found["verdict"], found["exit_code"], found["at"]) == ("changes", 1, "2026-11-24")
    assert found["inventory"]["objects"] == 6
    assert sum(own["objects"] for own in found["inventory"]["classes"]) == 6
    groups = found["inventory"]["groups"]
    assert groups["tightens"] == {"objects": 5, "bytes": 10}
    assert sum(own["bytes"] for own in found["inventory"]["classes"] if own["source"]) == sum(
        amount["bytes"] for amount in found["inventory"]["egress"].values()
    )


def test_the_text_says_every_class_that_changes_and_cuts_aloud(kit):
    rules = [{"id": f"r{n}", "path": f"d{n}/**", "label": "public"} for n in range(1)]
    difference = compare(kit.load(classify=rules), kit.load(classify=[]), [Item("d0/x", 2048)], at=kit.day)
    text = str(difference)
    assert "tightens" in text
    assert "1 object, 2.0 KiB" in text
    assert "the label gains internal" in text
    chains = [f"l{n}" for n in range(30)]
    require = {name: {"store": {"anywhere": {}}} for name in chains}
    long = kit.load(levels=chains, default="l0", require=require, classify=[], categories={})
    other = kit.load(
        levels=chains,
        default="l0",
        require={**require, "l0": {"store": {"anywhere": {"encrypt": "client"}}}},
        classify=[],
        categories={},
    )
    assert "… and 10 more: `--format json` lists all" in str(compare(long, other, at=kit.day))
