"""Public keys that were imported for machines: each for one launch, and removed with its machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sovbroker.compute.launching import TAG
from sovbroker.compute.planning import Surroundings
from sovbroker.errors import InvalidArgument, NotFound
from sovbroker.machines import ComputeFeature, PublicKey

__all__ = ["ImportedKey", "SshKeys"]

OURS: Final = re.compile(rf"{TAG}-([0-9a-f]{{24}})")


@dataclass(frozen=True, slots=True)
class ImportedKey:
    """A public key at a place. `machine` is the name of the one that it was imported for, "" where none is known."""

    target: str
    key: PublicKey
    machine: str


class SshKeys:
    """The public keys that were imported for machines. `Compute.launch` imports them, and `destroy` removes them."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def list(self) -> Sequence[ImportedKey]:
        """Return every key at every place that a launch of some installation has imported, and of which machine.

        One without a machine is left over, or is another installation's: a key says no more than its launch. Raises
        StoreError where a place cannot be asked.
        """
        return self._of(self._around.providers.places)

    def _of(self, targets: Iterable[str]) -> Sequence[ImportedKey]:
        # Listed before the launches are read: a key that is being imported has an entry by then.
        listed = [
            (target, key, match[1])
            for target in targets
            for key in self._keys(target)
            if (match := OURS.fullmatch(key.name)) is not None
        ]
        machines = {entry.launch: entry.name for entry in self._around.journal.entries()}
        return [ImportedKey(target, key, machines.get(launch, "")) for target, key, launch in listed]

    def remove(self, key: str, *, at: str) -> None:
        """Remove a key that is left over, by its id. Raises NotFound, and InvalidArgument for one of a machine."""
        target = self._around.providers.place(at).target.id
        found = next((one for one in self._of([target]) if one.key.id == key), None)
        if found is None:
            raise NotFound(f"there is no key `{key}` of ours at {target}")
        if found.machine:
            raise InvalidArgument(f"the key `{key}` is that of the machine `{found.machine}`; destroy that")
        self._around.providers.provider(target).delete_key(key)

    def _keys(self, target: str) -> Sequence[PublicKey]:
        provider = self._around.providers.provider(target)
        return provider.public_keys() if provider.capabilities[ComputeFeature.KEYS].usable else ()
