"""Each pack over every combination of the facts that packs ask about, held against its meaning in one line."""

import itertools
from dataclasses import replace
from datetime import date

import pytest

from sovbroker.catalogue.facts import Basis, Confidence, SealScore, Status
from sovbroker.policy.mode import CLEAR, Encrypt, Mode, Names

COUNTRIES = ("FR", "NO", "CH", "US", "IN", "FR NO", "FR CH", "FR US", "US CN", None)
EU, EEA = {"FR"}, {"FR", "NO"}
HOME = {*EEA, "CH"}


@pytest.fixture(scope="module")
def grants(world):
    """Qualifications by a name, `good` ones among others that must not count."""
    found = {"nothing": ()}
    for scheme, version in (("secnumcloud", "3.2"), ("secnumcloud", "3.1"), ("secnumcloud", ""), ("hds", "")):
        found[f"{scheme}{version}"] = (world.qualified(scheme, version),)
    found["later"] = (world.qualified("secnumcloud", "4.0"),)
    found["both"] = (world.qualified("secnumcloud", "3.2"), world.qualified("hds"))
    found["lapsed"] = (world.qualified("secnumcloud", "3.2", until=date(2026, 11, 25)),)
    found["remembered"] = (
        world.qualified("secnumcloud", "3.2", basis=Basis.MEMORY),
        world.qualified("hds", basis=Basis.MEMORY),
    )
    found["doubtful"] = (world.qualified("secnumcloud", "3.2", confidence=Confidence.LOW),)
    found["applied"] = (world.qualified("secnumcloud", "3.2", status=Status.IN_PROGRESS),)
    return found


@pytest.fixture(scope="module")
def everywhere(world, grants):
    """One target for each combination, and what it is made of."""
    combinations = list(itertools.product(COUNTRIES, COUNTRIES, grants))
    made = {f"p{number}/r": combination for number, combination in enumerate(combinations)}
    targets = [world.target(name, where, whose, *grants[held]) for name, (where, whose, held) in made.items()]
    return targets, made


@pytest.fixture(scope="module")
def services(world):
    return {(a, b): world.keys("k", a, b) for a, b in itertools.product(COUNTRIES, COUNTRIES)}


def within(text, countries):
    return text is not None and set(text.split()) <= countries


GOOD = {"secnumcloud3.2", "later", "both"}
CERTIFIED = {"hds", "both"}

HELD = [
    (
        "fr-sren-art31",
        "sren31",
        lambda where, whose, held: within(where, EU) and within(whose, EEA) and held in GOOD,
    ),
    ("fr-hds", "health", lambda where, whose, held: within(where, EEA) and held in CERTIFIED),
    ("fr-secnumcloud", "confidential", lambda where, whose, held: held in GOOD),
    (
        "eu-cada-preview",
        "confidential",
        lambda where, whose, held: (
            within(where, EU) and within(whose, EU) and held in {*GOOD, "secnumcloud3.1", "secnumcloud"}
        ),
    ),
    ("core-fail-closed", "public", lambda where, whose, held: where is not None and whose is not None),
    ("fr-dr", "dr", lambda where, whose, held: False),
    ("fr-classified", "classified", lambda where, whose, held: False),
    ("eu-seal", "confidential", lambda where, whose, held: False),
]


@pytest.mark.parametrize(("name", "label", "meant"), HELD, ids=[name for name, _, _ in HELD])
def test_a_pack_lets_exactly_those_hold_and_work_on_it_that_it_means(shelf, world, everywhere, name, label, meant):
    targets, made = everywhere
    policy = shelf.extending([name], targets=targets, keys=[world.keys("paris")])
    due = {target for target, combination in made.items() if meant(*combination)}
    own = label if label in {"sren31", "health", "dr", "classified"} else f"{label}+personal"
    assert shelf.complying(policy, own).keys() == due
    assert shelf.complying(policy, own, operation="compute").keys() == due


def test_gdpr_has_two_steps_and_no_third(shelf, world, everywhere):
    targets, made = everywhere
    policy = shelf.extending(["eu-gdpr-schrems2"], targets=targets, keys=[world.keys("paris")])
    home = {target for target, (where, whose, _) in made.items() if within(where, HOME) and within(whose, HOME)}
    sealed = Mode(Encrypt.CLIENT, Names.ENCRYPT, frozenset({"gdpr-keys"}))
    assert shelf.complying(policy, "personal") == {name: CLEAR if name in home else sealed for name in made}
    assert shelf.complying(policy, "personal", operation="compute").keys() == home


def test_gdpr_lets_those_who_are_listed_hold_it_in_the_clear_in_the_us_and_at_home(shelf, world, everywhere):
    targets, made = everywhere
    listed = {f"p{number}" for number in range(0, len(made), 2)}
    extended = f"{{pack: eu-gdpr-schrems2, with: {{dpf-listed: [{', '.join(sorted(listed))}]}}}}"
    policy = shelf.extending([extended], targets=targets, keys=[world.keys("paris")])
    wide = {*HOME, "US"}
    clear = {
        target
        for target, (where, whose, _) in made.items()
        if (within(where, HOME) and within(whose, HOME))
        or (target.removesuffix("/r") in listed and within(where, wide) and within(whose, wide))
    }
    stored = shelf.complying(policy, "personal")
    assert {name for name, mode in stored.items() if mode == CLEAR} == clear
    assert shelf.complying(policy, "personal", operation="compute").keys() == clear


@pytest.mark.parametrize(
    ("name", "label", "zone"),
    [("fr-sren-art31", "sren31", "sren31-keys"), ("fr-hds", "health", "hds-keys")],
)
def test_a_key_service_is_fit_exactly_in_the_eea_and_under_its_law(shelf, world, services, name, label, zone):
    target = world.target("p/r", "FR", "FR", world.qualified("secnumcloud", "3.2"), world.qualified("hds"))
    for (where, whose), service in services.items():
        policy = shelf.extending([name], targets=[target], keys=[service])
        fit = within(where, EEA) and within(whose, EEA)
        due = {"p/r": Mode(Encrypt.CLIENT, Names.CLEAR, frozenset({zone}))} if fit else {}
        assert shelf.complying(policy, label) == due, (where, whose)


def test_keys_of_personal_data_elsewhere_are_fit_exactly_in_the_eea_and_under_its_law(shelf, world, services):
    targets = [world.target("here/r", "FR", "FR"), world.target("there/r", "IN", "US")]
    for (where, whose), service in services.items():
        policy = shelf.extending(["eu-gdpr-schrems2"], targets=targets, keys=[service])
        fit = within(where, EEA) and within(whose, EEA)
        assert shelf.complying(policy, "personal").keys() == ({"here/r", "there/r"} if fit else {"here/r"}), (
            where,
            whose,
        )


LEAST = {"SOV-1": 2, "SOV-2": 3, "SOV-3": 2, "SOV-4": 2, "SOV-5": 1, "SOV-6": 1, "SOV-7": 2, "SOV-8": 0}


def test_a_seal_is_met_exactly_with_every_objective_by_the_right_version_and_assessor(shelf, world):
    def scored(name, levels, framework="1.2.1", assessor="ec", **evidence):
        target = world.target(name)
        score = SealScore(framework, assessor, tuple(levels.items()), world.evidence(**evidence))
        return replace(target, facts=replace(target.facts, seal=(score,)))

    targets = [
        world.target("none/r"),
        scored("ec/r", LEAST),
        scored("buyer/r", LEAST, assessor="buyer"),
        scored("high/r", dict.fromkeys(LEAST, 4)),
        scored("provider/r", LEAST, assessor="provider"),
        scored("version/r", LEAST, framework="1.2"),
        scored("lapsed/r", LEAST, expires=shelf.freeze),
        scored("remembered/r", LEAST, basis=Basis.MEMORY),
        *(scored(f"low-{name}/r", {**LEAST, name: least - 1}) for name, least in LEAST.items() if least),
        *(scored(f"without-{name}/r", {other: LEAST[other] for other in LEAST if other != name}) for name in LEAST),
    ]
    policy = shelf.extending(["eu-seal"], targets=targets)
    assert shelf.complying(policy, "confidential+personal").keys() == {"ec/r", "buyer/r", "high/r"}
    assert shelf.complying(policy, "confidential+personal", operation="compute").keys() == {"ec/r", "buyer/r", "high/r"}
    assert shelf.complying(policy, "internal+personal").keys() == {target.id for target in targets}
