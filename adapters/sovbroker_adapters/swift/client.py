"""The connection to one container: the client and the token of this process, the host check, repeated calls, errors."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar, cast
from urllib.parse import urlencode

from sovbroker.errors import Unavailable
from sovbroker.ports import Binding
from sovbroker_adapters.attempts import pauses
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.keystone import unsaid
from sovbroker_adapters.processes import PerProcess
from sovbroker_adapters.swift.access import Access
from sovbroker_adapters.swift.answers import whole
from sovbroker_adapters.swift.calls import Call
from sovbroker_adapters.swift.names import quoted
from sovbroker_adapters.swift.settings import Settings
from sovbroker_adapters.tls import trust

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx

    from sovbroker_adapters.swift.identity import Asking, Login

__all__ = ["Connection"]

log = logging.getLogger("sovbroker")

T = TypeVar("T")

REFUSED: Final = 401
JSON: Final = 200
ALL_IS_WELL: Final = range(200, 300)
DRAINED: Final = 1 << 16
ANSWER_MAX: Final = 64 << 20
# The only answers that say so: a portal's page of status 200 has stored nothing.
DONE: Final[Mapping[str, frozenset[int]]] = {
    "PUT": frozenset({201}),
    "POST": frozenset({202}),
    "DELETE": frozenset({204}),
    "HEAD": frozenset({200, 204}),
}


class Own:
    """What one process has: a client, and the token that it has got."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.lock = threading.Lock()
        self.login: Login | None = None


class Connection:
    """One container of one account. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding, settings: Settings, access: Access) -> None:
        self.target = binding.target
        self.container = binding.container
        self.access = access
        self._binding = binding
        self._settings = settings
        self._owns = PerProcess(self._make)

    def __repr__(self) -> str:
        """Name the container, and no secret."""
        return f"Connection(target={self.target!r}, container={self.container!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled")

    def ask(self, call: Call) -> tuple[int, httpx.Headers]:
        """Make a call, and return its status and headers. Whatever fails is an error of ours."""

        def once() -> tuple[int, httpx.Headers]:
            answer = self._respond(call)
            _drain(answer)
            status = answer.status_code
            if status not in call.also and status not in DONE.get(call.method, ()):
                raise self.broken(call, f"status {status} does not say that it is done")
            return status, answer.headers

        return self._repeated(call, once)

    def load(self, call: Call) -> object:
        """Make a call, and return the JSON that answers it; None for an answer that `call.also` allows."""

        def once() -> object:
            answer = self._respond(call)
            try:
                body = whole(answer, most=ANSWER_MAX)
                # The answer is read before it is judged, so that its connection serves again.
                if answer.status_code in call.also:
                    return None
                said = json.loads(body)
            except Exception as error:
                raise self._failure(error, call) from error
            finally:
                answer.close()
            if answer.status_code != JSON:
                raise self.broken(call, f"status {answer.status_code} instead of {JSON}")
            return said

        return self._repeated(call, once)

    def open(self, call: Call) -> httpx.Response:
        """Make a call, and return the answer with its body still to come; the caller closes it."""
        return self._repeated(call, lambda: self._respond(call))

    def login(self) -> Login:
        """Return the token of this process, with the account's URL; ask for one if there is none."""
        return self._login(refused=None)

    def check_host(self, url: str) -> None:
        """Raise PermissionDenied unless `url` leads to a host of this target."""
        check_host(url, hosts=self._binding.hosts, target=self.target)

    def broken(self, call: Call, why: str) -> Unavailable:
        """Return the error of an answer that cannot be right."""
        return Unavailable(f"a broken answer to {call.method}: {why}", target=self.target, key=call.key)

    def close(self) -> None:
        """Close the connections of this process."""
        own = self._owns.take()
        if own is not None:
            own.client.close()

    def _repeated(self, call: Call, once: Callable[[], T]) -> T:
        for pause in pauses(self._settings.attempts, again=call.again and not call.once):
            try:
                return once()
            except Unavailable:
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError  # the last pause is None

    def _respond(self, call: Call) -> httpx.Response:
        """Send a request, with another token if the first is refused. Return an answer that is no error, unread."""
        login = self.login()
        answer = self._send(call, login)
        if answer.status_code == REFUSED and not call.anonymous:
            _drain(answer)
            login = self._login(refused=login)
            if call.once:
                message = "the token was refused, and the body can be read only once"
                raise Unavailable(message, target=self.target, key=call.key)
            answer = self._send(call, login)
        if answer.status_code in ALL_IS_WELL or answer.status_code in call.also:
            return answer
        _drain(answer)
        raise self._answered(answer.status_code, call)

    def _send(self, call: Call, login: Login) -> httpx.Response:
        body = None if call.body is None else cast("bytes | Iterable[bytes]", call.body())
        url = f"{login.url}/{quoted(self.container)}" + (f"/{quoted(call.name)}" if call.name else "")
        query = f"?{urlencode(call.query)}" if call.query else ""
        headers = {} if call.anonymous else {"X-Auth-Token": login.token}
        try:
            client = self._owns.get().client
            request = client.build_request(call.method, url + query, headers={**headers, **call.headers}, content=body)
            return client.send(request, stream=True)
        except Exception as error:
            found = self._failure(error, call)
            if found is error:
                raise
            raise found from error

    def _login(self, *, refused: Login | None) -> Login:
        """Return a token that is not the one that was refused: another thread may have got it already."""
        own = self._owns.get()
        with own.lock:
            if own.login is None or own.login is refused or own.login.stale:
                asking = self._asking()
                own.login = self._repeated(Call("GET"), lambda: asking.login(own.client))
            return own.login

    def _answered(self, status: int, call: Call) -> Exception:
        from sovbroker_adapters.swift.failures import answered  # noqa: PLC0415 - it needs httpx

        return answered(status, call, target=self.target, container=self.container)

    def _failure(self, error: Exception, call: Call) -> Exception:
        from sovbroker_adapters.swift.failures import failure  # noqa: PLC0415 - it needs httpx

        return failure(error, call.method, target=self.target, key=call.key)

    def _asking(self) -> Asking:
        from sovbroker_adapters.swift.identity import Asking  # noqa: PLC0415 - it needs httpx

        return Asking(self.target, self.access, self._binding.region, self._settings.interface)

    def _make(self) -> Own:
        from sovbroker_adapters.held import held_client  # noqa: PLC0415 - httpx is loaded when it is needed

        settings = self._settings
        unsaid()
        client = held_client(
            self.target,
            hosts=self._binding.hosts,
            waits=(settings.connect_timeout, settings.read_timeout),
            trusted=trust(settings.ca_bundle, target=self.target),
        )
        return Own(client)


def _drain(answer: httpx.Response) -> None:
    """Read an answer that nobody reads, so that its connection serves again; not if it is long, or breaks off."""
    total = 0
    try:
        for piece in answer.iter_raw():
            total += len(piece)
            if total > DRAINED:
                break
    except Exception:
        log.debug("the connection of an answer that nobody reads is given up", exc_info=True)
    finally:
        answer.close()
