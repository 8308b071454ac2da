"""The proof as a whole: placements through time, what is printed, and the calendar."""

import builtins
import json
from datetime import UTC, date, datetime

import pytest
from icalendar import Calendar

from sovbroker import policy as policies
from sovbroker.errors import ConfigError
from sovbroker.policy import Policy
from sovbroker.policy.prove import calendar, prove

AT = date(2026, 11, 24)

TIME = """
  certified: {located: [FR], qualified: [hds]}
require:
  public: {store: {anywhere: {}}}
  internal: {store: {certified: {}, european: {encrypt: client}}}
  restricted: {store: {certified: {}}, copies: {count: 2}}
classify:
  - {id: out, path: "out/**", label: public}
  - {id: in, path: "in/**", label: internal}
default: restricted
"""


@pytest.fixture(scope="module")
def targets(world):
    def certified(until):
        return world.qualified("hds", until=until)

    return [
        world.target("p/a", "FR", "US", certified(date(2026, 12, 31))),
        world.target("p/b", "FR", "FR", certified(date(2027, 6, 1))),
        world.target("p/c", "FR", "US", certified(date(2026, 12, 31))),
        world.target("q/us", "US", "US"),
    ]


def test_a_label_that_can_go_nowhere_today_is_an_error(proof_of, found):
    text = "require:\n  internal: {store: {french: {}}}\ndefault: internal\n"
    assert proof_of(text).holds
    proof = proof_of(text, targets=[])
    assert found(proof, "SB041") == [("internal", "label `internal` has no placement: there are no targets")]
    assert not proof.holds


def test_a_join_without_a_placement_is_told_where_its_labels_have_one(proof_of, found, world):
    text = """
  us: {located: [US]}
require:
  a: {store: {french: {}}}
  b: {store: {us: {}}}
categories: {a: {}, b: {}}
classify:
  - {id: one, path: "x/**", label: a}
  - {id: two, path: "**/*.csv", label: b}
default: public
"""
    assert [message.split("`")[1] for _, message in found(proof_of(text), "SB041")] == ["public+a+b"]
    apart = text.replace('"**/*.csv"', '"y/**"')
    assert proof_of(apart).holds
    nowhere = proof_of(text, targets=[world.target("p/fr")])
    assert [message.split("`")[1] for _, message in found(nowhere, "SB041")] == ["public+b"]


def test_every_label_that_is_written_is_told_where_it_has_no_placement(proof_of, found):
    text = "require: {public: {store: {}}}\nclassify: [{id: r, path: 'a/**', label: internal}]\n"
    assert sorted(place for place, _ in found(proof_of(text), "SB041")) == ["internal", "public", "restricted"]


def test_a_label_that_is_to_be_refused_everywhere_needs_no_placement(proof_of, found):
    text = "require: {restricted: {store: {}}}\nalways: [{id: never, label: restricted, demand: refused}]\n"
    proof = proof_of(text)
    # Stored nowhere; and computed on nowhere, because nothing says where anything is.
    assert proof.diagnostics == ()
    assert [m for _, m in found(proof_of("require: {restricted: {store: {}}}\n"), "SB041")] != []


def test_days_on_which_labels_lose_targets(proof_of, found, targets):
    proof = proof_of(TIME, targets=targets)
    assert proof.holds
    assert [(loss.day.isoformat(), loss.label, loss.target, loss.left, loss.dark) for loss in proof.dark] == [
        ("2026-12-31", "internal", "p/a", 1, False),
        ("2026-12-31", "internal", "p/c", 1, False),
        ("2026-12-31", "restricted", "p/a", 1, True),
        ("2026-12-31", "restricted", "p/c", 1, True),
        ("2027-06-01", "restricted", "p/b", 0, True),
    ]
    warnings = found(proof, "SB108")
    # Of several days, the first one is told; and why.
    assert [(place, message.partition(":")[0]) for place, message in warnings] == [
        ("restricted", "label `restricted` has no placement from 2026-12-31 on")
    ]
    assert "`restricted`: not in certified: hds: expired on 2026-12-31; p/c: " in warnings[0][1]
    assert proof.numbers["epochs"] == 3


def test_days_before_the_proof_are_no_epochs(load, targets):
    proof = prove(load(TIME_POLICY, targets), at=date(2027, 1, 1))
    assert proof.numbers["epochs"] == 2
    assert [loss.target for loss in proof.dark] == ["p/b"]
    assert {d.code for d in proof.diagnostics if d.severity == "error"} == {"SB041"}


TIME_POLICY = f"""
sovbroker: 1
levels: [public, internal, restricted]
zones:
  european: {{located: [EEA], controlled: [EEA]}}
  anywhere: {{}}
{TIME.lstrip(chr(10))}"""


def test_keys_can_be_taken_to_be_wherever_they_have_to_be(proof_of, found):
    text = "require: {internal: {store: {anywhere: {encrypt: client, keys: french}}}}\ndefault: internal\n"
    assert found(proof_of(text, keys=[]), "SB041") != []
    proof = proof_of(text, keys=[], any_keys=True)
    assert proof.holds
    assert proof.any_keys
    assert "key services wherever keys have to be" in str(proof)
    both = text.replace("keys: french", "keys: [french, us]").replace("require", "  us: {located: [US]}\nrequire")
    assert found(proof_of(both, keys=[], any_keys=True), "SB041") != []


def test_a_proof_prints_what_was_looked_at_and_what_holds(proof_of, targets):
    text = str(proof_of(TIME, targets=targets))
    lines = text.splitlines()
    assert lines[0] == "proved for 3 labels x 5 possible targets x 3 epochs"
    assert lines[1] == "  (every label; every kind of target)"
    assert [line[:6].strip() for line in lines[2:6]] == ["yes:"] * 4
    assert "2026-12-31: `internal` loses p/a, and 1 target stays" in lines
    assert "2027-06-01: `restricted` loses p/b, and has no placement" in lines


def test_a_failed_proof_prints_the_case(proof_of):
    proof = proof_of(
        "require: {public: {store: {anywhere: {}}}}\ndefault: public\n"
        "always: [{id: i, label: public, demand: {encrypt: client}}]\n"
    )
    lines = str(proof).splitlines()
    assert lines[0].startswith("NOT proved for 3 labels x 3 possible targets x 1 epoch")
    assert "  no:  every invariant (1) holds at every possible target" in lines
    assert "    sovbroker-tests: 1" in lines
    assert "  yes: every reachable label (1) has a placement" in lines


def test_a_proof_is_the_same_whatever_the_order_of_files_and_targets(proof_of, targets):
    first = proof_of(TIME, targets=targets)
    again = proof_of(TIME, targets=targets[::-1])
    assert first.to_dict() == again.to_dict()
    assert str(first) == str(again)
    told = first.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert list(told) == [
        "policy", "digest", "at", "holds", "every_label", "complete", "any_keys", "numbers", "diagnostics",
        "counterexamples", "dark",
    ]  # fmt: skip
    assert told["dark"][0] == {
        "label": "internal", "day": "2026-12-31", "target": "p/a", "left": 1, "dark": False,
    }  # fmt: skip


def test_a_policy_that_was_made_from_a_rulebook_is_proved_too(load):
    policy = load(
        "sovbroker: 1\nlevels: [low]\nzones: {here: {located: [CN]}, mine: {target: [p/fr]}}\n"
        "require: {low: {store: {here: {}}, copies: {count: 2}}}\nclassify: [{id: r, path: '**/*x*', label: low}]\n"
        "always: [{id: i, label: low, demand: refused}]\nprefer: [cost]\n"
    )
    proof = prove(Policy(policy.book, policy.world, clock=lambda: datetime(2026, 11, 24, tzinfo=UTC)), at=AT)
    assert {d.code for d in proof.diagnostics} == {"SB040"}
    assert {(d.file, d.line) for d in proof.diagnostics} == {("policy", 1)}


def test_the_calendar_has_an_event_for_each_label_and_day(proof_of, targets):
    proof = proof_of(TIME, targets=targets)
    events = Calendar.from_ical(calendar(proof)).walk("VEVENT")
    assert [(str(e["summary"]), e["dtstart"].dt, e["dtend"].dt) for e in events] == [
        ("`internal` loses 2 targets", date(2026, 12, 31), date(2027, 1, 1)),
        ("`restricted` loses 2 targets, and has no placement", date(2026, 12, 31), date(2027, 1, 1)),
        ("`restricted` loses 1 target, and has no placement", date(2027, 6, 1), date(2027, 6, 2)),
    ]
    assert str(events[0]["description"]) == "p/a complies no more\np/c complies no more\n1 left"
    assert {e["dtstamp"].dt for e in events} == {datetime(2026, 11, 24, tzinfo=UTC)}
    assert len({str(e["uid"]) for e in events}) == 3
    assert calendar(proof) == calendar(proof_of(TIME, targets=targets[::-1]))
    assert calendar(proof).endswith(b"END:VCALENDAR\r\n")


def test_an_event_keeps_its_uid_from_one_day_to_the_next(load, targets):
    policy = load(TIME_POLICY, targets)

    def uids(day):
        events = Calendar.from_ical(calendar(prove(policy, at=day))).walk("VEVENT")
        return {(str(e["summary"]), str(e["uid"])) for e in events}

    assert uids(AT) == uids(date(2026, 11, 25))


def test_a_calendar_without_its_library_says_what_to_install(proof_of, targets, monkeypatch):
    proof = proof_of(TIME, targets=targets)
    real = builtins.__import__

    def missing(name, *rest):
        if name == "icalendar":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigError, match=r"pip install 'sovbroker\[cli\]'"):
        calendar(proof)


def test_what_only_a_pack_demands_is_followed_through_time_but_is_no_error_today():
    text = """
sovbroker: 1
extends: [fr-sren-art31, fr-dr]
levels: [public, confidential]
zones: {anywhere: {}}
require: {public: {store: {anywhere: {}}}}
"""
    day = date(2026, 11, 25)
    policy = policies.loads(text, keys=None, at=datetime(2026, 11, 25, tzinfo=UTC))
    proof = prove(policy, at=day)
    assert proof.holds, str(proof)
    lost = [loss for loss in proof.dark if loss.label == "confidential+sren31"]
    assert [loss.target for loss in lost if not loss.left], "the last qualified target lapses some day"
    assert [found.code for found in proof.diagnostics if "sren31" in found.message] == ["SB108"]
    assert not [found for found in proof.diagnostics if "`public+dr`" in found.message]
