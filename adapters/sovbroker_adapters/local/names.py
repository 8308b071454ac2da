"""Keys as names of folders: any key, below one folder, on any file system.

A segment of a key becomes the name of a folder. Lower-case letters, digits and a few marks stand for themselves, every
other byte is `%` and two hexadecimal digits (so is an upper-case letter: some file systems ignore case). `%_` is an
empty segment. A segment that is too long for one name is cut; every piece but the last ends in `%+`. Names that begin
with `%` and a letter beyond `f` are no segments but the object's own files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["BODY", "ENTRY", "folder_name", "segments"]

ENTRY: Final = "%meta.json"
BODY: Final = "%object-"
EMPTY: Final = "%_"
MORE: Final = "%+"
PIECE: Final = 240
PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-@+=,~")
SPELLED: Final = tuple(chr(byte) if byte in PLAIN else f"%{byte:02x}" for byte in range(256))


def folder_name(key: str) -> str:
    """Return the relative path of an object's folder; it has no `.` or `..` and no part longer than 242 bytes."""
    return "/".join(_segment(part) for part in key.encode().split(b"/"))


def _segment(raw: bytes) -> str:
    if not raw:
        return EMPTY
    if raw in {b".", b".."}:
        return "%2e" * len(raw)
    pieces = [""]
    for byte in raw:
        spelled = SPELLED[byte]
        if len(pieces[-1]) + len(spelled) > PIECE:
            pieces.append("")
        pieces[-1] += spelled
    return f"{MORE}/".join(pieces)


def segments(folder: Path, *, begun: bytes = b"") -> Iterator[tuple[bytes, Path]]:
    """Yield the segments that continue the key of `folder`, each with its folder, in no order."""
    try:
        found = [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        # Another process removed the last object below it.
        return
    for name in found:
        if name.endswith(MORE):
            yield from segments(folder / name, begun=begun + unquote_to_bytes(name[: -len(MORE)]))
        elif name == EMPTY:
            yield begun, folder / name
        else:
            yield begun + unquote_to_bytes(name), folder / name
