"""The inventory that a broker keeps itself: what its state database says lies where."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, cast

from sovbroker.errors import StateError
from sovbroker.placements.rows import SCHEMA_VERSION
from sovbroker.policy.compare import Item

__all__ = ["placed_items"]

NOTHING: Final[Mapping[str, str]] = {}
READABLE: Final = """
SELECT v.key, v.size, v.label, v.metadata, (SELECT json_group_array(c.target) FROM copy c WHERE c.version = v.version)
FROM version v WHERE v.state IN ('current', 'retained')
"""


def placed_items(path: Path) -> Iterator[Item]:
    """Yield what a broker's state database holds: every version that can be read, retained ones too.

    The database is opened for reading alone. Raises StateError when it is not there or cannot be read.
    """
    if not path.is_file():
        raise StateError(f"there is no state database `{path}`; a broker makes it when it first stores something")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as database:
            found = int(database.execute("PRAGMA user_version").fetchone()[0])
            if found != SCHEMA_VERSION:
                raise StateError(
                    f"`{path}` was written by another version of sovbroker (schema {found}, this one reads "
                    f"{SCHEMA_VERSION}); upgrade sovbroker"
                )
            for key, size, label, metadata, targets in database.execute(READABLE):
                own = NOTHING if metadata == "{}" else cast("Mapping[str, str]", json.loads(metadata))
                yield Item(str(key), int(size), str(label), tuple(json.loads(targets)), own)
    except (sqlite3.Error, ValueError) as error:
        raise StateError(f"cannot read the state database `{path}`: {error}") from error
