"""What the store holds: asked for with all replicas, and compared with what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sovbroker.errors import NotFound, StoreError, Unavailable
from sovbroker.ports import Limits, ObjectInfo
from sovbroker_adapters.swift.bodies import LENGTH, MD5, Outgoing, etag_of, info_of, is_large
from sovbroker_adapters.swift.calls import Call
from sovbroker_adapters.swift.client import Connection

__all__ = ["NEWEST", "Found", "Proof"]

NEWEST: Final[Mapping[str, str]] = {"X-Newest": "true"}
"""Ask every replica, and take the newest answer."""

NOT_FOUND: Final = frozenset({404})


@dataclass(frozen=True, slots=True)
class Found:
    """An object that is there. `large`: it consists of others."""

    info: ObjectInfo
    large: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """Compares what the store says with what was sent to it."""

    connection: Connection
    limits: Limits

    @property
    def target(self) -> str:
        """The id of the target."""
        return self.connection.target

    def head(self, key: str, *, newest: bool = False) -> Found:
        """Ask for an object. Raises NotFound, of the object or of the container."""
        found = self.find(key, newest=newest)
        if found is None:
            raise self.missing(key)
        return found

    def find(self, key: str, *, newest: bool = False, name: str | None = None) -> Found | None:
        """Ask for an object that may be missing; `name` is its name where that is not its key."""
        call = Call("HEAD", name or key, key, headers=NEWEST if newest else {}, also=NOT_FOUND)
        status, headers = self.connection.ask(call)
        if status in NOT_FOUND:
            return None
        size = headers.get("Content-Length", "")
        if not LENGTH.fullmatch(size) or etag_of(headers) is None:
            # A page of a portal has no ETag, and an object always has one.
            raise self.broken(key, "the store did not say how long it is, or told no ETag")
        return Found(info_of(headers, key, size=int(size)), is_large(headers))

    def missing(self, key: str) -> NotFound:
        """Return the error of an object that is not there: of the container, where that is why."""
        container = self.connection.container
        try:
            self.connection.ask(Call("HEAD"))
        except NotFound:
            return NotFound(f"there is no container `{container}`", target=self.target)
        except StoreError:
            # The credentials may read objects and not ask for the container: then the first answer stands.
            pass
        return NotFound(f"there is no object `{key}`", target=self.target, key=key)

    def check_container(self) -> None:
        """Raise NotFound when the container is missing."""
        error = self.missing("")
        if error.key is None:
            raise error

    def check_put(self, key: str, sent: Outgoing, headers: Mapping[str, str], *, size: int) -> str | None:
        """Return the ETag of what the store holds as it was sent. Raises Unavailable."""
        etag = etag_of(headers)
        if etag is not None and MD5.fullmatch(etag):
            if etag != sent.digest:
                raise self.broken(key, "what the store acknowledged is not what was sent")
            return etag
        found = self.head(key, newest=True).info
        if found.size != size:
            raise self.broken(key, f"the store holds {found.size} bytes of the {size} that were sent")
        return found.etag

    def broken(self, key: str, why: str) -> Unavailable:
        """Return the error of an object that is not what it should be."""
        return Unavailable(f"`{key}`: {why}", target=self.target, key=key)
