"""JSON over HTTP: one request, one whole answer, from the hosts of a target and nobody else. Needs httpx.

A status that was not asked for is an error.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError, PermissionDenied, SovbrokerError, StoreError, Unavailable
from sovbroker.ports import Binding
from sovbroker_adapters.attempts import repeated
from sovbroker_adapters.calls import Answer, Caller
from sovbroker_adapters.peers import own_machine
from sovbroker_adapters.settings import Reading

__all__ = ["WAITS", "Call", "Rest", "by_status", "caller_of", "endpoint_of"]

WAITS: Final = ("connect-timeout", "read-timeout", "attempts")
"""The names of the settings that a `Rest` reads."""

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
        self._caller = caller_of(binding)
        self._attempts = reading.number("attempts", 3)
        self._refused = refused
        self._sleep = sleep

    def ask(self, call: Call) -> Answer:
        """Make a call, several times where it may be made again. Whatever fails is an error of ours."""
        return repeated(lambda: self._once(call), attempts=self._attempts, again=call.again, sleep=self._sleep)

    def close(self) -> None:
        """Close the connections of this process."""
        self._caller.close()

    def _once(self, call: Call) -> Answer:
        headers = {"Accept": "application/json", **call.headers, **(call.signed() if call.signed else {})}
        content = call.text
        if call.body is not None:
            content, headers["Content-Type"] = json.dumps(call.body).encode(), "application/json"
        elif content is not None:
            headers["Content-Type"] = "text/plain"
        answer = self._caller.call(call.method, call.url, headers=headers, body=content)
        if answer.status not in call.expected:
            raise self._refused(answer)
        return answer


def caller_of(binding: Binding) -> Caller:
    """Return who makes calls with the time limits of a binding's settings."""
    reading = Reading(binding)
    connect, read = reading.number("connect-timeout", 10), reading.number("read-timeout", 60)
    return Caller(binding, connect=connect, read=read)


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
