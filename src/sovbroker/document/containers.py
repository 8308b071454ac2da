"""The shapes of lists and maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Generic, TypeVar, assert_never

from sovbroker.document.nodes import Findings, Kind, ListNode, MapNode, Node, Scalar, Word, suggest
from sovbroker.document.scalars import Text
from sovbroker.document.shape import QUOTE_MAX, Invalid, Shape, wrong_kind

__all__ = ["Anything", "ByKind", "Field", "ListOf", "MapOf", "Record", "Single", "optional", "required"]

T = TypeVar("T")


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
    """A map from names, each of the shape `key`, to values of one shape, at least `least` of them.

    `noun` is what a name is called in messages about what lies under it; without it, they do not say. With `whole`, one
    wrong value makes all of it invalid.
    """

    value: Shape[T]
    key: Text = Text()  # noqa: RUF009  # a frozen value
    least: int = 0
    noun: str = ""
    whole: bool = False

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
                with findings.within(f"{self.noun} `{name[:QUOTE_MAX]}`") if self.noun else nullcontext():
                    values[key] = self.value.decode(item, findings)
            except Invalid:
                if self.whole:
                    raise
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
    With `whole`, one wrong key makes all of it invalid, so that nothing is concluded from a part of it.
    """

    build: Callable[..., T]
    fields: Mapping[str, Field]
    place: bool = False
    whole: bool = False
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
                findings.error(
                    Kind.UNKNOWN, name.place, f"unknown {self.noun} `{name[:QUOTE_MAX]}`{findings.owner}", mend
                )
                broken = broken or self.whole
                continue
            try:
                values[self._argument(name)] = found.shape.decode(item, findings)
            except Invalid:
                broken = broken or found.needed or self.whole
        keys = set(node.keys())
        for key, declared in self.fields.items():
            if declared.needed and key not in keys:
                findings.error(Kind.MISSING, node.place, f"the key `{key}` is missing{findings.owner}")
                broken = True
        if broken:
            raise Invalid
        if self.place:
            values["place"] = node.place
        return self.build(**values)

    def _argument(self, name: str) -> str:
        return self.names.get(name, name.replace("-", "_"))


@dataclass(frozen=True, slots=True)
class Anything:
    """Any node, left as it is: another declaration will decode it."""

    def decode(self, node: Node, findings: Findings) -> Node:  # noqa: ARG002  # shapes share one signature
        """Return the node."""
        return node


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
