"""What was read: nodes with their places, and the findings about them."""

from __future__ import annotations

import difflib
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from sovbroker.errors import Diagnostic, Severity

__all__ = ["Findings", "Kind", "ListNode", "MapNode", "Node", "Place", "Scalar", "Source", "Word", "suggest"]

EXCERPT_MAX: Final = 160
FINDINGS_MAX: Final = 100


class Kind(StrEnum):
    """What a document itself can get wrong, whatever it is about. The caller gives each kind a code."""

    SYNTAX = "cannot be read as YAML, or uses a part of YAML that is refused"
    DUPLICATE = "the same key twice"
    UNKNOWN = "a key that does not exist"
    MISSING = "a key that must be there"
    TYPE = "a list, a map or a text where another is due"
    VALUE = "a text that does not have the right form"


@dataclass(frozen=True, slots=True)
class Source:
    """A file's name and lines, kept so that a finding can show the line that it is about."""

    file: str
    lines: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: line and column from 1, and the width to underline."""

    source: Source
    line: int
    column: int
    width: int = 1

    def __str__(self) -> str:
        """Spell it `file:line:column`."""
        return f"{self.source.file}:{self.line}:{self.column}"

    def excerpt(self) -> str:
        """Return the source line, or "" where the place is too far right to be shown."""
        if self.line > len(self.source.lines) or self.column > EXCERPT_MAX:
            return ""
        return printable(self.source.lines[self.line - 1][:EXCERPT_MAX])


class Word(str):
    """A text that remembers where it was written. It is a str in every other way."""

    __slots__ = ("place",)

    place: Place

    def __new__(cls, text: str, place: Place) -> Self:
        """Make a word of `text`, written at `place`."""
        word = super().__new__(cls, text)
        word.place = place
        return word

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Pickle and copy as the bare text: a place means nothing away from its file."""
        return str, (str(self),)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text. `plain` tells that it was written without quotes; an empty plain one is "nothing"."""

    text: str
    place: Place = field(repr=False)
    plain: bool = True

    def word(self) -> Word:
        """Return the text with its place."""
        return Word(self.text, self.place)


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list of nodes."""

    items: tuple[Node, ...]
    place: Place = field(repr=False)


@dataclass(frozen=True, slots=True)
class MapNode:
    """A map: its keys with their places, in file order; no key occurs twice."""

    entries: tuple[tuple[Word, Node], ...]
    place: Place = field(repr=False)

    def get(self, key: str) -> Node | None:
        """Return the node of `key`, or None."""
        return next((node for name, node in self.entries if name == key), None)

    def keys(self) -> tuple[Word, ...]:
        """Return the keys in file order."""
        return tuple(name for name, _ in self.entries)


Node = Scalar | ListNode | MapNode


class Findings:
    """The findings about one or several documents, collected while reading, decoding and checking.

    `codes` gives each kind of finding its code. At most 100 errors are kept: after that, `full` is true and decoding
    stops. With `excerpts=False` no source line is kept, for files that may hold a secret.
    """

    def __init__(self, codes: Mapping[Kind, str], *, excerpts: bool = True) -> None:
        self._codes = dict(codes)
        self._excerpts = excerpts
        self._found: list[Diagnostic] = []
        self._errors = 0
        self._owners: list[str] = []

    @contextmanager
    def within(self, owner: str) -> Generator[None]:
        """Say in messages about keys whose they are: with the owner "zone x", a key is unknown "in zone x"."""
        self._owners.append(owner)
        try:
            yield
        finally:
            self._owners.pop()

    @property
    def owner(self) -> str:
        """Where the keys are that are being decoded, as the end of a sentence; "" at the top of a file."""
        return f" in {self._owners[-1]}" if self._owners else ""

    @property
    def full(self) -> bool:
        """Whether so much is wrong that looking on would help nobody."""
        return self._errors >= FINDINGS_MAX

    @property
    def failed(self) -> bool:
        """Whether there is an error."""
        return self._errors > 0

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Every finding, each once: errors first, then by file, line and column."""
        unique = dict.fromkeys(self._found)
        return tuple(sorted(unique, key=lambda d: (d.severity != "error", d.file, d.line, d.column, d.code)))

    def error(self, kind: Kind | str, place: Place, message: str, help: str = "") -> None:  # noqa: A002  # the word of errors.Diagnostic
        """Add an error: `kind` is a kind, or a code of the caller's own."""
        if not self.full:
            self._errors += 1
            self._add(kind, place, message, help, severity="error")

    def warning(self, kind: Kind | str, place: Place, message: str, help: str = "") -> None:  # noqa: A002  # the word of errors.Diagnostic
        """Add a warning."""
        if len(self._found) < 2 * FINDINGS_MAX:
            self._add(kind, place, message, help, severity="warning")

    def extend(self, other: Findings) -> None:
        """Add what another collection holds, as far as there is room."""
        for found in other.diagnostics:
            if found.severity == "error" and not self.full:
                self._errors += 1
                self._found.append(found)
            elif found.severity != "error" and len(self._found) < 2 * FINDINGS_MAX:
                self._found.append(found)

    def _add(self, kind: Kind | str, place: Place, message: str, mend: str, *, severity: Severity) -> None:
        text = place.excerpt() if self._excerpts else ""
        self._found.append(
            Diagnostic(
                code=self._codes[kind] if isinstance(kind, Kind) else kind,
                severity=severity,
                message=printable(message),
                file=place.source.file,
                line=place.line,
                column=place.column,
                width=max(1, min(place.width, len(text) - place.column + 1)) if text else place.width,
                text=text,
                help=mend,
            )
        )


def printable(text: str) -> str:
    """Replace what would move a terminal's cursor, one for one, so that columns stay."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a help text: the nearest known name, else all of them where they are few."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name[:64], names, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"known: {', '.join(f'`{n}`' for n in names)}" if 0 < len(names) <= 30 else ""  # noqa: PLR2004  # what fits a few lines
