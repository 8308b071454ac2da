"""What no file of the project may hold: somebody's machine, promises instead of work, errors that are swallowed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

# Spelt so that this file does not hold what it looks for.
SYSTEM = r"(?<![\w.~/:$}*-])/(?:home|Users|root|work|workspace)/[\w.-]+"
REGISTRY = r"\b(?:files\.python[h]osted|pypi\.[o]rg|registry\.npm[j]s|proxy\.golang|[\w-]+\.jfrog|nexus\.[\w-]+)"
PROMISE = r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b"
SWALLOW = r"except(?:\s+(?:Base)?Exception(?:\s+as\s+\w+)?)?\s*:\s*(?:#[^\n]*)?\n?\s*(?:pass|\.\.\.)\s*(?:#[^\n]*)?$"
STUB = r"raise\s+NotImplemented" + r"Error|pytest\.(?:mark\.)?(?:sk" + r"ip|xf" + r"ail)"
FORBIDDEN = {
    "a path of somebody's machine": SYSTEM,
    "a package registry's host": REGISTRY,
    "a promise": PROMISE,
    "a swallowed error": SWALLOW,
    "a stub or a skipped test": STUB,
}
# What people run on theirs is named in the documents that tell them how.
EXEMPT = {"LICENSE"}
SAMPLES = {
    "a path of somebody's machine": ["see /home/" + "ada/notes", '"/work/' + 'main/x.py"', "(/Users/" + "ada)"],
    "a package registry's host": ["https://pypi." + "org/simple", "https://registry.npm" + "js.org"],
    "a promise": ["# TO" + "DO: later", "FIX" + "ME"],
    "a swallowed error": [
        "try:\n    x()\nexcept Exception:\n    pass\n",
        "except:\n        ...",
        "except BaseException as e: pass",
    ],
    "a stub or a skipped test": ["    raise NotImplemented" + "Error", "@pytest.mark.sk" + "ip"],
}
HARMLESS = {
    "a path of somebody's machine": ["https://example.org/home/page", "docs/work/x", "~/work/x", "`/srv/x`"],
    "a package registry's host": ["https://c2sp.org/chunked-encryption", "pypi"],
    "a promise": ["the todo list", "XXXL"],
    "a swallowed error": ["except KeyError:\n    pass", "except Exception:\n    raise"],
    "a stub or a skipped test": ["NotImplemented", "skipped"],
}


@pytest.fixture(scope="session")
def texts(root: Path, files_of: Callable[[Path], list[Path]]) -> dict[str, str]:
    """Return every text file of the project by its path."""
    found = {}
    for file in files_of(root):
        content = file.read_bytes()
        if b"\0" not in content and file.name not in EXEMPT:
            found[file.relative_to(root).as_posix()] = content.decode("utf-8", errors="replace")
    return found


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str, texts: dict[str, str]):
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    found = [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match[0].strip()}"
        for path, text in texts.items()
        for match in pattern.finditer(text)
    ]
    assert not found, f"{what}:\n" + "\n".join(found)


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_patterns_see_what_they_are_for(what: str):
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    assert all(pattern.search(text) for text in SAMPLES[what])
    assert not [text for text in HARMLESS[what] if pattern.search(text)]


def test_the_project_is_looked_at(texts: dict[str, str]):
    assert {"pyproject.toml", "src/sovbroker/errors.py", "tests/house/test_names.py", ".ci/run"} <= set(texts)
