"""The table of providers in the pages is the one that the facts give."""

from pathlib import Path

import pytest

from sovbroker.catalogue import load
from sovbroker.catalogue.table import BEGIN, END, provider_table, replaced

PAGES = ("README.md", "docs/providers.md")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_the_table_that_the_command_prints(root: Path, name: str):
    page = (root / name).read_text("utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    made = replaced(page, provider_table(load()))
    assert page == made, f"run `sovbroker catalogue table --into {name}`"


def test_every_provider_has_a_row_that_says_how_it_is_reached():
    rows = [line for line in provider_table(load()).splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(load().providers)
    cells = {row.split("`")[1]: [cell.strip() for cell in row.strip("|").split("|")] for row in rows}
    assert all(len(row) == 6 and all(row) for row in cells.values())
    assert cells["aws"][2:5] == ["`s3`", "FR, DE, IE, SE, IT, ES, CH, GB", "*US*"]
    assert cells["outscale"][5] == "secnumcloud 3.2 in cloudgouv-eu-west-1, 2026-12-31"
    assert cells["ovhcloud"][2] == "`s3`, `swift`"
    assert "WebDAV, SFTP or S3 access" in cells["oodrive"][2]
    assert cells["oodrive"][5] == "-"


def test_a_page_without_a_place_for_it_is_left_alone():
    assert replaced("# A page\n", "table") is None
    assert replaced(f"a\n{BEGIN}\nold\n{END}\nb\n", "new") == f"a\n{BEGIN}\n\nnew\n{END}\nb\n"
