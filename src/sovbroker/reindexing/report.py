"""What came of making the placements again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Odd", "Oddity", "Reindexed"]


class Oddity(StrEnum):
    """What may be odd about something that a provider holds, or does not hold."""

    MISSING = "missing"
    """A copy that was written, and is not at its target any more."""
    DOUBLED = "doubled"
    """A version that a newer one of its object replaced, and that was not removed."""
    UNFINISHED = "unfinished"
    """A part of a write that never ended: a sidecar without its body, or the other way round."""
    FOREIGN = "foreign"
    """Something that sovbroker did not write."""
    LOCKED = "locked"
    """An envelope whose key is in none of the configured keyrings, or does not open now."""
    DAMAGED = "damaged"
    """Something whose record, size or body contradicts itself or its other copies."""


@dataclass(frozen=True, slots=True)
class Odd:
    """One thing that is not as it should be: `name` is its name at the target, `key` that of the object, if known."""

    oddity: Oddity
    target: str
    name: str
    why: str
    key: str = ""

    def __str__(self) -> str:
        """Tell it in a line."""
        known = f" of `{self.key}`" if self.key else ""
        return f"{self.oddity}  {self.target}  `{self.name}`{known}: {self.why}"


@dataclass(frozen=True, slots=True)
class Reindexed:
    """The outcome: how many objects got their row again, how many had one, and everything that is odd."""

    rebuilt: int
    known: int
    odd: tuple[Odd, ...]

    @property
    def whole(self) -> bool:
        """Whether every copy of every object is where it was written, and there is nothing else."""
        return not self.odd

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {
            "rebuilt": self.rebuilt,
            "known": self.known,
            "odd": [
                {"oddity": odd.oddity.value, "target": odd.target, "name": odd.name, "key": odd.key, "why": odd.why}
                for odd in self.odd
            ],
        }

    def __str__(self) -> str:
        """Tell it in lines."""
        told = f"{self.rebuilt} objects have their row again, {self.known} had one"
        return "\n".join((told, *map(str, self.odd)))
