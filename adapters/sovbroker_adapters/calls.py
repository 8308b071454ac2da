"""One request, and one whole answer: from the hosts of a target and nobody else. Needs httpx.

What an answer means is its adapter's to say, or that of `rest`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, cast

import httpx

from sovbroker.errors import SovbrokerError, Unavailable
from sovbroker.ports import Binding, patience
from sovbroker_adapters.held import held_client
from sovbroker_adapters.processes import PerProcess

__all__ = ["Answer", "Caller"]

ANSWER_MAX: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: `told` is its JSON, None where it is none; `headers` have names in small letters."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    told: object = field(repr=False)
    body: bytes = field(default=b"", repr=False)


class Caller:
    """Makes one request at a time, and follows nobody. Safe for threads and after a fork; times are in seconds."""

    def __init__(self, binding: Binding, *, connect: float, read: float) -> None:
        self._target = binding.target
        self._hosts = binding.hosts
        self._connect = connect
        self._read = read
        self._clients = PerProcess(self._client)

    def call(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Return the answer, whatever it says. Raises PermissionDenied for another host, Unavailable without one."""
        try:
            with self._clients.get().stream(method, url, content=body, headers=dict(headers)) as got:
                raw = self._whole(got)
        except SovbrokerError:
            raise
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            message = f"no whole answer of the provider: {type(error).__name__}"
            raise Unavailable(message, target=self._target) from error
        told: object = None
        with suppress(ValueError, RecursionError):
            told = cast("object", json.loads(raw))
        return Answer(got.status_code, {name.lower(): value for name, value in got.headers.items()}, told, raw)

    def close(self) -> None:
        """Close the connections of this process."""
        client = self._clients.take()
        if client is not None:
            client.close()

    def _whole(self, got: httpx.Response) -> bytes:
        """Return a body that is not too long, and does not trickle in for longer than the caller waits."""
        body = bytearray()
        for piece in got.iter_bytes():
            body += piece
            if len(body) > ANSWER_MAX:
                raise Unavailable(f"an answer of more than {ANSWER_MAX >> 20} MiB", target=self._target)
            patience().left(self._read)
        return bytes(body)

    def _client(self) -> httpx.Client:
        return held_client(self._target, hosts=self._hosts, waits=(self._connect, self._read))
