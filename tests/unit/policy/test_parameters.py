import pytest

from sovbroker import policy as policies
from sovbroker.errors import PolicyError

ROOT = """
sovbroker: 1
extends: [{{pack: pack.yaml{given}}}]
levels: [public, internal, restricted]
require:
  public: {{store: {{anywhere: {{}}}}}}
zones: {{anywhere: {{}}}}
"""

PACK = """
sovbroker: 1
parameters:
  scheme: {about: what it must be qualified for, default: secnumcloud}
  least: {about: the version, default: "3.2"}
  level: {about: from which level on, default: restricted}
  also: {about: more countries, default: []}
  there: {about: targets}
zones:
  good: {located: [FR, $also], qualified: ["$scheme>=$least"]}
  named: {target: $there}
require:
  $level: {store: {good: {}, named: {}}, basis: "at least $least"}
"""


@pytest.fixture
def load(world, tmp_path):
    def run(given="", pack=PACK, root=ROOT):
        (tmp_path / "pack.yaml").write_text(pack)
        path = tmp_path / "policy.yaml"
        path.write_text(root.format(given=given))
        targets = [
            world.target("p/new", "FR", "FR", world.qualified("secnumcloud", "3.2")),
            world.target("p/old", "FR", "FR", world.qualified("secnumcloud", "3.1")),
            world.target("p/de", "DE", "DE", world.qualified("secnumcloud", "3.2")),
            world.target("p/no", "US", "US"),
        ]
        return policies.load(path, targets=targets, at=world.now, clock=lambda: world.now)

    return run


def places(policy, label):
    cell = policy.placement(policy.lattice.mask_of_text(label))
    return {policy.world.targets[option.target].id for option in cell.placing.ranked}


def refused(load, *args, **kwargs):
    with pytest.raises(PolicyError) as caught:
        load(*args, **kwargs)
    return [(d.code, d.message) for d in caught.value.diagnostics if d.severity == "error"]


def test_defaults_hold_where_nothing_is_given(load):
    assert places(load(", with: {there: []}"), "restricted") == {"p/new"}


def test_what_is_given_takes_the_place_of_the_default(load):
    policy = load(', with: {there: [p/no], least: "3.1", also: [DE]}')
    assert places(policy, "restricted") == {"p/new", "p/old", "p/de", "p/no"}
    assert "at least 3.1" in policy.decide("x").basis


def test_a_parameter_can_be_the_name_of_a_level(load):
    assert places(load(", with: {there: [], level: internal}"), "internal") == {"p/new"}
    assert len(places(load(", with: {there: []}"), "internal")) == 4


def test_a_parameter_without_a_default_must_be_given(load):
    assert refused(load) == [("SB027", "the parameter `there` has no default, and is not given")]


def test_an_unknown_parameter_is_refused_with_a_suggestion(load):
    with pytest.raises(PolicyError) as caught:
        load(", with: {there: [], leest: x}")
    (error,) = [d for d in caught.value.diagnostics if d.severity == "error"]
    assert (error.code, error.help, error.line) == ("SB027", "did you mean `least`?", 3)
    assert error.file.endswith("policy.yaml")


def test_an_undeclared_reference_is_refused_where_it_stands(load):
    found = refused(load, ", with: {there: []}", PACK.replace("$also", "$asle"))
    assert found[0] == ("SB027", "there is no parameter `asle`")


def test_a_list_does_not_fit_inside_a_text(load):
    found = refused(load, ", with: {there: [], least: [a, b]}")
    assert ("SB027", "`$least` stands inside a text, and its value is not a text") in found


def test_a_list_does_not_fit_a_key(load):
    assert ("SB027", "`$level` stands for a key, and its value is not a text") in refused(
        load, ", with: {there: [], level: [a]}"
    )


def test_a_wrong_value_is_found_where_it_was_given(load):
    with pytest.raises(PolicyError) as caught:
        load(", with: {there: [], also: [XX]}")
    (error,) = [d for d in caught.value.diagnostics if d.severity == "error"]
    assert (error.code, error.line, error.file.endswith("policy.yaml")) == ("SB012", 3, True)


def test_the_same_pack_with_other_values_is_another_one(load):
    twice = ROOT.replace("[{{pack: pack.yaml{given}}}]", "[{{pack: pack.yaml{given}}}, {{pack: pack.yaml{given}}}]")
    assert places(load(", with: {there: []}", root=twice), "restricted") == {"p/new"}
    other = ROOT.replace(
        "[{{pack: pack.yaml{given}}}]",
        '[{{pack: pack.yaml, with: {{there: []}}}}, {{pack: pack.yaml, with: {{there: [], least: "3.1"}}}}]',
    )
    assert refused(load, root=other) == [("SB020", "zone `good` is defined differently in another file")]


def test_a_pack_is_judged_alone_with_its_defaults(world):
    text = PACK.replace("there: {about: targets}", "there: {about: targets, default: []}")
    text += "levels: [public, restricted]\n"
    policy = policies.loads(text, targets=[], at=world.now)
    assert [str(zone.predicates[1]) for zone in policy.book.zones.values() if zone.name == "good"] == [
        "secnumcloud>=3.2"
    ]


PREVIEW = """
sovbroker: 1
pack: {title: A proposal, status: preview, as_of: 2026-06-03}
zones: {eu: {located: [EU]}}
require: {restricted: {store: {eu: {}}}}
"""


def test_a_preview_never_stands_alone(load):
    alone = "sovbroker: 1\nextends: [pack.yaml]\nlevels: [public, restricted]\n"
    assert refused(load, pack=PREVIEW, root=alone) == [("SB026", "only a preview demands anything here: A proposal")]
    assert places(load("", pack=PREVIEW), "restricted") == {"p/new", "p/old", "p/de"}


def test_two_keys_that_become_one_are_refused(load):
    twice = PACK + "  restricted: {store: {good: {}}}\n"
    assert refused(load, ", with: {there: []}", twice) == [
        ("SB002", "the key `restricted` is here twice, once as a parameter's value")
    ]


def test_values_cannot_grow_without_end(load):
    many = PACK.replace('basis: "at least $least"', f'basis: "{"$least" * 5}"')
    assert [code for code, _ in refused(load, f', with: {{there: [], least: "{"9" * 1000}"}}', many)] == ["SB027"]
