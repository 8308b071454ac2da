"""What every shipped pack is: complete, described, and out of the way of others' names."""

import re
from datetime import date

import pytest

from sovbroker import policy as policies
from sovbroker.document import MapNode
from sovbroker.errors import PolicyError
from sovbroker.policy.documents import Status
from sovbroker.policy.vocabulary import CATEGORIES
from sovbroker_policies import __file__ as package

SECTIONS = ["## What it demands", "## What it does not cover", "## What is not certain"]

PREFIXES = {
    "core-fail-closed": "core-",
    "eu-cada-preview": "cada-",
    "eu-gdpr-schrems2": "gdpr-",
    "eu-seal": "seal-",
    "fr-classified": "classified-",
    "fr-dr": "dr-",
    "fr-hds": "hds-",
    "fr-secnumcloud": "secnumcloud-",
    "fr-sren-art31": "sren31-",
}


def documents(shelf, pack):
    """Return a pack's document, bound and as it is written."""
    part = next(p for p in shelf.extending([pack]).parts if not p.root)
    return part.document, part.node


def test_the_shipped_packs_are_the_nine(shelf):
    assert {name for name, folder in shelf.folders.items() if str(folder).startswith(package.rsplit("/", 1)[0])} == set(
        shelf.names
    )


def test_a_pack_has_a_policy_a_readme_and_an_example_with_cases(shelf, pack):
    found = {file.name for file in shelf.folders[pack].iterdir()}
    assert {"policy.yaml", "README.md", "example.yaml", "example.tests.yaml"} <= found
    alone = {name for name in found if name.endswith(".yaml")} - {"policy.yaml"}
    assert alone == {name for pair in shelf.pairs(pack) for name in (pair.policy.name, pair.cases.name)}


def test_a_pack_says_what_it_is_on_what_it_rests_and_what_it_leaves_out(shelf, pack):
    about = shelf.about(pack)
    assert about.title
    assert about.basis
    assert about.sources
    assert about.excludes
    assert date(2020, 1, 1) < about.as_of <= shelf.freeze


def test_only_the_proposal_is_a_preview(shelf, pack):
    assert (shelf.about(pack).status is Status.PREVIEW) == (pack == "eu-cada-preview")


def test_every_requirement_says_its_basis(shelf, pack):
    document, _ = documents(shelf, pack)
    assert document.require
    assert all(element.basis for element in document.require.values())


def test_a_readme_says_what_is_demanded_and_what_is_not_and_what_is_doubtful(shelf, pack):
    text = (shelf.folders[pack] / "README.md").read_text("utf-8")
    assert text.startswith(f"# {pack}:")
    flat = " ".join(text.split())
    assert "not legal advice" in flat
    found = [section for section in SECTIONS if section in text]
    assert found == SECTIONS
    for source in shelf.about(pack).sources:
        for address in re.findall(r"https?://\S+[^\s:]", source):
            assert address in text, f"{pack}/README.md leaves out {address}"


def test_a_readme_lists_every_parameter_and_no_other(shelf, pack):
    text = (shelf.folders[pack] / "README.md").read_text("utf-8")
    _, _, table = text.partition("| parameter | default | meaning |\n")
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| ", table.split("\n\n")[0], re.MULTILINE)
    document, _ = documents(shelf, pack)
    assert rows == [str(name) for name in document.parameters]


def test_every_parameter_has_a_default_so_that_a_pack_can_be_named_bare(shelf, pack):
    document, _ = documents(shelf, pack)
    assert all(parameter.default is not None for parameter in document.parameters.values())


def test_what_is_from_memory_is_said_in_the_readme_too(shelf, pack):
    text = (shelf.folders[pack] / "README.md").read_text("utf-8")
    if any("memory" in source for source in shelf.about(pack).sources):
        assert "from memory" in text


def test_zones_and_invariants_bear_the_name_of_their_pack(shelf, pack):
    document, _ = documents(shelf, pack)
    for name in (*document.zones, *(invariant.id for invariant in document.always)):
        assert name.startswith(PREFIXES[pack])


def test_a_pack_brings_no_category_and_no_level_of_its_own(shelf, pack):
    document, node = documents(shelf, pack)
    assert not document.categories
    assert not document.levels
    levels = {"public", "internal", "confidential", "restricted"}
    assert {str(name) for name in document.require} <= levels | set(CATEGORIES)
    assert isinstance(node, MapNode)


def test_packs_never_share_a_name(shelf):
    taken = [
        str(name)
        for pack in shelf.names
        for document, _ in [documents(shelf, pack)]
        for name in (*document.zones, *(invariant.id for invariant in document.always))
    ]
    assert len(taken) == len(set(taken))


@pytest.mark.parametrize("given", ["{lowest: nowhere}", "{level: public}"])
def test_a_parameter_that_means_nothing_is_refused(shelf, given):
    with pytest.raises(PolicyError):
        shelf.extending([f"{{pack: core-fail-closed, with: {given}}}"])


def test_the_preview_is_never_alone(shelf):
    text = "sovbroker: 1\nextends: [eu-cada-preview]\nlevels: [public, confidential]\n"
    with pytest.raises(PolicyError) as caught:
        policies.loads(text, targets=shelf.targets)
    assert [found.code for found in caught.value.diagnostics if found.severity == "error"] == ["SB026"]
