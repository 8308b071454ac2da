"""Azurite, Microsoft's emulator of Azure's storage, on this machine: for tests of the `azure` adapter.

It is not a wheel: `npm install azurite` puts it into `node_modules/.bin`. It is found by the environment variable
AZURITE, the path of `azurite-blob`, or on the PATH.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Credentials
from sovbroker.testing.servers import running

__all__ = ["ACCOUNT", "KEY", "BlobServer", "azurite"]

# What every copy of the emulator is shipped with, and prints in its documentation.
ACCOUNT: Final = "devstoreaccount1"
KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True, slots=True)
class BlobServer:
    """A running server of blobs: `url` is its root, below which the account stands; `pid` is its process."""

    url: str
    pid: int
    account: str = ACCOUNT
    key: str = field(default=KEY, repr=False)

    @property
    def host(self) -> str:
        """`host:port`, as `Binding.hosts` takes it."""
        return urlsplit(self.url).netloc

    def create_container(self, name: str) -> None:
        """Make a container; one that is there already is kept. Needs the extra `azure`."""
        try:
            from azure.core.credentials import AzureNamedKeyCredential  # noqa: PLC0415 - loaded by those who use it
            from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415 - as above
            from azure.storage.blob import ContainerClient  # noqa: PLC0415 - as above
        except ModuleNotFoundError as error:
            raise ConfigError("azure-storage-blob is not installed; run `pip install 'sovbroker[azure]'`") from error
        secret = AzureNamedKeyCredential(self.account, self.key)
        root = f"{self.url}/{self.account}"
        with ContainerClient(root, name, credential=secret, use_env_settings=False) as client:
            try:
                client.create_container()
            except ResourceExistsError:
                return

    def binding(
        self,
        container: str,
        *,
        target: str = "test",
        settings: Mapping[str, str | int | bool] | None = None,
        credentials: Mapping[str, str] | None = None,
    ) -> Binding:
        """Return what the `azure` adapter needs to open `container` here."""
        return Binding(
            target=target,
            container=container,
            endpoint=self.url,
            hosts=frozenset({self.host}),
            credentials=Credentials(credentials or {"account": self.account, "access_key": self.key}),
            settings={"addressing": "path", **(settings or {})},
        )


@contextmanager
def azurite() -> Generator[BlobServer]:
    """Run Azurite's blob service, in memory. Checks signatures. Raises ConfigError when it is not installed."""
    found = os.environ.get("AZURITE") or shutil.which("azurite-blob")
    if found is None or not os.access(found, os.X_OK):
        raise ConfigError(
            "there is no Azurite on this machine; run `npm install azurite`, and set AZURITE to "
            "`node_modules/.bin/azurite-blob`"
        )
    binary = str(Path(found).absolute())

    def command(port: int) -> list[str]:
        options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
        return [binary, *options, "--skipApiVersionCheck", "--disableTelemetry", "--silent"]

    with running(command) as (port, pid, _):
        yield BlobServer(f"http://127.0.0.1:{port}", pid)
