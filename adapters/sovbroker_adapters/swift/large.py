"""Large objects: manifests (SLO) that name their segments, and how these are removed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sovbroker.errors import NotFound, NotSupported
from sovbroker_adapters.swift.answers import record, records
from sovbroker_adapters.swift.bodies import MD5, etag_of, md5
from sovbroker_adapters.swift.calls import Call
from sovbroker_adapters.swift.metadata import headers_of
from sovbroker_adapters.swift.names import SEGMENTS
from sovbroker_adapters.swift.proof import NEWEST, NOT_FOUND, Found, Proof
from sovbroker_adapters.together import each

__all__ = ["OCTETS", "Large", "Segment"]

OCTETS: Final = "application/octet-stream"
"""The type of every object: without one, Swift guesses by the name."""

BAD_REQUEST: Final = 400
GONE: Final = frozenset({"200", "204", "404"})


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a large object: `path` is its container and name, with a slash before each."""

    path: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Large:
    """The large objects of a container."""

    proof: Proof

    @property
    def _own(self) -> str:
        """What the paths of our segments begin with."""
        return f"/{self.proof.connection.container}/"

    def path(self, name: str) -> str:
        """Return the path of a name in this container, as manifests have it."""
        return self._own + name

    def replaced(self, key: str) -> frozenset[str]:
        """Return the names of the segments that have to go when `key` is replaced."""
        found = self.proof.find(key, newest=True)
        return self.names(key) if found is not None and found.large else frozenset()

    def names(self, key: str) -> frozenset[str]:
        """Return the names of the segments of ours that a large object has."""
        paths = (str(entry.get("name") or "") for entry in self._entries(key))
        names = (path.removeprefix(self._own) for path in paths if path.startswith(self._own))
        return frozenset(name for name in names if name.startswith(SEGMENTS))

    def segments(self, key: str) -> Sequence[Segment]:
        """Return what a manifest names. Raises NotSupported for what we would not write."""
        found: list[Segment] = []
        for entry in self._entries(key):
            match entry:
                case {"name": str(path), "bytes": int(size), "hash": str(etag)} if not entry.get("range"):
                    found.append(Segment(path, size, etag))
                case _:
                    message = f"the large object `{key}` was not written by sovbroker: it has a segment `{entry}`"
                    raise NotSupported(message[:300], target=self.proof.target, key=key)
        return found

    def join(self, key: str, segments: Sequence[Segment], metadata: Mapping[str, str]) -> None:
        """Make an object of segments, in this order. Raises NotFound when one is not there as it is described."""
        listed = [{"path": part.path, "size_bytes": part.size, "etag": part.etag} for part in segments]
        body = json.dumps(listed).encode()
        whole = md5("".join(part.etag for part in segments).encode())
        headers = {**headers_of(metadata), "Content-Type": OCTETS, "Etag": whole}
        query, also = {"multipart-manifest": "put"}, frozenset({BAD_REQUEST})
        status, told = self.proof.connection.ask(Call("PUT", key, key, query, headers, lambda: body, also=also))
        if status == BAD_REQUEST:
            message = f"the store does not hold the parts of `{key}` as the receipts say"
            raise NotFound(message, target=self.proof.target, key=key)
        etag = etag_of(told)
        if etag is not None and MD5.fullmatch(etag) and etag != whole:
            raise self.proof.broken(key, "the store joined something else than was asked for")

    def delete(self, found: Found) -> None:
        """Remove a large object with its segments, whoever wrote it."""
        key = found.info.key
        call = Call(
            "DELETE", key, key, {"multipart-manifest": "delete"}, {"Accept": "application/json"}, also=NOT_FOUND
        )
        answer = self.proof.connection.load(call)
        if answer is None:
            return
        said = record(answer)
        status, errors = str(said.get("Response Status", "")), said.get("Errors")
        if status[:3] not in GONE or errors:
            why = f"the store did not say that all of it was removed: `{status}`, {errors}"
            raise self.proof.broken(key, why[:300])

    def remove(self, names: Collection[str]) -> None:
        """Remove segments. Those that are gone are fine."""

        def drop(name: str) -> None:
            self.proof.connection.ask(Call("DELETE", name, also=NOT_FOUND))

        each(drop, names)

    def _entries(self, key: str) -> Sequence[Mapping[str, object]]:
        """Return a manifest's entries; none when it is gone, or is none."""
        query = {"multipart-manifest": "get"}
        held = self.proof.connection.load(Call("GET", key, key, query, NEWEST, also=NOT_FOUND))
        return records(held)
