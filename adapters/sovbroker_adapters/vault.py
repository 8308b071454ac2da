"""A key of OpenBao's or Vault's transit engine, by hvac. The key never leaves the server.

`KeyBinding.key` is the key's name; make it with type `aes256-gcm96` and without `exportable`. `endpoint` is the
server's address. Credentials are `token`, or `username` and `password` for the `userpass` method, or `role_id` and
`secret_id` for `approle`. Settings:

================== ============================ ==================================================================
`mount`            text (default `transit`)     where the engine is mounted
`namespace`        text                         the namespace of Vault Enterprise or OpenBao
`timeout`          int (default 10), seconds    how long an answer may take
`ca-bundle`        path                         certificates to trust instead of the system's
`cleartext`        bool                         allow http:// to another machine
================== ============================ ==================================================================

The environment is not looked at: no VAULT_ADDR, no proxy. A token that has run out is fetched anew once, where it came
from a log-in.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, NoReturn, cast

from sovbroker.errors import ConfigError, KeyUnavailable, Tampered
from sovbroker.ports import Binding, KeyBinding
from sovbroker_adapters.contexts import bound, digest, unbound
from sovbroker_adapters.settings import Reading
from sovbroker_adapters.vaults import SETTINGS, Vault, connected

__all__ = ["VaultService", "build"]

NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
WRAPPED_MAX: Final = 4096


def build(binding: KeyBinding, /) -> VaultService:
    """Open the key `binding.key`. Raises ConfigError when the binding cannot work; makes no request."""
    reading = Reading(
        Binding(
            binding.name,
            binding.key,
            endpoint=binding.endpoint,
            hosts=binding.hosts,
            credentials=binding.credentials,
            settings=binding.settings,
        )
    )
    reading.check_names(("mount", *SETTINGS))
    if NAME.fullmatch(binding.key) is None:
        raise ConfigError(f"{binding.name}: `{binding.key}` is no name of a transit key")
    vault = connected(reading, where=f"the key `{binding.key}` of {binding.name}")
    return VaultService(binding, vault, mount=reading.text("mount") or "transit")


class VaultService:
    """A `KeyService` over one transit key. Safe for threads and after a fork; holds secrets, so it is not picklable."""

    def __init__(self, binding: KeyBinding, vault: Vault, *, mount: str) -> None:
        self.name = binding.name
        self._key = binding.key
        self._vault = vault
        self._mount = mount

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """See `KeyService.wrap`."""
        plain = base64.b64encode(bound(secret, context)).decode("ascii")
        answer = self._vault.ask(
            lambda client: client.secrets.transit.encrypt_data(
                self._key, plaintext=plain, associated_data=digest(context), mount_point=self._mount
            )
        )
        wrapped = _field(answer, "ciphertext")
        if not wrapped.isascii() or not 0 < len(wrapped) <= WRAPPED_MAX:
            raise KeyUnavailable(f"{self._where} answered with something that is no ciphertext")
        return wrapped.encode("ascii")

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See `KeyService.unwrap`."""
        if not wrapped.isascii() or len(wrapped) > WRAPPED_MAX:
            raise Tampered
        answer = self._vault.ask(
            lambda client: client.secrets.transit.decrypt_data(
                self._key,
                ciphertext=wrapped.decode("ascii"),
                associated_data=digest(context),
                mount_point=self._mount,
            ),
            opening=True,
        )
        try:
            plain = base64.b64decode(_field(answer, "plaintext"), validate=True)
        except (binascii.Error, ValueError):
            raise KeyUnavailable(f"{self._where} answered with something that is no plaintext") from None
        return unbound(plain, context)

    def close(self) -> None:
        """See `KeyService.close`."""
        self._vault.close()

    def __repr__(self) -> str:
        """Print which key it is, and no secret."""
        return f"VaultService(name={self.name!r}, key={self._key!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a key service cannot be pickled: it holds secrets")

    @property
    def _where(self) -> str:
        return f"the key `{self._key}` of {self.name}"


def _field(answer: object, name: str) -> str:
    """Return a text of an answer's data; "" where it is not what it should be."""
    value: object = answer
    for step in ("data", name):
        value = cast("dict[str, object]", value).get(step) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
