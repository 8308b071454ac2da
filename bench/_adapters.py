"""The other adapters, each beside the SDK that it stands on, on a server of its own kind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import ContainerClient
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client as GoogleClient  # type: ignore[import-untyped]

from bench._clients import Client
from sovbroker.ports import Binding, Store
from sovbroker.router import find_adapter
from sovbroker.testing.azurite import BlobServer
from sovbroker.testing.gcs import fake_gcs
from sovbroker.testing.webdav import rclone_webdav

__all__ = ["PAIRS"]

Pair = tuple[Client, Client]
BOX: Final = "box"
BLOBS: Final = """
import sys
from sovbroker.testing.blobs import BlobService
with BlobService() as service:
    print(service.server.url, flush=True)
    sys.stdin.read()
"""


def _ours(adapter: str, binding: Binding) -> tuple[Client, Store]:
    store = find_adapter(adapter)(binding)

    def get(key: str) -> bytes:
        with store.get(key) as reader:
            return reader.read()

    return Client(adapter, lambda key, body: store.put(key, body, size=len(body)), get, store.head), store


@contextmanager
def _google() -> Generator[Pair]:
    with fake_gcs() as server:
        server.create_bucket(BOX)
        ours, store = _ours("gcs", server.binding(BOX))
        anonymous: Any = AnonymousCredentials()  # type: ignore[no-untyped-call]
        client: Any = GoogleClient(project="bench", credentials=anonymous, client_options={"api_endpoint": server.url})
        bucket = client.bucket(BOX)
        yield (
            ours,
            Client(
                "sdk",
                lambda key, body: bucket.blob(key).upload_from_string(body),
                lambda key: bucket.blob(key).download_as_bytes(),
                lambda key: bucket.blob(key).reload(),
            ),
        )
        store.close()
        client.close()


@contextmanager
def _blob_service() -> Iterator[BlobServer]:
    """Run the service in another process: in this one it would work on the clients' time."""
    service = subprocess.Popen([sys.executable, "-c", BLOBS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
    try:
        assert service.stdout is not None  # noqa: S101 - it was asked for
        yield BlobServer(service.stdout.readline().strip(), service.pid)
    finally:
        service.communicate("")


@contextmanager
def _azure() -> Generator[Pair]:
    with _blob_service() as server:
        server.create_container(BOX)
        ours, store = _ours("azure", server.binding(BOX))
        secret = AzureNamedKeyCredential(server.account, server.key)
        with ContainerClient(f"{server.url}/{server.account}", BOX, credential=secret) as container:
            yield (
                ours,
                Client(
                    "sdk",
                    lambda key, body: container.upload_blob(key, body, overwrite=True),
                    lambda key: container.download_blob(key).readall(),
                    lambda key: container.get_blob_client(key).get_blob_properties(),
                ),
            )
        store.close()


@contextmanager
def _webdav() -> Generator[Pair]:
    with TemporaryDirectory() as folder, rclone_webdav(Path(folder)) as server:
        server.create_folder(BOX)
        ours, store = _ours("webdav", server.binding(BOX))
        with httpx.Client(base_url=f"{server.url}/{BOX}/", auth=(server.username, server.password)) as client:
            yield (
                ours,
                Client(
                    "sdk",
                    lambda key, body: client.put(key, content=body).raise_for_status(),
                    lambda key: client.get(key).raise_for_status().content,
                    lambda key: client.head(key).raise_for_status(),
                ),
            )
        store.close()


PAIRS: Final[list[tuple[str, str, Callable[[], AbstractContextManager[Pair]]]]] = [
    ("gcs", "google-cloud-storage", _google),
    ("azure", "azure-storage-blob", _azure),
    ("webdav", "httpx", _webdav),
]
"""Each adapter, its SDK, and what opens both."""
