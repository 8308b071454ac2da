"""What a server says of its files: the XML of a `207 Multi-Status`, read as it comes.

The standard library's expat, told to refuse every document type: without one there are no entities to expand, and
nothing is ever fetched. What is kept is bounded: one entry's few properties, and no more of the text that carries them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from xml.parsers.expat import ExpatError, ParserCreate

__all__ = ["ASKED", "BrokenAnswerError", "Entry", "entries", "etag_of", "time_of"]

ASKED: Final = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<d:propfind xmlns:d="DAV:" xmlns:o="http://owncloud.org/ns"><d:prop><d:resourcetype/><d:getcontentlength/>'
    b"<d:getetag/><d:getlastmodified/><o:checksums/></d:prop></d:propfind>"
)
"""The body of a `PROPFIND`."""

DAV: Final = "DAV: "
RESPONSE: Final = DAV + "response"
PROPERTIES: Final = DAV + "propstat"
TEXTS: Final = frozenset(
    {
        DAV + "href",
        DAV + "status",
        DAV + "getcontentlength",
        DAV + "getetag",
        DAV + "getlastmodified",
        "http://owncloud.org/ns checksum",
    }
)
TEXT_MAX: Final = 16 << 10
TOKEN_MAX: Final = 1 << 20
DEPTH_MAX: Final = 64
SUCCESS: Final = range(200, 300)
STATUS: Final = re.compile("[1-9][0-9][0-9]")
LENGTH: Final = re.compile("[0-9]{1,19}")


class BrokenAnswerError(Exception):
    """The answer is not what it should be."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or collection. `checksums` as the server spells them: `SHA1:… MD5:…`."""

    href: str
    status: int
    collection: bool
    size: int | None
    etag: str | None
    modified: datetime | None
    checksums: str


def entries(pieces: Iterable[bytes], *, bytes_max: int) -> Iterator[Entry]:
    """Yield the entries of an answer as they come. Raises BrokenAnswerError, also at its end when it was cut."""
    reading = Reading()
    total = 0
    try:
        for piece in pieces:
            total += len(piece)
            if total > bytes_max:
                raise BrokenAnswerError(f"it is longer than {bytes_max} bytes")
            reading.feed(piece)
            yield from reading.take()
        reading.end()
    except (ExpatError, ValueError, LookupError) as error:
        # The latter two: an encoding that nobody knows.
        raise BrokenAnswerError(f"it is no XML: {error}") from error
    yield from reading.take()


def etag_of(text: str) -> str | None:
    """Return an ETag without the quotes."""
    return text.strip().removeprefix("W/").strip('"') or None


def time_of(text: str) -> datetime | None:
    """Return an HTTP date; None when it is none."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Reading:
    """A document that is being read."""

    def __init__(self) -> None:
        self._parser = ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._fed = 0
        self._path: list[str] = []
        self._done: list[Entry] = []
        self._entry: dict[str, str] = {}
        self._prop: dict[str, str] = {}
        self._words: list[str] | None = None
        self._length = 0

    def feed(self, piece: bytes) -> None:
        """Read on. Raises ExpatError, BrokenAnswerError."""
        self._fed += len(piece)
        self._parser.Parse(piece, False)
        # What is not read yet is kept by expat: a tag that does not end would grow without end.
        if self._fed - max(0, self._parser.CurrentByteIndex) > TOKEN_MAX + len(piece):
            raise BrokenAnswerError("a tag does not end")

    def end(self) -> None:
        """Say that all came. Raises ExpatError when it did not."""
        self._parser.Parse(b"", True)

    def take(self) -> Iterator[Entry]:
        """Yield the entries that are complete, once."""
        done, self._done = self._done, []
        yield from done

    def _refuse(self, *_: object) -> None:
        raise BrokenAnswerError("it has a document type, which an answer has no use for")

    def _start(self, name: str, _: object) -> None:
        if not self._path and name != DAV + "multistatus":
            raise BrokenAnswerError("it is not about files")
        self._path.append(name)
        if len(self._path) > DEPTH_MAX:
            raise BrokenAnswerError("it is nested too deep")
        if name == RESPONSE:
            self._entry = {}
        elif name == PROPERTIES:
            self._prop = {}
        elif name == DAV + "collection" and self._path[-2] == DAV + "resourcetype":
            self._prop[name] = name
        self._words, self._length = ([], 0) if name in TEXTS else (None, 0)

    def _text(self, text: str) -> None:
        if self._words is None:
            return
        self._length += len(text)
        if self._length > TEXT_MAX:
            raise BrokenAnswerError("a property is too long")
        self._words.append(text)

    def _end(self, name: str) -> None:
        self._path.pop()
        if self._words is not None:
            # A href within a property is another one than that of the response.
            within = self._entry if self._path[-1] == RESPONSE else self._prop
            within.setdefault(name, "".join(self._words).strip())
            self._words = None
        if name == PROPERTIES:
            if _status(self._prop.pop(DAV + "status", "")) in SUCCESS:
                self._entry = self._prop | self._entry
        elif name == RESPONSE:
            self._done.append(_entry(self._entry))


def _entry(found: dict[str, str]) -> Entry:
    href = found.get(DAV + "href")
    if not href:
        raise BrokenAnswerError("an entry has no address")
    length = found.get(DAV + "getcontentlength", "")
    if length and not LENGTH.fullmatch(length):
        raise BrokenAnswerError("a length is no number")
    return Entry(
        href=href,
        status=_status(found[DAV + "status"]) if DAV + "status" in found else SUCCESS.start,
        collection=DAV + "collection" in found,
        size=int(length) if length else None,
        etag=etag_of(found.get(DAV + "getetag", "")),
        modified=time_of(found.get(DAV + "getlastmodified", "")),
        checksums=found.get("http://owncloud.org/ns checksum", ""),
    )


def _status(line: str) -> int:
    """Return the status of `HTTP/1.1 200 OK`; 0 when it says none."""
    words = line.split(maxsplit=2)
    return int(words[1]) if len(words) > 1 and STATUS.fullmatch(words[1]) else 0
