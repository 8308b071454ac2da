"""The page: whole, quiet and safe, whatever the texts in it are."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.policy.compare import Item, as_page, compare

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
VOID = {"meta", "br"}
ALLOWED = {
    *("html", "head", "body", "meta", "title", "style", "header", "footer", "main", "section", "h1", "h2", "p", "b"),
    *("ul", "li", "span", "strong", "small", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "br"),
    *("details", "summary", "code"),
}


class Reader(HTMLParser):
    """Reads a page strictly: every tag is closed in its order."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text, self.cells = [], [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def page_of(kit, old, new, inventory=None):
    return as_page(compare(old, new, inventory, at=kit.day))


@pytest.fixture
def hostile(kit, world):
    """A page in which every text that is not our own wants to be more than text."""
    zones = {**kit.base["zones"], "european": {"located": ["FR"]}}
    rules = [{"id": "x", "meta": {HOSTILE: HOSTILE}, "label": "secret"}]
    odd = replace(kit, targets=[*kit.targets, world.target(f"{HOSTILE}/a", "DE", "DE", cost="0")])
    items = [Item(f"hr/{HOSTILE}", 5, "secret", (HOSTILE, "de/bonn")), Item("hr/x", 5, None, (f"{HOSTILE}/a",))]
    found = compare(odd.load(), odd.load(zones=zones, classify=rules), items, at=kit.day)
    # Policies may not use such names. Should one ever be able to, it is no danger either.
    rows = tuple(replace(row, label=f"{HOSTILE}+{row.label}") for row in found.labels)
    outcome = replace(found.classes[0].verdict.old, label=HOSTILE)
    first = replace(found.classes[0], verdict=replace(found.classes[0].verdict, old=outcome))
    sides = {"old": replace(found.old, name=HOSTILE), "new": replace(found.new, name=HOSTILE)}
    return as_page(replace(found, **sides, labels=rows, classes=(first, *found.classes[1:]), unseen=(HOSTILE,)))


def test_hostile_texts_stay_texts(hostile):
    read = Reader(hostile)
    assert {tag for tag, _ in read.tags} <= ALLOWED
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
    assert "".join(read.text).count(HOSTILE) > 20
    assert all(
        HOSTILE in "".join(read.text).partition(heading)[2] for heading in ("egress", "may be stored", "Remarks")
    )
    assert "<script" not in hostile
    assert "<img" not in hostile


def test_the_page_loads_nothing_and_runs_nothing(hostile):
    read = Reader(hostile)
    policy = [
        a["content"] for tag, a in read.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    names = {name for _, attributes in read.tags for name in attributes}
    assert not names & {"src", "href", "style", "action", "srcset", "data"}
    style = re.search(r"<style>(.*?)</style>", hostile, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style


def test_every_table_has_heads_with_a_scope_and_rows_of_one_length(hostile):
    read = Reader(hostile)
    heads = [attributes for tag, attributes in read.tags if tag == "th"]
    assert heads
    assert all(attributes.get("scope") in {"col", "row"} for attributes in heads)
    assert read.tags[0] == ("html", {"lang": "en"})
    for table in re.findall(r"<table.*?</table>", hostile, re.DOTALL):
        widths = {len(re.findall(r"<t[hd][ >]", row)) for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)}
        assert len(widths) == 1


def test_what_colours_say_is_said_in_words(kit):
    require = {**kit.base["require"], "internal": {"store": {"anywhere": {}}, "compute": ["european"]}}
    page = page_of(kit, kit.load(), kit.load(require=require))
    assert "sealed → clear (loosens)" in "".join(Reader(page).text)
    assert "The new policy loosens" in page


def test_a_column_stands_for_all_targets_that_are_alike(kit):
    page = page_of(kit, kit.load(), kit.load())
    matrix = re.search(r'<table class="matrix">.*?</table>', page, re.DOTALL)[0]
    heads = re.findall(r'<th scope="col" class="target">(.*?)</th>', matrix)
    assert heads == ["de/berlin<br>de/bonn", "fr/lyon<br>fr/paris<br>and 1 more", "us/east<br>us/west<br>and 1 more"]
    assert "fr/lyon, fr/paris, fr2/lille" in page
    assert "changed" not in matrix


def test_the_numbers_of_the_page_are_those_of_the_difference(kit):
    new = kit.load(default="secret")
    page = page_of(kit, kit.load(), new, [Item(f"else/{n}", 1024) for n in range(1234)])
    text = "".join(Reader(page).text)
    assert "1,234 objects, 1.2 MiB" in text
    assert re.search(r'class="tightens".*?<strong>1,234</strong><span>1.2 MiB', page)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_every_difference_has_a_whole_page(data, kit, draws):
    old, new = (kit.load(data.draw(draws["documents"]())) for _ in range(2))
    found = compare(old, new, data.draw(draws["items"]()), at=kit.day)
    read = Reader(as_page(found))
    assert {tag for tag, _ in read.tags} <= ALLOWED
    assert as_page(found) == as_page(compare(old, new, [], at=kit.day)) or found.classes
