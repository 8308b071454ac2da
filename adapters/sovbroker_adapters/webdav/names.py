"""Keys as names of files and collections: any key, on any server.

Lower-case letters, digits and a few marks stand for themselves, every other byte is `=` and two hexadecimal digits: `%`
would be decoded twice by some servers, others fold case, recompose accents, or strip blanks. A collection's name ends
in `=`, so that `a` (the file `a`) and `a/b` (the file `b` in the collection `a=`) never meet: to put an object can then
never replace a collection. `=_` is the file of an empty segment. A segment that is too long for one name is cut; every
piece but the last is a collection whose name ends in `=-`. Any other name with `=` is none of these, as `=new` is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["BELOW", "MORE", "Names", "parents", "segment_of"]

BELOW: Final = "="
MORE: Final = "=-"
EMPTY: Final = "=_"
PIECE: Final = 200
LOWER: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-@~")
ANY: Final = LOWER | frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
SPELLED: Final = re.compile(r"(?:[A-Za-z0-9._\-@~]|=[0-9a-f]{2})+")
# What some servers refuse, hide or cut: hidden files, a dot at the end, unfinished uploads, Windows' devices, and `0`,
# which PHP takes for no name.
DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?|0", re.IGNORECASE)
UNFINISHED: Final = re.compile(r"(.*)\.((?:file)?part)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Names:
    """Spells keys. `upper`: the server tells upper-case letters from lower-case ones."""

    upper: bool = False

    def file(self, key: str) -> str:
        """Return the relative path of an object's file, in ASCII that stands in a URL as it is."""
        *above, last = key.encode("utf-8", "surrogatepass").split(b"/")
        return "".join(map(self._folder, above)) + (self._spell(last) or EMPTY)

    def collection(self, begun: str) -> str:
        """Return the relative path of the collection of keys that begin with `begun`: "" or what ends at a slash."""
        return "".join(map(self._folder, begun.encode("utf-8", "surrogatepass").split(b"/")[:-1]))

    def _folder(self, raw: bytes) -> str:
        return f"{self._spell(raw)}{BELOW}/"

    def _spell(self, raw: bytes) -> str:
        plain = ANY if self.upper else LOWER
        pieces = [""]
        for byte in raw:
            spelled = chr(byte) if byte in plain else _hex(byte)
            if len(pieces[-1]) + len(spelled) > PIECE:
                pieces.append("")
            pieces[-1] += spelled
        return f"{MORE}/".join(map(_harmless, pieces))


def segment_of(name: str) -> bytes | None:
    """Return what a name without its mark spells; None when it spells nothing."""
    if name in {"", EMPTY}:
        return b""
    return unquote_to_bytes(name.replace("=", "%")) if SPELLED.fullmatch(name) else None


def parents(path: str) -> Iterator[str]:
    """Yield the collections above a path, the outermost first, each with its slash at the end."""
    at = path.find("/")
    while at >= 0:
        yield path[: at + 1]
        at = path.find("/", at + 1)


def _harmless(piece: str) -> str:
    """Spell what has a meaning to some servers where it stands."""
    if piece.endswith("."):
        piece = piece[:-1] + _hex(ord("."))
    if piece.startswith(".") or DEVICE.fullmatch(piece):
        piece = _hex(ord(piece[0])) + piece[1:]
    return UNFINISHED.sub(lambda found: f"{found[1]}{_hex(ord('.'))}{found[2]}", piece)


def _hex(byte: int) -> str:
    return f"={byte:02x}"
