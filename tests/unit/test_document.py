import copy
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.document import (
    SIZE_MAX,
    ByKind,
    Choice,
    Day,
    Findings,
    Flag,
    Kind,
    ListNode,
    ListOf,
    MapNode,
    MapOf,
    Parsed,
    Place,
    Record,
    Scalar,
    Single,
    Source,
    Text,
    Whole,
    Word,
    decode,
    optional,
    read,
    required,
    suggest,
)

CODES = {kind: kind.name for kind in Kind}


@dataclass(frozen=True, slots=True)
class Server:
    host: Word
    port: int = 443
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class File:
    servers: tuple[Server, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    since: date | None = None
    on: bool = False
    mode: int = 0
    names: tuple[str, ...] = ()
    ratio: float = 0.0


SERVER = Record(Server, {"host": required(Text()), "port": optional(Whole(least=1, most=65535))}, place=True)
FILE = Record(
    File,
    {
        "servers": optional(ListOf(SERVER, least=1)),
        "tags": optional(MapOf(Text(), key=Text("[a-z]+", "a lower-case name"))),
        "since": optional(Day()),
        "on": optional(Flag()),
        "mode": optional(Choice({"slow": 1, "fast": 2})),
        "names": optional(ByKind(text=Single(Text()), items=ListOf(Text()))),
        "ratio": optional(Parsed(float)),
    },
)


def load(text, shape=FILE):
    findings = Findings(CODES)
    node = read(text, "f.yaml", findings)
    return decode(node, shape, findings), findings


def only(text, shape=FILE):
    _, findings = load(text, shape)
    (diagnostic,) = findings.diagnostics
    return diagnostic


def test_what_is_right_is_decoded():
    value, findings = load(
        "servers:\n  - {host: a.example, port: 1}\n  - host: NO\n"
        "tags: {version: 1.10, empty: ''' '}\nsince: 2026-02-28\non: true\nmode: fast\nnames: one\nratio: 0.5\n"
    )
    assert findings.diagnostics == ()
    assert [server.host for server in value.servers] == ["a.example", "NO"]
    assert [server.port for server in value.servers] == [1, 443]
    assert str(value.servers[1].host.place) == "f.yaml:3:11"
    assert str(value.servers[1].place) == "f.yaml:3:5"
    assert value.tags == {"version": "1.10", "empty": "' "}
    assert value.since == date(2026, 2, 28)
    assert (value.on, value.mode, value.names, value.ratio) == (True, 2, ("one",), 0.5)


def test_scalars_stay_what_they_look_like():
    findings = Findings(CODES)
    node = read("[NO, 1.10, 0x10, null, ~, 2026-01-01, yes, 1_000, 08]", "f", findings)
    assert isinstance(node, ListNode)
    texts = [item.text for item in node.items if isinstance(item, Scalar)]
    assert texts == ["NO", "1.10", "0x10", "null", "~", "2026-01-01", "yes", "1_000", "08"]


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("", "SYNTAX", 1, 1),
        ("# nothing\n", "SYNTAX", 1, 1),
        ("on: true\non: false\n", "DUPLICATE", 2, 1),
        ("tags: {a: b, a: c}\n", "DUPLICATE", 1, 14),
        ("names: [a, a]\n", "DUPLICATE", 1, 12),
        ("onn: true\n", "UNKNOWN", 1, 1),
        ("servers:\n  - {port: 1}\n", "MISSING", 2, 5),
        ("servers: {host: a}\n", "TYPE", 1, 10),
        ("servers: a\n", "TYPE", 1, 10),
        ("servers:\n", "TYPE", 1, 9),
        ("servers: []\n", "VALUE", 1, 10),
        ("servers:\n  - host: a\n    - host: b\n", "SYNTAX", 3, 5),
        ("names:\n  - a\n    - b\n", "SYNTAX", 3, 5),
        ("tags: [a]\n", "TYPE", 1, 7),
        ("tags: {A: b}\n", "VALUE", 1, 8),
        ("tags: {a: }\n", "TYPE", 1, 11),
        ("tags: {a: ' '}\n", "VALUE", 1, 11),
        ("names: {a: b}\n", "TYPE", 1, 8),
        ("names:\n", "TYPE", 1, 7),
        ("since: 2026-02-30\n", "VALUE", 1, 8),
        ("since: 20260228\n", "VALUE", 1, 8),
        ("on: yes\n", "VALUE", 1, 5),
        ("on: True\n", "VALUE", 1, 5),
        ("on: [true]\n", "TYPE", 1, 5),
        ("mode: fsat\n", "VALUE", 1, 7),
        ("ratio: much\n", "VALUE", 1, 8),
        ("servers: [{host: a, port: 0}]\n", "VALUE", 1, 27),
        ("servers: [{host: a, port: 010}]\n", "VALUE", 1, 27),
        ("servers: [{host: a, port: 1.0}]\n", "VALUE", 1, 27),
        ("servers: [{host: a, port: [1]}]\n", "TYPE", 1, 27),
        ("servers: [{host: a, port: 99999999999999999999999999}]\n", "VALUE", 1, 27),
        ("on: &x true\n", "SYNTAX", 1, 5),
        ("on: *x\n", "SYNTAX", 1, 5),
        ("on: !!bool true\n", "SYNTAX", 1, 5),
        ("<<: {on: true}\n", "SYNTAX", 1, 1),
        ("a: b: c\n", "SYNTAX", 1, 5),
        ("names:\n\t- a\n", "SYNTAX", 2, 1),
        ("names: [a\n", "SYNTAX", 2, 1),
        ("names: 'a\n", "SYNTAX", 2, 1),
        ("on: true\n---\non: false\n", "SYNTAX", 2, 1),
        ("[a]: b\n", "SYNTAX", 1, 1),
        ("? {a: b}\n: c\n", "SYNTAX", 1, 3),
        ("on: true\x07\n", "SYNTAX", 1, 9),
        ("on: \ud800\n", "SYNTAX", 1, 5),
        (b"on: true\nnames: \xff\n", "SYNTAX", 2, 8),
        (b"\xff\xfe\x00", "SYNTAX", 1, 1),
        ("- on: true\n", "TYPE", 1, 1),
        ("just a text\n", "TYPE", 1, 1),
    ],
)
def test_what_is_wrong_is_found_where_it_is(text, code, line, column):
    diagnostic = only(text)
    assert (diagnostic.code, diagnostic.line, diagnostic.column) == (code, line, column)
    assert diagnostic.severity == "error"
    assert diagnostic.file == "f.yaml"


def test_what_is_too_deep_or_too_large_is_refused():
    assert (only("a: " + "[" * 500).column, only("a: " + "[" * 500).code) == (35, "SYNTAX")
    assert only("a: " + "[" * 5000).code == "SYNTAX"  # some versions of libyaml find this themselves
    assert only("a" * (SIZE_MAX + 1)).message == f"the file has more than {SIZE_MAX} bytes"


def test_every_finding_is_collected_in_file_order():
    _, findings = load("onn: true\nservers:\n  - {host: a, prot: 1}\n  - {port: x}\nsince: soon\n")
    assert [(d.code, d.line) for d in findings.diagnostics] == [
        ("UNKNOWN", 1),
        ("UNKNOWN", 3),
        ("MISSING", 4),
        ("VALUE", 4),
        ("VALUE", 5),
    ]
    assert findings.failed


def test_what_is_right_survives_what_is_wrong():
    value, findings = load("servers: [{host: a}, {port: 1}]\nsince: soon\non: true\n")
    assert findings.failed
    assert [server.host for server in value.servers] == ["a"]
    assert value.on is True
    assert value.since is None


def test_a_finding_prints_a_caret_and_a_suggestion():
    assert str(only("servers:\n  - {host: a, prot: 1}\n")) == (
        "error[UNKNOWN]: unknown key `prot`\n"
        " --> f.yaml:2:15\n"
        "2 |   - {host: a, prot: 1}\n"
        "  |               ^^^^\n"
        "  = help: did you mean `port`?"
    )


def test_a_finding_says_whose_key_it_is():
    shape = MapOf(SERVER, noun="server")
    assert only("a: {host: b, prot: 1}\n", shape).message == "unknown key `prot` in server `a`"
    assert only("a: {port: 1}\n", shape).message == "the key `host` is missing in server `a`"


def test_an_excerpt_cannot_move_the_cursor_and_is_short():
    diagnostic = only('mode: "\\e[2J"\n')
    assert diagnostic.message.isprintable()
    assert only("a: " + "x" * 10_000 + ": b\n").text == ""
    assert len(only("onn: " + "x" * 10_000 + "\n").text) <= 160


def test_excerpts_can_be_left_out():
    findings = Findings(CODES, excerpts=False)
    decode(read("passwrod: hunter2\n", "f", findings), FILE, findings)
    assert "hunter2" not in "".join(map(str, findings.diagnostics))


def test_errors_are_bounded():
    _, findings = load("".join(f"k{i}: v\n" for i in range(20_000)))
    assert findings.full
    assert len(findings.diagnostics) == 100


def test_warnings_do_not_fail_and_come_last():
    findings = Findings(CODES)
    place = Place(Source("f", ("abc",)), 1, 2)
    findings.warning("W1", place, "look")
    assert not findings.failed
    findings.error(Kind.VALUE, place, "no")
    findings.error(Kind.VALUE, place, "no")
    assert [d.code for d in findings.diagnostics] == ["VALUE", "W1"]


def test_a_byte_order_mark_and_windows_lines_are_read():
    value, findings = load("\ufeffon: true\r\nmode: slow\r\n".encode())
    assert findings.diagnostics == ()
    assert value.mode == 1


def test_large_files_are_read_or_refused_without_harm():
    rows = "".join(f"k{i}: v\n" for i in range(50_000))
    findings = Findings(CODES)
    node = read(rows, "f", findings)
    assert isinstance(node, MapNode)
    assert len(node.entries) == 50_000
    assert node.get("k49999") == node.entries[-1][1]
    assert node.get("k50000") is None


def test_a_word_is_a_text_with_a_place():
    word = Scalar("a", Place(Source("f", ("a",)), 1, 1)).word()
    assert word == "a"
    assert {word: 1}["a"] == 1
    assert type(pickle.loads(pickle.dumps(word))) is str  # noqa: S301  # our own bytes
    assert type(copy.deepcopy(word)) is str


def test_suggestions_are_near_or_few():
    assert suggest("prot", ["port", "host"]) == "did you mean `port`?"
    assert suggest("zzz", ["port", "host"]) == "known: `host`, `port`"
    assert suggest("zzz", [f"name{i}" for i in range(99)]) == ""
    assert suggest("zzz", []) == ""


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), st.text("ab:-[]{},'\"#&*!|> \n\t", max_size=60), st.binary(max_size=40)))
def test_any_text_is_read_or_refused(text):
    value, findings = load(text)
    for diagnostic in findings.diagnostics:
        assert diagnostic.line >= 1
        assert diagnostic.column >= 1
        assert str(diagnostic)
    assert value is not None or findings.failed
