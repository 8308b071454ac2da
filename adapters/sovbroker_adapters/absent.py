"""What a provider of machines does not offer: the calls of it, each of which says so."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NoReturn

from sovbroker.machines import NO_TAGS, ComputeFeature, PublicKey, Volume
from sovbroker.ports import Support
from sovbroker_adapters.launches import lacking

__all__ = ["Lacking", "WithoutKeys", "WithoutVolumes"]


class Lacking(ABC):
    """A provider that can say what it lacks."""

    __slots__ = ()

    @property
    @abstractmethod
    def target(self) -> str:
        """See `ComputeProvider.target`."""

    @property
    @abstractmethod
    def capabilities(self) -> Mapping[ComputeFeature, Support]:
        """See `ComputeProvider.capabilities`."""

    def lacks(self, feature: ComputeFeature) -> NoReturn:
        """Raise NotSupported: the provider does not offer a feature."""
        raise lacking(feature, self.capabilities, target=self.target)


class WithoutKeys(Lacking):
    """A provider that imports no public keys."""

    __slots__ = ()

    def import_key(self, name: str, public: str) -> PublicKey:
        """See `ComputeProvider.import_key`: not here."""
        del name, public
        self.lacks(ComputeFeature.KEYS)

    def public_keys(self) -> Sequence[PublicKey]:
        """See `ComputeProvider.public_keys`: not here."""
        self.lacks(ComputeFeature.KEYS)

    def delete_key(self, key: str) -> None:
        """See `ComputeProvider.delete_key`: not here."""
        del key
        self.lacks(ComputeFeature.KEYS)


class WithoutVolumes(Lacking):
    """A provider whose disks are all of machines."""

    __slots__ = ()

    def volumes(self) -> Sequence[Volume]:
        """See `ComputeProvider.volumes`: not here."""
        self.lacks(ComputeFeature.VOLUMES)

    def create_volume(self, name: str, *, size: int, tags: Mapping[str, str] = NO_TAGS) -> Volume:
        """See `ComputeProvider.create_volume`: not here."""
        del name, size, tags
        self.lacks(ComputeFeature.VOLUMES)

    def attach(self, volume: str, machine: str) -> None:
        """See `ComputeProvider.attach`: not here."""
        del volume, machine
        self.lacks(ComputeFeature.VOLUMES)

    def detach(self, volume: str) -> None:
        """See `ComputeProvider.detach`: not here."""
        del volume
        self.lacks(ComputeFeature.VOLUMES)

    def destroy_volume(self, volume: str) -> None:
        """See `ComputeProvider.destroy_volume`: not here."""
        del volume
        self.lacks(ComputeFeature.VOLUMES)
