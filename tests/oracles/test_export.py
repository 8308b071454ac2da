"""What the exports are, and the command that writes them."""

import json
from datetime import UTC, date, datetime

import cedarpy
import pytest
import regorus

from sovbroker import policy as policies
from sovbroker.cli import main
from sovbroker.errors import InvalidArgument
from sovbroker.policy.export import rego_facts, to_cedar, to_rego

DAY = date(2026, 11, 24)
AT = datetime(2026, 11, 24, tzinfo=UTC)
BASE = """
sovbroker: 1
zones: {fr: {located: [FR]}}
require:
  low: {store: {fr: {encrypt: client}}, where: {located: [EEA]}, basis: 'so says "the law"'}
"""
ROOT = """
sovbroker: 1
name: merged
extends: [./base.yaml]
levels: [low, high]
zones: {any: {}, trusted: {qualified: [secnumcloud>=3.2.1]}}
require:
  low: {store: {any: {}}, compute: [any]}
  high: {store: {trusted: {encrypt: client}}}
classify:
  - {id: "odd", path: "a$b/(c)*/`d`?.txt", label: low}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "policy.yaml").write_text(ROOT)
    return tmp_path


def places(tools):
    def place(country, version):
        own = {"qualified": [{"version": version, "status": "qualified"}], "seal": []}
        return {axis: {"countries": country} for axis in ("located", "controlled", "technology")} | own

    return {"p/fr": place("FR", "3.2"), "p/de": place("DE", "3.10")}


@pytest.fixture
def merged(folder, tools):
    return policies.load(folder / "policy.yaml", targets=tools.targets(places(tools)), at=AT)


def asked(policy, objects):
    engine = regorus.Engine()
    engine.add_policy("policy.rego", to_rego(policy, at=DAY))
    engine.add_data_json(rego_facts(policy, at=DAY))
    engine.set_input_json(json.dumps({"objects": objects}))
    return json.loads(engine.eval_rule_as_json("data.sovbroker.decisions"))


def test_every_file_of_a_policy_demands_in_rego(merged):
    clear = {"encrypt": "none", "names": "clear", "keys": []}
    low, high = asked(merged, [{"key": "a$b/(c)/`d`1.txt"}, {"key": "a$b/(c)/`d`1.txt", "label": "high"}])
    assert low["rules"] == ["odd"]
    assert low["store"] == {"p/fr": [clear | {"encrypt": "client"}]}
    assert low["refused"] == ["p/de"]
    assert high["store"] == {}
    assert low["compute"] == ["p/de", "p/fr"]


def test_what_stands_for_itself_in_a_path_does_so_in_rego(merged):
    found = asked(merged, [{"key": key} for key in ("a$b/(c)/`d`.txt", "a$b/(c)/`d`1xtxt", "a$b/c/`d`1.txt")])
    assert [one["rules"] for one in found] == [["default"]] * 3


def test_every_file_of_a_policy_demands_in_cedar(merged):
    export = to_cedar(merged, at=DAY)
    assert cedarpy.validate_policies(export.policies, export.schema).validation_passed
    assert '@basis("so says \\"the law\\"")' in export.policies
    objects = [{"uid": {"type": "Object", "id": "o"}, "attrs": {"elements": ["low"], "waivers": []}, "parents": []}]
    entities = cedarpy.Entities.from_json_str(export.entities).with_added_json_str(json.dumps(objects))

    def allowed(target, *, encrypt):
        request = {"principal": 'Object::"o"', "action": 'Action::"store"', "resource": f'Target::"{target}"'}
        context = {"encrypt": encrypt, "names": False}
        return cedarpy.is_authorized(request | {"context": context}, export.policies, entities).allowed

    assert allowed("p/fr", encrypt=True)
    assert not allowed("p/fr", encrypt=False)
    assert not allowed("p/de", encrypt=True)


def test_a_version_that_cedar_cannot_hold_is_refused(folder, tools):
    (folder / "policy.yaml").write_text(ROOT.replace("3.2.1", "3.20000"))
    policy = policies.load(folder / "policy.yaml", targets=tools.targets(places(tools)), at=AT)
    with pytest.raises(InvalidArgument, match=r"3\.20000"):
        to_cedar(policy, at=DAY)


@pytest.mark.parametrize(
    ("to", "names"),
    [("rego", ["data.json", "policy.rego"]), ("cedar", ["entities.json", "policy.cedar", "policy.cedarschema"])],
)
def test_the_command_writes_what_the_engine_reads(to, names, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SOVBROKER_CONFIG", raising=False)
    assert main(["policy", "export", "policy.yaml", "--to", to, "--at", "2026-11-24", "--output", "out"]) == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == names
    policy = policies.load(folder / "policy.yaml", keys=None, at=AT)
    first = to_rego(policy, at=DAY) if to == "rego" else to_cedar(policy, at=DAY).policies
    assert (folder / "out" / f"policy.{to}").read_text() == first
    assert "for 2026-11-24" in "".join(capsys.readouterr())
