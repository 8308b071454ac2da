"""`make mutants` fails for a survivor that nobody explains, and for an explanation that has become stale."""

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def judging(root: Path):
    spec = importlib.util.spec_from_file_location("judge", root / "tests" / "mutants" / "judge.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["judge"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["judge"]


TEXT = """
kinds:
  - {kind: words, was: '^raise ', why: words}
survivors:
  - {in: a.f, was: x = 1, now: [x = 2, x = None], why: it does not matter}
"""


def test_what_is_explained_passes(judging):
    M = judging.Mutant  # noqa: N806 - a class
    mutants = [M("a.f", "x = 1", "x = 2"), M("a.f", "x = 1", "x = None"), M("a.g", 'raise E("a")', "raise E(None)")]
    killed = [M("a.f", "", "", "killed"), M("a.f", "", "", "timeout")]
    assert judging.judge([*mutants, *killed], *judging.read(TEXT)) == []


@pytest.mark.parametrize(
    ("gone", "more", "said"),
    [
        (None, ("a.h", "y = 1", "y = 2", "survived"), "a.h: nobody noticed that `y = 1` became `y = 2`"),
        (None, ("a.h", "x = 1", "x = 2", "survived"), "a.h: nobody noticed that `x = 1` became `x = 2`"),
        (None, ("a.h", "x = 1", "x = 2", "no tests"), "a.h: no tests: `x = 1` became `x = 2`"),
        (None, ("a.f", "x = 1", "x = 2", "not checked"), "a.f: not checked: `x = 1` became `x = 2`"),
        (1, None, "a.f: the explanation is stale: `x = 1` to `x = None`"),
        (2, None, "no survivor is of the kind `words`"),
    ],
)
def test_anything_else_is_told(judging, gone, more, said):
    M = judging.Mutant  # noqa: N806 - a class
    mutants = [M("a.f", "x = 1", "x = 2"), M("a.f", "x = 1", "x = None"), M("a.g", 'raise E("a")', "raise E(None)")]
    if gone is not None:
        del mutants[gone]
    if more is not None:
        mutants.append(M(*more))
    assert judging.judge(mutants, *judging.read(TEXT)) == [said]


def test_an_explanation_has_a_reason(judging):
    with pytest.raises(ValueError, match="has no `why`"):
        judging.read(TEXT.replace("it does not matter", "''"))


def test_the_diff_of_a_mutant_is_read(judging):
    diff = "--- a.py\n+++ a.py\n@@ -1,3 +1,3 @@\n def f():\n-    x = 1\n+    x = 2\n     return x"
    assert judging.changed(diff) == ("x = 1", "x = 2")


def test_the_shipped_explanations_are_read_and_name_what_there_is(judging, root):
    kinds, survivors = judging.read((root / "tests" / "mutants" / "explained.yaml").read_text(encoding="utf-8"))
    assert kinds
    assert survivors
    lines = {
        line.strip()
        for path in ("envelope", "keys", "names.py")
        for file in (
            [root / "src/sovbroker" / path] if path.endswith(".py") else (root / "src/sovbroker" / path).glob("*.py")
        )
        for line in file.read_text(encoding="utf-8").splitlines()
    }
    for mutant in survivors:
        for line in mutant.was.split(" / "):
            assert line in lines, f"{mutant.function}: `{line}` is not in the code any more"
