"""Parameters: what a file that is extended leaves open, and the one who extends it says.

`$name` stands for a parameter of its file, in values and in the keys of maps. Where it is a whole text, any value takes
its place, and a list given as an item of a list is spliced into it; inside a longer text only a text fits. That is all:
there is nothing to compute.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from sovbroker.document import Findings, ListNode, MapNode, Node, Place, Scalar, Word, suggest
from sovbroker.policy.codes import BAD_PARAMETER, DUPLICATE

__all__ = ["bind", "plain", "spelling"]

REFERENCE: Final = re.compile(r"\$([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")
DECLARED: Final = "parameters"
TEXT_MAX: Final = 4096
"""How long a text may become, in characters, so that values in values in values stay small."""


def bind(document: MapNode, given: Mapping[Word, Node], findings: Findings, *, place: Place) -> MapNode | None:
    """Return `document` with the values of its parameters in their places: `given`, or else their defaults.

    `place` is where `given` was written. What is not declared, or needed and not given, is a finding; the answer is
    then None, because what stands around a value that is not there cannot be judged.
    """
    wrong = Findings({})
    bound = _bind(document, given, wrong, place=place)
    findings.extend(wrong)
    return None if wrong.failed else bound


def _bind(document: MapNode, given: Mapping[Word, Node], findings: Findings, *, place: Place) -> MapNode:
    """Return `document`, bound as far as it can be."""
    declared = document.get(DECLARED)
    names = declared.keys() if isinstance(declared, MapNode) else ()
    for name in given:
        if name not in names:
            mend = suggest(name, names) or "it has none"
            findings.error(BAD_PARAMETER, name.place, f"there is no parameter `{name}`", mend)
    values: dict[str, Node] = {}
    for name in names:
        own = declared.get(name) if isinstance(declared, MapNode) else None
        value = next((value for key, value in given.items() if key == name), None)
        if value is None and isinstance(own, MapNode):
            value = own.get("default")
        if value is None:
            findings.error(
                BAD_PARAMETER, place, f"the parameter `{name}` has no default, and is not given", "give it under `with`"
            )
            continue
        values[str(name)] = value
    if findings.failed or not isinstance(declared, MapNode):
        return document
    binder = _Binder(values, findings)
    declaration = [entry for entry in document.entries if entry[0] == DECLARED]
    rest = MapNode(tuple(entry for entry in document.entries if entry[0] != DECLARED), document.place)
    return MapNode((*declaration, *binder.entries(rest)), document.place)


def spelling(node: Node) -> str:
    """Return a text that two nodes share exactly where they say the same."""
    match node:
        case Scalar():
            return repr(node.text)
        case ListNode():
            return f"[{','.join(map(spelling, node.items))}]"
        case MapNode():
            return f"{{{','.join(sorted(f'{str(key)!r}:{spelling(value)}' for key, value in node.entries))}}}"
        case _:
            assert_never(node)


def plain(node: Node) -> object:
    """Return a node as JSON types; every scalar is a text."""
    match node:
        case Scalar():
            return node.text
        case ListNode():
            return [plain(item) for item in node.items]
        case MapNode():
            return {str(key): plain(value) for key, value in node.entries}
        case _:
            assert_never(node)


@dataclass(frozen=True, slots=True)
class _Binder:
    values: Mapping[str, Node]
    findings: Findings

    def entries(self, node: MapNode) -> Iterable[tuple[Word, Node]]:
        """Yield the entries of a map, bound. Two keys that have become the same are a finding: neither may win."""
        seen = set[str]()
        for key, value in node.entries:
            name = self.bound(Scalar(key, key.place))
            if not isinstance(name, Scalar):
                self.findings.error(BAD_PARAMETER, key.place, f"`{key}` stands for a key, and its value is not a text")
            elif name.text in seen:
                message = f"the key `{name.text}` is here twice, once as a parameter's value"
                self.findings.error(DUPLICATE, key.place, message, "give the parameter another value")
            else:
                seen.add(name.text)
                yield Word(name.text, key.place), self.bound(value)

    def bound(self, node: Node) -> Node:
        """Return a node, bound."""
        match node:
            case Scalar():
                return self._scalar(node)
            case ListNode():
                return ListNode(tuple(item for own in node.items for item in self._items(own)), node.place)
            case MapNode():
                return MapNode(tuple(self.entries(node)), node.place)
            case _:
                assert_never(node)

    def _items(self, node: Node) -> tuple[Node, ...]:
        bound = self.bound(node)
        whole = isinstance(node, Scalar) and REFERENCE.fullmatch(node.text) is not None
        return bound.items if whole and isinstance(bound, ListNode) else (bound,)

    def _scalar(self, node: Scalar) -> Node:
        whole = REFERENCE.fullmatch(node.text)
        if whole is not None:
            return self._value(whole[1], node.place) or node
        if "$" not in node.text:
            return node

        def put_in(found: re.Match[str]) -> str:
            value = self._value(found[1], node.place)
            if isinstance(value, Scalar):
                return value.text
            if value is not None:
                message = f"`{found[0]}` stands inside a text, and its value is not a text"
                self.findings.error(BAD_PARAMETER, node.place, message, "give a text")
            return found[0]

        text = REFERENCE.sub(put_in, node.text)
        if len(text) > TEXT_MAX:
            message = f"with its parameters the text has {len(text)} characters, and at most {TEXT_MAX} are allowed"
            self.findings.error(BAD_PARAMETER, node.place, message)
            return node
        return Scalar(text, node.place, plain=node.plain)

    def _value(self, name: str, place: Place) -> Node | None:
        value = self.values.get(name)
        if value is None:
            self.findings.error(
                BAD_PARAMETER, place, f"there is no parameter `{name}`", suggest(name, self.values) or "declare it"
            )
        return value
