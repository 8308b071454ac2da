"""The packs over the facts that are shipped, held against rules written here, without zones."""

from datetime import date, timedelta

import pytest

from sovbroker.catalogue.facts import Basis, Confidence, Status
from sovbroker.errors import PolicyError
from sovbroker.policy import Encrypt, Mode, Names
from sovbroker.policy.mode import CLEAR

EU = set("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split())  # noqa: SIM905
EEA = EU | {"IS", "LI", "NO"}


def believed(evidence, day):
    known = evidence.basis is not Basis.MEMORY and evidence.confidence is not Confidence.LOW
    return known and (evidence.expires is None or day < evidence.expires)


def only(fact, countries, day):
    return bool(fact.value) and believed(fact.evidence, day) and set(fact.value) <= countries


def secnumcloud(target, day):
    return any(
        q.scheme == "secnumcloud"
        and q.status is Status.QUALIFIED
        and bool(q.version)
        and q.version >= (3, 2)
        and believed(q.evidence, day)
        for q in target.facts.qualified
    )


def sovereign(target, day):
    """Whether article 31 lets it hold data of particular sensitivity."""
    facts = target.facts
    return secnumcloud(target, day) and only(facts.located, EU, day) and only(facts.controlled, EEA, day)


def days(targets, freeze):
    """Return the freeze, and the day before and the day of each later end of a qualification."""
    ends = {q.evidence.expires for target in targets for q in target.facts.qualified if q.evidence.expires is not None}
    return [freeze, *sorted({day for end in ends if end > freeze for day in (end - timedelta(days=1), end)})]


@pytest.fixture(scope="module")
def paris(world):
    return [world.keys("paris")]


def test_sren_leaves_exactly_what_is_qualified_today_and_on_every_later_day(shelf, paris):
    policy = shelf.extending(["fr-sren-art31"], keys=paris)
    mode = Mode(Encrypt.CLIENT, Names.CLEAR, frozenset({"sren31-keys"}))
    counts = []
    for day in days(shelf.targets, shelf.freeze):
        due = {target.id for target in shelf.targets if sovereign(target, day)}
        assert shelf.complying(policy, "sren31", day=day) == dict.fromkeys(due, mode)
        assert shelf.complying(policy, "sren31", day=day, operation="compute").keys() == due
        counts.append(len(due))
    assert counts[0] > 1, "nothing is qualified today, so that this test would see nothing"
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0]


def test_sren_goes_nowhere_once_the_last_qualification_has_ended(shelf, paris):
    policy = shelf.extending(["fr-sren-art31"], keys=paris)
    assert shelf.complying(policy, "sren31", day=date(2036, 1, 1)) == {}


def test_sren_never_takes_a_target_for_being_sealed(shelf, paris):
    more = "prefer: [anywhere, cost]"
    policy = shelf.extending(["fr-sren-art31", "eu-gdpr-schrems2"], keys=paris, more=more)
    for target in shelf.complying(policy, "sren31+personal"):
        assert sovereign(next(t for t in shelf.targets if t.id == target), shelf.freeze)


WAIVER = """
waivers:
  - id: W-1
    path: "**"
    label: {label}
    store: {{anywhere: {{encrypt: client, names: encrypt}}}}
    reason: "to try it"
    owner: a@x.example
    approved: [b@x.example, c@x.example]
    expires: 2026-12-31
"""


FIRM = {"fr-sren-art31": "sren31", "fr-hds": "health", "fr-dr": "dr", "fr-classified": "classified"}


@pytest.mark.parametrize(("pack", "label"), FIRM.items())
def test_a_waiver_of_what_cannot_be_waived_does_not_load(shelf, paris, pack, label):
    with pytest.raises(PolicyError) as caught:
        shelf.extending([pack], keys=paris, more=WAIVER.format(label=f"restricted+{label}"))
    assert [found.code for found in caught.value.diagnostics if found.severity == "error"] == ["SB032"]


def test_a_waiver_of_everything_else_does_not_reach_it(shelf, paris):
    plain = shelf.extending(shelf.names, keys=paris)
    waived = shelf.extending(shelf.names, keys=paris, more=WAIVER.format(label="restricted+personal"))
    for label in ("sren31", "health", "dr", "classified", "sren31+personal", "restricted+health"):
        assert shelf.complying(waived, label) == shelf.complying(plain, label)
    # It does reach what it may: else the lines above would see nothing.
    assert shelf.complying(waived, "restricted+personal") != shelf.complying(plain, "restricted+personal")


SEALED_HIDDEN = Mode(Encrypt.CLIENT, Names.ENCRYPT, frozenset({"gdpr-keys"}))


@pytest.mark.parametrize("custody", ["eea", "us", "swiss", "eea-by-us", "none", "all"])
def test_personal_data_goes_to_the_us_only_sealed_with_names_hidden_and_keys_in_the_eea(shelf, world, custody):
    services = {
        "eea": world.keys("eea", "FR", "DE NO"),
        "us": world.keys("us", "US", "US"),
        "swiss": world.keys("swiss", "CH", "CH"),
        "eea-by-us": world.keys("eea-by-us", "IE", "US"),
    }
    keys = list(services.values()) if custody == "all" else [services[custody]] if custody != "none" else []
    policy = shelf.extending(["eu-gdpr-schrems2"], keys=keys)
    reached = {t.id for t in shelf.targets if t.facts.controlled.value and "US" in t.facts.controlled.value}
    assert len(reached) > 10
    stored = shelf.complying(policy, "internal+personal")
    fit = reached if custody in {"eea", "all"} else set()
    assert {name: mode for name, mode in stored.items() if name in reached} == dict.fromkeys(fit, SEALED_HIDDEN)
    assert not reached & shelf.complying(policy, "internal+personal", operation="compute").keys()


def test_keys_of_personal_data_at_a_us_operator_are_held_by_the_service_in_the_eea_alone(shelf, world):
    keys = [world.keys("eea", "FR", "FR"), world.keys("us", "US", "US"), world.keys("by-us", "FR", "US")]
    policy = shelf.extending(["eu-gdpr-schrems2"], keys=keys, targets=[t for t in shelf.targets if t.provider == "aws"])
    decided = policy.decide("personal/x", label="personal")
    assert decided.allowed
    assert {choice.keys for choice in (*decided.targets, *decided.alternatives)} == {("eea",)}


def test_personal_data_is_in_the_clear_at_home(shelf, paris):
    policy = shelf.extending(["eu-gdpr-schrems2"], keys=paris)
    stored = shelf.complying(policy, "internal+personal")
    computed = shelf.complying(policy, "internal+personal", operation="compute")
    assert stored["ovhcloud/gra"] == CLEAR
    assert stored["ovhcloud/ap-south-mum"] == SEALED_HIDDEN
    assert {name for name, mode in stored.items() if mode == CLEAR} == computed.keys()


def test_listing_a_us_provider_lets_it_work_on_personal_data_where_its_control_is_known(shelf, paris):
    listed = "{pack: eu-gdpr-schrems2, with: {dpf-listed: [aws-eusc, aws]}}"
    policy = shelf.extending([listed], keys=paris)
    bare = shelf.extending(["eu-gdpr-schrems2"], keys=paris)
    stored, before = shelf.complying(policy, "personal"), shelf.complying(bare, "personal")
    changed = {name for name in stored if stored[name] != before[name]}
    known = {
        t.id for t in shelf.targets
        if t.provider in {"aws", "aws-eusc"} and believed(t.facts.controlled.evidence, shelf.freeze)
    }  # fmt: skip
    assert changed == known != set()
    assert all(stored[name] == CLEAR for name in changed)


def test_health_data_goes_only_to_certified_places_in_the_eea(shelf, paris):
    policy = shelf.extending(["fr-hds"], keys=paris)
    for day in days(shelf.targets, shelf.freeze):
        due = {
            t.id
            for t in shelf.targets
            if only(t.facts.located, EEA, day)
            and any(
                q.scheme == "hds" and q.status is Status.QUALIFIED and believed(q.evidence, day)
                for q in t.facts.qualified
            )
        }
        mode = Mode(Encrypt.CLIENT, Names.CLEAR, frozenset({"hds-keys"}))
        assert shelf.complying(policy, "health", day=day) == dict.fromkeys(due, mode)
        assert shelf.complying(policy, "health", day=day, operation="compute").keys() == due
    assert shelf.complying(policy, "health")


def test_dr_goes_nowhere_until_a_target_is_listed(shelf, paris):
    assert shelf.complying(shelf.extending(["fr-dr"], keys=paris), "dr") == {}
    listed = shelf.extending(["{pack: fr-dr, with: {homologated: [outscale/cloudgouv-eu-west-1]}}"], keys=paris)
    assert shelf.complying(listed, "dr") == {"outscale/cloudgouv-eu-west-1": CLEAR}


def test_without_scores_no_target_reaches_a_seal(shelf, paris):
    policy = shelf.extending(["eu-seal"], keys=paris)
    scored = {t.id for t in shelf.targets if t.facts.seal}
    assert shelf.complying(policy, "confidential+personal").keys() <= scored
    assert shelf.complying(policy, "internal+personal").keys() == {t.id for t in shelf.targets}


def test_secnumcloud_leaves_exactly_the_qualified_from_its_level_on(shelf, paris):
    policy = shelf.extending(["fr-secnumcloud"], keys=paris)
    for day in days(shelf.targets, shelf.freeze):
        due = {t.id for t in shelf.targets if secnumcloud(t, day)}
        assert shelf.complying(policy, "confidential+personal", day=day).keys() == due
        assert shelf.complying(policy, "restricted+personal", day=day, operation="compute").keys() == due
    assert shelf.complying(policy, "internal+personal").keys() == {t.id for t in shelf.targets}


def test_what_is_not_known_holds_not_even_public_data(shelf, paris):
    policy = shelf.extending(["core-fail-closed"], keys=paris)
    day = shelf.freeze
    due = {
        t.id
        for t in shelf.targets
        if all(fact.value and believed(fact.evidence, day) for fact in (t.facts.located, t.facts.controlled))
    }
    assert 0 < len(due) < len(shelf.targets)
    assert shelf.complying(policy, "public+personal").keys() == due
    assert shelf.complying(policy, "public+personal", operation="compute").keys() == due
