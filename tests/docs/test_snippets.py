"""What the documentation shows is run; and the runner is seen to find what is wrong."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.outcomes import Failed

LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^ *(`{3,}|~{3,}).*?^ *\1", re.MULTILINE | re.DOTALL)

Run = Callable[[str, str], object]


def test_what_a_page_shows_is_so(page: Path, run: Run, root: Path):
    run(page.relative_to(root).as_posix(), page.read_text("utf-8"))


def test_links_of_a_page_lead_somewhere(page: Path):
    links = LINK.findall(FENCED.sub("", page.read_text("utf-8")))
    dead = [link for link in links if ":" not in link and not (page.parent / link.partition("#")[0]).exists()]
    assert not dead


GOOD = {
    "python": "```python\nprint(6 * 7)\n```\n```text\n42\n```\n",
    "one namespace": "```python\na = 1\n```\nThen\n```python\nassert a == 1\n```\n",
    "announced": "```python\nprint('x')\n```\n\nIt prints:\n\n```text\nx\n```\n",
    "drawing": "```python\nprint('x')\n```\n\nThe tree.\n\n```text\na -> b\n```\n",
    "console": "```console\n$ echo a  b\na b\n$ false\n$ echo $?\n1\n```\n",
    "state": "```console\n$ mkdir x && cd x\n$ export A=7\n$ echo $A $(basename $PWD)\n7 x\n```\n",
    "continued": "```console\n$ cat <<END\n> one\n> END\none\n```\n",
    "anything": "```console\n$ seq 3\n1\n…\n```\n",
    "written": '```yaml title="a.yaml"\na: 1\n```\n```console\n$ cat a.yaml\na: 1\n```\n',
    "compiled": '```python title="a.py"\nraise SystemExit\n```\n',
    "test_snippets.py": "<!-- run by tests/docs/test_snippets.py -->\n```python\nraise SystemExit\n```\n",
    "yaml of a test": "<!-- run by tests/docs/test_snippets.py -->\n```yaml\nsovbroker: 1\nzoness: {}\n```\n",
    "named": "```console\n$ make test\n$ pip install 'sovbroker[s3,cli]'\n```\n",
    "data": '```json\n{"a": 1}\n```\n```toml\na = 1\n```\n',
    "in a list": "- so\n\n  ```python\n  b = 2\n  ```\n",
}
BAD = {
    "yaml of no test": "<!-- run by tests/docs/test_nothing.py -->\n```yaml\nsovbroker: 1\nzoness: {}\n```\n",
    "unknown language": "```haskell\nx\n```\n",
    "no language": "```\nx\n```\n",
    "raises": "```python\n1 / 0\n```\n",
    "prints another": "```python\nprint(6)\n```\n```text\n42\n```\n",
    "announces another": "```python\nprint(6)\n```\nOutput:\n```text\n42\n```\n",
    "exit code": "```console\n$ false\n```\n",
    "another exit code": "```console\n$ false\n$ echo $?\n3\n```\n",
    "console prints another": "```console\n$ echo a\nb\n```\n",
    "prints more": "```console\n$ seq 3\n1\n```\n",
    "no prompt": "```console\necho a\n```\n",
    "no such target": "```console\n$ make coffee\n```\n",
    "no such extra": "```console\n$ pip install 'sovbroker[coffee]'\n```\n",
    "does not compile": '```python title="a.py"\ndef\n```\n',
    "json": "```json\n{a}\n```\n",
    "toml": "```toml\na\n```\n",
    "yaml": "```yaml\na: {b\n```\n",
    "duplicate": "```yaml\na: 1\na: 2\n```\n",
    "policy": "```yaml\nsovbroker: 1\nzoness: {}\n```\n",
    "configuration": "```yaml\nsovbroker: 1\ntargets: []\n```\n",
    "run by nobody": "<!-- run by tests/docs/test_nothing.py -->\n```python\nx = 1\n```\n",
    "run by another's": "<!-- run by tests/docs/test_public.py -->\n```python\nx = 1\n```\n",
    "never closed": "```python\nx = 1\n",
}


@pytest.mark.parametrize("sample", GOOD)
def test_the_runner_accepts(sample: str, run: Run):
    run(sample, GOOD[sample])


@pytest.mark.parametrize("sample", BAD)
def test_the_runner_refuses(sample: str, run: Run):
    from sovbroker.errors import SovbrokerError  # noqa: PLC0415 - of this test alone

    with pytest.raises((AssertionError, SyntaxError, SovbrokerError, Failed)):
        run(sample, BAD[sample])


def test_the_runner_finishes_what_it_starts(run: Run):
    """A page in which nothing ran would pass as well."""
    page = run("page", "```python\nseen = []\n```\n```python\nseen.append(1)\n```\n")
    assert page.namespace["seen"] == [1]  # type: ignore[attr-defined]  # the conftest's class
