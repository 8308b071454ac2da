"""The connection to one folder: credentials, the client, the host check, repeated calls, errors.

The client is made when it is first needed, under a lock, and again in a child process: sockets do not survive a fork.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar, cast
from urllib.parse import quote, unquote, urlsplit

from sovbroker.errors import Unavailable
from sovbroker.ports import Binding
from sovbroker_adapters.attempts import pauses
from sovbroker_adapters.processes import PerProcess
from sovbroker_adapters.tls import trust
from sovbroker_adapters.webdav.bindings import authorization, check_binding
from sovbroker_adapters.webdav.calls import Call
from sovbroker_adapters.webdav.multistatus import ASKED, BrokenAnswerError, Entry, entries
from sovbroker_adapters.webdav.settings import Settings

if TYPE_CHECKING:
    import httpx

__all__ = ["Connection"]

log = logging.getLogger("sovbroker")

T = TypeVar("T")

ALL_IS_WELL: Final = range(200, 300)
MULTISTATUS: Final = 207
PAGE: Final = 200
# The only answers that say so: a portal's page of status 200 has moved nothing.
DONE: Final = {
    "PUT": frozenset({200, 201, 204}),
    "MKCOL": frozenset({201}),
    "MOVE": frozenset({201, 204}),
    "COPY": frozenset({201, 204}),
    "DELETE": frozenset({200, 204}),
}
SKIP: Final = {"X-NC-Skip-Trashbin": "true"}
DRAINED: Final = 64 << 10
ONE_MAX: Final = 1 << 20
MANY_MAX: Final = 512 << 20
MEMBERS_MAX: Final = 1_000_000


class Connection:
    """One folder of one server. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding, settings: Settings) -> None:
        check_binding(binding, settings)
        self.target = binding.target
        self.container = binding.container
        self._binding = binding
        self._settings = settings
        folder = "".join(f"{quote(part, safe='')}/" for part in binding.container.strip("/").split("/"))
        self._root = f"{(binding.endpoint or '').rstrip('/')}/{folder}"
        self._path = unquote(urlsplit(self._root).path)
        self._clients = PerProcess(self._make)

    def __repr__(self) -> str:
        """Name the folder, and no secret."""
        return f"Connection(target={self.target!r}, container={self.container!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled")

    def url(self, name: str) -> str:
        """Return the URL of a path below the container, as `Destination` takes it."""
        return self._root + name

    def ask(self, call: Call) -> tuple[int, str]:
        """Make a call; return its status and the checksums that the server told. Whatever fails is an error of ours."""

        def once() -> tuple[int, str]:
            response = self._respond(call)
            said = _drain(response)
            status = response.status_code
            if call.method == "DELETE" and status == PAGE and said:
                # What removes something says so by a status alone; a page is a portal's.
                raise self._failure(BrokenAnswerError("a page does not say that it is done"), call)
            if status not in call.also and status not in DONE.get(call.method, ()):
                raise self._failure(BrokenAnswerError(f"status {status} does not say that it is done"), call)
            return status, response.headers.get("OC-Checksum", "")

        return self._repeated(call, once)

    def open(self, call: Call) -> httpx.Response:
        """Make a call, and return the answer with its body still to come; the caller closes it."""
        return self._repeated(call, lambda: self._respond(call))

    def find(self, name: str, *, key: str | None = None) -> Entry:
        """Return what the server says of one file or collection. Raises NotFound."""
        call = Call("PROPFIND", name, key, {"Depth": "0", "Content-Type": "application/xml"}, lambda: ASKED)

        def once() -> Entry:
            found = [entry for _, entry in self._entries(call, bytes_max=ONE_MAX)]
            if len(found) != 1:
                raise self._failure(BrokenAnswerError(f"{len(found)} entries instead of one"), call)
            if found[0].status not in ALL_IS_WELL:
                raise self._answered(found[0].status, call)
            return found[0]

        return self._repeated(call, once)

    def members(self, name: str, *, wanted: Callable[[str], bool]) -> dict[str, Entry]:
        """Return what is in a collection by name, without what is in its collections. Raises NotFound.

        `name` is "" or ends with a slash. Names that are not `wanted` are left out.
        """
        call = Call("PROPFIND", name, None, {"Depth": "1", "Content-Type": "application/xml"}, lambda: ASKED)

        def once() -> dict[str, Entry]:
            found: dict[str, Entry] = {}
            itself = False
            for at, entry in self._entries(call, bytes_max=MANY_MAX):
                if not at:
                    itself = entry.collection
                elif wanted(at) and entry.status in ALL_IS_WELL:
                    found[at] = entry
                if len(found) > MEMBERS_MAX:
                    raise self._failure(BrokenAnswerError(f"more than {MEMBERS_MAX} members"), call)
            if not itself:
                # An empty answer must not pass for an empty collection.
                raise self._failure(BrokenAnswerError("it does not tell of the collection itself"), call)
            return found

        return self._repeated(call, once)

    def pauses(self) -> Iterator[float | None]:
        """Yield how long to wait after each attempt that fails, in seconds; None after the last."""
        return pauses(self._settings.attempts, again=True)

    def close(self) -> None:
        """Close the connections of this process."""
        client = self._clients.take()
        if client is not None:
            client.close()

    def _repeated(self, call: Call, once: Callable[[], T]) -> T:
        for pause in pauses(self._settings.attempts, again=call.again):
            try:
                return once()
            except Unavailable:
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError  # the last pause is None

    def _respond(self, call: Call) -> httpx.Response:
        """Send a request once. Return an answer that is no error, its body still to come."""
        body = None if call.body is None else cast("bytes | Iterable[bytes]", call.body())
        try:
            client = self._clients.get()
            headers = {**call.headers, **(SKIP if call.method == "DELETE" and self._settings.trash == "skip" else {})}
            request = client.build_request(call.method, self.url(call.name), headers=headers, content=body)
            response = client.send(request, stream=True)
        except Exception as error:
            found = self._failure(error, call)
            if found is error:
                raise
            raise found from error
        if response.status_code in ALL_IS_WELL or response.status_code in call.also:
            return response
        _drain(response)
        raise self._answered(response.status_code, call)

    def _entries(self, call: Call, *, bytes_max: int) -> Iterator[tuple[str, Entry]]:
        """Yield what an answer tells, each by its path below what was asked for: "" is that itself."""
        response = self._respond(call)
        asked = self._path + call.name
        try:
            _check_multistatus(response)
            for entry in entries(response.iter_raw(), bytes_max=bytes_max):
                yield _below(asked, entry.href), entry
        except Exception as error:
            found = self._failure(error, call)
            if found is error:
                raise
            raise found from error
        finally:
            response.close()

    def _answered(self, status: int, call: Call) -> Exception:
        from sovbroker_adapters.webdav.failures import answered  # noqa: PLC0415 - it needs the SDK

        return answered(status, call, target=self.target)

    def _failure(self, error: Exception, call: Call) -> Exception:
        from sovbroker_adapters.webdav.failures import failure  # noqa: PLC0415 - it needs the SDK

        return failure(error, call, target=self.target)

    def _make(self) -> httpx.Client:
        from sovbroker_adapters.held import held_client  # noqa: PLC0415 - httpx is loaded when it is needed

        settings = self._settings
        return held_client(
            self.target,
            hosts=self._binding.hosts,
            waits=(settings.connect_timeout, settings.read_timeout),
            trusted=trust(settings.ca_bundle, target=self.target),
            headers={} if settings.anonymous else authorization(self._binding.credentials),
        )


def _drain(response: httpx.Response) -> int:
    """Return the length of an answer that nobody reads. Its connection serves again if it is short and whole."""
    total = 0
    try:
        for piece in response.iter_raw():
            total += len(piece)
            if total > DRAINED:
                break
    except Exception:
        log.debug("the connection of an answer that nobody reads is given up", exc_info=True)
    finally:
        response.close()
    return total


def _below(asked: str, href: str) -> str:
    """Return the name that an address has below the path that was asked for; "" for that itself."""
    path = unquote(urlsplit(href).path)
    if path.rstrip("/") == asked.rstrip("/"):
        return ""
    name = path.removeprefix(asked).rstrip("/")
    if not asked.endswith("/") or not path.startswith(asked) or "/" in name:
        raise BrokenAnswerError(f"it tells of `{href[:200]}`, which was not asked for")
    return name


def _check_multistatus(response: httpx.Response) -> None:
    if response.status_code != MULTISTATUS:
        raise BrokenAnswerError(f"status {response.status_code} instead of {MULTISTATUS}")
    coding = response.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise BrokenAnswerError(f"it is encoded as `{coding}`, which was not asked for")
