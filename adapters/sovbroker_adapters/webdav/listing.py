"""Listings: collection by collection, in byte order of keys. What is in memory is the collections of one path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sovbroker.errors import NotFound, Unavailable
from sovbroker.ports import ObjectInfo, Page
from sovbroker_adapters.listing import pages
from sovbroker_adapters.webdav.client import Connection
from sovbroker_adapters.webdav.multistatus import Entry
from sovbroker_adapters.webdav.names import BELOW, MORE, Names, segment_of

__all__ = ["Listing"]

SLASH: Final = "/"


@dataclass(frozen=True, slots=True)
class Found:
    """A file (`entry`) or a collection: `key` is its key, or what the keys in it begin with; `path` is its name."""

    key: bytes
    path: str
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Listing:
    """One listing: of keys that begin with `prefix` and sort after `after`."""

    connection: Connection
    names: Names
    prefix: str
    after: str

    def pages(self, delimiter: str | None) -> Iterator[Page]:
        """Yield the pages. Raises NotFound for a missing prefix; whether the folder is there is the caller's to ask."""
        return pages(self._infos(delimiter), prefix=self.prefix, delimiter=delimiter)

    def _infos(self, delimiter: str | None) -> Iterator[ObjectInfo]:
        begun = self.prefix[: self.prefix.rfind(SLASH) + 1]
        prefix, after = (text.encode("utf-8", "surrogatepass") for text in (self.prefix, self.after))
        # A stack of its own: keys may have more slashes than Python has frames.
        stack = [
            self._members(Found(begun.encode("utf-8", "surrogatepass"), self.names.collection(begun), None), top=True)
        ]
        while stack:
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
            elif found.entry is None:
                key = found.key
                if (key.startswith(prefix) or prefix.startswith(key)) and (key > after or after.startswith(key)):
                    stack.append(self._members(found))
            elif found.key.startswith(prefix) and found.key > after:
                yield self._info(found, found.entry)
                if delimiter == SLASH:
                    # The rest of what is folded together need not be asked for.
                    del stack[1:]

    def _members(self, within: Found, *, top: bool = False) -> Iterator[Found]:
        """Yield what is in a collection, in byte order: `a` before `a.b`, and this before all that is below `a/`."""
        try:
            yield from sorted(self._pieces(within.path, within.key), key=lambda found: found.key)
        except NotFound:
            # Another client may have removed the collection since it was seen.
            if top:
                raise

    def _pieces(self, path: str, begun: bytes) -> Iterator[Found]:
        for name, entry in self.connection.members(path, wanted=_ours).items():
            mark = MORE if name.endswith(MORE) else BELOW if name.endswith(BELOW) else ""
            segment = segment_of(name.removesuffix(mark))
            if segment is None or bool(mark) is not entry.collection:
                continue
            key = begun + segment
            below = f"{path}{name}/"
            if mark == MORE:
                yield from self._pieces(below, key)
            elif mark:
                yield Found(key + b"/", below, None)
            elif self._spells(key, path + name):
                yield Found(key, path + name, entry)

    def _spells(self, key: bytes, path: str) -> bool:
        """Whether the key can be asked for: somebody else's file may spell one in another way."""
        try:
            return self.names.file(key.decode()) == path
        except UnicodeDecodeError:
            return False

    def _info(self, found: Found, entry: Entry) -> ObjectInfo:
        key = found.key.decode()
        if entry.size is None:
            raise Unavailable(f"the store did not say how long `{key}` is", target=self.connection.target, key=key)
        return ObjectInfo(key, entry.size, entry.etag, entry.modified)


def _ours(name: str) -> bool:
    return segment_of(name.removesuffix(MORE).removesuffix(BELOW)) is not None
