"""The memory of the broker: which version of which key lies where, and what was begun but not finished."""

from sovbroker.placements.index import (
    CopyRow,
    Durability,
    Intent,
    Leftover,
    Placement,
    PlacementIndex,
    Precondition,
    State,
    new_version,
)
from sovbroker.placements.sqlite import SqliteIndex

__all__ = [
    "CopyRow",
    "Durability",
    "Intent",
    "Leftover",
    "Placement",
    "PlacementIndex",
    "Precondition",
    "SqliteIndex",
    "State",
    "new_version",
]
