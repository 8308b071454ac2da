"""The key services of a configuration, each opened when a key of its domain is first needed.

Opening costs a tenth of a second on purpose (Argon2id), and a passphrase; reading objects in the clear needs neither.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from sovbroker.catalogue.facts import KeyHolder
from sovbroker.errors import KeyUnavailable
from sovbroker.forks import ForkLock
from sovbroker.keys import DomainKey, Keyring, KeyringStatus

__all__ = ["Keyrings", "Service"]


@dataclass(frozen=True, slots=True)
class Service:
    """A configured keyring: what the policy knows of it, a holder for each way to judge it, and how to open it."""

    holders: tuple[KeyHolder, ...]
    open: Callable[[], Keyring]


class Keyrings:
    """The open keyrings, by the name of their service. That name is the domain of the keys in it."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self.services = services
        self._lock = ForkLock()
        self._open: dict[str, Keyring] = {}
        self._pid = os.getpid()

    def domain(self, name: str, *, within: timedelta | None = None) -> DomainKey:
        """Return the current key of a domain. Raises KeyUnavailable, which says what is missing.

        `within`: a key service has to have opened it in that time, or has to do so now.
        """
        return self.keyring(name).domain(name, within=within)

    def by_kid(self, name: str, kid: str) -> DomainKey:
        """Return the key of a domain that has the opaque id `kid`. Raises KeyUnavailable."""
        return self.keyring(name).by_kid(kid)

    def epochs(self, name: str) -> tuple[DomainKey, ...]:
        """Return every key of a domain, the current one first. Raises KeyUnavailable."""
        return self.keyring(name).epochs(name)

    def owner(self, kid: str) -> DomainKey:
        """Return the key with the opaque id `kid` from whichever keyring has it. Raises KeyUnavailable."""
        reasons: list[str] = []
        for name in self.services:
            try:
                return self.by_kid(name, kid)
            except KeyUnavailable as error:
                reasons.append(f"{name}: {error}")
        raise KeyUnavailable("; ".join(reasons) or "no key service is configured; add one under `keys`")

    def keyring(self, name: str) -> Keyring:
        """Return the keyring of a service, opened on first use."""
        with self._lock:
            if name not in self._open:
                service = self.services.get(name)
                if service is None:
                    known = ", ".join(f"`{known}`" for known in self.services) or "none"
                    raise KeyUnavailable(
                        f"no key service `{name}` is configured (there is {known}); add it under `keys`"
                    )
                self._open[name] = service.open()
            return self._open[name]

    def status(self) -> Mapping[str, KeyringStatus]:
        """Return what is in each keyring, by the name of its service: domains, epochs and recipients, and no key.

        Opens the keyrings. Raises KeyUnavailable, and ConfigError where a passphrase is missing.
        """
        return {name: self.keyring(name).status() for name in self.services}

    def close(self) -> None:
        """Forget the keys."""
        with self._lock:
            keyrings = list(self._open.values())
            self._open = {}
        for keyring in keyrings:
            keyring.close()
