"""Every file of the corpus says on its first line what loading it must find, and where."""

import re
from pathlib import Path

import pytest

from sovbroker import policy as policies
from sovbroker.document import ByKind, ListOf, MapOf, Record, Single
from sovbroker.errors import PolicyError
from sovbroker.policy import TITLES
from sovbroker.policy.language import DOCUMENT

CORPUS = Path(__file__).parents[2] / "policies"
BAD = sorted((CORPUS / "bad").glob("*.yaml"))
GOOD = sorted((CORPUS / "good").glob("*.yaml"))


def expected(path):
    found = re.match(r"# expect (\S+)(?: (?:line (\d+)|(\S+):(\d+)))?", path.read_text())
    assert found is not None, f"{path.name} says nothing"
    code, line, other, other_line = found.groups()
    if line is not None:
        return code, path, int(line)
    return code, None if other is None else CORPUS / other, None if other is None else int(other_line)


@pytest.fixture
def load(world):
    secnumcloud = world.qualified("secnumcloud", "3.2")
    targets = [world.target("p/fr", "FR", "FR", secnumcloud), world.target("p/us", "US", "US")]

    def run(path):
        return policies.load(path, targets=targets, keys=[world.keys("main")], at=world.now, clock=lambda: world.now)

    return run


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_what_is_bad_is_refused_for_the_reason_that_it_states(path, load):
    code, file, line = expected(path)
    with pytest.raises(PolicyError) as caught:
        load(path)
    errors = [d for d in caught.value.diagnostics if d.severity == "error"]
    assert [(d.code, Path(d.file).resolve(), d.line) for d in errors] == [(code, file.resolve(), line)]
    assert errors[0].message == errors[0].message.strip()
    assert not errors[0].message.endswith(".")
    if errors[0].text:
        assert errors[0].column + errors[0].width - 1 <= len(errors[0].text) + 1
    assert str(errors[0]) in str(caught.value)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_what_is_good_loads_with_the_warning_that_it_states(path, load):
    code, _, line = expected(path)
    policy = load(path)
    found = [(d.code, d.line) for d in policy.warnings]
    assert found == ([] if code == "nothing" else [(code, line)])


LATER = re.compile(r"SB04.|SB05.|SB108|SB109|SB11.|SB12.")
"""What loading does not find: `policy check` and `policy test` do."""


def test_every_code_has_a_file():
    loading = {code for code in TITLES if not LATER.fullmatch(code)}
    assert {expected(path)[0] for path in (*BAD, *GOOD)} - {"nothing"} == loading


def keys_of(shape):
    match shape:
        case Record():
            for key, field in shape.fields.items():
                yield key
                yield from keys_of(field.shape)
        case ListOf() | Single():
            yield from keys_of(shape.item)
        case MapOf():
            yield from keys_of(shape.value)
        case ByKind():
            for inner in (shape.text, shape.items, shape.entries):
                yield from keys_of(inner)


def test_every_key_of_the_language_is_documented():
    page = (Path(__file__).parents[3] / "docs" / "policy-language.md").read_text("utf-8")
    keys = set(keys_of(DOCUMENT))
    assert {"zones", "waivable", "approvals", "located"} <= keys
    spelled = keys - {f"SOV-{number}" for number in range(3, 8)}  # the page says "from SOV-1 to SOV-8"
    assert not [key for key in sorted(spelled) if not re.search(rf"`{key}`|\b{key}:", page)]
