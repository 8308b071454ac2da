import os
import sys
from datetime import UTC, datetime
from importlib.metadata import EntryPoint

import pytest

from sovbroker import policy as policies
from sovbroker.errors import PolicyError

ROOT = """
sovbroker: 1
extends: {extends}
levels: [public, internal, confidential, restricted]
zones: {{french: {{located: [FR]}}}}
require:
  public: {{store: {{french: {{}}}}, basis: mine}}
"""

PACK = """
sovbroker: 1
zones:
  french: {located: [FR]}
  qualified: {qualified: [hds]}
require:
  public: {store: {french: {encrypt: client}}, basis: theirs}
  health: {store: {qualified: {}}, basis: HDS}
"""


@pytest.fixture
def load(world, tmp_path):
    def run(extends, text=ROOT):
        path = tmp_path / "policy.yaml"
        path.write_text(text.format(extends=extends))
        targets = [world.target("p/a", "FR", "FR", world.qualified("hds")), world.target("p/b", "FR", "FR")]
        return policies.load(path, targets=targets, keys=[world.keys("main")], at=world.now, clock=lambda: world.now)

    return run


def refused(load, extends, text=ROOT):
    with pytest.raises(PolicyError) as caught:
        load(extends, text)
    return [d for d in caught.value.diagnostics if d.severity == "error"]


def test_what_is_extended_only_adds(load, tmp_path):
    (tmp_path / "more.yaml").write_text(PACK)
    policy = load("[more.yaml]")
    decision = policy.decide("x", label="health")
    assert set(decision.basis[:2]) == {"mine", "theirs"}
    assert decision.basis[2:] == ("HDS",)
    assert {c.target: str(c.mode) for c in decision.targets} == {"p/a": "sealed"}
    assert decision.rejected == {"p/b": ("`health` (HDS): not in qualified: hds: no qualification known",)}


def test_the_order_of_files_does_not_matter(load, tmp_path):
    (tmp_path / "one.yaml").write_text(PACK)
    (tmp_path / "two.yaml").write_text("sovbroker: 1\nrequire: {public: {where: {controlled: [EEA]}, basis: third}}\n")
    one, two = load("[one.yaml, two.yaml]"), load("[two.yaml, one.yaml]")
    assert one.digest == two.digest
    assert one.decide("x") == two.decide("x")


def test_files_extend_files_and_may_meet_again(load, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "one.yaml").write_text("sovbroker: 1\nextends: [./two.yaml, ../policy.yaml]\n")
    (tmp_path / "sub" / "two.yaml").write_text(PACK.replace("sovbroker: 1", "sovbroker: 1\nextends: [one.yaml]"))
    policy = load("[sub/one.yaml, sub/two.yaml]")
    assert len(policy.book.requirements["public"]) == 2


def test_a_pack_may_bring_the_levels(load, tmp_path):
    text = ROOT.replace("levels: [public, internal, confidential, restricted]\n", "")
    (tmp_path / "one.yaml").write_text("sovbroker: 1\nlevels: [public, secret]\n")
    assert load("[one.yaml]", text).lattice.levels == ("public", "secret")
    (tmp_path / "two.yaml").write_text("sovbroker: 1\nlevels: [public, top]\n")
    assert [d.code for d in refused(load, "[one.yaml, two.yaml]", text)] == ["SB016"]


@pytest.mark.parametrize("line", ["default: public", "limits: {approvals: 1}", "prefer: [cost]", "waivers: []"])
def test_a_pack_cannot_decide_for_the_policy(load, tmp_path, line):
    (tmp_path / "one.yaml").write_text(f"sovbroker: 1\n{line}\n")
    (found,) = refused(load, "[one.yaml]")
    assert (found.code, found.line) == ("SB021", 2)
    assert found.file.endswith("one.yaml")


def test_one_name_has_one_meaning(load, tmp_path):
    (tmp_path / "one.yaml").write_text("sovbroker: 1\ncategories: {pay: {implies: [personal]}}\naliases: {c: public}\n")
    (tmp_path / "two.yaml").write_text("sovbroker: 1\ncategories: {pay: {}}\naliases: {c: internal}\n")
    assert [d.code for d in refused(load, "[one.yaml, two.yaml]")] == ["SB020", "SB020"]


def test_what_cannot_be_read_is_said(load, tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "bytes.yaml").write_bytes(b"\xff")
    assert [d.code for d in refused(load, "[folder.yaml]")] == ["SB015"]
    assert [d.code for d in refused(load, "[bytes.yaml]")] == ["SB003"]
    assert [d.code for d in refused(load, '["a\\0/b"]')] == ["SB015"]
    with pytest.raises(PolicyError, match="no such file"):
        policies.load(tmp_path / "nothing.yaml")
    with pytest.raises(PolicyError, match="cannot read"):
        policies.load(tmp_path)


def test_too_many_files_are_refused(load, tmp_path):
    for index in range(80):
        (tmp_path / f"f{index}.yaml").write_text(f"sovbroker: 1\nextends: [f{index + 1}.yaml]\n")
    assert "SB015" in {d.code for d in refused(load, "[f0.yaml]")}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """An installed package that brings two packs."""
    package = tmp_path / "site" / "strangers_packs"
    for name, text in (
        ("eu-one", PACK),
        ("eu-two", "sovbroker: 1\nextends: [eu-one]\n"),
        ("bad", "extends: [./x.yaml]\n"),
    ):
        (package / name).mkdir(parents=True)
        (package / name / "policy.yaml").write_text(text if "sovbroker" in text else f"sovbroker: 1\n{text}")
    (package / "__init__.py").write_text("")
    (package / "empty").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    entry = EntryPoint(name="strange", value="strangers_packs", group="sovbroker.policies")
    monkeypatch.setattr("sovbroker.policy.sources.entry_points", lambda *, group: [entry])
    yield
    sys.modules.pop("strangers_packs", None)


def test_packs_are_found_by_entry_points(load, shop):
    assert sorted(policies.packs()) == ["bad", "eu-one", "eu-two"]
    assert load("[eu-two]").decide("x", label="health").basis[2:] == ("HDS",)
    (found,) = refused(load, "[eu-on]")
    assert (found.code, found.help) == ("SB015", "did you mean `eu-one`?")
    (found,) = refused(load, "[bad]")
    assert found.code == "SB015"
    assert found.file == "bad/policy.yaml"


def test_a_pipe_is_refused_and_not_waited_for(load, tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (error,) = refused(load, "[pipe.yaml]")
    assert (error.code, error.help) == ("SB015", "a pipe would block")


@pytest.mark.parametrize("said", [False, True])
def test_a_pack_alone_allows_no_computing(said):
    text = """
sovbroker: 1
extends: [{pack: fr-secnumcloud, with: {level: public}}]
levels: [public]
zones: {anywhere: {}}
require: {public: {store: {anywhere: {}}COMPUTE}}
""".replace("COMPUTE", ", compute: [anywhere]" if said else "")
    policy = policies.loads(
        text, at=datetime(2026, 11, 25, tzinfo=UTC), clock=lambda: datetime(2026, 11, 25, tzinfo=UTC)
    )
    assert policy.decide("x", label="public").allowed
    assert policy.decide("x", label="public", operation="compute").allowed == said
