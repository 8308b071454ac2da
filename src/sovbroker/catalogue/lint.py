"""The check of provider files, for those who write them: every finding, with its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from sovbroker.catalogue.loader import SUFFIX, shipped
from sovbroker.catalogue.rules import MISNAMED, check, check_dates, check_sites
from sovbroker.catalogue.schema import CODES, provider_of
from sovbroker.document import Findings, MapNode, Place, Source, read
from sovbroker.errors import ConfigError, Diagnostic

__all__ = ["lint"]

ID: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def lint(path: Path | None = None, *, today: date | None = None) -> tuple[Diagnostic, ...]:
    """Return every finding about a provider's file or a folder of them; None: the shipped ones.

    `today` is the day after which nothing can have been seen (UTC; default: the clock's). Raises ConfigError when
    there is nothing at `path`.
    """
    if path is not None and not path.exists():
        raise ConfigError(f"there is no file or folder `{path}` to check")
    day = today or datetime.now(UTC).date()
    findings = Findings(CODES)
    files = _files(path) if path is not None else shipped_files()
    nodes = {file.name.removesuffix(SUFFIX): node for file in files if (node := _check(file, day, findings))}
    known = _regions(nodes)
    if path is not None:
        # An operator's own provider may stand in a shipped one's building.
        ours = Findings(CODES)
        known |= _regions({f.name.removesuffix(SUFFIX): _read(f, ours) for f in shipped_files()})
    for node in nodes.values():
        check_sites(node, known, findings)
    return findings.diagnostics


def shipped_files() -> list[Traversable]:
    """Return the shipped provider files, by name."""
    return _files(shipped())


def _files(path: Traversable) -> list[Traversable]:
    found = path.iterdir() if path.is_dir() else [path]
    return sorted((file for file in found if file.name.endswith((SUFFIX, ".yml"))), key=lambda file: file.name)


def _check(file: Traversable, today: date, findings: Findings) -> MapNode | None:
    """Check one file alone; return its node, or None when there is nothing more to check in it."""
    if not file.name.endswith(SUFFIX) or ID.fullmatch(file.name.removesuffix(SUFFIX)) is None:
        place = Place(Source(file.name, ()), 1, 1)
        mend = f"name it after the provider: a-z, 0-9, hyphens, and `{SUFFIX}`"
        findings.error(MISNAMED, place, f"`{file.name}` is not the name of a provider's file", mend)
    node = read(file.read_bytes(), file.name, findings)
    provider_of(node, file.name.removesuffix(SUFFIX), findings)
    if not isinstance(node, MapNode):
        return None
    check(node, findings)
    check_dates(node, today, findings)
    return node


def _read(file: Traversable, findings: Findings) -> MapNode | None:
    node = read(file.read_bytes(), file.name, findings)
    return node if isinstance(node, MapNode) else None


def _regions(nodes: Mapping[str, MapNode | None]) -> set[str]:
    """Return every region of these files, as `provider/region`."""
    tables = [(name, node.get("regions")) for name, node in nodes.items() if node is not None]
    return {f"{name}/{code}" for name, table in tables if isinstance(table, MapNode) for code, _ in table.entries}
