"""Classification: which rules and waivers match a key. The one matcher, for every use.

Bits are joined with `|`: a rule brings its label's mask and the bit `matched`, a waiver brings a bit of its own. Keys
meet a trie of the leading directories that patterns spell out, a map of file endings, a map of whole keys, and the few
patterns that are left over, each behind a cheap test: a segment, or else the longest text, that it demands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sovbroker.detect import Scan
from sovbroker.policy.glob import Glob, normal
from sovbroker.policy.rulebook import Content

__all__ = ["Classifier", "Entry"]

WILD: Final = re.compile(r"[*?]")
ENDING: Final = re.compile(r"\*\*/\*([^*?/]+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that matches objects: its name, the bits that it brings, and what must fit: path, metadata, content."""

    name: str
    bits: int
    path: Glob | None = None
    meta: tuple[tuple[str, str], ...] = ()
    content: Content | None = None


class _Test(NamedTuple):
    """A pattern that only its regular expression can decide. `needle` is in every key that matches."""

    needle: str
    fits: Callable[[str], object]
    bits: int
    entry: int


class _Node:
    """A directory of the trie: the bits of everything below it, and the patterns that go on with a wildcard.

    While patterns are added, `bits` are the directory's own; `accumulate` then adds those of the directories above.
    """

    __slots__ = ("bits", "children", "entries", "find", "tests")

    def __init__(self) -> None:
        self.bits = 0
        self.children: dict[str, _Node] = {}
        self.find = self.children.get
        self.entries: tuple[int, ...] = ()
        self.tests: tuple[_Test, ...] = ()


@dataclass(slots=True)
class _Index:
    """Every pattern, where keys will meet it."""

    root: _Node = field(default_factory=_Node)
    exact: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    endings: dict[str, list[tuple[str, int]]] = field(default_factory=dict[str, list[tuple[str, int]]])
    inner: dict[str, list[_Test]] = field(default_factory=dict[str, list[_Test]])
    names: dict[str, list[_Test]] = field(default_factory=dict[str, list[_Test]])
    meta: dict[tuple[str, str], list[int]] = field(default_factory=dict[tuple[str, str], list[int]])
    content: list[int] = field(default_factory=list[int])

    def add(self, index: int, entry: Entry) -> None:
        """Put an entry in the one place where keys that match it will meet it."""
        if entry.content is not None:
            self.content.append(index)
        elif entry.meta:
            self.meta.setdefault(entry.meta[0], []).append(index)
        elif entry.path is not None:
            self._add_path(index, entry.path, bits=entry.bits)

    def _add_path(self, index: int, glob: Glob, *, bits: int) -> None:
        text = glob.text
        if text.endswith("/**") and WILD.search(text, 0, len(text) - 3) is None:
            node = self._directory(glob.segments[:-1])
            node.bits |= bits
            node.entries += (index,)
        elif WILD.search(text) is None:
            self.exact.setdefault(text, []).append(index)
        elif (ending := ENDING.fullmatch(text)) is not None:
            _, dot, extension = ending[1].rpartition(".")
            self.endings.setdefault(extension if dot else "", []).append((ending[1], index))
        elif text == "**":
            self.root.bits |= bits
            self.root.entries += (index,)
        else:
            self._add_test(glob, _Test(glob.needle, glob.regex.fullmatch, bits, index))

    def _add_test(self, glob: Glob, test: _Test) -> None:
        """Put a pattern at the directory that it spells out, or else where a segment that it spells out is met."""
        node = self._directory(glob.directories)
        *inner, last = glob.segments
        spelled = [segment for segment in inner if WILD.search(segment) is None]
        if node is not self.root:
            node.tests += (test,)
        elif spelled:
            self.inner.setdefault(max(spelled, key=len), []).append(test)
        elif WILD.search(last) is None:
            self.names.setdefault(last, []).append(test)
        else:
            node.tests += (test,)

    def _directory(self, segments: Sequence[str]) -> _Node:
        """Return the node of a directory, made where it is not there."""
        node = self.root
        for segment in segments:
            below = node.find(segment)
            if below is None:
                below = node.children[segment] = _Node()
            node = below
        return node

    def accumulate(self) -> None:
        """Add to the bits of each directory those of the directories above it, when all patterns are there."""
        pending = [self.root]
        for node in pending:
            for child in node.children.values():
                child.bits |= node.bits
                pending.append(child)


class Classifier:
    """Finds what matches a key, in time that grows with the key's depth and hardly with the number of rules.

    `bits(key)` returns the joined bits of all that match `key` by path alone. It is the hot path.
    """

    __slots__ = ("_entries", "_index", "bits")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = tuple(entries)
        self._index = _Index()
        for index, entry in enumerate(self._entries):
            self._index.add(index, entry)
        self._index.accumulate()
        self.bits: Callable[[str], int] = _matcher(self._entries, self._index)

    def detectors(self, key: str, metadata: Mapping[str, str]) -> frozenset[str]:
        """Return the detectors that could make an entry match, so that what nobody asks about is not looked for."""
        if not self._index.content:
            return frozenset()
        key = normal(key)
        entries = (self._entries[index] for index in self._index.content)
        return frozenset(e.content.detector for e in entries if e.content is not None and _fits(e, key, metadata))

    def matches(self, key: str, metadata: Mapping[str, str], scan: Scan | None = None) -> tuple[Entry, ...]:
        """Return every entry that matches, in the order in which the entries were given.

        Without a scan, no entry that looks at content does.
        """
        key = normal(key)
        index = self._index
        *directories, last = key.split("/")
        found = set(index.exact.get(key, ()))
        extension = last.rpartition(".")[2]
        endings = (*index.endings.get(extension, ()), *index.endings.get("", ()))
        found.update(own for text, own in endings if last.endswith(text))
        tests = [*index.root.tests, *index.names.get(last, ())]
        found.update(index.root.entries)
        for segment in directories:
            tests += index.inner.get(segment, ())
        node = index.root
        for segment in directories:
            below = node.find(segment)
            if below is None:
                break
            node = below
            found.update(node.entries)
            tests += node.tests
        found.update(test.entry for test in tests if test.needle in key and test.fits(key))
        found.update(self._by_meta(key, metadata))
        if scan is not None:
            found.update(self._by_content(key, metadata, scan))
        return tuple(self._entries[own] for own in sorted(found))

    def _by_meta(self, key: str, metadata: Mapping[str, str]) -> Iterable[int]:
        if not self._index.meta:
            return
        for pair in metadata.items():
            for index in self._index.meta.get(pair, ()):
                if _fits(self._entries[index], key, metadata):
                    yield index

    def _by_content(self, key: str, metadata: Mapping[str, str], scan: Scan) -> Iterable[int]:
        for index in self._index.content:
            entry = self._entries[index]
            content = entry.content
            enough = content is not None and scan.counts.get(content.detector, 0) >= content.least
            if enough and _fits(entry, key, metadata):
                yield index


def _matcher(entries: Sequence[Entry], index: _Index) -> Callable[[str], int]:  # noqa: C901  # one flat function, see below
    """Return the hot path: one flat function over local names, because a call or an attribute would cost as much."""
    root = index.root
    root_bits, root_find, root_tests = root.bits, root.find, root.tests
    exact = {key: _joined(entries, found) for key, found in index.exact.items()}
    endings: dict[str, int] = {}
    tails: dict[str, tuple[tuple[str, int], ...]] = {}
    for extension, found in index.endings.items():
        # Endings without an extension cannot be looked up by it.
        whole = [own for text, own in found if extension and text == f".{extension}"]
        if whole:
            endings[extension] = _joined(entries, whole)
        rest = tuple((text, entries[own].bits) for text, own in found if own not in whole)
        if rest:
            tails[extension] = rest
    every_tail = tails.pop("", ())
    inner, names = index.inner, index.names
    no_inner = frozenset(inner).isdisjoint
    exact_bits, ending_bits, longer, named = exact.get, endings.get, tails.get, names.get
    spelled_out = bool(inner or names or root_tests or tails or every_tail)

    def rest_bits(key: str, directories: Sequence[str], last: str) -> int:
        """Return the bits of what no map can decide alone."""
        bits = 0
        tests = [*root_tests, *(named(last) or ())]
        for segment in directories:
            tests += inner.get(segment, ())
        for needle, fits, own, _ in tests:
            if needle in key and fits(key):
                bits |= own
        for text, own in (*(longer(last.rpartition(".")[2]) or ()), *every_tail):
            if last.endswith(text):
                bits |= own
        return bits

    seldom = not (root_tests or every_tail)

    def bits_of(key: str) -> int:
        if not key.isascii():
            key = normal(key)
        directories = key.split("/")
        last = directories.pop()
        _, dot, extension = last.rpartition(".")
        bits = exact_bits(key, 0)
        if dot:
            bits |= ending_bits(extension, 0)
        find, below = root_find, root_bits
        for segment in directories:
            node = find(segment)
            if node is None:
                break
            below = node.bits
            find = node.find
            if node.tests:
                for needle, fits, own, _ in node.tests:
                    if needle in key and fits(key):
                        bits |= own
        if spelled_out and not (seldom and no_inner(directories) and last not in names and extension not in tails):
            bits |= rest_bits(key, directories, last)
        return bits | below

    return bits_of


def _fits(entry: Entry, key: str, metadata: Mapping[str, str]) -> bool:
    """Whether path and metadata fit, content aside."""
    return all(metadata.get(name) == value for name, value in entry.meta) and (
        entry.path is None or entry.path.matches(key)
    )


def _joined(entries: Sequence[Entry], indexes: Iterable[int]) -> int:
    bits = 0
    for index in indexes:
        bits |= entries[index].bits
    return bits
