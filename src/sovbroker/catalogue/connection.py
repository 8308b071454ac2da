"""How to reach the storage of one target: adapter, endpoint, hosts, and the settings of the adapter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError

__all__ = ["PLACEHOLDER", "Connection"]

PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z_]*)\}")
"""A placeholder of an endpoint."""

VALUE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the storage of a target. Hosts come from here, never from an SDK's own table.

    `adapter` None: no API is known. `template` None: no endpoint is known. In both cases `supply` says what the
    operator must bring. `region` is the region's name in signatures. `settings` are in the adapter's words.
    """

    target: str
    adapter: str | None
    template: str | None
    region: str
    supply: str = ""
    settings: Mapping[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names that the operator fills in (an account, a namespace), in the endpoint's order."""
        return tuple(dict.fromkeys(PLACEHOLDER.findall(self.template or "")))

    def endpoint(self, parameters: Mapping[str, str]) -> str:
        """Return the endpoint's URL, with exactly its `parameters` filled in.

        A value is one part of a host name, so that none can lead to another host. Raises ConfigError.
        """
        if self.template is None:
            raise ConfigError(f"no endpoint is known for `{self.target}`: {self.supply}")
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
