"""The drill: does the recovery code, with a copy of the keyring, open what is stored? Tried before it is needed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sovbroker.config import Config
from sovbroker.errors import SovbrokerError
from sovbroker.keyrings import Service
from sovbroker.keys import Keyring, RecoveryService
from sovbroker.opening import assemble
from sovbroker.placements import Placement, SqliteIndex
from sovbroker.recipients import KeyConfig, holders_of, recipients_at_hand

__all__ = ["Drill", "drill"]

PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Drill:
    """What a drill found: how many sealed objects there are, which of them were opened, and why others were not."""

    sealed: int
    opened: tuple[str, ...]
    failed: Mapping[str, str]

    @property
    def passed(self) -> bool:
        """Whether something was opened, and everything that was tried."""
        return bool(self.opened) and not self.failed

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {
            "passed": self.passed,
            "sealed": self.sealed,
            "opened": list(self.opened),
            "failed": dict(self.failed),
        }


def drill(config: Config, key: KeyConfig, code: str, *, sample: int, copy: Path | None = None) -> Drill:
    """Read `sample` sealed objects of a keyring, chosen by chance, whole, with its recovery code.

    `copy` is the file to open instead of the keyring's own: a backup. Where the keyring takes several recipients, those
    that are at hand join the code, one fewer than it takes. Nothing is written. Raises KeyUnavailable when the code
    does not open the keyring.
    """
    path = copy or key.path
    _with_code(key, code, path).close()
    service = Service(holders_of(key), lambda: _with_code(key, code, path))
    with assemble(config, services={key.name: service}) as broker:
        sealed, chosen = _sample(config, key, most=sample)
        opened: list[str] = []
        failed: dict[str, str] = {}
        for row in chosen:
            try:
                with broker.get(row.key, version=row.version) as file:
                    while file.read(PIECE):
                        pass
            except SovbrokerError as error:
                failed[row.key] = str(error)
            else:
                opened.append(row.key)
    return Drill(sealed, tuple(opened), failed)


def _with_code(key: KeyConfig, code: str, path: Path) -> Keyring:
    others = recipients_at_hand(key) if key.quorum > 1 else []
    services = [RecoveryService(code), *others[: key.quorum - 1]]
    return Keyring.open(path, services, closing=[one.close for one in others])


def _sample(config: Config, key: KeyConfig, *, most: int) -> tuple[int, list[Placement]]:
    """Return how many objects are sealed under a keyring, and `most` of them, each with the same chance."""
    chosen: list[Placement] = []
    sealed = 0
    with closing(SqliteIndex(config.state)) as index:
        for row in index.scan():
            if row.domain != key.name or not any(copy.sealed for copy in row.copies):
                continue
            sealed += 1
            place = len(chosen) if len(chosen) < most else random.randrange(sealed)  # noqa: S311 - a sample, not a secret
            chosen[place : place + 1] = [row] if place < most else chosen[place : place + 1]
    return sealed, chosen
