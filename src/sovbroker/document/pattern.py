"""Patterns that every engine reads alike: from Python's `re` to ECMA 262, with its flag `u`, and RE2."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["SOMETHING", "anchored", "between", "ecma"]

SPACE: Final = "\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What Python calls white space, as the inside of a class: engines differ about `\\s`."""

SOMETHING: Final = f"[^{SPACE}]"
"""What is in a text that is not blank."""

SYNTAX: Final = r"^$\.*+?()[]{}|/"


def anchored(pattern: str) -> str:
    """Return a Python pattern that must match all of a text, for other engines."""
    return f"^(?:{ecma(pattern)})$"


def ecma(pattern: str) -> str:
    """Return a Python pattern as ECMA 262 reads it with its flag `u`. Raises ValueError for what it reads otherwise."""
    out: list[str] = []
    rest, inside = pattern, False
    while rest:
        escape = re.match(r"\\(.)", rest, re.DOTALL)
        if escape is not None:
            out.append(_escape(escape[1], inside=inside))
            rest = rest[2:]
            continue
        piece = rest[0]
        if inside:
            if piece == "[":
                raise ValueError(f"`[` inside a class of {pattern!r}; write `\\[`")
            inside = piece != "]"
        elif piece == "[":
            piece = "[^" if rest.startswith("[^") else "["
            if rest.startswith(f"{piece}]"):
                raise ValueError(f"a class of {pattern!r} begins with `]`; write `\\]`")
            inside = True
        elif piece == ".":
            out.append(r"[^\n]")
            rest = rest[1:]
            continue
        elif (
            piece in "^$"
            or (rest.startswith("(?") and not rest.startswith("(?:"))
            or (piece == "{" and re.match(r"\{[0-9]+(?:,[0-9]*)?\}", rest) is None)
            or re.match(r"(?:[*+?]|\{[0-9,]+\})\+", rest) is not None
        ):
            raise ValueError(f"`{rest[:3]}` in {pattern!r} is not read alike by every engine")
        out.append(piece)
        rest = rest[len(piece) :]
    return "".join(out)


def _escape(character: str, *, inside: bool) -> str:
    """Return what a backslash and a character mean in Python, for other engines."""
    if character == "s":
        return SPACE if inside else f"[{SPACE}]"
    if character == "S" and not inside:
        return f"[^{SPACE}]"
    if character in "nrtfv":
        return f"\\{character}"
    if character.isalnum():
        raise ValueError(f"`\\{character}` is not read alike by every engine; write the characters out in a class")
    return f"\\{character}" if character in SYNTAX or (inside and character == "-") else character


def between(least: int, most: int) -> str:
    """Return a pattern of the whole numbers from `least` to `most`, in decimal digits without leading zeros."""
    found: list[str] = []
    if least < 0:
        found.append(f"-(?:{between(max(1, -most), -least)})")
    if least <= 0 <= most:
        found.append("-?0")
    low = max(1, least)
    while low <= most:
        digits, full = len(str(low)), len(str(most + 1)) - 1
        if low == 10 ** (digits - 1) and full > digits:
            # Every number of so many digits up to so many.
            found.append(f"[1-9][0-9]{{{digits - 1},{full - 1}}}")
            low = 10**full
            continue
        high = min(most, 10**digits - 1)
        found.append(_span(str(low), str(high)))
        low = high + 1
    return "|".join(found)


def _span(low: str, high: str) -> str:
    """Return a pattern of the numbers from `low` to `high`, which have equally many digits."""
    if not low:
        return ""
    if low[0] == high[0]:
        return low[0] + _span(low[1:], high[1:])
    rest, first, last = len(low) - 1, int(low[0]), int(high[0])
    below, above = list[str](), list[str]()
    if set(low[1:]) - {"0"}:
        below, first = [low[0] + _span(low[1:], "9" * rest)], first + 1
    if set(high[1:]) - {"9"}:
        above, last = [high[0] + _span("0" * rest, high[1:])], last - 1
    middle = [_digits(first, last, rest)] if first <= last else []
    found = [*below, *middle, *above]
    return found[0] if len(found) == 1 else f"(?:{'|'.join(found)})"


def _digits(first: int, last: int, rest: int) -> str:
    """Return a pattern of a digit from `first` to `last`, and `rest` digits more."""
    some = "" if not rest else "[0-9]" if rest == 1 else f"[0-9]{{{rest}}}"
    return (str(first) if first == last else f"[{first}-{last}]") + some
