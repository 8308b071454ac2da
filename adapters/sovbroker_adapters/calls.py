"""Calls of a REST interface that speaks JSON, by httpx: each is held to its hosts, and to its caller's time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, cast

import httpx

from sovbroker.errors import PermissionDenied, SovbrokerError, StoreError, Unavailable
from sovbroker.ports import Binding, patience
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.peers import watch_transport
from sovbroker_adapters.processes import PerProcess

__all__ = ["Answer", "Caller", "by_status"]

LATER: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, its headers by their names in lower case, and its JSON; None for what is no JSON."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    told: object = field(repr=False)


class Caller:
    """Makes one request at a time, and follows nobody. Safe for threads and after a fork; times are in seconds.

    Neither the environment nor a file of the user's is looked at.
    """

    def __init__(self, binding: Binding, *, connect: float, read: float) -> None:
        self._target = binding.target
        self._hosts = binding.hosts
        self._connect = connect
        self._read = read
        self._clients = PerProcess(self._client)

    def call(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Return the answer, whatever it says. Raises PermissionDenied for another host, Unavailable without one."""
        check_host(url, hosts=self._hosts, target=self._target)
        caller = patience()
        limits = httpx.Timeout(caller.left(self._read), connect=caller.left(self._connect))
        try:
            got = self._clients.get().request(method, url, content=body, headers=dict(headers), timeout=limits)
        except SovbrokerError:
            raise
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            message = f"no whole answer of the provider: {type(error).__name__}"
            raise Unavailable(message, target=self._target) from error
        told: object = None
        with suppress(ValueError):
            told = cast("object", got.json())
        return Answer(got.status_code, {name.lower(): value for name, value in got.headers.items()}, told)

    def close(self) -> None:
        """Close the connections of this process."""
        client = self._clients.take()
        if client is not None:
            client.close()

    def _client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(trust_env=False)
        watch_transport(transport, target=self._target)
        return httpx.Client(transport=transport, trust_env=False, follow_redirects=False)


def by_status(status: int) -> type[StoreError]:
    """Return the error of a status that nothing else is known of: a 404 says nothing of what is there."""
    if status in {401, 403}:
        return PermissionDenied
    return Unavailable if status in LATER or not 300 <= status < 500 else StoreError  # noqa: PLR2004 - HTTP's own
