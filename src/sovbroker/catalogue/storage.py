"""How a provider's storage is reached: by one face, or by several onto the same place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sovbroker.catalogue.facts import Fact

__all__ = ["Endpoint", "Face", "Storage", "Values"]

Values = str | tuple[str, ...]
"""What a further fact says."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL with placeholders, for `regions`, or for all that no other endpoint names when empty."""

    url: Fact[str]
    regions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Face:
    """One protocol onto the storage.

    `adapter` None: nothing here speaks it. `signing_region` is the region's name in signatures, for all regions or by
    region; by default the region's own code. `settings` are in the adapter's words. `client` names libraries that speak
    the API, for people.
    """

    api: str
    adapter: str | None = None
    client: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    signing_region: str | Mapping[str, str] = ""
    settings: Mapping[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])
    note: str = ""

    def endpoint(self, region: str) -> Endpoint | None:
        """Return the endpoint of a region, or None where none is known."""
        own = (found for found in self.endpoints if region in found.regions)
        common = (found for found in self.endpoints if not found.regions)
        return next(own, next(common, None))

    def signed_as(self, region: str) -> str:
        """Return the region's name in signatures."""
        if isinstance(self.signing_region, str):
            return self.signing_region or region
        return self.signing_region.get(region, region)


@dataclass(frozen=True, slots=True)
class Storage(Face):
    """How to reach the storage: the face that is used where nobody asks for another, and those in `also`.

    Where `adapter` is None or a region has no endpoint, `supply` says what the operator must bring, and `supply_with`
    which adapters can make use of it, the likeliest first.
    """

    supply: str = ""
    supply_with: tuple[str, ...] = ()
    also: tuple[Face, ...] = ()
    facts: Mapping[str, Fact[Values]] = field(default_factory=dict[str, Fact[Values]])

    def faces(self, region: str) -> Iterator[Face]:
        """Yield the faces that can be reached in a region, the usual one first."""
        for face in (self, *self.also):
            if face.adapter is not None and face.endpoint(region) is not None:
                yield face
