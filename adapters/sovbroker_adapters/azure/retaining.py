"""Retention, by the immutability policy of one blob, and what the container tells of itself.

The policy is `Locked`: it can be made longer, never shorter, and nobody removes it, the owner of the account neither.
The container must be made with version-level immutability. There a blob that is removed stays as an older version that
its policy holds; so a removal is refused here first, and the blob stays to be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from sovbroker.errors import NotFound, NotSupported, PermissionDenied, StoreError
from sovbroker.ports import Inspection
from sovbroker_adapters.azure.client import Connection
from sovbroker_adapters.azure.proof import Proof
from sovbroker_adapters.clocks import Watch

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, ContainerClient

__all__ = ["Retention", "inspect"]

UNTIL: Final = "x-ms-immutability-policy-until-date"
MODE: Final = "x-ms-immutability-policy-mode"
LOCKED: Final = "locked"


@dataclass(slots=True)
class Heard:
    """The headers of the last answer: the SDK does not hand all of them on."""

    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def hear(self, response: Any) -> None:  # noqa: ANN401 - the SDK's response
        """Keep an answer's headers, their names in lower case."""
        self.headers = {name.lower(): value for name, value in response.http_response.headers.items()}


@dataclass(frozen=True, slots=True)
class Retention:
    """The retention of the blobs of a container."""

    proof: Proof

    def hold(self, key: str, until: datetime) -> None:
        """See `Store.retain`."""
        # The header counts whole seconds; a part of one more is no harm, one less would be.
        end = until.replace(microsecond=0) + timedelta(seconds=1 if until.microsecond else 0)
        held = self._held(key)
        if held is not None and held > end:
            raise self._denied(key, held)

        def send(blob: BlobClient) -> object:
            from azure.storage.blob import ImmutabilityPolicy  # noqa: PLC0415 - the SDK is loaded lazily

            return blob.set_immutability_policy(ImmutabilityPolicy(expiry_time=end, policy_mode="Locked"))

        self.proof.connection.blob(send, key)
        found = self._held(key)
        if found is None or found < end:
            message = f"the store took the retention of `{key}` and does not hold it"
            raise NotSupported(message, target=self.proof.target, key=key)

    def check_free(self, key: str) -> None:
        """Raise PermissionDenied for a blob that is retained; what is not there is free."""
        try:
            held = self._held(key)
        except NotFound as error:
            if error.key is None:
                raise
            return
        if held is not None and held > datetime.now(UTC):
            raise self._denied(key, held)

    def _held(self, key: str) -> datetime | None:
        """Return the end of a blob's locked retention; None where there is none. Raises NotFound."""
        heard = Heard()
        try:
            self.proof.connection.blob(lambda blob: blob.get_blob_properties(raw_response_hook=heard.hear), key)
        except NotFound as error:
            self.proof.check_container(error)
            raise
        if heard.headers.get(MODE, "").lower() != LOCKED:
            return None
        try:
            found = parsedate_to_datetime(heard.headers.get(UNTIL, ""))
        except ValueError:
            return None
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)

    def _denied(self, key: str, until: datetime) -> PermissionDenied:
        message = f"`{key}` is retained until {until.isoformat()}"
        return PermissionDenied(message, target=self.proof.target, key=key)


def inspect(connection: Connection) -> Inspection:
    """Ask what the container is like. Rules that remove, the region and versions without locks are the account's."""
    heard, watch = Heard(), Watch()

    def look(client: ContainerClient) -> object:
        return client.get_container_properties(raw_response_hook=heard.hear)

    try:
        connection.ask(look)
    except (PermissionDenied, NotSupported):
        return _by_listing(connection)
    clock, skew = watch.read(heard.headers.get("date"))
    versions = heard.headers.get("x-ms-immutable-storage-with-versioning-enabled", "").lower()
    return Inspection(
        clock=clock,
        skew=skew,
        # Where it is not said the container is private, whatever the account allows.
        public=heard.headers.get("x-ms-blob-public-access", "").lower() in {"blob", "container"},
        versioned=True if versions == "true" else None,
        locks={"true": True, "false": False}.get(versions),
        encryption=heard.headers.get("x-ms-default-encryption-scope"),
    )


def _by_listing(connection: Connection) -> Inspection:
    """Return what a signature that may list, and not ask for the container, is told: the time."""
    heard, watch = Heard(), Watch()

    def look(client: ContainerClient) -> object:
        return next(client.list_blobs(results_per_page=1, raw_response_hook=heard.hear).by_page(), None)

    try:
        connection.ask(look)
    except NotFound:
        raise
    except StoreError as error:
        message = f"the credentials may neither ask for the container nor list it: {error}"
        raise PermissionDenied(message, target=connection.target) from error
    clock, skew = watch.read(heard.headers.get("date"))
    return Inspection(clock=clock, skew=skew)
