"""The command `policy diff`: its codes, what it prints, and that it changes nothing."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime

import pytest

from sovbroker.cli import main
from sovbroker.cli.policy.placed import placed_items
from sovbroker.errors import StateError
from sovbroker.placements import CopyRow, Placement, Precondition, SqliteIndex, new_version
from sovbroker.policy.compare import Item

OLD = """
sovbroker: 1
name: shop
levels: [public, secret]
default: secret
zones: {here: {target: [local]}}
require:
  public: {store: {here: {encrypt: client}}}
classify: [{id: pub, path: "public/**", label: public}]
"""
LOOSE = OLD.replace("{here: {encrypt: client}}}", "{here: {}}}")
TIGHT = OLD.replace("{here: {encrypt: client}}}", "{here: {encrypt: client, names: encrypt}}}")
CONFIG = """
sovbroker: 1
policy: old.yaml
keys:
  main: {service: file, path: keyring.json, passphrase: {env: NOT_SET_ANYWHERE}, located: FR, controlled: [FR]}
targets:
  - {at: local, path: objects, located: FR, controlled: [FR]}
"""
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name, text in {"old": OLD, "loose": LOOSE, "tight": TIGHT, "sovbroker": CONFIG}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOVBROKER_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def run(home, capsys):
    def run(*arguments):
        capsys.readouterr()
        code = main(["policy", "diff", *map(str, arguments)])
        captured = capsys.readouterr()
        return int(code), captured.out, captured.err

    return run


def put(index, key, size, *, targets=("local",), metadata=None, retained=False):
    placement = Placement(
        key=key,
        version=new_version(NOW),
        label="public",
        size=size,
        created=NOW,
        copies=tuple(CopyRow(target, f"{key}@{target}", sealed=True) for target in targets),
        metadata=metadata or {},
        retain_until=NOW.replace(year=2030) if retained else None,
    )
    index.commit(placement, condition=Precondition(), now=NOW)


@pytest.fixture
def state(home):
    index = SqliteIndex(home / "state.db")
    put(index, "public/a", 5, metadata={"kind": "cv"})
    put(index, "public/b", 7, targets=("local", "far/away"), retained=True)
    put(index, "public/b", 11)
    put(index, "public/c", 13)
    index.remove("public/c", condition=Precondition(), now=NOW)
    index.close()
    return home / "state.db"


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("old", "old", 0, "nothing changes"),
        ("old", "tight", 1, "loosens nothing"),
        ("old", "loose", 3, "it loosens"),
        ("loose", "old", 1, "loosens nothing"),
    ],
)
def test_the_code_says_what_the_change_is(run, old, new, code, said):
    found, out, err = run(f"{old}.yaml", f"{new}.yaml", "--config", "sovbroker.yaml")
    assert (found, err) == (code, "")
    assert said in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["old.yaml", "gone.yaml"], "cannot read `gone.yaml`"),
        (["old.yaml", "sovbroker.yaml"], "error[SB"),
        (["old.yaml", "loose.yaml", "--inventory", "gone.jsonl"], "gone.jsonl"),
        (["old.yaml", "loose.yaml", "--inventory", "old.yaml"], "old.yaml:2: not JSON"),
        (["old.yaml", "loose.yaml", "--at", "tomorrow"], "`--at tomorrow` is not a day"),
        (["old.yaml", "loose.yaml", "--inventory", "placements"], "there is no state database"),
        (["old.yaml", "loose.yaml", "--html", "no/such/folder.html"], "cannot write"),
        (["old.yaml", "loose.yaml", "--config", "gone.yaml"], "gone.yaml"),
        (["old.yaml"], "missing argument"),
        (["old.yaml", "loose.yaml", "--format", "xml"], "xml"),
    ],
)
def test_every_error_has_the_code_2_even_where_it_would_loosen(run, arguments, said):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_json_is_one_document(run, home):
    (home / "objects.jsonl").write_text('{"key": "public/a", "size": 3}\n{"key": "x", "size": 4}\n')
    code, out, _ = run(
        "old.yaml", "loose.yaml", "--inventory", "objects.jsonl", "--format", "json", "--at", "2026-11-24",
        "--config", "sovbroker.yaml",
    )  # fmt: skip
    found = json.loads(out)
    assert (code, found["verdict"], found["at"]) == (3, "loosens", "2026-11-24")
    assert found["inventory"]["groups"]["loosens"] == {"objects": 2, "bytes": 7}
    assert json.loads(run("old.yaml", "loose.yaml", "--json", "--config", "sovbroker.yaml")[1])["exit_code"] == 3


def test_the_page_is_written_beside_what_is_printed(run, home):
    code, out, _ = run("old.yaml", "loose.yaml", "--html", "page.html", "--config", "sovbroker.yaml")
    assert code == 3
    assert "it loosens" in out
    assert (home / "page.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_placements_are_those_of_the_configuration(run, state):
    before = state.read_bytes()
    code, out, err = run("old.yaml", "tight.yaml", "--inventory", "placements", "--format", "json")
    assert (code, err) == (1, "")
    inventory = json.loads(out)["inventory"]
    # `public/b` is there twice: a retained version lies there too. `public/c` was removed.
    assert (inventory["objects"], inventory["bytes"]) == (3, 23)
    assert inventory["reseals"] == {"objects": 3, "bytes": 23}
    assert inventory["egress"] == {"local": {"objects": 3, "bytes": 23}}
    assert state.read_bytes() == before


def test_placements_are_read_as_they_lie(state):
    assert sorted(placed_items(state)) == [
        Item("public/a", 5, "public", ("local",), {"kind": "cv"}),
        Item("public/b", 7, "public", ("far/away", "local")),
        Item("public/b", 11, "public", ("local",)),
    ]


def test_a_state_database_that_cannot_be_read_says_why(home, tmp_path):
    with pytest.raises(StateError, match="there is no state database"):
        list(placed_items(home / "none.db"))
    assert not (home / "none.db").exists()
    (home / "text.db").write_text("not a database, but long enough to be one, if only it had the right beginning" * 9)
    with pytest.raises(StateError, match="cannot read the state database"):
        list(placed_items(home / "text.db"))
    with sqlite3.connect(tmp_path / "new.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StateError, match="another version of sovbroker"):
        list(placed_items(tmp_path / "new.db"))
