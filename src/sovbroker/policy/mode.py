"""Modes: what must be done to an object before it goes to a target. They form a lattice, in which more is stricter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["CLEAR", "Encrypt", "Mode", "Names", "minimal"]


class Encrypt(IntEnum):
    """Whether the content is encrypted before it leaves."""

    NONE = 0
    CLIENT = 1


class Names(IntEnum):
    """Whether the object's name is encrypted too."""

    CLEAR = 0
    ENCRYPT = 1


@dataclass(frozen=True, slots=True)
class Mode:
    """What is done to an object for one target. `keys` names the zones of which a key service must meet every one.

    `a <= b` iff b demands everything that a demands; the join `a | b` demands what either demands.
    """

    encrypt: Encrypt = Encrypt.NONE
    names: Names = Names.CLEAR
    keys: frozenset[str] = frozenset()

    @property
    def sealed(self) -> bool:
        """Whether the content is encrypted before it leaves."""
        return self.encrypt is Encrypt.CLIENT

    @property
    def names_encrypted(self) -> bool:
        """Whether the object's name is encrypted too."""
        return self.names is Names.ENCRYPT

    def __or__(self, other: Mode) -> Mode:
        """Return the mode that meets both."""
        return Mode(max(self.encrypt, other.encrypt), max(self.names, other.names), self.keys | other.keys)

    def __le__(self, other: Mode) -> bool:
        """Whether `other` demands at least as much."""
        return self.encrypt <= other.encrypt and self.names <= other.names and self.keys <= other.keys

    @property
    def rank(self) -> tuple[int, int, int, tuple[str, ...]]:
        """The fixed order in which one of several minimal modes is picked.

        Less encryption first, then names in the clear, then fewer key zones, then their names.
        """
        return (self.encrypt, self.names, len(self.keys), tuple(sorted(self.keys)))

    def __str__(self) -> str:
        """Spell the mode: `clear`, `sealed` or `sealed, names hidden, keys in french`."""
        if not self.sealed:
            return "clear"
        parts = ["sealed"]
        if self.names_encrypted:
            parts.append("names hidden")
        if self.keys:
            parts.append(f"keys in {' and '.join(sorted(self.keys))}")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, object]:
        """Return the mode as JSON types."""
        return {
            "encrypt": self.encrypt.name.lower(),
            "names": self.names.name.lower(),
            "keys": sorted(self.keys),
        }


CLEAR = Mode()
"""The least mode: nothing is asked."""


def minimal(modes: Iterable[Mode]) -> tuple[Mode, ...]:
    """Return the minimal elements, in the fixed order: those that no other one is below."""
    found = set(modes)
    least = [mode for mode in found if not any(other != mode and other <= mode for other in found)]
    return tuple(sorted(least, key=lambda mode: mode.rank))
