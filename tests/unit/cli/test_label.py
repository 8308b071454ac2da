import json

import pytest


def test_answers_given_beforehand_make_a_record(run, home):
    file = home / "evidence.jsonl"
    args = ["label", "ask", "patient files of the hospital", "--by", "dpo@acme.example", "--evidence", str(file)]
    found = run(*args, "--answer", "scope=yes", "--answer", "sensitive=o", "--answer", "harm=unknown")
    assert found.code == 0
    assert "label: sren31" in found.out
    assert "as long as `harm` is not known" in found.out
    found = run(*args, "--answer", "scope=no", "--json")
    assert json.loads(found.out)["label"] is None
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record["label"] for record in records] == ["sren31", None]
    assert {record["by"] for record in records} == {"dpo@acme.example"}


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (["scope=perhaps"], "`perhaps` is no answer"),
        (["colour=no", "scope=no"], "there is no question `colour`"),
        ([], "nobody can be asked; give --answer scope=yes"),
    ],
)
def test_what_cannot_be_answered_is_refused(run, answers, message):
    found = run("label", "ask", "data", *(part for answer in answers for part in ("--answer", answer)))
    assert found.code == 2
    assert message in found.err


def test_evidence_that_cannot_be_kept_is_an_error(run, home):
    found = run("label", "ask", "data", "--answer", "scope=no", "--evidence", str(home / "no" / "file"))
    assert found.code == 2
    assert "the answers were not kept" in found.err
