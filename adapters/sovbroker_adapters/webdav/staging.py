"""The way into a folder: bodies wait under names of their own, are compared with what was sent, and then move.

A waiting body's name begins with the digest of its key, so that a reader who finds no object can tell whether one is
just being replaced: many servers remove what is there before they move.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Final, TypeVar

from sovbroker.errors import AlreadyExists, NotFound, PermissionDenied, SovbrokerError, StoreError, Unavailable
from sovbroker.ports import Bytes, Source
from sovbroker_adapters.bodies import IN_MEMORY
from sovbroker_adapters.webdav.bodies import Digest, Outgoing
from sovbroker_adapters.webdav.calls import Call
from sovbroker_adapters.webdav.client import Connection
from sovbroker_adapters.webdav.multistatus import Entry
from sovbroker_adapters.webdav.names import Names, parents

__all__ = ["Staging"]

T = TypeVar("T")

WAITING: Final = "=new/"
DIGEST: Final = 32
KNOWN_MAX: Final = 10_000
THERE_ALREADY: Final = 405
CONFLICT: Final = 409
MISSING_ABOVE: Final = frozenset({404, CONFLICT})
REMOVED: Final = (NotFound, PermissionDenied, Unavailable)
MOMENTS: Final = (0.01, 0.03, 0.1, 0.3)
AFTERWARDS: Final = (0.0, 0.1, 0.4)
ABANDONED: Final = timedelta(days=7)
OWN: Final = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Staging:
    """Brings bodies into the folder. `_known` are the collections that were there when this process last looked."""

    _connection: Connection
    _names: Names
    _known: set[str] = field(default_factory=set[str])

    def send(self, key: str, body: Bytes | Source, *, size: int, digest: Digest) -> str:
        """Send a body to a name of its own, see that the server holds just this body, and return the name.

        What the body's source raises passes unchanged. Raises Unavailable when the server holds something else.
        """
        sent = Outgoing(body, size=size, digest=digest)

        def anew() -> Outgoing:
            nonlocal sent
            sent = Outgoing(body, size=size, digest=digest)
            return sent

        name = self._fresh(key)
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        again = isinstance(body, IN_MEMORY)
        call = Call("PUT", name, key, headers, lambda: iter(anew()), again=again, also=MISSING_ABOVE)
        try:
            told = self._ask_below(WAITING, call, again=again)
            found = self._found(name, key)
            same = found.size == size and not sent.contradicts(found.checksums) and not sent.contradicts(told)
            self._check(same, key, f"the store holds something else than the {size} bytes that were sent")
        except BaseException as error:
            # A server that was cut off in the middle may still be writing down what has come.
            for moment in AFTERWARDS if sent.broke_off else (0.0,):
                time.sleep(moment)
                self.drop(name)
            if sent.error is not None and isinstance(error, SovbrokerError):
                raise sent.error from None
            raise
        return name

    def copy(self, source: str, key: str, *, size: int) -> str:
        """Let the server copy an object of `size` bytes to a name of its own, and return that."""
        name = self._fresh(key)
        # Depth 0: if there were a collection in the object's place, its members would not come along.
        headers = {"Destination": self._connection.url(name), "Overwrite": "T", "Depth": "0"}
        call = Call("COPY", self._names.file(source), source, headers, also=frozenset({CONFLICT}))
        try:
            self._ask_below(WAITING, call, again=True)
            found = self._found(name, source)
            self._check(found.size == size, source, f"the store copied {found.size} of its {size} bytes")
        except BaseException:
            self.drop(name)
            raise
        return name

    def publish(self, name: str, key: str, *, size: int, if_absent: bool = False) -> None:
        """Move a waiting body to its object's name, which replaces what is there. Raises AlreadyExists.

        A move that may have happened is never made again: without its source, some servers still remove what is there.
        """
        try:
            self._publish(name, key, size=size, if_absent=if_absent)
        except BaseException:
            self.drop(name)
            raise

    def _publish(self, name: str, key: str, *, size: int, if_absent: bool) -> None:
        path = self._names.file(key)
        above = path[: path.rfind("/") + 1]
        headers = {"Destination": self._connection.url(path), "Overwrite": "F" if if_absent else "T"}
        call = Call("MOVE", name, key, headers, again=False, conditional=if_absent)
        for pause in self._connection.pauses():
            remembered = self._make(above)
            error = self._moving(call, path, size)
            if error is not None and above and remembered and isinstance(error, REMOVED):
                # Some servers say so when a collection is no longer there.
                self._forget(above)
                self._make(above)
                error = self._moving(call, path, size)
            if error is None:
                return
            if isinstance(error, NotFound):
                self.check_container()
                raise self._broken(key, "the collection above it was removed just now") from error
            if pause is None or not isinstance(error, Unavailable):
                raise error
            time.sleep(pause)

    def _moving(self, call: Call, path: str, size: int) -> StoreError | None:
        """Move once; return what went wrong, None when the body has arrived. Raises AlreadyExists."""
        try:
            self._connection.ask(call)
        except AlreadyExists:
            raise
        except StoreError as error:
            if not self._gone(call.name):
                return error
            # The answer was lost, or there were two moves: nobody else has a hold on the body's first name.
            with suppress(NotFound):
                if self._connection.find(path).size == size:
                    return None
            self.check_container()
            raise self._broken(str(call.key), "the store lost it on the way to its name") from error
        return None

    def _ask_below(self, collection: str, call: Call, *, again: bool) -> str:
        """Make a call that needs a collection, and the collection if need be; return the checksums that were told."""
        remembered = self._make(collection)
        if collection == WAITING and not remembered:
            self._clear_away()
        status, told = self._connection.ask(call)
        if status in call.also and remembered and again:
            self._forget(collection)
            self._make(collection)
            status, told = self._connection.ask(call)
        if status in call.also:
            self._forget(collection)
            self.check_container()
            raise self._broken(str(call.key), f"the collection `{collection}` was removed just now")
        return told

    def drop(self, name: str) -> None:
        """Remove a waiting body; if it cannot be removed, nobody will read it."""
        with suppress(SovbrokerError):
            self._connection.ask(Call("DELETE", name, again=False))

    def _clear_away(self) -> None:
        """Remove what has waited for a week: whoever was to move it was killed, or lost its connection."""
        with suppress(SovbrokerError):
            for name, entry in self._connection.members(WAITING, wanted=lambda name: bool(OWN.fullmatch(name))).items():
                if entry.modified is not None and datetime.now(UTC) - entry.modified > ABANDONED:
                    self.drop(WAITING + name)

    def awaiting(self, key: str, ask: Callable[[], T]) -> T:
        """Ask for an object; if there is none while one is on its way, ask again a few times. Raises NotFound."""
        missing: NotFound
        try:
            return ask()
        except NotFound as error:
            missing = error
        moments = MOMENTS if self._replacing(key) else (0.0,)
        for moment in moments:
            # The move may have ended between the two questions: so ask once more in any case.
            time.sleep(moment)
            try:
                return ask()
            except NotFound as error:
                missing = error
        raise missing

    def check_container(self) -> None:
        """Raise NotFound, of no key, when the folder itself is missing."""
        try:
            self._connection.find("")
        except NotFound as error:
            message = f"there is no folder `{self._connection.container}`"
            raise NotFound(message, target=self._connection.target) from error

    def _fresh(self, key: str) -> str:
        return f"{WAITING}{_mark(key)}{token_hex(16)}"

    def _replacing(self, key: str) -> bool:
        try:
            return bool(self._connection.members(WAITING, wanted=lambda name: name.startswith(_mark(key))))
        except NotFound:
            self.check_container()
            return False

    def _found(self, name: str, key: str) -> Entry:
        try:
            return self._connection.find(name)
        except NotFound as error:
            raise self._broken(key, "the store does not hold what it has acknowledged") from error

    def _gone(self, name: str) -> bool:
        """Whether a waiting body is gone. Raises StoreError when nobody can tell."""
        try:
            self._connection.find(name)
        except NotFound:
            return True
        return False

    def _make(self, collection: str) -> bool:
        """Make a collection and those above it; return whether it was remembered to be there."""
        if not collection or collection in self._known:
            return True
        if not self._made(collection):
            for above in parents(collection):
                if not self._made(above):
                    self.check_container()
                    message = f"the collection `{above}` cannot be made: what is above it was removed just now"
                    raise Unavailable(message, target=self._connection.target)
        return False

    def _made(self, collection: str) -> bool:
        also = MISSING_ABOVE | {THERE_ALREADY}
        status, _ = self._connection.ask(Call("MKCOL", collection, also=also))
        if status in MISSING_ABOVE:
            return False
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known.add(collection)
        return True

    def _forget(self, collection: str) -> None:
        self._known.difference_update(parents(collection))

    def _check(self, fine: bool, key: str, why: str) -> None:  # noqa: FBT001 - the statement comes first
        if not fine:
            raise self._broken(key, why)

    def _broken(self, key: str, why: str) -> Unavailable:
        return Unavailable(f"`{key}`: {why}", target=self._connection.target, key=key)


def _mark(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:DIGEST] + "-"
