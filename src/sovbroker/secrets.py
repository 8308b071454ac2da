"""Where a configured secret comes from. It is read when it is needed, never kept, and never printed."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Credentials

__all__ = ["CREDENTIAL_NAMES", "CredentialSource", "SecretSource"]

CREDENTIAL_NAMES: Final = (
    "access_key",
    "secret_key",
    "session_token",
    "account",
    "sas",
    "service_account",
    "username",
    "password",
    "token",
    "project_id",
    "project_name",
    "project_domain_name",
    "user_domain_name",
    "application_credential_id",
    "application_credential_secret",
    "temp_url_key",
)
"""Every name that a credential can have: keys of S3 and Azure, tokens of either, Google's key files, WebDAV's users.

From `project_id` on they are Swift's; with the prefix `OS`, they and the user are OpenStack's own variables.
"""

COMPLETE: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = MappingProxyType(
    {
        "s3": (("access_key", "secret_key"),),
        "azure": (("access_key",), ("sas",)),
        "gcs": (("service_account",),),
        "swift": (("username", "password"), ("application_credential_id", "application_credential_secret")),
        "webdav": (("username", "password"), ("token",)),
    }
)
"""For each adapter, the sets of names of which one has to be there; the first is what an error asks for."""

DOCUMENTS: Final = frozenset({"service_account"})
"""Credentials that are a file's whole content."""

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class SecretSource:
    """One secret: an environment variable's value, the first line of a private file, or (emulators only) itself."""

    env: str | None = None
    file: Path | None = None
    literal: str | None = field(default=None, repr=False)

    def resolve(self, *, whole: bool = False) -> str:
        """Return the secret; `whole` takes all of a file. Raises ConfigError that says what to set or which mode."""
        if self.literal is not None:
            return self.literal
        if self.env is not None:
            value = os.environ.get(self.env)
            if not value:
                raise ConfigError(f"the environment variable `{self.env}` is not set; set it to the secret")
            return value
        if self.file is None:
            raise ConfigError("a secret needs `env` or `file`")
        return _content(self.file, whole=whole)


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """The credentials of one target: a prefix of environment variables, a profile of the SDK, or single secrets.

    With the prefix `OUTSCALE`, the variables are OUTSCALE_ACCESS_KEY, OUTSCALE_SECRET_KEY and, where there is one,
    OUTSCALE_SESSION_TOKEN; an adapter that has other credentials has other variables, such as AZURE_SAS.
    """

    env: str | None = None
    profile: str | None = None
    single: Mapping[str, SecretSource] = field(default_factory=dict[str, SecretSource])

    def resolve(self, adapter: str = "s3") -> Credentials:
        """Return the credentials for an adapter. Raises ConfigError that says what is missing."""
        values: dict[str, str] = {}
        if self.profile is not None:
            values["profile"] = self.profile
        if self.env is not None:
            known = {name: os.environ.get(f"{self.env}_{name.upper()}") for name in CREDENTIAL_NAMES}
            found = {name: value for name, value in known.items() if value}
            ways = COMPLETE.get(adapter, ())
            if ways and not any(set(way) <= set(found) for way in ways):
                missing = next(name for name in ways[0] if name not in found)
                SecretSource(env=f"{self.env}_{missing.upper()}").resolve()
            values.update(found)
        for name, source in self.single.items():
            values[name] = source.resolve(whole=name in DOCUMENTS)
        return Credentials(values)


def _content(path: Path, *, whole: bool) -> str:
    """Return a private file's first line, or all of it."""
    try:
        mode = path.stat().st_mode
        if mode & OTHERS:
            raise ConfigError(f"the secret file `{path}` can be read by others; run `chmod 600 {path}`")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the secret file `{path}`: {error}") from error
    line = text if whole else text.partition("\n")[0].rstrip("\r")
    if not line:
        raise ConfigError(f"the secret file `{path}` is empty; its first line is the secret")
    return line
