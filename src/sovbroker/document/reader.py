"""From text to nodes. A part of YAML is read, and the rest refused, so that a file means what it looks like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import yaml

from sovbroker.document.nodes import Findings, Kind, ListNode, MapNode, Node, Place, Scalar, Source, Word

__all__ = ["DEPTH_MAX", "SIZE_MAX", "read"]

SIZE_MAX: Final = 4 << 20
"""The largest file that is read, in bytes: fifty times a policy of a thousand rules."""

DEPTH_MAX: Final = 32
"""How deep lists and maps may lie in one another."""

LOADER: Final[type] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
BREAKS: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
MERGE: Final = "<<"


class _Unreadable(Exception):  # never leaves this module
    """The rest of the file makes no sense; the finding is recorded."""


@dataclass(slots=True)
class _Open:
    """A list or map that is being read."""

    place: Place
    is_map: bool
    items: list[Node] = field(default_factory=list[Node])
    entries: list[tuple[Word, Node]] = field(default_factory=list[tuple[Word, Node]])
    names: set[str] = field(default_factory=set[str])
    key: Word | None = None
    key_due: bool = True


def read(source: str | bytes, file: str, findings: Findings) -> Node | None:
    """Read one YAML document. Returns None when it cannot be read; the findings then say why.

    `source` is text, or bytes in UTF-8 (a byte-order mark is skipped). Reading takes time and memory proportional to
    the source, which is at most `SIZE_MAX` bytes long and `DEPTH_MAX` deep. Duplicate keys are found and left out.
    """
    text = _text(source, file, findings)
    if text is None:
        return None
    reader = _Reader(Source(file, tuple(BREAKS.split(text))), findings)
    try:
        return reader.read(text)
    except _Unreadable:
        return None
    except yaml.YAMLError as error:
        reader.refuse(error, text)
        return None


def _text(source: str | bytes, file: str, findings: Findings) -> str | None:
    """Return the text of a source, or None with a finding."""
    nowhere = Place(Source(file, ()), 1, 1)
    if len(source) > SIZE_MAX:
        findings.error(Kind.SYNTAX, nowhere, f"the file has more than {SIZE_MAX} bytes", "split it into several files")
        return None
    if isinstance(source, bytes):
        try:
            return source.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = source[: error.start]
            column = error.start - (before.rfind(b"\n") + 1) + 1
            place = Place(Source(file, ()), before.count(b"\n") + 1, column)
            findings.error(
                Kind.SYNTAX, place, f"byte 0x{source[error.start]:02x} is not UTF-8", "save the file as UTF-8"
            )
            return None
    try:
        source.encode()
    except UnicodeEncodeError as error:
        before_text = source[: error.start]
        place = Place(Source(file, ()), before_text.count("\n") + 1, error.start - (before_text.rfind("\n") + 1) + 1)
        findings.error(Kind.SYNTAX, place, "a lone surrogate is not a character", "save the file as UTF-8")
        return None
    return source.removeprefix("\ufeff")


class _Reader:
    """Builds nodes from the parser's events, without recursion."""

    def __init__(self, source: Source, findings: Findings) -> None:
        self._source = source
        self._findings = findings

    def read(self, text: str) -> Node | None:
        root: Node | None = None
        documents = 0
        stack: list[_Open] = []
        for event in self._events(text):
            node: Node
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        self._fail(self._place(event), "a second document begins", "keep one document in a file")
                case yaml.ScalarEvent():
                    self._plain_yaml(event)
                    node = self._scalar(event)
                    root = self._give(stack, node) or root
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._plain_yaml(event)
                    self._open(stack, event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    done = stack.pop()
                    node = (
                        MapNode(tuple(done.entries), done.place)
                        if done.is_map
                        else ListNode(tuple(done.items), done.place)
                    )
                    root = self._give(stack, node) or root
                case yaml.AliasEvent():
                    self._fail(self._place(event), "aliases (`*name`) are refused", "write the value out again")
                case _:
                    continue
        if root is None or (isinstance(root, Scalar) and root.plain and not root.text):
            self._fail(Place(self._source, 1, 1), "the file is empty", "a file holds at least one key")
        return root

    def _events(self, text: str) -> Iterator[yaml.Event]:
        return yaml.parse(text, Loader=LOADER)

    def _open(self, stack: list[_Open], event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        place = self._place(event)
        if len(stack) >= DEPTH_MAX:
            self._fail(place, f"more than {DEPTH_MAX} lists and maps lie in one another", "make the file flatter")
        if stack and stack[-1].is_map and stack[-1].key_due:
            self._fail(place, "a list or a map cannot be a key", "put a `:` after a name; quote text with brackets")
        stack.append(_Open(place, isinstance(event, yaml.MappingStartEvent)))

    def _give(self, stack: list[_Open], node: Node) -> Node | None:
        """Hand a finished node to what it lies in; return it when it lies in nothing."""
        if not stack:
            return node
        top = stack[-1]
        if not top.is_map:
            top.items.append(node)
        elif top.key_due:
            top.key_due = False
            top.key = self._key(top, node)
        else:
            top.key_due = True
            if top.key is not None:
                top.entries.append((top.key, node))
        return None

    def _key(self, top: _Open, node: Node) -> Word | None:
        """Return the key that a node is, or None for one that is refused."""
        if not isinstance(node, Scalar):  # pragma: no cover  # refused when it was opened
            raise _Unreadable
        if node.text == MERGE and node.plain:
            self._findings.error(Kind.SYNTAX, node.place, "merge keys (`<<`) are refused", "write the keys out again")
            return None
        if node.text in top.names:
            self._findings.error(Kind.DUPLICATE, node.place, f"`{node.text}` is here twice", "keep one of them")
            return None
        top.names.add(node.text)
        return node.word()

    def _plain_yaml(self, event: yaml.ScalarEvent | yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        """Refuse anchors and tags."""
        if event.anchor is not None:
            self._fail(self._place(event), "anchors (`&name`) are refused", "write the value out where it is needed")
        if event.tag is not None:
            self._fail(
                self._place(event), f"tags (`{event.tag}`) are refused", "leave it out: the key decides the type"
            )

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        plain = event.style is None or event.style == ""
        place = self._place(event)
        if plain and event.end_mark is not None and event.end_mark.line >= place.line:
            self._over_indented(place.line, event.end_mark.line + 1)
        return Scalar(event.value, place, plain)

    def _over_indented(self, first: int, last: int) -> None:
        """Refuse a list item that YAML takes for the rest of the text above it."""
        for line in range(first + 1, min(last, len(self._source.lines)) + 1):
            text = self._source.lines[line - 1]
            if text.lstrip().startswith("- "):
                column = len(text) - len(text.lstrip()) + 1
                self._fail(
                    Place(self._source, line, column),
                    "a list item is indented deeper than the item above it",
                    "indent all items of a list alike",
                )

    def _place(self, event: yaml.Event) -> Place:
        start, end = event.start_mark, event.end_mark
        if start is None or end is None:
            return Place(self._source, 1, 1)
        width = end.column - start.column if end.line == start.line else 1
        return Place(self._source, start.line + 1, start.column + 1, max(1, width))

    def _fail(self, place: Place, message: str, mend: str) -> None:
        self._findings.error(Kind.SYNTAX, place, message, mend)
        raise _Unreadable

    def refuse(self, error: yaml.YAMLError, text: str) -> None:
        """Record what the parser could not read."""
        if isinstance(error, yaml.reader.ReaderError):
            before = text[: error.position]
            line = len(BREAKS.findall(before))
            place = Place(self._source, line + 1, len(BREAKS.split(before)[-1]) + 1)
            character = text[error.position : error.position + 1]
            self._findings.error(
                Kind.SYNTAX, place, f"the character U+{ord(character or chr(0)):04X} is not allowed", "remove it"
            )
            return
        mark = getattr(error, "problem_mark", None)
        place = Place(self._source, 1, 1) if mark is None else Place(self._source, mark.line + 1, mark.column + 1)
        problem = str(getattr(error, "problem", None) or "the file is not YAML")
        context = getattr(error, "context", None)
        message = f"{problem} {context}" if context else problem
        indent = self._source.lines[place.line - 1][: place.column] if place.line <= len(self._source.lines) else ""
        mend = "indent with spaces, not with tabs" if "\t" in indent else "quote texts that hold `: `, ` #`, `[` or `{`"
        self._findings.error(Kind.SYNTAX, place, message, mend)
