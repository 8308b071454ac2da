"""Where a configured secret comes from. It is read when it is needed, never kept, and never printed."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Credentials

__all__ = ["CREDENTIAL_NAMES", "CredentialSource", "SecretSource"]

CREDENTIAL_NAMES: Final = ("access_key", "secret_key", "session_token")
NEEDED: Final = frozenset({"access_key", "secret_key"})
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class SecretSource:
    """One secret: an environment variable's value, the first line of a private file, or (emulators only) itself."""

    env: str | None = None
    file: Path | None = None
    literal: str | None = field(default=None, repr=False)

    def resolve(self) -> str:
        """Return the secret. Raises ConfigError that says what to set, or which mode a file needs."""
        if self.literal is not None:
            return self.literal
        if self.env is not None:
            value = os.environ.get(self.env)
            if not value:
                raise ConfigError(f"the environment variable `{self.env}` is not set; set it to the secret")
            return value
        if self.file is None:
            raise ConfigError("a secret needs `env` or `file`")
        return _first_line(self.file)


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """The credentials of one target: a prefix of environment variables, a profile of the SDK, or single secrets.

    With the prefix `OUTSCALE`, the variables are OUTSCALE_ACCESS_KEY, OUTSCALE_SECRET_KEY and, where there is one,
    OUTSCALE_SESSION_TOKEN.
    """

    env: str | None = None
    profile: str | None = None
    single: Mapping[str, SecretSource] = field(default_factory=dict[str, SecretSource])

    def resolve(self) -> Credentials:
        """Return the credentials. Raises ConfigError that says what is missing."""
        values: dict[str, str] = {}
        if self.profile is not None:
            values["profile"] = self.profile
        if self.env is not None:
            for name in CREDENTIAL_NAMES:
                variable = f"{self.env}_{name.upper()}"
                if name in NEEDED or os.environ.get(variable):
                    values[name] = SecretSource(env=variable).resolve()
        for name, source in self.single.items():
            values[name] = source.resolve()
        return Credentials(values)


def _first_line(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if mode & OTHERS:
            raise ConfigError(f"the secret file `{path}` can be read by others; run `chmod 600 {path}`")
        line = path.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the secret file `{path}`: {error}") from error
    if not line:
        raise ConfigError(f"the secret file `{path}` is empty; its first line is the secret")
    return line
