"""The connection to one container: the SDK's client, the host check, repeated calls, errors.

The client is made when it is first needed, under a lock, and again in a child process: sockets do not survive a fork.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError, PermissionDenied, Unavailable
from sovbroker.ports import Binding
from sovbroker_adapters.attempts import pauses
from sovbroker_adapters.azure.account import PORTS, Account, bracketed
from sovbroker_adapters.azure.settings import Settings
from sovbroker_adapters.hosts import link_local

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, ContainerClient

__all__ = ["Connection"]

T = TypeVar("T")


_making = threading.Lock()


def _forget_lock() -> None:
    """Start with a free lock in a child: the thread that held it at the fork is not there to release it."""
    global _making  # noqa: PLW0603 - a lock can only be replaced
    _making = threading.Lock()


os.register_at_fork(after_in_child=_forget_lock)


@dataclass(slots=True)
class _Made:
    """A client and the process that it belongs to."""

    client: ContainerClient
    pid: int


class Connection:
    """One container of one account. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding, settings: Settings, account: Account) -> None:
        self.target = binding.target
        self.container = binding.container
        self.account = account
        self._hosts = frozenset(name.lower() for name in binding.hosts)
        self._settings = settings
        self._made: _Made | None = None

    def __repr__(self) -> str:
        """Name the container, and no secret."""
        return f"Connection(target={self.target!r}, container={self.container!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled")

    def blob(self, call: Callable[[BlobClient], T], key: str, *, again: bool = True, conditional: bool = False) -> T:
        """Use the client of one blob; see `ask`."""
        return self.ask(lambda client: call(client.get_blob_client(key)), key=key, again=again, conditional=conditional)

    def ask(
        self,
        call: Callable[[ContainerClient], T],
        *,
        key: str | None = None,
        again: bool = True,
        conditional: bool = False,
    ) -> T:
        """Use the client of the container. Whatever fails is an error of ours.

        `again`: the call may be repeated when there is no answer.
        """
        from sovbroker_adapters.azure.bodies import Taken  # noqa: PLC0415 - beside the next
        from sovbroker_adapters.azure.failures import Asked, failure  # noqa: PLC0415 - it needs the SDK

        asked = Asked(self.target, self.container, key, conditional)
        for pause in pauses(self._settings.attempts, again=again):
            try:
                return call(self.client())
            except Taken:
                raise
            except Exception as error:
                found = failure(error, asked)
                if found is error:
                    raise
                if pause is None or not isinstance(found, Unavailable):
                    raise found from error
            time.sleep(pause)
        raise AssertionError  # the last pause is None

    def client(self) -> ContainerClient:
        """Return the client of this process."""
        made = self._made
        if made is None or made.pid != os.getpid():
            with _making:
                made = self._made
                if made is None or made.pid != os.getpid():
                    made = self._made = _Made(self._make(), os.getpid())
        return made.client

    def close(self) -> None:
        """Close the connections of this process."""
        made, self._made = self._made, None
        if made is not None and made.pid == os.getpid():
            made.client.close()

    def check_host(self, url: str) -> None:
        """Raise PermissionDenied unless `url` leads to a host of this target."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        port = parts.port or PORTS.get(parts.scheme, 0)
        usual = PORTS.get(parts.scheme) == port
        named = f"{bracketed(host)}:{port}" in self._hosts or (usual and bool({host, bracketed(host)} & self._hosts))
        if link_local(host) or not named:
            message = f"nothing was sent: `{host}:{port}` is not a host of this target"
            raise PermissionDenied(message, target=self.target)

    def _make(self) -> ContainerClient:
        from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential  # noqa: PLC0415 - lazily
        from azure.storage.blob import ContainerClient  # noqa: PLC0415 - as above

        from sovbroker_adapters.azure.wire import Wire  # noqa: PLC0415 - it needs the SDK

        account = self.account
        secret = (
            AzureSasCredential(account.sas or "")
            if account.key is None
            else AzureNamedKeyCredential(account.name, account.key)
        )
        try:
            return ContainerClient(
                account.url,
                self.container,
                credential=secret,
                transport=Wire(self.check_host, self._settings, target=self.target),
                api_version=self._settings.api_version,
                retry_total=0,
                permit_redirects=False,
            )
        except ValueError as error:
            raise ConfigError(f"{self.target}: the SDK does not open this account: {error}") from error
