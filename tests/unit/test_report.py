"""Diagnostics in every format: what is written can be read back, whatever a file or a message holds.

The shape of SARIF is written here by hand, from the standard: the objects and properties that are used, closed, with
what the standard requires of each. No package on PyPI ships the official schema.
"""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sovbroker.document import Findings, Kind, MapNode, read
from sovbroker.errors import Diagnostic, InvalidArgument
from sovbroker.policy import TITLES
from sovbroker.report import Format, page_of, render

VERSION = "1.2.3"
ONE = Diagnostic(
    code="SB001",
    severity="error",
    message="unknown predicate `qualifed` in zone `sovereign`",
    file="policy.yaml",
    line=2,
    column=30,
    width=8,
    text="  sovereign: {located: [FR], qualifed: [secnumcloud]}",
    help="did you mean `qualified`?",
)
TWO = Diagnostic("SB105", "warning", "zone `eea` is used by nothing", "zones/eea.yaml", 7, 3, 3, "  eea: {}")


def closed(*, required=(), **properties):
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


TEXT = {"type": "string", "minLength": 1}
NUMBER = {"type": "integer", "minimum": 1}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
MESSAGE = closed(text=TEXT, required=["text"])
ABSOLUTE = {"type": "string", "pattern": r"^https?://[!-~]+$"}
REFERENCE = {"type": "string", "pattern": r"^(?:file://)?(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})*$"}
RULE = closed(
    id=TEXT,
    shortDescription=MESSAGE,
    help=MESSAGE,
    helpUri=ABSOLUTE,
    defaultConfiguration=closed(level=LEVEL),
    required=["id"],
)
REGION = closed(startLine=NUMBER, startColumn=NUMBER, endColumn=NUMBER, required=["startLine"])
LOCATION = closed(physicalLocation=closed(artifactLocation=closed(uri=REFERENCE), region=REGION))
RESULT = closed(
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL,
    message=MESSAGE,
    locations={"type": "array", "items": LOCATION},
    partialFingerprints={"type": "object", "additionalProperties": {"type": "string"}},
    required=["message"],
)
DRIVER = closed(
    name=TEXT,
    version={"type": "string"},
    informationUri=ABSOLUTE,
    rules={"type": "array", "uniqueItems": True, "items": RULE},
    required=["name"],
)
RUN = closed(
    tool=closed(driver=DRIVER, required=["driver"]),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results={"type": ["array", "null"], "items": RESULT},
    required=["tool"],
)
SARIF = jsonschema.Draft202012Validator(
    closed(
        **{"$schema": ABSOLUTE},
        version={"const": "2.1.0"},
        runs={"type": "array", "items": RUN},
        required=["version", "runs"],
    )
)


def sarif(*found, **options):
    """Return the one run of a log, after judging it by what the standard says."""
    log = json.loads(render(found, Format.SARIF, tool_version=VERSION, **options))
    SARIF.validate(log)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        region = result["locations"][0]["physicalLocation"]["region"]
        assert region["endColumn"] > region["startColumn"]
    return run


def uri_of(result):
    return result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]


def said(text):
    """Return what a SARIF viewer shows for a message string without arguments, where it holds no link."""

    def literal(brace):
        assert len(brace[0]) == 2, f"{text!r} has a placeholder"
        return brace[0][0]

    return re.sub(r"\{\{?|\}\}?", literal, text)


def links(text):
    """Return the links in a message string, by the standard's grammar for plain text."""
    return re.findall(r"\[(?:[^\[\]\\]|\\[\[\]\\])*\]\(", text)


def parsed(line):
    """Read a workflow command as GitHub's runner does."""
    match = re.fullmatch(r"::([a-z]+) (.*?)::(.*)", line, re.DOTALL)
    assert match is not None
    properties = dict(pair.split("=", 1) for pair in match[2].split(","))

    def decoded(text, *escapes):
        for escape, character in (("%0D", "\r"), ("%0A", "\n"), *escapes, ("%25", "%")):
            text = text.replace(escape, character)
        return text

    return (
        match[1],
        {name: decoded(value, ("%3A", ":"), ("%2C", ",")) for name, value in properties.items()},
        decoded(match[3]),
    )


# --- text and JSON


def test_text_is_what_compilers_print():
    assert render([ONE, TWO], Format.TEXT, tool_version=VERSION) == f"{ONE}\n\n{TWO}"


def test_json_is_a_list_with_one_object_per_finding_in_their_order():
    assert json.loads(render([TWO, ONE], "json", tool_version=VERSION)) == [
        {
            "code": "SB105",
            "severity": "warning",
            "message": "zone `eea` is used by nothing",
            "file": "zones/eea.yaml",
            "line": 7,
            "column": 3,
            "width": 3,
            "text": "  eea: {}",
            "help": "",
        },
        {
            "code": "SB001",
            "severity": "error",
            "message": "unknown predicate `qualifed` in zone `sovereign`",
            "file": "policy.yaml",
            "line": 2,
            "column": 30,
            "width": 8,
            "text": "  sovereign: {located: [FR], qualifed: [secnumcloud]}",
            "help": "did you mean `qualified`?",
        },
    ]


@pytest.mark.parametrize(("form", "expected"), [("text", ""), ("json", "[]"), ("github", "")])
def test_no_finding_is_written_as_none(form, expected):
    assert render([], form, tool_version=VERSION) == expected


def test_an_unknown_format_is_named_with_those_that_exist():
    with pytest.raises(InvalidArgument, match="`xml`; use one of text, json, sarif, github"):
        render([], "xml", tool_version=VERSION)


# --- SARIF


def test_sarif_says_which_rule_was_broken_where_and_how_to_mend_it():
    run = sarif(ONE, titles=TITLES)
    assert run["columnKind"] == "unicodeCodePoints"
    assert run["tool"]["driver"] == {
        "name": "sovbroker",
        "version": "1.2.3",
        "rules": [
            {
                "id": "SB001",
                "shortDescription": {"text": "unknown key or predicate"},
                "help": {"text": "See docs/diagnostics/SB001.md"},
                "defaultConfiguration": {"level": "error"},
            }
        ],
    }
    (result,) = run["results"]
    assert result["level"] == "error"
    assert result["message"]["text"] == (
        "unknown predicate `qualifed` in zone `sovereign`\nhelp: did you mean `qualified`?"
    )
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "policy.yaml"},
        "region": {"startLine": 2, "startColumn": 30, "endColumn": 38},
    }


def test_sarif_without_a_finding_is_a_run_without_results():
    run = sarif()
    assert run["results"] == []
    assert run["tool"]["driver"]["rules"] == []


def test_sarif_lists_each_rule_once_by_its_code():
    run = sarif(TWO, ONE, TWO, titles=TITLES)
    rules = [(rule["id"], rule["defaultConfiguration"]["level"]) for rule in run["tool"]["driver"]["rules"]]
    assert rules == [("SB001", "error"), ("SB105", "warning")]
    assert [result["ruleIndex"] for result in run["results"]] == [1, 0, 1]


def test_sarif_leads_to_the_published_pages_where_there_are_any():
    driver = sarif(ONE, documentation="https://docs.example/sovbroker/")["tool"]["driver"]
    assert driver["informationUri"] == "https://docs.example/sovbroker"
    assert driver["rules"][0]["helpUri"] == "https://docs.example/sovbroker/diagnostics/SB001.html"


def test_a_code_without_a_title_is_its_own_title():
    assert sarif(ONE)["tool"]["driver"]["rules"][0]["shortDescription"] == {"text": "SB001"}


def test_braces_of_a_policy_are_no_placeholders_of_sarif():
    found = Diagnostic("SB005", "error", "`{0}` in `{anywhere: {}}`", "policy.yaml", 1, 1)
    (result,) = sarif(found)["results"]
    assert result["message"]["text"] == "`{{0}}` in `{{anywhere: {{}}}}`"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("[here](https://evil.example)", r"[here\](https://evil.example)"),
        (r"[a\](b)", r"[a\](b)"),
        (r"[a\\](b)", r"[a\\\](b)"),
        ("[FR] (France)", "[FR] (France)"),
    ],
)
def test_what_a_policy_says_becomes_no_link(message, text):
    (result,) = sarif(Diagnostic("SB010", "error", message, "policy.yaml", 1, 1))["results"]
    assert result["message"]["text"] == text
    assert not links(text)


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("policy.yaml", "policy.yaml"),
        ("a b/100%.yaml", "a%20b/100%25.yaml"),
        ("c:d.yaml", "c%3Ad.yaml"),
        ("é#?.yaml", "%C3%A9%23%3F.yaml"),
        ("../policy.yaml", "../policy.yaml"),
        ("(built-in policy)", "%28built-in%20policy%29"),
        ("/etc/a b.yaml", "file:///etc/a%20b.yaml"),
        (os.fsdecode(b"caf\xe9.yaml"), "caf%E9.yaml"),
        ("\ud912.yaml", "%5Cud912.yaml"),
    ],
)
def test_odd_names_of_files_are_encoded(file, uri):
    (result,) = sarif(Diagnostic("SB003", "error", "m", file, 1, 1))["results"]
    assert uri_of(result) == uri


def test_a_file_under_the_root_is_named_relative_to_it():
    inside = Diagnostic("SB003", "error", "m", "/project/rules/policy.yaml", 1, 1)
    beside = Diagnostic("SB003", "error", "m", "/project-2/policy.yaml", 1, 1)
    run = sarif(inside, beside, ONE, root=Path("/project"))
    assert [uri_of(result) for result in run["results"]] == [
        "rules/policy.yaml",
        "file:///project-2/policy.yaml",
        "policy.yaml",
    ]
    line = render([inside], "github", tool_version=VERSION, root=Path("/project"))
    assert parsed(line)[1]["file"] == "rules/policy.yaml"


def prints(run):
    return [result["partialFingerprints"]["sovbroker/v1"] for result in run["results"]]


def test_a_finding_keeps_its_fingerprint_when_lines_move():
    moved = Diagnostic(ONE.code, "error", ONE.message, ONE.file, 90, 34, 8, f"    {ONE.text}", ONE.help)
    assert prints(sarif(ONE)) == prints(sarif(moved))


@pytest.mark.parametrize("field", ["code", "file", "message", "text"])
def test_another_finding_has_another_fingerprint(field):
    assert prints(sarif(ONE)) != prints(sarif(replace(ONE, **{field: "other"})))


def test_two_findings_that_say_the_same_are_told_apart():
    first, other, second = prints(sarif(ONE, TWO, ONE))
    assert len({first, other, second}) == 3


def test_columns_count_characters_as_python_does():
    text = 'name: "\U0001f512é"\nzoness: {}\n"\U0001f512x": 1\n'
    findings = Findings(dict.fromkeys(Kind, "SB001"))
    node = read(text, "policy.yaml", findings)
    assert isinstance(node, MapNode)
    for key in node.keys():  # noqa: SIM118 - a node is no dict
        findings.error(Kind.UNKNOWN, key.place, f"unknown key `{key}`")
    for found, result in zip(findings.diagnostics, sarif(*findings.diagnostics)["results"], strict=True):
        region = result["locations"][0]["physicalLocation"]["region"]
        line = text.splitlines()[region["startLine"] - 1]
        underlined = line[region["startColumn"] - 1 : region["endColumn"] - 1]
        assert underlined.strip('"') == found.message.removeprefix("unknown key `").removesuffix("`")


# --- GitHub


def test_a_workflow_command_says_all_of_it():
    assert render([ONE, TWO], "github", tool_version=VERSION, titles=TITLES) == (
        "::error file=policy.yaml,line=2,col=30,endColumn=38,title=SB001%3A unknown key or predicate"
        "::unknown predicate `qualifed` in zone `sovereign`%0Ahelp: did you mean `qualified`?\n"
        "::warning file=zones/eea.yaml,line=7,col=3,endColumn=6,title=SB105%3A a zone that nothing uses"
        "::zone `eea` is used by nothing"
    )


def test_nothing_in_a_finding_can_start_another_command():
    found = Diagnostic("SB004", "error", "50%\r\n::set-output name=a::b", "a,b:c%\n::d", 1, 1)
    line = render([found], "github", tool_version=VERSION)
    assert line == (
        "::error file=a%2Cb%3Ac%25%0A%3A%3Ad,line=1,col=1,endColumn=2,title=SB004::50%25%0D%0A::set-output name=a::b"
    )


# --- whatever the text is

ANY = st.text(st.characters() | st.sampled_from("%{}[]()\r\n:,\0\ud912\udce9\x1b\u2028\\\"'0"), max_size=40)
FOUND = st.builds(
    Diagnostic,
    code=st.sampled_from(["SB001", "SB105", "X"]),
    severity=st.sampled_from(["error", "warning"]),
    message=ANY.filter(bool),
    file=ANY.filter(bool),
    line=st.integers(1, 9999),
    column=st.integers(1, 9999),
    width=st.integers(0, 99),
    text=ANY,
    help=ANY,
)


def advice(found):
    """What is shown: a lone surrogate is spelled out, because it cannot be encoded."""
    text = f"{found.message}\nhelp: {found.help}" if found.help else found.message
    return text.encode("utf-8", "backslashreplace").decode()


@given(st.lists(FOUND, max_size=4))
def test_any_text_makes_json_that_says_the_same(found):
    text = render(found, Format.JSON, tool_version=VERSION)
    again = json.loads(text)
    for one, fields in zip(found, again, strict=True):
        assert fields["message"] == one.message.encode("utf-8", "backslashreplace").decode()
        assert (fields["line"], fields["column"], fields["width"]) == (one.line, one.column, one.width)
    assert json.dumps(again, ensure_ascii=False).encode()


@given(st.lists(FOUND, max_size=4))
@example([Diagnostic("X", "error", r"[a](b) [c\](d) [e\\](f) {0} }}{{", "a:b", 1, 1, 0)])
def test_any_text_makes_sarif_that_says_the_same(found):
    run = sarif(*found, titles={"X": "{0}"})
    for one, result in zip(found, run["results"], strict=True):
        text = result["message"]["text"]
        assert not links(text)
        assert said(text) == advice(one) or "](" in advice(one)
        uri = uri_of(result)
        name = unquote_to_bytes(uri.removeprefix("file://"))
        if one.file.isascii() or one.file == unquote(uri):
            assert name == one.file.encode()
        assert bool(urlsplit(uri).scheme) == one.file.startswith("/")
    fingerprints = [result["partialFingerprints"]["sovbroker/v1"] for result in run["results"]]
    assert len(set(fingerprints)) == len(found)


@given(st.lists(FOUND, min_size=1, max_size=4))
def test_any_text_makes_one_command_that_parses_back(found):
    lines = render(found, Format.GITHUB, tool_version=VERSION, titles={"X": "a: b, c%"}).split("\n")
    assert not any("\r" in line for line in lines)
    for one, line in zip(found, lines, strict=True):
        command, properties, message = parsed(line)
        assert (command, message) == (one.severity, advice(one))
        assert properties["file"] == one.file.encode("utf-8", "backslashreplace").decode()
        columns = (one.column, one.column + max(1, one.width))
        assert (properties["line"], properties["col"], properties["endColumn"]) == tuple(map(str, (one.line, *columns)))


@given(FOUND)
def test_any_text_can_be_printed(found):
    for form in Format:
        assert render([found], form, tool_version=VERSION).encode("utf-8")


def test_the_page_of_a_code_is_there():
    root = Path(__file__).parents[2]
    assert [code for code in TITLES if not (root / page_of(code)).is_file()] == []
