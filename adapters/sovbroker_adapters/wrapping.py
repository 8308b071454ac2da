"""Secrets for a machine, behind a token of OpenBao or Vault that is good once and soon good for nothing.

Nothing is kept in the server's store: response wrapping holds the secrets until the token is used or its time is over.
Whoever uses it first has them, so a token that somebody else has used is found out: the machine gets none. Credentials
and settings are those of `vaults`; besides:

================== ================================== ========================================================
`minutes`          int (default 10)                   how long the token is good
`address`          URL (default: the endpoint)        where machines reach the server
================== ================================== ========================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn, cast

from sovbroker.errors import ConfigError, KeyUnavailable
from sovbroker.machines import SecretTicket
from sovbroker.ports import Binding
from sovbroker_adapters.settings import Reading
from sovbroker_adapters.vaults import SETTINGS, Vault, connected

__all__ = ["Boxes", "build"]

MINUTES: Final = 10


def build(binding: Binding, /) -> Boxes:
    """Open the server of `binding`. Raises ConfigError when the binding cannot work; makes no request."""
    reading = Reading(binding)
    reading.check_names(("minutes", "address", *SETTINGS))
    vault = connected(reading, where=f"the secrets of {binding.target}")
    address = reading.url("address") or binding.endpoint
    if address is None:
        raise ConfigError(f"{binding.target}: it has no endpoint")
    return Boxes(vault, address.rstrip("/"), reading.number("minutes", MINUTES))


class Boxes:
    """A `SecretBox` over response wrapping. Safe for threads and after a fork."""

    def __init__(self, vault: Vault, address: str, minutes: int) -> None:
        self._vault = vault
        self._address = address
        self._minutes = minutes

    def deposit(self, machine: str, secrets: Mapping[str, str]) -> SecretTicket:
        """See `SecretBox.deposit`."""
        held = {"machine": machine, "secrets": dict(secrets)}
        answer = self._vault.ask(
            lambda client: client.adapter.post("/v1/sys/wrapping/wrap", json=held, wrap_ttl=f"{self._minutes}m")
        )
        token = _token(answer)
        if not token:
            raise KeyUnavailable("the server wrapped nothing: it answered without a token")
        return SecretTicket(token, f"{self._address}/v1/sys/wrapping/unwrap")

    def close(self) -> None:
        """See `SecretBox.close`."""
        self._vault.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a secret box cannot be pickled: it holds credentials")


def _token(answer: Any) -> str:  # noqa: ANN401 - what a server said
    value: object = answer
    for step in ("wrap_info", "token"):
        value = cast("dict[str, object]", value).get(step) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
