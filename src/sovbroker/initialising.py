"""The first files of a new broker: a configuration, a policy, a keyring and a folder for objects."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sovbroker.config import PASSPHRASE
from sovbroker.errors import ConfigError
from sovbroker.keys import Keyring, PassphraseService
from sovbroker.policy import DEFAULT

__all__ = ["Initialised", "init"]

CONFIG: Final = """\
# One folder on this machine holds everything, sealed. Add targets, and say in policy.yaml which label may live where.
sovbroker: 1
policy: policy.yaml
state: state.db
keys:
  main: {{service: file, path: keyring.json, passphrase: {{env: {variable}}}}}
targets:
  - {{at: local, path: objects}}
"""


@dataclass(frozen=True, slots=True)
class Initialised:
    """What `init` wrote. `recovery_code` opens the keyring without the passphrase: it is told this once; keep it."""

    folder: Path
    files: tuple[Path, ...]
    recovery_code: str = field(repr=False)


def init(folder: str | os.PathLike[str], *, passphrase: str | None = None) -> Initialised:
    """Write a configuration, a policy, a keyring and a folder for objects into `folder`, which is created.

    `passphrase` protects the keyring; None: the value of SOVBROKER_PASSPHRASE, from which the broker will read it too.
    Raises ConfigError, and writes nothing, where a file exists already or there is no passphrase.
    """
    home = Path(folder)
    secret = passphrase if passphrase is not None else os.environ.get(PASSPHRASE)
    if not secret:
        raise ConfigError(f"there is no passphrase; set the environment variable `{PASSPHRASE}`, or give passphrase=")
    files = {
        home / "sovbroker.yaml": CONFIG.format(variable=PASSPHRASE),
        home / "policy.yaml": DEFAULT,
    }
    keyring = home / "keyring.json"
    for path in (*files, keyring):
        if path.exists():
            raise ConfigError(f"`{path}` exists already; nothing was written")
    try:
        (home / "objects").mkdir(mode=0o700, parents=True, exist_ok=True)
        opened, code = Keyring.create(keyring, PassphraseService(secret), recovery=True)
        opened.close()
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write into `{home}`: {error}") from error
    return Initialised(home, (*files, keyring), code or "")
