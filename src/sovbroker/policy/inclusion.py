"""Whether one path pattern matches everything that another one does, and keys that some match and others do not.

Patterns are walked as automata, over the characters that they mention, the slash, and one character that stands for all
others. What is found so is exact, over every text; a walk that grows too large gives up and says so.
"""

from __future__ import annotations

import string
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from sovbroker.policy.glob import Glob

__all__ = ["MOVES", "Undecided", "includes", "witness"]

MOVES: Final = 50_000
"""How many moves a walk makes before it gives up. Fixed, so that every machine gives up at the same one."""


class Undecided(Exception):  # it is not an error for callers: it means "not decided"
    """The walk was given up."""


def includes(outer: Glob, inner: Glob) -> bool | None:
    """Whether `outer` matches every key that `inner` matches; None where that is not decided within `MOVES`."""
    try:
        return witness([inner], [outer]) is None
    except Undecided:
        return None


def witness(inside: Sequence[Glob], outside: Sequence[Glob] = (), *, tidy: bool = False) -> str | None:
    """Return a shortest key that all of `inside` match and none of `outside` does; None when there is none.

    With `tidy`, only keys without an empty segment count. Raises Undecided after `MOVES` moves.
    """
    mentioned = {c for glob in (*inside, *outside) for c in glob.text} - {"*", "?"}
    other = next(c for c in _fillers() if c not in mentioned)
    alphabet = [other, *sorted(mentioned | {"/"})]
    within, without = [_automaton(glob.segments) for glob in inside], [_automaton(glob.segments) for glob in outside]
    every = [*within, *without]
    start = _State(tuple(a.start for a in every), at_start=True)
    seen = {start}
    pending = deque([(start, "")])
    moves = 0
    while pending:
        state, key = pending.popleft()
        accepted = [bool(own & a.end) for own, a in zip(state.own, every, strict=True)]
        if all(accepted[: len(within)]) and not any(accepted[len(within) :]) and not (tidy and state.at_start):
            return key
        for character in alphabet:
            if tidy and state.at_start and character == "/":
                continue
            moves += 1
            if moves > MOVES:
                raise Undecided
            own = tuple(a.move(now, character) for now, a in zip(state.own, every, strict=True))
            # Where the tidiness of keys is not asked about, it does not tell states apart.
            after = _State(own, at_start=tidy and character == "/")
            if all(own[: len(within)]) and after not in seen:
                seen.add(after)
                pending.append((after, key + character))
    return None


def _fillers() -> Iterator[str]:
    """Yield characters to stand for those that no pattern mentions, plain ones first."""
    yield from "xyzwvutsrqponmlkjihgfedcba"
    yield from string.digits
    yield from map(chr, range(0x4E00, 0x9FFF))


@dataclass(frozen=True, slots=True)
class _State:
    """Where the automata are, a set of places as bits each; `at_start` whether a segment begins here."""

    own: tuple[int, ...]
    at_start: bool


@dataclass(slots=True)
class _Automaton:
    """A pattern as places and moves between them. Sets of places are bits of a number."""

    literal: list[tuple[str, int] | None] = field(default_factory=lambda: [None])
    skip: list[int] = field(default_factory=lambda: [0])
    """The places that any character but a slash leads to."""
    slash: list[int] = field(default_factory=lambda: [0])
    """The places that a slash leads to, besides what `literal` says."""
    free: list[int] = field(default_factory=lambda: [0])
    """The places that are reached with no character at all."""
    end: int = 0
    start: int = 0
    moved: dict[tuple[int, str], int] = field(default_factory=dict[tuple[int, str], int])

    def place(self) -> int:
        """Add a place."""
        self.literal.append(None)
        for moves in (self.skip, self.slash, self.free):
            moves.append(0)
        return len(self.literal) - 1

    def move(self, places: int, character: str) -> int:
        """Return where a character leads to from a set of places."""
        found = self.moved.get((places, character))
        if found is None:
            found = 0
            for place in _bits(places):
                literal = self.literal[place]
                if literal is not None and literal[0] == character:
                    found |= 1 << literal[1]
                found |= self.slash[place] if character == "/" else self.skip[place]
            found = self.moved[places, character] = self.closed(found)
        return found

    def closed(self, places: int) -> int:
        """Add what is reached with no character."""
        pending, found = list(_bits(places)), places
        while pending:
            more = self.free[pending.pop()] & ~found
            found |= more
            pending += _bits(more)
        return found


@lru_cache(maxsize=4096)
def _automaton(segments: tuple[str, ...]) -> _Automaton:
    """Translate a pattern; see `glob` for what each part of it means."""
    automaton, here = _Automaton(), 0
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        if segment != "**":
            here = _segment(automaton, here, segment if last else f"{segment}/")
        elif last:
            automaton.skip[here] |= 1 << here
            automaton.slash[here] |= 1 << here
        else:
            # Whole segments, each with its slash: `begun` is within one.
            begun = automaton.place()
            automaton.skip[here] |= 1 << begun
            automaton.skip[begun] |= 1 << begun
            automaton.slash[here] |= 1 << here
            automaton.slash[begun] |= 1 << here
            after = automaton.place()
            automaton.free[here] |= 1 << after
            here = after
    automaton.end = 1 << here
    automaton.start = automaton.closed(1)
    return automaton


def _segment(automaton: _Automaton, here: int, text: str) -> int:
    """Add the places of one segment, and return the last one."""
    for character in text:
        if character == "*":
            automaton.skip[here] |= 1 << here
            continue
        after = automaton.place()
        if character == "?":
            automaton.skip[here] |= 1 << after
        else:
            automaton.literal[here] = (character, after)
        here = after
    return here


def _bits(places: int) -> Iterator[int]:
    while places:
        low = places & -places
        yield low.bit_length() - 1
        places ^= low
