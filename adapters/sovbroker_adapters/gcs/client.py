"""The connection to one bucket: credentials, the SDK's client, sessions, repeated calls, errors.

Objects are asked for by the service's own JSON interface, over the session that the SDK's client has: the SDK reads a
body in pieces of many requests, and holds what it sends in memory. The session is made anew in a child process: sockets
do not survive a fork.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import quote

from requests import HTTPError, Request

from sovbroker.errors import ConfigError, NotFound, StoreError, Unavailable
from sovbroker.ports import Binding, patience
from sovbroker_adapters.attempts import pauses
from sovbroker_adapters.gcs.bodies import Outgoing, read_all
from sovbroker_adapters.gcs.failures import Asked, failure, names_object, refusal
from sovbroker_adapters.gcs.identity import Identity, check_token_url, credentials_of, domain_of
from sovbroker_adapters.gcs.session import guarded_session
from sovbroker_adapters.gcs.settings import Settings
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.processes import PerProcess

if TYPE_CHECKING:
    from requests import Response, Session

__all__ = ["Answer", "Call", "Connection"]

T = TypeVar("T")
Answer = Mapping[str, Any]

ERRORS_FROM: Final = 300
NOT_SATISFIABLE: Final = 416


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `path` below the endpoint; `outgoing` makes the body anew for each attempt.

    `again`: it may be repeated when there is no answer. `conditional`: it is to change nothing that exists.
    """

    method: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    content: object = None
    outgoing: Callable[[], Outgoing] | None = None
    key: str | None = None
    again: bool = True
    conditional: bool = False


@dataclass(slots=True)
class _Made:
    """What belongs to one process."""

    client: Any
    session: Session
    identity: Identity


class Connection:
    """One bucket of one service. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding, settings: Settings) -> None:
        self.target = binding.target
        self.bucket = binding.container
        self._binding = binding
        self._settings = settings
        # At once: that credentials are of another universe is to be found out before anything is stored.
        self._owns = PerProcess(self._make)
        self._owns.get()

    def __repr__(self) -> str:
        """Name the bucket, and no secret."""
        return f"Connection(target={self.target!r}, bucket={self.bucket!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled")

    def object(self, key: str) -> str:
        """Return the path of an object in the JSON interface; without a key, that of all objects."""
        return f"/storage/v1/b/{self.bucket}/o" + (f"/{quote(key, safe='')}" if key else "")

    @property
    def container(self) -> str:
        """The path of the bucket itself in the JSON interface."""
        return f"/storage/v1/b/{self.bucket}"

    def ask(self, call: Call) -> Answer:
        """Send a request and return the JSON object that answers it: nothing in it is certain, not even a field.

        No answer, or an empty one, is {}.
        """

        def read(answer: Response) -> Answer:
            with answer:
                found = json.loads(read_all(answer) or b"null")
            if found is None:
                return {}
            if not isinstance(found, dict):
                raise Unavailable("the store answered something else than was asked for", target=self.target)
            return cast("Answer", found)

        return self._repeat(call, read)

    def open(self, call: Call) -> Response:
        """Send a request and return its answer with the body still to come; the caller closes it."""
        return self._repeat(call, lambda answer: answer)

    def sign(self, key: str, *, seconds: int) -> str:
        """Return a link that reads an object for so many seconds. Makes no request."""
        made = self._owns.get()
        blob = made.client.bucket(self.bucket).blob(key)
        try:
            url = str(blob.generate_signed_url(version="v4", expiration=seconds, method="GET"))
        except Exception as error:
            raise failure(error, Asked(self.target, self.bucket, key)) from error
        self.check(url)
        return url

    def check(self, url: str) -> None:
        """Raise PermissionDenied unless `url` leads to a host of this target."""
        check_host(url, hosts=self._binding.hosts, target=self.target)

    @property
    def signs(self) -> bool:
        """Whether links can be signed."""
        return self._owns.get().identity.signs

    def close(self) -> None:
        """Close the connections of this process."""
        made = self._owns.take()
        if made is not None:
            made.session.close()
            made.identity.close()

    def _repeat(self, call: Call, read: Callable[[Response], T]) -> T:
        asked = Asked(self.target, self.bucket, call.key, call.conditional)
        for pause in pauses(self._settings.attempts, again=call.again):
            try:
                return read(self._send(call, asked))
            except Exception as error:
                found = failure(error, asked)
                if pause is None or not isinstance(found, Unavailable):
                    if found is error:
                        raise
                    raise found from error
            time.sleep(pause)
        raise AssertionError  # the last pause is None

    def _send(self, call: Call, asked: Asked) -> Response:
        """Send a request once; an answer with an error's status is raised as an error of ours."""
        made = self._owns.get()
        headers = {"User-Agent": "sovbroker", "Accept-Encoding": "identity", **call.headers}
        token = made.identity.token()
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        body: Any = None
        if call.outgoing is not None:
            body = call.outgoing()
            headers["Content-Type"] = body.content_type
        elif call.content is not None:
            body = json.dumps(call.content).encode()
            headers["Content-Type"] = "application/json"
        url = self._settings.endpoint + call.path
        request = Request(call.method, url, headers=headers, params=dict(call.query), data=body).prepare()
        caller = patience()
        limits = (caller.left(self._settings.connect_timeout), caller.left(self._settings.read_timeout))
        answer = made.session.send(request, stream=True, timeout=limits, proxies={})
        if answer.status_code < ERRORS_FROM:
            return answer
        with answer:
            # Some servers send more than they announce when they refuse a range, and reset the connection: it is closed
            # unread, and not used again.
            said = b"" if answer.status_code == NOT_SATISFIABLE else read_all(answer, strict=False)
        error = refusal(answer.status_code, said, asked)
        cause = HTTPError(f"{answer.status_code} {answer.reason} to {call.method} {call.path}")
        if isinstance(error, NotFound) and error.key is not None and not names_object(said):
            self._check_bucket(cause)
        raise error from cause

    def _check_bucket(self, cause: HTTPError) -> None:
        """Raise NotFound of the bucket if it is missing: not every service tells what was not found."""
        call = Call("GET", self.object(""), {"maxResults": 1, "fields": "kind"}, again=False)
        try:
            with self._send(call, Asked(self.target, self.bucket)) as answer:
                # To its end, so that the connection can be used again.
                read_all(answer, strict=False)
        except NotFound:
            raise NotFound(f"there is no bucket `{self.bucket}`", target=self.target) from cause
        except StoreError:
            # The credentials may read objects and not list them: then the first answer stands.
            return

    def _make(self) -> _Made:
        settings, target = self._settings, self.target
        verify = True if settings.ca_bundle is None else str(settings.ca_bundle)
        credentials = credentials_of(self._binding, settings)
        session = guarded_session(self.check, verify=verify, target=target)
        tokens = guarded_session(
            lambda url: check_token_url(url, endpoint=settings.token_endpoint, target=target),
            verify=verify,
            target=target,
        )
        options = {"universe_domain": settings.universe, "api_endpoint": settings.endpoint}
        try:
            client = import_module("google.cloud.storage").Client(
                project="none", credentials=credentials, client_options=options, _http=session
            )
        except ValueError as error:
            theirs = domain_of(credentials)
            raise ConfigError(
                f"{target}: the credentials are of the universe `{theirs}`, and this target is of "
                f"`{settings.universe}`; use credentials that were made there"
                if theirs != settings.universe
                else f"{target}: the SDK refuses this target: {error}"
            ) from error
        return _Made(client, session, Identity(credentials, tokens))
