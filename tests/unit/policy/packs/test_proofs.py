"""What holds of the packs for every possible provider, and not only for those that are shipped."""

import re

import pytest

from sovbroker.policy.prove import prove

DARK = {"eu-seal": "SB041", "fr-dr": "SB041"}
"""Nothing complies as shipped: there are no scores in the catalogue, and nobody has listed a target."""

WAIVER = """
waivers:
  - id: W-1
    path: "personal/**"
    label: confidential+personal
    store: {{anywhere: {mode}}}
    reason: "to try it"
    owner: a@x.example
    approved: [b@x.example, c@x.example]
    expires: 2026-12-31
"""


def errors(policy, day):
    return [found for found in prove(policy, at=day).diagnostics if found.severity == "error"]


def test_nothing_is_found_against_a_pack_but_that_it_needs_what_only_the_operator_has(shelf, world, pack):
    policy = shelf.extending([pack], keys=[world.keys("paris")])
    found = errors(policy, shelf.freeze)
    assert {error.code for error in found} == ({DARK[pack]} if pack in DARK else set()), "\n".join(map(str, found))


def test_dr_has_a_place_once_one_is_listed(shelf, world):
    listed = "{pack: fr-dr, with: {homologated: [outscale/cloudgouv-eu-west-1]}}"
    assert not errors(shelf.extending([listed], keys=[world.keys("paris")]), shelf.freeze)


def test_every_invariant_of_every_pack_holds_with_all_packs_together(shelf, world):
    policy = shelf.extending(shelf.names, keys=[world.keys("paris")])
    assert len(policy.book.always) > len(shelf.names) // 2
    assert {error.code for error in errors(policy, shelf.freeze)} == {"SB041"}


def test_an_invariant_bites_once_the_requirement_behind_it_is_gone(shelf, world, pack, tmp_path):
    """Without its `require`, each invariant of the pack is violated: none is true of every policy."""
    text = (shelf.folders[pack] / "policy.yaml").read_text("utf-8")
    hollow, cut = re.subn(r"^require:\n(?:^[ #].*\n)*", "", text, flags=re.MULTILINE)
    assert cut == 1
    (tmp_path / "hollow.yaml").write_text(hollow, "utf-8")
    policy = shelf.extending([f"'{tmp_path}/hollow.yaml'"], keys=[world.keys("paris")])
    said = "\n".join(error.message for error in errors(policy, shelf.freeze) if error.code == "SB040")
    for invariant in policy.book.always:
        assert f"`{invariant.id}`" in said
    assert bool(policy.book.always) == (pack not in {"eu-cada-preview", "eu-seal", "fr-secnumcloud"})


@pytest.mark.parametrize(
    ("mode", "codes"), [("{encrypt: client}", set()), ("{}", {"SB040"})], ids=["sealed", "in the clear"]
)
def test_a_waiver_can_relax_names_and_keys_of_personal_data_and_not_encryption(shelf, world, mode, codes):
    policy = shelf.extending(["eu-gdpr-schrems2"], keys=[world.keys("paris")], more=WAIVER.format(mode=mode))
    assert {error.code for error in errors(policy, shelf.freeze)} == codes
