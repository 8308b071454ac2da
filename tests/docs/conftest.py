"""How a documentation page is read and run.

Every fence of a page has a language, and each language has one meaning:

`python`   run, all blocks of a page in one namespace, in their order
`console`  lines after `$ ` (and `> `, which continue them) are run by bash; the lines below are what they print
`text`     what the python or console block right before it printed, where nothing or one of the lines `It prints:`,
           `This prints:` and `Output:` stands between; otherwise prose, for drawings
`yaml`     a whole policy, configuration, overlay or provider file is loaded; a piece of one must at least be readable
`json`, `toml`   parsed

A fence with `title="NAME"` is written to that file, for the blocks that follow; a python block is then compiled and not
run. After a line `<!-- run by PATH -->`, the test at PATH runs a python or yaml block, with what it needs: this runner
compiles the python, and leaves the yaml alone.

In what is printed, `…` stands for anything, and runs of spaces are one. A command must succeed, unless `$ echo $?`
follows and says otherwise. Commands that would build an environment or take minutes (make, pip, git, the demo) are not
run; what they name must exist.
"""

import ast
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import textwrap
import tomllib
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = {"python", "console", "text", "yaml", "json", "toml"}
OPENING = re.compile(r"^(?P<indent>[ ]*)(?P<fence>`{3,}|~{3,})[ ]*(?P<language>[\w+-]*)(?P<rest>.*)$")
TITLE = re.compile(r'title="([\w./-]+)"')
ANNOUNCED = re.compile(r"(?:(?:It|This) prints|Output):")
PASSPHRASE = "a passphrase that only the documentation knows"
EXIT_CODE = "echo $?"
ELSEWHERE = re.compile(r"<!-- run by (\S+) -->")


@dataclass(frozen=True, slots=True)
class Fence:
    """One fenced block: where its text starts in the page, and the last line of prose before it."""

    language: str
    text: str
    line: int
    title: str | None
    before: str


def fences(page: str) -> list[Fence]:
    found: list[Fence] = []
    lines = page.splitlines()
    number, before = 0, ""
    while number < len(lines):
        opened = OPENING.match(lines[number])
        if opened is None:
            before = lines[number].strip() or before
            number += 1
            continue
        start = number = number + 1
        while number < len(lines) and not lines[number].strip().startswith(opened["fence"]):
            number += 1
        assert number < len(lines), f"line {start}: the fence is never closed"
        title = TITLE.search(opened["rest"])
        text = textwrap.dedent("\n".join(lines[start:number]) + "\n")
        found.append(Fence(opened["language"], text, start + 1, title and title[1], before))
        before, number = "", number + 1
    return found


def alike(expected: str, printed: str) -> bool:
    """Whether two outputs are the same, but for spaces and for what `…` stands for."""

    def flat(text: str) -> str:
        return "\n".join(" ".join(line.split()) for line in text.strip("\n").splitlines())

    pattern = re.escape(flat(expected)).replace("…", ".*")
    return re.fullmatch(pattern, flat(printed), re.DOTALL) is not None


@dataclass
class Page:
    """One page being run, in a folder of its own."""

    name: str
    folder: Path
    namespace: dict[str, object] = field(default_factory=lambda: {"__name__": "__main__"})
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path = Path()
    printed: str | None = None

    def run(self, text: str) -> None:
        self.cwd = self.folder
        self.env = dict(os.environ)
        for fence in fences(text):
            where = f"{self.name}:{fence.line}"
            assert fence.language in LANGUAGES, f"{where}: no rule for fences of `{fence.language}`; see {__file__}"
            if fence.title is not None:
                target = self.cwd / fence.title
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(fence.text, encoding="utf-8")
            getattr(self, f"run_{fence.language}")(fence, where)

    def elsewhere(self, fence: Fence, where: str) -> bool:
        """Return whether a test of its own runs a block; there must be such a test, and it must name this page."""
        found = ELSEWHERE.fullmatch(fence.before)
        if found is None:
            return False
        test = ROOT / found[1]
        assert test.is_file(), f"{where}: there is no `{found[1]}`"
        assert Path(self.name).name in test.read_text("utf-8"), f"{where}: `{found[1]}` does not read this page"
        return True

    def run_python(self, fence: Fence, where: str) -> None:
        code = compile(ast.parse("\n" * (fence.line - 1) + fence.text, where), where, "exec")
        if self.elsewhere(fence, where) or fence.title is not None:
            return
        out = io.StringIO()
        before = Path.cwd()
        try:
            os.chdir(self.cwd)
            with contextlib.redirect_stdout(out):
                exec(code, self.namespace)  # noqa: S102 - the page is ours
        except Exception:  # noqa: BLE001 - whatever a page raises is a finding about the page
            pytest.fail(f"{where}: the block fails\n{traceback.format_exc()}")
        finally:
            os.chdir(before)
        self.printed = out.getvalue()

    def run_console(self, fence: Fence, where: str) -> None:
        commands: list[tuple[str, str]] = []
        for line in fence.text.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], ""))
                continue
            assert commands, f"{where}: a console block starts with `$ `"
            command, expected = commands[-1]
            if line.startswith("> ") and not expected:
                commands[-1] = (f"{command}\n{line[2:]}", "")
            else:
                commands[-1] = (command, f"{expected}{line}\n")
        for index, (command, expected) in enumerate(commands):
            if command == EXIT_CODE:
                continue
            if (named := outside(command)) is not None:
                assert named, f"{where}: `{command}` names what is not there"
                continue
            code, printed = self.shell(command)
            asked = commands[index + 1] if index + 1 < len(commands) else ("", "")
            due = int(asked[1]) if asked[0] == EXIT_CODE else 0
            assert code == due, f"{where}: `{command}` exits with {code} instead of {due}\n{printed}"
            assert not expected or alike(expected, printed), f"{where}: `{command}` printed\n{printed}"
            self.printed = printed

    def shell(self, command: str) -> tuple[int, str]:
        """Run one command; where it leaves the shell (folder, variables) is where the next one starts."""
        state = self.folder / ".state"
        script = f"{command}\ncode=$?\n{{ pwd; env -0; }} > {shlex.quote(str(state))}\nexit $code"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.cwd, env=self.env, text=True, timeout=120, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if state.exists():
            cwd, _, variables = state.read_text("utf-8").partition("\n")
            self.cwd = Path(cwd)
            self.env = dict(pair.split("=", 1) for pair in variables.split("\0") if "=" in pair)
            state.unlink()
        return done.returncode, done.stdout

    def run_text(self, fence: Fence, where: str) -> None:
        follows = self.printed is not None and not fence.before
        if follows or ANNOUNCED.fullmatch(fence.before):
            assert self.printed is not None, f"{where}: output of nothing"
            assert alike(fence.text, self.printed), f"{where}: what was printed is\n{self.printed}"
        self.printed = None

    def run_yaml(self, fence: Fence, where: str) -> None:
        from sovbroker.document import Findings, Kind, MapNode, read  # noqa: PLC0415 - of yaml blocks alone

        if self.elsewhere(fence, where):
            return
        findings = Findings(dict.fromkeys(Kind, "YAML"))
        node = read(fence.text, where, findings)
        assert not findings.failed, "\n".join(map(str, findings.diagnostics))
        keys = {str(key) for key, _ in node.entries} if isinstance(node, MapNode) else set[str]()
        self.load(fence.text, keys)

    def load(self, text: str, keys: set[str]) -> None:
        """Load a whole file as what it is; relative paths in it lead into the page's folder."""
        if "schema" in keys and "sovbroker.overlay/" in text:
            from sovbroker import catalogue  # noqa: PLC0415 - of overlays alone

            overlay = self.cwd / ".overlay.yaml"
            overlay.write_text(text, encoding="utf-8")
            catalogue.load(overlay=overlay)
        elif "schema" in keys and "sovbroker.prices/" in text:
            from sovbroker.compute.prices import read_prices  # noqa: PLC0415 - of price lists alone

            read_prices(text, "prices.yaml")
        elif "schema" in keys:
            from sovbroker import catalogue  # noqa: PLC0415 - of provider files alone

            folder = self.folder / ".providers"
            folder.mkdir(exist_ok=True)
            (folder / "provider.yaml").write_text(text, encoding="utf-8")
            assert not [str(found) for found in catalogue.lint(folder)]
        elif {"sovbroker", "targets"} <= keys:
            from sovbroker.config import parse_config  # noqa: PLC0415 - of configurations alone

            parse_config(text, file=self.cwd / "sovbroker.yaml")
        elif "sovbroker" in keys:
            from sovbroker import policy  # noqa: PLC0415 - of policies alone

            policy.loads(text, file=str(self.cwd / "policy.yaml"))

    def run_json(self, fence: Fence, where: str) -> None:
        try:
            json.loads(fence.text)
        except ValueError as error:
            pytest.fail(f"{where}: {error}")

    def run_toml(self, fence: Fence, where: str) -> None:
        try:
            tomllib.loads(fence.text)
        except ValueError as error:
            pytest.fail(f"{where}: {error}")


def outside(command: str) -> bool | None:
    """Return whether what a command names exists, for the commands that are not run; None for all others."""
    words = shlex.split(command, comments=True)
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words = words[1:]
    match words:
        case ["make", *rest]:
            makefile = (ROOT / "Makefile").read_text("utf-8")
            targets = [word for word in rest if "=" not in word]
            return all(re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE) for target in targets)
        case ["pip", "install", *rest] | ["python", "-m", "pip", "install", *rest] | ["pipx", "install", *rest]:
            project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
            extras = {
                name.strip() for word in rest for part in re.findall(r"\[(.*?)\]", word) for name in part.split(",")
            }
            return extras <= set(project["optional-dependencies"]) and any(
                re.match(rf"{project['name']}\b|\.", word) for word in rest
            )
        case ["git", *_] | ["apt-get", *_] | ["sudo", *_]:
            return True
        case ["sovbroker", "demo"] | ["python", "-m", "sovbroker", "demo"]:
            return (ROOT / "src" / "sovbroker" / "demo" / "__init__.py").is_file()
        case ["bash", ".ci/run"]:
            return (ROOT / ".ci" / "run").is_file()
        case _:
            return None


def pages() -> list[Path]:
    """Return every page that people read."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    beside = [ROOT / folder / "README.md" for folder in ("adapters", "policies", "examples")]
    return [page for page in (*top, *beside, *sorted((ROOT / "docs").rglob("*.md"))) if page.is_file()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give one test per page to whoever asks for `page`."""
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Page]:
    """Return a function that runs a page's text, in a folder with the project's examples in it."""
    home = tmp_path / "home"
    home.mkdir()
    here = tmp_path / "here"
    here.mkdir()
    shutil.copytree(ROOT / "examples", here / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    for name in [name for name in os.environ if name.startswith(("SOVBROKER", "AWS_", "XDG_"))]:
        monkeypatch.delenv(name)
    scripts = sysconfig.get_path("scripts")
    for name, value in {
        "COLUMNS": "120",
        "HOME": str(home),
        "NO_COLOR": "1",
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "SOVBROKER_PASSPHRASE": PASSPHRASE,
        "TERM": "dumb",
    }.items():
        monkeypatch.setenv(name, value)

    def ran(name: str, text: str) -> Page:
        page = Page(name, here)
        page.run(text)
        return page

    return ran


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def documentation() -> str:
    """Return every page that people read, as one text."""
    return "\n".join(page.read_text("utf-8") for page in pages())
