"""Calls whose bodies their adapter makes, and whose every answer it judges: over the connections of `rest`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import cast

import httpx

from sovbroker.errors import SovbrokerError, Unavailable
from sovbroker.ports import Binding
from sovbroker_adapters.held import held_client
from sovbroker_adapters.processes import PerProcess
from sovbroker_adapters.rest import Answer, whole

__all__ = ["Caller"]


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
                raw = whole(got, within=self._read, target=self._target)
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

    def _client(self) -> httpx.Client:
        return held_client(self._target, hosts=self._hosts, waits=(self._connect, self._read))
