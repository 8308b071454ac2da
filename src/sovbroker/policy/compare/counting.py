"""Counting: how many objects and bytes there are of each kind. The one loop here that sees every object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

from sovbroker.detect import Scan
from sovbroker.policy.classify import Classifier
from sovbroker.policy.compare.inventory import Item, item_of, read_items
from sovbroker.policy.policy import Policy
from sovbroker.policy.rulebook import Rulebook

__all__ = ["Kind", "Matched", "Sums", "alike", "count", "count_lines", "matched"]


@dataclass(frozen=True, slots=True)
class Matched:
    """What matches an object of which rules look at the metadata: the mask of its label, and waivers, a bit each."""

    mask: int
    waivers: int


Found = int | Matched
"""What matches an object: joined bits as `Policy.bits` counts them, or, where metadata took part, a `Matched`."""

Kind = tuple[Found, Found, str | None, tuple[str, ...]]
"""Objects that no policy can tell apart: what matches in the old and the new one, the stored label, the targets."""

Sums = dict[Kind, list[int]]
"""The number of objects and their bytes, per kind."""

CHUNK: Final = 1 << 18
TEXT: Final = r'"[^"\\\x00-\x1f]+"'
# The lines that programs write: these fields in this order, nothing escaped. Every other line is read as JSON is.
# What follows the size is alike in many lines, so it is taken as one text, and read once.
PLAIN: Final = re.compile(
    r'^\{"key": ?"([^"\\\x00-\x1f]+)"(?:, ?"size": ?(0|[1-9][0-9]{0,17}))?'
    rf'((?:, ?"label": ?(?:null|{TEXT}))?(?:, ?"targets": ?\[(?:{TEXT}(?:, ?{TEXT})*)?\])?'
    r'(?:, ?"metadata": ?\{\})?)\}\r?$',
    re.MULTILINE,
)


def alike(old: Rulebook, new: Rulebook) -> bool:
    """Whether two policies match the same keys with the same bits, so that one look serves both."""
    return old.lattice == new.lattice and old.rules == new.rules and old.waivers == new.waivers


def count(old: Policy, new: Policy, inventory: Iterable[Item]) -> Sums:
    """Return the sums of an inventory, which is read once."""
    tally = _Tally(old, new)
    tally.add(inventory)
    return tally.sums


def count_lines(old: Policy, new: Policy, file: BinaryIO, *, name: str = "inventory") -> Sums:
    """Return the sums of an inventory in JSON lines: what `count` and `read_items` do together, faster.

    Raises InvalidArgument for a line that `read_items` refuses.
    """
    tally = _Tally(old, new)
    first = 1
    while lines := file.readlines(CHUNK):
        plain = _plain_lines(lines)
        if plain is None:
            tally.add(read_items(lines, name=name, first=first))
        else:
            tally.add_plain(plain)
        first += len(lines)
    tally.settle()
    return tally.sums


class _Tally:
    """The sums, while they are made."""

    def __init__(self, old: Policy, new: Policy) -> None:
        self.sums: Sums = {}
        self._raw: dict[tuple[int, str], list[int]] = {}
        self._old, self._new = old, new
        self._same = alike(old.book, new.book)
        self._shift = old.width
        # One look at a key serves both: the new policy's bits lie above the old one's.
        above = [] if self._same else [replace(entry, bits=entry.bits << old.width) for entry in new.entries]
        self._bits = Classifier([*old.entries, *above]).bits
        rules = (*old.book.rules, *new.book.rules)
        self._pairs = frozenset(pair for rule in rules for pair in rule.meta)

    def add(self, inventory: Iterable[Item]) -> None:
        """Count objects."""
        sums, same = self.sums, self._same
        get = sums.get
        bits_of, shift, low = self._bits, self._shift, (1 << self._shift) - 1
        strange = self._pairs.isdisjoint
        for key, size, label, targets, metadata in inventory:
            if metadata and not strange(metadata.items()):
                found: Found = matched(self._old, key, metadata)
                other: Found = found if same else matched(self._new, key, metadata)
            else:
                bits = bits_of(key)
                found = bits & low
                other = found if same else bits >> shift
            kind = (found, other, label, targets)
            entry = get(kind)
            if entry is None:
                sums[kind] = [1, size]
            else:
                entry[0] += 1
                entry[1] += size

    def add_plain(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Count plain lines; `settle` tells what their rests mean."""
        raw = self._raw
        get = raw.get
        bits_of = self._bits
        for key, size, rest in rows:
            kind = (bits_of(key), rest)
            entry = get(kind)
            if entry is None:
                raw[kind] = [1, int(size or 0)]
            else:
                entry[0] += 1
                entry[1] += int(size or 0)

    def settle(self) -> None:
        """Add what plain lines brought to the sums."""
        items: dict[str, Item] = {}
        low = (1 << self._shift) - 1
        for (bits, rest), (objects, size) in self._raw.items():
            found = bits & low
            other = found if self._same else bits >> self._shift
            if rest not in items:
                items[rest] = item_of(json.loads(f'{{"key": "any"{rest}}}'))
            item = items[rest]
            entry = self.sums.setdefault((found, other, item.label, item.targets), [0, 0])
            entry[0] += objects
            entry[1] += size
        self._raw.clear()


def _plain_lines(lines: Sequence[bytes]) -> list[tuple[str, str, str]] | None:
    """Return the key, the size and the rest of lines that are all plain; None where one is not, or is not text."""
    try:
        found = PLAIN.findall(b"".join(lines).decode("utf-8"))
    except UnicodeDecodeError:
        return None
    return found if len(found) == len(lines) else None


def matched(policy: Policy, key: str, metadata: Mapping[str, str], scan: Scan | None = None) -> Matched:
    """Return what matches an object by its path, its metadata and what was found in its content."""
    found = policy.classify(key, metadata=metadata, scan=scan)
    waivers = sum(1 << index for index, waiver in enumerate(policy.book.waivers) if waiver.id in found.waivers)
    return Matched(found.mask, waivers)
