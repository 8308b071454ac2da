"""Copies within a container, the links that name their sources, and metadata that are replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from sovbroker.errors import NotFound, Unavailable
from sovbroker.ports import ObjectInfo
from sovbroker_adapters.azure.client import Connection
from sovbroker_adapters.checks import shows

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, ContainerClient

    from sovbroker_adapters.azure.proof import Proof

__all__ = ["copy", "link", "set_metadata"]

MIB: Final = 1 << 20
# What the service copies before it answers; beyond, it would copy after the answer, and leave a wreck on failure.
AT_ONCE: Final = 256 * MIB
SOURCE_FOR: Final = timedelta(hours=1)


def link(connection: Connection, key: str, *, until: datetime) -> str:
    """Return a URL that reads the object until then. Needs the account's key."""
    from azure.storage.blob import BlobSasPermissions, generate_blob_sas  # noqa: PLC0415 - the SDK is loaded lazily

    account = connection.account
    token = generate_blob_sas(
        account.name,
        connection.container,
        key,
        account_key=account.key,
        permission=BlobSasPermissions(read=True),
        expiry=until,
        protocol="https" if account.scheme == "https" else "https,http",
    )
    url = f"{_url(connection, key)}?{token}"
    connection.check_host(url)
    return url


def copy(proof: Proof, source: str, destination: str) -> ObjectInfo:
    """Copy an object with its metadata; the destination is replaced at the end, or not at all."""
    before = proof.head(source)
    if before.size <= AT_ONCE:
        _copy_at_once(proof, before, destination)
    else:
        _copy_in_blocks(proof, before, destination)
    info = proof.head(destination)
    if info.size != before.size:
        raise proof.broken(destination, f"the store copied {info.size} bytes of {before.size}")
    return info


def set_metadata(proof: Proof, key: str, metadata: Mapping[str, str]) -> ObjectInfo:
    """Replace the metadata of an object as it is now."""
    from azure.core import MatchConditions  # noqa: PLC0415 - the SDK is loaded lazily

    before = proof.head(key)
    unchanged: dict[str, Any] = {}
    if before.etag is not None:
        unchanged = {"etag": f'"{before.etag}"', "match_condition": MatchConditions.IfNotModified}
    try:
        proof.connection.blob(lambda blob: blob.set_blob_metadata(dict(metadata), **unchanged), key, again=False)
    except NotFound as error:
        proof.check_container(error)
        raise
    info = proof.head(key)
    if info.size != before.size:
        raise proof.broken(key, f"it has {info.size} bytes since its metadata were set, and had {before.size}")
    if not shows(info.metadata, metadata, before=before.metadata):
        raise proof.broken(key, "the store does not show the metadata that it was given")
    return info


def _copy_at_once(proof: Proof, before: ObjectInfo, destination: str) -> None:
    named = _source(proof.connection, before)

    def send(client: ContainerClient) -> Mapping[str, Any]:
        return client.get_blob_client(destination).start_copy_from_url(
            named, metadata=dict(before.metadata) or None, requires_sync=True, raw_request_hook=_unchanged(before)
        )

    try:
        answer = proof.connection.ask(send, key=before.key)
    except NotFound as error:
        # It is not told whether the source or the container is missing.
        proof.check_container(error)
        raise
    if answer.get("copy_status") != "success":
        message = f"the store says of the copy of `{before.key}`: {answer.get('copy_status')}"
        raise Unavailable(message, target=proof.target, key=before.key)


def _copy_in_blocks(proof: Proof, before: ObjectInfo, destination: str) -> None:
    """Fill blocks from the source, and join them."""
    own = uuid4().hex
    blocks: list[str] = []
    step = proof.limits.part_max
    for number, offset in enumerate(range(0, before.size, step), start=1):
        block = f"{own}-{number:05}"
        _copy_block(proof, before, destination, block, (offset, min(step, before.size - offset)))
        blocks.append(block)
    proof.join(destination, blocks, before.metadata, size=before.size)


def _copy_block(proof: Proof, before: ObjectInfo, destination: str, block: str, span: tuple[int, int]) -> None:
    named = _source(proof.connection, before)

    def send(blob: BlobClient) -> object:
        return blob.stage_block_from_url(block, named, span[0], span[1], raw_request_hook=_unchanged(before))

    proof.connection.blob(send, destination)


def _unchanged(before: ObjectInfo) -> Callable[[Any], None]:
    """Return the hook that makes a request fail when the source is another by now."""

    def ask(request: Any) -> None:  # noqa: ANN401 - the SDK's request
        if before.etag is not None:
            request.http_request.headers["x-ms-source-if-match"] = f'"{before.etag}"'

    return ask


def _source(connection: Connection, before: ObjectInfo) -> str:
    """Return the URL of a source, with what lets the service read it."""
    if connection.account.key is None:
        return f"{_url(connection, before.key)}?{connection.account.sas}"
    return link(connection, before.key, until=datetime.now(UTC) + SOURCE_FOR)


def _url(connection: Connection, key: str) -> str:
    return connection.client().get_blob_client(key).url.partition("?")[0]
