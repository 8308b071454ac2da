"""From what is known of a provider's storage to the connection of one target."""

from __future__ import annotations

from collections.abc import Mapping

from sovbroker.catalogue.connection import Connection
from sovbroker.catalogue.overlay import Bound
from sovbroker.catalogue.storage import Face, Storage

__all__ = ["bound_connection", "face_connection"]


def face_connection(face: Face, target: str, storage: Storage, *, region: str, own: bool = False) -> Connection:
    """Return the connection by one face of a storage. `own`: the provider is the operator's."""
    endpoint = face.endpoint(region)
    template = None if endpoint is None else endpoint.url.value
    lacks = face.adapter is None or template is None
    return Connection(
        target=target,
        adapter=face.adapter,
        template=None if template is None else template.replace("{region}", region),
        region=face.signed_as(region),
        supply=storage.supply if lacks else "",
        supply_with=face.adapter or next(iter(storage.supply_with), "s3"),
        settings=face.settings,
        own=own,
    )


def bound_connection(bound: Bound, target: str, storage: Storage, *, region: str) -> Connection:
    """Return the connection that the operator's contract names.

    What the catalogue knows of the same protocol (a signature, a limit) still holds where the contract says nothing.
    """
    known: Mapping[str, str | int | bool] = storage.settings if bound.adapter == storage.adapter else {}
    return Connection(
        target=target,
        adapter=bound.adapter,
        template=bound.endpoint,
        region=bound.region or storage.signed_as(region),
        settings={**known, **bound.settings},
        vouched=(("binding", bound.evidence),),
    )
