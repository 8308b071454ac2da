"""The connection to one container: the SDK's client, the host check, repeated calls, errors.

The client is made when it is first needed, under a lock, and again in a child process: sockets do not survive a fork.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from sovbroker.errors import ConfigError, Unavailable
from sovbroker.ports import Binding
from sovbroker_adapters.attempts import pauses
from sovbroker_adapters.azure.account import Account
from sovbroker_adapters.azure.settings import Settings
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.processes import PerProcess

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, ContainerClient

__all__ = ["Connection"]

T = TypeVar("T")


class Connection:
    """One container of one account. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding, settings: Settings, account: Account) -> None:
        self.target = binding.target
        self.container = binding.container
        self.account = account
        self._hosts = binding.hosts
        self._settings = settings
        self._clients = PerProcess(self._make)

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
        return self._clients.get()

    def close(self) -> None:
        """Close the connections of this process."""
        client = self._clients.take()
        if client is not None:
            client.close()

    def check_host(self, url: str) -> None:
        """Raise PermissionDenied unless `url` leads to a host of this target."""
        check_host(url, hosts=self._hosts, target=self.target)

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
