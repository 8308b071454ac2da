"""The proof that the store holds what was sent: digests where the service tells them, else sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sovbroker.errors import NotFound, StoreError, Unavailable
from sovbroker.ports import Limits, ObjectInfo
from sovbroker_adapters.azure.bodies import Outgoing
from sovbroker_adapters.azure.client import Connection
from sovbroker_adapters.azure.listing import info_of

__all__ = ["Proof"]


@dataclass(frozen=True, slots=True)
class Proof:
    """Compares what the store says with what was sent to it."""

    connection: Connection
    limits: Limits

    @property
    def target(self) -> str:
        """The id of the target."""
        return self.connection.target

    def head(self, key: str) -> ObjectInfo:
        """Ask for an object's info. Raises NotFound, of the object or of the container."""
        try:
            blob: Any = self.connection.blob(lambda blob: blob.get_blob_properties(), key)
        except NotFound as error:
            self.check_container(error)
            raise
        if not isinstance(blob.size, int):
            raise self.broken(key, "the store did not say how long it is")
        return info_of(blob, key, size=blob.size)

    def check_container(self, error: NotFound) -> None:
        """Raise NotFound of the container if it is missing, and the answer did not tell what was not found."""
        from sovbroker_adapters.azure.failures import code_of  # noqa: PLC0415 - it needs the SDK

        if error.key is None:
            raise error
        if code_of(error.__cause__):
            return
        try:
            self.connection.ask(lambda client: client.get_container_properties())
        except NotFound as missing:
            message = f"there is no container `{self.connection.container}`"
            raise NotFound(message, target=self.target) from missing
        except StoreError:
            # The credentials may read objects and not ask for the container: then the first answer stands.
            return

    def check_put(self, key: str, sent: Outgoing, answer: Mapping[str, Any], *, size: int) -> str | None:
        """Return the ETag of a `put` that the store holds as it was sent. Raises Unavailable."""
        told = answer.get("content_md5")
        if told is not None:
            if bytes(told) != sent.digest:
                raise self.broken(key, "what the store acknowledged is not what was sent")
            return str(answer.get("etag") or "").strip('"') or None
        info = self.head(key)
        if info.size != size:
            raise self.broken(key, f"the store holds {info.size} bytes of the {size} that were sent")
        return info.etag

    def join(self, key: str, blocks: Sequence[str], metadata: Mapping[str, str], *, size: int) -> ObjectInfo:
        """Make an object of blocks, by their ids, and check its size."""
        from azure.storage.blob import BlobBlock  # noqa: PLC0415 - the SDK is loaded lazily

        named = [BlobBlock(block) for block in blocks]
        # Repeated, it finds the blocks among those that are joined already.
        self.connection.blob(lambda blob: blob.commit_block_list(named, metadata=dict(metadata)), key)
        info = self.head(key)
        if info.size != size:
            raise self.broken(key, f"the store joined {info.size} bytes of the {size} that were sent")
        return info

    def broken(self, key: str, why: str) -> Unavailable:
        """Return the error of an object that is not what it should be."""
        return Unavailable(f"`{key}`: {why}", target=self.target, key=key)
