"""JSON over HTTP: one request, one whole answer, from the hosts of a target and nobody else. Needs httpx.

A status that was not asked for is an error.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, cast
from urllib.parse import urlsplit

import httpx

from sovbroker.errors import ConfigError, PermissionDenied, SovbrokerError, StoreError, Unavailable
from sovbroker.ports import Binding, patience
from sovbroker_adapters.attempts import pauses
from sovbroker_adapters.held import held_client
from sovbroker_adapters.peers import own_machine
from sovbroker_adapters.processes import PerProcess
from sovbroker_adapters.settings import Reading

__all__ = ["WAITS", "Answer", "Call", "Rest", "by_status", "endpoint_of", "whole"]

WAITS: Final = ("connect-timeout", "read-timeout", "attempts")
"""The names of the settings that a `Rest` reads."""

ANSWER_MAX: Final = 64 << 20
LATER: Final = frozenset({408, 425, 429})
NONE: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Call:
    """A request. `expected` are the statuses that are answers; `again`: it may be repeated when there is none.

    `body` is sent as JSON, None: nothing is; `text` is sent as it is, as text. `signed` makes headers for each attempt
    anew.
    """

    method: str
    url: str
    body: object = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: NONE, repr=False)
    signed: Callable[[], Mapping[str, str]] | None = None
    expected: Collection[int] = (200,)
    again: bool = False
    text: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: `told` is its JSON, None where it is none; `headers` have names in small letters."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    told: object = field(repr=False)
    body: bytes = field(default=b"", repr=False)


class Rest:
    """Who asks for one target. Safe for threads and after a fork; not picklable.

    `refused` makes the error of an answer that is none of those expected; `sleep` waits between attempts.
    """

    def __init__(
        self,
        binding: Binding,
        refused: Callable[[Answer], SovbrokerError],
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        reading = Reading(binding)
        self._target = binding.target
        self._hosts = binding.hosts
        self._connect = reading.number("connect-timeout", 10)
        self._read = reading.number("read-timeout", 60)
        self._attempts = reading.number("attempts", 3)
        self._refused = refused
        self._sleep = sleep
        self._clients = PerProcess(self._client)

    def ask(self, call: Call) -> Answer:
        """Make a call, several times where it may be made again. Whatever fails is an error of ours."""
        for pause in pauses(self._attempts, again=call.again):
            try:
                return self._once(call)
            except Unavailable:
                if pause is None:
                    raise
            self._sleep(pause)
        raise AssertionError  # the last pause is None

    def close(self) -> None:
        """Close the connections of this process."""
        client = self._clients.take()
        if client is not None:
            client.close()

    def _once(self, call: Call) -> Answer:
        headers = {"Accept": "application/json", **call.headers, **(call.signed() if call.signed else {})}
        content = call.text
        if call.body is not None:
            content, headers["Content-Type"] = json.dumps(call.body).encode(), "application/json"
        elif content is not None:
            headers["Content-Type"] = "text/plain"
        try:
            with self._clients.get().stream(call.method, call.url, content=content, headers=headers) as said:
                body = whole(said, within=self._read, target=self._target)
        except SovbrokerError:
            raise
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            message = f"no whole answer of the provider: {type(error).__name__}"
            raise Unavailable(message, target=self._target) from error
        told: object = None
        with suppress(ValueError, RecursionError):
            told = cast("object", json.loads(body))
        names = {name.lower(): value for name, value in said.headers.items()}
        answer = Answer(said.status_code, names, told, body)
        if said.status_code not in call.expected:
            raise self._refused(answer)
        return answer

    def _client(self) -> httpx.Client:
        return held_client(self._target, hosts=self._hosts, waits=(self._connect, self._read))


def whole(said: httpx.Response, *, within: float, target: str) -> bytes:
    """Return a body that is not too long, and does not trickle in for longer than the caller waits."""
    body = bytearray()
    for piece in said.iter_bytes():
        body += piece
        if len(body) > ANSWER_MAX:
            raise Unavailable(f"an answer of more than {ANSWER_MAX >> 20} MiB", target=target)
        patience().left(within)
    return bytes(body)


def endpoint_of(binding: Binding) -> str:
    """Return the endpoint without a slash at its end. Raises ConfigError for one that secrets cannot be sent to."""
    parts = urlsplit(binding.endpoint or "")
    plain = parts.scheme == "http" and own_machine(parts.hostname or "")
    bare = parts.username is None and not parts.query and not parts.fragment
    if not parts.hostname or not bare or not (parts.scheme == "https" or plain):
        raise ConfigError(f"{binding.target}: the endpoint `{binding.endpoint}` is no URL that begins with https://")
    if not binding.hosts:
        raise ConfigError(f"{binding.target}: name the hosts that may be talked to")
    return (binding.endpoint or "").rstrip("/")


def by_status(status: int) -> type[StoreError]:
    """Return the kind of error of a status whose body nobody knows: never NotFound, as anybody may say 404."""
    if status in {401, 403, 407}:
        return PermissionDenied
    return Unavailable if status in LATER or not 300 <= status < 500 else StoreError  # noqa: PLR2004 - HTTP's own
