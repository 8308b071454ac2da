"""How a person gives a new passphrase: through the environment, or twice on the terminal. Never as an argument."""

from __future__ import annotations

import sys
from getpass import getpass
from typing import TYPE_CHECKING

from sovbroker.errors import ConfigError, InvalidArgument

if TYPE_CHECKING:
    from sovbroker.secrets import SecretSource

__all__ = ["new_passphrase"]


def new_passphrase(source: SecretSource, *, name: str) -> str:
    """Return the passphrase that `source` gives, else the one that is typed twice for the keyring `name`.

    Raises ConfigError when there is none and nobody can be asked, InvalidArgument when the two differ.
    """
    try:
        return source.resolve()
    except ConfigError:
        # A secret file that is there and cannot be used must be mended; only a missing one may be asked for.
        if source.env is None or not sys.stdin.isatty():
            raise
    first = getpass(f"new passphrase for {name}: ")
    if not first:
        raise InvalidArgument("the passphrase is empty; nothing was created")
    if getpass("again: ") != first:
        raise InvalidArgument("the two passphrases differ; nothing was created")
    sys.stderr.write(f"set `{source.env}` to this passphrase before the next command\n")
    return first
