"""Shapes: what a node must look like, and the value that it then is.

A shape is plain data, so that a JSON Schema can be made from the same declaration that decodes. Decoding records every
finding and raises `Invalid` for a value that cannot be had; lists and maps then leave that item out and go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Generic, Protocol, TypeVar, assert_never

from sovbroker.document.nodes import Findings, Kind, ListNode, MapNode, Node, Scalar, Word, suggest

__all__ = [
    "ByKind",
    "Choice",
    "Day",
    "Field",
    "Flag",
    "Invalid",
    "ListOf",
    "MapOf",
    "Parsed",
    "Record",
    "Shape",
    "Single",
    "Text",
    "Whole",
    "decode",
    "optional",
    "required",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
QUOTE_MAX = 60


class Invalid(Exception):  # it is not an error for callers: `decode` turns it into None
    """The node cannot be decoded. The findings say why."""


class Shape(Protocol[T_co]):
    """What a node must look like."""

    def decode(self, node: Node, findings: Findings) -> T_co:
        """Return the node's value. Raises Invalid, with the finding recorded."""
        ...


def decode(node: Node | None, shape: Shape[T], findings: Findings) -> T | None:
    """Return the value of a node, or None when it cannot be had; `findings` then say why.

    A value returned while `findings.failed` is true lacks the parts that were wrong: check further, but do not use it.
    """
    if node is None:
        return None
    try:
        return shape.decode(node, findings)
    except Invalid:
        return None


def what(node: Node) -> str:
    """Name the kind of a node for a message."""
    match node:
        case Scalar():
            if node.plain and not node.text:
                return "nothing"
            return f"the text `{node.text[:QUOTE_MAX]}`"
        case ListNode():
            return "a list"
        case MapNode():
            return "a map"
        case _:
            assert_never(node)


def wrong_kind(node: Node, wanted: str, findings: Findings) -> Invalid:
    """Record that a node is of the wrong kind, and return the exception to raise."""
    mend = ""
    match node:
        case MapNode() if "list" in wanted:
            mend = "put `- ` before each item, or brackets around them"
        case Scalar() if "list" in wanted and node.text:
            mend = "put brackets around it"
        case Scalar() if "map" in wanted and node.text:
            mend = "put a `:` and a space between a key and its value"
        case ListNode() if "map" in wanted:
            mend = "remove the `- ` or the brackets"
        case _:
            pass
    findings.error(Kind.TYPE, node.place, f"expected {wanted}, found {what(node)}", mend)
    return Invalid()


@dataclass(frozen=True, slots=True)
class Text:
    """A text, not empty. `pattern` must match all of it; `wanted` says what that means, in words."""

    pattern: str = ""
    wanted: str = "a text"
    most: int = 4096

    def decode(self, node: Node, findings: Findings) -> Word:
        """Return the text with its place."""
        if not isinstance(node, Scalar) or (node.plain and not node.text):
            raise wrong_kind(node, self.wanted, findings)
        if not node.text.strip() or len(node.text) > self.most:
            findings.error(Kind.VALUE, node.place, f"expected {self.wanted}, of 1 to {self.most} characters")
            raise Invalid
        if self.pattern and re.fullmatch(self.pattern, node.text) is None:
            findings.error(Kind.VALUE, node.place, f"`{node.text[:QUOTE_MAX]}` is not {self.wanted}")
            raise Invalid
        return node.word()


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `least` to `most`, in decimal digits without leading zeros."""

    least: int = 0
    most: int = 10**18 - 1

    def decode(self, node: Node, findings: Findings) -> int:
        """Return the number."""
        if not isinstance(node, Scalar) or (node.plain and not node.text):
            raise wrong_kind(node, "a whole number", findings)
        if WHOLE.fullmatch(node.text) is None or not self.least <= int(node.text) <= self.most:
            wanted = f"a whole number from {self.least} to {self.most}"
            findings.error(Kind.VALUE, node.place, f"`{node.text[:QUOTE_MAX]}` is not {wanted}")
            raise Invalid
        return int(node.text)


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """One of a closed set of words, each standing for a value."""

    words: Mapping[str, T]

    def decode(self, node: Node, findings: Findings) -> T:
        """Return the value that the word stands for."""
        if not isinstance(node, Scalar) or (node.plain and not node.text):
            raise wrong_kind(node, f"one of {', '.join(f'`{w}`' for w in self.words)}", findings)
        if node.text not in self.words:
            findings.error(
                Kind.VALUE,
                node.place,
                f"`{node.text[:QUOTE_MAX]}` is not one of {', '.join(f'`{w}`' for w in self.words)}",
                suggest(node.text, self.words),
            )
            raise Invalid
        return self.words[node.text]


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`, and no other spelling."""

    def decode(self, node: Node, findings: Findings) -> bool:
        """Return the truth value."""
        return Choice({"true": True, "false": False}).decode(node, findings)


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """A text that `parse` turns into a value; the ValueError that it raises becomes the finding."""

    parse: Callable[[str], T]
    text: Text = Text()  # a frozen value

    def decode(self, node: Node, findings: Findings) -> T:
        """Return the value."""
        word = self.text.decode(node, findings)
        try:
            return self.parse(word)
        except ValueError as error:
            findings.error(Kind.VALUE, word.place, str(error))
            raise Invalid from error


@dataclass(frozen=True, slots=True)
class Day:
    """A day, `2026-12-31`."""

    def decode(self, node: Node, findings: Findings) -> date:
        """Return the day."""
        word = Text(wanted="a day such as 2026-12-31").decode(node, findings)
        try:
            if DAY.fullmatch(word) is not None:
                return date.fromisoformat(word)
        except ValueError:
            pass
        findings.error(Kind.VALUE, word.place, f"`{word[:QUOTE_MAX]}` is not a day such as 2026-12-31")
        raise Invalid


@dataclass(frozen=True, slots=True)
class ListOf(Generic[T]):
    """A list of items of one shape, at least `least` of them. Items that are texts must differ with `unique`."""

    item: Shape[T]
    least: int = 0
    unique: bool = True

    def decode(self, node: Node, findings: Findings) -> tuple[T, ...]:
        """Return the items, without those that are invalid."""
        if not isinstance(node, ListNode):
            raise wrong_kind(node, "a list", findings)
        if len(node.items) < self.least:
            findings.error(Kind.VALUE, node.place, f"the list needs at least {self.least} item(s)")
            raise Invalid
        values: list[T] = []
        seen = set[str]()
        for item in node.items:
            if findings.full:
                break
            if self.unique and isinstance(item, Scalar):
                if item.text in seen:
                    findings.error(Kind.DUPLICATE, item.place, f"`{item.text}` is here twice", "keep one of them")
                    continue
                seen.add(item.text)
            try:
                values.append(self.item.decode(item, findings))
            except Invalid:
                continue
        return tuple(values)


@dataclass(frozen=True, slots=True)
class Single(Generic[T]):
    """One item where a list of items would do as well: it becomes a list of one. Meant for `ByKind`."""

    item: Shape[T]

    def decode(self, node: Node, findings: Findings) -> tuple[T, ...]:
        """Return the item alone."""
        return (self.item.decode(node, findings),)


@dataclass(frozen=True, slots=True)
class MapOf(Generic[T]):
    """A map from names, each of the shape `key`, to values of one shape, at least `least` of them."""

    value: Shape[T]
    key: Text = Text()  # a frozen value
    least: int = 0

    def decode(self, node: Node, findings: Findings) -> dict[Word, T]:
        """Return the values by name, in file order, without those that are invalid."""
        if not isinstance(node, MapNode):
            raise wrong_kind(node, "a map", findings)
        if len(node.entries) < self.least:
            findings.error(Kind.VALUE, node.place, f"the map needs at least {self.least} key(s)")
            raise Invalid
        values: dict[Word, T] = {}
        for name, item in node.entries:
            if findings.full:
                break
            try:
                key = self.key.decode(Scalar(name, name.place, plain=bool(name)), findings)
                values[key] = self.value.decode(item, findings)
            except Invalid:
                continue
        return values


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a record: its shape, and whether it must be there."""

    shape: Shape[object]
    needed: bool


def required(shape: Shape[object]) -> Field:
    """Declare a key that must be there."""
    return Field(shape, needed=True)


def optional(shape: Shape[object]) -> Field:
    """Declare a key that may be left out; the constructor's default then holds."""
    return Field(shape, needed=False)


@dataclass(frozen=True, slots=True)
class Record(Generic[T]):
    """A map with a closed set of keys, handed to `build` by name, or by another name that `names` gives.

    With `place`, `build` is also handed the record's place, as `place`. `noun` is what a key is called in messages.
    """

    build: Callable[..., T]
    fields: Mapping[str, Field]
    place: bool = False
    noun: str = "key"
    names: Mapping[str, str] = field(default_factory=dict[str, str])

    def decode(self, node: Node, findings: Findings) -> T:
        """Return what `build` makes of the values. Raises Invalid when a needed one is missing or invalid."""
        if not isinstance(node, MapNode):
            raise wrong_kind(node, "a map", findings)
        values: dict[str, object] = {}
        broken = False
        for name, item in node.entries:
            if findings.full:
                raise Invalid
            found = self.fields.get(name)
            if found is None:
                mend = suggest(name, self.fields)
                findings.error(Kind.UNKNOWN, name.place, f"unknown {self.noun} `{name[:QUOTE_MAX]}`", mend)
                continue
            try:
                values[self._argument(name)] = found.shape.decode(item, findings)
            except Invalid:
                broken = broken or found.needed
        keys = set(node.keys())
        for key, declared in self.fields.items():
            if declared.needed and key not in keys:
                findings.error(Kind.MISSING, node.place, f"the key `{key}` is missing")
                broken = True
        if broken:
            raise Invalid
        if self.place:
            values["place"] = node.place
        return self.build(**values)

    def _argument(self, name: str) -> str:
        return self.names.get(name, name.replace("-", "_"))


@dataclass(frozen=True, slots=True)
class ByKind(Generic[T]):
    """A shape for each kind of node; a kind without one is refused."""

    text: Shape[T] | None = None
    items: Shape[T] | None = None
    entries: Shape[T] | None = None

    def decode(self, node: Node, findings: Findings) -> T:
        """Return what the shape of the node's kind returns."""
        match node:
            case Scalar():
                shape = None if node.plain and not node.text else self.text
            case ListNode():
                shape = self.items
            case MapNode():
                shape = self.entries
            case _:
                assert_never(node)
        if shape is None:
            kinds = {"a text": self.text, "a list": self.items, "a map": self.entries}
            raise wrong_kind(node, " or ".join(kind for kind, known in kinds.items() if known is not None), findings)
        return shape.decode(node, findings)
