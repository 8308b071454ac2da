"""Path patterns. One meaning, used wherever a policy names keys.

A key is a text whose segments are separated by `/`. In a pattern `*` stands for any characters within a segment (also
none), `?` for one character within a segment, and `**`, alone between slashes, for any number of whole segments (also
none; at the end: for anything below). Everything else stands for itself, case and accents included; key and pattern are
both compared in Unicode form NFC, so that a composed and a decomposed `é` are the same.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

__all__ = ["Glob", "normal"]

REFUSED: Final = "[]{}\\!"


def normal(key: str) -> str:
    """Return a key as patterns see it."""
    return key if key.isascii() else unicodedata.normalize("NFC", key)


@dataclass(frozen=True, slots=True)
class Glob:
    """A path pattern. Making one raises ValueError for what is not in the glob language."""

    text: str
    segments: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Cut the pattern at its slashes and check it."""
        text = normal(self.text)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "segments", tuple(text.split("/")))
        if "" in self.segments:
            raise ValueError(f"`{text}` has an empty segment: no `/` at either end, and no `//`; end in `/**`")
        if "**" in text and any("**" in segment and segment != "**" for segment in self.segments):
            raise ValueError(f"`**` in `{text}` must stand alone between slashes, as in `a/**/b`")
        for character in REFUSED:
            if character in text:
                raise ValueError(f"`{character}` in `{text}` has no meaning in a path pattern; write `?` for it")

    @property
    def regex(self) -> re.Pattern[str]:
        """The regular expression that decides, translated when it is first needed: few patterns ever need it."""
        return translated(self.segments)

    @property
    def directories(self) -> tuple[str, ...]:
        """The leading segments that stand for themselves, without the last one."""
        found: list[str] = []
        for segment in self.segments[:-1]:
            if "*" in segment or "?" in segment:
                break
            found.append(segment)
        return tuple(found)

    @property
    def needle(self) -> str:
        """The longest text that every matching key contains; "" when there is none."""
        runs = re.split(r"[*?]+|/", self.text)
        return max(runs, key=len)

    def matches(self, key: str) -> bool:
        """Whether the pattern matches the whole of `key`, whatever its Unicode form."""
        return self.regex.fullmatch(normal(key)) is not None


@lru_cache(maxsize=4096)
def translated(segments: tuple[str, ...]) -> re.Pattern[str]:
    """Return the compiled translation of a pattern."""
    return re.compile(translate(segments))


def translate(segments: tuple[str, ...]) -> str:
    """Return a regular expression for a pattern, which never backtracks more than linearly.

    A star is followed by the *leftmost* place where the fixed text after it fits, and that choice is never taken back:
    a later star can skip whatever an earlier one did not, so nothing is lost.
    """
    runs: list[list[str]] = [[]]
    for segment in segments:
        if segment == "**":
            runs.append([])
        else:
            runs[-1].append(segment)
    if len(runs) == 1:
        return "/".join(map(_segment, runs[0]))
    first, *middle, last = runs
    parts = ["".join(f"{_segment(s)}/" for s in first)]
    parts += ["(?>(?:[^/]*/)*?" + "".join(f"{_segment(s)}/" for s in run) + ")" for run in middle if run]
    parts.append("(?:[^/]*/)*" + "/".join(map(_segment, last)) if last else r"[\s\S]*")
    return "".join(parts)


def _segment(text: str) -> str:
    """Translate one segment. Only the last star may give characters back, to fit the end of the segment."""
    first, *rest = re.split(r"\*+", text)
    if not rest:
        return _fixed(first)
    middle = "".join(f"(?>[^/]*?{_fixed(chunk)})" for chunk in rest[:-1] if chunk)
    last = rest[-1]
    return f"{_fixed(first)}{middle}[^/]*{_fixed(last)}" if last else f"{_fixed(first)}{middle}[^/]*"


def _fixed(text: str) -> str:
    return "".join("[^/]" if c == "?" else re.escape(c) for c in text)
