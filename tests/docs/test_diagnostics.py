"""Each diagnostic code has a page, whose example has that finding and whose mend has none.

The files of a page up to its `text` block are the example, and that block is what is printed of it; the files after it
mend it. A runner says what finds the code: loading alone, loading for the targets of a configuration, `policy check` or
`policy test`. Days are frozen.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sovbroker import config, doctor
from sovbroker import policy as policies
from sovbroker.errors import Diagnostic, PolicyError
from sovbroker.policy import TITLES

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
POLICY = Path("policy.yaml")
FENCE = re.compile(r'^```(\w+)(?: title="([\w./-]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| \[(SB\d+)\]\((SB\d+\.md)\) \| (error|warning) \| (.*) \|$", re.MULTILINE)

Found = Sequence[Diagnostic]


def load() -> Found:
    """Load for every target of the catalogue."""
    try:
        return policies.load(POLICY, keys=None, at=NOW, clock=lambda: NOW).warnings
    except PolicyError as error:
        return error.diagnostics


def configured() -> Found:
    """Load for the targets of the configuration."""
    return doctor.diagnose_policy(POLICY, config=config.load_config(Path("sovbroker.yaml")), clock=lambda: NOW)


def check() -> Found:
    """Prove, as `policy check` does."""
    from sovbroker.policy.prove import prove  # noqa: PLC0415 - of some pages alone

    return prove(policies.load(POLICY, keys=None, at=NOW, clock=lambda: NOW), at=NOW.date()).diagnostics


def trial() -> Found:
    """Run the cases, as `policy test` does."""
    from sovbroker.policy.trial import try_policy  # noqa: PLC0415 - of some pages alone

    return try_policy(POLICY).diagnostics


PAGES: dict[str, Callable[[], Found] | None] = {
    "SB001.md": load,
    "SB002.md": load,
    "SB003.md": load,
    "SB004.md": load,
    "SB005.md": load,
    "SB006.md": load,
    "SB010.md": load,
    "SB011.md": load,
    "SB012.md": load,
    "SB013.md": load,
    "SB014.md": configured,
    "SB015.md": load,
    "SB016.md": load,
    "SB020.md": load,
    "SB021.md": load,
    "SB022.md": load,
    "SB023.md": load,
    "SB024.md": load,
    "SB025.md": load,
    "SB026.md": load,
    "SB027.md": load,
    "SB028.md": load,
    "SB030.md": load,
    "SB031.md": load,
    "SB032.md": load,
    "SB040.md": check,
    "SB041.md": check,
    "SB042.md": None,  # no policy has it: it would be a defect of ours
    "SB043.md": check,
    "SB050.md": trial,
    "SB051.md": trial,
    "SB101.md": load,
    "SB102.md": load,
    "SB103.md": load,
    "SB104.md": load,
    "SB105.md": load,
    "SB106.md": load,
    "SB107.md": load,
    "SB108.md": check,
    "SB109.md": check,
    "SB110.md": check,
    "SB111.md": check,
    "SB112.md": check,
    "SB120.md": trial,
    "SB121.md": trial,
}
"""By what each page's example is found; None where there is none to show."""

COMPANIONS = {
    "SB043": {"SB041"},  # what could never be placed is not placed today
    "SB120": {"SB121"},  # a change of what no case exercises is noticed by none
}
"""What cannot but come with a finding."""


@pytest.fixture
def pages(root):
    return root / "docs" / "diagnostics"


def severity(code):
    return "error" if code < "SB100" else "warning"


def alike(expected, printed):
    """Whether two outputs are the same, where `…` stands for anything."""
    pattern = re.escape(expected.strip("\n")).replace("…", ".*")
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


def write(fences):
    for _, title, text in fences:
        file = Path(title)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def halves(page):
    """Return the files of the example, what is printed of it, and the files of the mend."""
    fences = FENCE.findall(page)
    (at,) = [number for number, (language, title, _) in enumerate(fences) if language == "text" and not title]
    return fences[:at], fences[at][2], fences[at + 1 :]


def test_each_code_has_a_page_and_each_page_a_code(pages):
    assert {file.name for file in pages.glob("*.md")} == {f"{code}.md" for code in TITLES} | {"index.md"}
    assert set(PAGES) == {f"{code}.md" for code in TITLES}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_headed_by_its_code_and_title_and_says_how_grave_it_is(name, pages):
    code = name.removesuffix(".md")
    heading, blank, first = (pages / name).read_text("utf-8").splitlines()[:3]
    assert (heading, blank) == (f"# {code}: {TITLES[code]}", "")
    assert first.startswith(f"{severity(code).capitalize()}, ")


@pytest.mark.parametrize("name", [name for name, run in PAGES.items() if run is not None])
def test_the_example_of_a_page_is_found_and_its_mend_is_not(name, pages, tmp_path, monkeypatch):
    code, run = name.removesuffix(".md"), PAGES[name]
    example, printed, mend = halves((pages / name).read_text("utf-8"))
    assert example[0][:2] == ("yaml", str(POLICY))
    assert mend
    assert mend[0][0] == "yaml"
    monkeypatch.chdir(tmp_path)
    write(example)
    found = run()
    assert {(one.code, one.severity) for one in found} == {
        (c, severity(c)) for c in {code} | COMPANIONS.get(code, set())
    }
    text = "\n\n".join(map(str, found))
    assert alike(printed, text), f"what is printed is\n{text}"
    before = {file: file.read_text("utf-8") for file in map(Path, tmp_path.rglob("*.yaml"))}
    write(mend)
    assert {file: file.read_text("utf-8") for file in map(Path, tmp_path.rglob("*.yaml"))} != before
    assert [str(one) for one in run()] == []


def test_a_page_without_an_example_has_no_policy(pages):
    for name, run in PAGES.items():
        assert bool(FENCE.findall((pages / name).read_text("utf-8"))) == (run is not None), name


def test_the_index_lists_every_code_in_order_with_its_severity_and_title(pages):
    rows = ROW.findall((pages / "index.md").read_text("utf-8"))
    assert rows == [(code, f"{code}.md", severity(code), title) for code, title in sorted(TITLES.items())]
