"""Keys of Google's service accounts: from a text, or from a file that nobody else can read. No message repeats them."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from sovbroker.errors import ConfigError

__all__ = ["chosen", "file_text", "given_key", "parsed"]

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def given_key(given: str, *, target: str) -> Mapping[str, Any]:
    """Return what a key says that is given as its JSON, or as the path of its file. Raises ConfigError."""
    return parsed(given if given.lstrip().startswith("{") else _private(Path(given), target), target=target)


def parsed(text: str, *, target: str) -> Mapping[str, Any]:
    """Return the object that a text holds. Raises ConfigError."""
    try:
        found = json.loads(text)
    except ValueError:
        # The parser's exception carries the whole text.
        raise ConfigError(f"{target}: the credentials are not JSON; use the file as it was downloaded") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{target}: the credentials are not a JSON object; use the file as it was downloaded")
    return cast("Mapping[str, Any]", found)


def chosen(info: Mapping[str, Any], names: tuple[str, ...], *, target: str) -> dict[str, str]:
    """Return the texts of these names. Raises ConfigError for one that is not there."""
    for name in names:
        if not isinstance(info.get(name), str) or not info[name]:
            raise ConfigError(f"{target}: the credentials have no `{name}`; use the file as it was downloaded")
    return {name: info[name] for name in names}


def file_text(path: Path, *, target: str) -> str:
    """Return the text of a file. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{target}: cannot read the credentials `{path}`: {error}") from error


def _private(path: Path, target: str) -> str:
    """Return the text of a file that nobody else can read."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise ConfigError(f"{target}: cannot read the service account's key `{path}`: {error}") from error
    if mode & OTHERS:
        raise ConfigError(f"{target}: the key file `{path}` can be read by others; run `chmod 600 {path}`")
    return file_text(path, target=target)
