"""Reading inventories: the fast way and the whole way say the same, and no line is left out."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.errors import InvalidArgument
from sovbroker.policy.compare import Amount, Item, compare, compare_lines, read_items

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
written = st.builds(
    Item,
    key=texts,
    size=st.integers(0, 10**15),
    label=st.none() | texts,
    targets=st.lists(texts, max_size=3).map(tuple),
    metadata=st.dictionaries(texts, texts, max_size=2),
)


def as_line(item, **options):
    value = {"key": item.key, "size": item.size, "label": item.label, "targets": list(item.targets)}
    if item.metadata:
        value["metadata"] = dict(item.metadata)
    return json.dumps(value, **options)


@given(st.lists(written, max_size=5), st.booleans())
def test_what_is_written_is_read(items, readable):
    lines = [as_line(item, ensure_ascii=readable) for item in items]
    assert list(read_items(lines)) == items
    assert list(read_items([line.encode() for line in lines])) == items


def test_what_is_left_out_has_its_default():
    assert list(read_items(['{"key": "a"}', "", "  \n", '{"key": "b", "label": null}'])) == [Item("a"), Item("b")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "not JSON"),
        ('{"key": "a"', "not JSON"),
        ('{"key": "a"} {"key": "b"}', "more after the object"),
        ('{"key": "a"}, ', "more after the object"),
        ("[1]", "not an object"),
        ('"key"', "not an object"),
        ("{}", "needs a `key`"),
        ('{"key": ""}', "needs a `key`"),
        ('{"key": 7}', "needs a `key`"),
        ('{"key": "a", "sise": 1}', "unknown field `sise`"),
        ('{"key": "a", "size": -1}', "`size` is `-1`"),
        ('{"key": "a", "size": 1.5}', "`size` is `1.5`"),
        ('{"key": "a", "size": true}', "`size` is `true`"),
        ('{"key": "a", "size": "1"}', "`size` is"),
        ('{"key": "a", "size": 012}', "not JSON"),
        ('{"key": "a", "label": ""}', "`label` is"),
        ('{"key": "a", "label": 3}', "`label` is `3`"),
        ('{"key": "a", "targets": "b"}', "`targets` is"),
        ('{"key": "a", "targets": [""]}', "`targets` is"),
        ('{"key": "a", "targets": [1]}', "`targets` is"),
        ('{"key": "a", "targets": ["b",]}', "not JSON"),
        ('{"key": "a", "metadata": {"b": 1}}', "`metadata` is"),
        ('{"key": "a", "metadata": []}', "`metadata` is"),
        ('{"key": "a", "key": "b"}', "`key` is given twice"),
        ('{"key": "a\tb"}', "not JSON"),
        ('{"key": "a", "size": NaN}', "`size` is `NaN`"),
        ("[" * 100_000, "not JSON"),
        (b'{"key": "\xff"}', "not UTF-8"),
        (b'\xef\xbb\xbf{"key": "a"}', "not JSON"),
    ],
)
@pytest.mark.parametrize("before", [0, 3])
def test_a_bad_line_is_an_error_with_its_number(line, said, before, kit):
    raw = line if isinstance(line, bytes) else line.encode()
    lines = [b'{"key": "good"}\n'] * before + [raw + b"\n", b'{"key": "after"}\n']
    with pytest.raises(InvalidArgument, match=f"^objects.jsonl:{before + 1}: ") as caught:
        list(read_items(lines, name="objects.jsonl"))
    assert said in str(caught.value)
    with pytest.raises(InvalidArgument, match=f"^objects.jsonl:{before + 1}: ") as again:
        compare_lines(kit.load(), kit.load(), io.BytesIO(b"".join(lines)), at=kit.day, name="objects.jsonl")
    assert str(again.value) == str(caught.value)


SPELLINGS = [
    {"separators": (", ", ": ")},
    {"separators": (",", ":")},
    {"separators": (", ", ": "), "ensure_ascii": False},
    {"separators": (" , ", " : ")},
]


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_lines_are_counted_as_their_objects_are(data, kit, draws):
    old, new = (kit.load(data.draw(draws["documents"]())) for _ in range(2))
    items = data.draw(draws["items"]())
    lines = [as_line(item, **data.draw(st.sampled_from(SPELLINGS))) for item in items]
    ending = data.draw(st.sampled_from(["\n", "\r\n"]))
    text = ending.join(lines) + data.draw(st.sampled_from(["", ending]))
    found = compare_lines(old, new, io.BytesIO(text.encode()), at=kit.day)
    assert found.to_dict() == compare(old, new, items, at=kit.day).to_dict()


def test_many_chunks_are_counted_whole_and_numbered_through(kit):
    line = b'{"key": "hr/abcdefghij", "size": 3, "label": null, "targets": ["de/bonn"]}\n'
    odd = b'{"size": 3, "key": "hr/\\u00e9"}\n'
    lines = [odd if index % 9000 == 0 else line for index in range(20_000)]
    policy = kit.load()
    found = compare_lines(policy, policy, io.BytesIO(b"".join(lines)), at=kit.day)
    assert found.amount == Amount(20_000, 60_000)
    lines[15_000] = b"{}\n"
    with pytest.raises(InvalidArgument, match=r"^inventory:15001: "):
        compare_lines(policy, policy, io.BytesIO(b"".join(lines)), at=kit.day)
