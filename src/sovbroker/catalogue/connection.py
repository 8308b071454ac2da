"""How to reach the storage of one target: adapter, endpoint, hosts, and the settings of the adapter."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from sovbroker.catalogue.attestation import Vouched
from sovbroker.errors import ConfigError

__all__ = ["PLACEHOLDER", "Connection", "address_problem", "on_this_machine"]

PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z_]*)\}")
"""A placeholder of an endpoint."""

VALUE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")


def on_this_machine(url: str) -> bool:
    """Whether a URL leads to this machine: bytes for an emulator must not leave it, whatever it emulates."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_problem(url: str) -> str:
    """Say what keeps a URL of the operator's own from being an endpoint; "" when nothing does."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "it is not a URL"
    named = _is_address(host) or all(LABEL.fullmatch(label) for label in host.split("."))
    more = parts.username is not None or parts.password is not None or parts.query or parts.fragment
    problems = {
        "it is not a URL": not url.isascii() or not url.isprintable() or any(c in url for c in " {}"),
        "it is not an https address": parts.scheme not in {"https", "http"},
        "a user, a query or a fragment has no place in it": more,
        f"`{host}` is not the name of a host": port == 0 or not host or not named,
        "http is for this machine alone (127.0.0.1, ::1 or localhost)": parts.scheme == "http"
        and not on_this_machine(url),
    }
    return next((why for why, wrong in problems.items() if wrong), "")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the storage of a target. Hosts come from here, never from an SDK's own table.

    `adapter` None: no API is known. `template` None: no endpoint is known. In both cases `supply` says what the
    operator must bring, and `supply_with` by which adapter. `region` is the region's name in signatures. `settings` are
    in the adapter's words. `own`: the place is the operator's, who may run
    it on this machine. `vouched` is what the operator attests of the way itself.
    """

    target: str
    adapter: str | None
    template: str | None
    region: str
    supply: str = ""
    settings: Mapping[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])
    supply_with: str = "s3"
    own: bool = False
    vouched: tuple[tuple[str, Vouched], ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names that the operator fills in (an account, a namespace), in the endpoint's order."""
        return tuple(dict.fromkeys(PLACEHOLDER.findall(self.template or "")))

    def lacking(self) -> ConfigError:
        """Return the error of a target that the operator has to bind first: it says how."""
        return ConfigError(
            f"`{self.target}` cannot be opened yet: {self.supply}. Bind it in the configuration's `overlay`:\n"
            f'  {self.target}: {{binding: {{adapter: {self.supply_with}, endpoint: "https://…", attestation: …,\n'
            f'    accept_relaxation: {{owner: you@example.org, reason: "…"}}}}}}'
        )

    def endpoint(self, parameters: Mapping[str, str]) -> str:
        """Return the endpoint's URL, with exactly its `parameters` filled in.

        A value is one part of a host name, so that none can lead to another host. Raises ConfigError.
        """
        if self.template is None:
            raise self.lacking()
        names = ", ".join(f"`{name}`" for name in self.parameters) or "none"
        for name in self.parameters:
            if name not in parameters:
                raise ConfigError(f"`{self.target}` needs the parameter `{name}`; it takes {names}")
        for name, value in parameters.items():
            if name not in self.parameters:
                raise ConfigError(f"`{self.target}` has no parameter `{name}`; it takes {names}")
            if VALUE.fullmatch(value) is None:
                raise ConfigError(
                    f"`{value}` cannot be the parameter `{name}` of `{self.target}`; use 1 to 63 of a-z, 0-9 and -"
                )
        return self.template.format_map(parameters)

    def hosts(self, parameters: Mapping[str, str], *, bucket: str) -> frozenset[str]:
        """Return the only hosts that may be talked to.

        They are the endpoint's, the bucket's own below it where buckets are host names, and the `authority` of the
        settings, a host or a URL, which gives tokens. Raises ConfigError as `endpoint` does.
        """
        host = urlsplit(self.endpoint(parameters)).netloc
        found = {host}
        if self.settings.get("addressing") == "virtual":
            found.add(f"{bucket}.{host}")
        authority = self.settings.get("authority")
        if isinstance(authority, str):
            found.add(urlsplit(authority).netloc or authority)
        return frozenset(found)
