"""The shapes of texts: what a scalar may say, and the value that it then is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Generic, TypeVar

from sovbroker.document.nodes import Findings, Kind, Node, Scalar, Word, suggest
from sovbroker.document.shape import QUOTE_MAX, Invalid, wrong_kind

__all__ = ["Choice", "Day", "Flag", "Parsed", "Text", "Whole"]

T = TypeVar("T")

DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")


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

    parse: Callable[[Word], T]
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
